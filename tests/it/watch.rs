//! Following a workflow: every watcher sees the same numbered events, whenever it comes and however often it leaves.

use futures::future::join_all;
use pulse::pb::v1::workflow_event::Event;
use pulse::pb::v1::{WatchWorkflowRequest, WorkflowEvent};
use tonic::{Code, Status};

use crate::support::calls::{assert_error, assert_whole_log, connection_id, kind, question, run, start, watch};
use crate::support::follow::{Follower, assert_same};
use crate::support::script::{self, ANSWER, QUESTION};
use crate::support::server::Server;

const NOBODYS: &str = "0198c0de-0000-7000-8000-000000000000";

/// The demo server with a workflow that has ended, and its events.
async fn ended() -> (Server, String, Vec<WorkflowEvent>) {
    let mut server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let (id, events) = run(&mut server.workflows, question(&demo, QUESTION)).await;
    assert_whole_log(&events, 0);
    (server, id, events)
}

/// The error of a watch, whether it comes at once or in the stream.
async fn refusal(server: &Server, request: WatchWorkflowRequest) -> Status {
    let mut client = server.workflows.clone();
    match client.watch_workflow(request).await {
        Ok(stream) => stream.into_inner().message().await.unwrap_err(),
        Err(status) => status,
    }
}

#[tokio::test]
async fn watchers_see_the_same_events() {
    let model = script::model(ANSWER, Some("composer")).await;
    let mut server = script::server(&model, &[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
    let mut early = Follower::new(&mut server.workflows, &id, 0).await;
    early.until("step_started composer").await;
    let late = Follower::new(&mut server.workflows, &id, 0).await;
    model.release("composer");
    let (early, late) = tokio::join!(early.rest(), late.rest());
    assert_whole_log(&early, 0);
    assert_same(&early, &late);
    // And so does one that comes after the end.
    assert_same(&early, &watch(&mut server.workflows, &id, 0).await);
}

#[tokio::test]
async fn coming_back_misses_nothing_and_repeats_nothing() {
    let (mut server, id, whole) = ended().await;
    for seen in 0..=whole.len() {
        let after = i64::try_from(seen).unwrap();
        assert_same(&watch(&mut server.workflows, &id, after).await, &whole[seen..]);
    }
    for (seen, event) in whole.iter().enumerate() {
        let request = WatchWorkflowRequest {
            id: id.clone(),
            after_cursor: event.cursor.clone(),
            ..WatchWorkflowRequest::default()
        };
        let mut stream = server.workflows.watch_workflow(request).await.unwrap().into_inner();
        let mut rest = Vec::new();
        while let Some(response) = stream.message().await.unwrap() {
            rest.push(response.event.unwrap());
        }
        assert_same(&rest, &whole[seen + 1..]);
    }
}

#[tokio::test]
async fn coming_back_while_it_runs_misses_nothing_either() {
    let model = script::model(ANSWER, Some("mapper")).await;
    let mut server = script::server(&model, &[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
    let mut first = Follower::new(&mut server.workflows, &id, 0).await;
    first.until("step_started mapper").await;
    let mut followers = Vec::new();
    for after in 0..=first.seen.len() {
        followers.push(Follower::new(&mut server.workflows, &id, i64::try_from(after).unwrap()).await);
    }
    model.release("mapper");
    let whole = first.rest().await;
    assert_whole_log(&whole, 0);
    for (after, events) in join_all(followers.into_iter().map(Follower::rest)).await.into_iter().enumerate() {
        assert_same(&events, &whole[after..]);
    }
}

#[tokio::test]
async fn a_watcher_that_leaves_after_every_event_sees_them_all() {
    let mut server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
    let mut seen: Vec<WorkflowEvent> = Vec::new();
    loop {
        let after = seen.last().map_or(0, |event| event.sequence);
        let mut follower = Follower::new(&mut server.workflows, &id, after).await;
        follower.at_least(1).await;
        if follower.seen.is_empty() {
            break;
        }
        seen.push(follower.seen.remove(0));
    }
    assert_whole_log(&seen, 0);
    assert_same(&watch(&mut server.workflows, &id, 0).await, &seen);
}

#[tokio::test]
async fn claiming_to_have_seen_more_is_data_loss() {
    let (server, id, whole) = ended().await;
    let beyond = i64::try_from(whole.len()).unwrap() + 1;
    for after_sequence in [beyond, i64::MAX] {
        let request = WatchWorkflowRequest { id: id.clone(), after_sequence, ..WatchWorkflowRequest::default() };
        let status = refusal(&server, request).await;
        assert_error(&status, Code::DataLoss, "LOG_REWOUND", &[]);
        let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
        assert_eq!(info.metadata["last_sequence"], whole.len().to_string());
    }

    let model = script::model(ANSWER, Some("planner")).await;
    let mut server = script::server(&model, &[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
    model.arrived(1).await;
    let request = WatchWorkflowRequest { id: id.clone(), after_sequence: 100, ..WatchWorkflowRequest::default() };
    assert_error(&refusal(&server, request).await, Code::DataLoss, "LOG_REWOUND", &[]);
    model.release("planner");
    watch(&mut server.workflows, &id, 0).await;
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let (server, id, _) = ended().await;
    let watch = |id: &str, after_sequence, after_cursor: &str| WatchWorkflowRequest {
        id: id.to_owned(),
        after_sequence,
        after_cursor: after_cursor.to_owned(),
    };
    let status = refusal(&server, watch(NOBODYS, 0, "")).await;
    assert_error(&status, Code::NotFound, "WORKFLOW_NOT_FOUND", &[]);
    let status = refusal(&server, watch(&id, -1, "???")).await;
    assert_error(&status, Code::InvalidArgument, "FIELD_INVALID", &["after_sequence", "after_cursor"]);
}

#[tokio::test]
async fn a_silent_watch_beats() {
    let model = script::model(ANSWER, Some("planner")).await;
    let mut server = script::server(&model, &["--heartbeat", "50ms"]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
    let request = WatchWorkflowRequest { id: id.clone(), ..WatchWorkflowRequest::default() };
    let mut stream = server.workflows.watch_workflow(request).await.unwrap().into_inner();
    let (mut last, mut beats) = (0, 0);
    while let Some(response) = stream.message().await.unwrap() {
        let event = response.event.unwrap();
        let Some(Event::Heartbeat(beat)) = &event.event else {
            assert_eq!(event.sequence, last + 1, "heartbeats take no number");
            last = event.sequence;
            continue;
        };
        assert_eq!((event.sequence, event.cursor.as_str()), (0, ""));
        assert!(beat.last_sequence >= last && event.workflow_id == id, "{event:?} after {last}");
        beats += 1;
        if beats == 3 {
            model.release("planner");
        }
    }
    assert!(beats >= 3 && last > 10);
    let replay = watch(&mut server.workflows, &id, 0).await;
    assert_eq!(i64::try_from(replay.len()).unwrap(), last, "heartbeats are not stored");
}

#[tokio::test]
async fn a_slow_reader_holds_up_nobody_and_gets_everything() {
    let mut server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
    // Nothing is read from this one until the workflow has ended.
    let slow = Follower::new(&mut server.workflows, &id, 0).await;
    let whole = watch(&mut server.workflows, &id, 0).await;
    assert_eq!(kind(whole.last().unwrap()), "completed");
    let seen = slow.rest().await;
    assert_same(&seen, &whole);
}
