//! Tables that hold credentials or the inner state of a server.

use crate::domain::DatabaseKind;

const POSTGRESQL: [&str; 29] = [
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
    "pg_statistic_ext_data",
    "pg_backend_memory_contexts",
    "pg_shmem_allocations",
    "pg_config",
    // Settings of the server: files, addresses, passwords of replication. SHOW tells the harmless ones.
    "pg_settings",
    "pg_db_role_setting",
    // Options of foreign servers and users: addresses and passwords.
    "pg_foreign_server",
    "_pg_user_mappings",
    "user_mapping_options",
    "foreign_server_options",
    // Other sessions: their statements, addresses and names.
    "pg_stat_activity",
    "pg_stat_statements",
    "pg_stat_replication",
    "pg_stat_wal_receiver",
    "pg_stat_ssl",
    "pg_stat_gssapi",
    "pg_prepared_statements",
    "pg_cursors",
];

/// Tables of MySQL's `information_schema` that show other sessions, their statements, plain text of stored rows, or what
/// `SHOW` does not tell: settings, state and files of the server.
const MYSQL_INNER: [&str; 24] = [
    "processlist",
    "innodb_trx",
    "innodb_locks",
    "innodb_lock_waits",
    "innodb_ft_index_table",
    "innodb_ft_index_cache",
    "innodb_buffer_page",
    "innodb_buffer_page_lru",
    "user_variables",
    "user_statistics",
    "client_statistics",
    "profiling",
    "global_variables",
    "session_variables",
    "system_variables",
    "global_status",
    "session_status",
    "files",
    "innodb_sys_datafiles",
    "innodb_sys_tablespaces",
    "innodb_datafiles",
    "innodb_tablespaces",
    "plugins",
    "all_plugins",
];

/// Most rows of a table of MariaDB's sequence engine, such as `seq_1_to_100`.
const MOST_STEPS: i128 = 10_000_000;

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
        DatabaseKind::Mysql => {
            let is_in = |schema: &str| qualifiers.iter().any(|qualifier| schema.eq_ignore_ascii_case(qualifier));
            // Accounts and grants; and what other sessions do, text of their statements included.
            let is_hidden = ["mysql", "performance_schema", "sys"].iter().any(|schema| is_in(schema));
            let is_inner = is_in("information_schema") && MYSQL_INNER.contains(&name);
            !is_hidden && !is_inner && !is_long_sequence(name)
        }
        DatabaseKind::Sqlite => match name.strip_prefix("pragma_") {
            Some(_) => SQLITE_DESCRIBING.contains(&name),
            None => !["sqlite_dbpage", "sqlite_stmt", "dbstat", "bytecode", "tables_used"].contains(&name),
        },
    }
}

fn is_long_sequence(name: &str) -> bool {
    let steps = || {
        let (first, rest) = name.strip_prefix("seq_")?.split_once("_to_")?;
        let (last, step) = rest.split_once("_step_").unwrap_or((rest, "1"));
        let (first, last, step): (i128, i128, i128) = (first.parse().ok()?, last.parse().ok()?, step.parse().ok()?);
        Some((last - first).abs() / step.max(1))
    };
    steps().is_some_and(|steps| steps > MOST_STEPS)
}

/// Whether a statement on a connection that writes may change the relation: it does not belong to the server.
pub(super) fn is_writable(parts: &[&str], kind: DatabaseKind) -> bool {
    let Some((name, qualifiers)) = parts.split_last() else { return false };
    let own: &[&str] = match kind {
        DatabaseKind::Postgresql => &["pg_catalog", "information_schema", "pg_toast"],
        DatabaseKind::Mysql => &["mysql", "performance_schema", "sys", "information_schema"],
        DatabaseKind::Sqlite => &[],
    };
    let prefixes: &[&str] = match kind {
        DatabaseKind::Postgresql => &["pg_"],
        DatabaseKind::Mysql => &[],
        DatabaseKind::Sqlite => &["sqlite_", "pragma_"],
    };
    let name = name.to_ascii_lowercase();
    !qualifiers.iter().any(|qualifier| own.iter().any(|schema| schema.eq_ignore_ascii_case(qualifier)))
        && !prefixes.iter().any(|prefix| name.starts_with(prefix))
}
