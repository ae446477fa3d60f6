//! Work: who may append, who takes what waits, and in which order.

use std::sync::Arc;
use std::time::Duration;

use super::events::{self, event, log, step};
use crate::domain::{Event, EventKind, TenantId, WorkflowId};
use crate::store::{Error, Lease, Store, Work};

fn local() -> TenantId {
    TenantId::local()
}

/// A workflow that waits for a worker.
async fn waiting(store: &dyn Store, tenant: &TenantId) -> WorkflowId {
    let id = WorkflowId::generate();
    store.append(tenant, id, 0, &log(1)).await.unwrap();
    id
}

/// What waits, once the store has heard of it.
async fn take(store: &dyn Store) -> Work {
    let taken = async {
        loop {
            store.more_work().await;
            if let Some(work) = store.take().await.unwrap() {
                return work;
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), taken).await.expect("something waits")
}

pub(crate) async fn what_waits_is_taken_once(store: Arc<dyn Store>) {
    assert!(store.take().await.unwrap().is_none());
    let id = waiting(&*store, &local()).await;
    assert_eq!(store.waiting().await.unwrap(), 1);
    assert!(!store.is_held(&local(), id).await.unwrap());
    store.more_work().await;
    let work = take(&*store).await;
    assert_eq!((work.tenant, work.lease.workflow, work.lost), (local(), id, 0));
    assert!(store.is_held(&local(), id).await.unwrap());
    assert!(store.take().await.unwrap().is_none());
    assert_eq!(store.renew(&[(local(), work.lease)]).await.unwrap(), []);
}

pub(crate) async fn only_the_holder_appends_on_a_lease(store: Arc<dyn Store>) {
    let id = waiting(&*store, &local()).await;
    let work = take(&*store).await;
    let stranger = Lease::new(id);
    let refused = store.append_on(&local(), id, 1, &[step(2)], Some(stranger)).await;
    assert!(matches!(refused, Err(Error::LeaseLost)), "{refused:?}");
    store.append_on(&local(), id, 1, &[step(2)], Some(work.lease)).await.unwrap();
    // Callers append without one.
    store.append(&local(), id, 2, &[step(3)]).await.unwrap();
    assert_eq!(store.renew(&[(local(), stranger), (local(), work.lease)]).await.unwrap(), [stranger]);
    let refused = store.append_on(&local(), id, 2, &[step(3)], Some(work.lease)).await;
    assert!(matches!(refused, Err(Error::OutOfSequence { last: 3 })), "{refused:?}");
}

pub(crate) async fn who_starts_may_hold(store: Arc<dyn Store>) {
    let lease = Lease::new(WorkflowId::generate());
    store.append_on(&local(), lease.workflow, 0, &log(2), Some(lease)).await.unwrap();
    assert!(store.is_held(&local(), lease.workflow).await.unwrap());
    assert!(store.take().await.unwrap().is_none());
    store.append_on(&local(), lease.workflow, 2, &[step(3)], Some(lease)).await.unwrap();
}

pub(crate) async fn what_is_given_back_is_taken_at_once(store: Arc<dyn Store>) {
    let lease = Lease::new(WorkflowId::generate());
    store.append_on(&local(), lease.workflow, 0, &log(2), Some(lease)).await.unwrap();
    store.release(&local(), lease).await.unwrap();
    assert!(!store.is_held(&local(), lease.workflow).await.unwrap());
    store.more_work().await;
    let work = take(&*store).await;
    assert_eq!((work.lease.workflow, work.lost), (lease.workflow, 0));
    let refused = store.append_on(&local(), lease.workflow, 2, &[step(3)], Some(lease)).await;
    assert!(matches!(refused, Err(Error::LeaseLost)), "{refused:?}");
    store.append_on(&local(), lease.workflow, 2, &[step(3)], Some(work.lease)).await.unwrap();
    // Giving back what is somebody else's by now changes nothing.
    store.release(&local(), lease).await.unwrap();
    assert!(store.is_held(&local(), lease.workflow).await.unwrap());
}

pub(crate) async fn what_has_ended_needs_no_worker(store: Arc<dyn Store>) {
    let id = waiting(&*store, &local()).await;
    store.append(&local(), id, 1, &[event(2, EventKind::Completed)]).await.unwrap();
    assert!(store.take().await.unwrap().is_none());
    let held = waiting(&*store, &local()).await;
    let work = take(&*store).await;
    store.append_on(&local(), held, 1, &[event(2, EventKind::Completed)], Some(work.lease)).await.unwrap();
    assert!(!store.is_held(&local(), held).await.unwrap());
    assert_eq!(store.renew(&[(local(), work.lease)]).await.unwrap(), [work.lease]);
    store.release(&local(), work.lease).await.unwrap();
    assert!(store.take().await.unwrap().is_none());
    assert_eq!(store.waiting().await.unwrap(), 0);
}

pub(crate) async fn tenants_take_turns(store: Arc<dyn Store>) {
    let [many, one] = ["many", "one"].map(|name| TenantId::parse(name).unwrap());
    for _ in 0..500 {
        waiting(&*store, &many).await;
    }
    let late = waiting(&*store, &one).await;
    assert_eq!(store.waiting().await.unwrap(), 501);
    // A store may have 64 parts, each of which serves its tenants in turn: two rounds of them are the longest wait.
    let mut taken = Vec::new();
    for _ in 0..128 {
        taken.push(take(&*store).await);
    }
    assert!(taken.iter().any(|work| work.tenant == one && work.lease.workflow == late));
}

pub(crate) async fn what_waits_for_a_person_rests(store: Arc<dyn Store>) {
    let id = waiting(&*store, &local()).await;
    let work = take(&*store).await;
    let ask = now_event(2, events::asks_for_approval(Duration::from_hours(1)));
    store.append_on(&local(), id, 1, &[ask], Some(work.lease)).await.unwrap();
    assert!(!store.is_held(&local(), id).await.unwrap());
    assert_eq!(store.renew(&[(local(), work.lease)]).await.unwrap(), [work.lease], "nobody holds it");
    assert_eq!(store.waiting().await.unwrap(), 0);
    assert!(store.take().await.unwrap().is_none());
    let refused = store.append_on(&local(), id, 2, &[step(3)], Some(work.lease)).await;
    assert!(matches!(refused, Err(Error::LeaseLost)), "{refused:?}");

    // The first answer wakes it, once.
    store.append(&local(), id, 2, &[event(3, events::resumed())]).await.unwrap();
    let late = store.append(&local(), id, 2, &[event(3, events::resumed())]).await;
    assert!(matches!(late, Err(Error::OutOfSequence { last: 3 })), "{late:?}");
    let work = take(&*store).await;
    assert_eq!((work.lease.workflow, work.lost), (id, 0));
    assert!(store.take().await.unwrap().is_none());
    store.append_on(&local(), id, 3, &[step(4)], Some(work.lease)).await.unwrap();
}

pub(crate) async fn who_is_not_answered_is_taken_when_the_wait_is_over(store: Arc<dyn Store>) {
    let id = waiting(&*store, &local()).await;
    let work = take(&*store).await;
    let ask = now_event(2, events::asks_for_approval(Duration::from_millis(300)));
    let until = ask.time + Duration::from_millis(300);
    store.append_on(&local(), id, 1, &[ask], Some(work.lease)).await.unwrap();
    let late = take(&*store).await;
    assert_eq!((late.lease.workflow, late.lost), (id, 0));
    assert!(jiff::Timestamp::now() >= until);
    // An answer that comes at the last moment takes the workflow from who would end it.
    store.append(&local(), id, 2, &[event(3, events::resumed())]).await.unwrap();
    let end = store.append_on(&local(), id, 2, &[event(3, EventKind::Completed)], Some(late.lease)).await;
    assert!(matches!(end, Err(Error::LeaseLost)), "{end:?}");
    assert_eq!(take(&*store).await.lease.workflow, id);
}

pub(crate) async fn who_is_cancelled_while_waiting_is_not_taken(store: Arc<dyn Store>) {
    let id = waiting(&*store, &local()).await;
    let work = take(&*store).await;
    let ask = now_event(2, events::asks_for_approval(Duration::ZERO));
    let end = now_event(3, EventKind::Completed);
    store.append_on(&local(), id, 1, &[ask], Some(work.lease)).await.unwrap();
    store.append(&local(), id, 2, &[end]).await.unwrap();
    assert!(store.take().await.unwrap().is_none());
}

/// An event of this moment.
fn now_event(sequence: u64, kind: EventKind) -> Event {
    Event { time: jiff::Timestamp::now(), ..event(sequence, kind) }
}
