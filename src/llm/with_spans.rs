//! A span around every call, whose fields have the names of OpenTelemetry's conventions for generative models
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>). Neither what is asked nor what is answered is
//! ever a field.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span};

use super::chat_model::{ChatAnswer, ChatModel, ChatRequest};
use super::error::{Error, ErrorKind};
use crate::domain::outputs::Usage;

/// A model whose calls are traced, from the first sending to the end, repeats included.
pub struct WithSpans {
    model: Arc<dyn ChatModel>,
}

impl WithSpans {
    /// Wraps a model.
    #[must_use]
    pub fn new(model: Arc<dyn ChatModel>) -> Self {
        Self { model }
    }
}

#[async_trait]
impl ChatModel for WithSpans {
    async fn complete(&self, request: ChatRequest, heard: &watch::Sender<String>) -> Result<ChatAnswer, Error> {
        let model = request.model.as_deref().unwrap_or(self.model.model());
        let span = tracing::info_span!(
            "model.chat",
            otel.name = format!("chat {model}"),
            otel.kind = "client",
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = "openai",
            gen_ai.request.model = model,
            gen_ai.request.temperature = request.temperature,
            gen_ai.request.max_tokens = request.max_tokens,
            gen_ai.output.type = "json",
            gen_ai.response.model = Empty,
            gen_ai.response.time_to_first_chunk = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.usage.cache_read.input_tokens = Empty,
            error.type = Empty,
            agents = request.output.name,
            structure = Empty,
            attempts = Empty,
        );
        let call = async {
            let answer = self.model.complete(request, heard).await;
            told(&Span::current(), &answer);
            answer
        };
        call.instrument(span).await
    }

    fn model(&self) -> &str {
        self.model.model()
    }
}

/// Completes the span, and says on one line within it how the call ended.
fn told(span: &Span, answer: &Result<ChatAnswer, Error>) {
    match answer {
        Ok(ChatAnswer { usage, delivery, text: _ }) => {
            spent(span, usage);
            span.record("structure", delivery.structure.as_str());
            span.record("attempts", delivery.attempts);
            if let Some(first) = delivery.time_to_first_token {
                span.record("gen_ai.response.time_to_first_chunk", first.as_secs_f64());
            }
            tracing::debug!(latency_ms = delivery.latency.as_millis(), "the model answered");
        }
        Err(Error { kind, usage }) => {
            if let Some(usage) = usage {
                spent(span, usage);
            }
            span.record("error.type", display(word(kind)));
            tracing::debug!("the model gave no usable answer");
        }
    }
}

fn spent(span: &Span, usage: &Usage) {
    span.record("gen_ai.response.model", usage.model.as_str());
    span.record("gen_ai.usage.input_tokens", usage.prompt_tokens);
    span.record("gen_ai.usage.output_tokens", usage.completion_tokens);
    span.record("gen_ai.usage.cache_read.input_tokens", usage.cached_prompt_tokens);
}

/// One word for each kind: what was said stays out.
fn word(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Unavailable(_) => "unavailable",
        ErrorKind::Timeout(_) => "timeout",
        ErrorKind::Silence(_) => "silence",
        ErrorKind::Resting { .. } => "resting",
        ErrorKind::RateLimited { .. } => "rate_limited",
        ErrorKind::Busy => "busy",
        ErrorKind::QuotaExhausted => "quota_exhausted",
        ErrorKind::Auth => "auth",
        ErrorKind::ModelUnknown => "model_unknown",
        ErrorKind::Refused(_) => "refused",
        ErrorKind::Truncated => "truncated",
        ErrorKind::ContentFilter => "content_filter",
        ErrorKind::OutputInvalid(_) => "output_invalid",
        ErrorKind::NotRecorded(_) => "not_recorded",
        ErrorKind::Other(_) => "other",
    }
}
