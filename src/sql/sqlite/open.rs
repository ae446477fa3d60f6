//! Opens a SQLite file so that nothing it is asked can change anything, or nothing more than rows and tables.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::domain::AccessMode;
use crate::sql::Error;

/// First bytes of every SQLite database file (<https://sqlite.org/fileformat2.html>, 1.3.1).
const HEADER: &[u8; 16] = b"SQLite format 3\0";

/// Pages that a connection keeps while it works; the pool takes back those of long work. A join that looks up rows all over
/// a file takes a tenth longer with 128 KiB, and no less with more.
const CACHE_KIBIBYTES: i32 = 1_024;

/// PRAGMAs that only describe. `table_list` and `index_xinfo` serve the catalog.
const DESCRIBING_PRAGMAS: [&str; 8] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "foreign_key_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "data_version",
];

/// Opens the file read-only and tells SQLite to refuse everything but reading.
///
/// Layers, each of which holds alone: the open mode, `query_only`, an authorizer, limits, and no trust in what the schema
/// itself calls. The guard stands above all of them.
pub fn open(path: &Path, lock_timeout: Duration) -> Result<Connection, Error> {
    open_for(path, lock_timeout, AccessMode::ReadOnly)
}

/// As [`open`], for statements that write too: rows, and with [`AccessMode::Ddl`] tables, indexes and views. Foreign keys
/// are enforced and triggers fire, as whoever made them expects.
pub(super) fn open_for(path: &Path, lock_timeout: Duration, access: AccessMode) -> Result<Connection, Error> {
    check_file(path)?;
    let writes = access != AccessMode::ReadOnly;
    let mode = if writes { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(lock_timeout)?;
    connection.pragma_update(None, "query_only", !writes)?;
    connection.pragma_update(None, "foreign_keys", writes)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIBIBYTES)?;
    for (setting, value) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, writes),
        (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
    ] {
        connection.set_db_config(setting, value)?;
    }
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, 16 << 20),
        // The guard allows 32 KiB; `EXPLAIN QUERY PLAN ` comes before it.
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 33 << 10),
        (Limit::SQLITE_LIMIT_COLUMN, 1_000),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 500),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 200),
        (Limit::SQLITE_LIMIT_VDBE_OP, 1_000_000),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, most)?;
    }
    // The first read shows a file whose header is right but whose pages are not.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        if reads(&context.action) || changes(&context.action, access) {
            Authorization::Allow
        } else {
            Authorization::Deny
        }
    }))?;
    Ok(connection)
}

fn check_file(path: &Path) -> Result<(), Error> {
    let kind = fs::symlink_metadata(path).map_err(|error| unreadable(&error))?.file_type();
    if kind.is_dir() {
        return Err(Error::FileIsDirectory);
    }
    if !kind.is_file() {
        return Err(Error::FileUnreadable("it is not a regular file".to_owned()));
    }
    let mut header = [0; HEADER.len()];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) if header == *HEADER => Ok(()),
        Ok(()) => Err(Error::FileNotDatabase),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(Error::FileNotDatabase),
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Error::FileMissing,
        kind => Error::FileUnreadable(kind.to_string()),
    }
}

/// Reading, calling functions and describing; asked while a statement is prepared.
fn reads(action: &AuthAction<'_>) -> bool {
    match action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => true,
        AuthAction::Function { function_name } => {
            !["load_extension", "fts3_tokenizer"].iter().any(|name| name.eq_ignore_ascii_case(function_name))
        }
        AuthAction::Pragma { pragma_name, .. } => {
            DESCRIBING_PRAGMAS.iter().any(|name| name.eq_ignore_ascii_case(pragma_name))
        }
        // Virtual tables such as `json_each` declare themselves this way; the open mode stops a real write, and where
        // that allows writing, the defensive mode does.
        AuthAction::Update { table_name, .. } => is_schema_table(table_name),
        _ => false,
    }
}

