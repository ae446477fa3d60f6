//! The engine: takes up what an earlier process left, then runs what the handle starts.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::databases::Databases;
use super::dispatcher::{Dispatcher, Limits, Origin};
use super::handle::Handle;
use super::journal::{self, Backoff, Journal};
use super::plan::{self, Plan};
use super::steps::{Execution, LoadSchema, Validator};
use crate::agents::{Agent, Team};
use crate::domain::{
    Clock, EngineChoice, EngineName, EventKind, Failure, Question, Reason, Source, TenantId, Workflow, WorkflowId,
};
use crate::store::{Error, Store};

/// Limits of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Workflows that run at the same time.
    pub max_running: usize,
    /// Workflows that may wait for their turn; more are refused with `OVERLOADED`.
    pub max_waiting: usize,
    /// Longest one attempt of one step may take.
    pub step_timeout: Duration,
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
            max_workflow_timeout: Duration::from_hours(1),
            max_retries: 10,
            max_model_calls: 5,
        }
    }
}

/// Who can play the agents.
pub struct Teams {
    /// Always there.
    pub builtin: Team,
    /// There when a model is configured.
    pub openai: Option<Team>,
}

/// Runs workflows. There is one per process; [`Handle`] is what everybody else uses.
pub struct Engine {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Job>,
}

impl Engine {
    /// An engine over any databases, and its handle. Fails when a team's agents do not make a plan.
    pub fn over(
        store: Arc<dyn Store>,
        databases: Arc<dyn Databases>,
        teams: Teams,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<(Self, Handle), plan::Error> {
        let builtin = Crew::new(teams.builtin, &databases)?;
        let openai = teams.openai.map(|team| Crew::new(team, &databases)).transpose()?;
        let (sender, queue) = mpsc::channel(options.max_waiting);
        let running = Running::default();
        let shared = Arc::new(Shared { store, databases, clock, options, builtin, openai, running, queue: sender });
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
                    let jobs = stored.into_iter();
                    return jobs.map(|one| Job { tenant: one.tenant, id: one.id, workflow: None }).collect();
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
async fn work(shared: &Shared, job: Job, shutdown: &CancellationToken) -> Result<(), Error> {
    let Some(_running) = shared.running.enter(job.id) else { return Ok(()) };
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
    let plan = shared.crew(workflow.started.engine).map(|crew| crew.plan(&workflow.started.question));
    let mut journal = Journal::new(shared.store.clone(), shared.clock.clone(), workflow);
    let plan = match plan {
        Ok(plan) => plan,
        Err(failure) => {
            journal.append(vec![EventKind::Failed(failure)], |_| Vec::new()).await?;
            return Ok(());
        }
    };
    let limits = Limits { step_timeout: shared.options.step_timeout, max_model_calls: shared.options.max_model_calls };
    let dispatcher = Dispatcher::new(plan, limits, journal, shared.databases.clone());
    if let Some(ended) = dispatcher.run(origin, tail, left, shutdown).await? {
        let (status, reason) = (ended.status, ended.failure.as_ref().map(|failure| failure.reason));
        tracing::info!(workflow = %id, ?status, ?reason, "workflow ended");
    }
    Ok(())
}

/// Follows and then reads the log, so that nothing falls between.
async fn open(shared: &Shared, job: Job) -> Result<(watch::Receiver<u64>, Option<(Workflow, Origin)>), Error> {
    let Job { tenant, id, mut workflow } = job;
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
    builtin: Crew,
    openai: Option<Crew>,
}

impl Shared {
    /// AUTO is the model when one is configured, otherwise builtin.
    pub(super) fn resolve(&self, choice: EngineChoice) -> Result<&Crew, Failure> {
        match choice {
            EngineChoice::Auto => Ok(self.openai.as_ref().unwrap_or(&self.builtin)),
            EngineChoice::Builtin => self.crew(EngineName::Builtin),
            EngineChoice::Openai => self.crew(EngineName::Openai),
        }
    }

    /// Whether a workflow that is started now runs at once.
    pub(super) fn is_free(&self) -> bool {
        self.queue.capacity() == self.queue.max_capacity() && self.running.count() < self.options.max_running
    }

    fn crew(&self, engine: EngineName) -> Result<&Crew, Failure> {
        let crew = match engine {
            EngineName::Builtin => Some(&self.builtin),
            EngineName::Openai => self.openai.as_ref(),
        };
        crew.ok_or_else(|| {
            let message = "engine OPENAI needs a model: set OPENAI_API_KEY, or ask with engine AUTO or BUILTIN";
            Failure::new(Reason::ModelNotConfigured, message)
        })
    }
}

/// A team with the workflow's own steps, planned.
pub(super) struct Crew {
    pub(super) engine: EngineName,
    pub(super) model: String,
    pub(super) prompt_version: String,
    with_execution: Arc<Plan>,
    without_execution: Arc<Plan>,
}

impl Crew {
    fn new(team: Team, databases: &Arc<dyn Databases>) -> Result<Self, plan::Error> {
        let Team { engine, model, prompt_version, mut agents } = team;
        agents.insert(0, Arc::new(LoadSchema) as Arc<dyn Agent>);
        agents.push(Arc::new(Validator { databases: databases.clone() }));
        let without_execution = Arc::new(Plan::new(agents.clone())?);
        agents.push(Arc::new(Execution { databases: databases.clone() }));
        let with_execution = Arc::new(Plan::new(agents)?);
        Ok(Self { engine, model, prompt_version, with_execution, without_execution })
    }

    /// A schema that came with the call has no database to run anything on.
    pub(super) fn plan(&self, question: &Question) -> Arc<Plan> {
        let executes = question.options.execute && matches!(question.source, Source::Connection(_));
        if executes { self.with_execution.clone() } else { self.without_execution.clone() }
    }
}

/// A workflow that waits for its turn.
pub(super) struct Job {
    pub(super) tenant: TenantId,
    pub(super) id: WorkflowId,
    /// Where its log stands; `None` reads it from the store.
    pub(super) workflow: Option<Workflow>,
}

/// The workflows that this process runs now.
#[derive(Default)]
pub(super) struct Running(Arc<Mutex<HashSet<WorkflowId>>>);

impl Running {
    pub(super) fn contains(&self, id: WorkflowId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// `None` when it runs already.
    fn enter(&self, id: WorkflowId) -> Option<Entered> {
        let fresh = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        fresh.then(|| Entered { set: self.0.clone(), id })
    }
}

/// Leaves the set when dropped.
struct Entered {
    set: Arc<Mutex<HashSet<WorkflowId>>>,
    id: WorkflowId,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
