//! Runs one guarded statement in one session, row by row, within its limits.

use futures::StreamExt;
use sqlx::mysql::{MySqlArguments, MySqlRow, MySqlStatement};
use sqlx::{AssertSqlSafe, Connection, Either, Executor, Row as _, SqlSafeStr, Statement};

use super::bind::bind;
use super::session::{Session, ask};
use super::types::{self, Form};
use super::{cell, error};
use crate::domain::Value;
use crate::sql::output::Output;
use crate::sql::server::Rest;
use crate::sql::{Error, GuardedSql};

/// Runs a statement and gives its rows to the output until a limit is reached; one round trip when the session has it
/// prepared. Gives the number of rows that it changed or read.
pub(super) async fn unary(
    session: &mut Session,
    sql: &str,
    parameters: &[Value],
    output: &mut Output,
) -> (Result<u64, Error>, Rest) {
    let mut rest = Rest::Nothing;
    let done = pass_rows(session, sql, parameters, output, &mut rest).await;
    (done, rest)
}

/// Runs a statement that reads in a read-only transaction, and hands over all that fits.
pub(super) async fn stream(
    session: &mut Session,
    sql: &str,
    parameters: &[Value],
    output: &mut Output,
) -> (Result<(), Error>, Rest) {
    if let Err(error) = own(session, "START TRANSACTION READ ONLY").await {
        return (Err(error), Rest::Nothing);
    }
    let (mut done, rest) = unary(session, sql, parameters, output).await;
    if done.is_ok() {
        done = output.flush().await.and(done);
    }
    if done.is_ok() && rest == Rest::Nothing {
        done = own(session, "COMMIT").await.and(done);
    }
    // Else the check of the session ends the transaction.
    (done.map(drop), rest)
}

/// Runs a statement that writes, wholly or not at all: an error, or a stop, undoes it where the tables can.
///
/// For an UPDATE the server counts the rows that its condition found, also those that had the new values already. With
/// RETURNING it does not count: then it is the rows that came back.
pub(super) async fn write(
    session: &mut Session,
    sql: &str,
    parameters: &[Value],
    output: &mut Output,
) -> (Result<u64, Error>, Rest) {
    if let Err(error) = own(session, "START TRANSACTION READ WRITE").await {
        return (Err(error), Rest::Nothing);
    }
    let (done, rest) = unary(session, sql, parameters, output).await;
    let done = match done {
        Ok(affected_rows) => own(session, "COMMIT").await.map(|()| affected_rows),
        Err(error) => Err(error),
    };
    (done, rest)
}

/// What the planner would do, as the table that EXPLAIN gives; empty for a statement that is no query.
///
/// The statement itself is prepared first, so that an error's position counts in its own text.
pub(super) async fn explain(session: &mut Session, sql: &GuardedSql, parameters: &[Value]) -> Result<String, Error> {
    let prepared = prepare(session, sql.text(), parameters).await?;
    if !sql.is_query() {
        return Ok(String::new());
    }
    let explained = AssertSqlSafe(format!("EXPLAIN {}", sql.text()));
    let query = sqlx::query_with(explained, prepared.arguments).persistent(false);
    let rows = query.fetch_all(&mut session.connection).await;
    let rows = rows.map_err(|error| error::of_statement(error, "", session.longest))?;
    Ok(table(&rows))
}

