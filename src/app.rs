//! The composition root, written as a checklist: the one file that names every concrete backend.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::{Config, LlmCalls, ModelConfig, StoreConfig};
use crate::connections::{self, CreateOptions, Directory, Spec, Vault};
use crate::domain::{Clock, DatabaseKind, Failure, Principal, Reason, ShiftedClock, SystemClock};
use crate::engines;
use crate::knowledge::{self, Library};
use crate::lifecycle::Lifecycle;
use crate::llm;
use crate::store::embedded::{self, Embedded};
use crate::store::redis::{self, Redis};
use crate::store::{Error as StoreError, Store};
use crate::workflow::{self, Engine, Handle, Teams};
use crate::{agents, api, demo, queries, sql};

pub use crate::llm::Report as ModelReport;

/// Name of the connection to the demo database.
pub const DEMO_CONNECTION: &str = "demo";

/// Longest that closing the databases of connections may take when the server ends.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// A composed server that does not listen yet.
pub struct App {
    config: Config,
    store: Arc<dyn Store>,
    directory: Directory,
    queries: queries::Service,
    knowledge: knowledge::Service,
    workflows: Handle,
    keys: Option<api::ApiKeys>,
    ready: watch::Receiver<bool>,
}

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// Where the answers of the language model come from and go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recording {
    /// From the endpoint, and nowhere else.
    Off,
    /// From the endpoint; each is kept in this folder.
    Record(PathBuf),
    /// From this folder; the endpoint is never asked.
    Replay(PathBuf),
}

/// What a [`Workbench`] is made of.
#[derive(Debug, Clone)]
pub struct WorkbenchOptions {
    /// Folder that SQLite connections may open files from, if they may.
    pub sqlite_dir: Option<PathBuf>,
    /// The language model, when one is configured, and what becomes of its answers.
    pub model: Option<(ModelConfig, Recording)>,
    /// Workflows at the same time.
    pub max_workflows: usize,
    /// What the clock shows when it starts.
    pub now: jiff::Timestamp,
}

/// Connections and workflows without a server around them, gone when the process ends: for measurements.
pub struct Workbench {
    /// Its connections.
    pub directory: Directory,
    /// Its workflows.
    pub workflows: Handle,
    /// Runs statements on its connections.
    pub queries: queries::Service,
}

impl Workbench {
    /// Wires every part; workflows run until the lifecycle's soft token stops them.
    pub async fn start(options: WorkbenchOptions, lifecycle: &Lifecycle) -> Result<Self, Error> {
        let WorkbenchOptions { sqlite_dir, model, max_workflows, now } = options;
        let clock: Arc<dyn Clock> = Arc::new(ShiftedClock::starting_at(now));
        let store = Embedded::in_memory().await.map_err(|error| Error(with_causes(&error)))?;
        let store: Arc<dyn Store> = Arc::new(store);
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| Error(error.to_string()))?;
        let vault = Vault::from_keys(&hex::encode(key)).map_err(|error| Error(error.to_string()))?;
        let options = connections::Options {
            sqlite_dir: sqlite_dir.unwrap_or_default(),
            // Whoever measures reaches these without Pulse.
            hosts: sql::HostPolicy { socket_folders: vec!["/".into()], ..sql::HostPolicy::default() },
            record_max_age: Duration::MAX,
            ..connections::Options::default()
        };
        let directory = Directory::new(store.clone(), vault, clock.clone(), options);
        let queries = queries::Service::new(directory.clone(), store.clone(), queries::Options::default());
        let model_budget = model_budget(model.as_ref().map(|(model, _)| model));
        let openai = model.map(|(model, recording)| openai_team(&model, recording)).transpose()?;
        let knowledge =
            knowledge::Service::new(store.clone(), directory.clone(), queries.clone(), clock.clone(), Duration::MAX);
        let parts = workflow::Parts {
            store,
            library: Library::new(directory.clone(), knowledge),
            directory: directory.clone(),
            queries: queries.clone(),
            teams: Teams { builtin: engines::builtin::team(), openai },
            clock,
        };
        let options =
            workflow::Options { max_running: max_workflows.max(1), model_budget, ..workflow::Options::default() };
        let (engine, workflows) = Engine::new(parts, options).map_err(|error| Error(error.to_string()))?;
        let soft = lifecycle.soft.clone();
        lifecycle.tasks.spawn(async move { engine.run(soft).await });
        Ok(Self { directory, workflows, queries })
    }
}

