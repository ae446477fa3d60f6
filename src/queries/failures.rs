//! What the guard refuses, as failures that callers act on.

use crate::domain::{Failure, Reason};
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
