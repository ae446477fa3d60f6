//! One event of a log, told with what the workflow knows by then.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::event::ResumeInput;
use crate::domain::outputs::{Feedback, StepOutput, Verdict};
use crate::domain::{Event, EventKind, Failure, Reason, Step, StepStatus, Workflow};
use crate::pb::v1 as pb;
use crate::pb::v1::workflow_event::Event as Kind;

use super::failure::{failure, sql_error};
use super::outputs;
use super::value::{count, duration, long_count, timestamp, values};
use super::workflow::{COMPOSER, awaiting, confidence, execution_time, started, step, total_usage};

/// `workflow` is the fold of a log that holds this event, so that every watcher is told the same.
pub(in crate::api) fn event(workflow: &Workflow, given: &Event) -> pb::WorkflowEvent {
    pb::WorkflowEvent {
        sequence: long_count(given.sequence),
        cursor: cursor(given.sequence, given.epoch),
        create_time: Some(timestamp(given.time)),
        workflow_id: workflow.id.to_string(),
        event: Some(kind(workflow, given)),
    }
}

/// Nothing new: not stored, without a sequence.
pub(in crate::api) fn heartbeat(workflow: &Workflow) -> pb::WorkflowEvent {
    let last_sequence = long_count(workflow.last_sequence);
    pb::WorkflowEvent {
        sequence: 0,
        cursor: String::new(),
        create_time: Some(timestamp(jiff::Timestamp::now())),
        workflow_id: workflow.id.to_string(),
        event: Some(Kind::Heartbeat(pb::Heartbeat { last_sequence })),
    }
}

/// An event's place in its log: sequence and writer, opaque to clients.
pub(in crate::api) fn cursor(sequence: u64, epoch: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{sequence}.{epoch}"))
}

/// Sequence and epoch of a cursor; `None` when it is none.
pub(in crate::api) fn parse_cursor(text: &str) -> Option<(u64, u64)> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (sequence, epoch) = std::str::from_utf8(&bytes).ok()?.split_once('.')?;
    Some((sequence.parse().ok()?, epoch.parse().ok()?))
}

fn kind(workflow: &Workflow, given: &Event) -> Kind {
    match &given.kind {
        EventKind::WorkflowStarted(event) => Kind::WorkflowStarted(started(event)),
        EventKind::StepStarted { step: name, attempt, candidate } => {
            let entry = attempt_of(workflow, given, name, *attempt, *candidate);
            Kind::StepStarted(pb::StepStarted { step: Some(step(&Step { start_time: given.time, ..entry })) })
        }
        EventKind::StepCompleted { step: name, attempt, candidate, output, summary, usage } => {
            let entry = Step {
                status: StepStatus::Done,
                finish_time: Some(given.time),
                output: Some((**output).clone()),
                summary: summary.clone(),
                usage: usage.clone(),
                ..attempt_of(workflow, given, name, *attempt, *candidate)
            };
            Kind::StepCompleted(pb::StepCompleted { step: Some(step(&entry)) })
        }
        EventKind::StepFailed { step: name, attempt, candidate, failure, output, usage } => {
            let entry = Step {
                status: StepStatus::Failed,
                finish_time: Some(given.time),
                output: output.as_deref().cloned(),
                summary: failure.message.clone(),
                failure: Some(failure.clone()),
                usage: usage.clone(),
                ..attempt_of(workflow, given, name, *attempt, *candidate)
            };
            Kind::StepFailed(pb::StepFailed { step: Some(step(&entry)) })
        }
        EventKind::Retrying { retry, feedback } => Kind::Retrying(retrying(workflow, *retry, feedback)),
        EventKind::Awaiting { need, patience } => {
            Kind::Awaiting(awaiting(need, given.time.checked_add(*patience).unwrap_or(jiff::Timestamp::MAX)))
        }
        EventKind::CancelRequested { by, reason } => {
            Kind::CancelRequested(pb::CancelRequested { reason: reason.clone(), principal: by.name.clone() })
        }
        EventKind::Resumed { by, input, call: _ } => {
            Kind::Resumed(pb::Resumed { principal: by.name.clone(), action: Some(action(input)) })
        }
        EventKind::Result(result) => Kind::Result(outputs::result((**result).clone(), execution_time(workflow))),
        EventKind::Completed => Kind::Completed(completed(workflow, given)),
        EventKind::Failed(why) => Kind::Failed(failed(workflow, given, why)),
        EventKind::Cancelled(why) => Kind::Cancelled(pb::WorkflowCancelled {
            reason: cancel_reason(workflow, why),
            usage: Some(total_usage(workflow)),
            elapsed_time: elapsed(workflow, given),
        }),
    }
}

