//! Runs one guarded statement on one connection, row by row, within its limits.

use std::time::Instant;

use rusqlite::{Connection, Row as StoredRow, Statement};

use super::bind::bind;
use super::cell;
use super::declared::column_type;
use crate::domain::{ColumnType, DatabaseKind, ResultColumn, Row, Value};
use crate::sql::guard::Effect;
use crate::sql::result::Meter;
use crate::sql::{Error, GuardedSql, Limits, Plan, ResultSet, Summary, Truncation, Written};

/// Where the rows of a running statement go.
pub(super) trait Sink {
    /// The columns; called once, before any row.
    fn columns(&mut self, columns: Vec<ResultColumn>) -> Result<(), Error>;
    /// The next row and about how many bytes it takes.
    fn row(&mut self, row: Row, size_bytes: u64) -> Result<(), Error>;
}

/// Runs a statement and holds its result. `limits.timeout` is not watched here: the connection has no one to stop it.
pub fn execute(
    connection: &Connection,
    sql: &GuardedSql,
    parameters: &[Value],
    limits: Limits,
) -> Result<ResultSet, Error> {
    #[derive(Default)]
    struct Whole {
        columns: Vec<ResultColumn>,
        rows: Vec<Row>,
    }
    impl Sink for Whole {
        fn columns(&mut self, columns: Vec<ResultColumn>) -> Result<(), Error> {
            self.columns = columns;
            Ok(())
        }
        fn row(&mut self, row: Row, _size_bytes: u64) -> Result<(), Error> {
            self.rows.push(row);
            Ok(())
        }
    }
    let mut whole = Whole::default();
    let Summary { truncated, execution_time, .. } = run(connection, sql, parameters, limits, &mut whole)?;
    Ok(ResultSet { columns: whole.columns, rows: whole.rows, truncated, execution_time })
}

/// Runs a statement and gives its rows to the sink until a limit is reached.
pub(super) fn run(
    connection: &Connection,
    sql: &GuardedSql,
    parameters: &[Value],
    limits: Limits,
    sink: &mut dyn Sink,
) -> Result<Summary, Error> {
    let started = Instant::now();
    let mut statement = prepare(connection, sql, parameters)?;
    let columns = columns(&statement);
    let kinds: Vec<ColumnType> = columns.iter().map(|column| column.kind).collect();
    sink.columns(columns)?;

    let mut meter = Meter::new(limits);
    let mut rows = statement.raw_query();
    while let Some(stored) = rows.next()? {
        if meter.is_full() {
            break;
        }
        let row = read(stored, &kinds, &meter)?;
        let Some(size_bytes) = meter.row(&row, |index| column_name(stored, index))? else { break };
        sink.row(row, size_bytes)?;
    }
    Ok(meter.summary(started.elapsed()))
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
    let mut statement = prepare(connection, sql, parameters)?;
    let columns = columns(&statement);
    let kinds: Vec<ColumnType> = columns.iter().map(|column| column.kind).collect();
    let mut meter = Meter::new(limits);
    let mut kept = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(stored) = rows.next()? {
        if meter.is_full() {
            continue;
        }
        let row = read(stored, &kinds, &meter);
        match row.and_then(|row| Ok(meter.row(&row, |index| column_name(stored, index))?.map(|_| row))) {
            Ok(Some(row)) => kept.push(row),
            Ok(None) => {}
            Err(Error::ResultTooLarge { .. }) => meter.truncated = Some(Truncation::Bytes),
            Err(error) => return Err(error),
        }
    }
    drop(rows);
    drop(statement);
    // Without a change the count is still that of the statement before.
    let affected_rows = if connection.total_changes() == changed_before { 0 } else { connection.changes() };
    let returned = ResultSet { columns, rows: kept, truncated: meter.truncated, execution_time: started.elapsed() };
    Ok(Written { affected_rows, returned })
}

/// What the planner would do, a line each, indented by depth; empty for a statement that neither is a query nor changes
/// rows.
///
/// The statement itself is prepared first, so that an error's position counts in its own text.
pub(super) fn explain(connection: &Connection, sql: &GuardedSql, parameters: &[Value]) -> Result<Plan, Error> {
    let columns = columns(&prepare(connection, sql, parameters)?);
    if !sql.is_query() && sql.effect() != Effect::Write {
        return Ok(Plan::read(DatabaseKind::Sqlite, String::new(), columns));
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
    Ok(Plan::read(DatabaseKind::Sqlite, plan, columns))
}

fn prepare<'a>(connection: &'a Connection, sql: &GuardedSql, parameters: &[Value]) -> Result<Statement<'a>, Error> {
    if sql.dialect() != DatabaseKind::Sqlite {
        return Err(Error::Internal(format!("a {} statement for a SQLite database", sql.dialect().label())));
    }
    let mut statement = connection.prepare(sql.text())?;
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

fn read(stored: &StoredRow<'_>, kinds: &[ColumnType], meter: &Meter) -> Result<Row, Error> {
    let cell = |(index, &kind): (usize, &ColumnType)| {
        let cell = stored.get_ref(index)?;
        meter.cell(cell::stored_bytes(cell), || column_name(stored, index))?;
        Ok(cell::value(cell, kind))
    };
    kinds.iter().enumerate().map(cell).collect()
}

fn column_name(stored: &StoredRow<'_>, index: usize) -> String {
    stored.as_ref().column_name(index).unwrap_or_default().to_owned()
}
