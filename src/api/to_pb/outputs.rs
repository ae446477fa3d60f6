//! What the agents produced.

use std::time::Duration;

use crate::domain::outputs::{
    AggregateFunction, Agreement, Approval, Check, CheckKind, Clarification, ComposerOutput, Delivery, Difficulty,
    Entity, Estimate, ExecutionOutput, Join, MappedAggregation, MappedEntity, MappedFilter, MappedOrder, MapperOutput,
    MatchedValue, ModelCall, Operator, PlannedAggregation, PlannedFilter, PlannedOrder, PlannerOutput, SchemaOutput,
    StepOutput, Usage, ValidatorOutput, Verdict, WorkflowResult,
};
use crate::domain::{ColumnPath, TablePath, Value};
use crate::pb::v1 as pb;
use crate::pb::v1::step::Output;

use super::connection::database_kind;
use super::failure::{failure, sql_error};
use super::value::{columns, count, duration, long_count, rows, value, values};

pub(super) fn output(given: StepOutput) -> Output {
    match given {
        StepOutput::Schema(output) => Output::Schema(schema(output)),
        StepOutput::Planner(output) => Output::Planner(planner(output)),
        StepOutput::Mapper(output) => Output::Mapper(mapper(output)),
        StepOutput::Composer(output) => Output::Composer(composer(output)),
        StepOutput::Validator(output) => Output::Validator(validator(output)),
        StepOutput::Execution(output) => Output::Execution(execution(&output)),
        StepOutput::Other(map) => Output::Custom(object(map)),
    }
}

fn schema(given: SchemaOutput) -> pb::SchemaOutput {
    let SchemaOutput { table_count, column_count, foreign_key_count, indexed_column_count: _, fingerprint, dialect } =
        given;
    pb::SchemaOutput {
        table_count: count(table_count),
        column_count: count(column_count),
        foreign_key_count: count(foreign_key_count),
        fingerprint,
        dialect: database_kind(dialect).into(),
    }
}

fn planner(given: PlannerOutput) -> pb::PlannerOutput {
    let PlannerOutput {
        intent,
        entities,
        filters,
        aggregations,
        group_by,
        order_by,
        limit,
        confidence,
        clarification: asked,
        restatement,
        difficulty,
    } = given;
    pb::PlannerOutput {
        intent,
        entities: entities.into_iter().map(entity).collect(),
        filters: filters.into_iter().map(planned_filter).collect(),
        aggregations: aggregations.into_iter().map(planned_aggregation).collect(),
        group_by,
        order_by: order_by.into_iter().map(planned_order).collect(),
        limit: limit.map(long_count),
        confidence,
        clarification: asked.map(clarification),
        restatement,
        unknown_words: Vec::new(),
        distinct: false,
        difficulty: match difficulty {
            None => pb::Difficulty::Unspecified,
            Some(Difficulty::Easy) => pb::Difficulty::Easy,
            Some(Difficulty::Hard) => pb::Difficulty::Hard,
        }
        .into(),
    }
}

