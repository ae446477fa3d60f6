//! Following a log: what is stored, then what comes. Events are read from the store only, so none is seen before it
//! is durable; the tail only says when to look.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::{Stream, stream};
use tokio::sync::watch::Receiver;

use super::handle::not_found;
use super::{Cursor, journal};
use crate::domain::{Event, Failure, Reason, TenantId, WorkflowId};
use crate::store::Store;

/// Events a watcher holds at once.
const PAGE: usize = 64;

pub(super) fn watch(
    store: Arc<dyn Store>,
    tenant: TenantId,
    id: WorkflowId,
    after: u64,
    cursor: Option<Cursor>,
) -> impl Stream<Item = Result<Event, Failure>> + Send + 'static {
    let watch = Watch { store, tenant, id, after, cursor, tail: None, page: VecDeque::new() };
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
    store: Arc<dyn Store>,
    tenant: TenantId,
    id: WorkflowId,
    /// Sequence of the last event that the watcher has.
    after: u64,
    /// An event that it says to have seen.
    cursor: Option<Cursor>,
    tail: Option<Receiver<u64>>,
    page: VecDeque<Event>,
}

impl Watch {
    async fn next(&mut self) -> Result<Option<Event>, Failure> {
        if self.tail.is_none() && self.open().await? {
            return Ok(None);
        }
        loop {
            if let Some(event) = self.page.pop_front() {
                self.after = event.sequence;
                return Ok(Some(event));
            }
            // Marked as seen before the read: an append after it wakes the wait below.
            let known = self.tail.as_mut().map_or(0, |tail| *tail.borrow_and_update());
            self.page = self.read(self.after, PAGE).await?.into();
            if !self.page.is_empty() {
                continue;
            }
            if known > self.after {
                return Err(self.rewound().await);
            }
            let Some(tail) = &mut self.tail else { continue };
            if tail.changed().await.is_err() {
                return Err(self.rewound().await);
            }
        }
    }

    /// Starts to follow, and checks that the log holds what the watcher has. `true` when nothing can follow.
    async fn open(&mut self) -> Result<bool, Failure> {
        let tail = self.store.tail(&self.tenant, self.id).await;
        self.tail = Some(tail.map_err(|error| journal::failure(&error))?);
        if self.last().await?.is_none() {
            return Err(not_found(self.id));
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
        Ok(self.read(sequence - 1, 1).await?.pop())
    }

    async fn read(&self, after: u64, limit: usize) -> Result<Vec<Event>, Failure> {
        let events = self.store.read(&self.tenant, self.id, after, limit).await;
        events.map_err(|error| journal::failure(&error))
    }

    async fn last(&self) -> Result<Option<u64>, Failure> {
        let last = self.store.last_sequence(&self.tenant, self.id).await;
        last.map_err(|error| journal::failure(&error))
    }

    /// Why the log cannot be followed any more.
    async fn rewound(&self) -> Failure {
        match self.last().await {
            Err(failure) => failure,
            Ok(None) => not_found(self.id),
            Ok(Some(last)) => {
                let message = format!("the log ends at {last} and no longer holds what was seen; read it again");
                Failure::new(Reason::LogRewound, message).with("last_sequence", last)
            }
        }
    }
}
