//! Settings: flags and environment variables in, one checked [`Config`] out.
//!
//! Nothing else reads the environment. A `.env` file in the working directory is read first; variables that are
//! already set win over it, flags win over variables. A setting that cannot be used is refused with its name and
//! the remedy, before anything is opened.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

use crate::telemetry;

#[expect(clippy::doc_markdown, reason = "doc comments of settings are the text of --help")]
/// Settings of a server, as written by a person. Every flag has an environment variable of the same meaning.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server settings")]
pub struct Settings {
    /// Address for gRPC, gRPC-Web, the web UI and /health
    #[arg(long, env = "PULSE_LISTEN", default_value = "127.0.0.1:50051", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// Folder for everything Pulse keeps [default: ~/.local/share/pulse]
    #[arg(long, env = "PULSE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Folder that SQLite connections may open files from [default: DATA_DIR/databases]
    #[arg(long, env = "PULSE_SQLITE_DIR", value_name = "DIR")]
    pub sqlite_dir: Option<PathBuf>,

    /// Where records live: `embedded` keeps them in DATA_DIR; redis://, rediss:// (TLS), redis-sentinel:// and
    /// redis-cluster:// `[[USER]:PASSWORD@]HOST[:PORT][/DATABASE][?prefix=NAME]` share them between replicas
    /// [default: REDIS_URL, else embedded]
    #[arg(long, env = "PULSE_STORE", value_name = "URL", hide_env_values = true)]
    pub store: Option<String>,

    /// The Redis of PULSE_STORE, under the name that many platforms give it
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<String>,

    /// How long a replica holds a workflow without a sign of life; then another one goes on with it
    #[arg(long, env = "PULSE_LEASE", default_value = "15s", value_parser = duration, value_name = "TIME")]
    pub lease: Duration,

    /// How long workflows that ended are kept
    #[arg(long, env = "PULSE_KEEP_FOR", default_value = "720h", value_parser = duration, value_name = "TIME")]
    pub keep_for: Duration,

    /// How many workflows that ended are kept of each tenant, the newest ones
    #[arg(long, env = "PULSE_KEEP_WORKFLOWS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..), value_name = "COUNT")]
    pub keep_workflows: u32,

    /// Keys that seal saved passwords, 32 bytes in base64 or hex, comma-separated: the first seals, all open
    /// [default: generated into DATA_DIR/encryption.key]
    #[arg(long, env = "PULSE_ENCRYPTION_KEY", value_name = "KEYS", hide_env_values = true)]
    pub encryption_key: Option<String>,

    /// JSON file of API keys; with it every call needs `authorization: Bearer KEY`
    #[arg(long, env = "PULSE_API_KEYS_FILE", value_name = "FILE")]
    pub api_keys_file: Option<PathBuf>,

    /// Serve without API keys on an address that is not loopback
    #[arg(long, env = "PULSE_INSECURE", value_parser = clap::builder::FalseyValueParser::new())]
    pub insecure: bool,

    /// Origins whose pages may call gRPC-Web, comma-separated, such as `https://pulse.example.org`
    #[arg(long, env = "PULSE_CORS_ORIGINS", value_delimiter = ',', value_name = "ORIGINS")]
    pub cors_origins: Vec<String>,

    /// Longest one attempt of a step may take
    #[arg(long, env = "PULSE_STEP_TIMEOUT", default_value = "60s", value_parser = duration, value_name = "TIME")]
    pub step_timeout: Duration,

    /// How long a workflow waits for a person's answer or approval
    #[arg(long, env = "PULSE_INPUT_TIMEOUT", default_value = "24h", value_parser = duration, value_name = "TIME")]
    pub input_timeout: Duration,

    /// Longest a workflow may take unless its call says less
    #[arg(long, env = "PULSE_WORKFLOW_TIMEOUT", default_value = "5m", value_parser = duration, value_name = "TIME")]
    pub workflow_timeout: Duration,

    /// Longest a statement may run unless its call says otherwise
    #[arg(long, env = "PULSE_STATEMENT_TIMEOUT", default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub statement_timeout: Duration,

    /// Time between heartbeats on an idle watch
    #[arg(long, env = "PULSE_HEARTBEAT", default_value = "15s", value_parser = duration, value_name = "TIME")]
    pub heartbeat: Duration,

    /// Workflows that run at the same time; more wait their turn
    #[arg(long, env = "PULSE_MAX_WORKFLOWS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "COUNT")]
    pub max_workflows: u32,

