//! Language models: one question in, one answer out, with what it cost.
//!
//! [`ChatModel`] is the seam. [`OpenAi`] speaks the chat-completions API of `OpenAI` and of everything compatible with
//! it; [`WithLimits`] wraps any model so that only so many calls run at once, [`WithBreaker`] so that one that keeps
//! failing is left alone for a while, [`WithSpans`] so that each call is traced. [`Recorder`] keeps its answers, and
//! [`Recordings`] gives them again without it. A new provider is one file that implements [`ChatModel`]. Retries of the transport
//! happen in here, and finding the JSON in an answer; judging what it says does not. [`check`] says in words what an
//! endpoint can do.

mod backoff;
mod chat_model;
mod check;
mod dialect;
mod endpoint;
mod error;
mod extract;
mod openai;
mod recorded;
mod reply;
mod transport;
mod with_breaker;
mod with_limits;
mod with_spans;

pub use chat_model::{ChatAnswer, ChatModel, ChatRequest, Delivery, Message, OutputSchema, Role, Structure};
pub use check::{Report, check};
pub use endpoint::{BadEndpoint, Endpoint};
pub use error::{Error, ErrorKind};
pub use extract::{after_thoughts, json_object};
pub use openai::{BadOptions, OpenAi, Options};
pub use recorded::{Recorder, Recordings};
pub use with_breaker::{Breaker, WithBreaker};
pub use with_limits::{Limits, WithLimits};
pub use with_spans::WithSpans;
