//! What a person thinks of an answer.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Whether an answer is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// It is.
    Up,
    /// It is not.
    Down,
}

/// What a person thinks of a workflow that has ended. It stands beside the log, which says nothing after its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rating {
    /// Whether the answer is right.
    pub verdict: Verdict,
    /// Why; may be empty.
    pub comment: String,
    /// When it was said.
    pub update_time: Timestamp,
}
