//! The engine: takes up what an earlier process left, then runs what the handle starts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::crew::{Crews, Teams};
use super::databases::Databases;
use super::dispatcher::{Dispatcher, Limits, Origin};
use super::handle::Handle;
use super::journal::{self, Backoff, Journal};
use super::live::Live;
use super::plan;
use super::running::{Running, Taken};
use super::steps::{MAX_KEPT_BYTES, MAX_KEPT_ROWS};
use crate::connections::Directory;
use crate::domain::{Clock, EventKind, RunLimits, TenantId, Workflow, WorkflowId};
use crate::knowledge::Library;
use crate::queries;
use crate::store::{Error, Store, StoredWorkflow};

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
    /// Most `max_retries` that a question may ask for.
    pub max_retries: u32,
    /// Answered model calls per workflow.
    pub max_model_calls: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_running: 64,
            max_waiting: 1_024,
            step_timeout: Duration::from_mins(1),
            statement_timeout: Duration::from_secs(30),
            max_workflow_timeout: Duration::from_hours(1),
            max_retries: 10,
            max_model_calls: 5,
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
    queue: mpsc::Receiver<Job>,
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
        let (sender, queue) = mpsc::channel(options.max_waiting);
        let running = Running::default();
        let shared = Arc::new(Shared { store, databases, clock, options, crews, running, queue: sender });
        Ok((Self { shared: shared.clone(), queue }, Handle::new(shared)))
    }

    /// Takes up unfinished workflows, then runs new ones, until the shutdown. Running steps are dropped then and
    /// nothing terminal is written, so that the next process goes on; returns when every task has ended.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = self.serve(&tasks, &shutdown) => {}
        }
        self.queue.close();
        tasks.close();
        tasks.wait().await;
    }

    async fn serve(&mut self, tasks: &TaskTracker, shutdown: &CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.shared.options.max_running));
        let mut backlog = self.unfinished().await;
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let next = match backlog.pop_front() {
                Some(job) => Some(job),
                None => self.queue.recv().await,
            };
            let Some(job) = next else { return };
            let (shared, shutdown) = (self.shared.clone(), shutdown.clone());
            tasks.spawn(async move {
                let id = job.id;
                if let Err(error) = work(&shared, job, &shutdown).await {
                    tracing::error!(workflow = %id, error = &error as &dyn std::error::Error, "a workflow was left");
                }
                drop(slot);
            });
        }
    }

    async fn unfinished(&self) -> VecDeque<Job> {
        let mut backoff = Backoff::default();
        loop {
            match self.shared.store.unfinished().await {
                Ok(stored) => {
                    // What this process has started meanwhile comes through the queue.
                    let job = |one: StoredWorkflow| {
                        let taken = Some(self.shared.running.take(one.id)?);
                        Some(Job { tenant: one.tenant, id: one.id, workflow: None, taken })
                    };
                    return stored.into_iter().filter_map(job).collect();
                }
                Err(error) => {
                    if let Err(error) = backoff.after(error).await {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(error, "unfinished workflows cannot be read; they are left as they are");
                        return VecDeque::new();
                    }
                }
            }
        }
    }
}

/// Runs one workflow to its end. Nothing is done for one that runs already, has ended or does not exist.
async fn work(shared: &Shared, mut job: Job, shutdown: &CancellationToken) -> Result<(), Error> {
    let Some(taken) = job.taken.take().or_else(|| shared.running.take(job.id)) else { return Ok(()) };
    taken.runs();
    let (tail, opened) = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        opened = open(shared, job) => opened?,
    };
    let Some((workflow, origin)) = opened else { return Ok(()) };
    if workflow.status.is_terminal() {
        return Ok(());
    }
    let id = workflow.id;
    let age = shared.clock.now().duration_since(workflow.create_time);
    let age = Duration::try_from(age).unwrap_or_default();
    let left = workflow.started.question.options.workflow_timeout.saturating_sub(age);
    let crew = shared.crews.of(workflow.started.engine);
    let plan = crew.map(|crew| (crew.plan(&workflow.started.question), crew.pace()));
    let mut journal = Journal::new(shared.store.clone(), shared.clock.clone(), workflow);
    let (plan, pace) = match plan {
        Ok(plan) => plan,
        Err(failure) => return journal.end(EventKind::Failed(failure)).await,
    };
    let Options { step_timeout, max_model_calls, .. } = shared.options;
    let limits = Limits { step_timeout, max_model_calls, pace };
    let dispatcher = Dispatcher::new(plan, limits, journal, shared.databases.clone());
    if let Some(ended) = dispatcher.run(origin, tail, left, shutdown).await? {
        let (status, reason) = (ended.status, ended.failure.as_ref().map(|failure| failure.reason));
        tracing::info!(workflow = %id, ?status, ?reason, "workflow ended");
    }
    Ok(())
}

/// Follows and then reads the log, so that nothing falls between.
async fn open(shared: &Shared, job: Job) -> Result<(watch::Receiver<u64>, Option<(Workflow, Origin)>), Error> {
    let Job { tenant, id, mut workflow, .. } = job;
    let mut backoff = Backoff::default();
    loop {
        let opened = async {
            let tail = shared.store.tail(&tenant, id).await?;
            if let Some(workflow) = workflow.take() {
                return Ok((tail, Some((workflow, Origin::Fresh))));
            }
            let log = journal::load(&*shared.store, &tenant, id).await?;
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
    pub(super) databases: Arc<dyn Databases>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) options: Options,
    pub(super) running: Running,
    pub(super) queue: mpsc::Sender<Job>,
    pub(super) crews: Crews,
}

impl Shared {
    /// Whether a workflow that is started now runs at once.
    pub(super) fn is_free(&self) -> bool {
        self.queue.capacity() == self.queue.max_capacity() && self.running.count() < self.options.max_running
    }
}

/// A workflow that waits for its turn.
pub(super) struct Job {
    pub(super) tenant: TenantId,
    pub(super) id: WorkflowId,
    /// Where its log stands; `None` reads it from the store.
    pub(super) workflow: Option<Workflow>,
    /// Keeps it in hand while it waits.
    pub(super) taken: Option<Taken>,
}
