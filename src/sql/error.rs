//! What can go wrong between Pulse and a target database.

use std::time::Duration;

use rusqlite::ErrorCode;

use crate::domain::SqlError;

/// Why a target database did not do what it was asked. Never holds a path or a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no file at the path.
    #[error("the database file does not exist")]
    FileMissing,
    /// The path names a directory.
    #[error("the path is a directory")]
    FileIsDirectory,
    /// The file may not be read, or is a symbolic link or a special file.
    #[error("the database file cannot be read: {0}")]
    FileUnreadable(String),
    /// The file does not begin as SQLite files do, or its pages are damaged.
    #[error("the file is not a SQLite database")]
    FileNotDatabase,
    /// The database was reached before and is lost, or reading it fails.
    #[error("the database cannot be read: {0}")]
    Unavailable(String),
    /// The database server cannot be reached.
    #[error("the database server cannot be reached: {0}")]
    Unreachable(Unreachable),
    /// Policy forbids connecting to this host or port.
    #[error("connecting to {host} is not allowed: {reason}")]
    HostNotAllowed {
        /// Host, or host and port, as the connection names it.
        host: String,
        /// Which rule forbids it.
        reason: String,
    },
    /// The server accepts neither user and password nor the client certificate.
    #[error("the database server refuses the login: {0}")]
    AuthFailed(String),
    /// The TLS handshake failed, or the server does not offer TLS.
    #[error("no TLS with the database server: {0}")]
    TlsFailed(String),
    /// The server has no database of this name.
    #[error("the database server has no such database: {0}")]
    DatabaseUnknown(String),
    /// The user may not do what is needed.
    #[error("the database user lacks a privilege: {0}")]
    PrivilegeMissing(String),
    /// What answers is not this kind of database, or a version that is not supported.
    #[error("what answers is not the expected database: {0}")]
    Protocol(String),
    /// Another process holds a lock for too long, or all connections are in use.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// The statement ran longer than it may.
    #[error("the statement was stopped after {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The statement was stopped because nobody waits for it any more.
    #[error("the statement was interrupted")]
    Interrupted,
    /// The database refuses the statement.
    #[error("{}", .0.message)]
    Statement(SqlError),
    /// The result has a column of a type that the driver cannot read; the session is of no use after that.
    #[error("{}", .0.message)]
    TypeUnknown(SqlError),
    /// A write would break a constraint.
    #[error("{}", .0.message)]
    Constraint(SqlError),
    /// A deadlock, a serialisation failure, or a lock that another session holds.
    #[error("{}", .0.message)]
    Conflict(SqlError),
    /// The statement would write, which the session refuses although the guard did not see it.
    #[error("{}", .0.message)]
    ReadOnly(SqlError),
    /// The statement may do what policy forbids, as only the database's catalog shows.
    #[error("{}", .0.message)]
    NotAllowed(SqlError),
    /// A statement that writes was given to a database that was opened for reading.
    #[error("the connection only reads")]
    NotWritable,
    /// The statement has another number of placeholders than values were given.
    #[error("the statement has {expected} placeholders, {given} values were given")]
    ParameterCount {
        /// Placeholders in the statement.
        expected: usize,
        /// Values given.
        given: usize,
    },
    /// A parameter has no form that this database takes.
    #[error("parameter {position}: {reason}")]
    ParameterKind {
        /// Which parameter, from 1.
        position: usize,
        /// Why it cannot be bound.
        reason: String,
    },
    /// A cell, or the first row, is larger than the result may be, so that cutting at a row is impossible.
    #[error("column {column} holds {size_bytes} bytes in one row, over the limit of {limit_bytes}")]
    ResultTooLarge {
        /// The column with the largest cell.
        column: String,
        /// Bytes found.
        size_bytes: usize,
        /// Bytes allowed.
        limit_bytes: usize,
    },
    /// The statement needs more memory or temporary space than there is.
    #[error("the statement needs too much memory or temporary space: {0}")]
    TooExpensive(String),
    /// The blocking thread died: a bug.
    #[error("the database thread stopped unexpectedly: {0}")]
    Internal(String),
}

