//! One tail per workflow: a watch channel that holds the last stored sequence, and what this process appended last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Events;
use crate::domain::{Event, TenantId, WorkflowId};

type Key = (TenantId, WorkflowId);

/// A log that somebody listens to.
#[derive(Default)]
struct Tail {
    last: watch::Sender<u64>,
    /// Stored, and the newest as far as this process knows.
    newest: Option<Events>,
}

/// All tails that somebody listens to.
#[derive(Default)]
pub(super) struct Tails {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tails: HashMap<Key, Tail>,
    /// Size at which tails without listeners are swept out; doubles with what remains, so sweeping stays cheap.
    sweep_at: usize,
}

impl Tails {
    /// Listens to a log. The value is 0 until somebody has advanced it, and may lag until the caller has.
    pub(super) fn follow(&self, tenant: &TenantId, workflow: WorkflowId) -> watch::Receiver<u64> {
        let mut state = self.lock();
        if state.tails.len() >= state.sweep_at {
            state.tails.retain(|_, tail| tail.last.receiver_count() > 0);
            state.sweep_at = (state.tails.len() * 2).max(64);
        }
        state.tails.entry((tenant.clone(), workflow)).or_default().last.subscribe()
    }

    /// Events that are about to be appended, to be kept once they are; `None` when nobody listens.
    pub(super) fn keep(&self, tenant: &TenantId, workflow: WorkflowId, events: &[Event]) -> Option<Events> {
        let listened_to = self.lock().tails.contains_key(&(tenant.clone(), workflow));
        listened_to.then(|| events.iter().cloned().map(Arc::new).collect())
    }

    /// Tells the listeners that the log now ends at `last`, with what was appended where this process did. Never goes
    /// back: a slow reader of the store may come late.
    pub(super) fn advance(&self, tenant: &TenantId, workflow: WorkflowId, last: u64, appended: Option<Events>) {
        let mut state = self.lock();
        let key = (tenant.clone(), workflow);
        let Some(tail) = state.tails.get_mut(&key) else { return };
        if tail.last.receiver_count() == 0 {
            state.tails.remove(&key);
            return;
        }
        let known = *tail.last.borrow();
        if appended.is_some() && last > known {
            tail.newest = appended;
        }
        tail.last.send_if_modified(|stored| {
            let grows = last > *stored;
            *stored = last.max(*stored);
            grows
        });
    }

    /// The events that follow `after`, if this process has just appended them.
    pub(super) fn newest(&self, tenant: &TenantId, workflow: WorkflowId, after: u64) -> Option<Events> {
        let state = self.lock();
        let newest = state.tails.get(&(tenant.clone(), workflow))?.newest.as_ref()?;
        (newest.first()?.sequence == after + 1).then(|| newest.clone())
    }

    /// Ends the tail of a log that is gone: its listeners see the channel close.
    pub(super) fn end(&self, tenant: &TenantId, workflow: WorkflowId) {
        self.lock().tails.remove(&(tenant.clone(), workflow));
    }

    /// Ends every tail: whoever listens looks again.
    pub(super) fn end_all(&self) {
        self.lock().tails.clear();
    }

    /// A panic while the lock was held cannot leave the map half changed, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::events::log;

    #[test]
    fn what_was_just_appended_is_known_where_it_comes_next() {
        let (tails, tenant, workflow) = (Tails::default(), TenantId::local(), WorkflowId::generate());
        let log = log(5);
        assert!(tails.keep(&tenant, workflow, &log).is_none(), "nobody listens");
        let listener = tails.follow(&tenant, workflow);
        tails.advance(&tenant, workflow, 4, tails.keep(&tenant, workflow, &log[2..4]));
        let known = |after| tails.newest(&tenant, workflow, after).map(|events| events.len());
        assert_eq!([known(1), known(2), known(3)], [None, Some(2), None]);
        // Heard late: what is known stays.
        tails.advance(&tenant, workflow, 3, tails.keep(&tenant, workflow, &log[1..3]));
        assert_eq!([known(1), known(2)], [None, Some(2)]);
        tails.end_all();
        assert_eq!((known(2), *listener.borrow()), (None, 4));
    }

    #[test]
    fn tails_without_listeners_are_dropped() {
        let tails = Tails::default();
        let tenant = TenantId::local();
        let workflow = WorkflowId::generate();
        drop(tails.follow(&tenant, workflow));
        tails.advance(&tenant, workflow, 1, None);
        assert!(tails.lock().tails.is_empty());
        for _ in 0..1000 {
            drop(tails.follow(&tenant, WorkflowId::generate()));
        }
        assert!(tails.lock().tails.len() <= 64);
    }
}
