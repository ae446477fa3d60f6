//! Logs of workflows.

use std::sync::Arc;

use super::events::{self, asked, event, log, started, step, time};
use crate::domain::{
    ConnectionId, EventKind, Failure, PageRequest, Rating, Reason, TenantId, Verdict, WorkflowId, WorkflowStatus,
};
use crate::store::search::MOST_LOOKED_AT;
use crate::store::{Error, ListFilter, Store};

fn local() -> TenantId {
    TenantId::local()
}

fn other() -> TenantId {
    TenantId::parse("other").unwrap()
}

fn all() -> PageRequest<WorkflowId> {
    PageRequest { after: None, limit: 1000 }
}

async fn ids(store: &dyn Store, filter: ListFilter) -> Vec<WorkflowId> {
    let page = store.list_workflows(&local(), &filter, all()).await.unwrap();
    page.items.into_iter().map(|workflow| workflow.id).collect()
}

/// A log of two events that has ended.
async fn finished(store: &dyn Store, tenant: &TenantId) -> WorkflowId {
    let id = WorkflowId::generate();
    store.append(tenant, id, 0, &[event(1, started(None, "")), event(2, EventKind::Completed)]).await.unwrap();
    id
}

pub(crate) async fn appends_are_ordered(store: Arc<dyn Store>) {
    let id = WorkflowId::generate();
    assert_eq!(store.last_sequence(&local(), id).await.unwrap(), None);
    assert_eq!(store.read(&local(), id, 0, 10).await.unwrap(), []);
    let log = events::one_of_each_kind();
    for (done, event) in log.iter().enumerate() {
        store.append(&local(), id, done as u64, std::slice::from_ref(event)).await.unwrap();
    }
    assert_eq!(store.read(&local(), id, 0, 100).await.unwrap(), log);
    assert_eq!(store.read(&local(), id, 3, 2).await.unwrap(), log[3..5]);
    assert_eq!(store.last_sequence(&local(), id).await.unwrap(), Some(log.len() as u64));
}

pub(crate) async fn a_refused_append_leaves_nothing(store: Arc<dyn Store>) {
    let id = WorkflowId::generate();
    let refused = |outcome: Result<(), Error>, at: u64| match outcome {
        Err(Error::OutOfSequence { last }) => assert_eq!(last, at),
        other => panic!("{other:?}"),
    };
    refused(store.append(&local(), id, 4, &[step(5)]).await, 0);
    assert!(store.append(&local(), id, 0, &[step(1)]).await.is_err(), "a log begins with workflow_started");
    assert_eq!(store.last_sequence(&local(), id).await.unwrap(), None);

    store.append(&local(), id, 0, &log(3)).await.unwrap();
    refused(store.append(&local(), id, 2, &[step(3)]).await, 3);
    refused(store.append(&local(), id, 0, &log(1)).await, 3);
    refused(store.append(&local(), id, 7, &[step(8)]).await, 3);
    refused(store.append(&local(), id, 3, &[step(4), step(6)]).await, 3);
    refused(store.append(&local(), id, 3, &[step(5)]).await, 3);
    assert_eq!(store.read(&local(), id, 0, 100).await.unwrap(), log(3));
    store.append(&local(), id, 3, &[]).await.unwrap();
    store.append(&local(), id, 3, &[step(4)]).await.unwrap();
}

pub(crate) async fn a_batch_is_one(store: Arc<dyn Store>) {
    let id = WorkflowId::generate();
    store.append(&local(), id, 0, &log(500)).await.unwrap();
    assert_eq!(store.read(&local(), id, 0, 1000).await.unwrap(), log(500));
    let page = store.read(&local(), id, 490, 1000).await.unwrap();
    assert_eq!(page.len(), 10);
}

