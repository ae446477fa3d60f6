//! Reads the structure of a SQLite database.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Row};

use super::declared::column_type;
use crate::domain::{Column, DatabaseKind, ForeignKey, Schema, Table, TableKind};
use crate::sql::{Error, catalog};

/// The namespace of every table: other databases cannot be attached.
const NAMESPACE: &str = "main";
/// Rows up to which a table is counted exactly; beyond it the largest rowid is the estimate.
const COUNTED_ROWS: i64 = 1_000_000;
/// Time for counting all tables together; tables after that have no count.
const COUNTING_TIME: Duration = Duration::from_secs(2);

/// Reads tables, views, columns and keys. SQLite's own tables and the inner tables of full-text indexes are left out.
///
/// A foreign key that names no columns refers to the parent's primary key; one that leads nowhere is left out, as is a
/// view whose statement no longer compiles.
pub fn schema(connection: &Connection) -> Result<Schema, Error> {
    let mut tables = Vec::new();
    let mut declared_keys = Vec::new();
    for (name, kind) in relations(connection)? {
        let Some(columns) = columns(connection, &name, kind)? else { continue };
        declared_keys.push(declared_foreign_keys(connection, &name)?);
        tables.push(Table {
            schema: NAMESPACE.to_owned(),
            kind,
            primary_key: columns.primary_key,
            columns: columns.columns,
            unique_keys: unique_keys(connection, &name)?,
            foreign_keys: Vec::new(),
            comment: None,
            row_count: None,
            name,
        });
    }
    let resolved: Vec<Vec<ForeignKey>> = declared_keys
        .into_iter()
        .map(|keys| keys.into_iter().filter_map(|key| resolve(key, &tables)).collect())
        .collect();
    let counting_ends = Instant::now() + COUNTING_TIME;
    for (table, keys) in tables.iter_mut().zip(resolved) {
        table.foreign_keys = keys;
        if table.kind == TableKind::Table && Instant::now() < counting_ends {
            table.row_count = row_count(connection, &table.name);
        }
    }
    Ok(catalog::schema(DatabaseKind::Sqlite, tables))
}

fn relations(connection: &Connection) -> Result<Vec<(String, TableKind)>, Error> {
    let sql = "SELECT name, type FROM pragma_table_list \
               WHERE schema = 'main' AND type IN ('table', 'view', 'virtual') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
               ORDER BY name";
    collect(connection, sql, [], |row| {
        let kind = if row.get::<_, String>(1)? == "view" { TableKind::View } else { TableKind::Table };
        Ok((row.get(0)?, kind))
    })
}

struct Columns {
    columns: Vec<Column>,
    primary_key: Vec<String>,
}

/// The columns of one table; `None` for a view that does not compile.
fn columns(connection: &Connection, table: &str, kind: TableKind) -> Result<Option<Columns>, Error> {
    struct Described {
        column: Column,
        key_position: i64,
    }
    // `hidden` is 1 for the hidden columns of virtual tables; generated columns (2 and 3) can be read like any other.
    let sql = "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid";
    let described = collect(connection, sql, [table], |row| {
        let declared_type: String = row.get::<_, Option<String>>(1)?.unwrap_or_default();
        let column = Column {
            name: row.get(0)?,
            kind: column_type(&declared_type),
            declared_type,
            nullable: !row.get::<_, bool>(2)?,
            default: row.get(3)?,
            comment: None,
            enum_labels: Vec::new(),
            generated: row.get::<_, i64>(5)? > 1,
        };
        Ok(Described { column, key_position: row.get(4)? })
    });
    let mut described = match described {
        Err(Error::Statement(_)) if kind == TableKind::View => return Ok(None),
        described => described?,
    };
    if described.is_empty() {
        return Ok(None);
    }
    let mut key: Vec<&mut Described> = described.iter_mut().filter(|column| column.key_position > 0).collect();
    key.sort_by_key(|column| column.key_position);
    // An INTEGER PRIMARY KEY is the rowid and never NULL; other primary keys of SQLite may hold NULL.
    if let [only] = key.as_mut_slice()
        && only.column.declared_type.eq_ignore_ascii_case("INTEGER")
    {
        only.column.nullable = false;
    }
    let primary_key = key.iter().map(|column| column.column.name.clone()).collect();
    Ok(Some(Columns { columns: described.into_iter().map(|described| described.column).collect(), primary_key }))
}

fn unique_keys(connection: &Connection, table: &str) -> Result<Vec<Vec<String>>, Error> {
    let sql =
        "SELECT name FROM pragma_index_list(?1) WHERE \"unique\" = 1 AND partial = 0 AND origin <> 'pk' ORDER BY name";
    let indexes: Vec<String> = collect(connection, sql, [table], |row| row.get(0))?;
    let mut keys = Vec::new();
    for index in indexes {
        let sql = "SELECT name FROM pragma_index_info(?1) ORDER BY seqno";
        let names: Vec<Option<String>> = collect(connection, sql, [&index], |row| row.get(0))?;
        // An index over an expression has parts without a name; it is no key of columns.
        if let Some(names) = names.into_iter().collect::<Option<Vec<_>>>() {
            keys.push(names);
        }
    }
    Ok(keys)
}

/// A foreign key as declared: the referenced columns may be missing.
struct DeclaredKey {
    table: String,
    columns: Vec<(String, Option<String>)>,
}

