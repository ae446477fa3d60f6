//! The commands, and what each exit code says.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;

use super::{ask, demo, descriptors, eval, guard, health, knowledge, model, serve};
use crate::config::{ModelSettings, Settings};
use crate::pb::v1::resume_workflow_request::Action;
use crate::pb::v1::{Approve, Reject};

/// Chat with SQL databases over gRPC.
#[derive(Debug, Parser)]
#[command(name = "pulse", version, about, max_term_width = 100)]
#[command(after_help = "Every setting is also an environment variable, shown in brackets; a .env file is read.\n\n\
    Exit codes: 0 answered, 1 not answered (the reason is printed), 2 wrong usage or settings, \
    3 cancelled, 4 the call itself failed.")]
pub struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve gRPC, gRPC-Web and /health
    Serve(ServeArguments),
    /// Create the demo database, serve it, ask three questions and show each agent's step
    Demo(DemoArguments),
    /// Ask a running server a question and watch the agents
    Ask(AskArguments),
    /// Answer a workflow that waits for a person, and watch it go on
    Resume(ResumeArguments),
    /// Say whether a running server is ready
    Health(ServerArguments),
    /// What people know of a database: definitions and verified examples
    #[command(subcommand)]
    Knowledge(KnowledgeCommand),
    /// Ask the questions of whole sets and say how many answers are right
    ///
    /// An answer is right when its rows are those of the gold SQL; the order counts where the gold SQL orders. Questions
    /// whose `gold_sql` is null have no answer: to abstain is right. Figures are told by suite, by difficulty and in total,
    /// with and without the questions that the suite flags. The exit code is 1 when they say less than they seem to: a
    /// question could not be asked, because the model was not there or a recording lacks, or its gold SQL gives nothing to
    /// compare with.
    Eval(Box<EvalArguments>),
    /// The configured language model
    #[command(subcommand)]
    Model(ModelCommand),
    /// Say which SQL statements the guard lets through
    ///
    /// Standard input holds one statement a line, as a JSON string. Each line is answered with one line: `allow`, or `deny`,
    /// the rule, the reason and the position (a character counted from 1, 0 when unknown) with tabs between them. A line that
    /// is no JSON string is denied with the rule `input`. The exit code is 0 whatever the answers are.
    Guard(GuardArguments),
    /// Print the contract as an encoded set of descriptors
    ///
    /// For gateways, `grpcurl -protoset`, and whatever else reads descriptors: every service and message of Pulse with its
    /// comments, and the messages that error details are made of.
    Descriptors,
}

/// Arguments of `pulse serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// Add the demo database as the connection `demo`
    #[arg(long)]
    pub(super) demo: bool,
    #[command(flatten)]
    pub(super) settings: Settings,
}

/// Arguments of `pulse demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Stop after the questions
    #[arg(long)]
    pub(super) once: bool,
    #[command(flatten)]
    pub(super) settings: Settings,
}

/// Commands of `pulse model`.
#[derive(Debug, Subcommand)]
pub(super) enum ModelCommand {
    /// Ask the configured endpoint a small question and say what it can do
    ///
    /// Whether it is reachable, accepts the key and knows the model; how the form of an answer can be asked for; whether it
    /// streams and reports usage; how fast it is. The exit code is 0 when questions can be answered with every model
    /// that is configured, otherwise 1.
    Check(ModelSettings),
}

/// Where a running server is, and who is calling.
#[derive(Debug, Clone, Args)]
pub(super) struct ServerArguments {
    /// Address of the server
    #[arg(long, env = "PULSE_SERVER", default_value = "http://127.0.0.1:50051", value_name = "URL")]
    pub(super) server: String,
    /// API key
    #[arg(long, env = "PULSE_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub(super) api_key: Option<String>,
}

