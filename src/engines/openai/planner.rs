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
    AggregateFunction, Clarification, Entity, Operator, PlannedAggregation, PlannedFilter, PlannedOrder, PlannerOutput,
    StepOutput,
};
use crate::domain::{Facts, Failure, Reason};

/// The rules.
pub const PROMPT: &str = include_str!("prompts/planner.md");
/// Longest question, in characters.
const MAX_QUESTION: usize = 4_096;

/// Reads the planner's part.
pub fn read(wire: WirePlan, task: &Task) -> Result<Played, String> {
    let output = wire.into_output()?;
    if let (Some(clarification), false) = (&output.clarification, task.question.options.allow_clarification) {
        return Ok(Played::Abstained(ambiguous(clarification), Some(StepOutput::Planner(output))));
    }
    let summary = output.intent.clone();
    Ok(Played::Done(StepOutput::Planner(output), summary))
}

/// The question as every agent is told it.
pub fn question(task: &Task, facts: &Facts) -> Json {
    json!({
        "question": clean(&task.question.text, MAX_QUESTION),
        "today": facts.today.to_string(),
        "dialect": facts.schema.dialect.label(),
        "may_ask_back": task.question.options.allow_clarification,
    })
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

fn ambiguous(clarification: &Clarification) -> Failure {
    let options = clarification.options.join("; ");
    Failure::new(
        Reason::QuestionAmbiguous,
        format!("The question has several readings. {} ({options}) Ask again and say which.", clarification.question),
    )
    .with("question", &clarification.question)
    .with("options", options)
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
        let Self { intent, entities, filters, aggregations, group_by, order_by, limit, clarification, confidence } =
            self;
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
        })
    }
}

impl WireClarification {
    fn into_output(self) -> Result<Clarification, String> {
        let options = each("options", self.options, |option| Ok(sentence(&option)))?;
        Ok(Clarification { question: sentence(&self.question), options })
    }
}
