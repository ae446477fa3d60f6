//! Reads the structure of a MySQL or MariaDB database: one query for each kind of thing, for all tables at once.

use std::collections::HashMap;

use sqlx::mysql::MySqlRow;

use super::cell::text;
use super::error;
use super::session::{Product, Session, ask};
use super::types::{declared_kind, enum_labels};
use crate::domain::{Column, DatabaseKind, ForeignKey, Schema, Table, TableKind};
use crate::sql::{Error, catalog};

/// Databases of the server itself.
const OWN_DATABASES: &str = "'mysql', 'information_schema', 'performance_schema', 'sys'";

/// Reads tables, views, columns and keys, and the server's own estimates of row counts.
///
/// What PostgreSQL calls a schema is a database here, and a session can read all of those that its user may. A
/// connection that names one means that one, and only it is read; without a name, all are but the server's own. Views
/// that no longer work have no columns and are left out.
pub(super) async fn schema(session: &mut Session) -> Result<Schema, Error> {
    let mut tables = tables(session).await?;
    let places: Places =
        tables.iter().enumerate().map(|(place, table)| ((table.schema.clone(), table.name.clone()), place)).collect();
    columns(session, &mut tables, &places).await?;
    unique_keys(session, &mut tables, &places).await?;
    foreign_keys(session, &mut tables, &places).await?;
    tables.retain(|table| !table.columns.is_empty());
    Ok(catalog::schema(DatabaseKind::Mysql, tables))
}

/// An identifier in backticks, safe inside a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Where the table of a database and a name stands in the list.
type Places = HashMap<(String, String), usize>;

async fn tables(session: &mut Session) -> Result<Vec<Table>, Error> {
    let sql = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, TABLE_ROWS, TABLE_COMMENT FROM information_schema.TABLES \
               WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW') AND ";
    let rows = catalog_rows(session, sql, "TABLE_SCHEMA", "").await?;
    let mut tables: Vec<Table> = rows
        .iter()
        .map(|row| {
            let kind = if cell(row, 2) == "VIEW" { TableKind::View } else { TableKind::Table };
            let comment = text(row, 4).filter(|comment| !comment.is_empty() && kind == TableKind::Table);
            Table {
                schema: cell(row, 0),
                name: cell(row, 1),
                kind,
                columns: Vec::new(),
                primary_key: Vec::new(),
                unique_keys: Vec::new(),
                foreign_keys: Vec::new(),
                comment,
                row_count: text(row, 3).and_then(|count| count.parse().ok()),
            }
        })
        .collect();
    // The server's own order depends on its collations.
    tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    Ok(tables)
}

async fn columns(session: &mut Session, tables: &mut [Table], places: &Places) -> Result<(), Error> {
    let sql = "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, \
               COLUMN_COMMENT, EXTRA, GENERATION_EXPRESSION FROM information_schema.COLUMNS WHERE ";
    let product = session.product;
    let order = "ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION";
    for row in catalog_rows(session, sql, "TABLE_SCHEMA", order).await? {
        let declared_type = cell(&row, 4);
        let kind = declared_kind(&cell(&row, 3), &declared_type);
        let column = Column {
            name: cell(&row, 2),
            kind,
            nullable: cell(&row, 5) == "YES",
            default: text(&row, 6)
                .and_then(|default| default_text(product, default, &cell(&row, 8), kind.is_numeric())),
            comment: text(&row, 7).filter(|comment| !comment.is_empty()),
            enum_labels: enum_labels(&declared_type),
            generated: !cell(&row, 9).is_empty(),
            declared_type,
        };
        if let Some(table) = table_of(&row, tables, places) {
            table.columns.push(column);
        }
    }
    Ok(())
}

