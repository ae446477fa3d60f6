//! State in Redis: what the embedded store promises holds there as well, and Redis may come and go.

use std::time::Duration;

use pulse::pb::v1::connection_service_client::ConnectionServiceClient;
use pulse::pb::v1::workflow_service_client::WorkflowServiceClient;
use pulse::pb::v1::{ListConnectionsRequest, ListWorkflowsRequest};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::support::calls::{assert_error, assert_whole_log, connection_id, kind, question, reason, run, start, watch};
use crate::support::follow::{Follower, assert_same, names};
use crate::support::process::{Process, pulse};
use crate::support::script::{self, ANSWER, QUESTION};
use crate::support::server::{Folder, Server};
use crate::support::servers::{CERTIFICATES, ENCRYPTION_KEY, RedisServer};

const PATIENCE: Duration = Duration::from_mins(1);

/// A Redis that keeps what it acknowledged.
async fn durable() -> RedisServer {
    RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await
}

/// Flags of a server whose state is there.
fn flags<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--store", url, "--encryption-key", ENCRYPTION_KEY], more].concat()
}

/// Waits until a service has this health.
async fn health(server: &Server, service: &str, wanted: ServingStatus) {
    let mut client = HealthClient::new(server.channel.clone());
    let mut changes = client.watch(HealthCheckRequest { service: service.to_owned() }).await.unwrap().into_inner();
    let becomes = async { while changes.message().await.unwrap().unwrap().status() != wanted {} };
    tokio::time::timeout(PATIENCE, becomes).await.unwrap_or_else(|_| panic!("{service:?} becomes {wanted:?}"));
}

