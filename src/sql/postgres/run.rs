//! Runs one guarded statement in one session.

use futures::TryStreamExt;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token, Tokenizer};
use sqlx::postgres::{PgArguments, PgConnection, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Either, Executor, Row as _, SqlSafeStr, Statement};

use super::hidden_calls::Plain;
use super::session::Session;
use super::types::{Form, Shape};
use super::{binary, bind, error, text};
use crate::domain::{Batch, SqlError, Value};
use crate::sql::output::Output;
use crate::sql::server::Rest;
use crate::sql::{Error, GuardedSql};

/// Rows of the first fetch from a cursor: few, so that a reader has something soon.
const FIRST_FETCH: u64 = 100;
/// Bytes that a later fetch aims at, and its most rows. The server holds the rows of a fetch before it sends them.
const FETCH_BYTES: u64 = 1 << 20;
const LARGEST_FETCH: u64 = 100_000;
/// The server's words when a table changed under a prepared statement.
const PLAN_CHANGED: &str = "0A000";

/// A statement that PostgreSQL has parsed, and the values for it.
struct Ready {
    statement: PgStatement,
    arguments: PgArguments,
    shape: Shape,
    /// Whether it may have been parsed before, so that the shape may be out of date.
    may_be_old: bool,
}

/// Runs a statement that reads; its rows go to the output.
pub(super) async fn read(
    session: &mut Session,
    sql: &GuardedSql,
    parameters: &[Value],
    output: &mut Output,
) -> (Result<(), Error>, Rest) {
    if let Err(error) = session.refuse_hidden_calls(sql).await {
        return (Err(error), Rest::Nothing);
    }
    let connection = &mut session.connection;
    let (result, rest) = attempt(connection, sql, parameters, output).await;
    match &result {
        // A table changed under the prepared statement. Nobody has seen a row: it is prepared anew, once.
        Err(Error::Statement(error)) if error.sqlstate == PLAN_CHANGED && output.meter.row_count == 0 => {
            match forget_prepared(connection).await {
                Ok(()) => attempt(connection, sql, parameters, output).await,
                Err(error) => (Err(error), Rest::Nothing),
            }
        }
        _ => (result, rest),
    }
}

async fn attempt(
    connection: &mut PgConnection,
    sql: &GuardedSql,
    parameters: &[Value],
    output: &mut Output,
) -> (Result<(), Error>, Rest) {
    match prepare(connection, sql.text(), parameters).await {
        Ok(Some(ready)) if !sql.is_query() || ready.shape.is_binary() => {
            let (result, rest) = direct(connection, ready, output).await;
            (result.map(drop), rest)
        }
        Ok(ready) => (through_cursor(connection, sql, parameters, ready, output).await, Rest::Nothing),
        Err(error) => (Err(error), Rest::Nothing),
    }
}

/// Runs a statement that writes, and gives the rows it affected.
pub(super) async fn write(
    session: &mut Session,
    sql: &GuardedSql,
    parameters: &[Value],
    output: &mut Output,
) -> (Result<u64, Error>, Rest) {
    let connection = &mut session.connection;
    // Nothing stands behind a write, so what earlier statements showed does not count.
    if let Err(error) = Plain::default().refuse_hidden_calls(connection, sql).await {
        return (Err(error), Rest::Nothing);
    }
    match attempt_write(connection, sql, parameters, output).await {
        // As in `read`: the table changed before anything ran.
        (Err(Error::Statement(error)), _) if error.sqlstate == PLAN_CHANGED && output.meter.row_count == 0 => {
            match forget_prepared(connection).await {
                Ok(()) => attempt_write(connection, sql, parameters, output).await,
                Err(error) => (Err(error), Rest::Nothing),
            }
        }
        written => written,
    }
}

async fn attempt_write(
    connection: &mut PgConnection,
    sql: &GuardedSql,
    parameters: &[Value],
    output: &mut Output,
) -> (Result<u64, Error>, Rest) {
    match prepare(connection, sql.text(), parameters).await {
        Ok(Some(ready)) if ready.shape.is_binary() => direct(connection, ready, output).await,
        Ok(_) => {
            let message = "RETURNING gives a type that only a SELECT can read here".to_owned();
            let hint = "cast it, for example to text, or select the row afterwards".to_owned();
            (Err(Error::Statement(SqlError { message, hint, ..SqlError::default() })), Rest::Nothing)
        }
        Err(error) => (Err(error), Rest::Nothing),
    }
}

