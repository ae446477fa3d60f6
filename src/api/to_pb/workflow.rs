//! Workflows and their steps.

use std::time::Duration;

use crate::domain::outputs::{Agreement, ComposerOutput, StepOutput};
use crate::domain::{
    DatabaseKind, EngineName, Need, Question, Rating, RunOptions, Source, Step, StepStatus, Verdict, Workflow,
    WorkflowStarted, WorkflowStatus,
};
use crate::pb::v1 as pb;

use super::connection::database_kind;
use super::event::cursor;
use super::failure::failure;
use super::outputs;
use super::value::{count, duration, long_count, timestamp, values};

/// The steps of a workflow in an order in which they can run.
const STEPS: [&str; 6] = ["load_schema", "planner", "mapper", COMPOSER, "validator", EXECUTION];
pub(super) const COMPOSER: &str = "composer";
const EXECUTION: &str = "execution";

/// A workflow that was only checked has no id.
pub(in crate::api) fn workflow(given: &Workflow, saved: bool) -> pb::Workflow {
    let Question { text, source, options } = &given.started.question;
    let explained = explained(given);
    let status = given.status;
    pb::Workflow {
        id: if saved { given.id.to_string() } else { String::new() },
        question: text.clone(),
        status: workflow_status(status).into(),
        current_steps: given.current_steps().into_iter().map(str::to_owned).collect(),
        connection_id: connection_id(source),
        user_id: options.user_id.clone(),
        options: Some(run_options(options, given.started.engine)),
        previous_workflow_id: options.previous_workflow_id.map(|id| id.to_string()).unwrap_or_default(),
        sql: given.sql().unwrap_or_default().to_owned(),
        parameters: values(given.checked_parameters().to_vec()),
        dialect: dialect(given).map_or(pb::DatabaseKind::Unspecified, database_kind).into(),
        explanation: explained.map(|output| output.explanation.clone()).unwrap_or_default(),
        assumptions: explained.map(|output| output.assumptions.clone()).unwrap_or_default(),
        confidence: confidence(given),
        result: given.result.clone().map(|result| outputs::result(result, execution_time(given))),
        awaiting: given.awaiting.as_ref().map(|waits| awaiting(&waits.need, waits.expire_time)),
        failure: given.failure.clone().filter(|_| status == WorkflowStatus::Failed).map(failure),
        retry_count: count(given.retries),
        usage: Some(total_usage(given)),
        model: given.started.model.clone(),
        last_sequence: long_count(given.last_sequence),
        cursor: cursor(given.last_sequence, given.last_epoch),
        create_time: Some(timestamp(given.create_time)),
        update_time: Some(timestamp(given.update_time)),
        finish_time: status.is_terminal().then(|| timestamp(given.update_time)),
        expire_time: None,
        rating: given.rating.clone().map(rating),
    }
}

/// The workflow as a list tells it.
pub(in crate::api) fn workflow_without_rows(given: &Workflow) -> pb::Workflow {
    let mut listed = workflow(given, true);
    if let Some(result) = &mut listed.result {
        result.rows.clear();
    }
    listed
}

/// Every attempt in the order they began, then the steps to come, or those that will not run. A step that the end of
/// its workflow cut off does not run any more either.
pub(in crate::api) fn steps(given: &Workflow) -> Vec<pb::Step> {
    let mut steps: Vec<_> = given.steps.iter().map(step).collect();
    for cut_off in steps.iter_mut().filter(|step| step.finish_time.is_none() && given.status.is_terminal()) {
        cut_off.status = pb::StepStatus::Skipped.into();
        cut_off.finish_time = Some(timestamp(given.update_time));
    }
    let executes = given.started.question.options.execute;
    for name in STEPS.into_iter().filter(|name| given.latest(name).is_none()) {
        let skipped = given.status.is_terminal() || (name == EXECUTION && !executes);
        steps.push(waiting_step(name, skipped));
    }
    steps
}

pub(super) fn started(given: &WorkflowStarted) -> pb::WorkflowStarted {
    let WorkflowStarted { question, principal: _, engine, model, prompt_version, connection, previous: _ } = given;
    let Question { text, source, options } = question;
    let executes = options.execute;
    let (connection_name, connection_etag) = connection.clone().map(|pinned| (pinned.name, pinned.etag)).unzip();
    pb::WorkflowStarted {
        question: text.clone(),
        connection_id: connection_id(source),
        connection_name: connection_name.unwrap_or_default(),
        connection_etag: connection_etag.unwrap_or_default(),
        options: Some(run_options(options, *engine)),
        model: model.clone(),
        prompt_version: prompt_version.clone(),
        schema_fingerprint: match source {
            Source::InlineSchema(schema) => schema.fingerprint.clone(),
            Source::Connection(_) => String::new(),
        },
        steps: STEPS.into_iter().map(|name| waiting_step(name, name == EXECUTION && !executes)).collect(),
        user_id: options.user_id.clone(),
        previous_workflow_id: options.previous_workflow_id.map(|id| id.to_string()).unwrap_or_default(),
    }
}

