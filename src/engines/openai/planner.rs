//! What is asked, in the question's own words.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::fence::clean;
use super::role::Played;
use super::wire::{
    boolean, each, function, list, literal, literal_of, object, operator, sentence, share, string, text, unit, value,
};
use crate::agents::Task;
use crate::domain::outputs::{
    AggregateFunction, Clarification, Difficulty, Entity, Operator, PlannedAggregation, PlannedFilter, PlannedOrder,
    PlannerOutput, StepOutput,
};
use crate::domain::workflow::Clarified;
use crate::domain::{EngineName, Facts, Turn};

/// The rules.
pub const PROMPT: &str = include_str!("prompts/planner.md");
/// Longest question, in characters.
const MAX_QUESTION: usize = 4_096;
/// Longest earlier statement, in characters.
const MAX_SQL: usize = 8_000;
/// Longest question back, in characters.
const MAX_ASKED: usize = 1_000;
/// Readings that are offered at once.
const MAX_OPTIONS: usize = 4;

/// Reads the planner's part.
pub fn read(wire: WirePlan, task: &Task) -> Result<Played, String> {
    let mut output = wire.into_output()?;
    if !task.workflow.started.previous.is_empty() || !task.workflow.clarified.is_empty() {
        output.restatement.clone_from(&output.intent);
    }
    if let (Some(clarification), false) = (&output.clarification, task.workflow.may_ask_back()) {
        return Ok(Played::Abstained(clarification.failure(), Some(StepOutput::Planner(output))));
    }
    let summary = output.clarification.as_ref().map_or(&output.intent, |asked| &asked.question).clone();
    Ok(Played::Done(StepOutput::Planner(output), summary))
}

/// The question as every agent is told it.
pub fn question(task: &Task, facts: &Facts) -> Json {
    let mut told = json!({
        "question": clean(&task.question.text, MAX_QUESTION),
        "today": facts.today.to_string(),
        "dialect": facts.schema.dialect.label(),
        "may_ask_back": task.workflow.may_ask_back(),
    });
    let clarified = task.workflow.clarified.iter().map(|Clarified { clarification, answer, .. }| {
        json!({ "asked": clean(&clarification.question, MAX_ASKED), "answered": clean(answer, MAX_QUESTION) })
    });
    let clarified: Vec<Json> = clarified.collect();
    if !clarified.is_empty() {
        told["clarified"] = json!(clarified);
    }
    told
}

/// The words of the question, of what was answered to questions back, and of what was asked before.
pub fn words(task: &Task) -> String {
    let answers = task.workflow.clarified.iter().map(|clarified| clarified.answer.as_str());
    let before = task.workflow.started.previous.iter().flat_map(|turn| [turn.question.as_str(), &turn.intent]);
    std::iter::once(task.question.text.as_str()).chain(answers).chain(before).collect::<Vec<_>>().join(" ; ")
}

/// What was asked before, a line a question. What the built-in engine understood may hold values of the data.
pub fn previous(task: &Task, share_values: bool) -> Vec<Json> {
    let told = |turn: &Turn| {
        let mut told = json!({ "question": clean(&turn.question, MAX_QUESTION) });
        if share_values || turn.engine == EngineName::Openai {
            let answered = turn.asked_back.iter().map(|back| {
                json!({ "asked": clean(&back.question, MAX_ASKED), "answered": clean(&back.answer, MAX_QUESTION) })
            });
            told["clarified"] = answered.collect();
            told["intent"] = json!(clean(&turn.intent, MAX_QUESTION));
            told["sql"] = json!(clean(&turn.sql, MAX_SQL));
        }
        told
    };
    task.workflow.started.previous.iter().map(told).collect()
}

