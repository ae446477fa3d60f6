//! The use case itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream;
use moka::future::Cache;
use tokio_util::sync::CancellationToken;

use super::types::{Intent, Options, QueryResult, QueryStream, RequestedLimits, Statement, StreamItem, Validation};
use super::{doubts, evidence, writes};
use crate::connections::{self, Directory};
use crate::domain::evidence::{Evidence, GuardVerdict, PlannerVerdict, UnknownName};
use crate::domain::outputs::{Check, CheckKind, ComposerOutput, Estimate, Verdict};
use crate::domain::{
    AccessMode, Connection, ConnectionId, ConnectionLimits, DatabaseKind, Facts, Failure, Formula, Principal, Reason,
    Schema, Source, SqlError, TablePath, Value, ValueIndex,
};
use crate::sql::analyse::TableUse;
use crate::sql::guard::{self, Effect, Policy, Refusal, Rule, Writes};
use crate::sql::{Database, Error, GuardedSql, Limits, Plan, ResultSet, Written, analyse};
use crate::store::Store;

/// Memory for statements that passed the guard, and about how much of it a byte of text takes with its tree of facts.
const PASSED_BYTES: u64 = 4 << 20;
const BYTES_PER_PASSED_BYTE: usize = 20;

/// What is said of checks that were not made.
const EARLIER: &str = "an earlier check failed";

/// Where target databases come from; `connections` is the real one.
#[async_trait]
pub trait Databases: Send + Sync {
    /// The connection of the caller's tenant and its database.
    async fn database(&self, who: &Principal, id: ConnectionId) -> Result<(Arc<Connection>, Database), Failure>;
    /// The schema of that database, perhaps remembered.
    async fn schema(&self, who: &Principal, id: ConnectionId) -> Result<Arc<Schema>, Failure>;
    /// The schema may be another now; what is remembered of it is not to be believed.
    async fn schema_changed(&self, _connection: &Connection) {}
}

#[async_trait]
impl Databases for Directory {
    async fn database(&self, who: &Principal, id: ConnectionId) -> Result<(Arc<Connection>, Database), Failure> {
        Self::database(self, who, id).await
    }

    async fn schema(&self, who: &Principal, id: ConnectionId) -> Result<Arc<Schema>, Failure> {
        Self::schema(self, who, id, false).await
    }

    async fn schema_changed(&self, connection: &Connection) {
        self.forget_schema(connection).await;
    }
}

/// Runs and judges statements. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    databases: Arc<dyn Databases>,
    store: Arc<dyn Store>,
    options: Options,
    /// Statements that passed the guard, by policy and text.
    passed: Cache<(Policy, String), GuardedSql>,
}

impl Service {
    /// A service over the databases of `directory`; the store keeps what writes were answered.
    pub fn new(directory: impl Databases + 'static, store: Arc<dyn Store>, options: Options) -> Self {
        let weigh = |(_, text): &(Policy, String), _: &GuardedSql| {
            u32::try_from(BYTES_PER_PASSED_BYTE * text.len()).unwrap_or(u32::MAX)
        };
        let passed = Cache::builder().weigher(weigh).max_capacity(PASSED_BYTES).build();
        Self { databases: Arc::new(directory), store, options, passed }
    }

    /// Runs a statement and returns its result, cut at the limits. Dropping the future stops the statement.
    ///
    /// A statement that writes runs only with [`Intent::Write`] on a connection that admits it.
    pub async fn execute(
        &self,
        who: &Principal,
        connection: ConnectionId,
        statement: Statement,
        limits: RequestedLimits,
        intent: Intent,
    ) -> Result<QueryResult, Failure> {
        let prepared = self.prepare(who, connection, statement, &intent).await?;
        let limits = self.unary_limits(&prepared.connection, limits);
        let changed = (prepared.sql.effect() == Effect::Ddl).then(|| prepared.connection.clone());
        let outcome = match (prepared.sql.effect(), intent) {
            (Effect::Read, _) => prepared.read(limits).await,
            (Effect::Write | Effect::Ddl, Intent::Write { request: Some(key) }) => {
                let write = async move |stop| prepared.write(limits, stop).await;
                writes::once(self.store.clone(), who.clone(), key, write).await
            }
            (Effect::Write | Effect::Ddl, _) => prepared.write(limits, CancellationToken::new()).await,
        };
        if let Some(connection) = changed {
            self.databases.schema_changed(&connection).await;
        }
        outcome
    }