/// Arguments of `pulse ask`.
#[derive(Debug, Args)]
pub(super) struct AskArguments {
    /// The question, in plain language
    pub(super) question: String,
    /// Name or id of a saved connection
    #[arg(long, short, env = "PULSE_CONNECTION", value_name = "NAME_OR_ID")]
    pub(super) connection: String,
    /// Who plays the agents
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) engine: EngineArgument,
    /// Stop before the SQL is run
    #[arg(long)]
    pub(super) no_execute: bool,
    /// Ask before the SQL is run
    #[arg(long, conflicts_with = "no_execute")]
    pub(super) approve: bool,
    /// Id of the workflow that the question follows up, as in "and only for 2024?"
    #[arg(long, value_name = "WORKFLOW")]
    pub(super) follow_up: Option<String>,
    /// How often the composer may try again [default: 3]
    #[arg(long, value_name = "COUNT")]
    pub(super) max_retries: Option<i32>,
    /// Statements to compose beside each other, 1 to 5; the rows that most of them return are the answer
    /// [default: 1, or 3 when the planner calls the question hard]
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    pub(super) candidates: i32,
    /// Print every event as one line of JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) server: ServerArguments,
}

/// Commands of `pulse knowledge`.
#[derive(Debug, Subcommand)]
pub(super) enum KnowledgeCommand {
    /// Print a connection's definitions and examples as YAML
    Export(ExportArguments),
    /// Replace a connection's definitions and examples by those of a YAML document
    ///
    /// All of it is checked against the database first. When something does not hold, everything that is wrong is printed and
    /// nothing is saved.
    Import(ImportArguments),
}

/// Arguments of `pulse knowledge export`.
#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    /// Name or id of a saved connection
    #[arg(value_name = "CONNECTION")]
    pub(super) connection: String,
    #[command(flatten)]
    pub(super) server: ServerArguments,
}

/// Arguments of `pulse resume`.
#[derive(Debug, Args)]
pub(super) struct ResumeArguments {
    /// Id of the workflow
    #[arg(value_name = "WORKFLOW")]
    pub(super) id: String,
    #[command(flatten)]
    pub(super) action: ResumeAction,
    #[command(flatten)]
    pub(super) server: ServerArguments,
}

/// Arguments of `pulse knowledge import`.
#[derive(Debug, Args)]
pub(super) struct ImportArguments {
    /// Name or id of a saved connection
    #[arg(value_name = "CONNECTION")]
    pub(super) connection: String,
    /// The document; `-` for standard input
    pub(super) file: PathBuf,
    /// Only check it
    #[arg(long)]
    pub(super) check: bool,
    #[command(flatten)]
    pub(super) server: ServerArguments,
}

/// What a person says to a workflow; one of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct ResumeAction {
    /// Answer its question
    #[arg(long, value_name = "TEXT")]
    answer: Option<String>,
    /// Let its SQL run
    #[arg(long)]
    approve: bool,
    /// Do not let its SQL run; the workflow ends
    #[arg(long, value_name = "REASON")]
    reject: Option<String>,
    /// Run this SQL instead, after the same checks
    #[arg(long, value_name = "SQL")]
    sql: Option<String>,
}

impl ResumeAction {
    /// The one that was given; clap lets no call pass without one.
    pub(super) fn given(self) -> Action {
        match self {
            Self { answer: Some(text), .. } => Action::Answer(text),
            Self { reject: Some(reason), .. } => Action::Reject(Reject { reason }),
            Self { sql: Some(sql), .. } => Action::EditedSql(sql),
            Self { approve: _, .. } => Action::Approve(Approve {}),
        }
    }
}

/// Engines as a person writes them.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum EngineArgument {
    /// The model when one is configured, otherwise builtin.
    Auto,
    /// The configured model.
    Openai,
    /// The built-in engine.
    Builtin,
}

/// What figures may be told by, beside suite and difficulty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum By {
    /// The database of a question.
    Database,
    /// Its `kind`, where the suite gives one.
    Kind,
}

