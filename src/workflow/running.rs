//! Which workflows this process runs now.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::WorkflowId;

/// The workflows that this process runs now.
#[derive(Default)]
pub(super) struct Running(Arc<Mutex<HashSet<WorkflowId>>>);

impl Running {
    pub(super) fn contains(&self, id: WorkflowId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// `None` when it runs already.
    pub(super) fn enter(&self, id: WorkflowId) -> Option<Entered> {
        let fresh = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        fresh.then(|| Entered { set: self.0.clone(), id })
    }
}

/// Leaves the set when dropped.
pub(super) struct Entered {
    set: Arc<Mutex<HashSet<WorkflowId>>>,
    id: WorkflowId,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
