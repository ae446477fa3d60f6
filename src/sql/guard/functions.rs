//! Functions that a statement may call: built in, without effects, and blind to files, networks and other sessions.

use std::collections::HashSet;
use std::sync::LazyLock;

use sqlparser::ast::Ident;

use crate::domain::DatabaseKind;

/// Whether a function may be called: it is on the dialect's list and unqualified (or in `pg_catalog`), or one that the
/// connection allows, spelled with its schema if it is called so.
pub(super) fn is_allowed(idents: &[&Ident], kind: DatabaseKind, allowed: &[String]) -> bool {
    let Some(last) = idents.last() else { return false };
    let full_name = idents.iter().map(|ident| ident.value.as_str()).collect::<Vec<_>>().join(".");
    if allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(&full_name)) {
        return true;
    }
    let built_in = match idents {
        [_] => true,
        [schema, _] => kind == DatabaseKind::Postgresql && is_named(schema, "pg_catalog"),
        _ => false,
    };
    let name = last.value.to_ascii_lowercase();
    // In PostgreSQL a quoted name in capitals is another function than the built-in one.
    let same_function = kind != DatabaseKind::Postgresql || last.quote_style.is_none() || last.value == name;
    built_in && same_function && list(kind).contains(name.as_str())
}

/// Whether PostgreSQL reads the identifier as this lower-case name: quoted ones keep their case.
pub(super) fn is_named(ident: &Ident, name: &str) -> bool {
    if ident.quote_style.is_some() { ident.value == name } else { ident.value.eq_ignore_ascii_case(name) }
}

/// Whether `x.name` could make PostgreSQL call a function that is not allowed.
///
/// There any function of one argument may follow the dot; these are the built-in ones (and those of some extensions) that have
/// effects, reach outside, or run SQL from a string. Columns are hardly ever named like them. A function that a user defined
/// cannot be told from a column without the catalog; whether it may write is then up to the read-only transaction.
pub(super) fn is_forbidden_attribute(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.as_str();
    if list(DatabaseKind::Postgresql).contains(name) {
        return false;
    }
    ["pg_", "binary_upgrade_", "dblink_"].iter().any(|prefix| name.starts_with(prefix))
        || POSTGRESQL_REFUSED.contains(name)
}

/// Whether a name before a parenthesis is known to do harm, whatever the parser takes it for: a look at the bare tokens, for
/// places of the syntax tree that nobody thought of.
pub(super) fn is_harmful(name: &str, kind: DatabaseKind) -> bool {
    const MYSQL: [&str; 9] = [
        "sleep",
        "benchmark",
        "load_file",
        "get_lock",
        "release_lock",
        "release_all_locks",
        "master_pos_wait",
        "sys_exec",
        "sys_eval",
    ];
    let is = |harmful: &&str| name.eq_ignore_ascii_case(harmful);
    match kind {
        DatabaseKind::Postgresql => is_forbidden_attribute(name),
        DatabaseKind::Mysql => MYSQL.iter().any(&is),
        DatabaseKind::Sqlite => ["load_extension", "writefile", "readfile"].iter().any(is),
    }
}

fn list(kind: DatabaseKind) -> &'static HashSet<&'static str> {
    match kind {
        DatabaseKind::Sqlite => &SQLITE,
        DatabaseKind::Postgresql => &POSTGRESQL,
        DatabaseKind::Mysql => &MYSQL,
    }
}

/// Whether PostgreSQL itself defines the operator; any other was defined by a user and may call anything.
pub(super) fn is_postgresql_operator(operator: &str) -> bool {
    POSTGRESQL_OPERATORS.contains(operator)
}

/// An operator without the signs at its end: they belong to what follows, unless a character of it says that it cannot be
/// arithmetic.
pub(super) fn without_signs(operator: &str) -> &str {
    let mut own = operator;
    if !own.contains(|character| "~!@#%^&|`?".contains(character)) {
        while own.len() > 1 && own.ends_with(['+', '-']) {
            own = &own[..own.len() - 1];
        }
    }
    own
}

/// The words of a list, without its comments.
fn words(text: &'static str) -> HashSet<&'static str> {
    text.lines().filter(|line| !line.starts_with("# ") && *line != "#").flat_map(str::split_whitespace).collect()
}

static SQLITE: LazyLock<HashSet<&str>> = LazyLock::new(|| words(include_str!("functions/sqlite.txt")));
static POSTGRESQL: LazyLock<HashSet<&str>> = LazyLock::new(|| words(include_str!("functions/postgresql.txt")));
static POSTGRESQL_REFUSED: LazyLock<HashSet<&str>> =
    LazyLock::new(|| words(include_str!("functions/postgresql_refused.txt")));
static POSTGRESQL_OPERATORS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| words(include_str!("functions/postgresql_operators.txt")));
static MYSQL: LazyLock<HashSet<&str>> = LazyLock::new(|| words(include_str!("functions/mysql.txt")));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_may_be_named_like_most_things() {
        for name in ["total", "lo_orderkey", "name", "count", "status", "version"] {
            assert!(!is_forbidden_attribute(name), "{name}");
        }
        for name in ["pg_ls_dir", "PG_READ_FILE", "lo_import", "query_to_xml", "nextval", "dblink_exec"] {
            assert!(is_forbidden_attribute(name), "{name}");
        }
    }
}
