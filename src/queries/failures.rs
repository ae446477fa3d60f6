//! What the guard and the databases refuse, as failures that callers act on.

use std::time::Duration;

use crate::domain::{Failure, Reason};
use crate::sql;
use crate::sql::guard::{Refusal, RefusalKind};

/// The guard's refusal: "not understood" and "not allowed" are different things to a caller.
#[must_use]
pub fn from_refusal(refusal: &Refusal) -> Failure {
    let reason = match refusal.kind {
        RefusalKind::NotUnderstood => Reason::SqlNotUnderstood,
        RefusalKind::NotAllowed => Reason::SqlNotAllowed,
    };
    let hint = if refusal.hint.is_empty() { String::new() } else { format!(". {}", refusal.hint) };
    Failure::new(reason, format!("{}{hint}", refusal.message))
        .with("rule", refusal.rule)
        .with_sql(refusal.to_sql_error())
}

/// A database's error.
#[must_use]
pub fn from_sql(error: sql::Error) -> Failure {
    const SOON: Duration = Duration::from_secs(1);
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
        sql::Error::Timeout => Failure::new(Reason::StatementTimeout, "the statement ran longer than its limit and was ended"),
        sql::Error::Cancelled => Failure::new(Reason::CallCancelled, "the statement was ended because its call ended"),
        sql::Error::TooLarge(_) => Failure::new(Reason::ResultTooLarge, message),
        sql::Error::ParameterCount { .. } | sql::Error::ParameterKind(_) => Failure::field("parameters", message),
        sql::Error::Refused(refused) => {
            Failure::new(Reason::SqlFailed, format!("the database refuses the statement: {}", refused.message))
                .with_sql(refused)
        }
    }
}
