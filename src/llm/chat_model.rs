//! What a language model is to the rest of the program.

use async_trait::async_trait;

use super::error::Error;
use crate::domain::outputs::Usage;

/// A model that answers a conversation with one JSON object.
#[async_trait]
pub trait ChatModel: Send + Sync {
    /// Asks once. Repeats what the transport lost, within the model's own time limit.
    /// Dropping the future aborts the call.
    async fn complete(&self, request: ChatRequest) -> Result<ChatAnswer, Error>;

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
    /// 0 (always the likeliest word) to 2; left out for models that take none.
    pub temperature: f64,
    /// Longest answer.
    pub max_tokens: u32,
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
    pub name: &'static str,
    /// The schema.
    pub schema: serde_json::Value,
}

/// What a model said, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatAnswer {
    /// Its words; JSON when the endpoint keeps to the schema, not promised.
    pub text: String,
    /// Tokens of this one call.
    pub usage: Usage,
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
