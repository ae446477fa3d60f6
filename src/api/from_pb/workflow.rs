//! Requests of `WorkflowService`.

use std::time::Duration;

use super::fields::{Fields, request_key};
use super::inline_schema::inline_schema;
use crate::api::page_token::List;
use crate::api::to_pb;
use crate::domain::{
    ConnectionId, EngineChoice, Failure, PageRequest, Question, ResumeInput, RunLimits, RunOptions, Source, Verdict,
    WorkflowId, WorkflowStatus,
};
use crate::pb::v1 as pb;
use crate::pb::v1::resume_workflow_request::Action;
use crate::pb::v1::run_workflow_request::Source as RunSource;
use crate::pb::v1::start_workflow_request::Source as StartSource;
use crate::workflow::{Cursor, ListFilter, ResumeOptions, StartOptions};

const MAX_QUESTION_BYTES: usize = 4 << 10;
const MAX_USER_ID_CHARS: usize = 128;
const MAX_REASON_BYTES: usize = 1 << 10;
const MAX_SEARCH_BYTES: usize = 256;
const MAX_ANSWER_BYTES: usize = 4 << 10;
const MAX_SQL_BYTES: usize = 32 << 10;
const MAX_RETRIES: i32 = 10;
const MAX_CANDIDATES: i32 = 5;

/// `longest` is the longest that the server lets a workflow take.
pub(in crate::api) fn start_workflow(
    mut request: pb::StartWorkflowRequest,
    longest: Duration,
) -> Result<(Question, StartOptions), Failure> {
    let mut fields = Fields::default();
    let id = std::mem::take(&mut request.request_id);
    let key = request_key(&mut fields, id, &request);
    let options = StartOptions { request: key, validate_only: request.validate_only };
    let question = question(&mut fields, request, longest);
    fields.finish(question.map(|question| (question, options)))
}

/// A question whose events are wanted at once.
pub(in crate::api) struct RunWorkflow {
    pub(in crate::api) question: Question,
    pub(in crate::api) options: StartOptions,
}

pub(in crate::api) fn run_workflow(
    mut request: pb::RunWorkflowRequest,
    longest: Duration,
) -> Result<RunWorkflow, Failure> {
    let mut fields = Fields::default();
    let id = std::mem::take(&mut request.request_id);
    let key = request_key(&mut fields, id, &request);
    let pb::RunWorkflowRequest {
        question: text,
        source,
        user_id,
        engine,
        max_retries,
        execute,
        require_approval,
        previous_workflow_id,
        allow_clarification,
        candidates,
        workflow_timeout,
        step_timeout,
        statement_timeout,
        max_rows,
        max_bytes,
        request_id,
        validate_only,
        cancel_on_disconnect,
    } = request;
    let source = source.map(|source| match source {
        RunSource::ConnectionId(id) => StartSource::ConnectionId(id),
        RunSource::InlineSchema(schema) => StartSource::InlineSchema(schema),
    });
    let start = pb::StartWorkflowRequest {
        question: text,
        source,
        user_id,
        engine,
        max_retries,
        execute,
        require_approval,
        previous_workflow_id,
        // A client of one line could not answer.
        allow_clarification: Some(allow_clarification.unwrap_or(false)),
        candidates,
        workflow_timeout,
        step_timeout,
        statement_timeout,
        max_rows,
        max_bytes,
        request_id,
        validate_only,
    };
    let question = question(&mut fields, start, longest).map(|mut question| {
        question.options.cancel_on_disconnect = cancel_on_disconnect;
        question
    });
    let options = StartOptions { request: key, validate_only };
    fields.finish(question.map(|question| RunWorkflow { question, options }))
}