/// One attempt as it began.
fn attempt_of(workflow: &Workflow, given: &Event, name: &str, attempt: u32, candidate: u32) -> Step {
    let is_it = |step: &&Step| (step.attempt, step.candidate) == (attempt, candidate) && step.name == name;
    let known = workflow.steps.iter().find(is_it);
    Step {
        name: name.to_owned(),
        attempt,
        candidate,
        status: StepStatus::Running,
        start_time: known.map_or(given.time, |step| step.start_time),
        finish_time: None,
        output: None,
        summary: String::new(),
        failure: None,
        usage: None,
    }
}

fn retrying(workflow: &Workflow, retry: u32, feedback: &Feedback) -> pb::Retrying {
    let Feedback { sql, message, sql_error: error } = feedback;
    let remaining = workflow.started.question.options.max_retries.saturating_sub(retry);
    // What ended last before the composer's next attempt led to it; of candidates, the one that came furthest.
    let is_next = |step: &Step| step.name == COMPOSER && step.attempt == retry.saturating_add(1);
    let next = workflow.steps.iter().position(is_next).unwrap_or(workflow.steps.len());
    let last = workflow.steps[..next].last();
    let beside = |step: &&Step| last.is_some_and(|last| (&last.name, last.attempt) == (&step.name, step.attempt));
    let furthest = |step: &&Step| (step.passed_checks(), std::cmp::Reverse(step.candidate));
    let found = workflow.steps[..next].iter().filter(beside).max_by_key(furthest);
    let checks = match found.and_then(|step| step.output.clone()) {
        Some(StepOutput::Validator(verdict)) => verdict.checks,
        _ => Vec::new(),
    };
    let fell_short = checks.into_iter().filter(|check| check.verdict != Verdict::Passed).collect();
    pb::Retrying {
        attempt: count(retry.saturating_add(1)),
        remaining_retries: count(remaining),
        feedback: message.clone(),
        sql: sql.clone(),
        failure: found.and_then(|step| step.failure.clone()).map(failure),
        checks: outputs::checks(fell_short, error.as_ref().map(|error| sql_error(error, "")).as_ref()),
        step_name: found.map(|step| step.name.clone()).unwrap_or_default(),
    }
}

fn action(input: &ResumeInput) -> pb::resumed::Action {
    use pb::resumed::Action;
    match input {
        ResumeInput::Answer(text) => Action::Answer(text.clone()),
        ResumeInput::Approve => Action::Approve(pb::Approve {}),
        ResumeInput::Reject(reason) => Action::Reject(pb::Reject { reason: reason.clone() }),
        ResumeInput::EditedSql(sql) => Action::EditedSql(sql.clone()),
    }
}

fn completed(workflow: &Workflow, given: &Event) -> pb::WorkflowCompleted {
    pb::WorkflowCompleted {
        sql: workflow.sql().unwrap_or_default().to_owned(),
        parameters: values(workflow.checked_parameters().to_vec()),
        executed: workflow.result.is_some(),
        confidence: confidence(workflow),
        retry_count: count(workflow.retries),
        usage: Some(total_usage(workflow)),
        elapsed_time: elapsed(workflow, given),
    }
}

