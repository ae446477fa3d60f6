//! Opening a file so that nothing a statement says can change it, or hold the process.
//!
//! The settings follow SQLite's own advice for untrusted SQL (<https://www.sqlite.org/security.html>). They stand below
//! the guard, never instead of it.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::sql::Error;

/// Virtual-machine instructions between two looks at the clock and the cancel flag.
const INSTRUCTIONS_PER_CHECK: i32 = 1_000;
/// How long a statement waits for a writer's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Ends the running statement of a connection: by a deadline, or because its caller went away.
///
/// Statements are numbered, so that a caller who goes away late cannot end the statement of the next one.
#[derive(Debug, Clone, Default)]
pub struct Interruption(Arc<State>);

#[derive(Debug)]
struct State {
    current: AtomicU64,
    cancelled: AtomicU64,
    deadline: std::sync::Mutex<Option<Instant>>,
}

impl Default for State {
    fn default() -> Self {
        Self { current: AtomicU64::new(1), cancelled: AtomicU64::new(0), deadline: std::sync::Mutex::default() }
    }
}

/// Names one armed statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

impl Interruption {
    /// Arms the deadline for the next statement.
    #[must_use]
    pub fn arm(&self, timeout: Duration) -> Ticket {
        *self.deadline() = Instant::now().checked_add(timeout);
        Ticket(self.0.current.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// Ends that statement at its next check, if it still runs. May be called from any thread.
    pub fn cancel(&self, ticket: Ticket) {
        self.0.cancelled.fetch_max(ticket.0, Ordering::AcqRel);
    }

    /// Whether the caller of the armed statement went away.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire) == self.0.current.load(Ordering::Acquire)
    }

    fn must_end(&self) -> bool {
        self.is_cancelled() || self.deadline().is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn deadline(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        // A panic while it is held cannot leave a torn value: it is one assignment.
        self.0.deadline.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Opens an existing database read-only, with every limit in place.
pub fn open(path: &Path) -> Result<(Connection, Interruption), Error> {
    check_file(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| unavailable(&error))?;
    let interruption = Interruption::default();
    harden(&connection, &interruption).map_err(|error| unavailable(&error))?;
    Ok((connection, interruption))
}

fn check_file(path: &Path) -> Result<(), Error> {
    const HEADER: &[u8; 16] = b"SQLite format 3\0";
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::FileMissing,
        _ => Error::Unavailable(error.kind().to_string()),
    })?;
    if !metadata.is_file() {
        return Err(Error::FileNotRegular);
    }
    let mut header = [0; 16];
    let mut file = std::fs::File::open(path).map_err(|error| Error::Unavailable(error.kind().to_string()))?;
    match file.read_exact(&mut header) {
        Ok(()) if &header == HEADER => Ok(()),
        Ok(()) => Err(Error::FileNotDatabase),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(Error::FileNotDatabase),
        Err(error) => Err(Error::Unavailable(error.kind().to_string())),
    }
}

fn harden(connection: &Connection, interruption: &Interruption) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, 16 << 20),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 64 << 10),
        (Limit::SQLITE_LIMIT_COLUMN, 2_000),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 500),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 200),
        (Limit::SQLITE_LIMIT_VDBE_OP, 1_000_000),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 10_000),
    ] {
        connection.set_limit(limit, most)?;
    }
    let watched = interruption.clone();
    connection.progress_handler(INSTRUCTIONS_PER_CHECK, Some(move || watched.must_end()))?;
    connection.authorizer(Some(authorize))
}

/// What SQLite itself is told to allow: reading, functions that do not reach outside, and describing pragmas.
fn authorize(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } => {
            let denied = ["load_extension", "fts3_tokenizer", "writefile", "readfile", "edit"];
            if denied.iter().any(|name| function_name.eq_ignore_ascii_case(name)) {
                Authorization::Deny
            } else {
                Authorization::Allow
            }
        }
        AuthAction::Pragma { pragma_name, .. } => {
            if DESCRIBING_PRAGMAS.iter().any(|name| pragma_name.eq_ignore_ascii_case(name)) {
                Authorization::Allow
            } else {
                Authorization::Deny
            }
        }
        // Virtual tables declare themselves this way; the file is read-only, so nothing is written.
        AuthAction::Update { table_name: "sqlite_master", .. } => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

/// Pragmas that only describe.
const DESCRIBING_PRAGMAS: [&str; 9] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "foreign_key_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "data_version",
    "schema_version",
];

fn unavailable(error: &rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => Error::FileNotDatabase,
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Error::Busy,
        Some(code) => Error::Unavailable(format!("{code:?}")),
        None => Error::Unavailable("SQLite refused its settings".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_databases_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let kind = |path: &Path| open(path).map(|_| ()).unwrap_err().to_string();
        assert_eq!(kind(&folder.path().join("none")), Error::FileMissing.to_string());
        assert_eq!(kind(folder.path()), Error::FileNotRegular.to_string());
        for content in ["", "short", "a text that is longer than sixteen bytes"] {
            let path = folder.path().join("text");
            std::fs::write(&path, content).unwrap();
            assert_eq!(kind(&path), Error::FileNotDatabase.to_string(), "{content}");
        }
    }

    #[test]
    fn nothing_can_be_changed_even_without_the_guard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.sqlite");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (n); INSERT INTO t VALUES (1)").unwrap();
        let before = std::fs::read(&path).unwrap();
        let (connection, _) = open(&path).unwrap();
        for sql in [
            "DELETE FROM t",
            "CREATE TEMP TABLE x (n)",
            "PRAGMA query_only = 0",
            "PRAGMA journal_mode = wal",
            "ATTACH 'other' AS other",
            "BEGIN IMMEDIATE",
            "VACUUM",
            "SELECT load_extension('x')",
        ] {
            assert!(connection.execute_batch(sql).is_err(), "{sql}");
        }
        assert_eq!(connection.query_row("SELECT n FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}
