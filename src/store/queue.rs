//! Workflows that wait for a worker, and who holds the others, for a store of one process.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::append::Turn;
use super::{Error, Lease, Work};
use crate::domain::{TenantId, WorkflowId};

/// How long it is slept at most before the clock is looked at again.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// The queue of a process. What it holds is gone with the process, and so are its workers: the next one begins anew.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<TenantId, VecDeque<WorkflowId>>,
    /// Workflows that wait for a person, by the end of that wait.
    resting: BTreeMap<(Timestamp, WorkflowId), TenantId>,
    rests: HashMap<WorkflowId, Timestamp>,
    /// Whose turn it was last.
    served: Option<TenantId>,
    holders: HashMap<WorkflowId, Lease>,
}

impl Queue {
    /// Notes what an append makes of a workflow: one that begins is held by who began it, or waits; so does one that goes
    /// on. One that has ended, or rests until a person answers, is held by nobody.
    pub(crate) fn appended(&self, tenant: &TenantId, id: WorkflowId, turn: Turn, lease: Option<Lease>) {
        let mut state = self.lock();
        if turn != Turn::Same {
            state.forget(tenant, id);
        }
        match (turn, lease) {
            (Turn::Same | Turn::Nobody, _) => {}
            (Turn::Worker, Some(lease)) => {
                state.holders.insert(id, lease);
            }
            (Turn::Worker, None) => state.add(tenant, id),
            (Turn::Person(until), _) => state.rest(tenant, id, until),
        }
        drop(state);
        self.more.notify_one();
    }

    /// Whether an append on this lease is allowed.
    pub(crate) fn check(&self, id: WorkflowId, begins: bool, lease: Option<Lease>) -> Result<(), Error> {
        match lease {
            Some(lease) if !begins && self.lock().holders.get(&id) != Some(&lease) => Err(Error::LeaseLost),
            _ => Ok(()),
        }
    }

    /// The next workflow, of the tenant after the one served last.
    pub(crate) fn take(&self, now: Timestamp) -> Option<Work> {
        let mut state = self.lock();
        state.wake(now);
        let next = match &state.served {
            Some(served) => state.waiting.keys().find(|tenant| *tenant > served),
            None => None,
        };
        let tenant = next.or_else(|| state.waiting.keys().next())?.clone();
        let queue = state.waiting.get_mut(&tenant)?;
        let id = queue.pop_front();
        if queue.is_empty() {
            state.waiting.remove(&tenant);
        }
        state.served = Some(tenant.clone());
        let lease = Lease::new(id?);
        state.holders.insert(lease.workflow, lease);
        Some(Work { tenant, lease, lost: 0 })
    }

    /// Gives a workflow back; it is the next of its tenant.
    pub(crate) fn release(&self, tenant: &TenantId, lease: Lease) {
        let mut state = self.lock();
        if state.holders.get(&lease.workflow) == Some(&lease) {
            state.holders.remove(&lease.workflow);
            state.waiting.entry(tenant.clone()).or_default().push_front(lease.workflow);
        }
        drop(state);
        self.more.notify_one();
    }

    /// A workflow that an earlier process left.
    pub(crate) fn add(&self, tenant: &TenantId, id: WorkflowId) {
        self.lock().add(tenant, id);
    }

    /// The same of one that waits for a person.
    pub(crate) fn rest(&self, tenant: &TenantId, id: WorkflowId, until: Timestamp) {
        self.lock().rest(tenant, id, until);
    }

    /// Those of the leases that are lost.
    pub(crate) fn lost(&self, leases: &[(TenantId, Lease)]) -> Vec<Lease> {
        let state = self.lock();
        let lost = |lease: &&Lease| state.holders.get(&lease.workflow) != Some(*lease);
        leases.iter().map(|(_, lease)| lease).filter(lost).copied().collect()
    }

    pub(crate) fn is_held(&self, id: WorkflowId) -> bool {
        self.lock().holders.contains_key(&id)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting.values().map(VecDeque::len).sum()
    }

    /// Returns when something waits, or has rested long enough.
    pub(crate) async fn more(&self, now: impl Fn() -> Timestamp) {
        while self.waiting() == 0 {
            let first = self.lock().resting.keys().next().map(|(until, _)| *until);
            let rest = first.map(|until| Duration::try_from(until.duration_since(now())).unwrap_or_default());
            if rest.is_some_and(|rest| rest.is_zero()) {
                return;
            }
            tokio::select! {
                () = self.more.notified() => {}
                // The clock may be set meanwhile.
                () = tokio::time::sleep(rest.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)) => {}
            }
        }
    }

    /// A panic while the lock was held cannot leave the maps half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, tenant: &TenantId, id: WorkflowId) {
        self.waiting.entry(tenant.clone()).or_default().push_back(id);
    }

    fn rest(&mut self, tenant: &TenantId, id: WorkflowId, until: Timestamp) {
        self.rests.insert(id, until);
        self.resting.insert((until, id), tenant.clone());
    }

    /// What has rested long enough waits for a worker, which ends it.
    fn wake(&mut self, now: Timestamp) {
        while let Some(first) = self.resting.first_entry().filter(|first| first.key().0 <= now) {
            let ((_, id), tenant) = first.remove_entry();
            self.rests.remove(&id);
            self.add(&tenant, id);
        }
    }

    fn forget(&mut self, tenant: &TenantId, id: WorkflowId) {
        self.holders.remove(&id);
        if let Some(until) = self.rests.remove(&id) {
            self.resting.remove(&(until, id));
        }
        if let Some(queue) = self.waiting.get_mut(tenant) {
            queue.retain(|waiting| *waiting != id);
            if queue.is_empty() {
                self.waiting.remove(tenant);
            }
        }
    }
}
