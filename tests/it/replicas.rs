//! Several processes on one Redis: no workflow is lost, doubled or stuck, whatever dies.

use std::path::Path;

use pulse::pb::v1::workflow_service_client::WorkflowServiceClient;
use pulse::pb::v1::{CancelWorkflowRequest, WorkflowEvent};
use tonic::transport::Channel;

use crate::support::calls::{assert_whole_log, connection_id, kind, question, start, watch};
use crate::support::follow::{Follower, assert_same, names};
use crate::support::model_server::ModelServer;
use crate::support::process::Process;
use crate::support::script::{self, AGENTS, ANSWER, QUESTION};
use crate::support::server::Folder;
use crate::support::servers::{ENCRYPTION_KEY, RedisServer};

/// A process on this Redis, and a client of it.
async fn replica(
    folder: &Path,
    redis: &RedisServer,
    model: &ModelServer,
    lease: &str,
) -> (Process, WorkflowServiceClient<Channel>) {
    let url = redis.url();
    let own = ["--store", &url, "--encryption-key", ENCRYPTION_KEY, "--lease", lease, "--demo"];
    let process = Process::serve(folder, &script::flags(model, &own)).await;
    let client = WorkflowServiceClient::new(process.channel().await);
    (process, client)
}

/// A Redis, and two processes of which the first has a workflow whose composer the model leaves without an answer.
struct Pair {
    _redis: RedisServer,
    model: ModelServer,
    first: (Process, WorkflowServiceClient<Channel>),
    second: (Process, WorkflowServiceClient<Channel>),
    id: String,
    /// Watches through the second.
    follower: Follower,
    _folder: Folder,
}

async fn pair(lease: &str) -> Pair {
    let redis = RedisServer::start(&[]).await;
    let folder = Folder::with_demo();
    let model = script::model(ANSWER, Some("composer")).await;
    let mut first = replica(folder.path(), &redis, &model, lease).await;
    let mut second = replica(folder.path(), &redis, &model, lease).await;
    let demo = connection_id(&first.0.channel().await, "demo").await;
    let id = start(&mut first.1, question(&demo, QUESTION)).await;
    let mut follower = Follower::new(&mut second.1, &id, 0).await;
    follower.until("step_started composer").await;
    model.arrived(3).await;
    Pair { _redis: redis, model, first, second, id, follower, _folder: folder }
}

/// The log is whole and ends well, and of what was done before the composer nothing was done again.
#[track_caller]
fn assert_went_on(model: &ModelServer, events: &[WorkflowEvent]) {
    assert_whole_log(events, 0);
    assert_eq!(kind(events.last().unwrap()), "completed", "{:?}", names(events));
    assert_eq!(AGENTS.map(|agent| model.requests_of(agent).len()), [1, 1, 2]);
    let started = names(events).iter().filter(|name| *name == "step_started composer").count();
    assert_eq!(started, 2, "{:?}", names(events));
}

#[tokio::test]
async fn what_a_killed_replica_held_goes_on_at_another() {
    let Pair { model, first, mut second, id, follower, _redis, _folder } = pair("1s").await;
    first.0.kill().await;
    let events = follower.rest().await;
    assert_went_on(&model, &events);
    assert_same(&watch(&mut second.1, &id, 0).await, &events);
}

#[tokio::test]
async fn a_replica_that_stops_gives_its_work_back_at_once() {
    // Nobody waits for such a lease to run out.
    let Pair { model, mut first, second: _second, follower, _redis, _folder, .. } = pair("10m").await;
    first.0.signal("TERM").await;
    assert_eq!(first.0.ended().await.code(), Some(0));
    assert_went_on(&model, &follower.rest().await);
}

#[tokio::test]
async fn a_frozen_replica_finds_its_work_taken() {
    let Pair { model, mut first, mut second, id, follower, _redis, _folder } = pair("1s").await;
    first.0.signal("STOP").await;
    let events = follower.rest().await;
    assert_went_on(&model, &events);
    first.0.signal("CONT").await;
    // It gives up the call that it still waits for, and writes nothing.
    model.abandoned(1).await;
    for client in [&mut first.1, &mut second.1] {
        assert_same(&watch(client, &id, 0).await, &events);
    }
}

#[tokio::test]
async fn any_replica_cancels() {
    let Pair { model, first: _first, mut second, id, follower, _redis, _folder } = pair("10m").await;
    let request = CancelWorkflowRequest { id: id.clone(), reason: "enough".to_owned() };
    second.1.cancel_workflow(request).await.unwrap();
    model.abandoned(1).await;
    let events = follower.rest().await;
    assert_whole_log(&events, 0);
    assert_eq!(names(&events)[events.len() - 2..], ["cancel_requested", "cancelled"]);
}

#[tokio::test]
async fn what_one_replica_has_no_room_for_another_takes() {
    let redis = RedisServer::start(&[]).await;
    let folder = Folder::with_demo();
    let model = script::model(ANSWER, Some("planner")).await;
    let url = redis.url();
    let own = ["--store", &url, "--encryption-key", ENCRYPTION_KEY, "--max-workflows", "1", "--demo"];
    let flags = script::flags(&model, &own);
    let first = Process::serve(folder.path(), &flags).await;
    let mut client = WorkflowServiceClient::new(first.channel().await);
    let demo = connection_id(&first.channel().await, "demo").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(start(&mut client, question(&demo, QUESTION)).await);
    }
    model.arrived(1).await;
    let _second = Process::serve(folder.path(), &flags).await;
    // Each asks for one; the third waits until one of them is done.
    model.arrived(2).await;
    model.release("planner");
    for id in ids {
        let events = watch(&mut client, &id, 0).await;
        assert_eq!(kind(events.last().unwrap()), "completed", "{:?}", names(&events));
    }
    assert_eq!(model.requests_of("planner").len(), 3);
}
