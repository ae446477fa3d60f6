//! An endpoint that keeps failing is left alone for a while: callers hear of it at once, and it can recover.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use super::chat_model::{ChatAnswer, ChatModel, ChatRequest};
use super::error::{Error, ErrorKind};

/// When an endpoint is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// Calls that must fail one after the other, each with all its repeats. Only an endpoint that cannot be reached, keeps
    /// failing or stays silent counts; every answer, refusals included, starts the count anew.
    pub failures: u32,
    /// How long it is left alone; then one call may try, and the others wait for what becomes of it.
    pub rest: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, rest: Duration::from_secs(15) }
    }
}

/// A model that is not asked while its endpoint rests; callers get [`ErrorKind::Resting`] at once.
pub struct WithBreaker {
    model: Arc<dyn ChatModel>,
    breaker: Breaker,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    resting: Option<Rest>,
}

struct Rest {
    until: Instant,
    last: String,
}

impl WithBreaker {
    /// Wraps a model.
    #[must_use]
    pub fn new(model: Arc<dyn ChatModel>, breaker: Breaker) -> Self {
        Self { model, breaker, state: Mutex::default() }
    }

    /// Lets a call through, or says for how long not. The first one after a rest prolongs it for the others, so that it
    /// is the only one that tries; its end decides.
    fn admit(&self) -> Result<(), Error> {
        let mut state = self.state();
        let Some(rest) = &mut state.resting else { return Ok(()) };
        let now = Instant::now();
        let wait = rest.until.saturating_duration_since(now);
        if !wait.is_zero() {
            return Err(ErrorKind::Resting { wait, last: rest.last.clone() }.into());
        }
        rest.until = now + self.breaker.rest;
        Ok(())
    }

    fn ended(&self, failure: Option<&ErrorKind>) {
        let mut state = self.state();
        match failure {
            Some(kind @ (ErrorKind::Unavailable(_) | ErrorKind::Timeout(_) | ErrorKind::Silence(_))) => {
                state.failures = state.failures.saturating_add(1);
                if state.failures >= self.breaker.failures {
                    let until = Instant::now() + self.breaker.rest;
                    tracing::warn!(rest_s = self.breaker.rest.as_secs_f32(), reason = %kind, "the model endpoint rests");
                    state.resting = Some(Rest { until, last: kind.to_string() });
                }
            }
            // It was not asked: this says nothing of it.
            Some(ErrorKind::Busy) => {}
            _ => *state = State::default(),
        }
    }

    /// A panic while the lock was held cannot leave it half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ChatModel for WithBreaker {
    async fn complete(&self, request: ChatRequest, heard: &watch::Sender<String>) -> Result<ChatAnswer, Error> {
        self.admit()?;
        let answer = self.model.complete(request, heard).await;
        self.ended(answer.as_ref().err().map(|error| &error.kind));
        answer
    }

    fn model(&self) -> &str {
        self.model.model()
    }
}
