//! The chat-completions API of `OpenAI`, as many servers speak it, through async-openai.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_openai::Client;
use async_openai::config::Config;
use async_openai::error::OpenAIError;
use async_trait::async_trait;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::backoff;
use super::chat_model::{ChatAnswer, ChatModel, ChatRequest};
use super::dialect::Dialect;
use super::endpoint::Endpoint;
use super::error::{Error, ErrorKind};
use super::transport::{Fault, Transport};
use crate::domain::outputs::Usage;

/// Repeats of one call after the first attempt.
const MAX_REPEATS: u32 = 3;
/// Longest model name kept from a reply, in bytes.
const MAX_MODEL_BYTES: usize = 128;

/// How to reach a model.
#[derive(Debug, Clone)]
pub struct Options {
    /// `OPENAI_BASE_URL`.
    pub endpoint: Endpoint,
    /// `OPENAI_API_KEY`; servers on one's own machine often want none. Space around it is not part of it.
    pub api_key: Option<SecretString>,
    /// `OPENAI_MODEL`.
    pub model: String,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// `PULSE_LLM_TIMEOUT`: longest single exchange, from the connection to the last byte.
    pub attempt_timeout: Duration,
    /// `PULSE_LLM_TOTAL_TIMEOUT`: longest call, repeats and the waits between them included.
    pub total_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::default(),
            api_key: None,
            model: "gpt-4.1-mini".to_owned(),
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(90),
        }
    }
}

/// The options cannot be used; the setting is named, its value never.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOptions {
    /// No header can hold the key.
    #[error("OPENAI_API_KEY holds a line break or another character that no key has")]
    Key,
    /// No model is named.
    #[error("OPENAI_MODEL is empty")]
    Model,
    /// The HTTPS client cannot be set up.
    #[error(
        "HTTPS cannot be used on this machine: {0}. Install the system's CA certificates (package ca-certificates)"
    )]
    Tls(String),
}

/// A model behind the chat-completions API.
pub struct OpenAi {
    client: Client<Access>,
    model: String,
    total_timeout: Duration,
    dialect: Mutex<Dialect>,
}

impl OpenAi {
    /// Connects to nothing yet.
    pub fn new(options: Options) -> Result<Self, BadOptions> {
        if options.model.trim().is_empty() {
            return Err(BadOptions::Model);
        }
        let key = options.api_key.as_ref().map(|key| key.expose_secret().trim()).filter(|key| !key.is_empty());
        let key = key.map(SecretString::from);
        let access = Access::new(options.endpoint.clone(), key.clone())?;
        let http = http_client(&options)?;
        let transport = Transport { http: http.clone(), key, attempt_timeout: options.attempt_timeout };
        let service = tower::service_fn(move |request| transport.clone().exchange(request));
        Ok(Self {
            client: Client::build(http, access).with_http_service(service),
            model: options.model,
            total_timeout: options.total_timeout,
            dialect: Mutex::new(Dialect::default()),
        })
    }

    async fn ask(&self, request: &ChatRequest, model: &str) -> Result<Value, ErrorKind> {
        let started = Instant::now();
        let mut repeats = 0;
        loop {
            let dialect = self.dialect();
            let body = dialect.body(request, model);
            let fault = match self.client.chat().create_byot(body).await {
                Ok(reply) => return Ok(reply),
                Err(error) => fault(error),
            };
            if self.learn(dialect, &fault.complaint) {
                tracing::info!(refusal = %fault.kind, "the model endpoint is asked in another form from now on");
                continue;
            }
            let random = getrandom::u64().unwrap_or(u64::MAX);
            let wait = backoff::wait(repeats, fault.retry_after, random);
            let in_time = started.elapsed().saturating_add(wait) < self.total_timeout;
            if !fault.transient || repeats == MAX_REPEATS || !in_time {
                return Err(fault.kind);
            }
            repeats += 1;
            tracing::debug!(repeat = repeats, wait_ms = wait.as_millis(), reason = %fault.kind, "model call repeated");
            tokio::time::sleep(wait).await;
        }
    }