    /// What to log, such as info,pulse::workflow=debug
    #[arg(long, env = "PULSE_LOG", default_value = "info", value_name = "DIRECTIVES")]
    pub log: String,

    /// Form of a log line
    #[arg(long, env = "PULSE_LOG_FORMAT", default_value = "text", value_name = "FORM")]
    pub log_format: telemetry::LogFormat,

    /// The databases of connections.
    #[command(flatten)]
    pub databases: DatabaseSettings,

    /// The language model.
    #[command(flatten)]
    pub model: ModelSettings,
}

#[expect(clippy::doc_markdown, reason = "doc comments of settings are the text of --help")]
/// Settings of the databases that connections lead to.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database settings")]
pub struct DatabaseSettings {
    /// Hosts that connections may lead to although they are on loopback or a private network: names (`*.example.org`
    /// for all below one), addresses and networks, comma-separated [default: all of them when PULSE_LISTEN is
    /// loopback, else none]
    #[arg(long, env = "PULSE_ALLOW_HOSTS", value_name = "HOSTS")]
    pub allow_hosts: Option<String>,

    /// Hosts that connections may not lead to, in the same form; wins over PULSE_ALLOW_HOSTS, but `*` forbids only what
    /// is not listed there
    #[arg(long, env = "PULSE_DENY_HOSTS", value_name = "HOSTS")]
    pub deny_hosts: Option<String>,

    /// Ports below 1024 that connections may lead to, comma-separated
    #[arg(long, env = "PULSE_ALLOW_PORTS", value_name = "PORTS")]
    pub allow_ports: Option<String>,

    /// Folders below which connections may use Unix sockets, comma-separated
    #[arg(long, env = "PULSE_SOCKET_DIRS", value_name = "DIRS")]
    pub socket_dirs: Option<String>,

    /// Most sessions with one database that read, and as many that write; a connection may say less
    #[arg(long, env = "PULSE_POOL_SIZE", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000), value_name = "COUNT")]
    pub pool_size: u32,

    /// Longest a statement may run, whatever its call says
    #[arg(long, env = "PULSE_MAX_STATEMENT_TIMEOUT", default_value = "10m", value_parser = duration, value_name = "TIME")]
    pub max_statement_timeout: Duration,

    /// Most rows of a unary result; a call or a connection may say less
    #[arg(long, env = "PULSE_MAX_ROWS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "COUNT")]
    pub max_rows: u32,

    /// Most bytes of a unary result; a call or a connection may say less. At most 3MiB, for stock clients refuse 4
    #[arg(long, env = "PULSE_MAX_BYTES", default_value = "3MiB", value_parser = bytes, value_name = "SIZE")]
    pub max_bytes: u32,

    /// Most rows of a stream; a call may say less
    #[arg(long, env = "PULSE_STREAM_MAX_ROWS", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..), value_name = "COUNT")]
    pub stream_max_rows: u32,

    /// Most bytes of a stream; a call may say less
    #[arg(long, env = "PULSE_STREAM_MAX_BYTES", default_value = "1GiB", value_parser = bytes, value_name = "SIZE")]
    pub stream_max_bytes: u32,

    /// How old a schema may be before the catalog is read again
    #[arg(long, env = "PULSE_SCHEMA_MAX_AGE", default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub schema_max_age: Duration,
}

#[expect(clippy::doc_markdown, reason = "doc comments of settings are the text of --help")]
/// Settings of the language model.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Language model settings (without them the builtin engine answers)")]
pub struct ModelSettings {
    /// Key of an OpenAI-compatible endpoint
    #[arg(long, env = "OPENAI_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub openai_api_key: Option<String>,

    /// The endpoint; a base URL alone (a local server without keys) also turns the engine on
    /// [default: `https://api.openai.com/v1`]
    #[arg(long, env = "OPENAI_BASE_URL", value_name = "URL")]
    pub openai_base_url: Option<String>,

    /// The model
    #[arg(long, env = "OPENAI_MODEL", default_value = "gpt-4.1-mini", value_name = "NAME")]
    pub openai_model: String,

    /// The planner's model, when it is another
    #[arg(long, env = "OPENAI_MODEL_PLANNER", value_name = "NAME")]
    pub openai_model_planner: Option<String>,

    /// The mapper's model, when it is another
    #[arg(long, env = "OPENAI_MODEL_MAPPER", value_name = "NAME")]
    pub openai_model_mapper: Option<String>,

