//! What a caller asks for.

use std::time::Duration;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::ids::{ConnectionId, WorkflowId};
use super::schema::Schema;

/// A question and how to answer it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The question in plain language, 1 byte to 4 KiB.
    pub text: String,
    /// What it is asked of.
    pub source: Source,
    /// How to go about it.
    pub options: RunOptions,
}

/// A question that was asked before, as one that follows it up needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// As it was asked.
    pub question: String,
    /// What was asked back, and answered.
    pub asked_back: Vec<AskedBack>,
    /// The day that its "today" is.
    pub today: Date,
    /// Who understood it.
    pub engine: EngineName,
    /// What it was understood to ask.
    pub intent: String,
    /// The statement that answered it; empty but for the last of a conversation.
    pub sql: String,
}

/// A question back and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedBack {
    /// What was asked.
    pub question: String,
    /// What was answered.
    pub answer: String,
}

/// Where the schema comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A saved connection; its SQL is executed unless the options say otherwise.
    Connection(ConnectionId),
    /// A schema that came with the call; nothing is executed.
    InlineSchema(Schema),
}

/// Options of a run, defaults filled in.
#[expect(clippy::struct_excessive_bools, reason = "each is an independent switch of the call")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunOptions {
    /// A label for people and filters, never authorisation.
    pub user_id: String,
    /// Which engine was asked for.
    pub engine: EngineChoice,
    /// How often the composer may try again after the first attempt.
    pub max_retries: u32,
    /// Whether the checked SQL is run.
    pub execute: bool,
    /// Whether a person approves the SQL before it runs.
    pub require_approval: bool,
    /// Whether the planner may stop to ask.
    pub allow_clarification: bool,
    /// How many statements to compose beside each other; 0 leaves it to the planner.
    pub candidates: u32,
    /// Longest the whole workflow may take.
    pub workflow_timeout: Duration,
    /// The workflow that this question follows up.
    pub previous_workflow_id: Option<WorkflowId>,
    /// Whether the run ends when the call that started it ends.
    pub cancel_on_disconnect: bool,
    /// Bounds of the run's parts; logs of older versions have none.
    #[serde(default)]
    pub limits: RunLimits,
}

/// Bounds of the parts of a run; `None` leaves the server's. They only lower what the server, or the connection, allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunLimits {
    /// Longest one attempt of one step may take.
    pub step_timeout: Option<Duration>,
    /// Longest run of the checked SQL.
    pub statement_timeout: Option<Duration>,
    /// Most rows kept in the result.
    pub max_rows: Option<u32>,
    /// Most bytes of rows kept in the result.
    pub max_bytes: Option<u32>,
    /// How long a person's answer is waited for.
    pub input_timeout: Option<Duration>,
    /// Model calls that may be answered, as the server allowed at the start.
    #[serde(default)]
    pub model_calls: Option<u32>,
}

/// What the caller asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineChoice {
    /// The model when one is configured, otherwise builtin.
    #[default]
    Auto,
    /// The configured model, or a refusal.
    Openai,
    /// The built-in engine.
    Builtin,
}

/// Who plays the agents of a workflow; resolved once, when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineName {
    /// An OpenAI-compatible endpoint.
    Openai,
    /// No model, no network, deterministic.
    Builtin,
}

impl EngineName {
    /// The name in settings and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Builtin => "builtin",
        }
    }
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            user_id: String::new(),
            engine: EngineChoice::Auto,
            max_retries: 3,
            execute: true,
            require_approval: false,
            allow_clarification: false,
            candidates: 0,
            workflow_timeout: Duration::from_mins(5),
            previous_workflow_id: None,
            cancel_on_disconnect: false,
            limits: RunLimits::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_logs_without_limits_are_read() {
        let limits =
            RunLimits { step_timeout: Some(Duration::from_secs(7)), max_rows: Some(3), ..RunLimits::default() };
        let options = RunOptions { limits, ..RunOptions::default() };
        let mut written = serde_json::to_value(&options).unwrap();
        assert_eq!(serde_json::from_value::<RunOptions>(written.clone()).unwrap(), options);
        written.as_object_mut().unwrap().remove("limits").unwrap();
        assert_eq!(serde_json::from_value::<RunOptions>(written).unwrap(), RunOptions::default());
    }
}
