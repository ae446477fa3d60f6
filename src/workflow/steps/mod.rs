//! The steps that the workflow plays itself, whichever engine plays the others: they need a database.

mod execution;
mod load_schema;
mod validator;

pub(super) use execution::{Execution, MAX_KEPT_BYTES, MAX_KEPT_ROWS};
pub(super) use load_schema::LoadSchema;
pub(super) use validator::Validator;

use crate::agents::Task;
use crate::domain::{Facts, Failure, Reason};

/// The facts that every step behind `load_schema` is given.
fn facts(task: &Task) -> Result<&Facts, Failure> {
    task.facts.as_deref().ok_or_else(|| missing("the facts of the database"))
}

/// The plan orders the steps so that this cannot happen.
fn missing(what: &str) -> Failure {
    Failure::new(Reason::Internal, format!("a step began without {what}"))
}

/// `1 row`, `2 rows`.
fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