fn entity(given: Entity) -> pb::Entity {
    let Entity { name, kind } = given;
    let kind = match kind.as_str() {
        "table" => pb::EntityType::Table,
        "column" => pb::EntityType::Column,
        "value" => pb::EntityType::Value,
        "measure" => pb::EntityType::Measure,
        _ => pb::EntityType::Unspecified,
    };
    pb::Entity { name, r#type: kind.into() }
}

fn planned_filter(given: PlannedFilter) -> pb::Filter {
    let PlannedFilter { column, operator, values } = given;
    let (operator, values) = comparison(operator, values);
    pb::Filter { column, operator: operator.into(), values }
}

/// A comparison in the contract's words, which name what a LIKE pattern means instead of spelling it.
fn comparison(operator: Operator, with: Vec<Value>) -> (pb::FilterOperator, Vec<pb::Value>) {
    use pb::FilterOperator as P;
    let operator = match operator {
        Operator::Equal => P::Equal,
        // There is no word for "does not match": it differs from the pattern.
        Operator::NotEqual | Operator::NotLike => P::NotEqual,
        Operator::Less => P::Less,
        Operator::LessOrEqual => P::LessOrEqual,
        Operator::Greater => P::Greater,
        Operator::GreaterOrEqual => P::GreaterOrEqual,
        Operator::Between => P::Between,
        Operator::In => P::In,
        Operator::NotIn => P::NotIn,
        Operator::IsNull => P::IsNull,
        Operator::IsNotNull => P::IsNotNull,
        Operator::Like => {
            let [Value::String(pattern)] = with.as_slice() else { return (P::Contains, values(with)) };
            let (operator, text) = match (pattern.strip_prefix('%'), pattern.strip_suffix('%')) {
                (Some(rest), Some(_)) => (P::Contains, rest.trim_end_matches('%')),
                (None, Some(start)) => (P::StartsWith, start),
                (Some(end), None) => (P::EndsWith, end),
                (None, None) => (P::Equal, pattern.as_str()),
            };
            return (operator, vec![value(Value::String(text.to_owned()))]);
        }
    };
    (operator, values(with))
}

fn planned_aggregation(given: PlannedAggregation) -> pb::Aggregation {
    let PlannedAggregation { function, column } = given;
    let (function, distinct) = aggregate(function);
    pb::Aggregation { function: function.into(), column, distinct }
}

fn aggregate(given: AggregateFunction) -> (pb::AggregateFunction, bool) {
    match given {
        AggregateFunction::Count => (pb::AggregateFunction::Count, false),
        AggregateFunction::CountDistinct => (pb::AggregateFunction::Count, true),
        AggregateFunction::Sum => (pb::AggregateFunction::Sum, false),
        AggregateFunction::Average => (pb::AggregateFunction::Avg, false),
        AggregateFunction::Minimum => (pb::AggregateFunction::Min, false),
        AggregateFunction::Maximum => (pb::AggregateFunction::Max, false),
    }
}

fn planned_order(given: PlannedOrder) -> pb::Order {
    let PlannedOrder { column, descending } = given;
    pb::Order { column, direction: direction(descending).into(), function: pb::AggregateFunction::Unspecified.into() }
}

fn direction(descending: bool) -> pb::OrderDirection {
    if descending { pb::OrderDirection::Descending } else { pb::OrderDirection::Ascending }
}

pub(super) fn clarification(given: Clarification) -> pb::Clarification {
    let Clarification { question, options } = given;
    let option = |answer| pb::ClarificationOption { answer, description: String::new() };
    pb::Clarification { question, options: options.into_iter().map(option).collect() }
}

fn mapper(given: MapperOutput) -> pb::MapperOutput {
    let MapperOutput { entities, filters, aggregations, group_by, order_by, join_path, matched_values, definitions } =
        given;
    let scores: Vec<f64> = entities.iter().map(|entity| entity.score).collect();
    pb::MapperOutput {
        entities: entities.into_iter().map(mapped_entity).collect(),
        filters: filters.into_iter().map(mapped_filter).collect(),
        aggregations: aggregations.into_iter().map(mapped_aggregation).collect(),
        group_by: group_by.into_iter().map(mapped_group).collect(),
        order_by: order_by.into_iter().map(mapped_order).collect(),
        join_path: join_path.into_iter().map(join).collect(),
        value_matches: matched_values.into_iter().map(matched_value).collect(),
        unmapped: Vec::new(),
        // As sure of the whole as of its weakest part.
        confidence: scores.into_iter().reduce(f64::min).unwrap_or_default(),
        definitions,
    }
}

fn mapped_entity(given: MappedEntity) -> pb::MappedEntity {
    let MappedEntity { name, schema, table, column, score } = given;
    let target = pb::ColumnRef { schema, table, column: column.unwrap_or_default() };
    pb::MappedEntity { name, target: Some(target), score }
}

fn mapped_filter(given: MappedFilter) -> pb::MappedFilter {
    let MappedFilter { column, operator, values, score } = given;
    let (operator, values) = comparison(operator, values);
    let column = Some(column_ref(column));
    pb::MappedFilter { phrase: String::new(), column, operator: operator.into(), values, score }
}

fn mapped_aggregation(given: MappedAggregation) -> pb::MappedAggregation {
    let MappedAggregation { function, column, score } = given;
    let (function, distinct) = aggregate(function);
    pb::MappedAggregation {
        function: function.into(),
        column: column.map(column_ref),
        expression: String::new(),
        distinct,
        score,
    }
}

fn mapped_group(column: ColumnPath) -> pb::MappedGroup {
    pb::MappedGroup { phrase: String::new(), column: Some(column_ref(column)), score: 1.0 }
}

/// The expression is a column path or a measure over one; a path is told as a column.
fn mapped_order(given: MappedOrder) -> pb::MappedOrder {
    let MappedOrder { expression, descending } = given;
    let parts: Vec<&str> = expression.split('.').collect();
    let (column, function) = match parts.as_slice() {
        [schema, table, column] if !expression.contains('(') => {
            let path = [schema, table, column].map(|part| (*part).to_owned());
            let [schema, table, column] = path;
            (pb::ColumnRef { schema, table, column }, pb::AggregateFunction::Unspecified)
        }
        _ => (pb::ColumnRef { column: expression.clone(), ..Default::default() }, pb::AggregateFunction::Other),
    };
    pb::MappedOrder {
        column: Some(column),
        direction: direction(descending).into(),
        function: function.into(),
        score: 1.0,
    }
}

fn join(given: Join) -> pb::Join {
    let Join { left, right } = given;
    let side = |path: ColumnPath| (Some(pb::TableRef { schema: path.schema, table: path.table }), vec![path.column]);
    let ((left, left_columns), (right, right_columns)) = (side(left), side(right));
    pb::Join { left, left_columns, right, right_columns, source: pb::JoinSource::ForeignKey.into(), score: 1.0 }
}

fn matched_value(given: MatchedValue) -> pb::ValueMatch {
    let MatchedValue { text, column, value: found, score } = given;
    let found = value(Value::String(found));
    pb::ValueMatch { phrase: text, column: Some(column_ref(column)), value: Some(found), score }
}

fn column_ref(path: ColumnPath) -> pb::ColumnRef {
    let ColumnPath { schema, table, column } = path;
    pb::ColumnRef { schema, table, column }
}

fn composer(given: ComposerOutput) -> pb::ComposerOutput {
    let ComposerOutput { sql, dialect, parameters, explanation, assumptions, confidence } = given;
    pb::ComposerOutput {
        sql,
        dialect: database_kind(dialect).into(),
        parameters: values(parameters),
        explanation,
        assumptions,
        confidence,
    }
}

fn validator(given: ValidatorOutput) -> pb::ValidatorOutput {
    // Doubts stand in the details of the checks too.
    let ValidatorOutput {
        is_valid,
        checks: made,
        errors,
        feedback,
        refined_sql,
        sql_error: error,
        doubts: _,
        estimate,
    } = given;
    let Estimate { tables, row_count, cost } = estimate;
    pb::ValidatorOutput {
        is_valid,
        checks: checks(made, error.as_ref().map(|error| sql_error(error, "")).as_ref()),
        errors,
        feedback,
        refined_sql: refined_sql.unwrap_or_default(),
        tables: tables.into_iter().map(table_ref).collect(),
        estimated_row_count: row_count.map(long_count),
        estimated_cost: cost,
    }
}

pub(super) fn approval(given: Approval) -> pb::Approval {
    let Approval { sql, parameters, explanation, estimate, refused } = given;
    let Estimate { tables, row_count, cost } = estimate;
    let (refused_sql, refusal) = refused.map(|edit| (edit.sql, failure(edit.failure))).unzip();
    pb::Approval {
        sql,
        parameters: values(parameters),
        explanation,
        tables: tables.into_iter().map(table_ref).collect(),
        estimated_row_count: row_count.map(long_count),
        estimated_cost: cost,
        refused_sql: refused_sql.unwrap_or_default(),
        refusal,
    }
}

fn table_ref(path: TablePath) -> pb::TableRef {
    let TablePath { schema, table } = path;
    pb::TableRef { schema, table }
}

/// The words of the database, or the guard, belong to the first check that failed.
pub(super) fn checks(made: Vec<Check>, error: Option<&pb::SqlErrorDetail>) -> Vec<pb::Check> {
    let mut error = error;
    let check = |check: Check| {
        let Check { kind, verdict, detail } = check;
        let failed = verdict == Verdict::Failed;
        let reason = if failed { why(kind) } else { pb::ErrorReason::Unspecified };
        let error = if failed { error.take() } else { None };
        pb::Check {
            kind: check_kind(kind).into(),
            verdict: check_verdict(verdict).into(),
            detail,
            reason: reason.into(),
            sql_error: error.cloned(),
        }
    };
    made.into_iter().map(check).collect()
}

fn why(kind: CheckKind) -> pb::ErrorReason {
    match kind {
        CheckKind::Parse => pb::ErrorReason::SqlNotUnderstood,
        CheckKind::ReadOnly => pb::ErrorReason::SqlNotAllowed,
        CheckKind::Schema | CheckKind::Planner | CheckKind::Semantics => pb::ErrorReason::SqlFailed,
    }
}

fn check_kind(kind: CheckKind) -> pb::CheckKind {
    match kind {
        CheckKind::Parse => pb::CheckKind::Parse,
        CheckKind::ReadOnly => pb::CheckKind::ReadOnly,
        CheckKind::Schema => pb::CheckKind::Schema,
        CheckKind::Planner => pb::CheckKind::Planner,
        CheckKind::Semantics => pb::CheckKind::Semantics,
    }
}

fn check_verdict(verdict: Verdict) -> pb::CheckVerdict {
    match verdict {
        Verdict::Passed => pb::CheckVerdict::Passed,
        Verdict::Failed => pb::CheckVerdict::Failed,
        Verdict::Warning => pb::CheckVerdict::Warning,
        Verdict::Skipped => pb::CheckVerdict::Skipped,
    }
}

fn execution(given: &ExecutionOutput) -> pb::ExecutionOutput {
    let ExecutionOutput { row_count, truncated, execution_micros, result, agreement: agreed } = given;
    pb::ExecutionOutput {
        row_count: long_count(*row_count),
        truncated: *truncated,
        execution_time: Some(duration(Duration::from_micros(*execution_micros))),
        column_count: count(result.columns.len()),
        agreement: agreed.as_ref().map(agreement),
    }
}

fn agreement(given: &Agreement) -> pb::Agreement {
    let Agreement { candidate, agreeing, composed, builtin } = given;
    pb::Agreement {
        candidate: count(*candidate),
        agreeing_candidates: agreeing.iter().map(|candidate| count(*candidate)).collect(),
        candidate_count: count(*composed),
        builtin_agrees: *builtin,
        confidence: given.confidence(),
    }
}

/// The result kept with a workflow.
pub(super) fn result(given: WorkflowResult, execution_time: Option<Duration>) -> pb::WorkflowResult {
    let WorkflowResult { sql, columns: header, rows: kept, row_count: _, truncated, answer_text } = given;
    let reason = match (truncated, kept.len()) {
        (false, _) => pb::TruncationReason::Unspecified,
        (true, 200..) => pb::TruncationReason::MaxRows,
        (true, _) => pb::TruncationReason::MaxBytes,
    };
    pb::WorkflowResult {
        columns: columns(header),
        row_count: count(kept.len()),
        rows: rows(kept),
        truncated,
        truncation_reason: reason.into(),
        answer_text,
        sql,
        parameters: Vec::new(),
        execution_time: execution_time.map(duration),
    }
}

pub(super) fn usage(given: &Usage) -> pb::TokenUsage {
    let Usage { model: _, calls, prompt_tokens, cached_prompt_tokens, completion_tokens, served_by: _ } = given;
    pb::TokenUsage {
        model_call_count: count(*calls),
        prompt_tokens: long_count(*prompt_tokens),
        cached_prompt_tokens: long_count(*cached_prompt_tokens),
        completion_tokens: long_count(*completion_tokens),
    }
}

pub(super) fn model_call(given: &ModelCall) -> pb::ModelCall {
    let ModelCall { id, model, prompt_version, prompt_tokens, cached_prompt_tokens, completion_tokens, delivery } =
        given;
    let usage = pb::TokenUsage {
        model_call_count: 1,
        prompt_tokens: long_count(*prompt_tokens),
        cached_prompt_tokens: long_count(*cached_prompt_tokens),
        completion_tokens: long_count(*completion_tokens),
    };
    let told = pb::ModelCall {
        id: id.clone(),
        model: model.clone(),
        prompt_version: prompt_version.clone(),
        usage: Some(usage),
        ..pb::ModelCall::default()
    };
    let Some(Delivery { structure, attempts, latency, time_to_first_token }) = delivery else { return told };
    pb::ModelCall {
        latency: Some(duration(*latency)),
        time_to_first_token: time_to_first_token.map(duration),
        attempt_count: count(*attempts),
        structure: structure.clone(),
        ..told
    }
}

fn object(map: serde_json::Map<String, serde_json::Value>) -> prost_types::Struct {
    prost_types::Struct { fields: map.into_iter().map(|(key, value)| (key, json(value))).collect() }
}

fn json(value: serde_json::Value) -> prost_types::Value {
    use prost_types::value::Kind;
    use serde_json::Value as Json;
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => Kind::ListValue(prost_types::ListValue { values: items.into_iter().map(json).collect() }),
        Json::Object(map) => Kind::StructValue(object(map)),
    };
    prost_types::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pb::FilterOperator as P;

    #[test]
    fn a_pattern_is_told_by_its_meaning() {
        for (pattern, operator, text) in
            [("%a%", P::Contains, "a"), ("a%", P::StartsWith, "a"), ("%a", P::EndsWith, "a"), ("a", P::Equal, "a")]
        {
            let told = comparison(Operator::Like, vec![Value::String(pattern.into())]);
            assert_eq!(told, (operator, vec![value(Value::String(text.into()))]), "{pattern}");
        }
    }

    #[test]
    fn the_databases_words_stand_at_the_check_that_failed() {
        let check = |kind, verdict| Check { kind, verdict, detail: String::new() };
        let made = vec![check(CheckKind::Parse, Verdict::Passed), check(CheckKind::Planner, Verdict::Failed)];
        let error = pb::SqlErrorDetail { message: "no such column".into(), ..Default::default() };
        let told = checks(made, Some(&error));
        assert!(told[0].sql_error.is_none());
        assert_eq!(told[1].sql_error.as_ref().unwrap().message, "no such column");
        assert_eq!(told[1].reason(), pb::ErrorReason::SqlFailed);
    }
}
