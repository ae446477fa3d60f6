//! Events on their way to the store and back. What is appended is durable before anybody sees it.

use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::domain::{Clock, Event, EventKind, Failure, Reason, StepStatus, TenantId, Workflow, WorkflowId};
use crate::store::{Error, Lease, Store};

/// Events read from the store at once.
pub(super) const PAGE: usize = 256;

/// The log of one workflow and the fold over it, as one writer sees them. The fold runs ahead of the store by what
/// is written now and what waits to be written.
pub(super) struct Journal {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    tenant: TenantId,
    lease: Lease,
    workflow: Arc<Workflow>,
    unsent: Vec<Event>,
}

impl Journal {
    /// Takes up a log where `workflow` stands. Once the lease is lost, every write fails.
    pub(super) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, workflow: Workflow, lease: Lease) -> Self {
        let tenant = workflow.started.principal.tenant.clone();
        Self { store, clock, tenant, lease, workflow: Arc::new(workflow), unsent: Vec::new() }
    }

    /// The workflow as its events tell it.
    pub(super) fn workflow(&self) -> &Arc<Workflow> {
        &self.workflow
    }

    /// Notes what happened and what `next` makes of it; returns the steps that begin with that. Nothing follows a
    /// terminal event.
    pub(super) fn record(
        &mut self,
        happened: Vec<EventKind>,
        next: impl Fn(&Workflow) -> Vec<EventKind>,
    ) -> Vec<Start> {
        if self.workflow.status.is_terminal() {
            return Vec::new();
        }
        let from = self.unsent.len();
        self.apply(happened);
        let decided = next(&self.workflow);
        self.apply(decided);
        starts(&self.unsent[from..])
    }

    /// What waits to be written, as one write. The caller makes one write at a time.
    pub(super) fn write(&mut self) -> Option<Write> {
        let events = std::mem::take(&mut self.unsent);
        let (store, tenant, lease) = (self.store.clone(), self.tenant.clone(), self.lease);
        (!events.is_empty()).then_some(Write { store, tenant, lease, events })
    }

    /// After a write that somebody else's came before: reads theirs, notes once more what was written and what waited,
    /// and lets `next` see it all. Returns the steps that begin with what it adds.
    pub(super) async fn rebase(
        &mut self,
        overtaken: Vec<Event>,
        next: impl Fn(&Workflow) -> Vec<EventKind>,
    ) -> Result<Vec<Start>, Error> {
        let waited = std::mem::take(&mut self.unsent);
        let mut backoff = Backoff::default();
        loop {
            match load(&*self.store, &self.tenant, self.workflow.id).await {
                Ok(Some(log)) => {
                    self.workflow = Arc::new(log.workflow);
                    break;
                }
                Ok(None) => return Err(Error::Corrupt("the log of a running workflow is gone".to_owned())),
                Err(error) => backoff.after(error).await?,
            }
        }
        if !self.workflow.status.is_terminal() {
            self.apply(overtaken.into_iter().chain(waited).map(|event| event.kind).collect());
        }
        Ok(self.record(Vec::new(), next))
    }

    /// Ends a workflow that cannot run.
    pub(super) async fn end(&mut self, terminal: EventKind) -> Result<(), Error> {
        self.record(vec![terminal], |_| Vec::new());
        while let Some(write) = self.write() {
            if let Written::Overtaken(events) = write.run().await? {
                self.rebase(events, |_| Vec::new()).await?;
            }
        }
        Ok(())
    }

    /// Follows the log anew, after its tail has closed.
    pub(super) async fn follow(&self) -> Result<watch::Receiver<u64>, Error> {
        let mut backoff = Backoff::default();
        loop {
            match self.store.tail(&self.tenant, self.workflow.id).await {
                Ok(tail) => return Ok(tail),
                Err(error) => backoff.after(error).await?,
            }
        }
    }

    /// Reads on when nothing waits and the log is longer than the fold.
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

    fn apply(&mut self, kinds: Vec<EventKind>) {
        let now = self.clock.now();
        self.unsent.extend(apply(Arc::make_mut(&mut self.workflow), kinds, now, self.store.epoch()));
    }
}

/// An attempt of a step that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) step: String,
    pub(super) attempt: u32,
    /// Which of several candidates; 0 when there is one only.
    pub(super) candidate: u32,
}

/// The steps that begin with these events.
pub(super) fn starts(events: &[Event]) -> Vec<Start> {
    let start = |event: &Event| match &event.kind {
        EventKind::StepStarted { step, attempt, candidate } => {
            Some(Start { step: step.clone(), attempt: *attempt, candidate: *candidate })
        }
        _ => None,
    };
    events.iter().filter_map(start).collect()
}

/// Events on their way to the store.
pub(super) struct Write {
    store: Arc<dyn Store>,
    tenant: TenantId,
    lease: Lease,
    events: Vec<Event>,
}

/// How a write went.
pub(super) enum Written {
    /// These events are durable.
    Stored(Vec<Event>),
    /// Somebody else wrote first; these are not stored.
    Overtaken(Vec<Event>),
}

impl Write {
    /// A store that fails in passing is tried again until it answers: an answer that was paid for is not lost.
    pub(super) async fn run(self) -> Result<Written, Error> {
        let Self { store, tenant, lease, events } = self;
        let id = lease.workflow;
        let last = events.first().map_or(0, |event| event.sequence - 1);
        let (mut backoff, mut tried) = (Backoff::default(), false);
        loop {
            match store.append_on(&tenant, id, last, &events, Some(lease)).await {
                Ok(()) => return Ok(Written::Stored(events)),
                Err(Error::OutOfSequence { .. }) => break,
                // The last event of a worker ends the lease: an earlier try may have been it.
                Err(Error::LeaseLost) if tried && ends(&events) => break,
                Err(error) => backoff.after(error).await?,
            }
            tried = true;
        }
        // An earlier try may have been stored although its answer was lost.
        loop {
            match store.read(&tenant, id, last, events.len()).await {
                Ok(stored) if stored.len() == events.len() && stored.iter().zip(&events).all(same) => {
                    return Ok(Written::Stored(events));
                }
                Ok(_) => return Ok(Written::Overtaken(events)),
                Err(error) => backoff.after(error).await?,
            }
        }
    }
}

/// Whether a worker has nothing more to do after these.
fn ends(events: &[Event]) -> bool {
    events.last().is_some_and(|event| event.kind.is_terminal() || matches!(event.kind, EventKind::Awaiting { .. }))
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
    let starts = running.map(|step| EventKind::StepStarted {
        step: step.name.clone(),
        attempt: step.attempt,
        candidate: step.candidate,
    });
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
        Error::NameTaken | Error::EtagMismatch | Error::OutOfSequence { .. } | Error::LeaseLost => {
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
        // The store tells of its troubles itself.
        tracing::debug!(error = &error as &dyn std::error::Error, "the store does not answer; trying again");
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Self::LONGEST);
        Ok(())
    }
}
