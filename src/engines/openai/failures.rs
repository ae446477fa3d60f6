//! What a failed call means for a workflow, and what an operator can do about it.

use std::time::Duration;

use super::echo::plain;
use crate::domain::{Failure, Reason};
use crate::llm::ErrorKind;

/// Longest detail in a message, in characters.
const MAX_DETAIL: usize = 300;

/// The failure that a call leaves behind.
pub fn of_call(kind: &ErrorKind) -> Failure {
    let failure = |reason, message: &str| Failure::new(reason, message);
    match kind {
        ErrorKind::Unavailable(detail) => detailed(
            Reason::ModelUnavailable,
            "The language model cannot be reached or keeps failing",
            detail,
            "Check OPENAI_BASE_URL and that the endpoint is up, then ask again.",
        ),
        ErrorKind::Timeout(limit) => failure(
            Reason::ModelUnavailable,
            &format!(
                "The language model did not answer within {} s. Ask again, choose a faster OPENAI_MODEL, or raise \
                 PULSE_LLM_TIMEOUT.",
                limit.as_secs_f32()
            ),
        ),
        ErrorKind::Silence(limit) => failure(
            Reason::ModelUnavailable,
            &format!(
                "The language model said nothing within {} s. Ask again, choose a faster OPENAI_MODEL, or raise \
                 PULSE_LLM_FIRST_TOKEN_TIMEOUT.",
                limit.as_secs_f32()
            ),
        ),
        ErrorKind::Resting { wait, last } => detailed(
            Reason::ModelUnavailable,
            "The language model's endpoint failed too often and is left alone for a while",
            last,
            "Check OPENAI_BASE_URL and that the endpoint is up, then ask again.",
        )
        .retry_after(*wait),
        ErrorKind::RateLimited { retry_after } => {
            let limited = failure(
                Reason::ModelRateLimited,
                "The language model's endpoint limits the rate of requests. Ask again later, or lower \
                 PULSE_LLM_MAX_CONCURRENT.",
            );
            match retry_after {
                Some(wait) => limited.retry_after(*wait),
                None => limited,
            }
        }
        ErrorKind::Busy => failure(
            Reason::Overloaded,
            "Too many workflows wait for the language model. Ask again later, or raise PULSE_LLM_MAX_CONCURRENT.",
        )
        .retry_after(Duration::from_secs(1)),
        ErrorKind::QuotaExhausted => failure(
            Reason::ModelRateLimited,
            "The account of OPENAI_API_KEY has no quota left. Add credit at the provider, or set another key.",
        ),
        ErrorKind::Auth => failure(
            Reason::ModelAuth,
            "The language model's endpoint refuses the key. Set OPENAI_API_KEY to a valid key that may use OPENAI_MODEL.",
        ),
        ErrorKind::ModelUnknown => failure(
            Reason::ModelNotFound,
            "The endpoint knows no such model or path. Set OPENAI_MODEL to a model it serves and OPENAI_BASE_URL to its \
             base address, usually ending in /v1.",
        ),
        ErrorKind::Refused(detail) => detailed(
            Reason::ModelRefused,
            "The language model declined to answer",
            detail,
            "Word the question differently, or choose another OPENAI_MODEL.",
        ),
        ErrorKind::ContentFilter => failure(
            Reason::ModelRefused,
            "The provider's content filter withheld the answer. Word the question differently, or choose another \
             OPENAI_MODEL.",
        ),
        ErrorKind::Truncated => failure(
            Reason::ModelOutputInvalid,
            "The language model's answer was cut at its longest length. Raise PULSE_LLM_MAX_TOKENS, or ask something \
             simpler.",
        ),
        ErrorKind::OutputInvalid(detail) => of_output(detail),
        ErrorKind::NotRecorded(detail) => detailed(
            Reason::ModelUnavailable,
            "No recording answers this request of the language model",
            detail,
            "Record it, or go back to the prompts, settings, data and day of the recording.",
        ),
        ErrorKind::Other(detail) => detailed(
            Reason::ModelRequestRejected,
            "The language model's endpoint refuses the request",
            detail,
            "Check OPENAI_BASE_URL and OPENAI_MODEL.",
        ),
    }
}

/// The model's answer does not have the asked-for form.
pub fn of_output(detail: &str) -> Failure {
    detailed(
        Reason::ModelOutputInvalid,
        "The language model's answer is not usable",
        detail,
        "Ask again, or choose a model in OPENAI_MODEL that keeps to a JSON schema.",
    )
}

/// The workflow has spent what it may; the setting allows more.
pub fn of_budget(setting: &str) -> Failure {
    let what = match setting {
        "PULSE_LLM_MAX_CALLS" => "has been called as often",
        "PULSE_LLM_WORKFLOW_TOKENS" => "has read and written as many tokens",
        _ => "has taken as much time",
    };
    let message = format!("The language model {what} as one question may. Raise {setting} to allow more.");
    Failure::new(Reason::ModelBudgetExhausted, message).with("setting", setting)
}

fn detailed(reason: Reason, what: &str, detail: &str, help: &str) -> Failure {
    let detail = plain(detail, MAX_DETAIL);
    let detail = detail.trim_end_matches(['.', ' ']);
    Failure::new(reason, format!("{what}: {detail}. {help}")).with("detail", detail)
}
