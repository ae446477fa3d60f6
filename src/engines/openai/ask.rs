//! What the model is asked: the rules of the roles, the data of the task, and the form of the answer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::approaches;
use super::call::{Call, Miss};
use super::card::{Card, Focus, MAX_VALUE};
use super::composer;
use super::failures;
use super::fence::{Fence, clean};
use super::mapper;
use super::meaning;
use super::names::{MAX_NAME, Names};
use super::planner;
use super::role::{Role, form};
use super::team::{Calls, Options};
use crate::agents::{ModelBudget, Task};
use crate::domain::outputs::Usage;
use crate::domain::{Facts, Failure};
use crate::engines::schema_index::{Indexes, Relevance, SchemaIndex, Spoken};
use crate::llm::{ChatModel, ChatRequest, Message};

/// What is told before the roles.
pub const DATA: &str = include_str!("prompts/data.md");
/// What is told to several roles at once.
pub const SHARED: &str = include_str!("prompts/shared.md");

/// Asks the model for all roles.
pub struct Asker {
    pub chat: Arc<dyn ChatModel>,
    pub options: Options,
    pub prompt_version: String,
    /// What questions are looked up in.
    pub indexes: Indexes,
}

/// What a role works with, once it is there.
pub struct Known<'a> {
    pub task: &'a Task,
    pub facts: &'a Facts,
    pub index: &'a SchemaIndex,
}

/// What one step has spent on the model so far.
pub struct Spent {
    pub since: Instant,
    pub usage: Usage,
}

impl Asker {
    /// A call for a role and, where they may share it, those after it. A repair shows the model what it said and why
    /// that cannot be used.
    pub fn begin(&self, known: &Known<'_>, role: Role, spent: &Spent, repair: Option<&Miss>) -> Result<Call, Failure> {
        let task = known.task;
        let left = left(task, spent)?;
        let roles = self.roles_from(role);
        let fence = Fence::random()?;
        let mut messages = vec![Message::system(rules(&roles)), Message::user(self.data(known, &roles, &fence))];
        if let Some(Miss { finding: Some(finding), said, .. }) = repair {
            messages.extend(said.clone().map(Message::assistant));
            messages.push(Message::user(correction(&fence, finding)));
        }
        let (model, temperature) = self.options.voice(role);
        let temperature = if task.candidate > 1 { temperature.max(approaches::TEMPERATURE) } else { temperature };
        let request = ChatRequest {
            model: model.cloned(),
            messages,
            output: form(&roles),
            distrusted: repair.and_then(|miss| miss.broken_promise),
            temperature,
            max_tokens: u32::try_from(left.tokens).unwrap_or(u32::MAX).min(self.options.answer_tokens),
            time_left: Some(left.time),
        };
        let nth = spent.usage.served_by.len() + 1;
        let candidate = if task.candidate > 0 { format!(".{}", task.candidate) } else { String::new() };
        let id = format!("{}-{}{candidate}-{nth}", role.name(), task.attempt);
        Ok(Call::new(id, self.prompt_version.clone(), self.chat.clone(), request, roles))
    }

    /// The role and those that share its call: all that follow and speak with the same voice.
    fn roles_from(&self, first: Role) -> Vec<Role> {
        let Self { options, .. } = self;
        let following = Role::ALL.into_iter().filter(|role| *role > first && options.calls == Calls::Shared);
        let alike = following.take_while(|role| options.voice(*role) == options.voice(first));
        std::iter::once(first).chain(alike).collect()
    }

    fn data(&self, known: &Known<'_>, roles: &[Role], fence: &Fence) -> String {
        let Known { task, facts, index } = *known;
        let first = roles[0];
        let plan = task.planner().filter(|_| first > Role::Planner);
        let mapping = task.mapper().filter(|_| first > Role::Mapper);
        let words = plan.map_or_else(|| planner::words(task), |plan| mapper::words(task, plan));
        let tables = mapping.map(mapper::tables).unwrap_or_default();
        let relevance = index.relevance(&words);
        let focus = Focus { relevance: &relevance, tables: &tables };
        let names = Names::new(&facts.schema);
        let mut data = vec![fence.rule(), fence.block("question", [planner::question(task, facts)])];
        let previous = planner::previous(task, self.options.share_values);
        if !previous.is_empty() {
            data.push(fence.block("previous", previous));
        }
        data.extend(plan.map(|plan| fence.block("plan", [planner::told(plan)])));
        data.extend(
            mapping.map(|mapping| fence.block("mapping", [mapper::told(mapping, names, self.options.share_values)])),
        );
        let (known, tokens) = meaning::blocks(facts, &words, fence, &self.options);
        let schema_tokens = self.options.schema_tokens.saturating_sub(tokens);
        let options = Options { schema_tokens, ..self.options.clone() };
        data.push(fence.block("schema", Card::new(facts, &focus, &options).lines));
        if self.options.share_values && !relevance.values.is_empty() {
            data.push(fence.block("values", spoken(&relevance, names)));
        }
        data.extend(known);
        if roles.contains(&Role::Composer) {
            data.push(composer::dialect(facts.schema.dialect).to_owned());
            data.extend(composer::feedback(task, facts, fence, self.options.share_values));
            data.extend(approaches::of(task.candidate).map(str::to_owned));
        }
        data.join("\n\n")
    }
}

/// Words of the question that are values in the data, a line each.
fn spoken<'a>(relevance: &'a Relevance, names: Names<'a>) -> impl Iterator<Item = Value> + use<'a> {
    let told = move |Spoken { words, column, value, score: _ }: &Spoken| {
        let table = names.of(&column.schema, &column.table);
        let (words, value) = (clean(words, MAX_VALUE), clean(value, MAX_VALUE));
        json!({ "words": words, "table": table, "column": clean(&column.column, MAX_NAME), "value": value })
    };
    let whole = |found: &&Spoken| found.value.chars().nth(MAX_VALUE).is_none();
    relevance.values.iter().filter(whole).map(told)
}

/// What the workflow may still spend, or which of its budgets is exhausted.
pub fn left(task: &Task, spent: &Spent) -> Result<ModelBudget, Failure> {
    let left = task.budget.after(&spent.usage, spent.since.elapsed());
    let setting = match left {
        ModelBudget { calls: 0, .. } => "PULSE_LLM_MAX_CALLS",
        ModelBudget { tokens: 0, .. } => "PULSE_LLM_WORKFLOW_TOKENS",
        ModelBudget { time: Duration::ZERO, .. } => "PULSE_LLM_WORKFLOW_TIME",
        left => return Ok(left),
    };
    Err(failures::of_budget(setting))
}

fn rules(roles: &[Role]) -> String {
    if let [role] = roles {
        return format!("{}\n{DATA}", role.rules());
    }
    let each = roles.iter().map(|role| format!("# `{}`\n\n{}", role.name(), role.rules()));
    format!("{SHARED}\n{DATA}\n{}", each.collect::<Vec<_>>().join("\n"))
}

fn correction(fence: &Fence, finding: &str) -> String {
    let block = fence.block("finding", [json!(clean(finding, 1_000))]);
    format!("Your answer cannot be used, for this reason:\n{block}\nAnswer again with the whole corrected JSON object.")
}