/// Asks every model that is configured what it can do; each says so itself.
pub async fn check_models(config: &ModelConfig) -> Result<Vec<ModelReport>, Error> {
    let chat = chat_model(config)?;
    let own = [&config.planner_model, &config.mapper_model, &config.composer_model];
    let mut models = vec![config.model.as_str()];
    models.extend(own.into_iter().flatten().map(String::as_str));
    let mut reports = Vec::new();
    for (place, model) in models.iter().enumerate() {
        if !models[..place].contains(model) {
            reports.push(llm::check(&chat, Some(model), config.api_key.is_some()).await);
        }
    }
    Ok(reports)
}

impl App {
    /// Opens the store, wires every part, and takes up the workflows that an earlier process left unfinished.
    pub async fn start(config: Config, lifecycle: &Lifecycle) -> Result<Self, Error> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let keys = config.api_keys.as_deref().map(api::ApiKeys::parse).transpose();
        let keys = keys.map_err(|problem| Error(format!("PULSE_API_KEYS_FILE: {problem}")))?;

        create_folder(&config.data_dir, "PULSE_DATA_DIR")?;
        create_folder(&config.sqlite_dir, "PULSE_SQLITE_DIR")?;
        let store = open_store(&config, clock.clone()).await?;
        let vault = open_vault(&config)?;
        let directory = Directory::new(store.clone(), vault, clock.clone(), directory_options(&config)?);
        let queries = queries::Service::new(directory.clone(), store.clone(), query_options(&config));
        let max_age = record_max_age(&config);
        let knowledge =
            knowledge::Service::new(store.clone(), directory.clone(), queries.clone(), clock.clone(), max_age);
        let library = Library::new(directory.clone(), knowledge.clone());
        let teams = Teams {
            builtin: engines::builtin::team(),
            openai: config.model.as_ref().map(|model| openai_team(model, Recording::Off)).transpose()?,
        };
        let parts = workflow::Parts {
            store: store.clone(),
            library,
            directory: directory.clone(),
            queries: queries.clone(),
            teams,
            clock,
        };
        let engine = Engine::new(parts, workflow_options(&config));
        let (engine, workflows) = engine.map_err(|error| Error(error.to_string()))?;