async fn pass_rows(
    session: &mut Session,
    sql: &str,
    parameters: &[Value],
    output: &mut Output,
    rest: &mut Rest,
) -> Result<u64, Error> {
    let longest = session.longest;
    let refused = |error| error::of_statement(error, sql, longest);
    let Prepared { statement, arguments, was_known } = prepare(session, sql, parameters).await?;
    let (mut affected_rows, mut row_count) = (0, 0);
    let mut forms: Option<Vec<Form>> = None;
    let mut results = session.connection.fetch_many(statement.query_with(arguments));
    while let Some(result) = results.next().await {
        let stored = match result {
            Ok(Either::Right(stored)) => stored,
            Ok(Either::Left(done)) => {
                *rest = Rest::Nothing;
                affected_rows += done.rows_affected();
                continue;
            }
            Err(error) => {
                *rest = Rest::Nothing;
                return Err(refused(error));
            }
        };
        *rest = Rest::Rows;
        row_count += 1;
        let forms = match &mut forms {
            Some(forms) => forms,
            none => none.insert(header(stored.columns(), output)?),
        };
        write_row(&stored, forms, output)?;
        if !output.end_row().await? {
            return Ok(row_count);
        }
    }
    drop(results);
    if forms.is_none() {
        // Without rows the columns are known from preparing only, and they may have changed since.
        let statement = if was_known { prepare_anew(session, sql).await.map_err(refused)? } else { statement };
        header(statement.columns(), output)?;
    }
    Ok(affected_rows.max(row_count))
}

struct Prepared {
    statement: MySqlStatement,
    arguments: MySqlArguments,
    /// Whether the session had it prepared before.
    was_known: bool,
}

async fn prepare(session: &mut Session, sql: &str, parameters: &[Value]) -> Result<Prepared, Error> {
    let connection = &mut session.connection;
    let known = connection.cached_statements_size();
    let statement = connection.prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await;
    let statement = statement.map_err(|error| error::of_statement(error, sql, session.longest))?;
    let expected = statement.parameters().and_then(Either::right).unwrap_or_default();
    let arguments = bind(expected, parameters, &session.decimal)?;
    Ok(Prepared { statement, arguments, was_known: session.connection.cached_statements_size() == known })
}

async fn prepare_anew(session: &mut Session, sql: &str) -> Result<MySqlStatement, sqlx::Error> {
    session.connection.clear_cached_statements().await?;
    session.connection.prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await
}

fn header(columns: &[sqlx::mysql::MySqlColumn], output: &mut Output) -> Result<Vec<Form>, Error> {
    let (columns, forms) = columns.iter().map(types::column).unzip();
    output.columns(columns)?;
    Ok(forms)
}

fn write_row(stored: &MySqlRow, forms: &[Form], output: &mut Output) -> Result<(), Error> {
    for (index, &form) in forms.iter().enumerate() {
        let cell = stored.try_get_raw(index).map_err(|error| Error::Internal(error.to_string()))?;
        let Some(bytes) = cell::stored(cell) else {
            output.row().null();
            continue;
        };
        output.admit(bytes.len(), index)?;
        cell::write(bytes, form, output.row());
    }
    Ok(())
}

/// Rows as lines, each column as wide as its widest cell.
fn table(rows: &[MySqlRow]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let (columns, forms): (Vec<_>, Vec<_>) = first.columns().iter().map(types::column).unzip();
    let cell = |row: &MySqlRow, index: usize| {
        let cell = row.try_get_raw(index).ok().and_then(cell::stored).map(|bytes| cell::value(bytes, forms[index]));
        match cell.unwrap_or(Value::Null) {
            Value::Int64(number) => number.to_string(),
            Value::Uint64(number) => number.to_string(),
            Value::Double(number) => number.to_string(),
            Value::String(text) | Value::Decimal(text) | Value::Other(text) => text,
            _ => "-".to_owned(),
        }
    };
    let mut lines = vec![columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(|row| (0..forms.len()).map(|index| cell(row, index)).collect()));
    aligned(&lines)
}

fn aligned(lines: &[Vec<String>]) -> String {
    let width = |index: usize| lines.iter().filter_map(|line| line.get(index)).map(|cell| cell.chars().count()).max();
    let mut text = String::new();
    for line in lines {
        let padded = line.iter().enumerate().map(|(index, cell)| {
            let width = width(index).unwrap_or_default();
            format!("{cell:width$}")
        });
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

async fn own(session: &mut Session, sql: &str) -> Result<(), Error> {
    let done = ask(&mut session.connection, sql.to_owned()).await;
    done.map(drop).map_err(|error| error::of_statement(error, "", session.longest))
}
