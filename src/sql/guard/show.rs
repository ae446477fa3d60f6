//! `SHOW` and `DESCRIBE` on SQLite, which has no such statements: the plain forms stand for queries of the catalog.

use sqlparser::ast::{ObjectName, ShowStatementOptions, Statement};

const TABLES: &str = r"SELECT name, type FROM sqlite_schema
WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name";

/// A file is one database, and SQLite calls it so.
const DATABASES: &str = "SELECT 'main' AS name";

/// The query that a statement stands for; `None` for everything that SQLite should answer for itself.
pub(super) fn as_query(statement: &Statement) -> Option<String> {
    match statement {
        Statement::ShowTables { show_options, .. } if is_plain(show_options) && show_options.show_in.is_none() => {
            Some(TABLES.to_owned())
        }
        Statement::ShowDatabases { show_options, .. } if is_plain(show_options) => Some(DATABASES.to_owned()),
        Statement::ShowColumns { show_options, .. } if is_plain(show_options) => {
            columns(show_options.show_in.as_ref()?.parent_name.as_ref()?)
        }
        Statement::ExplainTable { table_name, .. } => columns(table_name),
        _ => None,
    }
}

/// Without LIKE, LIMIT and their kind.
fn is_plain(options: &ShowStatementOptions) -> bool {
    let ShowStatementOptions { show_in: _, starts_with, limit, limit_from, filter_position } = options;
    starts_with.is_none() && limit.is_none() && limit_from.is_none() && filter_position.is_none()
}

fn columns(table: &ObjectName) -> Option<String> {
    let name = &table.0.last()?.as_ident()?.value;
    let literal = name.replace('\'', "''");
    Some(format!(
        "SELECT name, type, NOT \"notnull\" AS nullable, dflt_value AS default_value, pk AS primary_key \
         FROM pragma_table_info('{literal}')"
    ))
}
