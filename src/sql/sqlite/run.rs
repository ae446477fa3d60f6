//! Running one guarded statement and handing its rows on as they come.

use rusqlite::{Connection, Statement};

use super::cell;
use super::open::Interruption;
use crate::domain::{ColumnType, ResultColumn, Row, SqlError, Value};
use crate::sql::{Error, GuardedSql, column_type};

/// What the database makes of a statement without running it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// One line per node; empty for statements that only describe.
    pub text: String,
    /// Columns of the result.
    pub columns: Vec<ResultColumn>,
}

/// Asks the planner; nothing runs.
pub fn explain(connection: &Connection, sql: &GuardedSql, parameters: &[Value]) -> Result<Plan, Error> {
    let failed = |error: rusqlite::Error| explain_error(&error, None);
    // Preparing the statement itself finds its errors at their own positions, and its columns.
    let mut statement = connection.prepare(sql.text()).map_err(failed)?;
    bind(&mut statement, parameters)?;
    let columns = statement.columns().iter().map(describe).collect();
    if !sql.is_query() {
        return Ok(Plan { text: String::new(), columns });
    }
    let mut planned = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", sql.text())).map_err(failed)?;
    bind(&mut planned, parameters)?;
    let mut rows = planned.raw_query();
    let mut lines: Vec<String> = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        lines.push(row.get(3).map_err(failed)?);
    }
    Ok(Plan { text: lines.join("\n"), columns })
}

/// Runs the statement: `columns` once, then `row` for each row until it says stop.
pub fn run(
    connection: &Connection,
    interruption: &Interruption,
    sql: &GuardedSql,
    parameters: &[Value],
    columns: impl FnOnce(Vec<ResultColumn>),
    mut row: impl FnMut(Row) -> std::ops::ControlFlow<()>,
) -> Result<(), Error> {
    let failed = |error: rusqlite::Error| explain_error(&error, Some(interruption));
    let mut statement = connection.prepare(sql.text()).map_err(failed)?;
    let described: Vec<ResultColumn> = statement.columns().iter().map(describe).collect();
    let kinds: Vec<ColumnType> = described.iter().map(|column| column.kind).collect();
    bind(&mut statement, parameters)?;
    columns(described);
    let mut rows = statement.raw_query();
    while let Some(found) = rows.next().map_err(failed)? {
        let mut cells = Vec::with_capacity(kinds.len());
        for (index, kind) in kinds.iter().enumerate() {
            cells.push(cell::read(found.get_ref(index).map_err(failed)?, *kind));
        }
        if row(cells).is_break() {
            break;
        }
    }
    Ok(())
}

fn describe(column: &rusqlite::Column<'_>) -> ResultColumn {
    let database_type = column.decl_type().unwrap_or_default().to_owned();
    ResultColumn { name: column.name().to_owned(), kind: column_type::of_declared(&database_type), database_type }
}

fn bind(statement: &mut Statement<'_>, parameters: &[Value]) -> Result<(), Error> {
    let expected = statement.parameter_count();
    if expected != parameters.len() {
        return Err(Error::ParameterCount { expected, given: parameters.len() });
    }
    for (index, value) in (1..).zip(parameters) {
        let bound = cell::bind(value).ok_or(Error::ParameterKind(index))?;
        statement.raw_bind_parameter(index, bound).map_err(|_| Error::ParameterKind(index))?;
    }
    Ok(())
}

/// The driver's error in our words. An interrupted statement was interrupted by its deadline or by its caller.
fn explain_error(error: &rusqlite::Error, interruption: Option<&Interruption>) -> Error {
    use rusqlite::ErrorCode;
    let code = error.sqlite_error_code();
    match code {
        Some(ErrorCode::OperationInterrupted) if interruption.is_some_and(Interruption::is_cancelled) => {
            return Error::Cancelled;
        }
        Some(ErrorCode::OperationInterrupted) => return Error::Timeout,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => return Error::Busy,
        Some(ErrorCode::TooBig | ErrorCode::OutOfMemory) => {
            return Error::TooLarge("a value exceeds 16 MiB, or the statement needs too much memory".to_owned());
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => return Error::FileNotDatabase,
        Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) => {
            return Error::Unavailable("the file cannot be read".to_owned());
        }
        _ => {}
    }
    let (message, position) = match error {
        rusqlite::Error::SqlInputError { msg, sql, offset, .. } => (msg.clone(), character_at(sql, *offset)),
        rusqlite::Error::SqliteFailure(_, Some(message)) => (message.clone(), 0),
        other => (other.to_string(), 0),
    };
    let sqlstate = code.map(|code| format!("{code:?}")).unwrap_or_default();
    Error::Refused(SqlError { sqlstate, message, position, hint: String::new() })
}

/// SQLite gives a byte offset (or -1); people count characters from 1.
fn character_at(sql: &str, offset: i32) -> u32 {
    let Ok(offset) = usize::try_from(offset) else { return 0 };
    let before = sql.get(..offset).map_or(0, |text| text.chars().count());
    u32::try_from(before + 1).unwrap_or(0)
}
