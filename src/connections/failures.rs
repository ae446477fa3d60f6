//! Errors of the adapters in the words of callers.

use std::time::Duration;

use crate::domain::{ConnectionId, Failure, Reason};
use crate::{sql, store};

/// How long to wait before asking again what was down or busy.
const WAIT: Duration = Duration::from_secs(1);

/// The tenant has no such connection.
pub(super) fn not_found(id: ConnectionId) -> Failure {
    Failure::new(Reason::ConnectionNotFound, format!("there is no connection {id}")).with("connection_id", id)
}

/// A connection changed since its etag was read.
pub(super) fn changed(id: ConnectionId) -> Failure {
    let message = "the connection changed since it was read; read it again and repeat the change";
    Failure::new(Reason::EtagMismatch, message).with("connection_id", id)
}

/// Another connection of the tenant has the name.
pub(super) fn name_taken(name: &str) -> Failure {
    Failure::new(Reason::NameTaken, format!("another connection is named {name}; case does not count"))
        .with("name", name)
}

/// What the store says. The cause is logged here, for a failure does not carry it.
pub(super) fn from_store(error: &store::Error) -> Failure {
    tracing::error!(error = error as &dyn std::error::Error, "the store refused");
    match error {
        store::Error::Unavailable(_) => {
            Failure::new(Reason::StoreUnavailable, "the store cannot be reached in time").retry_after(WAIT)
        }
        store::Error::Full => Failure::new(Reason::StoreFull, "the store has no room"),
        store::Error::Corrupt(_) => Failure::new(Reason::StoreDataLost, "a stored record cannot be read"),
        store::Error::NameTaken | store::Error::EtagMismatch | store::Error::OutOfSequence { .. } => {
            Failure::new(Reason::Internal, "the store refused what it should not refuse")
        }
    }
}

/// Why a target database cannot be described or tried. `path` is the file as the caller named it.
pub(super) fn from_target(error: &sql::Error, path: &str) -> Failure {
    let file = |reason, message: String| Failure::new(reason, message).with("path", path);
    match error {
        sql::Error::FileMissing => file(Reason::FileNotFound, format!("there is no file {path}")),
        sql::Error::FileIsDirectory => file(Reason::FileIsDirectory, format!("{path} is a folder, not a SQLite file")),
        sql::Error::FileUnreadable(why) => file(Reason::FileUnreadable, format!("{path} cannot be read: {why}")),
        sql::Error::FileNotDatabase => file(Reason::FileNotADatabase, format!("{path} is not a SQLite database")),
        sql::Error::Busy(why) => {
            Failure::new(Reason::TargetBusy, format!("the database is busy: {why}")).retry_after(WAIT)
        }
        sql::Error::Timeout(after) => timed_out(*after),
        sql::Error::Interrupted => Failure::new(Reason::CallCancelled, "the statement was interrupted"),
        sql::Error::Statement(error) => {
            Failure::new(Reason::SqlFailed, format!("the database refuses: {}", error.message)).with_sql(error.clone())
        }
        sql::Error::Unavailable(why) => unavailable("LOST", format!("the database cannot be read: {why}")),
        sql::Error::TooExpensive(why) => Failure::new(
            Reason::StatementTooExpensive,
            format!("the database needs too much memory or temporary space: {why}"),
        ),
        other => {
            tracing::error!(error = other as &dyn std::error::Error, "a target database failed");
            Failure::new(Reason::Internal, "the database could not be used, because of a fault of this server")
        }
    }
}

/// The database did not answer in time.
pub(super) fn timed_out(after: Duration) -> Failure {
    unavailable("TIMEOUT", format!("the database did not answer within {} ms", after.as_millis()))
        .with("timeout_ms", after.as_millis())
}

fn unavailable(how: &str, message: String) -> Failure {
    Failure::new(Reason::TargetUnavailable, message).with("failure", how).retry_after(WAIT)
}