/// Arguments of `pulse eval`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Args)]
pub(super) struct EvalArguments {
    /// Questions, one JSON object a line: id, db, question, and for figures `gold_sql`; may be given several times
    #[arg(long, value_name = "FILE", required = true)]
    pub(super) suite: Vec<PathBuf>,
    /// Folder of the databases, DB.sqlite each
    #[arg(long, value_name = "DIR", required_unless_present = "database_url")]
    pub(super) databases: Option<PathBuf>,
    /// Databases of a server instead; {db} stands for the name of each, as in `postgres://USER:PASSWORD@HOST/{db}`
    #[arg(long, env = "PULSE_EVAL_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    #[arg(conflicts_with_all = ["databases", "alt", "context", "check_gold"])]
    pub(super) database_url: Option<SecretString>,
    /// Folder of a second state of the databases: where it has one, an answer must be right there too
    #[arg(long, value_name = "DIR")]
    pub(super) alt: Option<PathBuf>,
    /// Who answers; a model does so in whole workflows, with repairs, checks and budgets
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) engine: EngineArgument,
    /// Tell figures by this as well; may be given several times
    #[arg(long, value_enum, value_name = "FIELD")]
    pub(super) by: Vec<By>,
    /// Put the evidence of a question behind it
    #[arg(long)]
    pub(super) evidence: bool,
    /// The day of the questions, such as 2026-11-23 [default: today]
    #[arg(long, value_name = "DATE")]
    pub(super) today: Option<jiff::civil::Date>,
    /// Where to write {"id","sql"} lines; null means abstained
    #[arg(long, value_name = "FILE")]
    pub(super) predictions: Option<PathBuf>,
    /// Answer nothing; score these {"id","sql"} lines
    #[arg(long, value_name = "FILE", conflicts_with = "predictions")]
    pub(super) score: Option<PathBuf>,
    /// Keep every answer of the model in this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["score", "replay"])]
    pub(super) record: Option<PathBuf>,
    /// Take the model's answers from this folder; no model is asked, and none needs to be configured
    #[arg(long, value_name = "DIR", conflicts_with = "score")]
    pub(super) replay: Option<PathBuf>,
    /// Answer nothing; say for how many questions a model would be told of all tables that the gold SQL reads
    #[arg(long, conflicts_with_all = ["predictions", "score", "record", "replay"])]
    pub(super) context: bool,
    /// Answer nothing; say which gold statements the validator would have a model look at again
    #[arg(long, conflicts_with_all = ["predictions", "score", "record", "replay", "context"])]
    pub(super) check_gold: bool,
    /// With --context: all databases as one
    #[arg(long, requires = "context")]
    pub(super) merged: bool,
    /// With --context: longest description of a schema, in tokens
    #[arg(long, requires = "context", default_value_t = 4_000, value_name = "COUNT")]
    pub(super) schema_tokens: usize,
    /// Databases, or questions to a model, at the same time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..), value_name = "COUNT")]
    pub(super) jobs: u8,
    #[command(flatten)]
    pub(super) model: ModelSettings,
}

/// Arguments of `pulse guard`.
#[derive(Debug, Args)]
pub(super) struct GuardArguments {
    /// Which SQL the statements are written in
    #[arg(long, value_enum)]
    pub(super) dialect: Dialect,
}

/// Dialects as a person writes them.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// SQLite.
    Sqlite,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Done; for a question: answered.
    Done,
    /// The question was not answered, or the server is not ready.
    NotAnswered,
    /// The workflow was cancelled.
    Cancelled,
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Settings or arguments are wrong.
    #[error("{0}")]
    Usage(String),
    /// The call itself failed.
    #[error("{0}")]
    Call(String),
}

impl From<crate::config::Error> for Error {
    fn from(error: crate::config::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Runs the command and says how it ended.
pub async fn run(program: Program) -> ExitCode {
    let outcome = match program.command {
        Command::Serve(arguments) => serve::run(arguments).await,
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Ask(arguments) => ask::run(arguments).await,
        Command::Resume(arguments) => ask::resume(arguments).await,
        Command::Health(arguments) => health::run(arguments).await,
        Command::Knowledge(KnowledgeCommand::Export(arguments)) => knowledge::export(arguments).await,
        Command::Knowledge(KnowledgeCommand::Import(arguments)) => knowledge::import(arguments).await,
        Command::Eval(arguments) => eval::run(*arguments).await,
        Command::Model(ModelCommand::Check(settings)) => model::check(settings).await,
        Command::Guard(arguments) => guard::run(&arguments),
        Command::Descriptors => descriptors::run(),
    };
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::NotAnswered) => ExitCode::from(1),
        Ok(Outcome::Cancelled) => ExitCode::from(3),
        Err(error) => {
            eprintln!("pulse: {error}");
            ExitCode::from(match error {
                Error::Usage(_) => 2,
                Error::Call(_) => 4,
            })
        }
    }
}