    /// The composer's model, when it is another
    #[arg(long, env = "OPENAI_MODEL_COMPOSER", value_name = "NAME")]
    pub openai_model_composer: Option<String>,

    /// How freely the model answers: 0 for the likeliest answer every time, up to 2
    #[arg(long, env = "OPENAI_TEMPERATURE", default_value_t = 0.0, value_parser = temperature, value_name = "NUMBER")]
    pub openai_temperature: f64,

    /// The planner's temperature, when it is another
    #[arg(long, env = "OPENAI_TEMPERATURE_PLANNER", value_parser = temperature, value_name = "NUMBER")]
    pub openai_temperature_planner: Option<f64>,

    /// The mapper's temperature, when it is another
    #[arg(long, env = "OPENAI_TEMPERATURE_MAPPER", value_parser = temperature, value_name = "NUMBER")]
    pub openai_temperature_mapper: Option<f64>,

    /// The composer's temperature, when it is another
    #[arg(long, env = "OPENAI_TEMPERATURE_COMPOSER", value_parser = temperature, value_name = "NUMBER")]
    pub openai_temperature_composer: Option<f64>,

    /// How many agents one model call serves: `shared` (one call for planner, mapper and composer, whose steps arrive one
    /// by one) or `per_agent` (a call each, for small models)
    #[arg(long, env = "PULSE_LLM_CALLS", value_enum, default_value = "shared", value_name = "FORM")]
    pub llm_calls: LlmCalls,

    /// Model calls one workflow may make
    #[arg(long, env = "PULSE_LLM_MAX_CALLS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100), value_name = "COUNT")]
    pub llm_max_calls: u32,

    /// Tokens that the model calls of one workflow may take together, read and written
    /// [default: enough for PULSE_LLM_MAX_CALLS calls of full length]
    #[arg(long, env = "PULSE_LLM_WORKFLOW_TOKENS", value_parser = clap::value_parser!(u64).range(1..), value_name = "COUNT")]
    pub llm_workflow_tokens: Option<u64>,

    /// Time that the model calls of one workflow may take together
    #[arg(long, env = "PULSE_LLM_WORKFLOW_TIME", default_value = "3m", value_parser = duration, value_name = "TIME")]
    pub llm_workflow_time: Duration,

    /// Model calls at the same time
    #[arg(long, env = "PULSE_LLM_MAX_CONCURRENT", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000), value_name = "COUNT")]
    pub llm_concurrency: u32,

    /// Model calls that wait for one of those; more are turned away
    #[arg(long, env = "PULSE_LLM_MAX_QUEUED", default_value_t = 64, value_parser = clap::value_parser!(u32).range(0..=100_000), value_name = "COUNT")]
    pub llm_queue: u32,

    /// Longest wait for a connection to the endpoint
    #[arg(long, env = "PULSE_LLM_CONNECT_TIMEOUT", default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub llm_connect_timeout: Duration,

    /// Longest wait for the first token of an answer
    #[arg(long, env = "PULSE_LLM_FIRST_TOKEN_TIMEOUT", default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub llm_first_token_timeout: Duration,

    /// Longest one exchange with the endpoint may take
    #[arg(long, env = "PULSE_LLM_TIMEOUT", default_value = "60s", value_parser = duration, value_name = "TIME")]
    pub llm_timeout: Duration,

    /// Longest one model call may take, repeats and waits included
    #[arg(long, env = "PULSE_LLM_TOTAL_TIMEOUT", default_value = "90s", value_parser = duration, value_name = "TIME")]
    pub llm_total_timeout: Duration,

    /// Longest answer of the model, in tokens
    #[arg(long, env = "PULSE_LLM_MAX_TOKENS", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(64..=100_000), value_name = "COUNT")]
    pub llm_max_tokens: u32,

    /// Tokens of schema in a prompt
    #[arg(long, env = "PULSE_LLM_SCHEMA_TOKENS", default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(200..=200_000), value_name = "COUNT")]
    pub llm_schema_tokens: u32,

    /// Whether prompts may contain values from the database
    #[arg(long, env = "PULSE_LLM_SHARE_VALUES", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub llm_share_values: bool,

    /// Ask the model once what it thinks of a statement that passed every check
    #[arg(long, env = "PULSE_LLM_SEMANTIC_CHECK", default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub llm_semantic_check: bool,
}

