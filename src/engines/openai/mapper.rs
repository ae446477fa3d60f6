//! Where the plan's words live in the schema.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::ask::Known;
use super::fence::clean;
use super::meaning;
use super::names::{MAX_NAME, Names};
use super::planner;
use super::role::Played;
use super::wire::{
    boolean, each, function, list, literal, literal_of, object, operator, optional_string, share, string, text, unit,
    value,
};
use crate::agents::Task;
use crate::domain::outputs::{
    AggregateFunction, Join, MappedAggregation, MappedEntity, MappedFilter, MappedOrder, MapperOutput, MatchedValue,
    Operator, PlannerOutput, StepOutput,
};
use crate::domain::{ColumnPath, Value};
use crate::engines::schema_index::{Spoken, matched_in_words};

/// The rules.
pub const PROMPT: &str = include_str!("prompts/mapper.md");

/// Reads the mapper's part. What it says of values is held against the data.
pub fn read(wire: WireMapping, known: &Known<'_>) -> Result<Played, String> {
    let names = Names::new(&known.facts.schema);
    let mut output = wire.into_output(names)?;
    output.matched_values = grounded(&output, known);
    output.definitions = meaning::used(known.facts, &known.task.question.text, &output);
    let summary = summary(&output, names);
    Ok(Played::Done(StepOutput::Mapper(output), summary))
}

/// The values that the conditions mean, as the data spells them: those that the question names, those that the
/// conditions compare with, and what the model matched itself where the data does not know better.
fn grounded(mapping: &MapperOutput, known: &Known<'_>) -> Vec<MatchedValue> {
    let compared = |column: &ColumnPath| mapping.filters.iter().any(|filter| filter.column == *column);
    let spoken = known.index.relevance(&known.task.question.text).values.into_iter();
    let mut found: Vec<MatchedValue> = spoken
        .filter(|spoken| compared(&spoken.column))
        .map(|Spoken { words, column, value, score }| MatchedValue { text: words, column, value, score })
        .collect();
    let literals = mapping.filters.iter().flat_map(|filter| {
        let texts =
            filter.values.iter().filter_map(|value| if let Value::String(text) = value { Some(text) } else { None });
        texts.map(|text| (&filter.column, text))
    });
    for (column, text) in literals {
        if let Some((value, score)) = known.index.spelling(column, text) {
            found.push(MatchedValue { text: text.clone(), column: column.clone(), value, score });
        }
    }
    let held = |said: &MatchedValue| {
        let values = known.facts.values.column(&said.column);
        values.is_none_or(|values| !values.complete || values.distinct.contains(&said.value))
    };
    found.extend(mapping.matched_values.iter().filter(|said| held(said)).cloned());
    let mut seen = HashSet::new();
    found.retain(|one| seen.insert((one.column.clone(), one.value.clone())));
    found
}

/// The question's words and the plan's, for choosing tables.
pub fn words(task: &Task, plan: &PlannerOutput) -> String {
    let entities = plan.entities.iter().map(|entity| entity.name.as_str());
    let columns = plan.filters.iter().map(|filter| filter.column.as_str());
    let measures = plan.aggregations.iter().map(|item| item.column.as_str());
    let asked = planner::words(task);
    let parts = [asked.as_str(), &plan.intent].into_iter().chain(entities).chain(columns).chain(measures);
    parts.collect::<Vec<_>>().join(" ; ")
}

/// The mapping as the composer is told it; of what was matched in the data only where values are shared.
pub fn told(mapping: &MapperOutput, names: Names<'_>, share_values: bool) -> Json {
    let column = |path: &ColumnPath| json!({ "table": names.of(&path.schema, &path.table), "column": clean(&path.column, MAX_NAME) });
    let entities = mapping.entities.iter().map(|entity| {
        let table = names.of(&entity.schema, &entity.table);
        json!({ "name": entity.name, "table": table, "column": entity.column.as_deref().map(|name| clean(name, MAX_NAME)) })
    });
    let filters = mapping.filters.iter().map(|filter| {
        let values: Vec<Json> = filter.values.iter().map(literal_of).collect();
        json!({ "on": column(&filter.column), "operator": filter.operator, "values": values })
    });
    let aggregations = mapping
        .aggregations
        .iter()
        .map(|item| json!({ "function": item.function, "on": item.column.as_ref().map(column) }));
    let joins =
        mapping.join_path.iter().map(|join| json!({ "left": column(&join.left), "right": column(&join.right) }));
    let order_by = mapping.order_by.iter().map(|item| json!({ "by": item.expression, "descending": item.descending }));
    let mut told = json!({
        "entities": entities.collect::<Vec<_>>(),
        "filters": filters.collect::<Vec<_>>(),
        "aggregations": aggregations.collect::<Vec<_>>(),
        "group_by": mapping.group_by.iter().map(column).collect::<Vec<_>>(),
        "order_by": order_by.collect::<Vec<_>>(),
        "join_path": joins.collect::<Vec<_>>(),
    });
    if share_values && !mapping.matched_values.is_empty() {
        let matched = mapping.matched_values.iter().map(
            |found| json!({ "words": text(&found.text), "on": column(&found.column), "value": text(&found.value) }),
        );
        told["matched_values"] = matched.collect();
    }
    told
}

