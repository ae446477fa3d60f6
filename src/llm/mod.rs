//! Language models: one question in, one answer out, with what it cost.
//!
//! [`ChatModel`] is the seam. [`OpenAi`] speaks the chat-completions API of `OpenAI` and of everything compatible with
//! it; [`WithLimits`] wraps any model so that only so many calls run at once. A new provider is one file that
//! implements [`ChatModel`]. Retries of the transport happen in here; judging the text of an answer does not.

mod backoff;
mod chat_model;
mod dialect;
mod endpoint;
mod error;
mod openai;
mod transport;
mod with_limits;

pub use chat_model::{ChatAnswer, ChatModel, ChatRequest, Message, OutputSchema, Role};
pub use endpoint::{BadEndpoint, Endpoint};
pub use error::{Error, ErrorKind};
pub use openai::{BadOptions, OpenAi, Options};
pub use with_limits::{Limits, WithLimits};
