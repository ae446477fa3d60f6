//! A store in memory, scripted agents and scripted databases: whole workflows without anything outside.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use jiff::civil::Date;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Cursor, Databases, Engine, Handle, Options, Rows, StartOptions, Teams};
use crate::agents::steps::{COMPOSER, EXECUTION, LOAD_SCHEMA, MAPPER, PLANNER, VALIDATOR};
use crate::agents::{Agent, AgentError, Outcome, Task, Team};
use crate::domain::outputs::{ComposerOutput, Feedback, MapperOutput, PlannerOutput, StepOutput, ValidatorOutput};
use crate::domain::{
    AccessMode, Connection, ConnectionId, ConnectionLimits, DatabaseKind, EngineName, Event, EventKind, Facts, Failure,
    Page, PageRequest, Principal, Question, Rating, ResultColumn, RunOptions, Schema, Source, SystemClock, Table,
    TableKind, TenantId, Tls, Value, ValueIndex, Workflow, WorkflowId,
};
use crate::store::record::{ConnectionRecord, KnowledgeRecord};
use crate::store::{Claim, Error, Lease, ListFilter, Queue, Store, StoredWorkflow, Turn, Work};

type Play = Box<dyn Fn(&Task) -> StepOutput + Send + Sync>;

/// An agent that plays a closure.
pub(super) struct Scripted {
    name: &'static str,
    requires: &'static [&'static str],
    play: Play,
    script: Arc<Script>,
}

impl Scripted {
    /// One that always succeeds.
    pub(super) fn agent(name: &'static str, requires: &'static [&'static str]) -> Arc<dyn Agent> {
        Self::playing(&Arc::default(), name, requires, |_| StepOutput::Other(serde_json::Map::new()))
    }

    pub(super) fn playing(
        script: &Arc<Script>,
        name: &'static str,
        requires: &'static [&'static str],
        play: impl Fn(&Task) -> StepOutput + Send + Sync + 'static,
    ) -> Arc<dyn Agent> {
        Arc::new(Self { name, requires, play: Box::new(play), script: script.clone() })
    }
}

#[async_trait]
impl Agent for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn requires(&self) -> &'static [&'static str] {
        self.requires
    }

    async fn run(&self, task: &Task) -> Result<Outcome, AgentError> {
        self.script.enter(self.name).await?;
        let output = (self.play)(task);
        Ok(Outcome { output, summary: format!("{} is done.", self.name), usage: None })
    }
}

/// What steps do when they begin, and a record that they did.
#[derive(Default)]
pub(super) struct Script {
    runs: watch::Sender<Vec<&'static str>>,
    acts: Mutex<HashMap<&'static str, Act>>,
    pub(super) feedback: Mutex<Vec<Option<Feedback>>>,
    pub(super) verdicts: Mutex<VecDeque<ValidatorOutput>>,
    pub(super) refusals: Mutex<VecDeque<Failure>>,
}

#[derive(Clone)]
pub(super) enum Act {
    Stall,
    Panic,
    Fail(Failure),
}

impl Script {
    pub(super) fn on(&self, step: &'static str, act: Act) {
        self.acts.lock().unwrap().insert(step, act);
    }

    pub(super) fn clear(&self) {
        self.acts.lock().unwrap().clear();
    }

    pub(super) fn runs(&self) -> Vec<&'static str> {
        self.runs.borrow().clone()
    }

    /// Waits until a step has begun so many times.
    pub(super) async fn begun(&self, step: &str, times: usize) {
        let enough = |runs: &Vec<&str>| runs.iter().filter(|run| **run == step).count() >= times;
        self.runs.subscribe().wait_for(enough).await.unwrap();
    }

    async fn enter(&self, step: &'static str) -> Result<(), Failure> {
        self.runs.send_modify(|runs| runs.push(step));
        let act = self.acts.lock().unwrap().get(step).cloned();
        match act {
            None => Ok(()),
            Some(Act::Stall) => std::future::pending().await,
            Some(Act::Panic) => panic!("scripted"),
            Some(Act::Fail(failure)) => Err(failure),
        }
    }
}

struct ScriptedDatabases(Arc<Script>);

