//! The workflows that this process works on, each with the lease that allows it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::TenantId;
use crate::store::Lease;

/// The set. Cheap to clone.
#[derive(Clone)]
pub(super) struct Running(Arc<Mutex<State>>);

struct State {
    hands: HashMap<Lease, (TenantId, CancellationToken)>,
    /// When the store last said which leases hold.
    renewed: Instant,
}

impl Default for Running {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { hands: HashMap::new(), renewed: Instant::now() })))
    }
}

impl Running {
    /// Notes a workflow that is worked on from now on. `stop` is cancelled when its lease is lost.
    pub(super) fn take(&self, tenant: TenantId, lease: Lease, stop: CancellationToken) -> InHand {
        self.lock().hands.insert(lease, (tenant, stop));
        InHand { running: self.clone(), lease }
    }

    /// The leases to prolong.
    pub(super) fn leases(&self) -> Vec<(TenantId, Lease)> {
        self.lock().hands.iter().map(|(lease, (tenant, _))| (tenant.clone(), *lease)).collect()
    }

    /// What the store said of the leases: these are lost, and work on them stops; the others hold.
    pub(super) fn renewed(&self, lost: &[Lease]) {
        let mut state = self.lock();
        state.renewed = Instant::now();
        for (_, stop) in lost.iter().filter_map(|lease| state.hands.get(lease)) {
            stop.cancel();
        }
    }

    /// When the store last said which leases hold.
    pub(super) fn last_renewal(&self) -> Instant {
        self.lock().renewed
    }

    /// A panic while the lock was held cannot leave the map half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A workflow in hand; dropping it lets go.
pub(super) struct InHand {
    running: Running,
    lease: Lease,
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.running.lock().hands.remove(&self.lease);
    }
}