/// Every table that the mapping names, as (schema, table).
pub fn tables(mapping: &MapperOutput) -> Vec<(&str, &str)> {
    let entities = mapping.entities.iter().map(|entity| (entity.schema.as_str(), entity.table.as_str()));
    let filters = mapping.filters.iter().map(|filter| &filter.column);
    let measures = mapping.aggregations.iter().filter_map(|item| item.column.as_ref());
    let joins = mapping.join_path.iter().flat_map(|join| [&join.left, &join.right]);
    let columns = filters.chain(measures).chain(&mapping.group_by).chain(joins);
    let mut all: Vec<_> = entities.chain(columns.map(|path| (path.schema.as_str(), path.table.as_str()))).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn summary(mapping: &MapperOutput, names: Names<'_>) -> String {
    let tables: Vec<String> = tables(mapping).into_iter().map(|(schema, table)| names.of(schema, table)).collect();
    let matched = matched_in_words(&mapping.matched_values).map(|matched| format!(" {matched}.")).unwrap_or_default();
    if tables.is_empty() {
        format!("No table was tied to the question.{matched}")
    } else {
        format!("Uses {}.{matched}", tables.join(", "))
    }
}

/// The form of the mapper's part.
pub fn schema() -> Json {
    let column = || object([("table", string()), ("column", string())]);
    object([
        (
            "entities",
            list(object([("name", string()), ("table", string()), ("column", optional_string()), ("score", share())])),
        ),
        (
            "filters",
            list(object([
                ("table", string()),
                ("column", string()),
                ("operator", operator()),
                ("values", list(literal())),
                ("score", share()),
            ])),
        ),
        (
            "aggregations",
            list(object([
                ("function", function()),
                ("table", optional_string()),
                ("column", optional_string()),
                ("score", share()),
            ])),
        ),
        ("group_by", list(column())),
        ("order_by", list(object([("expression", string()), ("descending", boolean())]))),
        ("join_path", list(object([("left", column()), ("right", column())]))),
        (
            "matched_values",
            list(object([
                ("text", string()),
                ("table", string()),
                ("column", string()),
                ("value", string()),
                ("score", share()),
            ])),
        ),
    ])
}

/// The mapper's part as the model writes it.
#[derive(Deserialize)]
pub struct WireMapping {
    entities: Vec<WireEntity>,
    filters: Vec<WireFilter>,
    aggregations: Vec<WireAggregation>,
    group_by: Vec<WireColumn>,
    order_by: Vec<WireOrder>,
    join_path: Vec<WireJoin>,
    matched_values: Vec<WireMatch>,
}

#[derive(Deserialize)]
struct WireEntity {
    name: String,
    table: String,
    column: Option<String>,
    score: f64,
}

#[derive(Deserialize)]
struct WireFilter {
    table: String,
    column: String,
    operator: Operator,
    values: Vec<Json>,
    score: f64,
}

#[derive(Deserialize)]
struct WireAggregation {
    function: AggregateFunction,
    table: Option<String>,
    column: Option<String>,
    score: f64,
}

#[derive(Deserialize)]
struct WireColumn {
    table: String,
    column: String,
}

#[derive(Deserialize)]
struct WireOrder {
    expression: String,
    descending: bool,
}

#[derive(Deserialize)]
struct WireJoin {
    left: WireColumn,
    right: WireColumn,
}

#[derive(Deserialize)]
struct WireMatch {
    text: String,
    table: String,
    column: String,
    value: String,
    score: f64,
}

impl WireMapping {
    /// Every name looked up; the first that does not exist is the error.
    fn into_output(self, names: Names<'_>) -> Result<MapperOutput, String> {
        let Self { entities, filters, aggregations, group_by, order_by, join_path, matched_values } = self;
        let path = |WireColumn { table, column }: WireColumn| names.column(&table, &column);
        Ok(MapperOutput {
            entities: each("entities", entities, |entity| entity.into_output(names))?,
            filters: each("filters", filters, |WireFilter { table, column, operator, values, score }| {
                let values = each("values", values, value)?;
                Ok(MappedFilter { column: names.column(&table, &column)?, operator, values, score: unit(score) })
            })?,
            aggregations: each("aggregations", aggregations, |WireAggregation { function, table, column, score }| {
                let column = match (table, column) {
                    (Some(table), Some(column)) if column != "*" => Some(names.column(&table, &column)?),
                    (None, Some(column)) if column != "*" => {
                        return Err(format!("the table of column {column} is missing"));
                    }
                    _ => None,
                };
                Ok(MappedAggregation { function, column, score: unit(score) })
            })?,
            group_by: each("group_by", group_by, path)?,
            order_by: each("order_by", order_by, |WireOrder { expression, descending }| {
                Ok(MappedOrder { expression: text(&expression), descending })
            })?,
            join_path: each("join_path", join_path, |WireJoin { left, right }| {
                Ok(Join { left: path(left)?, right: path(right)? })
            })?,
            matched_values: each("matched_values", matched_values, |found| {
                let column = names.column(&found.table, &found.column)?;
                let (words, value) = (text(&found.text), text(&found.value));
                Ok(MatchedValue { text: words, column, value, score: unit(found.score) })
            })?,
            definitions: Vec::new(),
        })
    }
}

impl WireEntity {
    fn into_output(self, names: Names<'_>) -> Result<MappedEntity, String> {
        let Self { name, table, column, score } = self;
        let found = names.table(&table)?;
        let column = column.map(|column| names.column(&table, &column)).transpose()?.map(|path| path.column);
        Ok(MappedEntity {
            name: text(&name),
            schema: found.schema.clone(),
            table: found.name.clone(),
            column,
            score: unit(score),
        })
    }
}
