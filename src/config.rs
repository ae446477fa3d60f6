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

    /// Where records live; `embedded` keeps them in DATA_DIR
    #[arg(long, env = "PULSE_STORE", default_value = "embedded", value_name = "URL")]
    pub store: String,

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

    /// Longest a workflow may take unless its call says less
    #[arg(long, env = "PULSE_WORKFLOW_TIMEOUT", default_value = "5m", value_parser = duration, value_name = "TIME")]
    pub workflow_timeout: Duration,

    /// Longest a statement may run unless its call says less
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

    /// The language model.
    #[command(flatten)]
    pub model: ModelSettings,
}

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

    /// Model calls one workflow may make
    #[arg(long, env = "PULSE_LLM_MAX_CALLS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100), value_name = "COUNT")]
    pub llm_max_calls: u32,

    /// Model calls at the same time
    #[arg(long, env = "PULSE_LLM_MAX_CONCURRENT", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000), value_name = "COUNT")]
    pub llm_concurrency: u32,

    /// Longest one exchange with the endpoint may take
    #[arg(long, env = "PULSE_LLM_TIMEOUT", default_value = "30s", value_parser = duration, value_name = "TIME")]
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
    /// Key-encryption keys as configured; `None` uses the generated file.
    pub encryption_key: Option<SecretString>,
    /// Text of the API keys file.
    pub api_keys: Option<String>,
    /// Allowed origins.
    pub cors_origins: Vec<http::HeaderValue>,
    /// Longest one attempt of a step may take.
    pub step_timeout: Duration,
    /// Longest a workflow may take.
    pub workflow_timeout: Duration,
    /// Longest a statement may run.
    pub statement_timeout: Duration,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// Workflows that run at the same time.
    pub max_workflows: u32,
    /// Log lines.
    pub telemetry: telemetry::Options,
    /// The language model, when one is configured.
    pub model: Option<ModelConfig>,
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
    /// Model calls one workflow may make.
    pub max_calls: u32,
    /// Calls at the same time.
    pub concurrency: u32,
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
        if self.store != "embedded" {
            let problem = "only `embedded` is there in this version; leave it unset".to_owned();
            return Err(Error { setting: "PULSE_STORE", problem });
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
        Ok(Config {
            listen: self.listen,
            sqlite_dir: self.sqlite_dir.unwrap_or_else(|| data_dir.join("databases")),
            data_dir,
            encryption_key: self.encryption_key.filter(|key| !key.trim().is_empty()).map(SecretString::from),
            api_keys,
            cors_origins,
            step_timeout: at_least_a_millisecond("PULSE_STEP_TIMEOUT", self.step_timeout)?,
            workflow_timeout: at_least_a_millisecond("PULSE_WORKFLOW_TIMEOUT", self.workflow_timeout)?,
            statement_timeout: at_least_a_millisecond("PULSE_STATEMENT_TIMEOUT", self.statement_timeout)?,
            heartbeat: at_least_a_millisecond("PULSE_HEARTBEAT", self.heartbeat)?,
            max_workflows: self.max_workflows,
            telemetry: telemetry::Options { filter: self.log, format: self.log_format },
            model: self.model.check()?,
        })
    }
}

impl ModelSettings {
    /// The model's settings when a key or an endpoint is configured. Empty variables count as unset.
    fn check(self) -> Result<Option<ModelConfig>, Error> {
        let named = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let api_key = named(self.openai_api_key);
        let base_url = named(self.openai_base_url);
        if api_key.is_none() && base_url.is_none() {
            return Ok(None);
        }
        let base_url = base_url.unwrap_or_else(|| "https://api.openai.com/v1".to_owned());
        let parsed = base_url.parse::<http::Uri>().ok();
        if !parsed.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()) {
            let problem = "not a URL such as https://api.openai.com/v1 or http://127.0.0.1:11434/v1".to_owned();
            return Err(Error { setting: "OPENAI_BASE_URL", problem });
        }
        Ok(Some(ModelConfig {
            api_key: api_key.map(SecretString::from),
            base_url: base_url.trim_end_matches('/').to_owned(),
            model: self.openai_model,
            planner_model: named(self.openai_model_planner),
            mapper_model: named(self.openai_model_mapper),
            composer_model: named(self.openai_model_composer),
            max_calls: self.llm_max_calls,
            concurrency: self.llm_concurrency,
            timeout: at_least_a_millisecond("PULSE_LLM_TIMEOUT", self.llm_timeout)?,
            total_timeout: at_least_a_millisecond("PULSE_LLM_TOTAL_TIMEOUT", self.llm_total_timeout)?,
            answer_tokens: self.llm_max_tokens,
            schema_tokens: self.llm_schema_tokens,
            share_values: self.llm_share_values,
        }))
    }
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
        check(&["--store", "redis://127.0.0.1"], Err("PULSE_STORE"));
        check(&["--step-timeout", "0s"], Err("PULSE_STEP_TIMEOUT: must be at least 1ms"));
        check(&["--step-timeout", "soon"], Err("such as 500ms, 30s or 5m"));
        check(&["--openai-base-url", "models"], Err("OPENAI_BASE_URL"));
        check(&["--cors-origins", "https://a.example/path"], Err("PULSE_CORS_ORIGINS"));
        check(&["--cors-origins", "https://a.example,http://localhost:5173"], Ok(()));
        check(&["--api-keys-file", "/does/not/exist"], Err("PULSE_API_KEYS_FILE"));
        check(&["--max-workflows", "0"], Err("--max-workflows"));
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