#[tokio::test]
async fn a_server_starts_without_redis_and_becomes_ready_with_it() {
    let redis = RedisServer::down(&[]).await;
    let mut server = Server::with(&flags(&redis.url(), &[])).await;
    health(&server, "", ServingStatus::Serving).await;
    health(&server, "pulse.v1.WorkflowService", ServingStatus::NotServing).await;
    let refused = server.connections.list_connections(ListConnectionsRequest::default()).await.unwrap_err();
    assert_error(&refused, Code::Unavailable, "STORE_UNAVAILABLE", &[]);
    assert!(refused.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{refused:?}");

    redis.restart().await;
    health(&server, "pulse.v1.WorkflowService", ServingStatus::Serving).await;
    server.connections.list_connections(ListConnectionsRequest::default()).await.unwrap();
    redis.freeze().await;
    health(&server, "pulse.v1.WorkflowService", ServingStatus::NotServing).await;
    let refused = server.connections.list_connections(ListConnectionsRequest::default()).await.unwrap_err();
    assert_error(&refused, Code::Unavailable, "STORE_UNAVAILABLE", &[]);
    redis.thaw().await;
    health(&server, "pulse.v1.WorkflowService", ServingStatus::Serving).await;
}

#[tokio::test]
async fn the_demo_waits_for_redis() {
    let redis = RedisServer::down(&[]).await;
    let folder = Folder::new();
    let server = Process::serve(folder.path(), &flags(&redis.url(), &["--demo"])).await;
    let mut client = ConnectionServiceClient::new(server.channel().await);
    redis.restart().await;
    let saved = async {
        loop {
            let list = client.list_connections(ListConnectionsRequest::default()).await;
            match list.map(|list| list.into_inner().connections) {
                Ok(connections) if !connections.is_empty() => return connections,
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    let connections = tokio::time::timeout(PATIENCE, saved).await.expect("the demo connection is saved");
    assert_eq!(connections.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["demo"]);
}

#[tokio::test]
async fn questions_are_answered() {
    for program in ["redis-server", "redis-server-6.2", "valkey-server"] {
        questions_are_answered_on(&RedisServer::start_as(program, &[]).await).await;
    }
}

async fn questions_are_answered_on(redis: &RedisServer) {
    let mut server = Server::demo(&flags(&redis.url(), &[])).await;
    let demo = connection_id(&server.channel, "demo").await;
    let (id, events) = run(&mut server.workflows, question(&demo, QUESTION)).await;
    assert_whole_log(&events, 0);
    assert_eq!(kind(events.last().unwrap()), "completed", "{:?}", names(&events));
    assert_same(&watch(&mut server.workflows, &id, 3).await, &events[3..]);
    let listed = server.workflows.list_workflows(ListWorkflowsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.workflows.iter().map(|one| &one.id).collect::<Vec<_>>(), [&id]);
}

#[tokio::test]
async fn workflows_and_watchers_outlive_a_restart_of_redis() {
    let redis = durable().await;
    let url = redis.url();
    let model = script::model(ANSWER, Some("mapper")).await;
    let mut server = Server::demo(&script::flags(&model, &flags(&url, &[]))).await;
    let demo = connection_id(&server.channel, "demo").await;
    let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
    let mut follower = Follower::new(&mut server.workflows, &id, 0).await;
    follower.until("step_started mapper").await;
    redis.kill().await;
    health(&server, "pulse.v1.WorkflowService", ServingStatus::NotServing).await;
    // The answer comes while there is no store; it is not lost.
    model.release("mapper");
    redis.restart().await;
    let events = follower.rest().await;
    assert_whole_log(&events, 0);
    assert_eq!(kind(events.last().unwrap()), "completed", "{:?}", names(&events));
    assert_eq!(model.requests_of("mapper").len(), 1);
    assert_same(&watch(&mut server.workflows, &id, 0).await, &events);
}

#[tokio::test]
async fn an_emptied_redis_ends_watchers_with_data_loss() {
    let redis = RedisServer::start(&[]).await;
    let url = redis.url();
    let model = script::model(ANSWER, Some("mapper")).await;
    let mut server = Server::demo(&script::flags(&model, &flags(&url, &[]))).await;
    let demo = connection_id(&server.channel, "demo").await;
    let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
    let mut follower = Follower::new(&mut server.workflows, &id, 0).await;
    follower.until("step_started mapper").await;
    redis.cli(&["FLUSHALL"]).await;
    let lost = follower.error().await;
    assert_eq!((lost.code(), reason(&lost).as_str()), (Code::DataLoss, "STORE_DATA_LOST"), "{lost:?}");
    let request = pulse::pb::v1::GetWorkflowRequest { id };
    let gone = server.workflows.get_workflow(request).await.unwrap_err();
    assert_error(&gone, Code::NotFound, "WORKFLOW_NOT_FOUND", &[]);
    // And what comes next works.
    server.connections.list_connections(ListConnectionsRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_store_behind_tls_is_used_when_its_authority_is_known() {
    let redis = RedisServer::start(&[]).await;
    let port = redis.speak_tls(&CERTIFICATES.server, &CERTIFICATES.server_key).await;
    let url = format!("rediss://localhost:{port}");
    let folder = Folder::new();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, &CERTIFICATES.authority).unwrap();
    let flags = flags(&url, &[]);

    let trusting = Process::serve_with(folder.path(), &flags, &[("SSL_CERT_FILE", authority.to_str().unwrap())]).await;
    let mut connections = ConnectionServiceClient::new(trusting.channel().await);
    connections.list_connections(ListConnectionsRequest::default()).await.unwrap();
    trusting.kill().await;
    let wary = Process::serve(folder.path(), &flags).await;
    let mut connections = ConnectionServiceClient::new(wary.channel().await);
    let refused = connections.list_connections(ListConnectionsRequest::default()).await.unwrap_err();
    assert_error(&refused, Code::Unavailable, "STORE_UNAVAILABLE", &[]);
}

#[tokio::test]
async fn what_a_killed_process_left_is_taken_up() {
    let redis = durable().await;
    let url = redis.url();
    let folder = Folder::with_demo();
    let model = script::model(ANSWER, Some("composer")).await;
    let flags = script::flags(&model, &flags(&url, &["--demo"]));
    let process = Process::serve(folder.path(), &flags).await;
    let mut client = WorkflowServiceClient::new(process.channel().await);
    let demo = connection_id(&process.channel().await, "demo").await;
    let id = start(&mut client, question(&demo, QUESTION)).await;
    let mut follower = Follower::new(&mut client, &id, 0).await;
    follower.until("step_started composer").await;
    // The step stands in the log before its call is sent: it is the first call that gets no answer.
    model.arrived(3).await;
    process.kill().await;

    let process = Process::serve(folder.path(), &flags).await;
    let mut client = WorkflowServiceClient::new(process.channel().await);
    let whole = watch(&mut client, &id, 0).await;
    assert_whole_log(&whole, 0);
    assert_same(&follower.seen, &whole[..follower.seen.len()]);
    assert_eq!(kind(whole.last().unwrap()), "completed", "{:?}", names(&whole));
    assert_eq!((model.requests_of("planner").len(), model.requests_of("mapper").len()), (1, 1));
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_the_remedy() {
    let evicting = RedisServer::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lfu"]).await;
    let password = "redis://:s3cret@127.0.0.1:1?timeout=3";
    for (arguments, expected) in [
        (vec!["--store", password], "PULSE_ENCRYPTION_KEY: is required with Redis"),
        (vec!["--store", password, "--encryption-key", ENCRYPTION_KEY], "PULSE_STORE: `timeout` is no parameter"),
        (vec!["--redis-url", password, "--encryption-key", ENCRYPTION_KEY], "REDIS_URL: `timeout` is no parameter"),
        (vec!["--store", &evicting.url(), "--encryption-key", ENCRYPTION_KEY], "set it to noeviction"),
    ] {
        let folder = Folder::new();
        let mut command = pulse();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path()).args(&arguments);
        let ended = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{said}");
        assert!(said.contains(expected) && !said.contains("s3cret"), "{said}");
    }
}

/// Two workflows that end, then a start that keeps one of them.
async fn too_many_are_removed(flags: &[&str]) {
    let mut server = Server::demo(flags).await;
    let demo = connection_id(&server.channel, "demo").await;
    let (old, _) = run(&mut server.workflows, question(&demo, QUESTION)).await;
    let (new, _) = run(&mut server.workflows, question(&demo, QUESTION)).await;
    let folder = server.stop().await;
    let mut server = Server::on(folder, &[flags, &["--keep-workflows", "1"]].concat(), false).await;
    let listed = async {
        loop {
            let list = server.workflows.list_workflows(ListWorkflowsRequest::default()).await.unwrap().into_inner();
            if list.workflows.len() == 1 {
                return list.workflows;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let left = tokio::time::timeout(PATIENCE, listed).await.expect("the other one is removed");
    assert_eq!(left[0].id, new);
    let request = pulse::pb::v1::WatchWorkflowRequest { id: old, ..Default::default() };
    let gone = match server.workflows.watch_workflow(request).await {
        Ok(stream) => stream.into_inner().message().await.unwrap_err(),
        Err(status) => status,
    };
    assert_error(&gone, Code::NotFound, "WORKFLOW_NOT_FOUND", &[]);
    assert!(gone.message().contains("removed"), "{gone:?}");
}

#[tokio::test]
async fn more_than_are_kept_are_removed() {
    too_many_are_removed(&[]).await;
    let redis = RedisServer::start(&[]).await;
    too_many_are_removed(&flags(&redis.url(), &[])).await;
}