/// The plan as PostgreSQL prints it; empty for a statement that is no query.
pub(super) async fn explain(session: &mut Session, sql: &GuardedSql, parameters: &[Value]) -> Result<String, Error> {
    const EXPLAIN: &str = "EXPLAIN ";
    // To plan a statement PostgreSQL calls what it believes to be constant.
    session.refuse_hidden_calls(sql).await?;
    let connection = &mut session.connection;
    if !sql.is_query() {
        return prepare(connection, sql.text(), parameters).await.map(|_| String::new());
    }
    let explained = prepare(connection, &format!("{EXPLAIN}{}", sql.text()), parameters).await;
    let Some(Ready { statement, arguments, .. }) = explained.map_err(|error| behind(error, EXPLAIN))? else {
        return Ok(String::new());
    };
    let lines = statement.query_with(arguments).fetch_all(connection).await;
    let mut plan = String::new();
    for line in &lines.map_err(|error| behind(error::running(error), EXPLAIN))? {
        plan.push_str(line.try_get::<&str, _>(0).map_err(error::running)?);
        plan.push('\n');
    }
    Ok(plan)
}

/// Has PostgreSQL parse the statement, once per session. `None` when its result has a type that the driver cannot look up,
/// such as a multirange.
async fn prepare(connection: &mut PgConnection, sql: &str, parameters: &[Value]) -> Result<Option<Ready>, Error> {
    let known = sqlx::Connection::cached_statements_size(connection);
    let prepared = (&mut *connection).prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await;
    let statement = match prepared {
        Ok(statement) => statement,
        Err(error) if error::is_unknown_type(&error) => {
            refuse_multirange_parameter(connection, sql, parameters).await?;
            // The server has it prepared, but nobody remembers under which name.
            simple(connection, "DEALLOCATE ALL").await?;
            forget_prepared(connection).await?;
            return Ok(None);
        }
        Err(error) => return Err(error::running(error)),
    };
    let arguments = bind::arguments(parameters, parameter_types(&statement))?;
    let shape = Shape::of(statement.columns());
    // When the cache is full, a new statement takes the place of another.
    let may_be_old = sqlx::Connection::cached_statements_size(connection) == known;
    Ok(Some(Ready { statement, arguments, shape, may_be_old }))
}

/// A place for a multirange takes no value: the driver does not know the type. The statement was prepared just before.
async fn refuse_multirange_parameter(
    connection: &mut PgConnection,
    sql: &str,
    parameters: &[Value],
) -> Result<(), Error> {
    const MULTIRANGES: &str = "SELECT p.place, pg_catalog.format_type(p.kind, NULL), pg_catalog.cardinality(s.parameter_types) \
        FROM pg_catalog.pg_prepared_statements s, \
          pg_catalog.unnest(s.parameter_types::oid[]) WITH ORDINALITY p(kind, place) \
        JOIN pg_catalog.pg_type t ON t.oid = p.kind LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem \
        WHERE s.statement = $1 AND 'm' IN (t.typtype, e.typtype) ORDER BY p.place LIMIT 1";
    if parameters.is_empty() {
        return Ok(());
    }
    let asked = sqlx::query_as::<_, (i64, String, i32)>(MULTIRANGES).bind(sql).persistent(false);
    let Some((place, named, count)) = asked.fetch_optional(connection).await.map_err(error::running)? else {
        return Ok(());
    };
    let expected = usize::try_from(count).unwrap_or_default();
    if expected != parameters.len() {
        return Err(Error::ParameterCount { expected, given: parameters.len() });
    }
    let position = usize::try_from(place).unwrap_or_default();
    Err(Error::ParameterKind { position, reason: bind::cannot_be_bound(&named) })
}

fn parameter_types(statement: &PgStatement) -> &[PgTypeInfo] {
    match statement.parameters() {
        Some(Either::Left(types)) => types,
        _ => &[],
    }
}

async fn forget_prepared(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::Connection::clear_cached_statements(connection).await.map_err(error::running)
}

