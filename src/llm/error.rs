//! Why a model gave no usable answer.

use std::time::Duration;

use crate::domain::outputs::Usage;

/// Why a call failed, and what it cost all the same.
///
/// Neither `Display` nor `Debug` holds the key or the endpoint's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// Tokens, when the model did answer, only not usably.
    pub usage: Option<Usage>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// Not reachable, or it keeps failing.
    #[error("the model endpoint cannot be used: {0}")]
    Unavailable(String),
    /// No complete answer in time.
    #[error("the model endpoint did not answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// No first word in time.
    #[error("the model endpoint said nothing within {} s", .0.as_secs_f32())]
    Silence(Duration),
    /// The endpoint failed so often that it is left alone for a while.
    #[error("the model endpoint failed too often and is not asked for {} s: {last}", wait.as_secs_f32())]
    Resting {
        /// Until it is asked again.
        wait: Duration,
        /// Its last failure.
        last: String,
    },
    /// Too many requests or tokens in a short time.
    #[error("the model endpoint limits the rate of requests")]
    RateLimited {
        /// How long it asked to wait.
        retry_after: Option<Duration>,
    },
    /// More calls wait in this process than may.
    #[error("too many calls wait for the model")]
    Busy,
    /// The account has nothing left; waiting does not help.
    #[error("the account at the model endpoint has no quota left")]
    QuotaExhausted,
    /// The key is missing, wrong, or not allowed to use the model.
    #[error("the model endpoint refuses the key")]
    Auth,
    /// No such model, or no such path.
    #[error("the model endpoint knows no such model or path")]
    ModelUnknown,
    /// The model declined, in its own words.
    #[error("the model declined: {0}")]
    Refused(String),
    /// The answer reached the longest length before its end.
    #[error("the model's answer was cut at its longest length")]
    Truncated,
    /// The provider's filter withheld the answer.
    #[error("the provider's content filter withheld the answer")]
    ContentFilter,
    /// The reply is not what the API promises.
    #[error("the model endpoint's reply is not usable: {0}")]
    OutputInvalid(String),
    /// Answers come from recordings, and none answers this request.
    #[error("no recording answers the request: {0}")]
    NotRecorded(String),
    /// The endpoint refuses the request for another reason.
    #[error("the model endpoint refuses the request: {0}")]
    Other(String),
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, usage: None }
    }
}
