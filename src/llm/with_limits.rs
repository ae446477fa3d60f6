//! Only so many calls at once, and only so many that wait.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};

use super::chat_model::{ChatAnswer, ChatModel, ChatRequest};
use super::error::{Error, ErrorKind};

/// How much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `PULSE_LLM_MAX_CONCURRENT`: calls that run beside each other, at least 1.
    pub max_concurrent: usize,
    /// `PULSE_LLM_MAX_QUEUED`: calls that wait for one of those; the next one is turned away at once.
    pub max_queued: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_concurrent: 8, max_queued: 64 }
    }
}

/// A model that is never asked more than the limits allow; callers beyond them get [`ErrorKind::Busy`] at once.
pub struct WithLimits {
    model: Arc<dyn ChatModel>,
    /// One permit per call that runs or waits.
    entered: Semaphore,
    /// One permit per call that runs; fair, so nobody waits for ever.
    running: Semaphore,
}

impl WithLimits {
    /// Wraps a model.
    #[must_use]
    pub fn new(model: Arc<dyn ChatModel>, limits: Limits) -> Self {
        let concurrent = limits.max_concurrent.clamp(1, Semaphore::MAX_PERMITS / 2);
        let queued = limits.max_queued.min(Semaphore::MAX_PERMITS / 2);
        Self { model, entered: Semaphore::new(concurrent + queued), running: Semaphore::new(concurrent) }
    }
}

#[async_trait]
impl ChatModel for WithLimits {
    async fn complete(&self, request: ChatRequest, heard: &watch::Sender<String>) -> Result<ChatAnswer, Error> {
        let _place = self.entered.try_acquire().map_err(|_| ErrorKind::Busy)?;
        let _turn = self.running.acquire().await.map_err(|_| ErrorKind::Busy)?;
        self.model.complete(request, heard).await
    }

    fn model(&self) -> &str {
        self.model.model()
    }
}
