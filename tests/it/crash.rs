//! The process dies in the middle of a workflow; the next one takes it up where it stopped.

use std::path::Path;

use pulse::pb::v1::workflow_service_client::WorkflowServiceClient;
use pulse::pb::v1::{StartWorkflowRequest, WorkflowEvent};
use tonic::transport::Channel;

use crate::support::calls::{assert_whole_log, connection_id, kind, question, start, watch};
use crate::support::follow::{Follower, assert_same, name, names};
use crate::support::model_server::ModelServer;
use crate::support::process::{Process, pulse};
use crate::support::script::{self, AGENTS, ANSWER, QUESTION};
use crate::support::server::Folder;

/// Takes a second or two: long enough to be met at work, short enough to be done again.
const SLOW: &str = "SELECT count(*) FROM (SELECT id FROM orders LIMIT 4000) AS a, (SELECT id FROM orders LIMIT 4000) AS b \
                    WHERE a.id + b.id > 0";

/// A process on this folder that asks this model, and a client of it.
async fn serve(folder: &Path, model: &ModelServer) -> (Process, WorkflowServiceClient<Channel>) {
    let process = Process::serve(folder, &script::flags(model, &["--demo"])).await;
    let client = WorkflowServiceClient::new(process.channel().await);
    (process, client)
}

async fn ask(process: &Process, request_id: &str) -> StartWorkflowRequest {
    let demo = connection_id(&process.channel().await, "demo").await;
    StartWorkflowRequest { request_id: request_id.to_owned(), ..question(&demo, QUESTION) }
}

/// How often each agent was asked.
fn calls(model: &ModelServer) -> [usize; 3] {
    AGENTS.map(|agent| model.requests_of(agent).len())
}

/// The log after the crash is whole, holds what was seen before, and ends well.
#[track_caller]
fn assert_went_on(seen: &[WorkflowEvent], whole: &[WorkflowEvent]) {
    assert_whole_log(whole, 0);
    assert_eq!(kind(whole.last().unwrap()), "completed", "{:?}", names(whole));
    assert_same(seen, &whole[..seen.len()]);
    // What was done is not done again: each step completes once.
    let mut done: Vec<String> = whole.iter().filter(|event| kind(event) == "step_completed").map(name).collect();
    done.sort();
    done.dedup();
    assert_eq!(done.len(), 6, "{:?}", names(whole));
    let completed = whole.iter().filter(|event| kind(event) == "step_completed").count();
    assert_eq!(completed, 6, "{:?}", names(whole));
}

/// kill -9 while the model is silent in this agent's call.
async fn killed_while_asking(agent: &str, expected_calls: [usize; 3]) {
    let folder = Folder::with_demo();
    let model = script::model(ANSWER, Some(agent)).await;
    let (process, mut client) = serve(folder.path(), &model).await;
    let id = start(&mut client, ask(&process, "").await).await;
    let mut follower = Follower::new(&mut client, &id, 0).await;
    follower.until(&format!("step_started {agent}")).await;
    model.arrived(AGENTS.iter().position(|one| *one == agent).unwrap() + 1).await;
    process.kill().await;

    let (_process, mut client) = serve(folder.path(), &model).await;
    let whole = watch(&mut client, &id, 0).await;
    assert_went_on(&follower.seen, &whole);
    assert_eq!(calls(&model), expected_calls);
    // The watcher that was cut off comes back.
    let after = follower.seen.len();
    assert_same(&watch(&mut client, &id, i64::try_from(after).unwrap()).await, &whole[after..]);
}

#[tokio::test]
async fn killed_in_the_planner() {
    killed_while_asking("planner", [2, 1, 1]).await;
}

#[tokio::test]
async fn killed_in_the_mapper() {
    killed_while_asking("mapper", [1, 2, 1]).await;
}

#[tokio::test]
async fn killed_in_the_composer() {
    killed_while_asking("composer", [1, 1, 2]).await;
}

/// kill -9 as soon as a watcher hears of an event.
async fn killed_upon(event: &str, sql: &str) {
    let folder = Folder::with_demo();
    let model = script::model(sql, None).await;
    let (process, mut client) = serve(folder.path(), &model).await;
    let id = start(&mut client, ask(&process, "").await).await;
    let mut follower = Follower::new(&mut client, &id, 0).await;
    follower.until(event).await;
    process.kill().await;

    let (_process, mut client) = serve(folder.path(), &model).await;
    let whole = watch(&mut client, &id, 0).await;
    assert_went_on(&follower.seen, &whole);
    // What stood in the log as completed was not paid for again; what was in flight, once more at most.
    for (agent, calls) in AGENTS.into_iter().zip(calls(&model)) {
        let seen = names(&follower.seen).contains(&format!("step_completed {agent}"));
        assert!(calls == 1 || (calls == 2 && !seen), "{agent}: {calls} calls, killed upon {event}");
    }
}

