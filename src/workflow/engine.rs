//! The engine: runs what the handle starts, and whatever else waits in the store, each on a lease.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::crew::{Crews, Teams};
use super::databases::Databases;
use super::dispatcher::{Dispatcher, Limits, MAX_DELIVERIES, Origin, worker_lost};
use super::handle::{Handle, cancelled};
use super::journal::{self, Backoff, Journal};
use super::live::Live;
use super::plan;
use super::running::Running;
use super::steps::{MAX_KEPT_BYTES, MAX_KEPT_ROWS};
use super::watch::Pages;
use crate::agents::ModelBudget;
use crate::connections::Directory;
use crate::domain::workflow::Awaiting;
use crate::domain::{Clock, EventKind, Failure, Need, Reason, RunLimits, TenantId, Workflow};
use crate::knowledge::Library;
use crate::queries;
use crate::store::{Error, Lease, Store, Work};

/// How old a count of the workflows that wait may be.
const COUNT_AGE: Duration = Duration::from_millis(100);

/// Limits of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Workflows that run at the same time.
    pub max_running: usize,
    /// Workflows that may wait for their turn; more are refused with `OVERLOADED`.
    pub max_waiting: usize,
    /// Longest one attempt of one step may take.
    pub step_timeout: Duration,
    /// Longest run of the SQL when the question names no time; connection and server may lower it.
    pub statement_timeout: Duration,
    /// Longest `workflow_timeout` that a question may ask for.
    pub max_workflow_timeout: Duration,
    /// How long a person's answer is waited for.
    pub input_timeout: Duration,
    /// Most `max_retries` that a question may ask for.
    pub max_retries: u32,
    /// What one workflow may spend on a language model.
    pub model_budget: ModelBudget,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_running: 64,
            max_waiting: 1_024,
            step_timeout: Duration::from_mins(1),
            statement_timeout: Duration::from_secs(30),
            max_workflow_timeout: Duration::from_hours(1),
            input_timeout: Duration::from_hours(24),
            max_retries: 10,
            model_budget: ModelBudget { calls: 5, tokens: u64::MAX, time: Duration::from_mins(3) },
        }
    }
}

impl Options {
    /// The bounds that a question's run gets: what it asks for, but never more than there is, defaults filled in.
    pub(super) fn lowered(&self, asked: RunLimits) -> RunLimits {
        let least = |asked: Option<u32>, most: u32| Some(asked.map_or(most, |asked| asked.min(most)));
        RunLimits {
            step_timeout: Some(asked.step_timeout.map_or(self.step_timeout, |asked| asked.min(self.step_timeout))),
            statement_timeout: asked.statement_timeout.or(Some(self.statement_timeout)),
            max_rows: least(asked.max_rows, MAX_KEPT_ROWS),
            max_bytes: least(asked.max_bytes, MAX_KEPT_BYTES),
            input_timeout: Some(self.input_timeout),
            model_calls: Some(self.model_budget.calls),
        }
    }
}

/// What an engine is made of.
pub struct Parts {
    /// Where the logs live.
    pub store: Arc<dyn Store>,
    /// What is known of databases.
    pub library: Library,
    /// Saved connections.
    pub directory: Directory,
    /// The one door to SQL.
    pub queries: queries::Service,
    /// Who plays the agents.
    pub teams: Teams,
    /// Tells the time of events.
    pub clock: Arc<dyn Clock>,
}

/// Runs workflows. There is one per process; [`Handle`] is what everybody else uses.
pub struct Engine {
    shared: Arc<Shared>,
    begun: mpsc::Receiver<Job>,
}

impl Engine {
    /// An engine and its handle. Fails when a team's agents do not make a plan.
    pub fn new(parts: Parts, options: Options) -> Result<(Self, Handle), plan::Error> {
        let Parts { store, library, directory, queries, teams, clock } = parts;
        Self::over(store, Arc::new(Live { directory, library, queries }), teams, clock, options)
    }

