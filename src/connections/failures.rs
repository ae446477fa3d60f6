//! What databases and the store refuse, as failures that callers act on.

use std::time::Duration;

use crate::domain::{Failure, Reason};
use crate::{sql, store};

/// How long a caller should wait before it tries again.
const SOON: Duration = Duration::from_secs(1);

/// A database's error.
#[must_use]
pub fn from_sql(error: sql::Error) -> Failure {
    let message = error.to_string();
    match error {
        sql::Error::FileMissing => Failure::new(Reason::FileNotFound, "the database file does not exist (any more)"),
        sql::Error::FileNotRegular => Failure::new(Reason::FileIsDirectory, "the path is a directory or special file"),
        sql::Error::FileNotDatabase => Failure::new(Reason::FileNotADatabase, "the file is not a SQLite database"),
        sql::Error::Unavailable(_) => Failure::new(Reason::TargetUnavailable, message).retry_after(SOON),
        sql::Error::Busy => {
            let message = "the database is locked, or all its connections are in use; try again";
            Failure::new(Reason::TargetBusy, message).retry_after(SOON)
        }
        sql::Error::Timeout => {
            Failure::new(Reason::StatementTimeout, "the statement ran longer than its limit and was ended")
        }
        sql::Error::Cancelled => Failure::new(Reason::CallCancelled, "the statement was ended because its call ended"),
        sql::Error::TooLarge(_) => Failure::new(Reason::ResultTooLarge, message),
        sql::Error::ParameterCount { .. } | sql::Error::ParameterKind(_) => Failure::field("parameters", message),
        sql::Error::Refused(refused) => {
            Failure::new(Reason::SqlFailed, format!("the database refuses the statement: {}", refused.message))
                .with_sql(refused)
        }
    }
}

/// The store's error.
#[must_use]
pub fn from_store(error: &store::Error) -> Failure {
    match error {
        store::Error::NameTaken => Failure::new(Reason::NameTaken, "another connection has this name; choose another"),
        store::Error::EtagMismatch => Failure::new(
            Reason::EtagMismatch,
            "the record changed since it was read; read it again and repeat the change",
        ),
        store::Error::OutOfSequence { .. } => {
            Failure::new(Reason::SequenceMismatch, "the workflow moved on since it was read; read it again")
        }
        store::Error::Unavailable(_) => {
            Failure::new(Reason::StoreUnavailable, "the store does not answer; try again").retry_after(SOON)
        }
        store::Error::Full => Failure::new(Reason::StoreFull, "the store has no room; an operator must make some"),
        store::Error::Corrupt(_) => Failure::new(Reason::StoreDataLost, "a stored record cannot be read"),
    }
}