pub(super) fn step(given: &Step) -> pb::Step {
    let Step { name, attempt, candidate, status, start_time, finish_time, output, summary, failure: why, usage } =
        given;
    let status = match status {
        StepStatus::Running => pb::StepStatus::Running,
        StepStatus::Done => pb::StepStatus::Done,
        StepStatus::Failed => pb::StepStatus::Failed,
    };
    pb::Step {
        name: name.clone(),
        attempt: count(*attempt),
        candidate: count(*candidate),
        status: status.into(),
        start_time: Some(timestamp(*start_time)),
        finish_time: finish_time.map(timestamp),
        summary: summary.clone(),
        failure: why.clone().map(failure),
        usage: usage.as_ref().map(outputs::usage),
        model_calls: usage.iter().flat_map(|usage| &usage.served_by).map(outputs::model_call).collect(),
        requires: Vec::new(),
        output: output.clone().map(outputs::output),
    }
}

fn waiting_step(name: &str, skipped: bool) -> pb::Step {
    let status = if skipped { pb::StepStatus::Skipped } else { pb::StepStatus::Pending };
    pb::Step { name: name.to_owned(), attempt: 1, status: status.into(), ..Default::default() }
}

fn run_options(given: &RunOptions, engine: EngineName) -> pb::WorkflowOptions {
    let limits = given.limits;
    let engine = match engine {
        EngineName::Openai => pb::Engine::Openai,
        EngineName::Builtin => pb::Engine::Builtin,
    };
    pb::WorkflowOptions {
        engine: engine.into(),
        max_retries: count(given.max_retries),
        execute: given.execute,
        require_approval: given.require_approval,
        allow_clarification: given.allow_clarification,
        candidates: count(given.candidates),
        workflow_timeout: Some(duration(given.workflow_timeout)),
        step_timeout: limits.step_timeout.map(duration),
        statement_timeout: limits.statement_timeout.map(duration),
        max_rows: count(limits.max_rows.unwrap_or_default()),
        max_bytes: count(limits.max_bytes.unwrap_or_default()),
        cancel_on_disconnect: given.cancel_on_disconnect,
    }
}

fn rating(given: Rating) -> pb::Rating {
    let Rating { verdict, comment, update_time } = given;
    let verdict = match verdict {
        Verdict::Up => pb::RatingVerdict::Up,
        Verdict::Down => pb::RatingVerdict::Down,
    };
    pb::Rating { verdict: verdict.into(), comment, update_time: Some(timestamp(update_time)) }
}

fn connection_id(source: &Source) -> String {
    match source {
        Source::Connection(id) => id.to_string(),
        Source::InlineSchema(_) => String::new(),
    }
}

/// What the composer proposed: the statement that counts, or else the last.
pub(super) fn composed(given: &Workflow) -> Option<&ComposerOutput> {
    let mut proposed = given.steps.iter().rev().filter_map(|step| match &step.output {
        Some(StepOutput::Composer(output)) => Some(output),
        _ => None,
    });
    let last = proposed.clone().next();
    proposed.find(|output| given.sql() == Some(&output.sql)).or(last)
}

/// The same, where it is what counts: of a statement that a person wrote, the engine can say nothing.
pub(super) fn explained(given: &Workflow) -> Option<&ComposerOutput> {
    composed(given).filter(|_| given.choice.as_ref().is_none_or(|choice| !choice.edited))
}

/// How sure it is: as its candidates agree, or else as the composer says.
pub(super) fn confidence(given: &Workflow) -> f64 {
    let Some(output) = explained(given) else { return 0.0 };
    given.agreement().map_or(output.confidence, Agreement::confidence)
}

/// The dialect, once it is known.
fn dialect(given: &Workflow) -> Option<DatabaseKind> {
    match &given.started.question.source {
        Source::InlineSchema(schema) => Some(schema.dialect),
        Source::Connection(_) => composed(given).map(|output| output.dialect),
    }
}

pub(super) fn execution_time(given: &Workflow) -> Option<Duration> {
    match given.output(EXECUTION) {
        Some(StepOutput::Execution(output)) => Some(Duration::from_micros(output.execution_micros)),
        _ => None,
    }
}

pub(super) fn total_usage(given: &Workflow) -> pb::TokenUsage {
    outputs::usage(&given.model_cost().0)
}

pub(super) fn awaiting(need: &Need, expire_time: jiff::Timestamp) -> pb::Awaiting {
    use pb::awaiting::Need as Told;
    let need = match need {
        Need::Clarification(asked) => Told::Clarification(outputs::clarification(asked.clone())),
        Need::Approval(asked) => Told::Approval(outputs::approval((**asked).clone())),
    };
    pb::Awaiting { expire_time: Some(timestamp(expire_time)), need: Some(need) }
}

fn workflow_status(status: WorkflowStatus) -> pb::WorkflowStatus {
    match status {
        WorkflowStatus::Pending => pb::WorkflowStatus::Pending,
        WorkflowStatus::Running => pb::WorkflowStatus::Running,
        WorkflowStatus::Retrying => pb::WorkflowStatus::Retrying,
        WorkflowStatus::AwaitingInput => pb::WorkflowStatus::AwaitingInput,
        WorkflowStatus::AwaitingApproval => pb::WorkflowStatus::AwaitingApproval,
        WorkflowStatus::Completed => pb::WorkflowStatus::Completed,
        WorkflowStatus::Failed => pb::WorkflowStatus::Failed,
        WorkflowStatus::Cancelled => pb::WorkflowStatus::Cancelled,
    }
}