fn declared_foreign_keys(connection: &Connection, table: &str) -> Result<Vec<DeclaredKey>, Error> {
    // SQLite numbers foreign keys from the last one declared.
    let sql = "SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1) ORDER BY id DESC, seq";
    let rows =
        collect(connection, sql, [table], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?, (row.get(2)?, row.get(3)?))))?;
    let mut keys: Vec<(i64, DeclaredKey)> = Vec::new();
    for (id, table, columns) in rows {
        match keys.last_mut() {
            Some((last, key)) if *last == id => key.columns.push(columns),
            _ => keys.push((id, DeclaredKey { table, columns: vec![columns] })),
        }
    }
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

/// The key with the parent's own spelling of its names; `None` when parent or columns do not exist.
fn resolve(key: DeclaredKey, tables: &[Table]) -> Option<ForeignKey> {
    let parent = tables.iter().find(|table| table.name.eq_ignore_ascii_case(&key.table))?;
    let (columns, named): (Vec<String>, Vec<Option<String>>) = key.columns.into_iter().unzip();
    let referenced_columns = match named.into_iter().collect::<Option<Vec<String>>>() {
        Some(stated) => stated
            .iter()
            .map(|name| parent.column(name).map(|column| column.name.clone()))
            .collect::<Option<Vec<_>>>()?,
        None => parent.primary_key.clone(),
    };
    (referenced_columns.len() == columns.len()).then(|| ForeignKey {
        name: None,
        columns,
        referenced_schema: NAMESPACE.to_owned(),
        referenced_table: parent.name.clone(),
        referenced_columns,
    })
}

/// Rows of a table: exact up to the bound, else the largest rowid, else unknown.
fn row_count(connection: &Connection, table: &str) -> Option<i64> {
    let table = catalog::quoted(table);
    let counted: i64 = connection
        .query_row(&format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT {})", COUNTED_ROWS + 1), [], |row| {
            row.get(0)
        })
        .ok()?;
    if counted <= COUNTED_ROWS {
        return Some(counted);
    }
    connection.query_row(&format!("SELECT max(rowid) FROM {table}"), [], |row| row.get(0)).ok()
}

fn collect<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_map(parameters, read)?.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ColumnType;

    fn database(sql: &str) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        connection
    }

    #[test]
    fn columns_keys_and_counts() {
        let connection = database(
            "CREATE TABLE Artist(ArtistId INTEGER PRIMARY KEY, Name NVARCHAR(120) NOT NULL UNIQUE);
             CREATE TABLE album(id INTEGER PRIMARY KEY, artist INT REFERENCES artist, price DECIMAL(10,2) DEFAULT 9.99,
                                twice AS (price * 2), FOREIGN KEY(artist) REFERENCES Artist(artistid),
                                FOREIGN KEY(id) REFERENCES nowhere(id));
             CREATE TABLE pair(a TEXT, b TEXT, c, PRIMARY KEY(b, a));
             CREATE TABLE child(x TEXT, y TEXT, FOREIGN KEY(x, y) REFERENCES pair);
             CREATE UNIQUE INDEX partial ON pair(c) WHERE c > 1;
             CREATE VIEW expensive AS SELECT * FROM album WHERE price > 10;
             CREATE VIEW broken AS SELECT * FROM gone;
             CREATE VIRTUAL TABLE notes USING fts5(body);
             INSERT INTO Artist VALUES (1, 'AC/DC'), (2, 'Accept');",
        );
        let schema = schema(&connection).unwrap();
        let names: Vec<&str> = schema.tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["Artist", "album", "child", "expensive", "notes", "pair"]);

        let artist = schema.table(Some("main"), "artist").unwrap();
        assert_eq!(artist.primary_key, ["ArtistId"]);
        assert_eq!(artist.unique_keys, [["Name"]]);
        assert_eq!(artist.row_count, Some(2));
        assert!(artist.columns.iter().all(|column| !column.nullable));

        let album = schema.table(None, "album").unwrap();
        assert_eq!(album.columns.len(), 4);
        assert_eq!(album.column("price").unwrap().kind, ColumnType::Decimal);
        assert_eq!(album.column("price").unwrap().default.as_deref(), Some("9.99"));
        assert_eq!(album.foreign_keys.len(), 2, "the key to a table that is not there is left out");
        for key in &album.foreign_keys {
            assert_eq!((key.columns[0].as_str(), key.referenced_table.as_str()), ("artist", "Artist"));
            assert_eq!(key.referenced_columns, ["ArtistId"]);
        }
        assert_eq!(schema.table(None, "pair").unwrap().primary_key, ["b", "a"]);
        assert!(schema.table(None, "pair").unwrap().unique_keys.is_empty());
        assert_eq!(schema.table(None, "child").unwrap().foreign_keys[0].referenced_columns, ["b", "a"]);
        assert_eq!(schema.table(None, "expensive").unwrap().kind, TableKind::View);
        assert_eq!(schema.table(None, "expensive").unwrap().row_count, None);
    }

    #[test]
    fn the_fingerprint_follows_structure_not_rows() {
        let connection = database("CREATE TABLE t(a INTEGER, b TEXT)");
        let before = schema(&connection).unwrap().fingerprint;
        connection.execute_batch("INSERT INTO t VALUES (1, 'x')").unwrap();
        assert_eq!(schema(&connection).unwrap().fingerprint, before);
        connection.execute_batch("ALTER TABLE t ADD COLUMN c DATE").unwrap();
        assert_ne!(schema(&connection).unwrap().fingerprint, before);
    }
}
