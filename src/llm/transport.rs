//! One HTTP exchange with the endpoint: bounded in time and size, and every failure told apart.

use std::error::Error as _;
use std::time::Duration;

use eventsource_stream::Eventsource as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff;
use super::endpoint::Endpoint;
use super::error::ErrorKind;
use super::openai::{BadOptions, Options};
use super::reply::{Broken, Reply};

/// Longest reply that is read.
const MAX_REPLY_BYTES: usize = 1024 * 1024;
/// Longest part of an endpoint's own words that is kept, in characters.
const MAX_WORDS: usize = 200;
/// Longest wait for the count of tokens, which comes after the end of an answer.
const COUNT_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends requests.
pub struct Transport {
    http: reqwest::Client,
    endpoint: Endpoint,
    headers: HeaderMap,
    /// Never repeated in an error, whatever the endpoint echoes.
    key: Option<SecretString>,
    first_token_timeout: Duration,
    attempt_timeout: Duration,
}

/// A reply, and how it came.
#[derive(Debug)]
pub struct Exchange {
    pub reply: Reply,
    /// Whether it came in pieces.
    pub streamed: bool,
    /// From sending to the first piece of the answer.
    pub time_to_first_token: Option<Duration>,
}

/// Why one exchange failed, and what may be done about it.
#[derive(Debug)]
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
    pub fn new(options: &Options) -> Result<Self, BadOptions> {
        let key = options.api_key.as_ref().map(|key| key.expose_secret().trim()).filter(|key| !key.is_empty());
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert(AUTHORIZATION, secret(&format!("Bearer {key}"))?);
            if options.endpoint.is_azure() {
                headers.insert(HeaderName::from_static("api-key"), secret(key)?);
            }
        }
        Ok(Self {
            http: http_client(options)?,
            endpoint: options.endpoint.clone(),
            headers,
            key: key.map(SecretString::from),
            first_token_timeout: options.first_token_timeout.min(options.attempt_timeout),
            attempt_timeout: options.attempt_timeout,
        })
    }

    /// Sends a request for a chat completion. `heard` is appended to while the answer arrives.
    pub async fn complete(&self, body: &Value, heard: &watch::Sender<String>) -> Result<Exchange, Fault> {
        let streams = body["stream"] == true;
        let silence = if streams { self.first_token_timeout } else { self.attempt_timeout };
        let sent = Instant::now();
        let mut clock = Clock { until: sent + silence, end: sent + self.attempt_timeout, kind: self.too_late(streams) };
        let request = self.http.request(Method::POST, self.endpoint.url("/chat/completions"));
        let body = Vec::from(body.to_string());
        let request = request.headers(self.headers.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let response = clock.bound(request.send()).await?.map_err(|error| self.lost(&error))?;
        if !response.status().is_success() || !is_event_stream(response.headers()) {
            clock.spoke(ErrorKind::Timeout(self.attempt_timeout));
            let reply = self.whole(response, &mut clock).await?;
            return Ok(Exchange {
                reply: self.heard_at_once(reply, heard)?,
                streamed: false,
                time_to_first_token: None,
            });
        }
        let (reply, first) = self.pieces(response, &mut clock, heard).await?;
        Ok(Exchange { reply, streamed: true, time_to_first_token: first.map(|first| first - sent) })
    }

    /// The names of the models that the endpoint lists; empty where it does not say.
    pub async fn models(&self) -> Result<Vec<String>, Fault> {
        let end = Instant::now() + self.attempt_timeout;
        let mut clock = Clock { until: end, end, kind: ErrorKind::Timeout(self.attempt_timeout) };
        let request = self.http.get(self.endpoint.url("/models")).headers(self.headers.clone());
        let response = clock.bound(request.send()).await?.map_err(|error| self.lost(&error))?;
        let list = self.whole(response, &mut clock).await?;
        let models = list["data"].as_array().into_iter().flatten();
        Ok(models.filter_map(|model| model["id"].as_str()).map(|name| self.shown(name)).collect())
    }

    /// The body of a reply that is not streamed, when it is a success and JSON.
    async fn whole(&self, mut response: reqwest::Response, clock: &mut Clock) -> Result<Value, Fault> {
        let mut body = Vec::new();
        while let Some(chunk) = clock.bound(response.chunk()).await?.map_err(|error| self.lost(&error))? {
            if body.len() + chunk.len() > MAX_REPLY_BYTES {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        if !response.status().is_success() {
            return Err(self.refused(response.status(), response.headers(), &body));
        }
        serde_json::from_slice(&body).map_err(|_| Fault::lasting(unusable("it is not JSON")))
    }

    fn heard_at_once(&self, whole: Value, heard: &watch::Sender<String>) -> Result<Reply, Fault> {
        if !whole["choices"].is_array() && whole["error"].is_null() {
            return Err(Fault::lasting(unusable("it is not a chat completion")));
        }
        let mut reply = Reply::default();
        let text = reply.take(whole).map_err(|broken| self.broken(broken))?;
        heard.send_modify(|heard| heard.push_str(text));
        Ok(reply)
    }

    /// Reads server-sent events to their end.
    async fn pieces(
        &self,
        response: reqwest::Response,
        clock: &mut Clock,
        heard: &watch::Sender<String>,
    ) -> Result<(Reply, Option<Instant>), Fault> {
        let mut length = 0;
        let body = stream::try_unfold(response, |mut response| async move {
            let chunk = response.chunk().await?;
            Ok::<_, reqwest::Error>(chunk.map(|chunk| (chunk, response)))
        });
        let body = body.map_err(|error| self.lost(&error)).and_then(|chunk| {
            length += chunk.len();
            std::future::ready(if length > MAX_REPLY_BYTES { Err(too_long()) } else { Ok(chunk) })
        });
        let mut events = std::pin::pin!(body.eventsource());
        let (mut reply, mut first) = (Reply::default(), None);
        loop {
            let event = match clock.bound(events.next()).await {
                // Some endpoints leave the connection open after their last word.
                Err(_) if reply.is_finished() => break,
                event => event?,
            };
            let data = match event {
                None => break,
                Some(Ok(event)) if event.data.trim() == "[DONE]" => return Ok((reply, first)),
                Some(Ok(event)) => event.data,
                Some(Err(eventsource_stream::EventStreamError::Transport(fault))) => return Err(fault),
                Some(Err(_)) => return Err(Fault::lasting(unusable("its events cannot be read"))),
            };
            if data.trim().is_empty() {
                continue;
            }
            let piece = serde_json::from_str(&data).map_err(|_| Fault::lasting(unusable("an event is not JSON")))?;
            let text = reply.take(piece).map_err(|broken| self.broken(broken))?;
            first = first.or_else(|| Some(Instant::now()));
            if !text.is_empty() {
                heard.send_modify(|heard| heard.push_str(text));
            }
            clock.spoke(ErrorKind::Timeout(self.attempt_timeout));
            if reply.is_finished() {
                clock.until = clock.end.min(Instant::now() + COUNT_TIMEOUT);
            }
        }
        if reply.is_finished() {
            return Ok((reply, first));
        }
        let kind = ErrorKind::Unavailable("the answer broke off".to_owned());
        Err(Fault { transient: true, ..Fault::lasting(kind) })
    }

    fn too_late(&self, streams: bool) -> ErrorKind {
        if streams && self.first_token_timeout < self.attempt_timeout {
            ErrorKind::Silence(self.first_token_timeout)
        } else {
            ErrorKind::Timeout(self.attempt_timeout)
        }
    }

    /// The connection failed before the reply was complete.
    fn lost(&self, error: &reqwest::Error) -> Fault {
        let kind = if error.is_timeout() {
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

    fn broken(&self, broken: Broken) -> Fault {
        match broken {
            Broken::Unknown => Fault::lasting(unusable("it is not a chat completion")),
            Broken::Error(error) => {
                let status =
                    error["code"].as_u64().and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok());
                let status = status.filter(|status| status.as_u16() >= 400).unwrap_or(StatusCode::BAD_GATEWAY);
                let body = serde_json::json!({ "error": error }).to_string();
                self.refused(status, &HeaderMap::new(), body.as_bytes())
            }
        }
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
        // Some say with another status than 400 that they do not support what was asked for; then the words must say so.
        let names_a_cause = match kind {
            ErrorKind::Other(_) => true,
            ErrorKind::ModelUnknown | ErrorKind::Unavailable(_) => says_unsupported(&message),
            _ => false,
        };
        let complaint = if names_a_cause { format!("{param} {message}") } else { String::new() };
        Fault { transient: transient && kind != ErrorKind::QuotaExhausted, retry_after, complaint, kind }
    }

    /// Words of somebody else as they may stand in an error.
    pub fn shown(&self, words: &str) -> String {
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

/// How long an exchange may still take.
struct Clock {
    /// The next sign of life.
    until: Instant,
    /// The whole of it.
    end: Instant,
    /// What it is when that passes.
    kind: ErrorKind,
}

impl Clock {
    /// An endpoint that is slow is not asked again: it may be at work on the first call still, and that may be paid for.
    async fn bound<T>(&self, work: impl Future<Output = T>) -> Result<T, Fault> {
        let late = |_| Fault::lasting(self.kind.clone());
        tokio::time::timeout_at(self.until, work).await.map_err(late)
    }

    /// From now on only the end counts.
    fn spoke(&mut self, kind: ErrorKind) {
        (self.until, self.kind) = (self.end, kind);
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}

fn says_unsupported(message: &str) -> bool {
    let message = message.to_lowercase();
    ["support", "not permitted", "not allowed", "unrecognized", "unknown param", "not implemented"]
        .iter()
        .any(|words| message.contains(words))
}

fn unusable(what: &str) -> ErrorKind {
    ErrorKind::OutputInvalid(what.to_owned())
}

fn too_long() -> Fault {
    Fault::lasting(unusable("it is longer than 1 MiB"))
}

fn secret(text: &str) -> Result<HeaderValue, BadOptions> {
    let mut value = HeaderValue::try_from(text).map_err(|_| BadOptions::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

fn http_client(options: &Options) -> Result<reqwest::Client, BadOptions> {
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(options.connect_timeout)
        // A redirect would carry the schema to an address nobody configured.
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never());
    // Elsewhere the usual proxy variables hold, as for every HTTPS client of the machine.
    if options.endpoint.is_loopback() {
        builder = builder.no_proxy();
    }
    if !options.endpoint.is_encrypted() {
        // Without TLS no certificates are needed: it works in an image that has none.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| {
        BadOptions::Tls(std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string))
    })
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
    /// From `{"error": {…}}`, or what other servers say in its place: `{"error": "…"}`, `{"message": "…"}`,
    /// `{"detail": …}`.
    fn read(body: &[u8]) -> Self {
        let Ok(mut whole) = serde_json::from_slice::<Value>(body) else { return Self::default() };
        let mut field = |name| whole.get_mut(name).map(Value::take);
        match field("error") {
            Some(Value::String(message)) => Self { message, ..Self::default() },
            Some(error @ Value::Object(_)) => serde_json::from_value(error).unwrap_or_default(),
            _ => match field("detail") {
                Some(Value::String(message)) => Self { message, ..Self::default() },
                Some(detail) => Self { message: detail.to_string(), ..Self::default() },
                None => serde_json::from_value(whole).unwrap_or_default(),
            },
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