#[async_trait]
impl Databases for ScriptedDatabases {
    async fn connection(&self, who: &Principal, id: ConnectionId) -> Result<Connection, Failure> {
        let time = "2026-11-23T12:00:00Z".parse().unwrap();
        Ok(Connection {
            id,
            tenant: who.tenant.clone(),
            name: "shop".into(),
            kind: DatabaseKind::Sqlite,
            host: String::new(),
            port: 0,
            database: "shop.db".into(),
            username: String::new(),
            tls: Tls::default(),
            access_mode: AccessMode::ReadOnly,
            allowed_functions: Vec::new(),
            excluded_columns: Vec::new(),
            limits: ConnectionLimits::default(),
            has_password: false,
            create_time: time,
            update_time: time,
            etag: "e1".into(),
        })
    }

    async fn facts(&self, _: &Principal, _: &Source, _: &str, today: Date) -> Result<Arc<Facts>, Failure> {
        self.0.enter(LOAD_SCHEMA).await?;
        Ok(Arc::new(Facts::new(Arc::new(schema()), Arc::new(ValueIndex::default()), today)))
    }

    async fn judge(
        &self,
        _: &Principal,
        _: &Source,
        _: &Facts,
        _: &ComposerOutput,
        _: Option<&PlannerOutput>,
    ) -> Result<ValidatorOutput, Failure> {
        self.0.enter(VALIDATOR).await?;
        let next = self.0.verdicts.lock().unwrap().pop_front();
        Ok(next.unwrap_or_else(|| ValidatorOutput { is_valid: true, ..ValidatorOutput::default() }))
    }

    async fn execute(
        &self,
        _: &Principal,
        _: ConnectionId,
        _: &str,
        _: &[Value],
        _: Option<Duration>,
    ) -> Result<Rows, Failure> {
        self.0.enter(EXECUTION).await?;
        if let Some(refusal) = self.0.refusals.lock().unwrap().pop_front() {
            return Err(refusal);
        }
        let column =
            ResultColumn { name: "n".into(), database_type: String::new(), kind: crate::domain::ColumnType::Integer };
        Ok(Rows {
            columns: vec![column],
            rows: vec![vec![Value::Int64(42)]],
            row_count: 1,
            capped: false,
            execution_time: Duration::from_micros(10),
        })
    }
}

pub(super) fn schema() -> Schema {
    let table = Table {
        schema: "main".into(),
        name: "orders".into(),
        kind: TableKind::Table,
        columns: Vec::new(),
        primary_key: Vec::new(),
        unique_keys: Vec::new(),
        foreign_keys: Vec::new(),
        row_count: None,
        comment: None,
    };
    Schema { dialect: DatabaseKind::Sqlite, tables: vec![table], fingerprint: "f".into() }
}

/// A team that answers at once, recording what its composer is told.
pub(super) fn team(script: &Arc<Script>) -> Team {
    let composer_script = script.clone();
    let compose = move |task: &Task| {
        composer_script.feedback.lock().unwrap().push(task.feedback.clone());
        StepOutput::Composer(ComposerOutput {
            sql: format!("SELECT {}", task.attempt),
            dialect: DatabaseKind::Sqlite,
            parameters: Vec::new(),
            explanation: String::new(),
            assumptions: Vec::new(),
            confidence: 1.0,
        })
    };
    let plan = |_: &Task| StepOutput::Planner(PlannerOutput::default());
    let map = |_: &Task| StepOutput::Mapper(MapperOutput::default());
    let agents = vec![
        Scripted::playing(script, COMPOSER, &[MAPPER], compose),
        Scripted::playing(script, PLANNER, &[LOAD_SCHEMA], plan),
        Scripted::playing(script, MAPPER, &[PLANNER], map),
    ];
    Team { engine: EngineName::Openai, model: String::new(), prompt_version: "1".into(), agents, reviewer: None }
}

/// An engine on a store that outlives it.
pub(super) struct Bench {
    pub(super) script: Arc<Script>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) who: Principal,
    pub(super) handle: Handle,
    pub(super) options: Options,
    shutdown: CancellationToken,
    engine: Option<JoinHandle<()>>,
}

impl Bench {
    /// With a team whose answers are paid for.
    pub(super) fn new() -> Self {
        Self::with(EngineName::Openai, Options::default())
    }

    /// With a team whose steps run ahead of the store.
    pub(super) fn ahead() -> Self {
        Self::with(EngineName::Builtin, Options::default())
    }