    /// Runs a statement and hands over its rows in batches, as fast as they are taken.
    pub async fn stream(
        &self,
        who: &Principal,
        connection: ConnectionId,
        statement: Statement,
        limits: RequestedLimits,
    ) -> Result<QueryStream, Failure> {
        let prepared = self.prepare(who, connection, statement, &Intent::Read).await?;
        let limits = self.stream_limits(&prepared.connection, limits);
        let rows = prepared.database.stream(prepared.sql.clone(), prepared.parameters.clone(), limits).await;
        let mut rows = rows.map_err(|error| failure(of_read(error), &prepared.connection))?;
        let columns = std::mem::take(&mut rows.columns);
        let database = prepared.connection.kind;
        // Batches, then the summary or the failure, then the end.
        let items = stream::unfold(Some((rows, prepared)), |state| async move {
            let (mut rows, prepared) = state?;
            if let Some(batch) = rows.next().await {
                return Some((Ok(StreamItem::Rows(batch)), Some((rows, prepared))));
            }
            let item = match rows.finish().await {
                Ok(end) => {
                    record("query.streamed", &prepared, end.row_count, end.truncated.is_some(), end.execution_time);
                    Ok(StreamItem::Summary(end))
                }
                Err(error) => Err(failure(of_read(error), &prepared.connection)),
            };
            Some((item, None))
        });
        Ok(QueryStream { database, columns, items: Box::pin(items) })
    }

    /// What guard and planner think of a statement. Nothing runs; a refusal of the statement is an answer, one of its
    /// parameters is not.
    pub async fn validate(
        &self,
        who: &Principal,
        connection: ConnectionId,
        statement: Statement,
        intent: Intent,
    ) -> Result<Validation, Failure> {
        self.check_parameters(&statement.parameters)?;
        let (connection, database) = self.databases.database(who, connection).await?;
        let sql = match self.admit(&connection, &statement.sql, &intent).await {
            Ok(sql) => sql,
            Err(refusal) => return Ok(refused_by_guard(refusal)),
        };
        let schema = self.databases.schema(who, connection.id).await?;
        let planned = match database.explain(&sql, &statement.parameters).await {
            Ok(plan) => Ok(plan),
            Err(error) if is_of_statement(&error) => Err(failure(error, &connection)),
            Err(error) => return Err(failure(error, &connection)),
        };
        let unknown = evidence::unknown_names(analyse::analyse(&sql), &schema);
        Ok(validation(planned, &unknown, table_names(&sql, &schema)))
    }

    /// Everything a validator judges: the guard's word, unknown names, the planner's word, texts that are not in the data.
    pub async fn evidence(
        &self,
        who: &Principal,
        source: &Source,
        facts: &Facts,
        composer: &ComposerOutput,
    ) -> Result<Evidence, Failure> {
        let statement = Statement { sql: composer.sql.clone(), parameters: composer.parameters.clone() };
        match source {
            Source::Connection(id) => {
                let (connection, database) = self.databases.database(who, *id).await?;
                let checked = self.check(&statement.sql, policy(&connection, &Intent::Read)).await;
                gather(checked, statement, Some((&connection, &database)), &facts.schema, &facts.values).await
            }
            Source::InlineSchema(schema) => {
                let checked = self.check(&statement.sql, Policy::reads(schema.dialect)).await;
                gather(checked, statement, None, &facts.schema, &facts.values).await
            }
        }
    }

    async fn prepare(
        &self,
        who: &Principal,
        id: ConnectionId,
        statement: Statement,
        intent: &Intent,
    ) -> Result<Prepared, Failure> {
        self.check_parameters(&statement.parameters)?;
        let (connection, database) = self.databases.database(who, id).await?;
        let sql = self.admit(&connection, &statement.sql, intent).await?;
        Ok(Prepared { connection, database, sql, parameters: statement.parameters })
    }

    /// The statement if connection, intent and guard admit it.
    async fn admit(&self, connection: &Connection, text: &str, intent: &Intent) -> Result<GuardedSql, Failure> {
        if *intent != Intent::Read && connection.access_mode == AccessMode::ReadOnly {
            return Err(only_reads());
        }
        let sql = self.check(text, policy(connection, intent)).await;
        sql.map_err(|refusal| hint_at_writing(refusal.into(), connection, intent))
    }