/// Runs the statement itself and reads binary cells; gives the rows that it affected.
async fn direct(connection: &mut PgConnection, ready: Ready, output: &mut Output) -> (Result<u64, Error>, Rest) {
    let Ready { statement, arguments, shape: Shape { columns, forms, .. }, .. } = ready;
    let mut columns = Some(columns);
    let mut affected = 0;
    let mut stream = connection.fetch_many(statement.query_with(arguments));
    loop {
        let next = stream.try_next().await;
        // A table that changed since it was prepared shows before the first row; only then are these the columns.
        if next.is_ok()
            && let Some(columns) = columns.take()
            && let Err(error) = output.columns(columns)
        {
            return (Err(error), Rest::Rows);
        }
        let row = match next {
            Ok(Some(Either::Right(row))) => row,
            Ok(Some(Either::Left(done))) => {
                affected = done.rows_affected();
                continue;
            }
            Ok(None) => return (Ok(affected), Rest::Nothing),
            Err(error) => return (Err(error::running(error)), Rest::Nothing),
        };
        let taken = match write_row(&row, &forms, output, binary::write) {
            Ok(()) => output.end_row().await,
            Err(error) => Err(error),
        };
        match taken {
            Ok(true) => {}
            Ok(false) => return (Ok(affected), Rest::Rows),
            Err(error) => return (Err(error), Rest::Rows),
        }
    }
}

/// Reads the statement through a cursor, as text, a batch at a time, in a read-only transaction.
///
/// The statement goes through the extended protocol like any other; only the fetches, whose text is ours, use the simple
/// one, which is what makes PostgreSQL print the cells.
async fn through_cursor(
    connection: &mut PgConnection,
    sql: &GuardedSql,
    parameters: &[Value],
    ready: Option<Ready>,
    output: &mut Output,
) -> Result<(), Error> {
    simple(connection, "BEGIN READ ONLY").await?;
    let read = fetch_all(connection, sql, parameters, ready, output).await;
    // The transaction changed nothing; ending it also closes the cursor.
    let ended = simple(connection, "ROLLBACK").await;
    read?;
    ended
}

async fn fetch_all(
    connection: &mut PgConnection,
    sql: &GuardedSql,
    parameters: &[Value],
    ready: Option<Ready>,
    output: &mut Output,
) -> Result<(), Error> {
    declare(connection, sql.text(), parameters, "").await?;
    let Some(Ready { shape, may_be_old, .. }) = ready else {
        return fetch_unknown(connection, sql, parameters, output).await;
    };
    let forms = shape.forms.clone();
    let mut unseen = Some(shape);
    let mut wanted = FIRST_FETCH;
    while take(connection, wanted, &forms, &mut unseen, output).await? {
        wanted = next_fetch(output);
    }
    let Some(mut shape) = unseen else { return Ok(()) };
    if may_be_old {
        // No row tells whether these still are the columns.
        forget_prepared(connection).await?;
        shape = match prepare(connection, sql.text(), parameters).await? {
            Some(ready) => ready.shape,
            None => of_no_rows(connection, sql, parameters).await?,
        };
    }
    output.columns(shape.columns)
}

/// Reads a cursor whose first row tells what the columns are.
async fn fetch_unknown(
    connection: &mut PgConnection,
    sql: &GuardedSql,
    parameters: &[Value],
    output: &mut Output,
) -> Result<(), Error> {
    let first = sqlx::raw_sql(fetch(1)).fetch_optional(&mut *connection).await.map_err(error::running)?;
    let Some(first) = first else {
        let shape = of_no_rows(connection, sql, parameters).await?;
        return output.columns(shape.columns);
    };
    let Shape { columns, forms, .. } = Shape::named(connection, first.columns()).await?;
    output.columns(columns)?;
    write_row(&first, &forms, output, printed)?;
    let mut more = output.end_row().await?;
    let mut wanted = FIRST_FETCH;
    while more {
        more = take(connection, wanted, &forms, &mut None, output).await?;
        wanted = next_fetch(output);
    }
    Ok(())
}

/// Takes the next rows of the cursor; `false` when there are no more, or no more are wanted. The first row must have the
/// shape that nobody has seen yet.
async fn take(
    connection: &mut PgConnection,
    wanted: u64,
    forms: &[Form],
    unseen: &mut Option<Shape>,
    output: &mut Output,
) -> Result<bool, Error> {
    let mut rows = sqlx::raw_sql(fetch(wanted)).fetch(connection);
    let mut fetched = 0;
    let mut full = false;
    while let Some(row) = rows.try_next().await.map_err(error::running)? {
        if let Some(shape) = unseen.take() {
            if !shape.is_of(row.columns()) {
                return Err(plan_changed());
            }
            output.columns(shape.columns)?;
        }
        fetched += 1;
        // The rest of a fetch is read even when it is not wanted: that leaves the session clean.
        if !full {
            write_row(&row, forms, output, printed)?;
            full = !output.end_row().await?;
        }
    }
    Ok(!full && fetched == wanted)
}

