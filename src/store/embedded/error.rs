//! SQLite's errors in the words of the store.

use std::path::PathBuf;

use crate::store::Error;

/// Why a store file was not opened. Found as the source of [`Error::Unavailable`].
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the file.
    #[error("the store {} is in use by another Pulse; stop that one, or give this one its own data folder", path.display())]
    InUse {
        /// The store's file.
        path: PathBuf,
    },
    /// The file was written by a newer Pulse.
    #[error("the store {} has format {found}, this Pulse knows up to {known}; start the newer Pulse again", path.display())]
    TooNew {
        /// The store's file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that this build knows.
        known: i64,
    },
    /// The folder or the file cannot be created or read.
    #[error("the store {} cannot be opened", path.display())]
    Io {
        /// The store's file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

/// Result codes of SQLite, <https://www.sqlite.org/rescode.html>; the low byte of an extended code.
const SQLITE_CORRUPT: i64 = 11;
const SQLITE_FULL: i64 = 13;
const SQLITE_NOTADB: i64 = 26;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|inner| inner.code()?.parse::<i64>().ok());
        match code.map(|code| code & 0xff) {
            Some(SQLITE_FULL) => Self::Full,
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => Self::Corrupt("the store's file is damaged".to_owned()),
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}

/// An error of the whole transaction, once more for each write that was in it.
pub(super) fn repeated(error: &Error) -> Error {
    match error {
        Error::Full => Error::Full,
        Error::Corrupt(what) => Error::Corrupt(what.clone()),
        other => Error::Unavailable(
            std::error::Error::source(other).map_or_else(|| other.to_string(), ToString::to_string).into(),
        ),
    }
}
