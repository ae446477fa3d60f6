//! A person's word before anything runs: what they are shown, what they may say, and what outlives the wait.

use std::path::Path;

use pulse::pb::v1::awaiting::Need;
use pulse::pb::v1::resume_workflow_request::Action;
use pulse::pb::v1::value::Kind;
use pulse::pb::v1::workflow_event::Event;
use pulse::pb::v1::workflow_service_client::WorkflowServiceClient;
use pulse::pb::v1::{
    Approval, Approve, CancelWorkflowRequest, ConnectionSpec, CreateConnectionRequest, DeleteConnectionRequest,
    DeleteWorkflowRequest, ListWorkflowsRequest, Reject, ResumeWorkflowRequest, StartWorkflowRequest, StepStatus,
    TableRef, Workflow, WorkflowEvent, WorkflowStatus,
};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::calls::{assert_error, assert_whole_log, connection_id, kind, question, start, watch};
use crate::support::follow::{Follower, failed, names, reason, workflow};
use crate::support::model_server::ModelServer;
use crate::support::process::Process;
use crate::support::script::{self, AGENTS, ANSWER, QUESTION};
use crate::support::server::{Folder, Server};
use crate::support::servers::{self, ENCRYPTION_KEY, READ_ONLY, RedisServer};

type Client = WorkflowServiceClient<Channel>;

fn approved(connection: &str) -> StartWorkflowRequest {
    StartWorkflowRequest { require_approval: true, ..question(connection, QUESTION) }
}

/// A workflow that waits for approval.
async fn asked(client: &mut Client, connection: &str) -> Workflow {
    let id = start(client, approved(connection)).await;
    waiting(client, &id, 1).await
}

/// The workflow once it waits for the `nth` time.
async fn waiting(client: &mut Client, id: &str, nth: usize) -> Workflow {
    let mut follower = Follower::new(client, id, 0).await;
    for _ in 0..nth {
        follower.until("awaiting").await;
    }
    let workflow = workflow(client, id).await;
    assert_eq!(workflow.status(), WorkflowStatus::AwaitingApproval);
    workflow
}

async fn resume(client: &mut Client, id: &str, action: Action) -> Result<Workflow, Status> {
    let request = ResumeWorkflowRequest { id: id.to_owned(), action: Some(action), ..Default::default() };
    client.resume_workflow(request).await.map(|answer| answer.into_inner().workflow.unwrap())
}

fn approve() -> Action {
    Action::Approve(Approve {})
}

fn approval(workflow: &Workflow) -> &Approval {
    match workflow.awaiting.as_ref().and_then(|awaiting| awaiting.need.as_ref()) {
        Some(Need::Approval(approval)) => approval,
        other => panic!("{other:?}"),
    }
}

/// The only cell of a result.
fn answer(events: &[WorkflowEvent]) -> Option<Kind> {
    let result = events.iter().find_map(|event| match &event.event {
        Some(Event::Result(result)) => Some(result),
        _ => None,
    });
    result.and_then(|result| result.rows[0].values[0].kind.clone())
}

#[tokio::test]
async fn a_person_sees_what_would_run_and_approves() {
    let mut server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let client = &mut server.workflows;
    let asked = asked(client, &demo).await;
    let Approval { sql, explanation, tables, parameters, refusal, .. } = approval(&asked);
    assert!(sql.contains("customers") && *sql == asked.sql && explanation.len() > 10, "{asked:?}");
    let customers = TableRef { schema: "main".to_owned(), table: "customers".to_owned() };
    assert_eq!((&tables[..], parameters.len(), refusal.as_ref()), (&[customers][..], 0, None));
    let patience = asked.awaiting.as_ref().unwrap().expire_time.unwrap().seconds - asked.update_time.unwrap().seconds;
    assert_eq!((patience, asked.current_steps.len()), (24 * 60 * 60, 0));
    let awaiting = WorkflowStatus::AwaitingApproval.into();
    let list = ListWorkflowsRequest { status: awaiting, ..ListWorkflowsRequest::default() };
    assert_eq!(client.list_workflows(list).await.unwrap().into_inner().workflows[0].id, asked.id);
    let delete = client.delete_workflow(DeleteWorkflowRequest { id: asked.id.clone() }).await.unwrap_err();
    assert_error(&delete, Code::FailedPrecondition, "WORKFLOW_NOT_FINISHED", &[]);

    let resumed = resume(client, &asked.id, approve()).await.unwrap();
    assert!(resumed.awaiting.is_none() && resumed.last_sequence > asked.last_sequence);
    let events = watch(client, &asked.id, 0).await;
    assert_whole_log(&events, 0);
    let tail = ["awaiting", "resumed", "step_started execution", "step_completed execution", "result", "completed"];
    assert_eq!(names(&events)[events.len() - 6..], tail);
    let Some(Event::Awaiting(told)) = &events[events.len() - 6].event else { panic!() };
    assert_eq!(told, asked.awaiting.as_ref().unwrap(), "the event says what the workflow said");
    let Some(Event::Resumed(by)) = &events[events.len() - 5].event else { panic!() };
    assert_eq!(by.principal, "local");
    assert!(matches!(answer(&events), Some(Kind::Int64Value(count)) if count > 0));
}

