//! Workflows that are stopped: cancelled in each step, out of time, left by their caller, without their connection.

use std::collections::HashMap;

use pulse::pb::v1::run_workflow_request::Source as RunSource;
use pulse::pb::v1::workflow_event::Event;
use pulse::pb::v1::{
    CancelWorkflowRequest, DeleteConnectionRequest, GetWorkflowRequest, ListWorkflowStepsRequest, RunWorkflowRequest,
    StartWorkflowRequest, StepStatus, WorkflowCancelled, WorkflowEvent, WorkflowStatus,
};
use sha2::{Digest, Sha256};
use tonic::{Code, Request};

use crate::support::calls::{assert_error, assert_whole_log, connection_id, kind, question, run, start, watch};
use crate::support::follow::{Follower, assert_same, failed, name, names, reason, workflow};
use crate::support::model_server::ModelServer;
use crate::support::script::{self, ANSWER, ENDLESS, QUESTION};
use crate::support::server::{Folder, Server};

fn cancel(id: &str) -> CancelWorkflowRequest {
    CancelWorkflowRequest { id: id.to_owned(), reason: "changed my mind".to_owned() }
}

/// How a workflow was cancelled, from its whole log.
#[track_caller]
fn cancelled(events: &[WorkflowEvent]) -> &WorkflowCancelled {
    assert_whole_log(events, 0);
    match events.last().and_then(|event| event.event.as_ref()) {
        Some(Event::Cancelled(cancelled)) => cancelled,
        other => panic!("not cancelled but: {other:?}"),
    }
}