        let soft = lifecycle.soft.clone();
        lifecycle.tasks.spawn(async move { engine.run(soft).await });
        let ready = watch_readiness(store.clone(), lifecycle).await;
        tidy_now_and_then(directory.clone(), lifecycle);
        expire_now_and_then(store.clone(), &config, lifecycle);
        Ok(Self { config, store, directory, queries, knowledge, workflows, keys, ready })
    }

    /// Creates the demo database where it is absent and saves the connection `demo` for every tenant that lacks it.
    /// Returns the path of the database.
    pub async fn add_demo(&self) -> Result<PathBuf, Error> {
        let path = self.create_demo().await?;
        connect_demo(&self.directory, &self.tenants()).await.map_err(|failure| demo_refused(&failure))?;
        Ok(path)
    }

    /// The same for a server that is to start in any case: while its store does not answer, the connections are saved later.
    pub async fn add_demo_in_time(&self, lifecycle: &Lifecycle) -> Result<(), Error> {
        const INTERVAL: Duration = Duration::from_secs(1);
        self.create_demo().await?;
        let (directory, tenants, soft) = (self.directory.clone(), self.tenants(), lifecycle.soft.clone());
        match connect_demo(&directory, &tenants).await {
            Err(failure) if failure.reason == Reason::StoreUnavailable => {
                tracing::warn!(%failure, "the demo connection is saved when the store answers");
            }
            saved => return saved.map_err(|failure| demo_refused(&failure)),
        }
        lifecycle.tasks.spawn(async move {
            loop {
                tokio::select! { () = tokio::time::sleep(INTERVAL) => {}, () = soft.cancelled() => return }
                match connect_demo(&directory, &tenants).await {
                    Err(failure) if failure.reason == Reason::StoreUnavailable => {}
                    Ok(()) => return tracing::info!("the demo connection is saved"),
                    Err(failure) => return tracing::error!(%failure, "the demo connection cannot be saved"),
                }
            }
        });
        Ok(())
    }

    async fn create_demo(&self) -> Result<PathBuf, Error> {
        let path = self.config.sqlite_dir.join(demo::DATABASE_FILE);
        let file = path.clone();
        let created = tokio::task::spawn_blocking(move || demo::create_if_absent(&file)).await;
        created.map_err(|error| Error(error.to_string()))?.map_err(|error| Error(format!("demo database: {error}")))?;
        Ok(path)
    }

    fn tenants(&self) -> Vec<Principal> {
        self.keys.as_ref().map_or_else(|| vec![Principal::local()], api::ApiKeys::tenants)
    }

    /// Serves on the listener until the lifecycle's tokens stop it, then waits for every task.
    pub async fn serve(self, listener: TcpListener, lifecycle: &Lifecycle) -> std::io::Result<()> {
        let address = listener.local_addr()?;
        let parts = api::Parts {
            directory: self.directory.clone(),
            queries: self.queries,
            knowledge: self.knowledge,
            workflows: self.workflows,
            keys: self.keys,
            ready: self.ready,
        };
        let options = api::Options {
            cors_origins: self.config.cors_origins,
            heartbeat: self.config.heartbeat,
            loopback: address.ip().is_loopback(),
            workflow_timeout: self.config.workflow_timeout,
            ..api::Options::default()
        };
        tracing::info!(%address, "serving");
        let served = api::serve(listener, parts, options, lifecycle).await;
        lifecycle.soft.cancel();
        lifecycle.ended().await;
        // Takes leave of database servers; one that does not answer is not waited for.
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, self.directory.close()).await;
        // Lets go of the store before anybody is told that the server has ended.
        self.store.close().await;
        served
    }
}

