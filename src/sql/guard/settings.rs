//! Settings of a server that tell about the language and the session, and nothing about files, addresses or secrets.

use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, Value};

use super::functions::is_named;
use crate::domain::DatabaseKind;

/// Names of PostgreSQL and MySQL, in lower case.
const PUBLIC: [&str; 47] = [
    // PostgreSQL
    "server_version",
    "server_version_num",
    "server_encoding",
    "client_encoding",
    "search_path",
    "timezone",
    "datestyle",
    "intervalstyle",
    "lc_collate",
    "lc_ctype",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "max_connections",
    "work_mem",
    "shared_buffers",
    "statement_timeout",
    "lock_timeout",
    "transaction_isolation",
    "transaction_read_only",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "default_text_search_config",
    "standard_conforming_strings",
    "integer_datetimes",
    "application_name",
    "block_size",
    // MySQL and MariaDB
    "version",
    "version_comment",
    "sql_mode",
    "time_zone",
    "system_time_zone",
    "autocommit",
    "tx_isolation",
    "character_set_client",
    "character_set_connection",
    "character_set_database",
    "character_set_results",
    "character_set_server",
    "collation_connection",
    "collation_database",
    "collation_server",
    "lower_case_table_names",
    "max_allowed_packet",
    "group_concat_max_len",
    "max_execution_time",
    "default_storage_engine",
];

/// Beginnings of MySQL names, for `SHOW VARIABLES LIKE 'character_set%'`.
const PUBLIC_PREFIXES: [&str; 5] = ["version", "character_set_", "collation_", "sql_mode", "time_zone"];

/// Whether anybody may read the setting; MySQL's scope (`global.`, `session.`) may stand before it.
pub(super) fn is_public(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let scoped = ["global.", "session.", "local."].iter().find_map(|scope| name.strip_prefix(scope));
    PUBLIC.contains(&scoped.unwrap_or(&name))
}

/// Whether all settings that a LIKE pattern finds are public. `_` stands for itself in their names.
pub(super) fn is_public_pattern(pattern: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    match pattern.split_once('%') {
        None => is_public(&pattern),
        Some((beginning, "")) => {
            let beginning = if beginning == "character_set" { "character_set_" } else { beginning };
            PUBLIC_PREFIXES.iter().any(|prefix| beginning.starts_with(prefix))
                || (!beginning.is_empty() && beginning.starts_with("collation"))
        }
        Some(_) => false,
    }
}

/// Whether a function looks up a setting; which ones it may is up to [`is_public_lookup`].
pub(super) fn is_lookup(function: &str) -> bool {
    function.eq_ignore_ascii_case("current_setting")
}

/// `current_setting('…')` of a public setting.
pub(super) fn is_public_lookup(name: &ObjectName, arguments: &[FunctionArg], kind: DatabaseKind) -> bool {
    let idents: Option<Vec<&Ident>> = name.0.iter().map(ObjectNamePart::as_ident).collect();
    let is_lookup = match idents.as_deref() {
        Some([function]) => is_named(function, "current_setting"),
        Some([schema, function]) => is_named(schema, "pg_catalog") && is_named(function, "current_setting"),
        _ => false,
    };
    let setting = match arguments.first() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))) => match &value.value {
            Value::SingleQuotedString(setting) => Some(setting),
            _ => None,
        },
        _ => None,
    };
    kind == DatabaseKind::Postgresql && is_lookup && setting.is_some_and(|setting| is_public(setting))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_public_settings_only() {
        for pattern in ["version", "version%", "character_set%", "collation%", "SQL_MODE", "time_zone%"] {
            assert!(is_public_pattern(pattern), "{pattern}");
        }
        for pattern in ["%", "", "s%", "secure_file_priv", "%version%", "datadir", "v%", "character%"] {
            assert!(!is_public_pattern(pattern), "{pattern}");
        }
    }
}