/// A server whose next workflow stays in the given step: the model is silent there, or the statement has no end.
async fn staying_in(step: &str) -> (ModelServer, Server, String) {
    let (sql, stalling) = if step == "execution" { (ENDLESS, None) } else { (ANSWER, Some(step)) };
    let model = script::model(sql, stalling).await;
    let server = script::server(&model, &[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    (model, server, demo)
}

async fn cancelled_in(step: &str) {
    let (model, mut server, demo) = staying_in(step).await;
    let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
    let mut follower = Follower::new(&mut server.workflows, &id, 0).await;
    follower.until(&format!("step_started {step}")).await;
    assert_eq!(workflow(&mut server.workflows, &id).await.current_steps, [step]);
    let calls_so_far = script::AGENTS.iter().position(|agent| *agent == step).map(|before| before + 1);
    if let Some(calls) = calls_so_far {
        model.arrived(calls).await;
    }

    server.workflows.cancel_workflow(cancel(&id)).await.unwrap();
    let events = follower.rest().await;
    assert_eq!(cancelled(&events).reason, "changed my mind");
    assert_eq!(names(&events).iter().filter(|name| *name == "cancel_requested").count(), 1);
    if calls_so_far.is_some() {
        model.abandoned(1).await;
    }
    let whole = workflow(&mut server.workflows, &id).await;
    assert_eq!((whole.status(), whole.current_steps.len()), (WorkflowStatus::Cancelled, 0));
    let list = ListWorkflowStepsRequest { id: id.clone(), ..ListWorkflowStepsRequest::default() };
    let steps = server.workflows.list_workflow_steps(list).await.unwrap().into_inner().steps;
    assert!(steps.iter().all(|step| step.status() != StepStatus::Running), "{steps:?}");

    // Asking again changes nothing.
    server.workflows.cancel_workflow(cancel(&id)).await.unwrap();
    assert_same(&watch(&mut server.workflows, &id, 0).await, &events);
}

#[tokio::test]
async fn cancelled_in_the_planner() {
    cancelled_in("planner").await;
}

#[tokio::test]
async fn cancelled_in_the_mapper() {
    cancelled_in("mapper").await;
}

#[tokio::test]
async fn cancelled_in_the_composer() {
    cancelled_in("composer").await;
}

#[tokio::test]
async fn cancelled_in_the_execution() {
    cancelled_in("execution").await;
}

#[tokio::test]
async fn cancelling_at_any_moment_ends_in_one_terminal_event() {
    // The builtin engine is done in milliseconds: cancelling meets it in any step, or after its end.
    let mut server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    for after in 0..15 {
        let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
        let mut follower = Follower::new(&mut server.workflows, &id, 0).await;
        follower.at_least(after).await;
        let answer = server.workflows.cancel_workflow(cancel(&id)).await;
        let events = follower.rest().await;
        assert_whole_log(&events, 0);
        match (answer, kind(events.last().unwrap())) {
            (Ok(_), "cancelled" | "completed") => {}
            (Err(status), "completed") => {
                assert_error(&status, Code::FailedPrecondition, "WORKFLOW_FINISHED", &[]);
            }
            (answer, end) => panic!("{answer:?}, then {end}"),
        }
    }
}

#[tokio::test]
async fn what_has_ended_otherwise_cannot_be_cancelled() {
    let mut server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    for (text, end) in [(QUESTION, "completed"), ("What is the average salary?", "failed")] {
        let (id, events) = run(&mut server.workflows, question(&demo, text)).await;
        assert_eq!(kind(events.last().unwrap()), end);
        let status = server.workflows.cancel_workflow(cancel(&id)).await.unwrap_err();
        assert_error(&status, Code::FailedPrecondition, "WORKFLOW_FINISHED", &[]);
        assert_same(&watch(&mut server.workflows, &id, 0).await, &events);
    }
}

#[tokio::test]
async fn cancelled_workflows_make_room() {
    let model = script::model(ANSWER, Some("planner")).await;
    let mut server = script::server(&model, &["--max-workflows", "1"]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let first = start(&mut server.workflows, question(&demo, QUESTION)).await;
    model.arrived(1).await;
    let second = start(&mut server.workflows, question(&demo, QUESTION)).await;
    assert_eq!(workflow(&mut server.workflows, &second).await.status(), WorkflowStatus::Pending, "it waits its turn");
    server.workflows.cancel_workflow(cancel(&first)).await.unwrap();
    let events = watch(&mut server.workflows, &second, 0).await;
    assert_eq!(kind(events.last().unwrap()), "completed");

    // One that waits its turn is cancelled like any other.
    let model = script::model(ANSWER, Some("planner")).await;
    let mut server = script::server(&model, &["--max-workflows", "1"]).await;
    let demo = connection_id(&server.channel, "demo").await;
    start(&mut server.workflows, question(&demo, QUESTION)).await;
    model.arrived(1).await;
    let waiting = start(&mut server.workflows, question(&demo, QUESTION)).await;
    server.workflows.cancel_workflow(cancel(&waiting)).await.unwrap();
    cancelled(&watch(&mut server.workflows, &waiting, 0).await);
    assert_eq!(model.requests().len(), 1);
}

// --- Out of time --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_step_has_its_time() {
    let model = script::model(ANSWER, Some("mapper")).await;
    let mut server = script::server(&model, &["--step-timeout", "2s"]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let (_, events) = run(&mut server.workflows, question(&demo, QUESTION)).await;
    assert_whole_log(&events, 0);
    assert_eq!(reason(failed(&events)), "STEP_TIMEOUT");
    assert_eq!(name(&events[events.len() - 2]), "step_failed mapper");
    model.abandoned(1).await;
}

#[tokio::test]
async fn a_workflow_has_its_time() {
    for step in ["composer", "execution"] {
        let (_model, mut server, demo) = staying_in(step).await;
        let request = StartWorkflowRequest {
            workflow_timeout: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            ..question(&demo, QUESTION)
        };
        let (id, events) = run(&mut server.workflows, request).await;
        assert_whole_log(&events, 0);
        assert_eq!(reason(failed(&events)), "WORKFLOW_TIMEOUT", "{step}");
        assert_eq!(workflow(&mut server.workflows, &id).await.status(), WorkflowStatus::Failed);
    }
}

#[tokio::test]
async fn a_statement_has_its_time() {
    let model = script::model(ENDLESS, None).await;
    let mut server = script::server(&model, &["--statement-timeout", "1s"]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let request = StartWorkflowRequest { max_retries: Some(0), ..question(&demo, QUESTION) };
    let (_, events) = run(&mut server.workflows, request).await;
    assert_whole_log(&events, 0);
    let failed_step = events.iter().find_map(|event| match &event.event {
        Some(Event::StepFailed(failed)) => failed.step.as_ref(),
        _ => None,
    });
    let step = failed_step.expect("execution failed");
    assert_eq!((step.name.as_str(), reason(step.failure.as_ref().unwrap())), ("execution", "STATEMENT_TIMEOUT"));
}

// --- Left alone ---------------------------------------------------------------------------------------------------

/// Runs a question until the planner is asked, then leaves.
async fn run_and_leave(server: &mut Server, model: &ModelServer, cancel_on_disconnect: bool) -> String {
    let demo = connection_id(&server.channel, "demo").await;
    let request = RunWorkflowRequest {
        question: QUESTION.to_owned(),
        source: Some(RunSource::ConnectionId(demo)),
        cancel_on_disconnect,
        ..RunWorkflowRequest::default()
    };
    let mut stream = server.workflows.run_workflow(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().event.unwrap();
    model.arrived(1).await;
    drop(stream);
    first.workflow_id
}

#[tokio::test]
async fn a_caller_that_said_so_takes_the_workflow_with_it() {
    let model = script::model(ANSWER, Some("planner")).await;
    let mut server = script::server(&model, &[]).await;
    let id = run_and_leave(&mut server, &model, true).await;
    let events = watch(&mut server.workflows, &id, 0).await;
    cancelled(&events);
    let by = events.iter().find_map(|event| match &event.event {
        Some(Event::CancelRequested(request)) => Some(request.principal.as_str()),
        _ => None,
    });
    assert_eq!(by, Some("pulse"));
    model.abandoned(1).await;
}

#[tokio::test]
async fn any_other_caller_may_leave() {
    let model = script::model(ANSWER, Some("planner")).await;
    let mut server = script::server(&model, &[]).await;
    let id = run_and_leave(&mut server, &model, false).await;
    model.release("planner");
    let events = watch(&mut server.workflows, &id, 0).await;
    assert_eq!(kind(events.last().unwrap()), "completed");
}

#[tokio::test]
async fn workflows_end_with_their_connection() {
    for step in ["planner", "execution"] {
        let (_model, mut server, demo) = staying_in(step).await;
        let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
        let mut follower = Follower::new(&mut server.workflows, &id, 0).await;
        follower.until(&format!("step_started {step}")).await;
        let delete = DeleteConnectionRequest { id: demo.clone(), ..DeleteConnectionRequest::default() };
        server.connections.delete_connection(delete).await.unwrap();
        let events = follower.rest().await;
        assert_eq!(cancelled(&events).reason, "CONNECTION_DELETED", "{step}");
        // Its history stays.
        assert_eq!(workflow(&mut server.workflows, &id).await.connection_id, demo);
    }
}

/// A message with a tenant's key.
fn with<T>(tenant: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer key-of-{tenant}").parse().unwrap());
    request
}

#[tokio::test]
async fn another_tenants_workflow_does_not_exist() {
    let folder = Folder::new();
    let keys: Vec<serde_json::Value> = ["a", "b"]
        .iter()
        .map(|tenant| {
            let hash = hex::encode(Sha256::digest(format!("key-of-{tenant}")));
            serde_json::json!({ "name": tenant, "tenant": tenant, "scopes": ["read", "run", "manage"], "sha256": hash })
        })
        .collect();
    let file = folder.path().join("keys.json");
    std::fs::write(&file, serde_json::to_vec(&keys).unwrap()).unwrap();
    let model = script::model(ANSWER, Some("planner")).await;
    let flags = script::flags(&model, &["--api-keys-file", file.to_str().unwrap()]);
    let mut server = Server::on(folder, &flags, true).await;

    let connections: HashMap<&str, String> = {
        let mut ids = HashMap::new();
        for tenant in ["a", "b"] {
            let request = with(tenant, pulse::pb::v1::ListConnectionsRequest::default());
            let list = server.connections.list_connections(request).await.unwrap().into_inner().connections;
            ids.insert(tenant, list[0].id.clone());
        }
        ids
    };
    let ask = with("a", question(&connections["a"], QUESTION));
    let id = server.workflows.start_workflow(ask).await.unwrap().into_inner().workflow.unwrap().id;
    model.arrived(1).await;

    let status = server.workflows.cancel_workflow(with("b", cancel(&id))).await.unwrap_err();
    assert_error(&status, Code::NotFound, "WORKFLOW_NOT_FOUND", &[]);
    let theirs = with("b", question(&connections["a"], QUESTION));
    let status = server.workflows.start_workflow(theirs).await.unwrap_err();
    assert_error(&status, Code::NotFound, "CONNECTION_NOT_FOUND", &[]);
    let own = with("a", GetWorkflowRequest { id: id.clone() });
    let whole = server.workflows.get_workflow(own).await.unwrap().into_inner().workflow.unwrap();
    assert_eq!(whole.status(), WorkflowStatus::Running, "untouched");
}
