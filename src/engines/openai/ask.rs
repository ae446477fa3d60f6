//! One question to the model for one JSON object, and one repair.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::json;

use super::failures;
use super::fence::Fence;
use super::team::Options;
use crate::agents::{AgentError, Task};
use crate::domain::outputs::Usage;
use crate::domain::{Failure, Reason};
use crate::llm::{ChatModel, ChatRequest, Error, ErrorKind, Message, OutputSchema};

/// Longest part of a bad answer that is shown to the model again, in characters.
const MAX_REPEATED: usize = 8_000;

/// Asks the model for all agents.
pub struct Asker {
    pub chat: Arc<dyn ChatModel>,
    pub options: Options,
}

/// What one agent asks.
pub struct Prompt<'a> {
    /// The agent's own model, if it has one.
    pub model: Option<&'a String>,
    /// The rules.
    pub rules: &'a str,
    /// The marks of this call's data.
    pub fence: Fence,
    /// Blocks of data inside the fence.
    pub data: Vec<String>,
    /// The form of the answer.
    pub output: OutputSchema,
}

impl Asker {
    /// The answer that `accept` takes, and what all calls cost.
    ///
    /// When an answer is cut, empty, no JSON of the right form, or not accepted, the model is told why and asked once
    /// more, if the workflow may still call it. A refusal is final.
    pub async fn ask<Wire: DeserializeOwned, T>(
        &self,
        task: &Task,
        prompt: Prompt<'_>,
        accept: impl Fn(Wire) -> Result<T, String>,
    ) -> Result<(T, Usage), AgentError> {
        if task.model_calls_left == 0 {
            return Err(failures::of_budget().into());
        }
        let mut request = self.request(&prompt);
        let first = self.call(&request, &accept).await;
        let Err(Miss { error, finding: Some(finding), said }) = first else {
            return first.map_err(|miss| agent_error(&miss.error));
        };
        let spent = error.usage.clone().unwrap_or_default();
        if task.model_calls_left <= spent.calls {
            return Err(agent_error(&error));
        }
        request.messages.extend(said.map(Message::assistant));
        request.messages.push(Message::user(repair(&prompt.fence, &finding)));
        match self.call(&request, &accept).await {
            Ok((answer, usage)) => Ok((answer, sum(spent, usage))),
            Err(Miss { error, .. }) => {
                let usage = Some(sum(spent, error.usage.unwrap_or_default()));
                Err(agent_error(&Error { kind: error.kind, usage }))
            }
        }
    }

    fn request(&self, prompt: &Prompt<'_>) -> ChatRequest {
        let data = format!("{}\n\n{}", prompt.fence.rule(), prompt.data.join("\n\n"));
        ChatRequest {
            model: prompt.model.cloned(),
            messages: vec![Message::system(prompt.rules), Message::user(data)],
            output: prompt.output.clone(),
            temperature: self.options.temperature,
            max_tokens: self.options.answer_tokens,
        }
    }

    async fn call<Wire: DeserializeOwned, T>(
        &self,
        request: &ChatRequest,
        accept: impl Fn(Wire) -> Result<T, String>,
    ) -> Result<(T, Usage), Miss> {
        let answer = self.chat.complete(request.clone()).await.map_err(Miss::of_call)?;
        match parse(&answer.text).and_then(accept) {
            Ok(accepted) => Ok((accepted, answer.usage)),
            Err(finding) => Err(Miss {
                error: Error { kind: ErrorKind::OutputInvalid(finding.clone()), usage: Some(answer.usage) },
                finding: Some(finding),
                said: Some(answer.text.chars().take(MAX_REPEATED).collect()),
            }),
        }
    }
}

/// An answer that is of no use.
struct Miss {
    error: Error,
    /// What the model is told when asking again may help.
    finding: Option<String>,
    /// What it said.
    said: Option<String>,
}

impl Miss {
    fn of_call(error: Error) -> Self {
        let finding = match &error.kind {
            ErrorKind::Truncated => Some("the answer was too long and was cut: be brief".to_owned()),
            // Only where the model itself answered: a reply that is no completion will not be one the next time.
            ErrorKind::OutputInvalid(what) if error.usage.is_some() => Some(what.clone()),
            _ => None,
        };
        Self { error, finding, said: None }
    }
}

/// A step that the plan promises has left nothing.
pub fn missing(step: &str) -> Failure {
    Failure::new(Reason::Internal, format!("The step {step} has no output that a later step needs."))
}

/// The JSON object in a text, code fences and words around it set aside.
fn parse<Wire: DeserializeOwned>(text: &str) -> Result<Wire, String> {
    let object = match (text.find('{'), text.rfind('}')) {
        (Some(start), Some(end)) if start < end => &text[start..=end],
        _ => return Err("the answer holds no JSON object".to_owned()),
    };
    serde_json::from_str(object).map_err(|error| format!("the JSON does not have the asked-for form: {error}"))
}

fn repair(fence: &Fence, finding: &str) -> String {
    let block = fence.block("finding", [json!(super::fence::clean(finding, 1_000))]);
    format!("Your answer cannot be used, for this reason:\n{block}\nAnswer again with the whole corrected JSON object.")
}

fn agent_error(error: &Error) -> AgentError {
    AgentError { failure: failures::of_call(&error.kind), output: None, usage: error.usage.clone() }
}

fn sum(first: Usage, second: Usage) -> Usage {
    Usage {
        model: if second.model.is_empty() { first.model } else { second.model },
        calls: first.calls + second.calls,
        prompt_tokens: first.prompt_tokens.saturating_add(second.prompt_tokens),
        completion_tokens: first.completion_tokens.saturating_add(second.completion_tokens),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn fences_and_words_around_the_object_are_set_aside() {
        for text in ["{\"a\":1}", "```json\n{\"a\":1}\n```", "Here you are: {\"a\":1} Anything else?"] {
            assert_eq!(parse::<Value>(text), Ok(json!({ "a": 1 })), "{text}");
        }
        for text in ["", "}{", "{\"a\":", "no"] {
            assert!(parse::<Value>(text).is_err(), "{text}");
        }
    }
}
