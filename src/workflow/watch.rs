//! Following a log: what is stored, then what comes. Events are read from the store only, so none is seen before it
//! is durable; the tail only says when to look. Of the watchers that one append wakes, one reads.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, stream};
use moka::future::Cache;
use tokio::sync::watch::Receiver;

use super::handle::not_found;
use super::{Cursor, journal};
use crate::domain::{Event, Failure, Reason, TenantId, WorkflowId};
use crate::store::{Error, Events, Store};

/// Events a watcher holds at once.
const PAGE: usize = 64;

/// Pages that are kept for others who are about to read them.
const SHARED_PAGES: u64 = 64;

/// How long they are kept.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// Between two looks at a store that does not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The store as watchers read it: what this process has just appended is at hand, and of those that another's append wakes
/// at the same place one reads for all.
#[derive(Clone)]
pub(super) struct Pages {
    store: Arc<dyn Store>,
    shared: Cache<Place, Events>,
}

/// Where a watcher stands, and up to where it knows the log to go. What was read by one who knew as much holds what
/// another wants to see. After a trouble that may have cost events, the store is in another epoch.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    tenant: TenantId,
    id: WorkflowId,
    after: u64,
    known: u64,
    epoch: u64,
}

impl Pages {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, shared: Cache::builder().max_capacity(SHARED_PAGES).time_to_live(SHARED_FOR).build() }
    }

    async fn read(&self, tenant: &TenantId, id: WorkflowId, after: u64, known: u64) -> Result<Events, Failure> {
        if let Some(events) = self.store.newest(tenant, id, after) {
            return Ok(events);
        }
        let read = async {
            let events = self.store.read(tenant, id, after, PAGE).await?;
            Ok::<Events, Error>(events.into_iter().map(Arc::new).collect())
        };
        if known <= after {
            return read.await.map_err(|error| journal::failure(&error));
        }
        let place = Place { tenant: tenant.clone(), id, after, known, epoch: self.store.epoch() };
        self.shared.try_get_with(place, read).await.map_err(|error| journal::failure(&error))
    }
}

pub(super) fn watch(
    pages: Pages,
    tenant: TenantId,
    id: WorkflowId,
    after: u64,
    cursor: Option<Cursor>,
) -> impl Stream<Item = Result<Arc<Event>, Failure>> + Send + 'static {
    let watch = Watch { pages, tenant, id, after, cursor, opened: None, tail: None, page: Events::default(), read: 0 };
    stream::unfold(Some(watch), |watch| async move {
        let mut watch = watch?;
        match watch.next().await {
            Ok(Some(event)) => {
                let goes_on = !event.kind.is_terminal();
                Some((Ok(event), goes_on.then_some(watch)))
            }
            Ok(None) => None,
            Err(failure) => Some((Err(failure), None)),
        }
    })
}

struct Watch {
    pages: Pages,
    tenant: TenantId,
    id: WorkflowId,
    /// Sequence of the last event that the watcher has.
    after: u64,
    /// An event that the watcher has, or says to have.
    cursor: Option<Cursor>,
    /// Which store the log was found in.
    opened: Option<u64>,
    tail: Option<Receiver<u64>>,
    /// What was read, and how many of it are handed out.
    page: Events,
    read: usize,
}

impl Watch {
    /// The next event; `None` after the last one. A store that does not answer is waited for once the log was found.
    async fn next(&mut self) -> Result<Option<Arc<Event>>, Failure> {
        let mut wait = Duration::from_millis(50);
        loop {
            match self.try_next().await {
                Err(failure) if failure.reason == Reason::StoreUnavailable && self.opened.is_some() => {
                    self.tail = None;
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_next(&mut self) -> Result<Option<Arc<Event>>, Failure> {
        loop {
            if let Some(event) = self.page.get(self.read) {
                self.read += 1;
                self.after = event.sequence;
                self.cursor = Some(event.cursor());
                return Ok(Some(event.clone()));
            }
            if self.tail.is_none() && Box::pin(self.open()).await? {
                return Ok(None);
            }
            // Marked as seen before the read: an append after it wakes the wait below.
            let known = self.tail.as_mut().map_or(0, |tail| *tail.borrow_and_update());
            // Apart, so that a watcher that waits does not hold the room for it.
            self.page = Box::pin(self.pages.read(&self.tenant, self.id, self.after, known)).await?;
            self.read = 0;
            if !self.page.is_empty() {
                continue;
            }
            if known > self.after {
                return Err(Box::pin(self.rewound()).await);
            }
            let Some(tail) = &mut self.tail else { continue };
            if tail.changed().await.is_err() {
                // The log may have changed otherwise than by growing: look again.
                self.tail = None;
            }
        }
    }

    /// Starts to follow, and checks that the log holds what the watcher has. `true` when nothing can follow.
    async fn open(&mut self) -> Result<bool, Failure> {
        let tail = self.store().tail(&self.tenant, self.id).await;
        let tail = tail.map_err(|error| journal::failure(&error))?;
        let known = *tail.borrow() > 0;
        self.tail = Some(tail);
        if !known && self.last().await?.is_none() {
            return Err(self.gone().await);
        }
        if self.opened.is_none() {
            self.opened = Some(self.identity().await?);
        }
        if let Some(cursor) = self.cursor.filter(|cursor| cursor.sequence > 0)
            && self.at(cursor.sequence).await?.map(|event| event.cursor()) != Some(cursor)
        {
            return Err(self.rewound().await);
        }
        if self.after == 0 {
            return Ok(false);
        }
        match self.at(self.after).await? {
            Some(event) => Ok(event.kind.is_terminal()),
            None => Err(self.rewound().await),
        }
    }

    async fn at(&self, sequence: u64) -> Result<Option<Event>, Failure> {
        let events = self.store().read(&self.tenant, self.id, sequence - 1, 1).await;
        events.map(|mut events| events.pop()).map_err(|error| journal::failure(&error))
    }

    async fn last(&self) -> Result<Option<u64>, Failure> {
        let last = self.store().last_sequence(&self.tenant, self.id).await;
        last.map_err(|error| journal::failure(&error))
    }

    /// Why the log cannot be followed any more.
    async fn rewound(&self) -> Failure {
        match self.last().await {
            Err(failure) => failure,
            Ok(None) => self.gone().await,
            Ok(Some(last)) => {
                let message = format!("the log ends at {last} and no longer holds what was seen; read it again");
                Failure::new(Reason::LogRewound, message).with("last_sequence", last)
            }
        }
    }

    /// Why there is no log: a workflow that ended may be removed, and a store may lose everything.
    async fn gone(&self) -> Failure {
        match (self.opened, self.identity().await) {
            (None, _) => not_found(self.id),
            (_, Err(failure)) => failure,
            (Some(before), Ok(now)) if before != now => {
                let message = format!("the store has lost workflow {} with everything it held", self.id);
                Failure::new(Reason::StoreDataLost, message).with("record", "workflow log")
            }
            _ => not_found(self.id),
        }
    }

    fn store(&self) -> &dyn Store {
        &*self.pages.store
    }

    async fn identity(&self) -> Result<u64, Failure> {
        self.store().identity().await.map_err(|error| journal::failure(&error))
    }
}