impl Error {
    /// Whether the session that met this error can go on: the server refused a statement, or the statement asked for too
    /// much.
    pub(super) fn leaves_session(&self) -> bool {
        matches!(
            self,
            Self::Statement(_)
                | Self::Constraint(_)
                | Self::Conflict(_)
                | Self::ReadOnly(_)
                | Self::NotAllowed(_)
                | Self::PrivilegeMissing(_)
                | Self::TooExpensive(_)
                | Self::ResultTooLarge { .. }
                | Self::ParameterCount { .. }
                | Self::ParameterKind { .. }
        )
    }
}

/// How far the way to a database server goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The host's name has no address.
    #[error("its host name is not known")]
    Dns,
    /// Nothing listens at host and port.
    #[error("nothing listens at its address")]
    Refused,
    /// Nobody answered in time.
    #[error("it does not answer in time")]
    Timeout,
    /// There is no way to the address.
    #[error("there is no route to its address")]
    Network,
    /// It answered, then closed the connection.
    #[error("it closed the connection")]
    Lost,
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(code, message) => from_code(code, message),
            rusqlite::Error::SqlInputError { error, msg, sql, offset } => {
                Self::Statement(SqlError { position: character(&sql, offset), ..refused(error, msg) })
            }
            rusqlite::Error::InvalidParameterCount(given, expected) => Self::ParameterCount { expected, given },
            other => Self::Statement(SqlError { message: other.to_string(), ..SqlError::default() }),
        }
    }
}

fn from_code(error: rusqlite::ffi::Error, message: Option<String>) -> Error {
    let message = message.unwrap_or_else(|| error.to_string());
    match error.code {
        ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt => Error::FileNotDatabase,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Busy(message),
        ErrorCode::OperationInterrupted => Error::Interrupted,
        ErrorCode::OutOfMemory | ErrorCode::DiskFull => Error::TooExpensive(message),
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::SystemIoFailure => Error::Unavailable(message),
        ErrorCode::ConstraintViolation => Error::Constraint(refused(error, message)),
        ErrorCode::ReadOnly => Error::ReadOnly(refused(error, message)),
        _ => Error::Statement(refused(error, message)),
    }
}

fn refused(error: rusqlite::ffi::Error, message: String) -> SqlError {
    SqlError { sqlstate: code_name(error.extended_code), message, position: 0, hint: String::new() }
}

/// Name of a result code (<https://sqlite.org/rescode.html>): of constraints the extended one, which says which kind was
/// broken, else the primary one, the low byte.
fn code_name(extended_code: i32) -> String {
    let constraint = match extended_code {
        275 => "SQLITE_CONSTRAINT_CHECK",
        787 => "SQLITE_CONSTRAINT_FOREIGNKEY",
        1299 => "SQLITE_CONSTRAINT_NOTNULL",
        1555 => "SQLITE_CONSTRAINT_PRIMARYKEY",
        1811 => "SQLITE_CONSTRAINT_TRIGGER",
        2067 => "SQLITE_CONSTRAINT_UNIQUE",
        2579 => "SQLITE_CONSTRAINT_ROWID",
        3091 => "SQLITE_CONSTRAINT_DATATYPE",
        _ => "",
    };
    if !constraint.is_empty() {
        return constraint.to_owned();
    }
    let name = match extended_code & 0xff {
        1 => "SQLITE_ERROR",
        3 => "SQLITE_PERM",
        4 => "SQLITE_ABORT",
        7 => "SQLITE_NOMEM",
        8 => "SQLITE_READONLY",
        13 => "SQLITE_FULL",
        17 => "SQLITE_SCHEMA",
        18 => "SQLITE_TOOBIG",
        19 => "SQLITE_CONSTRAINT",
        20 => "SQLITE_MISMATCH",
        21 => "SQLITE_MISUSE",
        23 => "SQLITE_AUTH",
        25 => "SQLITE_RANGE",
        code => return format!("SQLITE_{code}"),
    };
    name.to_owned()
}

/// A byte offset as a character position, counted from 1; 0 when there is none.
fn character(sql: &str, offset: i32) -> u32 {
    usize::try_from(offset)
        .ok()
        .and_then(|offset| sql.get(..offset))
        .and_then(|before| u32::try_from(before.chars().count() + 1).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_characters_from_one() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let error = connection.prepare("SELECT 'é', nowhere").unwrap_err();
        let Error::Statement(error) = Error::from(error) else { panic!("another kind of error") };
        assert_eq!((error.position, error.sqlstate.as_str()), (13, "SQLITE_ERROR"));
        assert!(error.message.contains("no such column: nowhere"), "{}", error.message);
    }
}
