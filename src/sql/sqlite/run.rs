//! Runs one guarded statement on one connection, row by row, within its limits.

use std::time::Instant;

use rusqlite::{CachedStatement, Connection, Row as StoredRow, Statement};

use super::bind::bind;
use super::cell;
use super::declared::column_type;
use crate::domain::{ColumnType, DatabaseKind, ResultColumn, Value};
use crate::sql::output::Output;
use crate::sql::{Error, GuardedSql, Limits, ResultSet, Written};

/// Runs a statement and holds its result. `limits.timeout` is not watched here: the connection has no one to stop it.
pub fn execute(
    connection: &Connection,
    sql: &GuardedSql,
    parameters: &[Value],
    limits: Limits,
) -> Result<ResultSet, Error> {
    let started = Instant::now();
    let mut output = Output::held(limits);
    run(connection, sql, parameters, &mut output, |_| Ok(()))?;
    Ok(output.whole(started.elapsed()))
}

/// Runs a statement and gives its rows to the output until a limit is reached. `hand_over` is called when a batch is due.
pub(super) fn run(
    connection: &Connection,
    sql: &GuardedSql,
    parameters: &[Value],
    output: &mut Output,
    mut hand_over: impl FnMut(&mut Output) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut statement = prepare(connection, sql, parameters)?;
    let mut kinds = None;
    let mut rows = statement.raw_query();
    while let Some(stored) = rows.next()? {
        let kinds = match &kinds {
            Some(kinds) => kinds,
            None => kinds.insert(announce(stored.as_ref(), output)?),
        };
        write_row(stored, kinds, output)?;
        if !output.take_row()? {
            return Ok(());
        }
        if output.is_due() {
            hand_over(output)?;
        }
    }
    drop(rows);
    if kinds.is_none() {
        announce(&statement, output)?;
    }
    Ok(())
}

/// Tells the output the columns and gives their kinds. A statement that was prepared before knows its columns for sure
/// only once it runs: the schema may have changed.
fn announce(statement: &Statement<'_>, output: &mut Output) -> Result<Vec<ColumnType>, Error> {
    let columns = columns(statement);
    let kinds = columns.iter().map(|column| column.kind).collect();
    output.columns(columns)?;
    Ok(kinds)
}

/// Runs a statement that writes to its end; rows of its RETURNING beyond the limits are left out.
pub(super) fn write(
    connection: &Connection,
    sql: &GuardedSql,
    parameters: &[Value],
    limits: Limits,
) -> Result<Written, Error> {
    let started = Instant::now();
    let changed_before = connection.total_changes();
    let mut output = Output::held(limits);
    output.keep_what_fits();
    run(connection, sql, parameters, &mut output, |_| Ok(()))?;
    // Without a change the count is still that of the statement before.
    let affected_rows = if connection.total_changes() == changed_before { 0 } else { connection.changes() };
    Ok(Written { affected_rows, returned: output.whole(started.elapsed()) })
}

/// What the planner would do, a line each, indented by depth; empty for a statement that is no query.
///
/// The statement itself is prepared first, so that an error's position counts in its own text.
pub(super) fn explain(connection: &Connection, sql: &GuardedSql, parameters: &[Value]) -> Result<String, Error> {
    prepare(connection, sql, parameters)?;
    if !sql.is_query() {
        return Ok(String::new());
    }
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", sql.text()))?;
    bind(&mut statement, parameters)?;
    let mut rows = statement.raw_query();
    let mut depths = std::collections::HashMap::from([(0_i64, 0_usize)]);
    let mut plan = String::new();
    while let Some(row) = rows.next()? {
        let (id, parent, detail): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let depth = depths.get(&parent).copied().unwrap_or_default();
        depths.insert(id, depth + 1);
        plan.push_str(&"  ".repeat(depth));
        plan.push_str(&detail);
        plan.push('\n');
    }
    Ok(plan)
}

/// The statement, which the connection keeps prepared. SQLite compiles it anew, and asks the authorizer again, when the
/// schema changed meanwhile.
fn prepare<'a>(
    connection: &'a Connection,
    sql: &GuardedSql,
    parameters: &[Value],
) -> Result<CachedStatement<'a>, Error> {
    if sql.dialect() != DatabaseKind::Sqlite {
        return Err(Error::Internal(format!("a {} statement for a SQLite database", sql.dialect().label())));
    }
    let mut statement = connection.prepare_cached(sql.text())?;
    bind(&mut statement, parameters)?;
    Ok(statement)
}

fn columns(statement: &Statement<'_>) -> Vec<ResultColumn> {
    let columns = statement.columns();
    columns
        .iter()
        .map(|column| {
            let database_type = column.decl_type().unwrap_or_default();
            ResultColumn {
                name: column.name().to_owned(),
                database_type: database_type.to_owned(),
                kind: column_type(database_type),
            }
        })
        .collect()
}

fn write_row(stored: &StoredRow<'_>, kinds: &[ColumnType], output: &mut Output) -> Result<(), Error> {
    for (index, &kind) in kinds.iter().enumerate() {
        let cell = stored.get_ref(index)?;
        output.admit(cell::stored_bytes(cell), index)?;
        cell::write(cell, kind, output.row());
    }
    Ok(())
}
