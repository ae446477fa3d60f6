//! What a SQLite file holds: tables, views, columns, keys.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Row};
use sha2::{Digest, Sha256};

use crate::domain::{Column, DatabaseKind, ForeignKey, Schema, Table, TableKind};
use crate::sql::column_type;

/// SQLite's name of the main database, used as the schema name.
const MAIN: &str = "main";
/// Counting rows stops after this long; tables that were not counted say so.
const COUNTING_TIME: Duration = Duration::from_millis(500);

/// Reads the whole catalog. Internal tables and the shadow tables of virtual ones are left out.
pub fn schema(connection: &Connection) -> rusqlite::Result<Schema> {
    let mut tables = relations(connection)?;
    for table in &mut tables {
        describe(connection, table)?;
    }
    resolve_implicit_references(&mut tables);
    count_rows(connection, &mut tables);
    let fingerprint = fingerprint(&tables);
    Ok(Schema { dialect: DatabaseKind::Sqlite, tables, fingerprint })
}

fn relations(connection: &Connection) -> rusqlite::Result<Vec<Table>> {
    let sql = "SELECT name, type FROM pragma_table_list \
               WHERE schema = 'main' AND type IN ('table', 'view', 'virtual') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
               ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let tables = statement.query_map([], |row| {
        let kind: String = row.get(1)?;
        Ok(Table {
            schema: MAIN.to_owned(),
            name: row.get(0)?,
            kind: if kind == "view" { TableKind::View } else { TableKind::Table },
            columns: Vec::new(),
            primary_key: Vec::new(),
            unique_keys: Vec::new(),
            foreign_keys: Vec::new(),
            comment: None,
            row_count: None,
        })
    })?;
    tables.collect()
}

fn describe(connection: &Connection, table: &mut Table) -> rusqlite::Result<()> {
    let mut key = BTreeMap::new();
    let sql =
        "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid";
    each(connection, sql, &table.name, |row| {
        let declared_type: String = row.get::<_, Option<String>>(1)?.unwrap_or_default();
        let name: String = row.get(0)?;
        let position: i64 = row.get(4)?;
        if position > 0 {
            key.insert(position, name.clone());
        }
        table.columns.push(Column {
            name,
            kind: column_type::of_declared(&declared_type),
            declared_type,
            nullable: !row.get::<_, bool>(2)? && position == 0,
            default: row.get(3)?,
            comment: None,
            enum_labels: Vec::new(),
        });
        Ok(())
    })?;
    table.primary_key = key.into_values().collect();
    table.foreign_keys = foreign_keys(connection, &table.name)?;
    table.unique_keys = unique_keys(connection, &table.name)?;
    Ok(())
}

fn foreign_keys(connection: &Connection, table: &str) -> rusqlite::Result<Vec<ForeignKey>> {
    let mut keys: BTreeMap<i64, ForeignKey> = BTreeMap::new();
    let sql = "SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?) ORDER BY id, seq";
    each(connection, sql, table, |row| {
        let key = keys.entry(row.get(0)?).or_insert(ForeignKey {
            name: None,
            columns: Vec::new(),
            referenced_schema: MAIN.to_owned(),
            referenced_table: row.get(1)?,
            referenced_columns: Vec::new(),
        });
        key.columns.push(row.get(2)?);
        // NULL means "the parent's primary key": filled in when every table is known.
        if let Some(column) = row.get::<_, Option<String>>(3)? {
            key.referenced_columns.push(column);
        }
        Ok(())
    })?;
    // SQLite lists the newest first; people expect the order of declaration.
    Ok(keys.into_values().rev().collect())
}

