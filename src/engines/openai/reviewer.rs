//! A second look at a statement that passed every check: the model says what is wrong and how to mend it, or nothing.
//!
//! Asked for by `PULSE_LLM_SEMANTIC_CHECK` only, once a workflow: an opinion on what already passed costs a call and more
//! answers than it mends, unless it is concrete (see the notes on repair in ARCHITECTURE.md).

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::ask::{Asker, DATA, Spent, left};
use super::call::told;
use super::card::{Card, Focus};
use super::failures;
use super::fence::{Fence, visible};
use super::role::Role;
use super::wire::{boolean, object, sentence, string};
use super::{composer, mapper, planner};
use crate::agents::{Agent, AgentError, Outcome, Task};
use crate::domain::outputs::{ModelCall, StepOutput, Usage, ValidatorOutput};
use crate::domain::{Failure, Reason};
use crate::llm::{ChatRequest, Message, OutputSchema, json_object};

/// The rules.
pub const PROMPT: &str = include_str!("prompts/reviewer.md");
/// Its name in calls.
const NAME: &str = "reviewer";

/// Looks at statements.
pub struct Reviewer {
    pub asker: Arc<Asker>,
}

/// The opinion as the model writes it.
#[derive(Deserialize)]
struct WireOpinion {
    meant: bool,
    #[serde(default)]
    wrong: String,
    #[serde(default)]
    fix: String,
}

impl WireOpinion {
    /// What is wrong and how to mend it; an opinion that does not say both counts for nothing.
    fn finding(&self) -> Option<String> {
        let (wrong, fix) = (sentence(&self.wrong), sentence(&self.fix));
        let concrete = !self.meant && !wrong.is_empty() && !fix.is_empty();
        concrete.then(|| format!("{}: {}", wrong.trim_end_matches(['.', ' ']), fix.trim_end_matches(['.', ' '])))
    }
}

#[async_trait]
impl Agent for Reviewer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn requires(&self) -> &'static [&'static str] {
        &[]
    }

    /// A validator's output that holds at most one doubt.
    async fn run(&self, task: &Task) -> Result<Outcome, AgentError> {
        let request = self.request(task).await?;
        let model = request.model.clone().unwrap_or_else(|| self.asker.chat.model().to_owned());
        let heard = watch::Sender::new(String::new());
        let answer = self.asker.chat.complete(request, &heard).await;
        let answer = answer.map_err(|error| AgentError {
            failure: failures::of_call(&error.kind),
            output: None,
            usage: error.usage,
        })?;
        let call = ModelCall {
            id: format!("{NAME}-{}-1", task.attempt),
            model,
            prompt_version: self.asker.prompt_version.clone(),
            prompt_tokens: answer.usage.prompt_tokens,
            cached_prompt_tokens: answer.usage.cached_prompt_tokens,
            completion_tokens: answer.usage.completion_tokens,
            delivery: Some(told(&answer.delivery)),
        };
        let usage = Some(Usage { calls: 1, served_by: vec![call], ..answer.usage });
        let opinion = json_object(&answer.text)
            .and_then(|part| serde_json::from_value(part.into()).map_err(|error| error.to_string()));
        let opinion: WireOpinion = match opinion {
            Ok(opinion) => opinion,
            Err(finding) => return Err(AgentError { failure: failures::of_output(&finding), output: None, usage }),
        };
        let doubts: Vec<String> = opinion.finding().into_iter().collect();
        let summary = doubts.first().cloned().unwrap_or_default();
        let output = StepOutput::Validator(ValidatorOutput { is_valid: true, doubts, ..ValidatorOutput::default() });
        Ok(Outcome { output, summary, usage })
    }
}

impl Reviewer {
    async fn request(&self, task: &Task) -> Result<ChatRequest, Failure> {
        let missing = || Failure::new(Reason::Internal, "A step that a later one needs has no output.");
        let facts = task.facts.as_ref().ok_or_else(missing)?;
        let proposal = task.composer().ok_or_else(missing)?;
        let left = left(task, &Spent { since: Instant::now(), usage: Usage::default() })?;
        let index = self.asker.indexes.of(facts).await;
        let relevance = index.relevance(&task.question.text);
        let tables = task.mapper().map(mapper::tables).unwrap_or_default();
        let card = Card::new(facts, &Focus { relevance: &relevance, tables: &tables }, &self.asker.options);
        let fence = Fence::random()?;
        let mut data = vec![fence.rule(), fence.block("question", [planner::question(task, facts)])];
        data.extend(task.planner().map(|plan| fence.block("plan", [planner::told(plan)])));
        data.push(fence.block("schema", card.lines));
        data.push(composer::dialect(facts.schema.dialect).to_owned());
        data.push(fence.block("statement", [json!({ "statement": visible(&proposal.sql) })]));
        let (model, temperature) = self.asker.options.voice(Role::Composer);
        let schema = object([("meant", boolean()), ("wrong", string()), ("fix", string())]);
        Ok(ChatRequest {
            model: model.cloned(),
            messages: vec![Message::system(format!("{PROMPT}\n{DATA}")), Message::user(data.join("\n\n"))],
            output: OutputSchema { name: NAME.to_owned(), schema },
            distrusted: None,
            temperature,
            max_tokens: u32::try_from(left.tokens).unwrap_or(u32::MAX).min(self.asker.options.answer_tokens),
            time_left: Some(left.time),
        })
    }
}