fn question(fields: &mut Fields, request: pb::StartWorkflowRequest, longest: Duration) -> Option<Question> {
    let pb::StartWorkflowRequest {
        question,
        source,
        user_id,
        engine,
        max_retries,
        execute,
        require_approval,
        previous_workflow_id,
        allow_clarification,
        candidates,
        workflow_timeout,
        step_timeout,
        statement_timeout,
        max_rows,
        max_bytes,
        request_id: _,
        validate_only: _,
    } = request;
    let limits = RunLimits {
        step_timeout: fields.duration("step_timeout", step_timeout),
        statement_timeout: fields.duration("statement_timeout", statement_timeout),
        max_rows: fields.limit("max_rows", max_rows.into()),
        max_bytes: fields.limit("max_bytes", max_bytes.into()),
        input_timeout: None,
        model_calls: None,
    };
    if !(0..=MAX_CANDIDATES).contains(&candidates) {
        let remedy = "or 0 to let the planner decide";
        fields.bad("candidates", format!("is {candidates}; it must be 1 to {MAX_CANDIDATES}, {remedy}"));
    }
    if user_id.chars().count() > MAX_USER_ID_CHARS {
        fields.bad("user_id", format!("must have at most {MAX_USER_ID_CHARS} characters"));
    }
    let defaults = RunOptions::default();
    let max_retries = max_retries.map_or(defaults.max_retries, |retries| {
        if !(0..=MAX_RETRIES).contains(&retries) {
            fields.bad("max_retries", format!("must be 0 to {MAX_RETRIES}"));
        }
        u32::try_from(retries).unwrap_or_default()
    });
    let text = fields.words("question", question, MAX_QUESTION_BYTES);
    let engine = match fields.choice("engine", engine) {
        None | Some(pb::Engine::Unspecified | pb::Engine::Auto) => EngineChoice::Auto,
        Some(pb::Engine::Openai) => EngineChoice::Openai,
        Some(pb::Engine::Builtin) => EngineChoice::Builtin,
    };
    let workflow_timeout = fields.duration("workflow_timeout", workflow_timeout);
    let source = match source {
        Some(StartSource::ConnectionId(id)) => fields.id("connection_id", &id).map(Source::Connection),
        Some(StartSource::InlineSchema(schema)) => inline_schema(fields, schema).map(Source::InlineSchema),
        None => {
            fields.bad("source", "is required: give `connection_id` or `inline_schema`");
            None
        }
    };
    let previous_workflow_id = fields.optional_id("previous_workflow_id", &previous_workflow_id);
    let options = RunOptions {
        user_id,
        engine,
        max_retries,
        execute: execute.unwrap_or(defaults.execute) && !matches!(source, Some(Source::InlineSchema(_))),
        require_approval,
        allow_clarification: allow_clarification.unwrap_or(true),
        candidates: u32::try_from(candidates).unwrap_or_default(),
        workflow_timeout: workflow_timeout.map_or(longest, |asked| asked.min(longest)),
        previous_workflow_id,
        cancel_on_disconnect: false,
        limits,
    };
    source.map(|source| Question { text, source, options })
}

/// Which events to send.
pub(in crate::api) struct WatchWorkflow {
    pub(in crate::api) id: WorkflowId,
    pub(in crate::api) after_sequence: u64,
    pub(in crate::api) after_cursor: Option<Cursor>,
}

pub(in crate::api) fn watch_workflow(request: pb::WatchWorkflowRequest) -> Result<WatchWorkflow, Failure> {
    let pb::WatchWorkflowRequest { id, after_sequence, after_cursor } = request;
    let mut fields = Fields::default();
    let id = fields.id("id", &id);
    let after_sequence = u64::try_from(after_sequence).unwrap_or_else(|_| {
        fields.bad("after_sequence", format!("is {after_sequence}; it must not be negative"));
        0
    });
    let cursor = to_pb::parse_cursor(&after_cursor);
    if cursor.is_none() && !after_cursor.is_empty() {
        fields.bad("after_cursor", "is no cursor of an event");
    }
    // A cursor alone says where to go on.
    let after_sequence = cursor.map_or(after_sequence, |(sequence, _)| after_sequence.max(sequence));
    let after_cursor = cursor.map(|(sequence, epoch)| Cursor { sequence, epoch });
    fields.finish(id.map(|id| WatchWorkflow { id, after_sequence, after_cursor }))
}

/// Which steps to list.
pub(in crate::api) struct ListSteps {
    pub(in crate::api) id: WorkflowId,
    pub(in crate::api) list: List,
    /// How many came on the pages before.
    pub(in crate::api) skip: usize,
    pub(in crate::api) limit: usize,
}

pub(in crate::api) fn list_steps(request: pb::ListWorkflowStepsRequest) -> Result<ListSteps, Failure> {
    let pb::ListWorkflowStepsRequest { id, page_size, page_token } = request;
    let mut fields = Fields::default();
    let list = List::new("ListWorkflowSteps", &id);
    let id = fields.id("id", &id);
    let limit = fields.page_size(page_size, 100, 500);
    let id = fields.finish(id)?;
    let skip = list.after(&page_token)?.unwrap_or(0);
    Ok(ListSteps { id, list, skip, limit })
}