    pub(super) fn with(engine: EngineName, options: Options) -> Self {
        let (script, store) = (Arc::default(), Arc::<MemoryStore>::default());
        let team = Team { engine, ..team(&script) };
        let (handle, shutdown, engine) = spawn(store.clone(), team, &script, options.clone());
        Self { script, store, who: Principal::local(), handle, options, shutdown, engine: Some(engine) }
    }

    /// Plays another team from now on.
    pub(super) async fn replace(&mut self, team: Team) {
        self.stop().await;
        let (handle, shutdown, engine) = spawn(self.store.clone(), team, &self.script, self.options.clone());
        (self.handle, self.shutdown, self.engine) = (handle, shutdown, Some(engine));
    }

    /// Stops the engine and starts another on the same store.
    pub(super) async fn restart(&mut self) {
        let team = team(&self.script);
        self.replace(team).await;
    }

    pub(super) async fn stop(&mut self) {
        self.shutdown.cancel();
        if let Some(engine) = self.engine.take() {
            engine.await.unwrap();
        }
    }

    pub(super) async fn ask(&self, options: RunOptions) -> Workflow {
        self.handle.start(&self.who, question(options), StartOptions::default()).await.unwrap()
    }

    /// The events of a workflow behind those that were seen.
    pub(super) fn watch(
        &self,
        id: WorkflowId,
        after: u64,
        cursor: Option<Cursor>,
    ) -> impl Stream<Item = Event> + Send + 'static + use<> {
        self.handle.watch(&self.who, id, after, cursor).map(seen)
    }

    /// All events of a workflow, once it has ended.
    pub(super) async fn events(&self, id: WorkflowId) -> Vec<Event> {
        self.watch(id, 0, None).collect().await
    }

    /// Asks and waits for the end.
    pub(super) async fn answer(&self, options: RunOptions) -> (Workflow, Vec<Event>) {
        let id = self.ask(options).await.id;
        let events = self.events(id).await;
        (Workflow::fold(id, &events).unwrap(), events)
    }
}

/// What a watcher was given.
pub(super) fn seen(event: Result<Arc<Event>, Failure>) -> Event {
    Arc::unwrap_or_clone(event.unwrap())
}

pub(super) fn spawn(
    store: Arc<dyn Store>,
    team: Team,
    script: &Arc<Script>,
    options: Options,
) -> (Handle, CancellationToken, JoinHandle<()>) {
    let databases = Arc::new(ScriptedDatabases(script.clone()));
    let openai = (team.engine == EngineName::Openai).then(|| team.clone());
    let teams = Teams { builtin: Team { engine: EngineName::Builtin, ..team }, openai };
    let (engine, handle) = Engine::over(store, databases, teams, Arc::new(SystemClock), options).unwrap();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(engine.run(shutdown.clone()));
    (handle, shutdown, running)
}

pub(super) fn question(options: RunOptions) -> Question {
    Question { text: "how many orders?".into(), source: Source::Connection(ConnectionId::generate()), options }
}

/// `planner,1`, and `composer,1#2` for the second candidate.
fn one(step: &str, attempt: u32, candidate: u32) -> String {
    if candidate == 0 { format!("{step},{attempt}") } else { format!("{step},{attempt}#{candidate}") }
}

/// `step_started(planner,1)` and the like.
pub(super) fn short(event: &Event) -> String {
    match &event.kind {
        EventKind::WorkflowStarted(_) => "workflow_started".into(),
        EventKind::StepStarted { step, attempt, candidate } => format!("started({})", one(step, *attempt, *candidate)),
        EventKind::StepCompleted { step, attempt, candidate, .. } => {
            format!("completed({})", one(step, *attempt, *candidate))
        }
        EventKind::StepFailed { step, attempt, candidate, .. } => {
            format!("failed({})", one(step, *attempt, *candidate))
        }
        EventKind::Retrying { retry, .. } => format!("retrying({retry})"),
        EventKind::Awaiting { .. } => "awaiting".into(),
        EventKind::CancelRequested { .. } => "cancel_requested".into(),
        EventKind::Resumed { .. } => "resumed".into(),
        EventKind::Result(_) => "result".into(),
        EventKind::Completed => "completed".into(),
        EventKind::Failed(failure) => format!("failed:{:?}", failure.reason),
        EventKind::Cancelled(failure) => format!("cancelled:{:?}", failure.reason),
    }
}

