//! Collects the distinct text values of a database, so that words of a question can be recognised in the data.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use sqlx::{AssertSqlSafe, Row};

use super::catalog::quoted;
use super::session::{Product, Session};
use super::{cell, error};
use crate::domain::{Column, ColumnPath, ColumnType, ColumnValues, Schema, Table, TableKind, ValueIndex};
use crate::sql::Error;
use crate::sql::sqlite::SampleBounds;

/// Distinct text values of the text columns of all tables, and the labels of enums; views are left out, their values are
/// their tables'.
///
/// Empty texts are not listed. Texts are told apart byte by byte, whatever the column's collation takes for equal. A
/// column is `complete` when every value it holds (but the empty one) is listed: none was too long or beyond a bound.
pub(super) async fn values(session: &mut Session, schema: &Schema, bounds: SampleBounds) -> Result<ValueIndex, Error> {
    let ends = Instant::now() + bounds.time;
    let mut left = bounds.values;
    let mut columns = HashMap::new();
    for table in schema.tables.iter().filter(|table| table.kind == TableKind::Table) {
        let texts: Vec<&Column> = table.columns.iter().filter(|column| column.kind == ColumnType::Text).collect();
        let mut is_short = None;
        for column in texts {
            if left == 0 || Instant::now() >= ends {
                return Ok(ValueIndex::new(columns));
            }
            if is_short.is_none() {
                is_short = unless_refused(self::is_short(session, table, bounds, ends).await)?;
            }
            let values = column_values(session, table, column, left, bounds, ends).await;
            let Some(mut values) = unless_refused(values)? else { continue };
            values.complete &= is_short == Some(true) || !column.enum_labels.is_empty();
            left = left.saturating_sub(values.distinct.len());
            let path =
                ColumnPath { schema: table.schema.clone(), table: table.name.clone(), column: column.name.clone() };
            columns.insert(path, values);
        }
    }
    Ok(ValueIndex::new(columns))
}

/// What cannot be read is left out: values are help, not truth.
fn unless_refused<T>(read: Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    match read {
        Err(error) if error.leaves_session() => Ok(None),
        read => read,
    }
}

/// Whether the rows that are read of the table are all it has; `None` when the time is over.
async fn is_short(
    session: &mut Session,
    table: &Table,
    bounds: SampleBounds,
    ends: Instant,
) -> Result<Option<bool>, Error> {
    let sql = format!("SELECT 1 FROM {} LIMIT 1 OFFSET {}", name(table), bounds.rows_per_table);
    let mut beyond = 0;
    let whole = rows(session, sql, ends, |_| beyond += 1).await?;
    Ok((whole == Whole::Yes).then_some(beyond == 0))
}

/// `None` when the time was over before there was any value.
async fn column_values(
    session: &mut Session,
    table: &Table,
    column: &Column,
    left: usize,
    bounds: SampleBounds,
    ends: Instant,
) -> Result<Option<ColumnValues>, Error> {
    if !column.enum_labels.is_empty() {
        return Ok(Some(ColumnValues { distinct: column.enum_labels.clone(), complete: true }));
    }
    let most = bounds.values_per_column.min(left);
    // Values that are not listed come out as one NULL, which tells that the list is not complete. The empty text may take
    // one row too, and one more tells that there are too many.
    let sql = format!(
        "SELECT DISTINCT CASE WHEN CHAR_LENGTH({column}) <= {} THEN CAST(CONVERT({column} USING utf8mb4) AS BINARY) END \
         FROM (SELECT {column} FROM {} LIMIT {}) AS sampled WHERE {column} IS NOT NULL LIMIT {}",
        bounds.value_chars,
        name(table),
        bounds.rows_per_table,
        most + 3,
        column = quoted(&column.name),
    );
    let mut values = ColumnValues { distinct: Vec::new(), complete: true };
    let whole = rows(session, sql, ends, |bytes| match bytes.map(std::str::from_utf8) {
        Some(Ok("")) => {}
        Some(Ok(text)) if values.distinct.len() < most => values.distinct.push(text.to_owned()),
        _ => values.complete = false,
    });
    if whole.await? == Whole::Yes {
        return Ok(Some(values));
    }
    values.complete = false;
    Ok((!values.distinct.is_empty()).then_some(values))
}

#[derive(Debug, PartialEq, Eq)]
enum Whole {
    Yes,
    /// The time was over before the last row.
    No,
}

/// Hands over the first cell of each row. The server stops the statement when the time is over.
async fn rows(
    session: &mut Session,
    sql: String,
    ends: Instant,
    mut take: impl FnMut(Option<&[u8]>),
) -> Result<Whole, Error> {
    let time = ends.saturating_duration_since(Instant::now());
    if time < Duration::from_millis(1) {
        return Ok(Whole::No);
    }
    let bounded = match (session.product, sql.strip_prefix("SELECT ")) {
        (Product::Mysql, Some(rest)) => format!("SELECT /*+ MAX_EXECUTION_TIME({}) */ {rest}", time.as_millis()),
        _ => format!("SET STATEMENT max_statement_time = {} FOR {sql}", time.as_secs_f64()),
    };
    let query = sqlx::query(AssertSqlSafe(bounded)).persistent(false);
    let mut rows = query.fetch(&mut session.connection);
    while let Some(row) = rows.next().await {
        match row {
            Ok(row) => take(row.try_get_raw(0).ok().and_then(cell::stored)),
            Err(error) if error::is_over_time(&error) => return Ok(Whole::No),
            Err(error) => return Err(error::of_statement(error, "", session.longest)),
        }
    }
    Ok(Whole::Yes)
}

fn name(table: &Table) -> String {
    format!("{}.{}", quoted(&table.schema), quoted(&table.name))
}