    /// The same over any databases.
    pub fn over(
        store: Arc<dyn Store>,
        databases: Arc<dyn Databases>,
        teams: Teams,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<(Self, Handle), plan::Error> {
        let crews = Crews::new(teams, &databases)?;
        let (hand_over, begun) = mpsc::channel(options.max_running);
        let slots = Arc::new(Semaphore::new(options.max_running));
        let running = Running::default();
        let (waiting, pages) = (Mutex::default(), Pages::new(store.clone()));
        let shared =
            Arc::new(Shared { store, pages, databases, clock, options, running, slots, hand_over, crews, waiting });
        Ok((Self { shared: shared.clone(), begun }, Handle::new(shared)))
    }

    /// Runs workflows until the shutdown. Running steps are dropped then, nothing terminal is written and every lease is
    /// given back, so that the next process goes on at once; returns when every task has ended.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        let serve = async {
            let begun = begun(&mut self.begun, &self.shared, &tasks, &shutdown);
            tokio::join!(begun, waiting(&self.shared, &tasks, &shutdown), renew(&self.shared));
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = serve => {}
        }
        self.begun.close();
        // What is handed over in the last moment is given back like the rest.
        while let Some(job) = self.begun.recv().await {
            run(&self.shared, job, &tasks, &shutdown);
        }
        tasks.close();
        tasks.wait().await;
    }
}

/// Runs what the handle has begun; each comes with its slot.
async fn begun(
    begun: &mut mpsc::Receiver<Job>,
    shared: &Arc<Shared>,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) {
    while let Some(job) = begun.recv().await {
        run(shared, job, tasks, shutdown);
    }
}

/// Takes what waits in the store, as long as there is room for it.
async fn waiting(shared: &Arc<Shared>, tasks: &TaskTracker, shutdown: &CancellationToken) {
    let mut backoff = Backoff::default();
    loop {
        shared.store.more_work().await;
        let Ok(slot) = shared.slots.clone().acquire_owned().await else { return };
        match shared.store.take().await {
            Ok(None) => {}
            Ok(Some(Work { tenant, lease, lost })) => {
                backoff = Backoff::default();
                let job = Job { tenant, lease, lost, workflow: None, slot };
                run(shared, job, tasks, shutdown);
            }
            Err(error) => {
                if let Err(error) = backoff.after(error).await {
                    tracing::error!(error = &error as &dyn std::error::Error, "a workflow that waits cannot be taken");
                }
            }
        }
    }
}

/// Prolongs the leases while their work is done.
async fn renew(shared: &Shared) {
    let interval = shared.store.lease_time() / 3;
    loop {
        tokio::time::sleep(interval).await;
        match shared.store.renew(&shared.running.leases()).await {
            Ok(lost) => shared.running.renewed(&lost),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "leases cannot be prolonged");
            }
        }
    }
}

fn run(shared: &Arc<Shared>, job: Job, tasks: &TaskTracker, shutdown: &CancellationToken) {
    let (shared, shutdown) = (shared.clone(), shutdown.clone());
    tasks.spawn(async move {
        let (tenant, lease) = (job.tenant.clone(), job.lease);
        let stop = shutdown.child_token();
        let in_hand = shared.running.take(tenant.clone(), lease, stop.clone());
        let id = lease.workflow;
        match work(&shared, job, &stop).await {
            Ok(()) => {}
            Err(Error::LeaseLost) => tracing::info!(workflow = %id, "another worker has taken the workflow over"),
            Err(error) => {
                tracing::error!(workflow = %id, error = &error as &dyn std::error::Error, "a workflow was left");
            }
        }
        drop(in_hand);
        if shutdown.is_cancelled() {
            // Best effort: a lease that is not given back runs out.
            let _ = shared.store.release(&tenant, lease).await;
        }
    });
}

/// Runs one workflow to its end, or until it is stopped. Nothing is done for one that has ended or does not exist.
async fn work(shared: &Shared, job: Job, stop: &CancellationToken) -> Result<(), Error> {
    let Job { tenant, lease, lost, workflow, slot: _slot } = job;
    let (tail, opened) = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        opened = open(shared, &tenant, lease, workflow) => opened?,
    };
    let Some((workflow, origin)) = opened else { return Ok(()) };
    if workflow.status.is_terminal() {
        return Ok(());
    }
    let id = workflow.id;
    let age = shared.clock.now().duration_since(workflow.create_time);
    let worked = Duration::try_from(age).unwrap_or_default().saturating_sub(workflow.waited);
    let left = workflow.started.question.options.workflow_timeout.saturating_sub(worked);
    let crew = shared.crews.of(workflow.started.engine);
    let plan = crew.map(|crew| (crew.plan(&workflow.started.question), crew.pace()));
    let wait = workflow.awaiting.as_ref().map(|awaiting| unanswered(&workflow, awaiting));
    let mut journal = Journal::new(shared.store.clone(), shared.clock.clone(), workflow, lease);
    if let Some(end) = wait {
        return journal.end(end).await;
    }
    if lost as usize >= MAX_DELIVERIES {
        return journal.end(EventKind::Failed(worker_lost())).await;
    }
    let (plan, pace) = match plan {
        Ok(plan) => plan,
        Err(failure) => return journal.end(EventKind::Failed(failure)).await,
    };
    let Options { step_timeout, model_budget, .. } = shared.options;
    let limits = Limits { step_timeout, model_budget, pace };
    let (running, longest) = (shared.running.clone(), shared.store.lease_time() / 3 * 2);
    let holds = move || running.last_renewal().elapsed() < longest;
    let dispatcher = Dispatcher::new(plan, limits, journal, shared.databases.clone(), holds);
    if let Some(ended) = dispatcher.run(origin, tail, left, stop).await? {
        let (status, reason) = (ended.status, ended.failure.as_ref().map(|failure| failure.reason));
        let what = if status.is_terminal() { "workflow ended" } else { "workflow waits for a person" };
        tracing::info!(workflow = %id, ?status, ?reason, "{what}");
    }
    Ok(())
}