/// How many agents one model call serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum LlmCalls {
    /// Those that follow one another with the same model and temperature.
    Shared,
    /// One.
    PerAgent,
}

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the server.
    pub listen: SocketAddr,
    /// Folder for everything Pulse keeps.
    pub data_dir: PathBuf,
    /// Folder that SQLite connections may open files from.
    pub sqlite_dir: PathBuf,
    /// Where records live.
    pub store: StoreConfig,
    /// How long a worker holds a workflow without a sign of life, where processes share the store.
    pub lease: Duration,
    /// How long workflows that ended are kept.
    pub keep_for: Duration,
    /// How many of a tenant's workflows that ended are kept.
    pub keep_workflows: u32,
    /// Key-encryption keys as configured; `None` uses the generated file, which a shared store does not allow.
    pub encryption_key: Option<SecretString>,
    /// Text of the API keys file.
    pub api_keys: Option<String>,
    /// Allowed origins.
    pub cors_origins: Vec<http::HeaderValue>,
    /// Longest one attempt of a step may take.
    pub step_timeout: Duration,
    /// How long a workflow waits for a person.
    pub input_timeout: Duration,
    /// Longest a workflow may take.
    pub workflow_timeout: Duration,
    /// Longest a statement may run.
    pub statement_timeout: Duration,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// Workflows that run at the same time.
    pub max_workflows: u32,
    /// The databases of connections.
    pub databases: DatabaseConfig,
    /// Log lines.
    pub telemetry: telemetry::Options,
    /// The language model, when one is configured.
    pub model: Option<ModelConfig>,
}

/// Where records live.
#[derive(Debug, Clone)]
pub enum StoreConfig {
    /// In a file in the data folder.
    Embedded,
    /// In the Redis of this URL, which may hold a password.
    Redis {
        /// The setting that names it.
        setting: &'static str,
        /// The URL.
        url: SecretString,
    },
}

/// Bounds of the databases that connections lead to.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// Hosts that may be connected to although they are private, as written.
    pub allow_hosts: String,
    /// Hosts that may not be connected to, as written.
    pub deny_hosts: String,
    /// Ports below 1024 that may be connected to.
    pub allow_ports: Vec<u16>,
    /// Absolute folders below which Unix sockets may be used.
    pub socket_dirs: Vec<PathBuf>,
    /// Most sessions with one database.
    pub pool_size: u32,
    /// Longest a statement may run, whatever its call says.
    pub max_statement_timeout: Duration,
    /// Most rows of a unary result.
    pub max_rows: u32,
    /// Most bytes of a unary result.
    pub max_bytes: u32,
    /// Most rows of a stream.
    pub stream_max_rows: u32,
    /// Most bytes of a stream.
    pub stream_max_bytes: u32,
    /// How old a schema may be before it is read again.
    pub schema_max_age: Duration,
}

/// A configured language model.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// Key; `None` for local servers without keys.
    pub api_key: Option<SecretString>,
    /// Base URL of the endpoint.
    pub base_url: String,
    /// Model name.
    pub model: String,
    /// The planner's model, when it is another.
    pub planner_model: Option<String>,
    /// The mapper's model, when it is another.
    pub mapper_model: Option<String>,
    /// The composer's model, when it is another.
    pub composer_model: Option<String>,
    /// The planner's, the mapper's and the composer's temperature.
    pub temperatures: [f64; 3],
    /// How many agents one call serves.
    pub calls: LlmCalls,
    /// Model calls one workflow may make.
    pub max_calls: u32,
    /// Tokens that they may take together.
    pub workflow_tokens: u64,
    /// Time that they may take together.
    pub workflow_time: Duration,
    /// Calls at the same time.
    pub concurrency: u32,
    /// Calls that wait for one of those.
    pub queue: u32,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the first token of an answer.
    pub first_token_timeout: Duration,
    /// Longest one exchange may take.
    pub timeout: Duration,
    /// Longest one call may take, repeats and waits included.
    pub total_timeout: Duration,
    /// Longest answer, in tokens.
    pub answer_tokens: u32,
    /// Tokens of schema in a prompt.
    pub schema_tokens: u32,
    /// Whether prompts may contain values from the database.
    pub share_values: bool,
    /// Whether the model is asked what it thinks of a statement that passed every check.
    pub semantic_check: bool,
}

/// A setting cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct Error {
    /// Name of the environment variable.
    pub setting: &'static str,
    /// What is wrong and what to do.
    pub problem: String,
}

