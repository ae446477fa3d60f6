//! One HTTP exchange with the endpoint: bounded in time and size, and every failure told apart.
//!
//! It stands in the place that async-openai leaves for a service of one's own, so that its built-in retries (which
//! know no deadline) and its logging of whole replies are out of the way.

use std::error::Error as _;
use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::backoff;
use super::error::ErrorKind;

/// Longest reply that is read.
const MAX_REPLY_BYTES: usize = 1024 * 1024;
/// Longest part of an endpoint's own words that is kept, in characters.
const MAX_WORDS: usize = 200;

/// Sends requests.
#[derive(Clone)]
pub struct Transport {
    pub http: reqwest::Client,
    /// Never repeated in an error, whatever the endpoint echoes.
    pub key: Option<SecretString>,
    /// What the client was built with, for the error's text.
    pub attempt_timeout: Duration,
}

/// Why one exchange failed, and what may be done about it.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct Fault {
    pub kind: ErrorKind,
    /// Whether the same request may well succeed a little later.
    pub transient: bool,
    /// How long the endpoint asked to wait.
    pub retry_after: Option<Duration>,
    /// What a refused request was blamed for; empty otherwise.
    pub complaint: String,
}

impl Transport {
    /// One exchange; the reply is complete, successful and JSON.
    pub async fn exchange(self, factory: HttpRequestFactory) -> Result<reqwest::Response, OpenAIError> {
        self.try_exchange(factory).await.map_err(|fault| OpenAIError::Boxed(Box::new(fault)))
    }

    async fn try_exchange(&self, factory: HttpRequestFactory) -> Result<reqwest::Response, Fault> {
        let request =
            factory.build().await.map_err(|_| Fault::lasting(ErrorKind::Other("it cannot be built".to_owned())))?;
        let mut response = self.http.execute(request).await.map_err(|error| self.lost(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(&error))? {
            if body.len() + chunk.len() > MAX_REPLY_BYTES {
                return Err(Fault::lasting(unusable("it is longer than 1 MiB")));
            }
            body.extend_from_slice(&chunk);
        }
        if !response.status().is_success() {
            return Err(self.refused(response.status(), response.headers(), &body));
        }
        // Read twice, because async-openai logs what it cannot read: replies may repeat data of the database.
        if std::str::from_utf8(&body).is_err() || serde_json::from_slice::<Value>(&body).is_err() {
            return Err(Fault::lasting(unusable("it is not JSON")));
        }
        Ok(http::Response::new(body).into())
    }

    /// The connection failed before the reply was complete.
    fn lost(&self, error: &reqwest::Error) -> Fault {
        let kind = if error.is_timeout() && !error.is_connect() {
            ErrorKind::Timeout(self.attempt_timeout)
        } else if error.is_timeout() {
            ErrorKind::Unavailable("no connection in time".to_owned())
        } else {
            // The innermost cause names no address, unlike the error itself.
            let mut cause = error.source();
            while let Some(inner) = cause.and_then(|outer| outer.source()) {
                cause = Some(inner);
            }
            let words = cause.map_or_else(|| "the connection was lost".to_owned(), ToString::to_string);
            ErrorKind::Unavailable(self.shown(&words))
        };
        Fault { transient: true, ..Fault::lasting(kind) }
    }

    /// The endpoint answered with something else than success.
    fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
        let Words { message, code, param } = Words::read(body);
        let retry_after = backoff::retry_after(headers);
        let transient = matches!(status.as_u16(), 408 | 409 | 429 | 500..);
        let kind = match status.as_u16() {
            401 | 403 => ErrorKind::Auth,
            404 => ErrorKind::ModelUnknown,
            402 => ErrorKind::QuotaExhausted,
            429 if code == "insufficient_quota" => ErrorKind::QuotaExhausted,
            429 => ErrorKind::RateLimited { retry_after },
            400 if code.starts_with("content_filter") => ErrorKind::ContentFilter,
            300..400 => ErrorKind::Other(format!("{status}, and redirects are not followed")),
            408 | 409 | 500.. => ErrorKind::Unavailable(format!("it answers {status}")),
            _ if message.is_empty() => ErrorKind::Other(status.to_string()),
            _ => ErrorKind::Other(format!("{status}: {}", self.shown(&message))),
        };
        let complaint = if matches!(kind, ErrorKind::Other(_)) { format!("{param} {message}") } else { String::new() };
        Fault { transient: transient && kind != ErrorKind::QuotaExhausted, retry_after, complaint, kind }
    }

    /// Words of somebody else as they may stand in an error.
    fn shown(&self, words: &str) -> String {
        let words = match self.key.as_ref().map(ExposeSecret::expose_secret) {
            Some(key) if !key.is_empty() => words.replace(key, "[key]"),
            _ => words.to_owned(),
        };
        words.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(MAX_WORDS).collect()
    }
}

impl Fault {
    pub fn lasting(kind: ErrorKind) -> Self {
        Self { kind, transient: false, retry_after: None, complaint: String::new() }
    }
}

fn unusable(what: &str) -> ErrorKind {
    ErrorKind::OutputInvalid(what.to_owned())
}

/// The error object of the API; fields are absent, null or numbers on some endpoints.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Words {
    #[serde(deserialize_with = "text")]
    message: String,
    #[serde(deserialize_with = "text")]
    code: String,
    #[serde(deserialize_with = "text")]
    param: String,
}

impl Words {
    fn read(body: &[u8]) -> Self {
        let object =
            serde_json::from_slice::<Value>(body).ok().and_then(|mut whole| whole.get_mut("error").map(Value::take));
        match object {
            Some(Value::String(message)) => Self { message, ..Self::default() },
            Some(object) => serde_json::from_value(object).unwrap_or_default(),
            None => Self::default(),
        }
    }
}

fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    })
}