fn fetch(wanted: u64) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("FETCH FORWARD {wanted} FROM pulse"))
}

/// What PostgreSQL itself says of a prepared statement that is not read through a cursor.
fn plan_changed() -> Error {
    let message = "cached plan must not change result type".to_owned();
    Error::Statement(SqlError { sqlstate: PLAN_CHANGED.to_owned(), message, ..SqlError::default() })
}

/// Opens the cursor; `suffix` follows the statement's text.
async fn declare(connection: &mut PgConnection, sql: &str, parameters: &[Value], suffix: &str) -> Result<(), Error> {
    const DECLARE: &str = "DECLARE pulse NO SCROLL CURSOR FOR ";
    let text = format!("{DECLARE}{sql}{suffix}");
    let declared = async {
        let statement = (&mut *connection).prepare(AssertSqlSafe(text).into_sql_str()).await.map_err(error::running)?;
        let arguments = bind::arguments(parameters, parameter_types(&statement))?;
        statement.query_with(arguments).execute(&mut *connection).await.map_err(error::running)
    };
    declared.await.map(drop).map_err(|error| behind(error, DECLARE))
}

/// The columns of a result without rows whose types the driver cannot look up: read from a row of NULLs beside it.
async fn of_no_rows(connection: &mut PgConnection, sql: &GuardedSql, parameters: &[Value]) -> Result<Shape, Error> {
    simple(connection, "CLOSE pulse").await?;
    let text = format!("SELECT q.* FROM (SELECT 1) one LEFT JOIN (\n{}\n", without_end(sql.text()));
    declare(connection, &text, parameters, ") q ON true LIMIT 1").await?;
    let row = sqlx::raw_sql("FETCH FORWARD 1 FROM pulse").fetch_one(&mut *connection).await.map_err(error::running)?;
    Shape::named(connection, row.columns()).await
}

/// The statement without the semicolons and comments at its end.
fn without_end(sql: &str) -> &str {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().unwrap_or_default();
    let is_end = |token: &Token| matches!(token, Token::Whitespace(_) | Token::SemiColon | Token::EOF);
    let Some(end) = tokens.iter().rfind(|token| !is_end(&token.token)).map(|token| token.span.end) else { return sql };
    // Lines and columns count from 1, columns in characters.
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
    let lines = sql.split_inclusive('\n');
    let line_start: usize = lines.take(count(end.line)).map(str::len).sum();
    let line = &sql[line_start..];
    let column = line.char_indices().nth(count(end.column)).map_or(line.len(), |(at, _)| at);
    &sql[..line_start + column]
}

fn printed(bytes: &[u8], form: &Form, row: &mut Batch) -> Result<(), Error> {
    row.value(text::value(bytes, form));
    Ok(())
}

/// As many rows as a fetch aims at, judged by those that came, but one more than may still come: it tells that there was
/// more.
fn next_fetch(output: &Output) -> u64 {
    let meter = &output.meter;
    let row_bytes = (meter.size_bytes / meter.row_count.max(1)).max(1);
    (FETCH_BYTES / row_bytes).clamp(1, LARGEST_FETCH).min(meter.rows_left() + 1)
}

fn write_row(
    row: &PgRow,
    forms: &[Form],
    output: &mut Output,
    write: impl Fn(&[u8], &Form, &mut Batch) -> Result<(), Error>,
) -> Result<(), Error> {
    for (index, form) in forms.iter().enumerate() {
        let cell = row.try_get_raw(index).map_err(error::running)?;
        // NULL has no bytes.
        let Ok(bytes) = cell.as_bytes() else {
            output.row().null();
            continue;
        };
        output.admit(bytes.len(), index)?;
        write(bytes, form, output.row())?;
    }
    Ok(())
}

/// Runs a statement of Pulse's own over the simple protocol.
async fn simple(connection: &mut PgConnection, sql: &'static str) -> Result<(), Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop).map_err(error::running)
}

/// The error with its position counted in the text that came behind a prefix of ours.
fn behind(error: Error, prefix: &str) -> Error {
    match error {
        Error::Statement(mut sql) => {
            sql.position = sql.position.saturating_sub(u32::try_from(prefix.len()).unwrap_or_default());
            Error::Statement(sql)
        }
        error => error,
    }
}