#[tokio::test]
async fn what_a_person_writes_goes_through_the_guard() {
    let mut server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let client = &mut server.workflows;
    let first = asked(client, &demo).await;
    let id = &first.id;
    for (nth, (sql, expected)) in [
        ("DROP TABLE customers", "SQL_NOT_ALLOWED"),
        ("SELECT 1; SELECT 2", "SQL_NOT_ALLOWED"),
        ("SELECT FROM WHERE", "SQL_NOT_UNDERSTOOD"),
        ("SELECT nickname FROM customers", "SQL_FAILED"),
    ]
    .into_iter()
    .enumerate()
    {
        resume(client, id, Action::EditedSql(sql.to_owned())).await.unwrap();
        let again = waiting(client, id, nth + 2).await;
        let Approval { sql: offered, refused_sql, refusal, .. } = approval(&again);
        assert_eq!((offered.as_str(), refused_sql.as_str()), (first.sql.as_str(), sql));
        let refusal = refusal.as_ref().unwrap();
        assert_eq!(reason(refusal), expected, "{sql}: {refusal:?}");
    }
    let own = "SELECT 41 + count(*) - count(*) + 1 FROM customers";
    resume(client, id, Action::EditedSql(own.to_owned())).await.unwrap();
    let events = watch(client, id, 0).await;
    assert_whole_log(&events, 0);
    assert_eq!(answer(&events), Some(Kind::Int64Value(42)));
    let ended = workflow(client, id).await;
    assert_eq!((ended.sql.as_str(), ended.explanation.as_str(), ended.retry_count), (own, "", 0));
    let Some(Event::Completed(completed)) = &events.last().unwrap().event else { panic!() };
    assert_eq!((completed.sql.as_str(), completed.executed), (own, true));
}

#[tokio::test]
async fn what_is_rejected_is_cancelled_with_the_reason() {
    let mut server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let client = &mut server.workflows;
    let id = asked(client, &demo).await.id;
    let rejected = resume(client, &id, Action::Reject(Reject { reason: "too dear".to_owned() })).await.unwrap();
    assert_eq!((rejected.status(), rejected.failure), (WorkflowStatus::Cancelled, None));
    let events = watch(client, &id, 0).await;
    let Some(Event::Cancelled(end)) = &events.last().unwrap().event else { panic!("{:?}", names(&events)) };
    assert_eq!((end.reason.as_str(), answer(&events)), ("too dear", None));
    let late = resume(client, &id, approve()).await.unwrap_err();
    assert_error(&late, Code::FailedPrecondition, "WORKFLOW_NOT_AWAITING", &[]);
}