/// Workflows in memory, with scripted faults.
#[derive(Default)]
pub(super) struct MemoryStore {
    logs: Mutex<BTreeMap<WorkflowId, MemoryLog>>,
    claims: Mutex<HashMap<String, (uuid::Uuid, [u8; 32])>>,
    queue: Queue,
    /// So many appends fail before one succeeds.
    pub(super) failing_appends: AtomicU32,
    /// So many appends are stored and reported as failed.
    pub(super) lost_answers: AtomicU32,
    /// Reads of logs so far.
    pub(super) reads: AtomicU32,
}

struct MemoryLog {
    tenant: TenantId,
    events: Vec<Event>,
    tail: watch::Sender<u64>,
    rating: Option<Rating>,
}

impl MemoryStore {
    /// Cuts a log, as a machine crash can.
    pub(super) fn rewind(&self, id: WorkflowId, last: usize) {
        self.logs.lock().unwrap().get_mut(&id).unwrap().events.truncate(last);
    }
}

fn taken(counter: &AtomicU32) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn unavailable() -> Error {
    Error::Unavailable("scripted".into())
}

#[async_trait]
impl Store for MemoryStore {
    async fn append_on(
        &self,
        tenant: &TenantId,
        id: WorkflowId,
        expected: u64,
        events: &[Event],
        lease: Option<Lease>,
    ) -> Result<(), Error> {
        if taken(&self.failing_appends) {
            return Err(unavailable());
        }
        self.queue.check(id, expected == 0, lease)?;
        let mut logs = self.logs.lock().unwrap();
        let fresh =
            || MemoryLog { tenant: tenant.clone(), events: Vec::new(), tail: watch::Sender::new(0), rating: None };
        let log = logs.entry(id).or_insert_with(fresh);
        let last = log.events.len() as u64;
        if last != expected {
            return Err(Error::OutOfSequence { last });
        }
        log.events.extend_from_slice(events);
        log.tail.send_replace(log.events.len() as u64);
        self.queue.appended(tenant, id, Turn::after(events), lease);
        if taken(&self.lost_answers) { Err(unavailable()) } else { Ok(()) }
    }

