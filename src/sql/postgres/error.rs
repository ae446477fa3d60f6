//! From the driver's errors to ours.

use std::io;

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use crate::domain::SqlError;
use crate::sql::{Error, Unreachable};

/// Why there is no session.
pub(super) fn connecting(error: sqlx::Error) -> Error {
    match error {
        // A certificate or an alert that rustls does not accept comes as this.
        sqlx::Error::Io(error)
            if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) =>
        {
            Error::TlsFailed(error.to_string())
        }
        sqlx::Error::Io(error) => Error::Unreachable(unreachable(&error)),
        sqlx::Error::Tls(error) => Error::TlsFailed(error.to_string()),
        sqlx::Error::Database(error) => {
            let error: Box<PgDatabaseError> = error.downcast();
            match error.code() {
                "28P01" | "28000" => Error::AuthFailed(error.message().to_owned()),
                "3D000" => Error::DatabaseUnknown(error.message().to_owned()),
                "42501" => Error::PrivilegeMissing(error.message().to_owned()),
                _ => refused(&error),
            }
        }
        // The login is the only thing that is negotiated here.
        sqlx::Error::Configuration(error) => Error::TlsFailed(error.to_string()),
        sqlx::Error::Protocol(words) if words.contains("authentication") => {
            Error::AuthFailed("it asks for a way to log in that is not supported".to_owned())
        }
        _ => Error::Protocol("this is not a PostgreSQL server".to_owned()),
    }
}

/// Why a statement did not end well.
pub(super) fn running(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(error) => refused(&error.downcast::<PgDatabaseError>()),
        sqlx::Error::Io(error) => Error::Unavailable(lost(&error)),
        // The driver reads no errors that quote text of a SQL_ASCII database.
        sqlx::Error::Protocol(words) if words.contains("non-UTF-8") => Error::Statement(SqlError {
            message: "the database refuses the statement, in words that are not UTF-8".to_owned(),
            ..SqlError::default()
        }),
        sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => Error::Unavailable("the connection broke".to_owned()),
        error => Error::Internal(error.to_string()),
    }
}

/// Whether the driver failed to look up a type in the catalog, which it does for every result.
pub(super) fn is_unknown_type(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::TypeNotFound { .. })
}

/// The server's own refusal, by SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn refused(error: &PgDatabaseError) -> Error {
    let code = error.code();
    let words = || error.message().to_owned();
    match code {
        // Stopped by somebody else than Pulse, which stops its own statements without asking for their error.
        "57014" => Error::Interrupted,
        "55P03" => Error::Conflict(sql_error(error)),
        "25006" => Error::ReadOnly(sql_error(error)),
        "42501" => Error::PrivilegeMissing(words()),
        "53300" => Error::Busy(words()),
        _ => match code.get(..2).unwrap_or_default() {
            "08" | "57" | "58" => Error::Unavailable(words()),
            "53" | "54" => Error::TooExpensive(words()),
            "23" => Error::Constraint(sql_error(error)),
            "40" => Error::Conflict(sql_error(error)),
            _ => Error::Statement(sql_error(error)),
        },
    }
}

fn sql_error(error: &PgDatabaseError) -> SqlError {
    let position = match error.position() {
        Some(PgErrorPosition::Original(position)) => u32::try_from(position).unwrap_or_default(),
        // In a statement of the server's own, such as one inside a function.
        Some(PgErrorPosition::Internal { .. }) | None => 0,
    };
    let detail = error.detail().map(|detail| format!(" ({})", detail.trim_end_matches('.'))).unwrap_or_default();
    SqlError {
        sqlstate: error.code().to_owned(),
        message: format!("{}{detail}", error.message()),
        position,
        hint: error.hint().unwrap_or_default().to_owned(),
    }
}

fn unreachable(error: &io::Error) -> Unreachable {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound | io::ErrorKind::AddrNotAvailable => {
            Unreachable::Refused
        }
        io::ErrorKind::TimedOut => Unreachable::Timeout,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Unreachable::Lost,
        _ => Unreachable::Network,
    }
}

fn lost(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the server closed the connection".to_owned()
        }
        kind => kind.to_string(),
    }
}
