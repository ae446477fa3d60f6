//! What a language model is to the rest of the program.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::error::Error;
use crate::domain::outputs::Usage;

/// A model that answers a conversation with one JSON object.
#[async_trait]
pub trait ChatModel: Send + Sync {
    /// Asks once. Repeats what the transport lost as long as nothing was heard, within the model's own time limit.
    /// Dropping the future aborts the call.
    ///
    /// `heard` is appended to while the answer arrives; an endpoint that cannot stream tells it all at once. What was
    /// heard of an answer that broke off stays there.
    async fn complete(&self, request: ChatRequest, heard: &watch::Sender<String>) -> Result<ChatAnswer, Error>;

    /// The model asked when a request names none.
    fn model(&self) -> &str;
}

/// A conversation, and the form its answer shall have.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// Another model than the default one.
    pub model: Option<String>,
    /// The conversation so far, oldest first.
    pub messages: Vec<Message>,
    /// The form of the answer.
    pub output: OutputSchema,
    /// A structure that an earlier answer did not keep to: the model is asked in the next one, then and later.
    pub distrusted: Option<Structure>,
    /// 0 (always the likeliest word) to 2; left out for models that take none.
    pub temperature: f64,
    /// Longest answer.
    pub max_tokens: u32,
    /// Less time than the model's own limit.
    pub time_left: Option<Duration>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What they say.
    pub text: String,
}

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The rules of the conversation.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

/// A JSON schema in the subset that strict structured outputs allow: every property required, none besides them.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputSchema {
    /// Letters, digits, `_` and `-`.
    pub name: String,
    /// The schema.
    pub schema: serde_json::Value,
}

/// How the form of an answer is asked for, from what binds the model most to what binds it least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Structure {
    /// Structured outputs: the endpoint itself keeps to the schema.
    JsonSchema,
    /// The answer is the argument of a function whose parameters have the schema.
    ToolCall,
    /// JSON mode: some JSON object; the schema stands in the conversation.
    JsonMode,
    /// The schema stands in the conversation, nothing else helps.
    Text,
}

/// What a model said, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatAnswer {
    /// Its words; JSON when the endpoint keeps to the schema, not promised.
    pub text: String,
    /// Tokens of this one call.
    pub usage: Usage,
    /// How it came.
    pub delivery: Delivery,
}

/// How an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// How its form was asked for.
    pub structure: Structure,
    /// Whether it arrived in pieces.
    pub streamed: bool,
    /// Whether the endpoint said how many tokens it took.
    pub counted: bool,
    /// From sending to the first piece; `None` when it came in one.
    pub time_to_first_token: Option<Duration>,
    /// From the first sending to the end, repeats included.
    pub latency: Duration,
    /// How often it was sent until it was answered.
    pub attempts: u32,
}

impl Message {
    /// Rules of the conversation.
    pub fn system(text: impl Into<String>) -> Self {
        Self { role: Role::System, text: text.into() }
    }

    /// Words of the one who asks.
    pub fn user(text: impl Into<String>) -> Self {
        Self { role: Role::User, text: text.into() }
    }

    /// Words of the model.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self { role: Role::Assistant, text: text.into() }
    }
}

impl Structure {
    /// The name in events and settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonSchema => "json_schema",
            Self::ToolCall => "tool_call",
            Self::JsonMode => "json_mode",
            Self::Text => "text",
        }
    }

    /// Whether an endpoint that takes this answers in the asked-for form and no other.
    #[must_use]
    pub fn promises_form(self) -> bool {
        self == Self::JsonSchema
    }

    /// Whether an endpoint that takes this answers with some JSON object.
    #[must_use]
    pub fn promises_object(self) -> bool {
        self != Self::Text
    }

    /// What binds the model a little less.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self {
            Self::JsonSchema => Some(Self::ToolCall),
            Self::ToolCall => Some(Self::JsonMode),
            Self::JsonMode => Some(Self::Text),
            Self::Text => None,
        }
    }
}
