//! Statements on saved connections.

use std::time::Duration;

use super::evidence;
use super::failures::from_refusal;
use crate::connections::{Directory, from_sql};
use crate::domain::evidence::Evidence;
use crate::domain::outputs::{Check, CheckKind, ComposerOutput, Verdict};
use crate::domain::{
    Connection, ConnectionId, Facts, Failure, Principal, Reason, ResultColumn, Row, Source, SqlError, Value,
};
use crate::sql::guard::{self, Policy};
use crate::sql::{self, Database, GuardedSql, Limits, Plan, RowStream, Summary, Truncation};

/// Caps of the server; a connection's own limits may only lower them.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rows of a unary result when the call names none.
    pub default_rows: u32,
    /// Rows of a unary result at most.
    pub max_rows: u32,
    /// Bytes of a unary result at most.
    pub max_bytes: u32,
    /// Rows of a stream at most.
    pub max_stream_rows: u32,
    /// Bytes of a stream at most.
    pub max_stream_bytes: u32,
    /// Longest a statement may run.
    pub statement_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            default_rows: 1_000,
            max_rows: 10_000,
            max_bytes: 3 << 20,
            max_stream_rows: 1_000_000,
            max_stream_bytes: 1 << 30,
            statement_timeout: Duration::from_secs(30),
        }
    }
}

/// A statement with its bound values.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// One statement.
    pub sql: String,
    /// Values of its placeholders, in order.
    pub parameters: Vec<Value>,
}

/// Limits that a call asks for; what is above the server's is lowered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestedLimits {
    /// Rows.
    pub max_rows: Option<u32>,
    /// Bytes.
    pub max_bytes: Option<u32>,
    /// Longest time.
    pub timeout: Option<Duration>,
}

/// A whole result within its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    /// Columns, also when there are no rows.
    pub columns: Vec<ResultColumn>,
    /// Rows up to the limits.
    pub rows: Vec<Row>,
    /// How many rows those are.
    pub row_count: usize,
    /// Set when rows were left out.
    pub truncated: Option<Truncation>,
    /// Time in the database.
    pub execution_time: Duration,
}

/// A running statement. Dropping it ends the statement.
#[derive(Debug)]
pub struct QueryStream {
    stream: RowStream,
}

impl QueryStream {
    /// Columns of the result.
    #[must_use]
    pub fn columns(&self) -> &[ResultColumn] {
        &self.stream.columns
    }

    /// The next rows, about 256 KiB of them; `None` when there are no more.
    pub async fn next(&mut self) -> Option<Vec<Row>> {
        self.stream.next_batch().await
    }

    /// How it ended; after the last batch.
    pub async fn finish(self) -> Result<Summary, Failure> {
        self.stream.summary().await.map_err(from_sql)
    }
}

/// What the guard and the database's planner say of a statement.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Validation {
    /// Each check with its verdict, in the order they were made.
    pub checks: Vec<Check>,
    /// Why it would not run; `None` when it would.
    pub failure: Option<Failure>,
    /// Columns of its result.
    pub columns: Vec<ResultColumn>,
    /// Tables that it reads, as it names them.
    pub tables: Vec<String>,
    /// The planner's plan as text.
    pub plan: String,
}

/// Runs statements. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    directory: Directory,
    options: Options,
}

impl Service {
    /// A service over the connections of the directory.
    #[must_use]
    pub fn new(directory: Directory, options: Options) -> Self {
        Self { directory, options }
    }

    /// Runs one statement and returns its rows up to the limits. Dropping the future ends the statement.
    pub async fn execute(
        &self,
        who: &Principal,
        connection: ConnectionId,
        statement: Statement,
        requested: RequestedLimits,
    ) -> Result<QueryResult, Failure> {
        let (connection, database) = self.directory.database(who, connection).await?;
        let guarded = admit(&connection, &statement.sql)?;
        let limits = self.unary_limits(&connection, requested);
        let outcome = database.execute(&guarded, &statement.parameters, limits).await;
        let result = outcome.map_err(|error| refused(&connection, error))?;
        record(&connection, result.rows.len(), result.truncated, result.execution_time);
        let sql::ResultSet { columns, rows, truncated, execution_time } = result;
        Ok(QueryResult { row_count: rows.len(), columns, rows, truncated, execution_time })
    }

    /// Runs one statement and hands its rows on as the reader takes them.
    pub async fn stream(
        &self,
        who: &Principal,
        connection: ConnectionId,
        statement: Statement,
        requested: RequestedLimits,
    ) -> Result<QueryStream, Failure> {
        let (connection, database) = self.directory.database(who, connection).await?;
        let guarded = admit(&connection, &statement.sql)?;
        let limits = self.stream_limits(&connection, requested);
        let stream = database.stream(guarded, statement.parameters, limits).await;
        Ok(QueryStream { stream: stream.map_err(|error| refused(&connection, error))? })
    }

