//! One tail per workflow: a watch channel that holds the last stored sequence.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::domain::{TenantId, WorkflowId};

type Key = (TenantId, WorkflowId);

/// All tails that somebody listens to.
#[derive(Default)]
pub(super) struct Tails {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    senders: HashMap<Key, watch::Sender<u64>>,
    /// Size at which tails without listeners are swept out; doubles with what remains, so sweeping stays cheap.
    sweep_at: usize,
}

impl Tails {
    /// Listens to a log. The value may lag until the caller has advanced it to what is stored.
    pub(super) fn follow(&self, tenant: &TenantId, workflow: WorkflowId) -> watch::Receiver<u64> {
        let mut state = self.lock();
        if state.senders.len() >= state.sweep_at {
            state.senders.retain(|_, sender| sender.receiver_count() > 0);
            state.sweep_at = (state.senders.len() * 2).max(64);
        }
        let sender = state.senders.entry((tenant.clone(), workflow)).or_insert_with(|| watch::Sender::new(0));
        sender.subscribe()
    }

    /// Tells the listeners that the log now ends at `last`. Never goes back: a slow reader of the store may come late.
    pub(super) fn advance(&self, tenant: &TenantId, workflow: WorkflowId, last: u64) {
        let mut state = self.lock();
        let key = (tenant.clone(), workflow);
        let Some(sender) = state.senders.get(&key) else { return };
        if sender.receiver_count() == 0 {
            state.senders.remove(&key);
            return;
        }
        sender.send_if_modified(|stored| {
            let grows = last > *stored;
            *stored = last.max(*stored);
            grows
        });
    }

    /// Ends the tail of a log that is gone: its listeners see the channel close.
    pub(super) fn end(&self, tenant: &TenantId, workflow: WorkflowId) {
        self.lock().senders.remove(&(tenant.clone(), workflow));
    }

    /// Ends every tail: whoever listens looks again.
    pub(super) fn end_all(&self) {
        self.lock().senders.clear();
    }

    /// A panic while the lock was held cannot leave the map half changed, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_without_listeners_are_dropped() {
        let tails = Tails::default();
        let tenant = TenantId::local();
        let workflow = WorkflowId::generate();
        drop(tails.follow(&tenant, workflow));
        tails.advance(&tenant, workflow, 1);
        assert!(tails.lock().senders.is_empty());
        for _ in 0..1000 {
            drop(tails.follow(&tenant, WorkflowId::generate()));
        }
        assert!(tails.lock().senders.len() <= 64);
    }
}