/// The plan as later agents are told it.
pub fn told(plan: &PlannerOutput) -> Json {
    let entities = plan.entities.iter().map(|entity| json!({ "name": entity.name, "kind": entity.kind }));
    let filters = plan.filters.iter().map(|filter| {
        let values: Vec<Json> = filter.values.iter().map(literal_of).collect();
        json!({ "column": filter.column, "operator": filter.operator, "values": values })
    });
    let aggregations = plan.aggregations.iter().map(|item| json!({ "function": item.function, "column": item.column }));
    let order_by = plan.order_by.iter().map(|item| json!({ "column": item.column, "descending": item.descending }));
    json!({
        "intent": plan.intent,
        "entities": entities.collect::<Vec<_>>(),
        "filters": filters.collect::<Vec<_>>(),
        "aggregations": aggregations.collect::<Vec<_>>(),
        "group_by": plan.group_by,
        "order_by": order_by.collect::<Vec<_>>(),
        "limit": plan.limit,
    })
}

/// The form of the planner's part.
pub fn schema() -> Json {
    let kinds = json!({ "type": "string", "enum": ["table", "column", "value", "measure", "unknown"] });
    let question_back = object([("question", string()), ("options", list(string()))]);
    object([
        ("intent", string()),
        ("entities", list(object([("name", string()), ("kind", kinds)]))),
        ("filters", list(object([("column", string()), ("operator", operator()), ("values", list(literal()))]))),
        ("aggregations", list(object([("function", function()), ("column", string())]))),
        ("group_by", list(string())),
        ("order_by", list(object([("column", string()), ("descending", boolean())]))),
        ("limit", json!({ "type": ["integer", "null"] })),
        ("clarification", json!({ "anyOf": [question_back, { "type": "null" }] })),
        ("confidence", share()),
        ("difficulty", json!({ "type": "string", "enum": ["easy", "hard"] })),
    ])
}

/// The planner's part as the model writes it.
#[derive(Deserialize)]
pub struct WirePlan {
    intent: String,
    entities: Vec<WireEntity>,
    filters: Vec<WireFilter>,
    aggregations: Vec<WireAggregation>,
    group_by: Vec<String>,
    order_by: Vec<WireOrder>,
    limit: Option<u64>,
    clarification: Option<WireClarification>,
    confidence: f64,
    #[serde(default)]
    difficulty: Option<Difficulty>,
}

#[derive(Deserialize)]
struct WireEntity {
    name: String,
    kind: String,
}

#[derive(Deserialize)]
struct WireFilter {
    column: String,
    operator: Operator,
    values: Vec<Json>,
}

#[derive(Deserialize)]
struct WireAggregation {
    function: AggregateFunction,
    column: String,
}

#[derive(Deserialize)]
struct WireOrder {
    column: String,
    descending: bool,
}

#[derive(Deserialize)]
struct WireClarification {
    question: String,
    options: Vec<String>,
}

impl WirePlan {
    fn into_output(self) -> Result<PlannerOutput, String> {
        let Self {
            intent,
            entities,
            filters,
            aggregations,
            group_by,
            order_by,
            limit,
            clarification,
            confidence,
            difficulty,
        } = self;
        if intent.trim().is_empty() {
            return Err("intent is empty".to_owned());
        }
        Ok(PlannerOutput {
            intent: sentence(&intent),
            entities: each("entities", entities, |WireEntity { name, kind }| {
                Ok(Entity { name: text(&name), kind: text(&kind) })
            })?,
            filters: each("filters", filters, |WireFilter { column, operator, values }| {
                Ok(PlannedFilter { column: text(&column), operator, values: each("values", values, value)? })
            })?,
            aggregations: each("aggregations", aggregations, |WireAggregation { function, column }| {
                Ok(PlannedAggregation { function, column: text(&column) })
            })?,
            group_by: each("group_by", group_by, |column| Ok(text(&column)))?,
            order_by: each("order_by", order_by, |WireOrder { column, descending }| {
                Ok(PlannedOrder { column: text(&column), descending })
            })?,
            limit,
            confidence: unit(confidence),
            clarification: clarification.map(WireClarification::into_output).transpose()?,
            restatement: String::new(),
            difficulty,
        })
    }
}

impl WireClarification {
    fn into_output(self) -> Result<Clarification, String> {
        if self.question.trim().is_empty() {
            return Err("clarification has no question".to_owned());
        }
        let mut options = each("options", self.options, |option| Ok(sentence(&option)))?;
        options.retain(|option| !option.is_empty());
        options.dedup();
        options.truncate(MAX_OPTIONS);
        Ok(Clarification { question: sentence(&self.question), options })
    }
}