fn unique_keys(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Vec<String>>> {
    let mut indexes: Vec<String> = Vec::new();
    let sql = "SELECT name FROM pragma_index_list(?) WHERE \"unique\" AND origin <> 'pk' AND NOT partial ORDER BY name";
    each(connection, sql, table, |row| {
        indexes.push(row.get(0)?);
        Ok(())
    })?;
    let mut keys = Vec::new();
    for index in indexes {
        let mut columns: Vec<Option<String>> = Vec::new();
        each(connection, "SELECT name FROM pragma_index_info(?) ORDER BY seqno", &index, |row| {
            columns.push(row.get(0)?);
            Ok(())
        })?;
        // An index over an expression has no column name there and is no key that people could use.
        keys.extend(columns.into_iter().collect::<Option<Vec<String>>>());
    }
    Ok(keys)
}

fn each(
    connection: &Connection,
    sql: &str,
    name: &str,
    mut visit: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([name])?;
    while let Some(row) = rows.next()? {
        visit(row)?;
    }
    Ok(())
}

/// `REFERENCES parent` without columns means the parent's primary key. Names take the parent's spelling.
fn resolve_implicit_references(tables: &mut [Table]) {
    let parents: BTreeMap<String, (String, Vec<String>)> = tables
        .iter()
        .map(|table| (table.name.to_lowercase(), (table.name.clone(), table.primary_key.clone())))
        .collect();
    for key in tables.iter_mut().flat_map(|table| &mut table.foreign_keys) {
        let Some((name, primary_key)) = parents.get(&key.referenced_table.to_lowercase()) else { continue };
        key.referenced_table.clone_from(name);
        if key.referenced_columns.is_empty() && primary_key.len() == key.columns.len() {
            key.referenced_columns.clone_from(primary_key);
        }
    }
}

/// Counts are exact, and bounded together by [`COUNTING_TIME`]: a count that does not fit is left out.
fn count_rows(connection: &Connection, tables: &mut [Table]) {
    let start = Instant::now();
    for table in tables.iter_mut().filter(|table| table.kind == TableKind::Table) {
        if start.elapsed() >= COUNTING_TIME {
            return;
        }
        let sql = format!("SELECT count(*) FROM {}", quoted(&table.name));
        table.row_count = connection.query_row(&sql, [], |row| row.get(0)).ok();
    }
}

/// A name between double quotes, doubled inside.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn fingerprint(tables: &[Table]) -> String {
    let mut hash = Sha256::new();
    for table in tables {
        let shape = Table { row_count: None, ..table.clone() };
        // Serialising plain data with string keys cannot fail; an empty text would only make fingerprints equal.
        hash.update(serde_json::to_vec(&shape).unwrap_or_default());
    }
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ColumnType;

    fn read(ddl: &str) -> Schema {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(ddl).unwrap();
        schema(&connection).unwrap()
    }

    #[test]
    fn tables_columns_and_keys_are_read() {
        let schema = read(
            "CREATE TABLE parent (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, born DATE DEFAULT '2020-01-01');
             CREATE TABLE child (a INTEGER REFERENCES Parent, b INTEGER, PRIMARY KEY (b, a));
             CREATE VIEW names AS SELECT code FROM parent;
             INSERT INTO parent (code) VALUES ('x'), ('y');",
        );
        let names: Vec<&str> = schema.tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["child", "names", "parent"]);
        let parent = schema.table(None, "parent").unwrap();
        assert_eq!((parent.primary_key.as_slice(), parent.row_count), (["id".to_owned()].as_slice(), Some(2)));
        assert_eq!(parent.unique_keys, [["code"]]);
        let born = parent.column("born").unwrap();
        assert_eq!((born.kind, born.default.as_deref()), (ColumnType::Date, Some("'2020-01-01'")));
        let child = schema.table(None, "child").unwrap();
        assert_eq!(child.primary_key, ["b", "a"]);
        assert_eq!(child.foreign_keys[0].referenced_table, "parent");
        assert_eq!(child.foreign_keys[0].referenced_columns, ["id"]);
        assert_eq!(schema.table(None, "names").unwrap().kind, TableKind::View);
    }

    #[test]
    fn the_fingerprint_follows_structure_not_rows() {
        let empty = read("CREATE TABLE t (n INTEGER)");
        assert_eq!(read("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1)").fingerprint, empty.fingerprint);
        assert_ne!(read("CREATE TABLE t (n TEXT)").fingerprint, empty.fingerprint);
    }

    #[test]
    fn awkward_names_are_only_names() {
        let schema = read("CREATE TABLE \"a\"\"b; --\" (\"select\" TEXT)");
        assert_eq!(schema.tables[0].name, "a\"b; --");
        assert_eq!(schema.tables[0].row_count, Some(0));
    }
}
