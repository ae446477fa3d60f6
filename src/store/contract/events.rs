//! Events to fill logs with.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::outputs::{Approval, Clarification, Feedback, SchemaOutput, StepOutput, WorkflowResult};
use crate::domain::question::{EngineName, Question, RunOptions, Source};
use crate::domain::{
    ConnectionId, DatabaseKind, Event, EventKind, Failure, Need, PinnedConnection, Principal, Reason, ResumeInput,
    Value, WorkflowStarted,
};

/// The instant of the event with this sequence.
pub(crate) fn time(sequence: u64) -> Timestamp {
    Timestamp::from_second(1_760_000_000 + sequence.cast_signed()).unwrap()
}

/// An event with this sequence.
pub(crate) fn event(sequence: u64, kind: EventKind) -> Event {
    Event { sequence, time: time(sequence), epoch: 1, kind }
}

/// The first event of a log.
pub(crate) fn started(connection: Option<ConnectionId>, user_id: &str) -> EventKind {
    let source = match connection {
        Some(id) => Source::Connection(id),
        None => Source::InlineSchema(crate::domain::Schema {
            dialect: crate::domain::DatabaseKind::Sqlite,
            tables: Vec::new(),
            fingerprint: "00".to_owned(),
        }),
    };
    EventKind::WorkflowStarted(Box::new(WorkflowStarted {
        question: Question {
            text: "How many customers are there?".to_owned(),
            source,
            options: RunOptions { user_id: user_id.to_owned(), ..RunOptions::default() },
        },
        principal: Principal::local(),
        engine: EngineName::Builtin,
        model: String::new(),
        prompt_version: "1".to_owned(),
        connection: connection.map(|id| PinnedConnection { id, name: "shop".to_owned(), etag: "etag".to_owned() }),
        previous: Vec::new(),
    }))
}

/// The first event of a log that asks this.
pub(crate) fn asked(text: &str) -> EventKind {
    let mut kind = started(None, "");
    if let EventKind::WorkflowStarted(started) = &mut kind {
        text.clone_into(&mut started.question.text);
    }
    kind
}

/// A log of `length` events, the first included.
pub(crate) fn log(length: u64) -> Vec<Event> {
    let first = event(1, started(None, ""));
    std::iter::once(first).chain((2..=length).map(step)).collect()
}

/// An event that changes nothing but the status.
pub(crate) fn step(sequence: u64) -> Event {
    event(sequence, EventKind::StepStarted { step: "planner".to_owned(), attempt: 1, candidate: 0 })
}

/// How long the logs here wait for a person.
const PATIENCE: Duration = Duration::from_hours(1_000_000);

/// A person is asked for approval.
pub(crate) fn asks_for_approval(patience: Duration) -> EventKind {
    let approval = Approval { sql: "SELECT 1".to_owned(), ..Approval::default() };
    EventKind::Awaiting { need: Need::Approval(Box::new(approval)), patience }
}

/// A person approves.
pub(crate) fn resumed() -> EventKind {
    EventKind::Resumed { by: Principal::local(), input: ResumeInput::Approve, call: None }
}

/// A log, however unlikely, with events of every kind.
pub(crate) fn one_of_each_kind() -> Vec<Event> {
    let failure = || Failure::new(Reason::Internal, "no").with("why", "because");
    let name = || "composer".to_owned();
    let output = || Box::new(StepOutput::Schema(schema_output()));
    let result = WorkflowResult {
        sql: "SELECT 1.5".to_owned(),
        columns: Vec::new(),
        rows: vec![vec![Value::Double(1.5), Value::Null, Value::Int64(i64::MAX), Value::Bytes(vec![0])]],
        row_count: 1,
        truncated: false,
        answer_text: "„1,5“".to_owned(),
    };
    let question = Clarification { question: "Which?".to_owned(), options: vec!["a".to_owned()] };
    let feedback = Feedback { sql: "SELECT".to_owned(), message: "no".to_owned(), sql_error: None };
    let usage = None;
    let kinds = [
        started(Some(ConnectionId::generate()), "ann"),
        EventKind::StepStarted { step: name(), attempt: 1, candidate: 0 },
        EventKind::StepCompleted {
            step: name(),
            attempt: 1,
            candidate: 2,
            output: output(),
            summary: String::new(),
            usage,
        },
        EventKind::StepFailed { step: name(), attempt: 2, candidate: 0, failure: failure(), output: None, usage: None },
        EventKind::Retrying { retry: 1, feedback },
        EventKind::Awaiting { need: Need::Clarification(question), patience: PATIENCE },
        resumed(),
        asks_for_approval(PATIENCE),
        EventKind::CancelRequested { by: Principal::local(), reason: "enough".to_owned() },
        EventKind::Result(Box::new(result)),
        EventKind::Completed,
        EventKind::Failed(failure()),
        EventKind::Cancelled(failure()),
    ];
    kinds.into_iter().zip(1..).map(|(kind, sequence)| event(sequence, kind)).collect()
}

fn schema_output() -> SchemaOutput {
    SchemaOutput {
        table_count: 1,
        column_count: 2,
        foreign_key_count: 0,
        indexed_column_count: 1,
        fingerprint: "00".to_owned(),
        dialect: DatabaseKind::Sqlite,
    }
}
