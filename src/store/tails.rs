//! One tail per workflow: a watch channel that holds the last stored sequence, and what this process appended lately.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Error, Events};
use crate::domain::{Event, EventKind, TenantId, WorkflowId};

/// Events that are kept of a log: of a short one all, of a long one what its watchers have yet to see.
const KEPT: usize = 32;

type Key = (TenantId, WorkflowId);

/// A log that somebody listens to.
#[derive(Default)]
struct Tail {
    last: watch::Sender<u64>,
    /// Stored, without a gap between them.
    newest: VecDeque<Arc<Event>>,
}

impl Tail {
    fn keep(&mut self, appended: &[Arc<Event>]) {
        let Some(first) = appended.first() else { return };
        match self.newest.back() {
            // Of another epoch the same number is another event: the store has lost the one that is kept.
            Some(last) if last.sequence >= first.sequence && last.epoch >= first.epoch => return,
            Some(last) if last.sequence + 1 == first.sequence => {}
            _ => self.newest.clear(),
        }
        self.newest.extend(appended.iter().cloned());
        self.newest.drain(..self.newest.len().saturating_sub(KEPT));
    }
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

/// Events on their way to the store, to be kept for those who listen once they are there.
pub(super) struct Appending {
    tails: Arc<Tails>,
    key: Key,
    last: u64,
    kept: Events,
    /// Of a log that begins: who works on it and who asked for it will listen soon.
    listener: Option<watch::Receiver<u64>>,
}

impl Appending {
    /// They are stored.
    pub(super) fn stored(self) {
        self.tails.advance_with(&self.key, self.last, &self.kept);
        drop(self.listener);
    }
}

impl Tails {
    /// Listens to a log; what nobody here knows of it, `look_up` tells. Its value is 0 while there is no such log.
    pub(super) async fn follow(
        &self,
        tenant: &TenantId,
        workflow: WorkflowId,
        look_up: impl Future<Output = Result<Option<u64>, Error>>,
    ) -> Result<watch::Receiver<u64>, Error> {
        // Listening comes first: an append between the two is then heard, not missed.
        let receiver = self.listen(tenant, workflow);
        let known = *receiver.borrow() > 0;
        if !known && let Some(last) = look_up.await? {
            self.advance(tenant, workflow, last);
        }
        Ok(receiver)
    }

    /// Events that are about to be appended; what is not listened to is not kept.
    pub(super) fn appending(self: &Arc<Self>, tenant: &TenantId, workflow: WorkflowId, events: &[Event]) -> Appending {
        let begins = matches!(events, [Event { kind: EventKind::WorkflowStarted(_), .. }, ..]);
        let listener = begins.then(|| self.listen(tenant, workflow));
        let key = (tenant.clone(), workflow);
        let listened_to = self.lock().tails.contains_key(&key);
        let kept = if listened_to { events.iter().cloned().map(Arc::new).collect() } else { Events::default() };
        let last = events.last().map_or(0, |event| event.sequence);
        Appending { tails: Arc::clone(self), key, last, kept, listener }
    }

    /// Tells the listeners that the log now ends at `last`. Never goes back: a slow reader of the store may come late.
    pub(super) fn advance(&self, tenant: &TenantId, workflow: WorkflowId, last: u64) {
        self.advance_with(&(tenant.clone(), workflow), last, &[]);
    }

    /// The events that follow `after`, if this process has just appended them.
    pub(super) fn newest(&self, tenant: &TenantId, workflow: WorkflowId, after: u64) -> Option<Events> {
        let state = self.lock();
        let newest = &state.tails.get(&(tenant.clone(), workflow))?.newest;
        let seen = usize::try_from((after + 1).checked_sub(newest.front()?.sequence)?).ok()?;
        (seen < newest.len()).then(|| newest.range(seen..).cloned().collect())
    }

    fn listen(&self, tenant: &TenantId, workflow: WorkflowId) -> watch::Receiver<u64> {
        let mut state = self.lock();
        if state.tails.len() >= state.sweep_at {
            state.tails.retain(|_, tail| tail.last.receiver_count() > 0);
            state.sweep_at = (state.tails.len() * 2).max(64);
        }
        state.tails.entry((tenant.clone(), workflow)).or_default().last.subscribe()
    }

    fn advance_with(&self, key: &Key, last: u64, appended: &[Arc<Event>]) {
        let mut state = self.lock();
        let Some(tail) = state.tails.get_mut(key) else { return };
        if tail.last.receiver_count() == 0 {
            state.tails.remove(key);
            return;
        }
        tail.keep(appended);
        tail.last.send_if_modified(|stored| {
            let grows = last > *stored;
            *stored = last.max(*stored);
            grows
        });
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
    use std::ops::Range;

    use super::*;
    use crate::store::contract::events::log;

    #[test]
    fn what_was_just_appended_is_known_where_it_comes_next() {
        let (tails, tenant, workflow) = (Arc::new(Tails::default()), TenantId::local(), WorkflowId::generate());
        let log = log(7);
        let append = |range: Range<usize>| tails.appending(&tenant, workflow, &log[range]).stored();
        let known = |after| tails.newest(&tenant, workflow, after).map(|events| events.len());
        append(1..2);
        assert_eq!(known(1), None, "nobody listens");
        let listener = tails.listen(&tenant, workflow);
        append(2..4);
        assert_eq!([known(1), known(2), known(3), known(4)], [None, Some(2), Some(1), None]);
        // Heard late: what is known stays.
        append(1..3);
        assert_eq!([known(1), known(2)], [None, Some(2)]);
        append(4..5);
        assert_eq!([known(2), known(4)], [Some(3), Some(1)]);
        // Another process appended in between.
        append(6..7);
        assert_eq!([known(4), known(5), known(6)], [None, None, Some(1)]);
        // The store lost it, and another event has its number.
        let again = Event { epoch: log[6].epoch + 1, ..log[6].clone() };
        tails.appending(&tenant, workflow, std::slice::from_ref(&again)).stored();
        assert_eq!(tails.newest(&tenant, workflow, 6).map(|events| events[0].epoch), Some(again.epoch));
        tails.end_all();
        assert_eq!((known(6), *listener.borrow()), (None, 7));
    }

    #[tokio::test]
    async fn a_log_that_begins_here_need_not_be_looked_up() {
        let (tails, tenant, workflow) = (Arc::new(Tails::default()), TenantId::local(), WorkflowId::generate());
        tails.appending(&tenant, workflow, &log(2)).stored();
        let look_up = async { panic!("nobody need ask the store") };
        let listener = tails.follow(&tenant, workflow, look_up).await.unwrap();
        assert_eq!(*listener.borrow(), 2);
        assert_eq!(tails.newest(&tenant, workflow, 0).map(|events| events.len()), Some(2));
    }

    #[test]
    fn tails_without_listeners_are_dropped() {
        let tails = Tails::default();
        let tenant = TenantId::local();
        let workflow = WorkflowId::generate();
        drop(tails.listen(&tenant, workflow));
        tails.advance(&tenant, workflow, 1);
        assert!(tails.lock().tails.is_empty());
        for _ in 0..1000 {
            drop(tails.listen(&tenant, WorkflowId::generate()));
        }
        assert!(tails.lock().tails.len() <= 64);
    }
}