    /// Says what the guard and the planner think; nothing runs.
    pub async fn validate(
        &self,
        who: &Principal,
        connection: ConnectionId,
        statement: Statement,
    ) -> Result<Validation, Failure> {
        let (connection, database) = self.directory.database(who, connection).await?;
        let guarded = match admit(&connection, &statement.sql) {
            Ok(guarded) => guarded,
            Err(refusal) => return Ok(refused_by_guard(refusal)),
        };
        let tables = guarded.analysis().tables.iter().map(|table| table.name.clone()).collect();
        let (planner, failure, plan) = match database.explain(&guarded, &statement.parameters).await {
            Ok(plan) => (check(CheckKind::Planner, Verdict::Passed, "the database has a plan for it"), None, plan),
            Err(sql::Error::Unavailable(problem)) => return Err(from_sql(sql::Error::Unavailable(problem))),
            Err(sql::Error::Busy) => return Err(from_sql(sql::Error::Busy)),
            Err(error) => {
                let failure = from_sql(error);
                (check(CheckKind::Planner, Verdict::Failed, &failure.message), Some(failure), Plan::default())
            }
        };
        let checks = vec![
            check(CheckKind::Parse, Verdict::Passed, "one statement that parses"),
            check(CheckKind::ReadOnly, Verdict::Passed, "it only reads"),
            planner,
        ];
        Ok(Validation { checks, failure, columns: plan.columns, tables, plan: plan.text })
    }

    /// Measures a proposed statement for the validator. An inline schema has no planner to ask.
    pub async fn evidence(
        &self,
        who: &Principal,
        source: &Source,
        facts: &Facts,
        proposal: &ComposerOutput,
    ) -> Result<Evidence, Failure> {
        let (policy, database) = match source {
            Source::Connection(id) => {
                let (connection, database) = self.directory.database(who, *id).await?;
                (policy(&connection), Some(database))
            }
            Source::InlineSchema(schema) => (Policy::read_only(schema.dialect), None),
        };
        evidence::measure(&policy, database.as_ref(), facts, proposal).await
    }

    fn unary_limits(&self, connection: &Connection, requested: RequestedLimits) -> Limits {
        let own = connection.limits;
        let options = &self.options;
        Limits {
            max_rows: least([
                Some(options.max_rows),
                own.max_rows,
                Some(requested.max_rows.unwrap_or(options.default_rows)),
            ]),
            max_bytes: least([Some(options.max_bytes), own.max_bytes, requested.max_bytes]),
            timeout: self.timeout(connection, requested),
        }
    }

    fn stream_limits(&self, connection: &Connection, requested: RequestedLimits) -> Limits {
        Limits {
            max_rows: least([Some(self.options.max_stream_rows), requested.max_rows]),
            max_bytes: least([Some(self.options.max_stream_bytes), requested.max_bytes]),
            timeout: self.timeout(connection, requested),
        }
    }

    fn timeout(&self, connection: &Connection, requested: RequestedLimits) -> Duration {
        let limits = [connection.limits.statement_timeout, requested.timeout];
        limits.into_iter().flatten().fold(self.options.statement_timeout, Duration::min)
    }
}

fn least<const COUNT: usize>(limits: [Option<u32>; COUNT]) -> u64 {
    limits.into_iter().flatten().min().map_or(u64::MAX, u64::from)
}

fn check(kind: CheckKind, verdict: Verdict, detail: &str) -> Check {
    Check { kind, verdict, detail: detail.to_owned() }
}

/// The checks after the one that the guard failed are not made.
fn refused_by_guard(refusal: Failure) -> Validation {
    let (parse, read_only) = match refusal.reason {
        Reason::SqlNotUnderstood => (Verdict::Failed, Verdict::Skipped),
        _ => (Verdict::Passed, Verdict::Failed),
    };
    let detail = |verdict| match verdict {
        Verdict::Failed => refusal.message.as_str(),
        Verdict::Skipped => "an earlier check failed",
        _ => "it parses",
    };
    let checks = vec![
        check(CheckKind::Parse, parse, detail(parse)),
        check(CheckKind::ReadOnly, read_only, detail(read_only)),
        check(CheckKind::Planner, Verdict::Skipped, "an earlier check failed"),
    ];
    Validation { checks, failure: Some(refusal), ..Validation::default() }
}

/// The only way from text to execution.
fn admit(connection: &Connection, text: &str) -> Result<GuardedSql, Failure> {
    guard::check(text, &policy(connection)).map_err(|refusal| from_refusal(&refusal))
}

fn policy(connection: &Connection) -> Policy {
    Policy { dialect: connection.kind, allowed_functions: connection.allowed_functions.clone() }
}

/// `None` when the planner accepts the statement; a failure only when it could not be asked.
pub(super) async fn planner_error(
    database: &Database,
    guarded: &GuardedSql,
    parameters: &[Value],
) -> Result<Option<SqlError>, Failure> {
    match database.explain(guarded, parameters).await {
        Ok(_) => Ok(None),
        Err(sql::Error::Refused(error)) => Ok(Some(error)),
        Err(error) => Err(from_sql(error)),
    }
}

fn refused(connection: &Connection, error: sql::Error) -> Failure {
    let failure = from_sql(error);
    tracing::info!(connection = %connection.id, reason = ?failure.reason, "query refused");
    failure
}

/// One line a statement. Never its text: it may hold what people look for.
fn record(connection: &Connection, rows: usize, truncated: Option<Truncation>, time: Duration) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(connection = %connection.id, rows, ?truncated, micros, "query ran");
}