    /// The guard's verdict. It depends on nothing but the policy and the text, so the same text is checked once.
    async fn check(&self, text: &str, policy: Policy) -> Result<GuardedSql, Refusal> {
        let key = (policy, text.to_owned());
        if let Some(passed) = self.passed.get(&key).await {
            return Ok(passed);
        }
        let sql = guard::check(text, &key.0)?;
        self.passed.insert(key, sql.clone()).await;
        Ok(sql)
    }

    fn check_parameters(&self, parameters: &[Value]) -> Result<(), Failure> {
        let most = self.options.max_parameters;
        if parameters.len() > most {
            return Err(Failure::field(
                "parameters",
                format!("{} values, at most {most} are allowed", parameters.len()),
            ));
        }
        Ok(())
    }

    fn unary_limits(&self, connection: &Connection, requested: RequestedLimits) -> Limits {
        let Options { default_rows, max_rows, max_bytes, .. } = self.options;
        self.limits(connection.limits, requested, default_rows, max_rows, max_bytes)
    }

    fn stream_limits(&self, connection: &Connection, requested: RequestedLimits) -> Limits {
        let Options { stream_max_rows, stream_max_bytes, .. } = self.options;
        // The connection's row and byte limits are for unary results.
        let own = ConnectionLimits { max_rows: None, max_bytes: None, ..connection.limits };
        self.limits(own, requested, stream_max_rows, stream_max_rows, stream_max_bytes)
    }

    /// The least of what was asked for (or the default), what the connection allows and what the server allows.
    fn limits(
        &self,
        own: ConnectionLimits,
        requested: RequestedLimits,
        default_rows: u32,
        most_rows: u32,
        most_bytes: u32,
    ) -> Limits {
        let timeout = requested.timeout.unwrap_or(self.options.default_timeout);
        let most = self.options.max_timeout;
        Limits {
            max_rows: least(requested.max_rows.unwrap_or(default_rows), own.max_rows, most_rows).into(),
            max_bytes: least(requested.max_bytes.unwrap_or(most_bytes), own.max_bytes, most_bytes).into(),
            max_cell_bytes: usize::try_from(self.options.max_cell_bytes).unwrap_or(usize::MAX),
            timeout: least(
                timeout,
                own.statement_timeout,
                requested.deadline.map_or(most, |deadline| deadline.min(most)),
            ),
        }
    }
}

/// Reads an expression that people define; what it may do is checked where it stands in a statement.
pub fn formula(text: &str, dialect: DatabaseKind) -> Result<Formula, SqlError> {
    guard::formula(text, dialect).map_err(|refusal| refusal.error().clone())
}

/// A statement that passed the guard, and where it goes.
struct Prepared {
    connection: Arc<Connection>,
    database: Database,
    sql: GuardedSql,
    parameters: Vec<Value>,
}

impl Prepared {
    async fn read(&self, limits: Limits) -> Result<QueryResult, Failure> {
        let result = self.database.execute(&self.sql, &self.parameters, limits).await;
        let result = result.map_err(|error| failure(of_read(error), &self.connection))?;
        record(
            "query.executed",
            self,
            result.rows.row_count() as u64,
            result.truncated.is_some(),
            result.execution_time,
        );
        Ok(whole(result, None))
    }

    /// Cancelling `stop` stops it; what comes back then says how it ended.
    async fn write(&self, limits: Limits, stop: CancellationToken) -> Result<QueryResult, Failure> {
        let written = self.database.write_until(&self.sql, &self.parameters, limits, stop).await;
        let written = written.map_err(|error| writes::told(failure(error, &self.connection)));
        let Written { affected_rows, returned } = written?;
        record("query.written", self, affected_rows, returned.truncated.is_some(), returned.execution_time);
        Ok(whole(returned, Some(affected_rows)))
    }
}

fn whole(result: ResultSet, affected_rows: Option<u64>) -> QueryResult {
    let ResultSet { columns, rows, truncated, execution_time } = result;
    QueryResult { columns, row_count: rows.row_count() as u64, rows, truncated, execution_time, affected_rows }
}

fn least<T: Ord>(wanted: T, connection: Option<T>, server: T) -> T {
    let wanted = wanted.min(server);
    match connection {
        Some(connection) => wanted.min(connection),
        None => wanted,
    }
}