/// How a workflow ends that a store hands out while it waits for a person: nobody answered in time. An answer that comes
/// first ends the lease, so that this end is not written.
fn unanswered(workflow: &Workflow, awaiting: &Awaiting) -> EventKind {
    if let Some(reason) = &workflow.cancel_requested {
        return EventKind::Cancelled(cancelled(reason));
    }
    let hours = awaiting.expire_time.duration_since(awaiting.since).as_secs_f64() / 3_600.0;
    let (what, remedy) = match awaiting.need {
        Need::Clarification(_) => ("answered the question back", "ask again, in words that leave less open"),
        Need::Approval(_) => ("approved the statement", "ask again when somebody is there"),
    };
    let message = format!("nobody {what} within {hours} h; {remedy}");
    EventKind::Failed(Failure::new(Reason::InputExpired, message).with("hours", hours))
}

/// Follows and then reads the log, so that nothing falls between.
async fn open(
    shared: &Shared,
    tenant: &TenantId,
    lease: Lease,
    mut workflow: Option<Workflow>,
) -> Result<(watch::Receiver<u64>, Option<(Workflow, Origin)>), Error> {
    let mut backoff = Backoff::default();
    loop {
        let opened = async {
            let tail = shared.store.tail(tenant, lease.workflow).await?;
            if let Some(workflow) = workflow.take() {
                return Ok((tail, Some((workflow, Origin::Fresh))));
            }
            let log = journal::load(&*shared.store, tenant, lease.workflow).await?;
            Ok((tail, log.map(|log| (log.workflow, Origin::Log(log.interrupted)))))
        };
        match opened.await {
            Ok(opened) => return Ok(opened),
            Err(error) => backoff.after(error).await?,
        }
    }
}

/// What engine and handle have in common.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) pages: Pages,
    pub(super) databases: Arc<dyn Databases>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) options: Options,
    pub(super) running: Running,
    /// A place for each workflow that may run at the same time.
    pub(super) slots: Arc<Semaphore>,
    /// Workflows that the handle has begun.
    pub(super) hand_over: mpsc::Sender<Job>,
    pub(super) crews: Crews,
    /// How many wait in the store, and when that was counted.
    waiting: Mutex<Option<(Instant, usize)>>,
}

impl Shared {
    /// Whether one more workflow may wait for a worker, by a count of a moment ago and what this process added since.
    pub(super) async fn may_wait(&self) -> Result<bool, Error> {
        let waiting = self.waiting().await?;
        let free = waiting < self.options.max_waiting;
        if free && let Some((_, count)) = &mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) {
            *count += 1;
        }
        Ok(free)
    }

    async fn waiting(&self) -> Result<usize, Error> {
        let counted = *self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, count)) = counted
            && when.elapsed() < COUNT_AGE
        {
            return Ok(count);
        }
        let count = self.store.waiting().await?;
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), count));
        Ok(count)
    }
}

/// A workflow to run.
pub(super) struct Job {
    pub(super) tenant: TenantId,
    pub(super) lease: Lease,
    /// Workers that were lost over it since it last got somewhere.
    pub(super) lost: u32,
    /// Where its log stands; `None` reads it from the store.
    pub(super) workflow: Option<Workflow>,
    /// Its place among those that run.
    pub(super) slot: OwnedSemaphorePermit,
}