#[tokio::test]
async fn only_answers_that_fit_are_taken() {
    let mut server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let client = &mut server.workflows;
    let asked = asked(client, &demo).await;
    let id = asked.id.clone();
    let wrong = resume(client, &id, Action::Answer("yes".to_owned())).await.unwrap_err();
    assert_error(&wrong, Code::FailedPrecondition, "WORKFLOW_NOT_AWAITING", &[]);
    let request = |action, expected| ResumeWorkflowRequest {
        id: id.clone(),
        action,
        expected_sequence: Some(expected),
        request_id: "once".to_owned(),
    };
    let bad = client.resume_workflow(request(None, -1)).await.unwrap_err();
    assert_error(&bad, Code::InvalidArgument, "FIELD_INVALID", &["action", "expected_sequence"]);
    for action in [Action::Answer(" ".to_owned()), Action::EditedSql("x".repeat(32 * 1024 + 1))] {
        let field = if matches!(action, Action::Answer(_)) { "answer" } else { "edited_sql" };
        let bad = resume(client, &id, action).await.unwrap_err();
        assert_error(&bad, Code::InvalidArgument, "FIELD_INVALID", &[field]);
    }
    let last = asked.last_sequence;
    let other = ResumeWorkflowRequest { request_id: String::new(), ..request(Some(approve()), last - 1) };
    let stale = client.resume_workflow(other).await.unwrap_err();
    assert_error(&stale, Code::Aborted, "SEQUENCE_MISMATCH", &[]);

    let mut same = async || client.resume_workflow(request(Some(approve()), last)).await;
    same().await.unwrap();
    same().await.expect("a repeat is the same answer");
    let reject = Action::Reject(Reject::default());
    let reused = client.resume_workflow(request(Some(reject), last)).await.unwrap_err();
    assert_error(&reused, Code::AlreadyExists, "REQUEST_ID_REUSED", &[]);
    let events = watch(client, &id, 0).await;
    assert_eq!(names(&events).iter().filter(|name| *name == "resumed").count(), 1, "{:?}", names(&events));
}

#[tokio::test]
async fn who_waits_can_be_cancelled() {
    let mut server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let one = asked(&mut server.workflows, &demo).await.id;
    let request = CancelWorkflowRequest { id: one.clone(), reason: "never mind".to_owned() };
    let cancelled = server.workflows.cancel_workflow(request).await.unwrap().into_inner().workflow.unwrap();
    assert_eq!(cancelled.status(), WorkflowStatus::Cancelled);

    let other = asked(&mut server.workflows, &demo).await.id;
    server.connections.delete_connection(DeleteConnectionRequest { id: demo, ..Default::default() }).await.unwrap();
    let events = watch(&mut server.workflows, &other, 0).await;
    let Some(Event::Cancelled(end)) = &events.last().unwrap().event else { panic!("{:?}", names(&events)) };
    assert_eq!(end.reason, "CONNECTION_DELETED");
}

#[tokio::test]
async fn the_planners_cost_is_told() {
    let home = servers::postgres().await.fresh_database("approval").await;
    home.admin(
        "CREATE TABLE orders (id int PRIMARY KEY, total numeric);
         INSERT INTO orders SELECT i, i FROM generate_series(1, 1000) i;
         ANALYZE orders;
         GRANT SELECT ON orders TO PUBLIC;",
    )
    .await;
    let mut server = Server::start().await;
    let spec = ConnectionSpec { name: "shop".to_owned(), url: home.url(READ_ONLY), ..ConnectionSpec::default() };
    let request = CreateConnectionRequest { connection: Some(spec), ..CreateConnectionRequest::default() };
    let saved = server.connections.create_connection(request).await.unwrap().into_inner().connection.unwrap();
    let request = StartWorkflowRequest { require_approval: true, ..question(&saved.id, "How many orders are there?") };
    let id = start(&mut server.workflows, request).await;
    let asked = waiting(&mut server.workflows, &id, 1).await;
    let Approval { tables, estimated_row_count, estimated_cost, .. } = approval(&asked);
    assert_eq!(tables[0], TableRef { schema: "public".to_owned(), table: "orders".to_owned() });
    assert!(*estimated_row_count == Some(1) && estimated_cost.is_some_and(|cost| cost > 10.0), "{asked:?}");
}

// --- What outlives the wait -----------------------------------------------------------------------------------------

/// A process that asks this model, and a client of it.
async fn serve(folder: &Path, model: &ModelServer, own: &[&str]) -> (Process, Client) {
    let process = Process::serve(folder, &script::flags(model, &[&["--demo"], own].concat())).await;
    let client = WorkflowServiceClient::new(process.channel().await);
    (process, client)
}

async fn demo_of(process: &Process) -> String {
    connection_id(&process.channel().await, "demo").await
}

