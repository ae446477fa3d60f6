//! Collects the distinct text values of a database, so that words of a question can be recognised in the data.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::domain::{ColumnPath, ColumnType, ColumnValues, Schema, Table, TableKind, ValueIndex};
use crate::sql::Error;
use crate::sql::catalog::quoted;

/// How much is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleBounds {
    /// Distinct values of one column.
    pub values_per_column: usize,
    /// Distinct values of all columns together.
    pub values: usize,
    /// Longest value that is kept, in characters.
    pub value_chars: usize,
    /// Rows read of one table.
    pub rows_per_table: u32,
    /// Time for all columns together; columns after that are not indexed.
    pub time: Duration,
}

impl Default for SampleBounds {
    fn default() -> Self {
        Self {
            values_per_column: 50_000,
            values: 500_000,
            value_chars: 100,
            rows_per_table: 1_000_000,
            time: Duration::from_secs(10),
        }
    }
}

/// Distinct text values of the text-like columns of all tables; views are left out, their values are their tables'.
///
/// Empty texts are not listed. A column is `complete` when every value it holds (but the empty one) is listed: none was
/// too long, not text or beyond a bound.
pub fn values(connection: &Connection, schema: &Schema, bounds: SampleBounds) -> Result<ValueIndex, Error> {
    let ends = Instant::now() + bounds.time;
    let mut left = bounds.values;
    let mut columns = HashMap::new();
    for table in schema.tables.iter().filter(|table| table.kind == TableKind::Table) {
        for column in table.columns.iter().filter(|column| may_hold_text(column.kind)) {
            if left == 0 || Instant::now() >= ends {
                return Ok(ValueIndex::new(columns));
            }
            let values = column_values(connection, table, &column.name, left, bounds, ends)?;
            left -= values.distinct.len();
            let path =
                ColumnPath { schema: table.schema.clone(), table: table.name.clone(), column: column.name.clone() };
            columns.insert(path, values);
        }
    }
    Ok(ValueIndex::new(columns))
}

/// Columns declared as text, without a type, or as booleans, which SQLite databases often spell as words.
fn may_hold_text(kind: ColumnType) -> bool {
    matches!(kind, ColumnType::Text | ColumnType::Other | ColumnType::Boolean)
}

fn column_values(
    connection: &Connection,
    table: &Table,
    column: &str,
    left: usize,
    bounds: SampleBounds,
    ends: Instant,
) -> Result<ColumnValues, Error> {
    const ROWS_BETWEEN_CLOCK_READS: usize = 256;
    let most = bounds.values_per_column.min(left);
    // Values that are not listed come out as one NULL, which tells that the list is not complete.
    let sql = format!(
        "SELECT DISTINCT CASE WHEN typeof({column}) = 'text' AND length({column}) <= {} THEN {column} END \
         FROM (SELECT {column} FROM {} LIMIT {}) WHERE {column} IS NOT NULL",
        bounds.value_chars,
        quoted(&table.name),
        bounds.rows_per_table,
        column = quoted(column),
    );
    let all_rows_read = table.row_count.is_some_and(|rows| rows <= i64::from(bounds.rows_per_table));
    let mut values = ColumnValues { distinct: Vec::new(), complete: all_rows_read };
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let text = match row.get_ref(0)? {
            ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        };
        match text {
            Some("") => {}
            Some(_) if values.distinct.len() == most => {
                values.complete = false;
                break;
            }
            Some(text) => values.distinct.push(text.to_owned()),
            None => values.complete = false,
        }
        if values.distinct.len().is_multiple_of(ROWS_BETWEEN_CLOCK_READS) && Instant::now() >= ends {
            values.complete = false;
            break;
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::sqlite::schema;

    fn sample(rows: &str, bounds: SampleBounds) -> ColumnValues {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&format!("CREATE TABLE t(n INTEGER, \"a \"\"b\" TEXT); {rows}")).unwrap();
        let schema = schema(&connection).unwrap();
        let index = values(&connection, &schema, bounds).unwrap();
        assert_eq!(index.columns().count(), 1, "numbers are not indexed");
        let path = ColumnPath { schema: "main".into(), table: "t".into(), column: "a \"b".into() };
        index.column(&path).unwrap().clone()
    }

    fn check(rows: &str, bounds: SampleBounds, expected: &[&str], complete: bool) {
        let mut found = sample(rows, bounds);
        found.distinct.sort();
        assert_eq!(found.distinct, expected, "{rows}");
        assert_eq!(found.complete, complete, "{rows}");
    }

    #[test]
    fn distinct_values_and_whether_they_are_all() {
        let all = SampleBounds::default();
        check("INSERT INTO t VALUES (1,'Bob'),(2,'Ann'),(3,'Bob'),(4,NULL),(5,'')", all, &["Ann", "Bob"], true);
        check("INSERT INTO t VALUES (1,'Ann'),(2,x'00ff')", all, &["Ann"], false);
        check("INSERT INTO t VALUES (1,'Ann'),(2,CAST(x'ff' AS TEXT))", all, &["Ann"], false);
        let short = SampleBounds { value_chars: 3, ..all };
        check("INSERT INTO t VALUES (1,'Ann'),(2,'Anne')", short, &["Ann"], false);
        let few = SampleBounds { values_per_column: 1, ..all };
        check("INSERT INTO t VALUES (1,'Ann'),(2,'Bob')", few, &["Ann"], false);
        let few_rows = SampleBounds { rows_per_table: 1, ..all };
        check("INSERT INTO t VALUES (1,'Ann'),(2,'Bob')", few_rows, &["Ann"], false);
        check("INSERT INTO t VALUES (1,'Ann')", SampleBounds { values: 1, ..all }, &["Ann"], true);
    }

    #[test]
    fn no_time_means_no_columns() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t(a TEXT); INSERT INTO t VALUES ('x')").unwrap();
        let schema = schema(&connection).unwrap();
        let bounds = SampleBounds { time: Duration::ZERO, ..SampleBounds::default() };
        assert_eq!(values(&connection, &schema, bounds).unwrap().columns().count(), 0);
    }
}