    async fn read(&self, tenant: &TenantId, id: WorkflowId, after: u64, limit: usize) -> Result<Vec<Event>, Error> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let logs = self.logs.lock().unwrap();
        let log = logs.get(&id).filter(|log| log.tenant == *tenant);
        let after = usize::try_from(after).unwrap();
        Ok(log.map_or_else(Vec::new, |log| log.events.iter().skip(after).take(limit).cloned().collect()))
    }

    async fn last_sequence(&self, tenant: &TenantId, id: WorkflowId) -> Result<Option<u64>, Error> {
        let logs = self.logs.lock().unwrap();
        Ok(logs.get(&id).filter(|log| log.tenant == *tenant).map(|log| log.events.len() as u64))
    }

    async fn tail(&self, _: &TenantId, id: WorkflowId) -> Result<watch::Receiver<u64>, Error> {
        let logs = self.logs.lock().unwrap();
        Ok(logs.get(&id).map_or_else(|| watch::channel(0).1, |log| log.tail.subscribe()))
    }

    async fn list_workflows(
        &self,
        tenant: &TenantId,
        filter: &ListFilter,
        page: PageRequest<WorkflowId>,
    ) -> Result<Page<StoredWorkflow, WorkflowId>, Error> {
        let stored = stored(&self.logs.lock().unwrap());
        let wanted = |one: &StoredWorkflow| {
            one.tenant == *tenant && (filter.statuses.is_empty() || filter.statuses.contains(&one.status))
        };
        let after = |one: &StoredWorkflow| page.after.is_none_or(|after| one.id < after);
        let mut items: Vec<_> = stored.into_iter().rev().filter(|one| wanted(one) && after(one)).collect();
        let more = items.len() > page.limit;
        items.truncate(page.limit);
        let next = items.last().filter(|_| more).map(|one| one.id);
        Ok(Page { items, next })
    }

    async fn put_rating(&self, tenant: &TenantId, id: WorkflowId, rating: &Rating) -> Result<bool, Error> {
        let mut logs = self.logs.lock().unwrap();
        let log = logs.get_mut(&id).filter(|log| log.tenant == *tenant);
        Ok(log.map(|log| log.rating = Some(rating.clone())).is_some())
    }

    async fn get_rating(&self, tenant: &TenantId, id: WorkflowId) -> Result<Option<Rating>, Error> {
        let logs = self.logs.lock().unwrap();
        Ok(logs.get(&id).filter(|log| log.tenant == *tenant).and_then(|log| log.rating.clone()))
    }

    async fn take(&self) -> Result<Option<Work>, Error> {
        Ok(self.queue.take(Timestamp::now()))
    }

    async fn more_work(&self) {
        self.queue.more(Timestamp::now).await;
    }

    async fn waiting(&self) -> Result<usize, Error> {
        Ok(self.queue.waiting())
    }

    async fn renew(&self, leases: &[(TenantId, Lease)]) -> Result<Vec<Lease>, Error> {
        Ok(self.queue.lost(leases))
    }

    async fn release(&self, tenant: &TenantId, lease: Lease) -> Result<(), Error> {
        self.queue.release(tenant, lease);
        Ok(())
    }

    async fn is_held(&self, _: &TenantId, id: WorkflowId) -> Result<bool, Error> {
        Ok(self.queue.is_held(id))
    }

    fn lease_time(&self) -> Duration {
        Duration::MAX
    }

    async fn delete_workflow(&self, tenant: &TenantId, id: WorkflowId) -> Result<bool, Error> {
        let mut logs = self.logs.lock().unwrap();
        let known = logs.get(&id).is_some_and(|log| log.tenant == *tenant);
        if known {
            logs.remove(&id);
        }
        Ok(known)
    }

    async fn keep_answer(&self, _: &TenantId, _: &str, _: &str, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn release_request(&self, _: &TenantId, _: &str, _: &str, _: uuid::Uuid) -> Result<(), Error> {
        Ok(())
    }

    async fn answer(&self, _: &TenantId, _: &str, _: &str) -> Result<Option<String>, Error> {
        Ok(None)
    }

    async fn get_knowledge(&self, _: &TenantId, _: ConnectionId) -> Result<Option<KnowledgeRecord>, Error> {
        Ok(None)
    }

    async fn put_knowledge(&self, _: KnowledgeRecord, _: Option<&str>) -> Result<bool, Error> {
        Ok(false)
    }

    async fn claim_request(
        &self,
        tenant: &TenantId,
        rpc: &str,
        request: &str,
        hash: &[u8; 32],
        id: uuid::Uuid,
    ) -> Result<Claim, Error> {
        let mut claims = self.claims.lock().unwrap();
        let key = format!("{tenant} {rpc} {request}");
        Ok(match claims.get(&key) {
            None => {
                claims.insert(key, (id, *hash));
                Claim::New
            }
            Some((first, known)) if known == hash => Claim::Repeat(*first),
            Some(_) => Claim::Reused,
        })
    }

    fn epoch(&self) -> u64 {
        1
    }

    async fn ping(&self) -> Result<u64, Error> {
        Ok(0)
    }

    async fn close(&self) {}

    async fn expire(&self, _: jiff::Timestamp, _: usize, _: jiff::Timestamp) -> Result<u64, Error> {
        Ok(0)
    }

    async fn create_connection(&self, _: ConnectionRecord) -> Result<(), Error> {
        Err(unavailable())
    }

    async fn get_connection(&self, _: &TenantId, _: ConnectionId) -> Result<Option<ConnectionRecord>, Error> {
        Err(unavailable())
    }

    async fn list_connections(
        &self,
        _: &TenantId,
        _: PageRequest<ConnectionId>,
    ) -> Result<Page<ConnectionRecord, ConnectionId>, Error> {
        Err(unavailable())
    }

    async fn update_connection(&self, _: ConnectionRecord, _: &str) -> Result<bool, Error> {
        Err(unavailable())
    }

    async fn delete_connection(&self, _: &TenantId, _: ConnectionId) -> Result<bool, Error> {
        Err(unavailable())
    }
}

/// Oldest first.
fn stored(logs: &BTreeMap<WorkflowId, MemoryLog>) -> Vec<StoredWorkflow> {
    let fold = |(id, log): (&WorkflowId, &MemoryLog)| {
        let workflow = Workflow::fold(*id, &log.events)?;
        let last_sequence = workflow.last_sequence;
        Some(StoredWorkflow { tenant: log.tenant.clone(), id: *id, status: workflow.status, last_sequence })
    };
    logs.iter().filter_map(fold).collect()
}