async fn unique_keys(session: &mut Session, tables: &mut [Table], places: &Places) -> Result<(), Error> {
    let sql = "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS \
               WHERE NON_UNIQUE = 0 AND ";
    let order = "ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX";
    let rows = catalog_rows(session, sql, "TABLE_SCHEMA", order).await?;
    for index in rows.chunk_by(|a, b| (0..3).all(|part| text(a, part) == text(b, part))) {
        // A part that is an expression has no column; such an index is no key of columns.
        let names = index.iter().map(|row| text(row, 3)).collect::<Option<Vec<_>>>();
        let Some((names, table)) = names.zip(table_of(&index[0], tables, places)) else { continue };
        if cell(&index[0], 2) == "PRIMARY" {
            table.primary_key = names;
        } else {
            table.unique_keys.push(names);
        }
    }
    Ok(())
}

async fn foreign_keys(session: &mut Session, tables: &mut [Table], places: &Places) -> Result<(), Error> {
    let sql = "SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, \
               REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE \
               WHERE REFERENCED_TABLE_NAME IS NOT NULL AND ";
    let order = "ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION";
    let rows = catalog_rows(session, sql, "TABLE_SCHEMA", order).await?;
    for key in rows.chunk_by(|a, b| (0..3).all(|part| text(a, part) == text(b, part))) {
        let foreign_key = ForeignKey {
            name: text(&key[0], 2),
            columns: key.iter().map(|row| cell(row, 3)).collect(),
            referenced_schema: cell(&key[0], 4),
            referenced_table: cell(&key[0], 5),
            referenced_columns: key.iter().map(|row| cell(row, 6)).collect(),
        };
        if let Some(table) = table_of(&key[0], tables, places) {
            table.foreign_keys.push(foreign_key);
        }
    }
    Ok(())
}

/// The rows of a catalog query for the databases in question.
async fn catalog_rows(session: &mut Session, sql: &str, database: &str, order: &str) -> Result<Vec<MySqlRow>, Error> {
    let scope = if session.has_database {
        format!("{database} = DATABASE()")
    } else {
        format!("{database} NOT IN ({OWN_DATABASES})")
    };
    let rows = ask(&mut session.connection, format!("{sql}{scope} {order}")).await;
    rows.map_err(|error| error::of_statement(error, "", session.longest))
}

fn cell(row: &MySqlRow, index: usize) -> String {
    text(row, index).unwrap_or_default()
}

fn table_of<'a>(row: &MySqlRow, tables: &'a mut [Table], places: &Places) -> Option<&'a mut Table> {
    let place = *places.get(&(cell(row, 0), cell(row, 1)))?;
    tables.get_mut(place)
}

/// The default as SQL. MariaDB gives it as such, with NULL spelled out; MySQL gives a bare value unless `extra` says that
/// it is an expression.
fn default_text(product: Product, default: String, extra: &str, is_number: bool) -> Option<String> {
    match product {
        Product::Mariadb => (!default.eq_ignore_ascii_case("NULL")).then_some(default),
        Product::Mysql if is_number || extra.contains("DEFAULT_GENERATED") => Some(default),
        // Bits are written as literals already.
        Product::Mysql if default.starts_with("b'") => Some(default),
        Product::Mysql => Some(format!("'{}'", default.replace('\\', "\\\\").replace('\'', "''"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_sql() {
        let default = |product, text: &str, extra, is_number| default_text(product, text.to_owned(), extra, is_number);
        assert_eq!(default(Product::Mariadb, "NULL", "", false), None);
        assert_eq!(default(Product::Mariadb, "'NULL'", "", false).unwrap(), "'NULL'");
        assert_eq!(default(Product::Mysql, "it's", "", false).unwrap(), "'it''s'");
        assert_eq!(default(Product::Mysql, "9.99", "", true).unwrap(), "9.99");
        assert_eq!(default(Product::Mysql, "b'101'", "", false).unwrap(), "b'101'");
        let now = default(Product::Mysql, "CURRENT_TIMESTAMP", "DEFAULT_GENERATED", false);
        assert_eq!(now.unwrap(), "CURRENT_TIMESTAMP");
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("a`b"), "`a``b`");
    }
}