/// Which workflows to list.
pub(in crate::api) struct ListWorkflows {
    pub(in crate::api) list: List,
    pub(in crate::api) page: PageRequest<WorkflowId>,
    pub(in crate::api) filter: ListFilter,
    /// What the questions contain; empty for any.
    pub(in crate::api) text: String,
}

pub(in crate::api) fn list_workflows(request: pb::ListWorkflowsRequest) -> Result<ListWorkflows, Failure> {
    let pb::ListWorkflowsRequest { page_size, page_token, status, connection_id, user_id, question_contains } = request;
    let mut fields = Fields::default();
    let list = List::new("ListWorkflows", &(status, &connection_id, &user_id, &question_contains));
    let limit = fields.page_size(page_size, 50, 500);
    let filter = ListFilter {
        statuses: fields.choice("status", status).and_then(workflow_status).into_iter().collect(),
        connection: fields.optional_id::<ConnectionId>("connection_id", &connection_id),
        user_id: Some(user_id).filter(|user_id| !user_id.is_empty()),
    };
    let text = fields.text("question_contains", question_contains, MAX_SEARCH_BYTES);
    fields.finish(Some(()))?;
    let page = PageRequest { after: list.after(&page_token)?, limit };
    Ok(ListWorkflows { list, page, filter, text })
}

pub(in crate::api) fn cancel_workflow(request: pb::CancelWorkflowRequest) -> Result<(WorkflowId, String), Failure> {
    let pb::CancelWorkflowRequest { id, reason } = request;
    let mut fields = Fields::default();
    let id = fields.id("id", &id);
    let reason = fields.text("reason", reason, MAX_REASON_BYTES);
    fields.finish(id.map(|id| (id, reason)))
}

/// What a person thinks of a workflow.
pub(in crate::api) struct Rate {
    pub(in crate::api) id: WorkflowId,
    pub(in crate::api) verdict: Verdict,
    pub(in crate::api) comment: String,
}

pub(in crate::api) fn rate_workflow(request: pb::RateWorkflowRequest) -> Result<Rate, Failure> {
    let pb::RateWorkflowRequest { id, verdict, comment } = request;
    let mut fields = Fields::default();
    let id = fields.id("id", &id);
    let verdict = match fields.choice("verdict", verdict) {
        Some(pb::RatingVerdict::Up) => Some(Verdict::Up),
        Some(pb::RatingVerdict::Down) => Some(Verdict::Down),
        Some(pb::RatingVerdict::Unspecified) | None => {
            fields.bad("verdict", "is required: RATING_VERDICT_UP or RATING_VERDICT_DOWN");
            None
        }
    };
    let comment = fields.text("comment", comment, MAX_REASON_BYTES);
    fields.finish(id.zip(verdict).map(|(id, verdict)| Rate { id, verdict, comment }))
}

/// What a person gives to a waiting workflow.
pub(in crate::api) struct Resume {
    pub(in crate::api) id: WorkflowId,
    pub(in crate::api) input: ResumeInput,
    pub(in crate::api) options: ResumeOptions,
}

pub(in crate::api) fn resume_workflow(mut request: pb::ResumeWorkflowRequest) -> Result<Resume, Failure> {
    let mut fields = Fields::default();
    let key = std::mem::take(&mut request.request_id);
    let key = request_key(&mut fields, key, &request);
    let pb::ResumeWorkflowRequest { id, action, expected_sequence, request_id: _ } = request;
    let id = fields.id("id", &id);
    let input = match action {
        Some(Action::Answer(text)) => Some(ResumeInput::Answer(fields.words("answer", text, MAX_ANSWER_BYTES))),
        Some(Action::Approve(pb::Approve {})) => Some(ResumeInput::Approve),
        Some(Action::Reject(pb::Reject { reason })) => {
            Some(ResumeInput::Reject(fields.text("reject.reason", reason, MAX_REASON_BYTES)))
        }
        Some(Action::EditedSql(sql)) => Some(ResumeInput::EditedSql(fields.words("edited_sql", sql, MAX_SQL_BYTES))),
        None => {
            fields.bad("action", "is required: give `answer`, `approve`, `reject` or `edited_sql`");
            None
        }
    };
    let expected_sequence = expected_sequence.map(|sequence| {
        u64::try_from(sequence).unwrap_or_else(|_| {
            fields.bad("expected_sequence", format!("is {sequence}; it must not be negative"));
            0
        })
    });
    let options = ResumeOptions { request: key, expected_sequence };
    fields.finish(id.zip(input).map(|(id, input)| Resume { id, input, options }))
}

