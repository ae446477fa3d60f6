//! A workflow *is* its numbered events. This is what is stored, streamed to watchers and folded into a status.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::failure::Failure;
use super::ids::ConnectionId;
use super::outputs::{Approval, Clarification, Feedback, StepOutput, Usage, WorkflowResult};
use super::principal::Principal;
use super::question::{EngineName, Question, Turn};

/// One event of a workflow's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// 1, 2, 3 … without gaps.
    pub sequence: u64,
    /// When it was written.
    pub time: Timestamp,
    /// Epoch of the writer; with the sequence it makes the event's cursor.
    pub epoch: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// Names one event of a log for good: a log that lost its tail and grew again has other epochs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The event's sequence.
    pub sequence: u64,
    /// Epoch of its writer.
    pub epoch: u64,
}

impl Event {
    /// The event's cursor.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { sequence: self.sequence, epoch: self.epoch }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// Always first; pins what a resume needs.
    WorkflowStarted(Box<WorkflowStarted>),
    /// A step began.
    StepStarted {
        /// The agent.
        step: String,
        /// 1, 2, 3 … per step.
        attempt: u32,
        /// Which of several composed together, from 1; 0 when there is one only.
        #[serde(default, skip_serializing_if = "is_zero")]
        candidate: u32,
    },
    /// A step ended well; its output is final.
    StepCompleted {
        /// The agent.
        step: String,
        /// Which attempt.
        attempt: u32,
        /// Which of several composed together, from 1; 0 when there is one only.
        #[serde(default, skip_serializing_if = "is_zero")]
        candidate: u32,
        /// What it produced.
        output: Box<StepOutput>,
        /// One line for people.
        summary: String,
        /// Tokens and calls, when a model was asked.
        usage: Option<Usage>,
    },
    /// A step ended badly.
    StepFailed {
        /// The agent.
        step: String,
        /// Which attempt.
        attempt: u32,
        /// Which of several composed together, from 1; 0 when there is one only.
        #[serde(default, skip_serializing_if = "is_zero")]
        candidate: u32,
        /// Why.
        failure: Failure,
        /// What it produced before it failed, such as the verdict of a validator that says no.
        output: Option<Box<StepOutput>>,
        /// Tokens and calls, when a model was asked.
        usage: Option<Usage>,
    },
    /// The composer will try again with this feedback.
    Retrying {
        /// Retries so far, this one included.
        retry: u32,
        /// What the composer is told.
        feedback: Feedback,
    },
    /// A person is asked. Nothing runs until somebody answers, or the wait is over.
    Awaiting {
        /// For what.
        need: Need,
        /// How long an answer is waited for, from this event on.
        patience: Duration,
    },
    /// Somebody asked to cancel.
    CancelRequested {
        /// Who.
        by: Principal,
        /// Why, in their words; may be empty.
        reason: String,
    },
    /// A person answered.
    Resumed {
        /// Who.
        by: Principal,
        /// What they said.
        input: ResumeInput,
        /// Names the call, where it may be repeated, so that a repeat finds that it was heard.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<Uuid>,
    },
    /// The answer.
    Result(Box<WorkflowResult>),
    /// Terminal: answered.
    Completed,
    /// Terminal: not answered, and why.
    Failed(Failure),
    /// Terminal: cancelled, and why.
    Cancelled(Failure),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What a person is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// An answer.
    Clarification(Clarification),
    /// Their word on a statement.
    Approval(Box<Approval>),
}

/// What a person says to a waiting workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResumeInput {
    /// An answer to the clarification.
    Answer(String),
    /// Run the SQL.
    Approve,
    /// Do not run it; ends in CANCELLED.
    Reject(String),
    /// Run this SQL instead, after the same checks.
    EditedSql(String),
}

/// Everything a resume on another process needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowStarted {
    /// The question with its options.
    pub question: Question,
    /// Who asked.
    pub principal: Principal,
    /// Who plays the agents; AUTO is resolved here, once.
    pub engine: EngineName,
    /// The model, empty for builtin.
    pub model: String,
    /// Version of the prompts or of the built-in grammar.
    pub prompt_version: String,
    /// The connection as it was at the start, unless the schema is inline.
    pub connection: Option<PinnedConnection>,
    /// The conversation that the question follows up, oldest first: kept here, for the workflows of it may be gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<Turn>,
}

/// A connection as a workflow found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedConnection {
    /// Its id.
    pub id: ConnectionId,
    /// Its name at that time.
    pub name: String,
    /// Its etag at that time.
    pub etag: String,
}

impl EventKind {
    /// Whether nothing may follow.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed(_) | Self::Cancelled(_))
    }
}
