//! A reading as the typed outputs of planner, mapper and composer.

use super::defined;
use super::draft::{Condition, Draft, Key, Kind, SlotId, in_column};
use super::explain;
use super::names::{Col, Names, Target};
use super::reading::{Lexicon, Reading};
use super::tree::{Expr, Literal};
use crate::domain::outputs::{
    AggregateFunction, ComposerOutput, Entity, Join, MappedAggregation, MappedEntity, MappedFilter, MappedOrder,
    MapperOutput, MatchedValue, Operator, PlannedAggregation, PlannedFilter, PlannedOrder, PlannerOutput,
};
use crate::domain::{ColumnPath, Value};

/// How sure it is that a question means what an example means from which it differs in values at most.
const SURE_BY_EXAMPLE: f64 = 0.95;

/// What a question asks for that is an example's, up to values.
pub(crate) fn planner_by_example(question: &str) -> PlannerOutput {
    PlannerOutput { intent: by_example(question), confidence: SURE_BY_EXAMPLE, ..PlannerOutput::default() }
}

/// Where its words live: the example knows.
pub(crate) fn mapper_by_example(question: &str) -> MapperOutput {
    MapperOutput { definitions: vec![by_example(question)], ..MapperOutput::default() }
}

/// The example's statement, for this question.
pub(crate) fn composer_by_example(question: &str, sql: &str, lexicon: &Lexicon) -> ComposerOutput {
    ComposerOutput {
        sql: sql.to_owned(),
        dialect: lexicon.names.schema().dialect,
        parameters: Vec::new(),
        explanation: by_example(question),
        assumptions: vec![by_example(question)],
        confidence: SURE_BY_EXAMPLE,
    }
}

fn by_example(question: &str) -> String {
    let shown: String = question.chars().take(200).filter(|letter| !letter.is_control()).collect();
    format!("As in your verified example “{shown}”")
}

/// What the question asks for, in its own words.
pub(crate) fn planner(reading: &Reading, lexicon: &Lexicon) -> PlannerOutput {
    let draft = &reading.draft;
    let word = |slot: SlotId| draft.slots[slot].text.clone();
    let named = draft.slots.iter().zip(&reading.targets).filter(|(slot, _)| !slot.text.is_empty());
    PlannerOutput {
        intent: explain::sentence(&reading.query, &lexicon.names),
        entities: named
            .map(|(slot, target)| {
                let kind = match target {
                    Target::Table(_) => "table",
                    Target::Column(_) if draft.conditions.iter().any(|c| is_value(c, draft, &slot.text)) => "value",
                    Target::Column(_) => "column",
                };
                Entity { name: slot.text.clone(), kind: kind.to_owned() }
            })
            .collect(),
        filters: draft
            .conditions
            .iter()
            .filter_map(|condition| {
                let (slot, operator, values) = parts(condition, &reading.targets)?;
                Some(PlannedFilter { column: word(slot), operator, values })
            })
            .collect(),
        aggregations: draft
            .items
            .iter()
            .filter_map(|item| {
                let function = match item.aggregate? {
                    AggregateFunction::Count if item.distinct => AggregateFunction::CountDistinct,
                    function => function,
                };
                Some(PlannedAggregation { function, column: item.slot.map(word).unwrap_or_default() })
            })
            .collect(),
        group_by: draft.groups.iter().map(|(slot, _)| word(*slot)).collect(),
        order_by: draft
            .order
            .iter()
            .map(|(key, descending)| {
                let column = match key {
                    Key::Column(slot) | Key::Aggregate(_, slot) => word(*slot),
                    Key::Count(slot) => format!("number of {}", slot.map_or_else(|| "rows".to_owned(), word)),
                    Key::First => draft.items.first().and_then(|item| item.slot).map(word).unwrap_or_default(),
                };
                PlannedOrder { column, descending: *descending }
            })
            .collect(),
        limit: draft.limit,
        confidence: reading.confidence,
        clarification: None,
        restatement: String::new(),
        difficulty: None,
    }
}

