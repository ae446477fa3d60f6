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
#[must_use]
pub fn from_store(error: &store::Error) -> Failure {
    tracing::error!(error = error as &dyn std::error::Error, "the store refused");
    match error {
        store::Error::Unavailable(_) => {
            Failure::new(Reason::StoreUnavailable, "the store cannot be reached in time").retry_after(WAIT)
        }
        store::Error::Full => Failure::new(Reason::StoreFull, "the store has no room"),
        store::Error::Corrupt(_) => Failure::new(Reason::StoreDataLost, "a stored record cannot be read"),
        store::Error::NameTaken
        | store::Error::EtagMismatch
        | store::Error::OutOfSequence { .. }
        | store::Error::LeaseLost => Failure::new(Reason::Internal, "the store refused what it should not refuse"),
    }
}

/// Why a target database did not do what it was asked; `database` is the database or file as the connection
/// names it.
#[must_use]
pub fn from_target(error: sql::Error, database: &str) -> Failure {
    let of_file = matches!(
        error,
        sql::Error::FileMissing
            | sql::Error::FileIsDirectory
            | sql::Error::FileUnreadable(_)
            | sql::Error::FileNotDatabase
    );
    let failure = match error {
        // Servers say it in a sentence of their own; what helps is the name.
        sql::Error::DatabaseUnknown(_) => Failure::from(sql::Error::DatabaseUnknown(database.to_owned())),
        error => Failure::from(error),
    };
    if of_file { failure.with("path", database) } else { failure }
}

/// The database did not answer in time.
pub(super) fn timed_out(after: Duration) -> Failure {
    let message = format!("the database did not answer within {} ms", after.as_millis());
    Failure::new(Reason::TargetUnavailable, message)
        .with("failure", "TIMEOUT")
        .with("timeout_ms", after.as_millis())
        .retry_after(WAIT)
}