/// What may be changed beyond that.
fn changes(action: &AuthAction<'_>, access: AccessMode) -> bool {
    match action {
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => {
            match access {
                AccessMode::ReadOnly => false,
                AccessMode::ReadWrite => !is_schema_table(table_name),
                // A table is created by a row in the table of tables.
                AccessMode::Ddl => true,
            }
        }
        AuthAction::CreateTable { .. }
        | AuthAction::CreateIndex { .. }
        | AuthAction::CreateView { .. }
        | AuthAction::DropTable { .. }
        | AuthAction::DropIndex { .. }
        | AuthAction::DropView { .. }
        | AuthAction::AlterTable { .. }
        | AuthAction::Reindex { .. } => access == AccessMode::Ddl,
        _ => false,
    }
}

fn is_schema_table(name: &str) -> bool {
    ["sqlite_master", "sqlite_schema"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(folder: &Path) -> std::path::PathBuf {
        let path = folder.join("shop.sqlite");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES ('[1,2]')").unwrap();
        path
    }

    #[test]
    fn every_wrong_path_has_its_own_error() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| open(&folder.path().join(name), Duration::ZERO).map(|_| ());
        assert_eq!(at("none.sqlite"), Err(Error::FileMissing));
        assert_eq!(at("."), Err(Error::FileIsDirectory));
        for (name, text) in [("empty", ""), ("short", "SQLite"), ("text", "Once upon a time there was a file")] {
            fs::write(folder.path().join(name), text).unwrap();
            assert_eq!(at(name), Err(Error::FileNotDatabase), "{name}");
        }
        let mut damaged = HEADER.to_vec();
        damaged.resize(4096, 7);
        fs::write(folder.path().join("damaged"), damaged).unwrap();
        assert_eq!(at("damaged"), Err(Error::FileNotDatabase));
        #[cfg(unix)]
        {
            database(folder.path());
            std::os::unix::fs::symlink(folder.path().join("shop.sqlite"), folder.path().join("link")).unwrap();
            assert!(matches!(at("link"), Err(Error::FileUnreadable(_))));
        }
    }

    #[test]
    fn reading_works_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = database(folder.path());
        let before = fs::read(&path).unwrap();
        let connection = open(&path, Duration::ZERO).unwrap();
        for sql in [
            "SELECT value FROM t, json_each(t.a)",
            "SELECT name FROM pragma_table_info('t')",
            "PRAGMA index_list(t)",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT max(i) FROM n",
        ] {
            let mut statement = connection.prepare(sql).unwrap();
            let mut rows = statement.query([]).unwrap();
            while rows.next().unwrap().is_some() {}
        }
        for sql in [
            "DELETE FROM t",
            "INSERT INTO t VALUES (1)",
            "CREATE TEMP TABLE x(a)",
            "ATTACH ':memory:' AS other",
            "PRAGMA query_only = OFF",
            "PRAGMA journal_mode = WAL",
            "PRAGMA writable_schema = ON",
            "BEGIN",
            "VACUUM",
            "SELECT load_extension('x')",
            "UPDATE sqlite_schema SET sql = ''",
        ] {
            assert!(connection.execute_batch(sql).is_err(), "{sql}");
        }
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn writing_stays_within_its_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let path = database(folder.path());
        let rows = open_for(&path, Duration::ZERO, AccessMode::ReadWrite).unwrap();
        let tables = open_for(&path, Duration::ZERO, AccessMode::Ddl).unwrap();
        for sql in ["INSERT INTO t VALUES (1)", "UPDATE t SET a = 2", "DELETE FROM t WHERE a = 2"] {
            rows.execute_batch(sql).unwrap();
        }
        for sql in ["CREATE TABLE u(a)", "CREATE INDEX i ON u(a)", "ALTER TABLE u ADD COLUMN b", "DROP TABLE u"] {
            assert!(rows.execute_batch(sql).is_err(), "{sql}");
            tables.execute_batch(sql).unwrap();
        }
        for sql in [
            "ATTACH ':memory:' AS other",
            "PRAGMA journal_mode = WAL",
            "VACUUM INTO 'copy.sqlite'",
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END",
            "CREATE TEMP TABLE x(a)",
            "UPDATE sqlite_schema SET sql = ''",
            "SELECT load_extension('x')",
            "BEGIN",
        ] {
            assert!(rows.execute_batch(sql).is_err(), "{sql}");
            assert!(tables.execute_batch(sql).is_err(), "{sql}");
        }
    }
}