pub(crate) async fn one_of_many_writers_wins(store: Arc<dyn Store>) {
    let id = WorkflowId::generate();
    store.append(&local(), id, 0, &log(1)).await.unwrap();
    for last in 1..=10 {
        let writers = (0..16).map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.append(&local(), id, last, &[step(last + 1)]).await })
        });
        let mut winners = 0;
        for outcome in futures::future::join_all(writers).await {
            match outcome.unwrap() {
                Ok(()) => winners += 1,
                Err(Error::OutOfSequence { last: found }) => assert_eq!(found, last + 1),
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(winners, 1);
    }
    assert_eq!(store.read(&local(), id, 0, 100).await.unwrap(), log(11));
}

pub(crate) async fn many_logs_grow_at_once(store: Arc<dyn Store>) {
    let writers = (0..32).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let id = WorkflowId::generate();
            for event in log(10) {
                store.append(&local(), id, event.sequence - 1, &[event]).await.unwrap();
            }
            id
        })
    });
    for id in futures::future::join_all(writers).await {
        assert_eq!(store.read(&local(), id.unwrap(), 0, 100).await.unwrap(), log(10));
    }
}

pub(crate) async fn tails_see_every_append(store: Arc<dyn Store>) {
    let id = WorkflowId::generate();
    let mut early = store.tail(&local(), id).await.unwrap();
    assert_eq!(*early.borrow_and_update(), 0);
    store.append(&local(), id, 0, &log(2)).await.unwrap();
    let mut late = store.tail(&local(), id).await.unwrap();
    assert_eq!(*late.borrow_and_update(), 2);
    for last in 2..20 {
        store.append(&local(), id, last, &[step(last + 1)]).await.unwrap();
        for tail in [&mut early, &mut late] {
            tail.changed().await.unwrap();
            assert_eq!(*tail.borrow_and_update(), last + 1);
            let stored = store.read(&local(), id, last, 10).await.unwrap();
            assert_eq!(stored, [step(last + 1)], "a tail speaks of what is stored");
        }
    }
    assert!(store.append(&local(), id, 3, &[step(4)]).await.is_err());
    assert!(!late.has_changed().unwrap(), "a refused append is not heard");
}

pub(crate) async fn a_tail_has_no_foreign_log(store: Arc<dyn Store>) {
    let id = WorkflowId::generate();
    store.append(&local(), id, 0, &log(2)).await.unwrap();
    let foreign = store.tail(&other(), id).await.unwrap();
    store.append(&local(), id, 2, &[step(3)]).await.unwrap();
    assert_eq!(*foreign.borrow(), 0);
}

pub(crate) async fn status_follows_the_events(store: Arc<dyn Store>) {
    let id = WorkflowId::generate();
    let log = events::one_of_each_kind();
    for (done, event) in log.iter().enumerate() {
        store.append(&local(), id, done as u64, std::slice::from_ref(event)).await.unwrap();
        let listed = store.list_workflows(&local(), &ListFilter::default(), all()).await.unwrap().items;
        let folded = crate::domain::Workflow::fold(id, &log[..=done]).unwrap();
        assert_eq!((listed[0].status, listed[0].last_sequence), (folded.status, folded.last_sequence));
        let rests = folded.status.is_terminal() || folded.status.is_awaiting();
        assert_eq!(store.waiting().await.unwrap() == 0, rests, "{:?}", folded.status);
    }
}

pub(crate) async fn lists_are_pages_newest_first(store: Arc<dyn Store>) {
    let mut expected = Vec::new();
    for _ in 0..7 {
        expected.insert(0, finished(&*store, &local()).await);
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = PageRequest { after, limit: 3 };
        let page = store.list_workflows(&local(), &ListFilter::default(), page).await.unwrap();
        assert!(page.items.len() <= 3);
        seen.extend(page.items.iter().map(|workflow| workflow.id));
        after = page.next;
        if after.is_none() {
            break;
        }
        assert_eq!(after, seen.last().copied());
    }
    assert_eq!(seen, expected);
    let exact = PageRequest { after: None, limit: 7 };
    assert_eq!(store.list_workflows(&local(), &ListFilter::default(), exact).await.unwrap().next, None);
}