fn policy(connection: &Connection, intent: &Intent) -> Policy {
    let writes = match (intent, connection.access_mode) {
        (Intent::Read, _) | (_, AccessMode::ReadOnly) => Writes::No,
        (Intent::Write { .. }, AccessMode::ReadWrite) => Writes::Dml,
        (Intent::Write { .. }, AccessMode::Ddl) => Writes::Ddl,
    };
    Policy { kind: connection.kind, allowed_functions: connection.allowed_functions.clone(), writes }
}

/// Nobody may mean to write on a connection that only reads, whatever the statement does.
fn only_reads() -> Failure {
    let error = SqlError {
        message: "the connection only reads".to_owned(),
        hint: "leave `allow_write` away, or change the connection's access_mode to READ_WRITE".to_owned(),
        ..SqlError::default()
    };
    let message =
        "The connection only reads: leave `allow_write` away, or change the connection's access_mode to READ_WRITE.";
    let failure = Failure::new(Reason::SqlNotAllowed, message).with("rule", "connection_reads_only");
    failure.with("position", error.position).with_sql(error)
}

/// A write that was refused because the call did not say that it means to write gets told so.
fn hint_at_writing(mut failure: Failure, connection: &Connection, intent: &Intent) -> Failure {
    let could = *intent == Intent::Read && connection.access_mode != AccessMode::ReadOnly;
    if could && failure.metadata.get("rule").is_some_and(|rule| rule == Rule::ReadsOnly.as_str()) {
        let hint = "set `allow_write`, for this connection admits writes";
        if let Some(sql) = &mut failure.sql {
            hint.clone_into(&mut sql.hint);
        }
        failure.message = format!("{} To write, {hint}.", failure.message);
    }
    failure
}

/// The failure with the connection it happened on.
fn failure(error: Error, connection: &Connection) -> Failure {
    connections::from_target(error, &connection.database).with("connection_id", connection.id)
}

/// A statement that reads can break no constraint of a table; what it breaks is that of a domain it makes a value of.
fn of_read(error: Error) -> Error {
    match error {
        Error::Constraint(error) => Error::Statement(error),
        error => error,
    }
}

/// A line for every statement: of a write always, of a read at `debug`, for there are thousands a second.
fn record(event: &'static str, prepared: &Prepared, row_count: u64, truncated: bool, execution_time: Duration) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                connection_id = %prepared.connection.id,
                tenant = %prepared.connection.tenant,
                sql_bytes = prepared.sql.text().len(),
                parameter_count = prepared.parameters.len(),
                row_count,
                truncated,
                execution_micros = u64::try_from(execution_time.as_micros()).unwrap_or(u64::MAX),
                "{event}"
            )
        };
    }
    match prepared.sql.effect() {
        Effect::Read => line!(debug),
        Effect::Write | Effect::Ddl => line!(info),
    }
}

/// Measures what there is to measure; an error is a target that cannot be asked, not a statement that is wrong.
async fn gather(
    checked: Result<GuardedSql, Refusal>,
    statement: Statement,
    target: Option<(&Connection, &Database)>,
    schema: &Schema,
    values: &ValueIndex,
) -> Result<Evidence, Failure> {
    let mut evidence = Evidence {
        sql: statement.sql,
        guard: GuardVerdict::Allowed,
        unknown_names: Vec::new(),
        planner: PlannerVerdict::Skipped("an earlier check failed".to_owned()),
        unmatched_literals: Vec::new(),
        estimate: Estimate::default(),
        doubts: Vec::new(),
        one_row: None,
    };
    let sql = match checked {
        Ok(sql) => sql,
        Err(refusal) => {
            evidence.guard = verdict(refusal);
            return Ok(evidence);
        }
    };
    let analysis = analyse::analyse(&sql);
    evidence.unknown_names = evidence::unknown_names(analysis, schema);
    evidence.unmatched_literals = evidence::unmatched_literals(analysis, schema, values);
    evidence.estimate.tables = table_paths(&sql, schema);
    evidence.doubts = doubts::doubts(analysis, schema, values);
    evidence.one_row = analysis.one_row;
    evidence.planner = match target {
        Some((connection, database)) => match database.explain(&sql, &statement.parameters).await {
            Ok(Plan { text: plan, row_count, cost, columns: _ }) => {
                evidence.estimate = Estimate { row_count, cost, ..evidence.estimate };
                PlannerVerdict::Accepted { plan }
            }
            Err(Error::Statement(error)) => PlannerVerdict::Refused(error),
            Err(error @ (Error::ParameterCount { .. } | Error::ParameterKind { .. })) => {
                PlannerVerdict::Refused(SqlError { message: error.to_string(), ..SqlError::default() })
            }
            Err(error) => return Err(failure(error, connection)),
        },
        None => PlannerVerdict::Skipped("an inline schema has no database to ask".to_owned()),
    };
    Ok(evidence)
}