impl Settings {
    /// Checks every setting against the others.
    pub fn check(self) -> Result<Config, Error> {
        let encryption_key = named(self.encryption_key).map(SecretString::from);
        let store = check_store(named(self.store), named(self.redis_url))?;
        if matches!(store, StoreConfig::Redis { .. }) && encryption_key.is_none() {
            let problem = "is required with Redis, the same for every replica: `openssl rand -base64 32` makes one";
            return Err(Error { setting: "PULSE_ENCRYPTION_KEY", problem: problem.to_owned() });
        }
        let lease = self.lease;
        if !(Duration::from_secs(1)..=Duration::from_mins(10)).contains(&lease) {
            return Err(Error { setting: "PULSE_LEASE", problem: "must be from 1s to 10m".to_owned() });
        }
        if !self.listen.ip().is_loopback() && self.api_keys_file.is_none() && !self.insecure {
            let problem = format!(
                "{} is not loopback, and anybody who reaches it could use every connection: \
                 set PULSE_API_KEYS_FILE, or give --insecure to serve without keys",
                self.listen
            );
            return Err(Error { setting: "PULSE_LISTEN", problem });
        }
        let data_dir = self.data_dir.unwrap_or_else(default_data_dir);
        let api_keys = self.api_keys_file.as_deref().map(read_api_keys).transpose()?;
        let cors_origins = self.cors_origins.iter().map(|origin| check_origin(origin)).collect::<Result<_, _>>()?;
        let statement_timeout = at_least_a_millisecond("PULSE_STATEMENT_TIMEOUT", self.statement_timeout)?;
        let databases = self.databases.check()?;
        if statement_timeout > databases.max_statement_timeout {
            let problem = "is longer than PULSE_MAX_STATEMENT_TIMEOUT; lower it, or raise that".to_owned();
            return Err(Error { setting: "PULSE_STATEMENT_TIMEOUT", problem });
        }
        Ok(Config {
            listen: self.listen,
            sqlite_dir: self.sqlite_dir.unwrap_or_else(|| data_dir.join("databases")),
            data_dir,
            store,
            lease,
            keep_for: self.keep_for,
            keep_workflows: self.keep_workflows,
            encryption_key,
            api_keys,
            cors_origins,
            step_timeout: at_least_a_millisecond("PULSE_STEP_TIMEOUT", self.step_timeout)?,
            input_timeout: at_least_a_millisecond("PULSE_INPUT_TIMEOUT", self.input_timeout)?,
            workflow_timeout: at_least_a_millisecond("PULSE_WORKFLOW_TIMEOUT", self.workflow_timeout)?,
            statement_timeout,
            heartbeat: at_least_a_millisecond("PULSE_HEARTBEAT", self.heartbeat)?,
            max_workflows: self.max_workflows,
            databases,
            telemetry: telemetry::Options { filter: self.log, format: self.log_format },
            model: self.model.check()?,
        })
    }
}

impl DatabaseSettings {
    fn check(self) -> Result<DatabaseConfig, Error> {
        const LARGEST_RESPONSE_BYTES: u32 = 3 << 20;
        let refused = |setting, problem: String| Error { setting, problem };
        if self.max_bytes > LARGEST_RESPONSE_BYTES {
            return Err(refused(
                "PULSE_MAX_BYTES",
                "must be at most 3MiB; larger results go by StreamQuery".to_owned(),
            ));
        }
        let ports = entries(self.allow_ports.as_deref()).map(|port| match port.parse::<u16>() {
            Ok(number) if (1..1024).contains(&number) => Ok(number),
            _ => {
                let problem = format!("`{port}` is no port from 1 to 1023; the others are allowed anyway");
                Err(refused("PULSE_ALLOW_PORTS", problem))
            }
        });
        let folders = entries(self.socket_dirs.as_deref()).map(|folder| match Path::new(folder) {
            folder if folder.is_absolute() => Ok(folder.to_owned()),
            _ => Err(refused("PULSE_SOCKET_DIRS", format!("`{folder}` must be an absolute path"))),
        });
        Ok(DatabaseConfig {
            allow_ports: ports.collect::<Result<_, _>>()?,
            socket_dirs: folders.collect::<Result<_, _>>()?,
            allow_hosts: self.allow_hosts.unwrap_or_default(),
            deny_hosts: self.deny_hosts.unwrap_or_default(),
            pool_size: self.pool_size,
            max_statement_timeout: at_least_a_millisecond("PULSE_MAX_STATEMENT_TIMEOUT", self.max_statement_timeout)?,
            max_rows: self.max_rows,
            max_bytes: self.max_bytes,
            stream_max_rows: self.stream_max_rows,
            stream_max_bytes: self.stream_max_bytes,
            schema_max_age: self.schema_max_age,
        })
    }
}

