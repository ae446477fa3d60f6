//! Collects the distinct text values of a database, so that words of a question can be recognised in the data.

use std::collections::HashMap;
use std::time::Instant;

use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::error;
use super::session::Session;
use crate::domain::{Column, ColumnPath, ColumnType, ColumnValues, Schema, Table, TableKind, ValueIndex};
use crate::sql::Error;
use crate::sql::catalog::quoted;
use crate::sql::sqlite::SampleBounds;

/// Distinct text values of the text columns of all tables; views are left out, their values are their tables'.
///
/// Empty texts are not listed. A column is `complete` when every value it holds (but the empty one) is listed. A column
/// that cannot be read is left out: values are help, not truth.
pub(super) async fn values(session: &mut Session, schema: &Schema, bounds: SampleBounds) -> Result<ValueIndex, Error> {
    let ends = Instant::now() + bounds.time;
    let mut left = bounds.values;
    let mut columns = HashMap::new();
    for table in schema.tables.iter().filter(|table| table.kind != TableKind::View) {
        for column in table.columns.iter().filter(|column| column.kind == ColumnType::Text) {
            if left == 0 || Instant::now() >= ends {
                return Ok(ValueIndex::new(columns));
            }
            let values = match column_values(&mut session.connection, table, column, left, bounds).await {
                Ok(values) => values,
                Err(error) if error.leaves_session() => continue,
                Err(error) => return Err(error),
            };
            left = left.saturating_sub(values.distinct.len());
            let path =
                ColumnPath { schema: table.schema.clone(), table: table.name.clone(), column: column.name.clone() };
            columns.insert(path, values);
        }
    }
    Ok(ValueIndex::new(columns))
}

async fn column_values(
    connection: &mut PgConnection,
    table: &Table,
    column: &Column,
    left: usize,
    bounds: SampleBounds,
) -> Result<ColumnValues, Error> {
    if !column.enum_labels.is_empty() {
        return Ok(ColumnValues { distinct: column.enum_labels.clone(), complete: true });
    }
    let most = bounds.values_per_column.min(left);
    // A row beyond the bound, and values that are too long, come out as one NULL, which tells that the list is not
    // complete.
    let sql = format!(
        "SELECT DISTINCT CASE WHEN length(v) <= {chars} AND n <= {rows} THEN v END \
         FROM (SELECT {column}::text AS v, row_number() OVER () AS n FROM {schema}.{table} LIMIT {rows} + 1) AS sampled \
         WHERE v IS NOT NULL LIMIT {most} + 1",
        chars = bounds.value_chars,
        rows = bounds.rows_per_table,
        column = quoted(&column.name),
        schema = quoted(&table.schema),
        table = quoted(&table.name),
    );
    let mut values = ColumnValues { distinct: Vec::new(), complete: true };
    let mut rows = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(error::running)? {
        // Text that is not UTF-8, as a SQL_ASCII database may hold, is left out like a value that is too long.
        match row.try_get::<Option<String>, _>(0).unwrap_or_default() {
            Some(text) if text.is_empty() => {}
            Some(_) if values.distinct.len() == most => values.complete = false,
            Some(text) => values.distinct.push(text),
            None => values.complete = false,
        }
    }
    Ok(values)
}