async fn connect_demo(directory: &Directory, tenants: &[Principal]) -> Result<(), Failure> {
    for who in tenants {
        let spec = Spec {
            name: DEMO_CONNECTION.to_owned(),
            kind: Some(DatabaseKind::Sqlite),
            database: demo::DATABASE_FILE.to_owned(),
            ..Spec::default()
        };
        match directory.create(who, spec, CreateOptions::default()).await {
            Ok(_) | Err(Failure { reason: Reason::NameTaken, .. }) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

fn demo_refused(failure: &Failure) -> Error {
    Error(format!("demo connection: {failure}"))
}

/// The language model as configured, before anything is around it.
fn chat_model(model: &ModelConfig) -> Result<llm::OpenAi, Error> {
    let endpoint = model.base_url.parse().map_err(|error| Error(format!("OPENAI_BASE_URL: {error}")))?;
    let chat = llm::OpenAi::new(llm::Options {
        endpoint,
        api_key: model.api_key.clone(),
        model: model.model.clone(),
        connect_timeout: model.connect_timeout,
        first_token_timeout: model.first_token_timeout,
        attempt_timeout: model.timeout,
        total_timeout: model.total_timeout,
    });
    chat.map_err(|error| Error(error.to_string()))
}

/// The language model with everything around it.
fn asked_model(model: &ModelConfig, recording: Recording) -> Result<Arc<dyn llm::ChatModel>, Error> {
    let neutral = engines::openai::without_nonces;
    let chat: Arc<dyn llm::ChatModel> = match recording {
        Recording::Replay(folder) => Arc::new(llm::Recordings::new(model.model.clone(), folder, neutral)),
        Recording::Off | Recording::Record(_) => {
            let limits = llm::Limits { max_concurrent: model.concurrency as usize, max_queued: model.queue as usize };
            let chat = llm::WithLimits::new(Arc::new(chat_model(model)?), limits);
            let chat = Arc::new(llm::WithBreaker::new(Arc::new(chat), llm::Breaker::default()));
            match recording {
                Recording::Record(folder) => Arc::new(llm::Recorder::new(chat, folder, neutral)),
                _ => chat,
            }
        }
    };
    Ok(Arc::new(llm::WithSpans::new(chat)))
}

fn openai_team(model: &ModelConfig, recording: Recording) -> Result<agents::Team, Error> {
    let chat = asked_model(model, recording)?;
    let [planner, mapper, composer] = model.temperatures;
    let options = engines::openai::Options {
        calls: match model.calls {
            LlmCalls::Shared => engines::openai::Calls::Shared,
            LlmCalls::PerAgent => engines::openai::Calls::PerAgent,
        },
        schema_tokens: model.schema_tokens as usize,
        share_values: model.share_values,
        semantic_check: model.semantic_check,
        answer_tokens: model.answer_tokens,
        temperatures: engines::openai::Temperatures { planner, mapper, composer },
        models: engines::openai::Models {
            planner: model.planner_model.clone(),
            mapper: model.mapper_model.clone(),
            composer: model.composer_model.clone(),
        },
    };
    Ok(engines::openai::team(chat, options))
}

/// The one place where it is decided where records live.
async fn open_store(config: &Config, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, Error> {
    match &config.store {
        StoreConfig::Embedded => {
            let options = embedded::Options { clock, ..embedded::Options::default() };
            let opened = Embedded::open(config.data_dir.join("pulse.db"), options).await;
            let refused = |error: StoreError| Error(format!("PULSE_DATA_DIR: {}", with_causes(&error)));
            Ok(Arc::new(opened.map_err(refused)?))
        }
        StoreConfig::Redis { setting, url } => {
            let settings = redis::Settings::parse(url.expose_secret());
            let settings = settings.map_err(|problem| Error(format!("{setting}: {problem}")))?;
            let options = redis::Options { clock, lease: config.lease, ..redis::Options::default() };
            let opened = Redis::open(settings, options).await;
            Ok(Arc::new(opened.map_err(|error| Error(format!("{setting}: {}", with_causes(&error))))?))
        }
    }
}

/// An error and what is behind it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn open_vault(config: &Config) -> Result<Vault, Error> {
    let keys = config.encryption_key.as_ref().map(|keys| keys.expose_secret().to_owned());
    let vault = match keys {
        Some(keys) => Vault::from_keys(&keys),
        None => Vault::from_file(&config.data_dir.join("encryption.key")),
    };
    vault.map_err(|error| Error(format!("PULSE_ENCRYPTION_KEY: {error}")))
}

fn directory_options(config: &Config) -> Result<connections::Options, Error> {
    let databases = &config.databases;
    let hosts = |setting: &str, text: &str| {
        text.parse::<sql::HostList>().map_err(|problem| Error(format!("{setting}: {problem}")))
    };
    let hosts = sql::HostPolicy {
        // Whoever can call such a server is on this machine and reaches these hosts without it.
        private: config.listen.ip().is_loopback(),
        allow: hosts("PULSE_ALLOW_HOSTS", &databases.allow_hosts)?,
        deny: hosts("PULSE_DENY_HOSTS", &databases.deny_hosts)?,
        low_ports: databases.allow_ports.clone(),
        socket_folders: databases.socket_dirs.clone(),
    };
    let database = sql::Options {
        connections: databases.pool_size as usize,
        statement_timeout: databases.max_statement_timeout,
        ..sql::Options::default()
    };
    Ok(connections::Options {
        sqlite_dir: config.sqlite_dir.clone(),
        hosts,
        database,
        schema_max_age: databases.schema_max_age,
        record_max_age: record_max_age(config),
        ..connections::Options::default()
    })
}

/// How long records are taken to be as the store last had them.
fn record_max_age(config: &Config) -> Duration {
    match config.store {
        // It belongs to this process alone.
        StoreConfig::Embedded => Duration::MAX,
        StoreConfig::Redis { .. } => connections::Options::default().record_max_age,
    }
}

fn query_options(config: &Config) -> queries::Options {
    let databases = &config.databases;
    queries::Options {
        max_rows: databases.max_rows,
        max_bytes: databases.max_bytes,
        stream_max_rows: databases.stream_max_rows,
        stream_max_bytes: databases.stream_max_bytes,
        default_timeout: config.statement_timeout,
        max_timeout: databases.max_statement_timeout,
        ..queries::Options::default()
    }
}

fn workflow_options(config: &Config) -> workflow::Options {
    workflow::Options {
        step_timeout: config.step_timeout,
        statement_timeout: config.statement_timeout,
        max_running: config.max_workflows as usize,
        max_workflow_timeout: config.workflow_timeout,
        input_timeout: config.input_timeout,
        model_budget: model_budget(config.model.as_ref()),
        ..workflow::Options::default()
    }
}

fn model_budget(model: Option<&ModelConfig>) -> agents::ModelBudget {
    model.map_or(agents::ModelBudget::NONE, |model| agents::ModelBudget {
        calls: model.max_calls,
        tokens: model.workflow_tokens,
        time: model.workflow_time,
    })
}

/// Databases that nobody uses are closed also when nobody uses any.
fn tidy_now_and_then(directory: Directory, lifecycle: &Lifecycle) {
    const INTERVAL: Duration = Duration::from_mins(1);
    let soft = lifecycle.soft.clone();
    lifecycle.tasks.spawn(async move {
        loop {
            tokio::select! { () = tokio::time::sleep(INTERVAL) => {}, () = soft.cancelled() => break }
            directory.tidy().await;
        }
    });
}

/// Removes what is older or more than is to be kept. Where processes share the store, each of them does, to no harm.
fn expire_now_and_then(store: Arc<dyn Store>, config: &Config, lifecycle: &Lifecycle) {
    const INTERVAL: Duration = Duration::from_mins(10);
    const KEEP_REQUEST_IDS: Duration = Duration::from_hours(24);
    let (keep_for, keep) = (config.keep_for, config.keep_workflows as usize);
    let soft = lifecycle.soft.clone();
    lifecycle.tasks.spawn(async move {
        loop {
            let now = SystemClock.now();
            // Before time began there is nothing to remove.
            let before = |span: Duration| now.checked_sub(span).unwrap_or(jiff::Timestamp::MIN);
            match store.expire(before(keep_for), keep, before(KEEP_REQUEST_IDS)).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "workflows that ended long ago are removed"),
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "old workflows cannot be removed");
                }
            }
            tokio::select! { () = tokio::time::sleep(INTERVAL) => {}, () = soft.cancelled() => break }
        }
    });
}

/// Readiness follows the store: false while it does not answer.
async fn watch_readiness(store: Arc<dyn Store>, lifecycle: &Lifecycle) -> watch::Receiver<bool> {
    const INTERVAL: Duration = Duration::from_secs(1);
    let (ready, receiver) = watch::channel(store.ping().await.is_ok());
    let soft = lifecycle.soft.clone();
    lifecycle.tasks.spawn(async move {
        loop {
            tokio::select! { () = tokio::time::sleep(INTERVAL) => {}, () = soft.cancelled() => break }
            let answers = store.ping().await.is_ok();
            ready.send_if_modified(|before| std::mem::replace(before, answers) != answers);
        }
        ready.send_replace(false);
    });
    receiver
}

fn create_folder(path: &Path, setting: &str) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(|error| Error(format!("{setting}: {} cannot be created: {error}", path.display())))
}