/// What was paid for before the wait is not paid for again, and the end is an answer.
#[track_caller]
fn assert_went_on(model: &ModelServer, events: &[WorkflowEvent]) {
    assert_whole_log(events, 0);
    assert_eq!(kind(events.last().unwrap()), "completed", "{:?}", names(events));
    assert_eq!(AGENTS.map(|agent| model.requests_of(agent).len()), [1, 1, 1]);
    let started = names(events).iter().filter(|name| *name == "step_started validator").count();
    assert_eq!(started, 1, "{:?}", names(events));
}

#[tokio::test]
async fn the_wait_outlives_a_kill() {
    let (folder, model) = (Folder::with_demo(), script::model(ANSWER, None).await);
    let (process, mut client) = serve(folder.path(), &model, &[]).await;
    let id = asked(&mut client, &demo_of(&process).await).await.id;
    process.kill().await;
    let (process, mut client) = serve(folder.path(), &model, &[]).await;
    assert_eq!(workflow(&mut client, &id).await.status(), WorkflowStatus::AwaitingApproval);
    resume(&mut client, &id, approve()).await.unwrap();
    // The answer was heard, and so it counts.
    process.kill().await;
    let (_process, mut client) = serve(folder.path(), &model, &[]).await;
    assert_went_on(&model, &watch(&mut client, &id, 0).await);
}

#[tokio::test]
async fn any_replica_takes_the_answer() {
    let (redis, folder, model) =
        (RedisServer::start(&[]).await, Folder::with_demo(), script::model(ANSWER, None).await);
    let url = redis.url();
    let own = ["--store", &url, "--encryption-key", ENCRYPTION_KEY, "--lease", "10m"];
    let (first, mut one) = serve(folder.path(), &model, &own).await;
    let (_second, mut other) = serve(folder.path(), &model, &own).await;
    let id = asked(&mut one, &demo_of(&first).await).await.id;
    // Nobody holds it: nothing waits for this lease to run out.
    first.kill().await;
    let follower = Follower::new(&mut other, &id, 0).await;
    resume(&mut other, &id, approve()).await.unwrap();
    assert_went_on(&model, &follower.rest().await);
}

#[tokio::test]
async fn of_answers_at_two_replicas_one_counts() {
    let (redis, folder, model) =
        (RedisServer::start(&[]).await, Folder::with_demo(), script::model(ANSWER, None).await);
    let url = redis.url();
    let own = ["--store", &url, "--encryption-key", ENCRYPTION_KEY];
    let (first, mut one) = serve(folder.path(), &model, &own).await;
    let (_second, mut other) = serve(folder.path(), &model, &own).await;
    let demo = demo_of(&first).await;
    for _ in 0..5 {
        let id = asked(&mut one, &demo).await.id;
        let reject = || Action::Reject(Reject::default());
        let answers = tokio::join!(resume(&mut one, &id, reject()), resume(&mut other, &id, reject()));
        let refused: Vec<Status> = [answers.0, answers.1].into_iter().filter_map(Result::err).collect();
        assert_eq!(refused.len(), 1);
        assert_error(&refused[0], Code::FailedPrecondition, "WORKFLOW_NOT_AWAITING", &[]);
        assert_whole_log(&watch(&mut other, &id, 0).await, 0);
    }
}

async fn nobody_answers(flags: &[&str]) {
    let mut server = Server::demo(&[flags, &["--input-timeout", "300ms"]].concat()).await;
    let demo = connection_id(&server.channel, "demo").await;
    let id = start(&mut server.workflows, approved(&demo)).await;
    let events = watch(&mut server.workflows, &id, 0).await;
    assert_whole_log(&events, 0);
    assert_eq!(names(&events)[events.len() - 2..], ["awaiting", "failed"]);
    assert_eq!(reason(failed(&events)), "INPUT_EXPIRED");
    let Some(Event::Failed(end)) = &events.last().unwrap().event else { panic!() };
    assert_eq!(end.step_name, "");
    let request = pulse::pb::v1::ListWorkflowStepsRequest { id, ..Default::default() };
    let steps = server.workflows.list_workflow_steps(request).await.unwrap().into_inner().steps;
    assert_eq!(steps.last().unwrap().status(), StepStatus::Skipped, "{steps:?}");
}

#[tokio::test]
async fn who_is_not_answered_fails() {
    nobody_answers(&[]).await;
    let redis = RedisServer::start(&[]).await;
    nobody_answers(&["--store", &redis.url(), "--encryption-key", ENCRYPTION_KEY]).await;
}