impl ModelSettings {
    /// The model's settings when a key or an endpoint is configured. Empty variables count as unset.
    pub fn check(self) -> Result<Option<ModelConfig>, Error> {
        let is_set = |text: &Option<String>| named(text.clone()).is_some();
        if !is_set(&self.openai_api_key) && !is_set(&self.openai_base_url) {
            return Ok(None);
        }
        self.check_unasked().map(Some)
    }

    /// The model's settings for a model that is not asked, so that it needs neither key nor endpoint.
    pub fn check_unasked(self) -> Result<ModelConfig, Error> {
        let api_key = named(self.openai_api_key);
        let base_url = named(self.openai_base_url);
        let base_url = base_url.unwrap_or_else(|| "https://api.openai.com/v1".to_owned());
        // Rules, question, mapping and feedback come on top of the schema.
        let full_call = u64::from(self.llm_schema_tokens) + 2 * u64::from(self.llm_max_tokens) + 8_000;
        let agents =
            [self.openai_temperature_planner, self.openai_temperature_mapper, self.openai_temperature_composer];
        let refused = |problem: &str| Err(Error { setting: "OPENAI_BASE_URL", problem: problem.to_owned() });
        let parsed = base_url.parse::<http::Uri>().ok();
        let parsed = parsed.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
        let Some(uri) = parsed else {
            return refused("not a URL such as https://api.openai.com/v1 or http://127.0.0.1:11434/v1");
        };
        // Here already, because the address is shown before it is used.
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return refused("must not hold a user name or password: put the key in OPENAI_API_KEY");
        }
        Ok(ModelConfig {
            api_key: api_key.map(SecretString::from),
            base_url: base_url.trim_end_matches('/').to_owned(),
            model: self.openai_model,
            planner_model: named(self.openai_model_planner),
            mapper_model: named(self.openai_model_mapper),
            composer_model: named(self.openai_model_composer),
            temperatures: agents.map(|own| own.unwrap_or(self.openai_temperature)),
            calls: self.llm_calls,
            max_calls: self.llm_max_calls,
            workflow_tokens: self.llm_workflow_tokens.unwrap_or_else(|| u64::from(self.llm_max_calls) * full_call),
            workflow_time: at_least_a_millisecond("PULSE_LLM_WORKFLOW_TIME", self.llm_workflow_time)?,
            concurrency: self.llm_concurrency,
            queue: self.llm_queue,
            connect_timeout: at_least_a_millisecond("PULSE_LLM_CONNECT_TIMEOUT", self.llm_connect_timeout)?,
            first_token_timeout: at_least_a_millisecond("PULSE_LLM_FIRST_TOKEN_TIMEOUT", self.llm_first_token_timeout)?,
            timeout: at_least_a_millisecond("PULSE_LLM_TIMEOUT", self.llm_timeout)?,
            total_timeout: at_least_a_millisecond("PULSE_LLM_TOTAL_TIMEOUT", self.llm_total_timeout)?,
            answer_tokens: self.llm_max_tokens,
            schema_tokens: self.llm_schema_tokens,
            share_values: self.llm_share_values,
            semantic_check: self.llm_semantic_check,
        })
    }
}

/// How many arenas the allocator of glibc may have: as many as there are processors, at least two, instead of eight times
/// as many. Each thread that waits for a SQLite file would fill one of its own, and what a million rows left in it would
/// stay there. `None` when the environment of the process tunes the allocator itself (mallopt(3), ld.so(8)).
#[must_use]
pub fn memory_arenas() -> Option<i32> {
    let tuned = ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"].iter().any(|name| std::env::var_os(name).is_some());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let most = i32::try_from(processors.max(2)).unwrap_or(i32::MAX);
    (!tuned).then_some(most)
}

/// Reads `.env` from the working directory, if there is one.
pub fn load_env_file() -> Result<(), Error> {
    match dotenvy::dotenv() {
        Ok(_) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        // The line itself may hold a key: it is not repeated.
        Err(dotenvy::Error::LineParse(..)) => {
            let problem = "a line is not of the form NAME=value (quote values with spaces)".to_owned();
            Err(Error { setting: ".env", problem })
        }
        Err(error) => Err(Error { setting: ".env", problem: format!("cannot be read: {error}") }),
    }
}

