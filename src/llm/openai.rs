//! The chat-completions API of `OpenAI`, as many servers speak it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff;
use super::chat_model::{ChatAnswer, ChatModel, ChatRequest, Delivery};
use super::dialect::Dialect;
use super::endpoint::Endpoint;
use super::error::{Error, ErrorKind};
use super::transport::{Exchange, Fault, Transport};

/// Repeats of one call after the first attempt.
const MAX_REPEATS: u32 = 3;

/// Longest that no request is sent because an endpoint said so.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

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
    /// `PULSE_LLM_FIRST_TOKEN_TIMEOUT`: longest wait for the first piece of a streamed answer.
    pub first_token_timeout: Duration,
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
            first_token_timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_mins(1),
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
    transport: Transport,
    model: String,
    total_timeout: Duration,
    learned: Mutex<Learned>,
}

/// What the endpoint has taught this process.
#[derive(Default)]
struct Learned {
    /// How each model is spoken to.
    dialects: HashMap<String, Dialect>,
    /// When it wants to be asked again, whoever asks.
    paused_until: Option<Instant>,
}

impl OpenAi {
    /// Connects to nothing yet.
    pub fn new(options: Options) -> Result<Self, BadOptions> {
        if options.model.trim().is_empty() {
            return Err(BadOptions::Model);
        }
        Ok(Self {
            transport: Transport::new(&options)?,
            model: options.model,
            total_timeout: options.total_timeout,
            learned: Mutex::default(),
        })
    }

    /// The names of the models that the endpoint lists; empty where it does not say.
    pub async fn models(&self) -> Result<Vec<String>, Error> {
        self.transport.models().await.map_err(|fault| fault.kind.into())
    }

    async fn ask(
        &self,
        request: &ChatRequest,
        model: &str,
        patience: Duration,
        heard: &watch::Sender<String>,
    ) -> Result<(Exchange, Delivery), ErrorKind> {
        let started = Instant::now();
        let (mut repeats, mut attempts) = (0, 0);
        let in_time = |wait: Duration| started.elapsed().saturating_add(wait) < patience;
        loop {
            self.pause(in_time).await?;
            let dialect = self.dialect(model, request);
            attempts += 1;
            let fault = match self.transport.complete(&dialect.body(request, model), heard).await {
                Ok(exchange) => {
                    let delivery = Delivery {
                        structure: dialect.structure,
                        streamed: exchange.streamed,
                        counted: exchange.reply.is_counted(),
                        time_to_first_token: exchange.time_to_first_token,
                        latency: started.elapsed(),
                        attempts,
                    };
                    return Ok((exchange, delivery));
                }
                Err(fault) => fault,
            };
            // What was heard is in use already: the caller decides how to go on.
            if !heard.borrow().is_empty() {
                return Err(fault.kind);
            }
            if self.learn(model, dialect, &fault.complaint) {
                tracing::info!(refusal = %fault.kind, "the model endpoint is asked in another form from now on");
                continue;
            }
            let wait = backoff::wait(repeats, fault.retry_after, random());
            if !fault.transient || repeats == MAX_REPEATS {
                return Err(fault.kind);
            }
            self.keep_pause(&fault);
            if !in_time(wait) {
                return Err(fault.kind);
            }
            repeats += 1;
            tracing::debug!(repeat = repeats, wait_ms = wait.as_millis(), reason = %fault.kind, "model call repeated");
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits as long as the endpoint told anybody to wait.
    async fn pause(&self, in_time: impl Fn(Duration) -> bool) -> Result<(), ErrorKind> {
        let until = self.learned().paused_until;
        let Some(told) = until.map(|until| until.saturating_duration_since(Instant::now())) else { return Ok(()) };
        if told.is_zero() {
            return Ok(());
        }
        if !in_time(told) {
            return Err(ErrorKind::RateLimited { retry_after: Some(told) });
        }
        tokio::time::sleep(backoff::wait(0, Some(told), random())).await;
        Ok(())
    }

    fn keep_pause(&self, fault: &Fault) {
        if let (ErrorKind::RateLimited { .. }, Some(told)) = (&fault.kind, fault.retry_after) {
            // An endpoint that says a year is asked again before.
            let until = Instant::now().checked_add(told.min(LONGEST_PAUSE));
            let mut learned = self.learned();
            learned.paused_until = learned.paused_until.max(until);
        }
    }

    fn dialect(&self, model: &str, request: &ChatRequest) -> Dialect {
        let mut learned = self.learned();
        let known = learned.dialects.get(model).copied().unwrap_or_default();
        match request.distrusted.and_then(|structure| known.below(structure)) {
            Some(better) => {
                tracing::info!(structure = better.structure.as_str(), "the model endpoint keeps to no stricter form");
                learned.dialects.insert(model.to_owned(), better);
                better
            }
            None => known,
        }
    }

    /// Whether the same request is worth sending in another dialect than `used`.
    fn learn(&self, model: &str, used: Dialect, complaint: &str) -> bool {
        if complaint.is_empty() {
            return false;
        }
        let mut learned = self.learned();
        if learned.dialects.get(model).copied().unwrap_or_default() != used {
            return true;
        }
        let better = used.without(complaint);
        learned.dialects.extend(better.map(|better| (model.to_owned(), better)));
        better.is_some()
    }

    /// A panic while the lock was held cannot leave it half changed.
    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ChatModel for OpenAi {
    async fn complete(&self, request: ChatRequest, heard: &watch::Sender<String>) -> Result<ChatAnswer, Error> {
        let model = request.model.as_deref().unwrap_or(&self.model);
        let patience = request.time_left.map_or(self.total_timeout, |left| left.min(self.total_timeout));
        let (exchange, delivery) = tokio::time::timeout(patience, self.ask(&request, model, patience, heard))
            .await
            .map_err(|_| ErrorKind::Timeout(patience))??;
        match exchange.reply.answer(model, &request.output.name) {
            Ok((text, usage)) => Ok(ChatAnswer { text, usage, delivery }),
            Err(Error { kind: ErrorKind::Refused(words), usage }) => {
                Err(Error { kind: ErrorKind::Refused(self.transport.shown(&words)), usage })
            }
            Err(error) => Err(error),
        }
    }

    fn model(&self) -> &str {
        &self.model
    }
}

fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX)
}
