//! From the server's errors, by number, and the driver's, to what they mean for a caller.

use std::io::{self, ErrorKind};
use std::time::Duration;

use sqlx::mysql::MySqlDatabaseError;

use crate::domain::SqlError;
use crate::sql::{Error, Unreachable};

/// Why the server refuses a statement of a caller, with the place in its text. `longest` is what the server was told to
/// stop statements after.
pub(super) fn of_statement(error: sqlx::Error, sql: &str, longest: Duration) -> Error {
    match error {
        sqlx::Error::Database(error) => match error.try_downcast::<MySqlDatabaseError>() {
            Ok(error) => of_number(&error, sql, longest),
            Err(error) => Error::Statement(SqlError { message: error.message().to_owned(), ..SqlError::default() }),
        },
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) => {
            Error::Unavailable("the connection with the server was lost".to_owned())
        }
        // The driver reads MySQL 9's VECTOR, for one, not even as bytes.
        sqlx::Error::Protocol(text) if text.starts_with("unknown column type") => Error::TypeUnknown(SqlError {
            message: format!("a column has a type that is not supported ({text})"),
            hint: "name the columns that you need, and this one as text: a vector with VECTOR_TO_STRING(column)"
                .to_owned(),
            ..SqlError::default()
        }),
        _ => Error::Unavailable("the server's answer could not be read".to_owned()),
    }
}

/// Why there is no session.
pub(super) fn of_login(error: sqlx::Error, database: &str) -> Error {
    match error {
        sqlx::Error::Io(error) => of_connection(&error),
        sqlx::Error::Tls(error) => Error::TlsFailed(without_certificates(error.to_string())),
        // Whatever else the driver finds to be set wrong is a certificate or its key.
        sqlx::Error::Configuration(error) => match error.to_string() {
            text if text.contains("RSA") => Error::AuthFailed("its way to log in needs TLS".to_owned()),
            text => Error::TlsFailed(without_certificates(text)),
        },
        sqlx::Error::Protocol(text) if text.contains("authentication plugin") => {
            Error::AuthFailed("it asks for a way to log in that is not supported".to_owned())
        }
        sqlx::Error::Database(_) => match of_statement(error, "", Duration::ZERO) {
            Error::Statement(error) => Error::AuthFailed(error.message),
            Error::DatabaseUnknown(_) => Error::DatabaseUnknown(database.to_owned()),
            error => error,
        },
        _ => not_mysql(),
    }
}

/// What answers is something else.
pub(super) fn not_mysql() -> Error {
    Error::Protocol("this is not a MySQL or MariaDB server".to_owned())
}

/// Why a session could not be set up.
pub(super) fn of_set_up(error: sqlx::Error, database: &str) -> Error {
    match of_statement(error, "", Duration::ZERO) {
        Error::Statement(error) => Error::Protocol(error.message),
        Error::DatabaseUnknown(_) => Error::DatabaseUnknown(database.to_owned()),
        error => error,
    }
}

/// Whether a statement was stopped by somebody.
pub(super) fn is_interruption(error: &sqlx::Error) -> bool {
    number(error) == Some(1317)
}

/// Whether the server was asked to stop a session that it does not have.
pub(super) fn is_unknown_session(error: &sqlx::Error) -> bool {
    number(error) == Some(1094)
}

/// Whether the server stopped a statement because of its own time limit.
pub(super) fn is_over_time(error: &sqlx::Error) -> bool {
    matches!(number(error), Some(1969 | 3024))
}

fn number(error: &sqlx::Error) -> Option<u16> {
    Some(error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?.number())
}

/// By number: up to 1,999 and from 4,000 on as MariaDB has them, 3,000 to 3,999 as MySQL has them; the older ones are the
/// same in both.
fn of_number(error: &MySqlDatabaseError, sql: &str, longest: Duration) -> Error {
    let message = error.message().to_owned();
    let refused = || SqlError {
        sqlstate: error.code().unwrap_or_default().to_owned(),
        position: position(error.number(), &message, sql),
        message: message.clone(),
        hint: String::new(),
    };
    match error.number() {
        // Too many connections, threads, or uses in an hour.
        1040 | 1135 | 1203 | 1226 => Error::Busy("it takes no more connections".to_owned()),
        // Password, host, account locked or expired, way to log in.
        1045 | 1129 | 1130 | 1251 | 1275 | 1524 | 1698 | 1820 | 1862 | 3118 | 3955 | 4151 => Error::AuthFailed(message),
        1049 if sql.is_empty() => Error::DatabaseUnknown(String::new()),
        1044 | 1142 | 1143 | 1227 | 1370 => Error::PrivilegeMissing(message),
        1290 if !message.contains("read-only") && !message.contains("read_only") => Error::PrivilegeMissing(message),
        1290 | 1792 | 1836 => Error::ReadOnly(refused()),
        1317 => Error::Interrupted,
        1969 | 3024 => Error::Timeout(longest),
        // Shutting down, killed, packets lost.
        1053 | 1077..=1080 | 1152 | 1158..=1161 | 1184 | 1927 => {
            Error::Unavailable("the server ended the session".to_owned())
        }
        // Disk, memory or a table is full; a parameter is larger than a packet; a join would be too large.
        1021 | 1037 | 1038 | 1041 | 1104 | 1114 | 1153 => Error::TooExpensive(message),
        1020 | 1205 | 1213 | 1412 | 1614 | 1615 | 3058 | 3572 => Error::Conflict(refused()),
        1022 | 1048 | 1062 | 1169 | 1216 | 1217 | 1364 | 1451 | 1452 | 1557 | 1586 | 1761 | 1762 | 1859 | 3819 => {
            Error::Constraint(refused())
        }
        // MySQL has the number for something else.
        4025 if error.code() == Some("23000") => Error::Constraint(refused()),
        _ => Error::Statement(refused()),
    }
}