/// Where the words live in the schema.
pub(crate) fn mapper(reading: &Reading, lexicon: &Lexicon) -> MapperOutput {
    let (draft, names) = (&reading.draft, &lexicon.names);
    let score = |slot: SlotId| {
        let target = reading.targets[slot];
        draft.slots[slot].candidates.iter().find(|link| link.target == target).map_or(0.0, |link| link.score)
    };
    let measures = reading.query.select.iter().filter_map(|expr| match expr {
        // It is told among the definitions.
        Expr::Aggregate(_, col) if names.measure(*col).is_some() => None,
        Expr::CountAll => Some((AggregateFunction::Count, None)),
        Expr::Aggregate(function, col) => Some((*function, Some(path(names, *col)))),
        _ => None,
    });
    let columns = |exprs: &[Expr]| -> Vec<ColumnPath> {
        exprs
            .iter()
            .filter_map(|expr| match expr {
                Expr::Column(col) | Expr::Year(col) | Expr::Month(col) => Some(path(names, *col)),
                _ => None,
            })
            .collect()
    };
    MapperOutput {
        entities: (0..draft.slots.len())
            .filter(|slot| !draft.slots[*slot].text.is_empty())
            .map(|slot| {
                let target = reading.targets[slot];
                let table = names.table(target.table());
                let column = match target {
                    Target::Column(col) if names.measure(col).is_some() => None,
                    Target::Column(col) => Some(names.column(col).name.clone()),
                    Target::Table(_) => None,
                };
                let name = draft.slots[slot].text.clone();
                MappedEntity {
                    name,
                    schema: table.schema.clone(),
                    table: table.name.clone(),
                    column,
                    score: score(slot),
                }
            })
            .collect(),
        filters: draft
            .conditions
            .iter()
            .filter_map(|condition| {
                let (slot, operator, values) = parts(condition, &reading.targets)?;
                let Target::Column(col) = reading.targets[slot] else { return None };
                Some(MappedFilter { column: path(names, col), operator, values, score: score(slot) })
            })
            .collect(),
        aggregations: measures
            .map(|(function, column)| MappedAggregation { function, column, score: reading.confidence })
            .collect(),
        group_by: columns(&reading.query.group),
        order_by: reading
            .query
            .order
            .iter()
            .map(|(expr, descending)| MappedOrder { expression: order_text(expr, names), descending: *descending })
            .collect(),
        join_path: reading
            .query
            .edges
            .iter()
            .flat_map(|edge| edge.child.iter().zip(&edge.parent))
            .map(|(left, right)| Join { left: path(names, *left), right: path(names, *right) })
            .collect(),
        matched_values: matched(draft, &reading.targets, names, &score),
        definitions: defined::told(reading, lexicon),
    }
}

/// The statement with its explanation.
pub(crate) fn composer(reading: &Reading, lexicon: &Lexicon) -> ComposerOutput {
    ComposerOutput {
        sql: reading.sql.clone(),
        dialect: lexicon.names.schema().dialect,
        parameters: Vec::new(),
        explanation: explain::sentence(&reading.query, &lexicon.names),
        assumptions: reading.assumptions.clone(),
        confidence: reading.confidence,
    }
}

fn order_text(expr: &Expr, names: &Names) -> String {
    match expr {
        Expr::Aggregate(_, col) if names.measure(*col).is_some() => names.column(*col).name.clone(),
        Expr::Column(col) | Expr::Aggregate(_, col) => path(names, *col).to_string(),
        _ => "count(*)".to_owned(),
    }
}

fn matched(draft: &Draft, targets: &[Target], names: &Names, score: &dyn Fn(SlotId) -> f64) -> Vec<MatchedValue> {
    let mut found = Vec::new();
    for condition in &draft.conditions {
        if let (Kind::Values(slot, alternatives), true) = (&condition.kind, true)
            && let Target::Column(col) = targets[*slot]
        {
            for value in in_column(alternatives, col).unwrap_or_default() {
                let text = draft.slots[*slot].text.clone();
                found.push(MatchedValue { text, column: path(names, col), value, score: score(*slot) });
            }
        }
    }
    found
}

fn is_value(condition: &Condition, draft: &Draft, text: &str) -> bool {
    matches!(&condition.kind, Kind::Values(slot, _) if draft.slots[*slot].text == text)
}

/// A condition on a column as slot, operator and values; conditions on counts and existence have none.
fn parts(condition: &Condition, targets: &[Target]) -> Option<(SlotId, Operator, Vec<Value>)> {
    let text = |text: &String| Value::String(text.clone());
    let (slot, operator, values) = match &condition.kind {
        Kind::Compare(slot, operator, literals) => {
            let values = literals.iter().map(|literal| match literal {
                Literal::Number(number) => number.parse().map_or_else(|_| Value::Decimal(number.clone()), Value::Int64),
                Literal::Text(value) => text(value),
            });
            (*slot, *operator, values.collect())
        }
        Kind::Period(slot, _, period) => {
            let ends = vec![Value::Date(period.from.to_string()), Value::Date(period.to.to_string())];
            (*slot, Operator::Between, ends)
        }
        Kind::Values(slot, alternatives) => {
            let Target::Column(col) = targets[*slot] else { return None };
            let values: Vec<Value> = in_column(alternatives, col)?.iter().map(text).collect();
            (*slot, if values.len() > 1 { Operator::In } else { Operator::Equal }, values)
        }
        Kind::Like(slot, _, _, pattern) => (*slot, Operator::Like, vec![text(pattern)]),
        Kind::Count(..) | Kind::Relative(..) | Kind::Exists(_) => return None,
    };
    let operator = match operator {
        Operator::Equal if condition.negated => Operator::NotEqual,
        Operator::In if condition.negated => Operator::NotIn,
        Operator::Like if condition.negated => Operator::NotLike,
        other => other,
    };
    Some((slot, operator, values))
}

fn path(names: &Names, col: Col) -> ColumnPath {
    let table = names.table(col.table);
    ColumnPath { schema: table.schema.clone(), table: table.name.clone(), column: names.column(col).name.clone() }
}
