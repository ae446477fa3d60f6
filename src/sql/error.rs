//! Why a target database did not do what it was asked.

use crate::domain::SqlError;

/// Failures of a target database, told apart as far as callers act on the difference.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no file at the path.
    #[error("there is no such file")]
    FileMissing,
    /// The path is a directory or a special file.
    #[error("the path is not a regular file")]
    FileNotRegular,
    /// The file does not start like a SQLite database.
    #[error("the file is not a SQLite database")]
    FileNotDatabase,
    /// The file cannot be opened or read.
    #[error("the database cannot be opened: {0}")]
    Unavailable(String),
    /// Somebody else holds the database locked, or all connections are in use.
    #[error("the database is busy")]
    Busy,
    /// The statement ran longer than its limit.
    #[error("the statement ran longer than its limit")]
    Timeout,
    /// The caller went away.
    #[error("the statement was cancelled")]
    Cancelled,
    /// One cell or the statement's memory is over a limit.
    #[error("the result is too large: {0}")]
    TooLarge(String),
    /// The number of bound values differs from the number of placeholders.
    #[error("the statement has {expected} placeholders, and {given} values were given")]
    ParameterCount {
        /// Placeholders in the statement.
        expected: usize,
        /// Values in the call.
        given: usize,
    },
    /// A value cannot be bound on this database.
    #[error("parameter {0} is of a kind that this database cannot bind")]
    ParameterKind(usize),
    /// The database refuses the statement.
    #[error("{}", .0.message)]
    Refused(SqlError),
}
