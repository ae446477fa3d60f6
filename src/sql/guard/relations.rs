//! Tables that hold credentials or the inner state of a server.

use crate::domain::DatabaseKind;

const POSTGRESQL: [&str; 13] = [
    "pg_authid",
    "pg_shadow",
    "pg_user_mapping",
    "pg_user_mappings",
    "pg_subscription",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_file_settings",
    "pg_largeobject",
    "pg_largeobject_metadata",
    "pg_statistic",
    "pg_backend_memory_contexts",
    "pg_stat_ssl",
];

/// PRAGMAs that SQLite also offers as tables and that only describe.
const SQLITE_DESCRIBING: [&str; 7] = [
    "pragma_table_info",
    "pragma_table_xinfo",
    "pragma_table_list",
    "pragma_foreign_key_list",
    "pragma_index_list",
    "pragma_index_info",
    "pragma_index_xinfo",
];

/// Whether a statement may read the relation of this name. Names are compared without case, so that no spelling escapes.
pub(super) fn is_allowed(parts: &[&str], kind: DatabaseKind) -> bool {
    let Some((name, qualifiers)) = parts.split_last() else { return false };
    let name = name.to_ascii_lowercase();
    let name = name.as_str();
    match kind {
        DatabaseKind::Postgresql => !POSTGRESQL.contains(&name),
        DatabaseKind::Mysql => !qualifiers.iter().any(|qualifier| {
            // Accounts and grants; and what other sessions do, text of their statements included.
            ["mysql", "performance_schema", "sys"].iter().any(|schema| schema.eq_ignore_ascii_case(qualifier))
        }),
        DatabaseKind::Sqlite => match name.strip_prefix("pragma_") {
            Some(_) => SQLITE_DESCRIBING.contains(&name),
            None => !["sqlite_dbpage", "sqlite_stmt", "dbstat", "bytecode", "tables_used"].contains(&name),
        },
    }
}