fn of_connection(error: &io::Error) -> Error {
    Error::Unreachable(match error.kind() {
        // What rustls does not like comes as this.
        ErrorKind::InvalidData => return Error::TlsFailed(without_certificates(error.to_string())),
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => Unreachable::Refused,
        ErrorKind::TimedOut => Unreachable::Timeout,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::UnexpectedEof
        | ErrorKind::BrokenPipe => Unreachable::Lost,
        _ => Unreachable::Network,
    })
}

/// The driver quotes a certificate that it cannot read.
fn without_certificates(text: String) -> String {
    if text.contains("-----BEGIN") { "a certificate or key is not valid PEM".to_owned() } else { text }
}

/// The character, from 1, at which the statement is wrong, as far as the message tells; else 0.
fn position(number: u16, message: &str, sql: &str) -> u32 {
    let byte = match number {
        1064 => near(message, sql),
        // Unknown column, table, function, or table in a column's name; ambiguous column; no group function there.
        1051 | 1052 | 1054 | 1109 | 1111 | 1146 | 1305 | 1630 => named(message, sql),
        _ => None,
    };
    byte.and_then(|byte| u32::try_from(sql.get(..byte)?.chars().count() + 1).ok()).unwrap_or(0)
}

/// `… near 'FORM t' at line 1`: what is left of the statement from the wrong place on, up to 80 characters of it.
fn near(message: &str, sql: &str) -> Option<usize> {
    let (_, quoted) = message.split_once(" near '")?;
    let (rest, line) = quoted.rsplit_once("' at line ")?;
    if sql.ends_with(rest) && rest.chars().count() < 80 {
        return Some(sql.len() - rest.len());
    }
    let line: usize = line.trim().parse().ok()?;
    let begin = match line.checked_sub(2) {
        Some(breaks) => sql.match_indices('\n').nth(breaks)?.0 + 1,
        None => 0,
    };
    Some(begin + sql[begin..].find(rest)?)
}

/// The first name in quotes, such as `Unknown column 't.price' in 'SELECT'`, when the statement has it once.
fn named(message: &str, sql: &str) -> Option<usize> {
    let name = message.split('\'').nth(1)?;
    let last = name.rsplit('.').next()?;
    [name, last].into_iter().filter(|name| !name.is_empty()).find_map(|name| only_word(sql, name))
}

/// Where the word stands, ignoring case, if it stands in one place only.
fn only_word(sql: &str, word: &str) -> Option<usize> {
    let is_inner = |character: char| character.is_alphanumeric() || character == '_' || character == '$';
    let (sql, word) = (sql.to_ascii_lowercase(), word.to_ascii_lowercase());
    let mut places = sql.match_indices(&word).map(|(at, _)| at).filter(|&at| {
        !sql[..at].chars().next_back().is_some_and(is_inner)
            && !sql[at + word.len()..].chars().next().is_some_and(is_inner)
    });
    let place = places.next()?;
    places.next().is_none().then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_syntax_error() {
        let near = |rest: &str, line: u32| {
            format!(
                "You have an error in your SQL syntax; check the manual for the right syntax to use near '{rest}' at line {line}"
            )
        };
        for (sql, rest, line, expected) in [
            ("SELECT 'é' FORM t", "FORM t", 1, 12),
            ("SELECT 1\nFROM t\nWHER x", "x", 3, 22),
            ("SELECT 'it''s' 'FORM' ,, 1", ", 1", 1, 24),
            ("SELECT (1", "", 1, 10),
        ] {
            assert_eq!(position(1064, &near(rest, line), sql), expected, "{sql}");
        }
        let long = format!("SELECT x\nFROM FROM t WHERE {}", "a AND ".repeat(40));
        let rest: String = long.chars().skip(14).take(80).collect();
        assert_eq!(position(1064, &near(&rest, 2), &long), 15);
        assert_eq!(position(1064, &near("not there at all", 9), "SELECT"), 0);
    }

    #[test]
    fn a_type_that_the_driver_cannot_read_costs_the_session() {
        let error = sqlx::Error::Protocol("unknown column type 0xf2".to_owned());
        let error = of_statement(error, "SELECT embedding FROM t", Duration::ZERO);
        assert!(matches!(&error, Error::TypeUnknown(error) if error.hint.contains("VECTOR_TO_STRING")), "{error:?}");
        assert!(!error.leaves_session());
    }

    #[test]
    fn the_place_of_an_unknown_name() {
        let sql = "SELECT t.prize, name FROM shop.tt t WHERE name = 'x'";
        assert_eq!(position(1054, "Unknown column 't.prize' in 'SELECT'", sql), 8);
        assert_eq!(position(1146, "Table 'shop.tt' doesn't exist", sql), 27);
        assert_eq!(position(1052, "Column 'name' in SELECT is ambiguous", sql), 0, "it stands there twice");
        assert_eq!(position(1054, "Unknown column '", sql), 0);
    }
}
