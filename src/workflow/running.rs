//! The workflows that this process has in hand: each once, whether it waits for its turn or runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::WorkflowId;

/// Workflow → whether it runs.
type Hands = Mutex<HashMap<WorkflowId, bool>>;

/// The set. Cheap to share.
#[derive(Default)]
pub(super) struct Running(Arc<Hands>);

impl Running {
    /// Takes a workflow in hand; `None` when it is already.
    pub(super) fn take(&self, id: WorkflowId) -> Option<Taken> {
        let mut hands = lock(&self.0);
        if hands.contains_key(&id) {
            return None;
        }
        hands.insert(id, false);
        Some(Taken { hands: self.0.clone(), id })
    }

    /// Whether it runs.
    pub(super) fn contains(&self, id: WorkflowId) -> bool {
        lock(&self.0).get(&id).copied().unwrap_or_default()
    }

    /// How many run.
    pub(super) fn count(&self) -> usize {
        lock(&self.0).values().filter(|runs| **runs).count()
    }
}

/// A workflow in hand; dropping it lets go.
pub(super) struct Taken {
    hands: Arc<Hands>,
    id: WorkflowId,
}

impl Taken {
    /// Its turn has come.
    pub(super) fn runs(&self) {
        lock(&self.hands).insert(self.id, true);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        lock(&self.hands).remove(&self.id);
    }
}

/// A panic while the lock was held cannot leave the map half changed.
fn lock(hands: &Hands) -> MutexGuard<'_, HashMap<WorkflowId, bool>> {
    hands.lock().unwrap_or_else(PoisonError::into_inner)
}