fn failed(workflow: &Workflow, given: &Event, why: &Failure) -> pb::WorkflowFailed {
    // Who was not answered failed in no step, whatever failed before.
    let of_step = |step: &&Step| step.status == StepStatus::Failed && why.reason != Reason::InputExpired;
    let last = workflow.steps.iter().rev().find(of_step);
    pb::WorkflowFailed {
        failure: Some(failure(why.clone())),
        step_name: last.map(|step| step.name.clone()).unwrap_or_default(),
        usage: Some(total_usage(workflow)),
        elapsed_time: elapsed(workflow, given),
    }
}

fn cancel_reason(workflow: &Workflow, why: &Failure) -> String {
    match (&workflow.cancel_requested, why.reason) {
        (_, Reason::ConnectionDeleted) => "CONNECTION_DELETED".to_owned(),
        (Some(asked), _) => asked.clone(),
        (None, _) => why.metadata.get("reason").unwrap_or(&why.message).clone(),
    }
}

/// From start to end, without the time spent waiting for a person.
fn elapsed(workflow: &Workflow, given: &Event) -> Option<prost_types::Duration> {
    let span = Duration::try_from(given.time.duration_since(workflow.create_time)).ok()?;
    Some(duration(span.saturating_sub(workflow.waited)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::to_pb;
    use crate::domain::outputs::{ComposerOutput, ExecutionOutput, Usage, WorkflowResult};
    use crate::domain::{
        ConnectionId, DatabaseKind, EngineName, Principal, Question, RunOptions, Source, Value, WorkflowId,
        WorkflowStarted,
    };

    const SQL: &str = "SELECT count(*) FROM orders WHERE total > ?";

    /// A log with one event each second.
    fn log(kinds: Vec<EventKind>) -> (Workflow, Vec<Event>) {
        let start: jiff::Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let event = |(index, kind): (u64, EventKind)| Event {
            sequence: index + 1,
            time: start + jiff::SignedDuration::from_secs(index.cast_signed()),
            epoch: 1,
            kind,
        };
        let question = Question {
            text: "how many large orders?".into(),
            source: Source::Connection(ConnectionId::generate()),
            options: RunOptions::default(),
        };
        let started = WorkflowStarted {
            question,
            principal: Principal::local(),
            engine: EngineName::Builtin,
            model: String::new(),
            prompt_version: String::new(),
            connection: None,
            previous: Vec::new(),
        };
        let kinds = std::iter::once(EventKind::WorkflowStarted(Box::new(started))).chain(kinds);
        let events: Vec<_> = (0..).zip(kinds).map(event).collect();
        (Workflow::fold(WorkflowId::generate(), &events).unwrap(), events)
    }

    fn step_kinds(step: &str, output: StepOutput) -> [EventKind; 2] {
        let (step, attempt, candidate) = (step.to_owned(), 1, 0);
        let usage = Some(Usage { calls: 1, prompt_tokens: 10, completion_tokens: 2, ..Usage::default() });
        let (output, summary) = (Box::new(output), "done".to_owned());
        [
            EventKind::StepStarted { step: step.clone(), attempt, candidate },
            EventKind::StepCompleted { step, attempt, candidate, output, summary, usage },
        ]
    }

    fn answered() -> Vec<EventKind> {
        let proposal = ComposerOutput {
            sql: SQL.into(),
            dialect: DatabaseKind::Sqlite,
            parameters: vec![Value::Int64(100)],
            explanation: "Counts orders over 100.".into(),
            assumptions: Vec::new(),
            confidence: 0.9,
        };
        let result = WorkflowResult {
            sql: SQL.into(),
            columns: Vec::new(),
            rows: vec![vec![Value::Int64(7)]],
            row_count: 1,
            truncated: false,
            answer_text: "7".into(),
        };
        let executed = ExecutionOutput {
            row_count: 1,
            truncated: false,
            execution_micros: 1_500,
            result: result.clone(),
            agreement: None,
        };
        let composer = step_kinds("composer", StepOutput::Composer(proposal));
        let execution = step_kinds("execution", StepOutput::Execution(executed));
        let end = [EventKind::Result(Box::new(result)), EventKind::Completed];
        composer.into_iter().chain(execution).chain(end).collect()
    }

    #[test]
    fn the_last_event_sums_up() {
        let (workflow, events) = log(answered());
        let told: Vec<_> = events.iter().map(|given| event(&workflow, given)).collect();
        let sequences: Vec<_> = told.iter().map(|event| event.sequence).collect();
        assert_eq!(sequences, [1, 2, 3, 4, 5, 6, 7]);
        let Some(Kind::StepCompleted(pb::StepCompleted { step: Some(step) })) = &told[2].event else {
            panic!("{told:?}")
        };
        let seconds = |time: &Option<prost_types::Timestamp>| time.as_ref().unwrap().seconds;
        assert_eq!(seconds(&step.finish_time) - seconds(&step.start_time), 1);
        let Some(Kind::Completed(end)) = &told[6].event else { panic!("{told:?}") };
        assert_eq!((end.sql.as_str(), end.executed, end.parameters.len()), (SQL, true, 1));
        assert_eq!(end.usage.as_ref().unwrap().prompt_tokens, 20);
        assert_eq!(end.elapsed_time, Some(prost_types::Duration { seconds: 6, nanos: 0 }));
    }

    #[test]
    fn a_workflow_is_told_whole() {
        let (workflow, _) = log(answered());
        let told = to_pb::workflow(&workflow, true);
        assert_eq!(told.status(), pb::WorkflowStatus::Completed);
        assert_eq!((told.sql.as_str(), told.dialect(), told.last_sequence), (SQL, pb::DatabaseKind::Sqlite, 7));
        let result = told.result.unwrap();
        assert_eq!((result.answer_text.as_str(), result.rows.len()), ("7", 1));
        assert_eq!(result.execution_time, Some(prost_types::Duration { seconds: 0, nanos: 1_500_000 }));
        assert!(to_pb::workflow_without_rows(&workflow).result.unwrap().rows.is_empty());
        assert_eq!(to_pb::workflow(&workflow, false).id, "");
    }

    #[test]
    fn steps_to_come_are_listed_last() {
        let (workflow, _) = log(vec![EventKind::StepStarted { step: "load_schema".into(), attempt: 1, candidate: 0 }]);
        let told = to_pb::steps(&workflow);
        assert_eq!((told.len(), told[0].status()), (6, pb::StepStatus::Running));
        assert!(told[1..].iter().all(|step| step.status() == pb::StepStatus::Pending));
        let failed = Failure::new(Reason::QuestionNotUnderstood, "no");
        let (workflow, _) = log(vec![EventKind::Failed(failed)]);
        assert!(to_pb::steps(&workflow).iter().all(|step| step.status() == pb::StepStatus::Skipped));
    }

    #[test]
    fn a_cancelled_workflow_says_why() {
        let asked = EventKind::CancelRequested { by: Principal::local(), reason: "wrong question".into() };
        let end = EventKind::Cancelled(Failure::new(Reason::CallCancelled, "cancelled: wrong question"));
        let (workflow, events) = log(vec![asked, end]);
        let Some(Kind::Cancelled(end)) = event(&workflow, &events[2]).event else { panic!("not cancelled") };
        assert_eq!(end.reason, "wrong question");
        let deleted = EventKind::Cancelled(Failure::new(Reason::ConnectionDeleted, "its connection was deleted"));
        let (workflow, events) = log(vec![deleted]);
        let Some(Kind::Cancelled(end)) = event(&workflow, &events[1]).event else { panic!("not cancelled") };
        assert_eq!(end.reason, "CONNECTION_DELETED");
    }

    #[test]
    fn cursors_round_trip_and_others_are_refused() {
        assert_eq!(parse_cursor(&cursor(12, 3)), Some((12, 3)));
        for text in ["", "MTI", "x y", &URL_SAFE_NO_PAD.encode("12.x"), &URL_SAFE_NO_PAD.encode("-1.2")] {
            assert_eq!(parse_cursor(text), None, "{text}");
        }
    }
}