#[tokio::test]
async fn killed_in_the_schema() {
    killed_upon("step_started load_schema", ANSWER).await;
}

#[tokio::test]
async fn killed_in_the_validator() {
    killed_upon("step_started validator", ANSWER).await;
}

#[tokio::test]
async fn killed_in_the_execution() {
    killed_upon("step_started execution", SLOW).await;
}

#[tokio::test]
async fn killed_upon_any_other_event() {
    let between =
        ["planner", "mapper", "composer", "validator", "execution"].map(|step| format!("step_completed {step}"));
    for event in ["workflow_started", "step_completed load_schema", "result"]
        .into_iter()
        .chain(between.iter().map(String::as_str))
    {
        killed_upon(event, ANSWER).await;
    }
}

#[tokio::test]
async fn the_builtin_engine_goes_on_as_well() {
    for count in [1, 2, 4, 7, 10, 13, 14] {
        let folder = Folder::with_demo();
        let process = Process::serve(folder.path(), &["--demo"]).await;
        let mut client = WorkflowServiceClient::new(process.channel().await);
        let id = start(&mut client, ask(&process, "").await).await;
        let mut follower = Follower::new(&mut client, &id, 0).await;
        follower.at_least(count).await;
        process.kill().await;

        let process = Process::serve(folder.path(), &["--demo"]).await;
        let mut client = WorkflowServiceClient::new(process.channel().await);
        assert_went_on(&follower.seen, &watch(&mut client, &id, 0).await);
    }
}

#[tokio::test]
async fn killed_again_and_again() {
    let folder = Folder::with_demo();
    let model = ModelServer::start().await;
    for (agent, reply) in AGENTS.into_iter().zip([script::plan(), script::mapping(), script::statement(ANSWER)]) {
        model.stall(agent).on(agent, reply);
    }
    let (mut process, mut client) = serve(folder.path(), &model).await;
    let id = start(&mut client, ask(&process, "").await).await;
    let mut seen = Vec::new();
    for agent in AGENTS {
        let mut follower = Follower::new(&mut client, &id, i64::try_from(seen.len()).unwrap()).await;
        follower.until(&format!("step_started {agent}")).await;
        while model.requests_of(agent).is_empty() {
            model.arrived(model.requests().len() + 1).await;
        }
        seen.append(&mut follower.seen);
        process.kill().await;
        (process, client) = serve(folder.path(), &model).await;
    }
    let whole = watch(&mut client, &id, 0).await;
    assert_went_on(&[], &whole);
    assert_eq!(calls(&model), [2, 2, 2]);
}

#[tokio::test]
async fn a_start_that_was_answered_is_kept() {
    let folder = Folder::with_demo();
    let model = script::model(ANSWER, None).await;
    let (process, mut client) = serve(folder.path(), &model).await;
    let request = ask(&process, "once-and-only-once").await;
    let id = start(&mut client, request.clone()).await;
    process.kill().await;

    let (_process, mut client) = serve(folder.path(), &model).await;
    assert_eq!(start(&mut client, request).await, id, "the repeat is the same workflow");
    assert_went_on(&[], &watch(&mut client, &id, 0).await);
}

#[tokio::test]
async fn a_soft_stop_leaves_the_rest_to_the_next_process() {
    let folder = Folder::with_demo();
    let model = script::model(ANSWER, Some("mapper")).await;
    let (mut process, mut client) = serve(folder.path(), &model).await;
    let id = start(&mut client, ask(&process, "").await).await;
    let mut follower = Follower::new(&mut client, &id, 0).await;
    follower.until("step_started mapper").await;
    model.arrived(2).await;
    process.signal("TERM").await;
    assert_eq!(process.ended().await.code(), Some(0));

    let (_process, mut client) = serve(folder.path(), &model).await;
    let whole = watch(&mut client, &id, 0).await;
    assert_went_on(&follower.seen, &whole);
    assert_eq!(calls(&model), [1, 2, 1]);
}

#[tokio::test]
async fn a_folder_has_one_process() {
    let folder = Folder::new();
    let _first = Process::serve(folder.path(), &[]).await;
    let mut second = pulse();
    second.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path());
    let ended = tokio::time::timeout(std::time::Duration::from_mins(1), second.output()).await.unwrap().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("PULSE_DATA_DIR") && said.contains("in use by another Pulse"), "{said}");
}
