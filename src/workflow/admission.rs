//! What is checked before a question becomes a workflow.

use std::time::Duration;

use super::engine::Options;
use crate::domain::{Failure, FieldViolation, Question};

/// Longest question.
const MAX_QUESTION_BYTES: usize = 4 << 10;

/// Refuses a question that cannot be asked, all of its bad fields at once.
pub(super) fn check(question: &Question, limits: &Options) -> Result<(), Failure> {
    let options = &question.options;
    let mut violations = Vec::new();
    let mut require = |holds: bool, field: &str, description: String| {
        if !holds {
            violations.push(FieldViolation { field: field.to_owned(), description });
        }
    };
    require(!question.text.trim().is_empty(), "question", "is required: ask something".to_owned());
    require(
        question.text.len() <= MAX_QUESTION_BYTES,
        "question",
        format!("has {} bytes; at most {MAX_QUESTION_BYTES} are allowed", question.text.len()),
    );
    require(
        options.max_retries <= limits.max_retries,
        "max_retries",
        format!("is {}; at most {} are allowed", options.max_retries, limits.max_retries),
    );
    require(
        options.workflow_timeout > Duration::ZERO && options.workflow_timeout <= limits.max_workflow_timeout,
        "workflow_timeout",
        format!("must be longer than 0 and at most {} s", limits.max_workflow_timeout.as_secs()),
    );
    if !violations.is_empty() {
        return Err(Failure::fields(violations));
    }
    Ok(())
}
