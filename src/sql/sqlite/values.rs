//! Distinct text values, so that a question's words can be recognised in the data.

use std::collections::HashMap;
use std::time::Instant;

use rusqlite::Connection;

use super::catalog::quoted;
use crate::domain::{ColumnPath, ColumnType, ColumnValues, Schema, TableKind, ValueIndex};
use crate::sql::SampleBounds;

/// Reads distinct values of text-like columns within the bounds. A column that cannot be read is left out.
pub fn values(connection: &Connection, schema: &Schema, bounds: SampleBounds) -> ValueIndex {
    let start = Instant::now();
    let mut columns = HashMap::new();
    let mut left = bounds.total_values;
    for table in schema.tables.iter().filter(|table| table.kind == TableKind::Table) {
        for column in table.columns.iter().filter(|column| holds_words(column.kind)) {
            if left == 0 || start.elapsed() >= bounds.time {
                return ValueIndex::new(columns);
            }
            let most = bounds.values_per_column.min(left);
            let Ok(found) = distinct(connection, &table.name, &column.name, most, bounds.value_characters) else {
                continue;
            };
            left -= found.distinct.len();
            let path =
                ColumnPath { schema: table.schema.clone(), table: table.name.clone(), column: column.name.clone() };
            columns.insert(path, found);
        }
    }
    ValueIndex::new(columns)
}

/// Columns without a declared type hold anything on SQLite, words included.
fn holds_words(kind: ColumnType) -> bool {
    matches!(kind, ColumnType::Text | ColumnType::Other)
}

fn distinct(
    connection: &Connection,
    table: &str,
    column: &str,
    most: usize,
    characters: usize,
) -> rusqlite::Result<ColumnValues> {
    let (table, column) = (quoted(table), quoted(column));
    // Long texts are prose, not names of things; leaving them out makes the list incomplete on purpose.
    let sql = format!(
        "SELECT DISTINCT substr({column}, 1, {}) FROM {table} WHERE typeof({column}) = 'text' LIMIT {}",
        characters + 1,
        most + 1
    );
    let mut statement = connection.prepare(&sql)?;
    let mut found = ColumnValues { distinct: Vec::new(), complete: true };
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let Ok(text) = row.get::<_, String>(0) else {
            found.complete = false;
            continue;
        };
        if found.distinct.len() == most || text.chars().count() > characters {
            found.complete = false;
        } else {
            found.distinct.push(text);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::sqlite::schema;

    #[test]
    fn values_are_bounded_and_say_so() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t (city TEXT, note TEXT, n INTEGER);
                 INSERT INTO t VALUES ('Paris', 'a long text about something', 1), ('Rome', 'b', 2), ('Paris', NULL, 3)",
            )
            .unwrap();
        let schema = schema(&connection).unwrap();
        let bounds = SampleBounds { value_characters: 10, ..SampleBounds::default() };
        let index = values(&connection, &schema, bounds);
        let column = |name: &str| {
            let path = ColumnPath { schema: "main".into(), table: "t".into(), column: name.into() };
            index.column(&path).cloned()
        };
        let mut city = column("city").unwrap();
        city.distinct.sort();
        assert_eq!((city.distinct, city.complete), (vec!["Paris".to_owned(), "Rome".to_owned()], true));
        let note = column("note").unwrap();
        assert_eq!((note.distinct, note.complete), (vec!["b".to_owned()], false));
        assert_eq!(column("n"), None);
        let one = values(&connection, &schema, SampleBounds { values_per_column: 1, ..bounds });
        assert!(one.columns().all(|(_, values)| !values.complete && values.distinct.len() <= 1));
    }
}