fn workflow_status(status: pb::WorkflowStatus) -> Option<WorkflowStatus> {
    match status {
        pb::WorkflowStatus::Unspecified => None,
        pb::WorkflowStatus::Pending => Some(WorkflowStatus::Pending),
        pb::WorkflowStatus::Running => Some(WorkflowStatus::Running),
        pb::WorkflowStatus::Retrying => Some(WorkflowStatus::Retrying),
        pb::WorkflowStatus::AwaitingInput => Some(WorkflowStatus::AwaitingInput),
        pb::WorkflowStatus::AwaitingApproval => Some(WorkflowStatus::AwaitingApproval),
        pb::WorkflowStatus::Completed => Some(WorkflowStatus::Completed),
        pb::WorkflowStatus::Failed => Some(WorkflowStatus::Failed),
        pb::WorkflowStatus::Cancelled => Some(WorkflowStatus::Cancelled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_mins(5);

    fn ask(text: &str) -> pb::StartWorkflowRequest {
        pb::StartWorkflowRequest {
            question: text.into(),
            source: Some(StartSource::ConnectionId(ConnectionId::generate().to_string())),
            ..Default::default()
        }
    }

    #[test]
    fn a_question_and_a_connection_are_enough() {
        let (question, options) = start_workflow(ask("how many orders?"), LONGEST).unwrap();
        let asked = RunOptions { workflow_timeout: LONGEST, allow_clarification: true, ..RunOptions::default() };
        assert_eq!(question.options, asked);
        assert!(options.request.is_none() && !options.validate_only);
    }

    #[test]
    fn every_bad_field_of_a_start_is_named() {
        let request = pb::StartWorkflowRequest {
            question: " ".into(),
            engine: 9,
            max_retries: Some(11),
            candidates: -1,
            max_rows: -1,
            user_id: "u".repeat(129),
            ..Default::default()
        };
        let failure = start_workflow(request, LONGEST).unwrap_err();
        let mut names: Vec<_> = failure.violations.iter().map(|violation| violation.field.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["candidates", "engine", "max_retries", "max_rows", "question", "source", "user_id"]);
        assert!(start_workflow(ask(&"q".repeat(4_096)), LONGEST).is_ok());
        assert!(start_workflow(ask(&"q".repeat(4_097)), LONGEST).is_err());
    }

    #[test]
    fn timeouts_are_lowered_to_the_servers() {
        let timeout = |seconds| {
            let request = pb::StartWorkflowRequest {
                workflow_timeout: Some(prost_types::Duration { seconds, nanos: 0 }),
                ..ask("how many?")
            };
            start_workflow(request, LONGEST).unwrap().0.options.workflow_timeout
        };
        assert_eq!(timeout(10), Duration::from_secs(10));
        assert_eq!(timeout(10_000), LONGEST);
    }

    #[test]
    fn only_who_starts_is_asked_back_unasked() {
        let start = |allow_clarification| {
            let request = pb::StartWorkflowRequest { allow_clarification, ..ask("how many?") };
            start_workflow(request, LONGEST).unwrap().0.options.allow_clarification
        };
        let run = |allow_clarification| {
            let source = Some(RunSource::ConnectionId(ConnectionId::generate().to_string()));
            let question = "how many?".into();
            let request = pb::RunWorkflowRequest { question, source, allow_clarification, ..Default::default() };
            run_workflow(request, LONGEST).unwrap().question.options.allow_clarification
        };
        assert_eq!([None, Some(true), Some(false)].map(start), [true, true, false]);
        assert_eq!([None, Some(true), Some(false)].map(run), [false, true, false]);
    }

    #[test]
    fn a_cursor_says_where_to_go_on() {
        let request = |after_sequence, after_cursor: &str| pb::WatchWorkflowRequest {
            id: WorkflowId::generate().to_string(),
            after_sequence,
            after_cursor: after_cursor.into(),
        };
        let cursor = to_pb::cursor(7, 2);
        let watch = watch_workflow(request(0, &cursor)).unwrap();
        assert_eq!((watch.after_sequence, watch.after_cursor.unwrap().epoch), (7, 2));
        assert!(watch_workflow(request(-1, "")).is_err());
        assert!(watch_workflow(request(0, "???")).is_err());
    }
}