pub(crate) async fn lists_are_filtered(store: Arc<dyn Store>) {
    let connection = ConnectionId::generate();
    let [by_connection, by_user, running] = [WorkflowId::generate(), WorkflowId::generate(), WorkflowId::generate()];
    store.append(&local(), by_connection, 0, &[event(1, started(Some(connection), ""))]).await.unwrap();
    store.append(&local(), by_user, 0, &[event(1, started(None, "ann"))]).await.unwrap();
    store.append(&local(), running, 0, &log(2)).await.unwrap();
    let done = finished(&*store, &local()).await;

    let filter = ListFilter { connection: Some(connection), ..ListFilter::default() };
    assert_eq!(ids(&*store, filter).await, [by_connection]);
    let filter = ListFilter { user_id: Some("ann".to_owned()), ..ListFilter::default() };
    assert_eq!(ids(&*store, filter).await, [by_user]);
    let filter = |statuses: &[WorkflowStatus]| ListFilter { statuses: statuses.to_vec(), ..ListFilter::default() };
    assert_eq!(ids(&*store, filter(&[WorkflowStatus::Running])).await, [running]);
    let filter = filter(&[WorkflowStatus::Completed, WorkflowStatus::Running]);
    assert_eq!(ids(&*store, filter).await, [done, running]);
    assert_eq!(ids(&*store, ListFilter::default()).await.len(), 4);
}

/// A log that asks this.
async fn asks(store: &dyn Store, tenant: &TenantId, text: &str) -> WorkflowId {
    let id = WorkflowId::generate();
    store.append(tenant, id, 0, &[event(1, asked(text))]).await.unwrap();
    id
}