/// Reads a span of time such as `500ms`, `30s`, `5m` or `1h 30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| "not a span of time such as 500ms, 30s or 5m".to_owned())?;
    Duration::try_from(span).map_err(|_| "must not be negative".to_owned())
}

/// Reads a temperature.
fn temperature(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=2.0).contains(number));
    number.ok_or_else(|| "not a number from 0 to 2, such as 0.2".to_owned())
}

/// Reads a size such as `3MiB`, `64KiB`, `1GiB` or a number of bytes.
fn bytes(text: &str) -> Result<u32, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|one: char| one.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kib" => Some(1 << 10),
        "mib" => Some(1 << 20),
        "gib" => Some(1 << 30),
        _ => None,
    };
    let size = unit.zip(digits.parse::<u32>().ok()).and_then(|(unit, number)| number.checked_mul(unit));
    size.filter(|size| *size > 0).ok_or_else(|| "not a size such as 64KiB, 3MiB or 1GiB, below 4GiB".to_owned())
}

/// The entries of a comma-separated list.
fn entries(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.unwrap_or_default().split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// An empty variable counts as unset.
fn named(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

/// `PULSE_STORE` wins over `REDIS_URL`.
fn check_store(store: Option<String>, redis_url: Option<String>) -> Result<StoreConfig, Error> {
    let (setting, url) = match (store, redis_url) {
        (Some(store), _) => ("PULSE_STORE", store),
        (None, Some(url)) => ("REDIS_URL", url),
        (None, None) => return Ok(StoreConfig::Embedded),
    };
    if setting == "PULSE_STORE" && url == "embedded" {
        return Ok(StoreConfig::Embedded);
    }
    let scheme = url.split("://").next().unwrap_or_default();
    let kind = scheme.strip_prefix("rediss").or_else(|| scheme.strip_prefix("redis"));
    if scheme.len() == url.len() || !matches!(kind, Some("" | "-sentinel" | "-cluster")) {
        // The URL may hold a password: it is not repeated.
        let problem = "neither `embedded` nor a URL that begins with redis://, rediss://, redis-sentinel:// or \
                       redis-cluster://";
        return Err(Error { setting, problem: problem.to_owned() });
    }
    Ok(StoreConfig::Redis { setting, url: SecretString::from(url) })
}

fn at_least_a_millisecond(setting: &'static str, span: Duration) -> Result<Duration, Error> {
    if span < Duration::from_millis(1) {
        return Err(Error { setting, problem: "must be at least 1ms".to_owned() });
    }
    Ok(span)
}

fn default_data_dir() -> PathBuf {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    home.map_or_else(|| PathBuf::from("pulse-data"), |home| Path::new(&home).join(".local/share/pulse"))
}

fn read_api_keys(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| Error {
        setting: "PULSE_API_KEYS_FILE",
        problem: format!("{} cannot be read: {error}", path.display()),
    })
}

fn check_origin(origin: &str) -> Result<http::HeaderValue, Error> {
    let refused = || Error {
        setting: "PULSE_CORS_ORIGINS",
        problem: format!("`{origin}` is not an origin such as https://pulse.example.org"),
    };
    let uri: http::Uri = origin.trim().parse().map_err(|_| refused())?;
    let bare = uri.path_and_query().is_none_or(|rest| rest.as_str() == "/") && !origin.trim().ends_with('/');
    if uri.scheme().is_none() || uri.host().is_none() || !bare {
        return Err(refused());
    }
    http::HeaderValue::from_str(origin.trim()).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        settings: Settings,
    }

    fn check(flags: &[&str], expected: Result<(), &str>) {
        let parsed = Program::try_parse_from(std::iter::once(&"pulse").chain(flags)).map_err(|error| error.to_string());
        let result = parsed.and_then(|program| program.settings.check().map_err(|error| error.to_string()));
        match (result, expected) {
            (Ok(_), Ok(())) => {}
            (Err(message), Err(part)) => assert!(message.contains(part), "{flags:?}: {message}"),
            (result, expected) => panic!("{flags:?}: {:?}, not {expected:?}", result.map(|_| ())),
        }
    }

    #[test]
    fn bad_settings_are_named_with_a_remedy() {
        check(&[], Ok(()));
        check(&["--listen", "0.0.0.0:50051"], Err("PULSE_API_KEYS_FILE, or give --insecure"));
        check(&["--listen", "0.0.0.0:50051", "--insecure"], Ok(()));
        check(&["--listen", "nowhere"], Err("--listen"));
        check(&["--store", "redis://127.0.0.1"], Err("PULSE_ENCRYPTION_KEY: is required with Redis"));
        check(&["--redis-url", "redis://127.0.0.1"], Err("PULSE_ENCRYPTION_KEY: is required with Redis"));
        check(&["--store", "embedded", "--redis-url", "redis://127.0.0.1"], Ok(()));
        for store in ["redis://h", "rediss://:p@h/1", "redis-sentinel://h", "rediss-cluster://h"] {
            check(&["--store", store, "--encryption-key", "k"], Ok(()));
        }
        for store in ["redis", "sqlite://x", "redis-quorum://h", ""] {
            let expected = if store.is_empty() { Ok(()) } else { Err("PULSE_STORE: neither `embedded` nor a URL") };
            check(&["--store", store], expected);
        }
        check(&["--step-timeout", "0s"], Err("PULSE_STEP_TIMEOUT: must be at least 1ms"));
        check(&["--step-timeout", "soon"], Err("such as 500ms, 30s or 5m"));
        check(&["--openai-base-url", "models"], Err("OPENAI_BASE_URL"));
        check(&["--openai-base-url", "http://user:secret@127.0.0.1:9/v1"], Err("OPENAI_BASE_URL"));
        check(&["--openai-temperature-mapper", "2.5"], Err("not a number from 0 to 2"));
        check(&["--cors-origins", "https://a.example/path"], Err("PULSE_CORS_ORIGINS"));
        check(&["--cors-origins", "https://a.example,http://localhost:5173"], Ok(()));
        check(&["--api-keys-file", "/does/not/exist"], Err("PULSE_API_KEYS_FILE"));
        check(&["--max-workflows", "0"], Err("--max-workflows"));
        check(&["--allow-ports", "443, 80,"], Ok(()));
        check(&["--allow-ports", "5432"], Err("PULSE_ALLOW_PORTS: `5432` is no port from 1 to 1023"));
        check(&["--socket-dirs", "/run/postgresql,/tmp"], Ok(()));
        check(&["--socket-dirs", "run"], Err("PULSE_SOCKET_DIRS: `run` must be an absolute path"));
        check(&["--statement-timeout", "11m"], Err("PULSE_STATEMENT_TIMEOUT: is longer than PULSE_MAX_STATEMENT_TIME"));
        check(&["--statement-timeout", "11m", "--max-statement-timeout", "1h"], Ok(()));
        check(&["--pool-size", "0"], Err("--pool-size"));
        check(&["--lease", "10ms"], Err("PULSE_LEASE: must be from 1s to 10m"));
        check(&["--keep-workflows", "0"], Err("--keep-workflows"));
        check(&["--max-rows", "10001"], Err("--max-rows"));
        check(&["--max-bytes", "4MiB"], Err("PULSE_MAX_BYTES: must be at most 3MiB"));
        check(&["--max-bytes", "3 MB"], Err("such as 64KiB, 3MiB or 1GiB"));
        check(&["--stream-max-bytes", "8GiB"], Err("below 4GiB"));
    }

    #[test]
    fn sizes_have_units() {
        for (text, size) in [("1", 1), ("7b", 7), ("64KiB", 65_536), ("3 MiB", 0), ("3mib", 3 << 20), ("1GiB", 1 << 30)]
        {
            assert_eq!(bytes(text).unwrap_or(0), size, "{text}");
        }
        for text in ["", "0", "MiB", "-1", "1.5MiB", "3MB", "4GiB", "1GiBs"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_model_is_there_with_a_key_or_an_endpoint() {
        let model = |flags: &[&str]| {
            let program = Program::try_parse_from(std::iter::once(&"pulse").chain(flags)).unwrap();
            program.settings.check().unwrap().model
        };
        assert!(model(&["--openai-api-key", " "]).is_none());
        assert_eq!(model(&["--openai-api-key", "k"]).unwrap().base_url, "https://api.openai.com/v1");
        let local = model(&["--openai-base-url", "http://127.0.0.1:11434/v1/"]).unwrap();
        assert_eq!((local.base_url.as_str(), local.api_key.is_some()), ("http://127.0.0.1:11434/v1", false));
    }
}