    fn dialect(&self) -> Dialect {
        *self.dialect.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the same request is worth sending in another dialect than `used`.
    fn learn(&self, used: Dialect, complaint: &str) -> bool {
        if complaint.is_empty() {
            return false;
        }
        let mut current = self.dialect.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != used {
            return true;
        }
        match used.without(complaint) {
            Some(better) => {
                *current = better;
                true
            }
            None => false,
        }
    }
}

#[async_trait]
impl ChatModel for OpenAi {
    async fn complete(&self, request: ChatRequest) -> Result<ChatAnswer, Error> {
        let model = request.model.as_deref().unwrap_or(&self.model);
        let reply = tokio::time::timeout(self.total_timeout, self.ask(&request, model))
            .await
            .map_err(|_| ErrorKind::Timeout(self.total_timeout))??;
        read(reply, model)
    }

    fn model(&self) -> &str {
        &self.model
    }
}

/// The parts of a reply that count; endpoints leave out or add others.
#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    model: Option<String>,
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Default, Deserialize)]
struct Tokens {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

fn read(reply: Value, asked: &str) -> Result<ChatAnswer, Error> {
    let Ok(reply) = serde_json::from_value::<Reply>(reply) else {
        return Err(ErrorKind::OutputInvalid("it is not a chat completion".to_owned()).into());
    };
    let tokens = reply.usage.unwrap_or_default();
    let model = reply.model.filter(|name| !name.is_empty() && name.len() <= MAX_MODEL_BYTES);
    let usage = Usage {
        model: model.unwrap_or_else(|| asked.to_owned()),
        calls: 1,
        prompt_tokens: tokens.prompt_tokens,
        completion_tokens: tokens.completion_tokens,
    };
    match said(reply.choices) {
        Ok(text) => Ok(ChatAnswer { text, usage }),
        Err(kind) => Err(Error { kind, usage: Some(usage) }),
    }
}

fn said(choices: Vec<Choice>) -> Result<String, ErrorKind> {
    let Some(Choice { message, finish_reason }) = choices.into_iter().next() else {
        return Err(ErrorKind::OutputInvalid("it holds no answer".to_owned()));
    };
    if let Some(refusal) = message.refusal.filter(|words| !words.is_empty()) {
        return Err(ErrorKind::Refused(refusal.chars().filter(|letter| !letter.is_control()).take(200).collect()));
    }
    match (finish_reason.as_deref(), message.content) {
        (Some("length"), _) => Err(ErrorKind::Truncated),
        (Some("content_filter"), _) => Err(ErrorKind::ContentFilter),
        (_, Some(text)) if !text.trim().is_empty() => Ok(text),
        _ => Err(ErrorKind::OutputInvalid("the answer is empty".to_owned())),
    }
}

fn fault(error: OpenAIError) -> Fault {
    match error {
        OpenAIError::Boxed(inner) => match inner.downcast::<Fault>() {
            Ok(fault) => *fault,
            Err(_) => Fault::lasting(ErrorKind::Other("the call could not be made".to_owned())),
        },
        _ => Fault::lasting(ErrorKind::OutputInvalid("it could not be read".to_owned())),
    }
}

/// Address and key for async-openai, instead of its own settings, which read the environment.
struct Access {
    endpoint: Endpoint,
    headers: HeaderMap,
    key: SecretString,
}

impl Access {
    fn new(endpoint: Endpoint, key: Option<SecretString>) -> Result<Self, BadOptions> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &key {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", key.expose_secret())).map_err(|_| BadOptions::Key)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self { endpoint, headers, key: key.unwrap_or_default() })
    }
}

impl Config for Access {
    fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        self.endpoint.as_str()
    }

    fn api_key(&self) -> &SecretString {
        &self.key
    }
}

fn http_client(options: &Options) -> Result<reqwest::Client, BadOptions> {
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(options.connect_timeout)
        .timeout(options.attempt_timeout)
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