fn verdict(refusal: Refusal) -> GuardVerdict {
    let rule = refusal.rule().to_owned();
    match refusal {
        Refusal::NotUnderstood(error) => GuardVerdict::NotUnderstood(error),
        Refusal::NotAllowed(_, error) => GuardVerdict::NotAllowed { rule, error },
    }
}

/// The tables a statement reads or writes, as `schema.table` where the schema has them, each once.
fn table_names(sql: &GuardedSql, schema: &Schema) -> Vec<String> {
    let name = |TablePath { schema, table }| if schema.is_empty() { table } else { format!("{schema}.{table}") };
    let mut names: Vec<String> = table_paths(sql, schema).into_iter().map(name).collect();
    names.sort();
    names
}

/// The same as paths; of a table that the schema does not have only the name is known.
fn table_paths(sql: &GuardedSql, schema: &Schema) -> Vec<TablePath> {
    let path = |used: &TableUse| match evidence::table_of(schema, used) {
        Some(table) => TablePath { schema: table.schema.clone(), table: table.name.clone() },
        None => TablePath { schema: String::new(), table: used.name.clone() },
    };
    let mut paths: Vec<TablePath> = analyse::analyse(sql).tables.iter().map(path).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Whether an error of the planner says that the statement is wrong, so that running it would say the same.
fn is_of_statement(error: &Error) -> bool {
    matches!(error, Error::Statement(_) | Error::NotAllowed(_) | Error::ReadOnly(_) | Error::PrivilegeMissing(_))
}

/// The guard's refusal as checks; nothing else was looked at.
fn refused_by_guard(refusal: Failure) -> Validation {
    let said = refusal_in_words(&refusal);
    let (parse, read_only) = match refusal.reason {
        Reason::SqlNotUnderstood => ((Verdict::Failed, said), (Verdict::Skipped, EARLIER.to_owned())),
        _ => ((Verdict::Passed, String::new()), (Verdict::Failed, said)),
    };
    let skipped = || (Verdict::Skipped, EARLIER.to_owned());
    let checks = checks([parse, read_only, skipped(), skipped()]);
    Validation { checks, refusal: Some(refusal), tables: Vec::new(), plan: Plan::default() }
}

/// The planner's word and names that the schema does not have, as checks; whether the statement is valid, the planner
/// decides.
fn validation(asked: Result<Plan, Failure>, unknown: &[UnknownName], tables: Vec<String>) -> Validation {
    let passed = || (Verdict::Passed, String::new());
    let missing = || {
        let names: Vec<&str> = unknown.iter().map(|name| name.name.as_str()).collect();
        format!("not in the schema: {}", names.join(", "))
    };
    let (names, planner) = match &asked {
        Ok(_) if unknown.is_empty() => (passed(), passed()),
        // The database knows its own names best.
        Ok(_) => ((Verdict::Warning, missing()), passed()),
        Err(refusal) if unknown.is_empty() => (passed(), (Verdict::Failed, refusal_in_words(refusal))),
        // The planner's refusal is the schema check's then: it says of the same name where it stands.
        Err(_) => ((Verdict::Failed, missing()), (Verdict::Skipped, EARLIER.to_owned())),
    };
    let checks = checks([passed(), passed(), names, planner]);
    let (plan, refusal) = match asked {
        Ok(plan) => (plan, None),
        Err(refusal) => (Plan::default(), Some(refusal)),
    };
    Validation { checks, refusal, tables, plan }
}

fn refusal_in_words(refusal: &Failure) -> String {
    refusal.sql.as_ref().map_or_else(|| refusal.message.clone(), |error| error.message.clone())
}

/// Verdicts on parse, read-only, schema and planner.
fn checks(verdicts: [(Verdict, String); 4]) -> Vec<Check> {
    let kinds = [CheckKind::Parse, CheckKind::ReadOnly, CheckKind::Schema, CheckKind::Planner];
    kinds.into_iter().zip(verdicts).map(|(kind, (verdict, detail))| Check { kind, verdict, detail }).collect()
}
