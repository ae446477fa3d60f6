//! Events on their way to the store and back. What is appended is durable before anybody sees it.

use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::{Clock, Event, EventKind, Failure, Reason, StepStatus, TenantId, Workflow, WorkflowId};
use crate::store::{Error, Store};

/// Events read from the store at once.
pub(super) const PAGE: usize = 256;

/// The log of one workflow and the fold over it, as one writer sees them.
pub(super) struct Journal {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    tenant: TenantId,
    workflow: Arc<Workflow>,
}

impl Journal {
    /// Takes up a log where `workflow` stands.
    pub(super) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, workflow: Workflow) -> Self {
        let tenant = workflow.started.principal.tenant.clone();
        Self { store, clock, tenant, workflow: Arc::new(workflow) }
    }

    /// The workflow as its events tell it.
    pub(super) fn workflow(&self) -> &Arc<Workflow> {
        &self.workflow
    }

    /// Appends what happened and, in the same write, what `next` makes of it; returns all that was stored. When somebody
    /// else wrote first, their events are read and what follows is decided anew; nothing is stored after a terminal
    /// event. A store that fails in passing is tried again until it answers: an answer that was paid for is not lost.
    pub(super) async fn append(
        &mut self,
        happened: Vec<EventKind>,
        next: impl Fn(&Workflow) -> Vec<EventKind>,
    ) -> Result<Vec<Event>, Error> {
        let given = happened.len();
        let mut happened = happened;
        loop {
            if self.workflow.status.is_terminal() {
                return Ok(Vec::new());
            }
            let last = self.workflow.last_sequence;
            let mut events = Vec::with_capacity(given + 2);
            self.apply(happened, &mut events);
            let decided = next(&self.workflow);
            self.apply(decided, &mut events);
            if events.is_empty() || self.store_all(last, &events).await? {
                return Ok(events);
            }
            self.reload().await?;
            happened = events.into_iter().take(given).map(|event| event.kind).collect();
        }
    }

    /// Reads on when the log is longer than the fold.
    pub(super) async fn catch_up(&mut self) -> Result<(), Error> {
        let mut backoff = Backoff::default();
        loop {
            let after = self.workflow.last_sequence;
            match self.store.read(&self.tenant, self.workflow.id, after, PAGE).await {
                Ok(events) if events.is_empty() => return Ok(()),
                Ok(events) => {
                    let workflow = Arc::make_mut(&mut self.workflow);
                    for event in &events {
                        workflow.apply(event);
                    }
                }
                Err(error) => backoff.after(error).await?,
            }
        }
    }

    fn apply(&mut self, kinds: Vec<EventKind>, events: &mut Vec<Event>) {
        let now = self.clock.now();
        events.extend(apply(Arc::make_mut(&mut self.workflow), kinds, now, self.store.epoch()));
    }

    /// `false` when the log ends elsewhere than at `last`.
    async fn store_all(&self, last: u64, events: &[Event]) -> Result<bool, Error> {
        let mut backoff = Backoff::default();
        loop {
            match self.store.append(&self.tenant, self.workflow.id, last, events).await {
                Ok(()) => return Ok(true),
                Err(Error::OutOfSequence { .. }) => break,
                Err(error) => backoff.after(error).await?,
            }
        }
        // An earlier try may have been stored although its answer was lost.
        loop {
            match self.store.read(&self.tenant, self.workflow.id, last, events.len()).await {
                Ok(stored) => return Ok(stored.len() == events.len() && stored.iter().zip(events).all(same)),
                Err(error) => backoff.after(error).await?,
            }
        }
    }

    async fn reload(&mut self) -> Result<(), Error> {
        let mut backoff = Backoff::default();
        loop {
            match load(&*self.store, &self.tenant, self.workflow.id).await {
                Ok(Some(log)) => {
                    self.workflow = Arc::new(log.workflow);
                    return Ok(());
                }
                Ok(None) => return Err(Error::Corrupt("the log of a running workflow is gone".to_owned())),
                Err(error) => backoff.after(error).await?,
            }
        }
    }
}

/// Numbers what happened from where the workflow stands, and moves it on.
pub(super) fn apply(workflow: &mut Workflow, kinds: Vec<EventKind>, now: Timestamp, epoch: u64) -> Vec<Event> {
    // A clock that was set back must not make steps end before they began.
    let time = now.max(workflow.update_time);
    let stamp = |kind| {
        let event = Event { sequence: workflow.last_sequence + 1, time, epoch, kind };
        workflow.apply(&event);
        event
    };
    kinds.into_iter().map(stamp).collect()
}

/// Whether two events are one, without comparing what they carry.
fn same((left, right): (&Event, &Event)) -> bool {
    left.cursor() == right.cursor() && left.time == right.time && discriminant(&left.kind) == discriminant(&right.kind)
}

/// A log as read from the store.
pub(super) struct Log {
    /// The fold.
    pub(super) workflow: Workflow,
    /// Steps that ran when their process ended, each as its start and how often it was started.
    pub(super) interrupted: Vec<(EventKind, usize)>,
}

/// Reads a whole log; `None` when the tenant has no such workflow.
pub(super) async fn load(store: &dyn Store, tenant: &TenantId, id: WorkflowId) -> Result<Option<Log>, Error> {
    let mut events = store.read(tenant, id, 0, PAGE).await?;
    let mut page = events.len();
    while page == PAGE {
        let after = events.last().map_or(0, |event| event.sequence);
        let more = store.read(tenant, id, after, PAGE).await?;
        page = more.len();
        events.extend(more);
    }
    if events.is_empty() {
        return Ok(None);
    }
    let workflow = Workflow::fold(id, &events);
    let workflow = workflow.ok_or_else(|| Error::Corrupt(format!("the log of workflow {id} does not begin")))?;
    let running = workflow.steps.iter().filter(|step| step.status == StepStatus::Running);
    let starts = running.map(|step| EventKind::StepStarted { step: step.name.clone(), attempt: step.attempt });
    let interrupted = starts
        .map(|start| {
            let times = events.iter().filter(|event| event.kind == start).count();
            (start, times)
        })
        .collect();
    Ok(Some(Log { workflow, interrupted }))
}

/// What a caller is told of a store that does not do what it should.
pub(super) fn failure(error: &Error) -> Failure {
    let wait = Duration::from_secs(1);
    match error {
        Error::Unavailable(_) => {
            Failure::new(Reason::StoreUnavailable, "the store cannot be reached in time").retry_after(wait)
        }
        Error::Full => Failure::new(Reason::StoreFull, "the store has no room").retry_after(wait),
        Error::Corrupt(_) => Failure::new(Reason::StoreDataLost, "a stored record cannot be read"),
        Error::NameTaken | Error::EtagMismatch | Error::OutOfSequence { .. } => {
            Failure::new(Reason::Internal, error.to_string())
        }
    }
}

/// Waits between tries at a store that fails in passing: 50 ms, doubled up to 2 s.
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(Duration::from_millis(50))
    }
}

impl Backoff {
    const LONGEST: Duration = Duration::from_secs(2);

    /// Waits when trying again can help; hands the error back when it cannot.
    pub(super) async fn after(&mut self, error: Error) -> Result<(), Error> {
        if !matches!(error, Error::Unavailable(_) | Error::Full) {
            return Err(error);
        }
        tracing::warn!(error = &error as &dyn std::error::Error, "the store does not answer; trying again");
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Self::LONGEST);
        Ok(())
    }
}
