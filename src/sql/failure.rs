//! What a caller is told when a statement or a target database fails: the reason, the remedy, the database's own words.

use std::time::Duration;

use super::guard::Refusal;
use super::{Error, Unreachable};
use crate::domain::{Failure, Reason, SqlError};

/// Worth waiting before a busy or unreachable database is tried again.
const WAIT: Duration = Duration::from_secs(1);

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let rule = refusal.rule();
        let (reason, what, error) = match refusal {
            Refusal::NotUnderstood(error) => (Reason::SqlNotUnderstood, "The SQL is not understood", error),
            Refusal::NotAllowed(_, error) => (Reason::SqlNotAllowed, "The SQL is not allowed", error),
        };
        Self::new(reason, sentence(what, &error)).with("rule", rule).with("position", error.position).with_sql(error)
    }
}

impl From<Error> for Failure {
    #[expect(clippy::too_many_lines, reason = "one flat match, a line or a few for each error")]
    fn from(error: Error) -> Self {
        match error {
            Error::FileMissing => Self::new(
                Reason::FileNotFound,
                "There is no file at the connection's path. Check the path, or create the database first.",
            ),
            Error::FileIsDirectory => {
                Self::new(Reason::FileIsDirectory, "The connection's path is a directory. Name the database file in it.")
            }
            Error::FileUnreadable(why) => Self::new(
                Reason::FileUnreadable,
                format!("The database file cannot be read: {why}. Give the server's user the right to read a regular file."),
            ),
            Error::FileNotDatabase => Self::new(
                Reason::FileNotADatabase,
                "The file is not a SQLite database, or it is damaged. Check the path, or restore the file.",
            ),
            Error::Unavailable(why) => {
                Self::new(Reason::TargetUnavailable, format!("The database cannot be read: {why}. Try again."))
                    .with("failure", "LOST")
                    .retry_after(WAIT)
            }
            Error::Unreachable(how) => Self::new(
                Reason::TargetUnavailable,
                format!("The database server cannot be reached: {how}. Check host and port, and that it runs."),
            )
            .with("failure", name(how))
            .retry_after(WAIT),
            Error::HostNotAllowed { host, reason } => Self::new(
                Reason::HostNotAllowed,
                format!("Connecting to {host} is not allowed: {reason}."),
            )
            .with("host", host),
            Error::AuthFailed(why) => Self::new(
                Reason::TargetAuthFailed,
                format!("The database server refuses the login: {why}. Check user, password and client certificate."),
            ),
            Error::TlsFailed(why) => Self::new(
                Reason::TargetTlsFailed,
                format!("No TLS with the database server: {why}. Check the TLS mode and the certificates."),
            ),
            Error::DatabaseUnknown(database) => Self::new(
                Reason::TargetDatabaseUnknown,
                format!("The database server has no database {database}. Check the database's name."),
            )
            .with("database", database),
            Error::PrivilegeMissing(why) => Self::new(
                Reason::TargetPrivilegeMissing,
                format!("The database user lacks a privilege: {why}. Grant it, or use another user."),
            ),
            Error::Protocol(why) => Self::new(
                Reason::TargetProtocol,
                format!("What answers at host and port is not the expected database: {why}. Check kind and port."),
            ),
            Error::Busy(why) => {
                Self::new(Reason::TargetBusy, format!("The database is busy: {why}. Try again.")).retry_after(WAIT)
            }
            Error::Timeout(limit) => Self::new(
                Reason::StatementTimeout,
                format!("The statement was stopped after {} s. Narrow it down, or allow it more time.", limit.as_secs_f64()),
            )
            .with("timeout_seconds", limit.as_secs_f64()),
            Error::Interrupted => Self::new(Reason::CallCancelled, "The statement was stopped because its caller is gone."),
            Error::Statement(error) => {
                Self::new(Reason::SqlFailed, sentence("The database refuses the SQL", &error))
                    .with("sqlstate", &error.sqlstate)
                    .with_sql(error)
            }
            Error::TypeUnknown(error) => {
                Self::new(Reason::SqlFailed, sentence("The result cannot be read", &error)).with_sql(error)
            }
            Error::Constraint(error) => {
                Self::new(Reason::SqlConstraintViolated, sentence("The write breaks a constraint", &error))
                    .with("sqlstate", &error.sqlstate)
                    .with_sql(error)
            }
            Error::Conflict(error) => {
                Self::new(Reason::SqlConflict, sentence("Another session is in the way; try again", &error))
                    .with("sqlstate", &error.sqlstate)
                    .with_sql(error)
                    .retry_after(WAIT)
            }
            Error::ReadOnly(error) => {
                Self::new(Reason::SqlNotAllowed, sentence("The statement would write", &error))
                    .with("rule", "read_only_session")
                    .with("position", error.position)
                    .with_sql(error)
            }
            Error::NotAllowed(error) => Self::new(Reason::SqlNotAllowed, sentence("The SQL is not allowed", &error))
                .with("rule", "function_not_allowed")
                .with("position", error.position)
                .with_sql(error),
            Error::NotWritable => Self::new(Reason::SqlNotAllowed, "The connection only reads.").with("rule", "reads_only"),
            Error::ParameterCount { expected, given } => Self::field(
                "parameters",
                format!("the statement has {expected} placeholders, but {given} values were given; give one value for each"),
            ),
            Error::ParameterKind { position, reason } => {
                Self::field(format!("parameters[{}]", position.saturating_sub(1)), reason)
            }
            Error::ResultTooLarge { column, size_bytes, limit_bytes } => Self::new(
                Reason::ResultTooLarge,
                format!(
                    "Column {column} holds {size_bytes} bytes in one row, more than the {limit_bytes} that a result may. \
                     Select less of it, for example with substr()."
                ),
            )
            .with("column", column)
            .with("limit_bytes", limit_bytes),
            Error::TooExpensive(why) => Self::new(
                Reason::StatementTooExpensive,
                format!("The statement needs too much memory or temporary space: {why}. Narrow it down."),
            )
            .with("limit", "heap_bytes"),
            Error::Internal(why) => {
                tracing::error!(cause = %why, "sql.internal");
                Self::new(Reason::Internal, "The statement could not be run because of a fault in Pulse.")
            }
        }
    }
}

/// The word for programs, as `docs/errors.md` lists it.
fn name(how: Unreachable) -> &'static str {
    match how {
        Unreachable::Dns => "DNS",
        Unreachable::Refused => "REFUSED",
        Unreachable::Timeout => "TIMEOUT",
        Unreachable::Network => "UNREACHABLE",
        Unreachable::Lost => "LOST",
    }
}

fn sentence(what: &str, error: &SqlError) -> String {
    let place = if error.position > 0 { format!(" at character {}", error.position) } else { String::new() };
    let hint =
        if error.hint.is_empty() { String::new() } else { format!(" Hint: {}.", error.hint.trim_end_matches('.')) };
    format!("{what}{place}: {}.{hint}", error.message.trim_end_matches('.'))
}