pub(crate) async fn questions_are_searched(store: Arc<dyn Store>) {
    let first = asks(&*store, &local(), "Umsatz je Straße").await;
    asks(&*store, &local(), "How many customers?").await;
    asks(&*store, &other(), "Whose STRASSE?").await;
    let second = asks(&*store, &local(), "Which STRASSE?").await;
    let last = asks(&*store, &local(), "straße").await;
    store.append(&local(), last, 1, &[step(2)]).await.unwrap();
    let search = async |text: &str, statuses: &[WorkflowStatus], after, limit| {
        let filter = ListFilter { statuses: statuses.to_vec(), ..ListFilter::default() };
        let page = store.search_workflows(&local(), &filter, text, PageRequest { after, limit }).await.unwrap();
        (page.items.iter().map(|workflow| workflow.id).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(search("sTraSSe", &[], None, 10).await, (vec![last, second, first], None));
    assert_eq!(search("STRAßE", &[], None, 2).await, (vec![last, second], Some(second)));
    assert_eq!(search("strasse", &[], Some(second), 2).await, (vec![first], None));
    assert_eq!(search("strasse", &[WorkflowStatus::Pending], None, 10).await, (vec![second, first], None));
    assert_eq!(search("%", &[], None, 10).await, (vec![], None));
}

pub(crate) async fn a_search_looks_at_so_many_at_once(store: Arc<dyn Store>) {
    let oldest = asks(&*store, &local(), "the needle").await;
    for _ in 0..MOST_LOOKED_AT {
        asks(&*store, &local(), "hay").await;
    }
    let search = async |after| {
        let page = PageRequest { after, limit: 3 };
        store.search_workflows(&local(), &ListFilter::default(), "needle", page).await.unwrap()
    };
    let first = search(None).await;
    assert!(first.items.is_empty() && first.next.is_some(), "{first:?}");
    let second = search(first.next).await;
    assert_eq!((second.items.iter().map(|found| found.id).collect(), second.next), (vec![oldest], None));
}

pub(crate) async fn ratings_live_with_their_workflow(store: Arc<dyn Store>) {
    let rating = |verdict| Rating { verdict, comment: "„no“".to_owned(), update_time: time(9) };
    let (wrong, right) = (rating(Verdict::Down), rating(Verdict::Up));
    let nobodys = WorkflowId::generate();
    assert!(!store.put_rating(&local(), nobodys, &wrong).await.unwrap(), "there is no such workflow");
    let id = finished(&*store, &local()).await;
    assert_eq!(store.get_rating(&local(), id).await.unwrap(), None);
    for said in [wrong, right.clone()] {
        assert!(store.put_rating(&local(), id, &said).await.unwrap());
        assert_eq!(store.get_rating(&local(), id).await.unwrap(), Some(said));
    }
    assert!(!store.put_rating(&other(), id, &right).await.unwrap());
    assert_eq!(store.get_rating(&other(), id).await.unwrap(), None);
    assert_eq!(store.last_sequence(&local(), id).await.unwrap(), Some(2), "the log is as it was");

    assert!(store.delete_workflow(&local(), id).await.unwrap());
    store.append(&local(), id, 0, &log(1)).await.unwrap();
    assert_eq!(store.get_rating(&local(), id).await.unwrap(), None, "it went with its workflow");
}

pub(crate) async fn deleted_logs_are_gone(store: Arc<dyn Store>) {
    let id = finished(&*store, &local()).await;
    let mut tail = store.tail(&local(), id).await.unwrap();
    tail.borrow_and_update();
    assert!(!store.delete_workflow(&other(), id).await.unwrap());
    assert!(store.delete_workflow(&local(), id).await.unwrap());
    assert!(!store.delete_workflow(&local(), id).await.unwrap());
    assert_eq!(store.last_sequence(&local(), id).await.unwrap(), None);
    assert_eq!(store.read(&local(), id, 0, 10).await.unwrap(), []);
    assert!(tail.changed().await.is_err(), "nothing more can come");
}

pub(crate) async fn old_logs_expire(store: Arc<dyn Store>) {
    let old = finished(&*store, &local()).await;
    let waiting = WorkflowId::generate();
    store.append(&local(), waiting, 0, &log(2)).await.unwrap();
    let late = WorkflowId::generate();
    let failure = Failure::new(Reason::Internal, "no");
    let mut long = log(300);
    long.push(event(301, EventKind::Failed(failure)));
    store.append(&local(), late, 0, &long).await.unwrap();

    let none = time(0);
    assert_eq!(store.expire(none, 100, none).await.unwrap(), 0);
    assert_eq!(store.expire(time(100), 100, none).await.unwrap(), 1);
    assert_eq!(ids(&*store, ListFilter::default()).await, [late, waiting]);
    assert_eq!(store.last_sequence(&local(), old).await.unwrap(), None);

    let foreign = finished(&*store, &other()).await;
    let newest = finished(&*store, &local()).await;
    assert_eq!(store.expire(none, 1, none).await.unwrap(), 1, "all but the newest of each tenant");
    assert_eq!(ids(&*store, ListFilter::default()).await, [newest, waiting]);
    assert_eq!(store.last_sequence(&other(), foreign).await.unwrap(), Some(2));
}

pub(crate) async fn logs_are_of_one_tenant(store: Arc<dyn Store>) {
    let id = WorkflowId::generate();
    store.append(&local(), id, 0, &log(2)).await.unwrap();
    assert_eq!(store.last_sequence(&other(), id).await.unwrap(), None);
    assert_eq!(store.read(&other(), id, 0, 10).await.unwrap(), []);
    for expected_last in [0, 2] {
        let events = if expected_last == 0 { log(1) } else { vec![step(3)] };
        let refused = store.append(&other(), id, expected_last, &events).await;
        assert!(matches!(refused, Err(Error::OutOfSequence { last: 0 })), "{refused:?}");
    }
    let listed = store.list_workflows(&other(), &ListFilter::default(), all()).await.unwrap();
    assert_eq!(listed.items, []);
    assert_eq!(store.read(&local(), id, 0, 10).await.unwrap(), log(2));
}
