//! A watch that is read step by step, and what an event says in one word.

use std::time::Duration;

use pulse::pb::v1::workflow_event::Event;
use pulse::pb::v1::workflow_service_client::WorkflowServiceClient;
use pulse::pb::v1::{Failure, WatchWorkflowRequest, WatchWorkflowResponse, Workflow, WorkflowEvent};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::calls::{kind, step};

/// Longest wait for the next event.
const PATIENCE: Duration = Duration::from_mins(1);

/// One watcher and what it has seen; heartbeats are left out.
pub struct Follower {
    stream: Streaming<WatchWorkflowResponse>,
    pub seen: Vec<WorkflowEvent>,
}

impl Follower {
    /// Watches from an event on.
    pub async fn new(client: &mut WorkflowServiceClient<Channel>, id: &str, after_sequence: i64) -> Self {
        let request = WatchWorkflowRequest { id: id.to_owned(), after_sequence, ..WatchWorkflowRequest::default() };
        Self { stream: client.watch_workflow(request).await.unwrap().into_inner(), seen: Vec::new() }
    }

    /// Reads on until the newest event is a wanted one. `what` names an event as [`name`] does.
    pub async fn until(&mut self, what: &str) -> WorkflowEvent {
        while let Some(event) = self.next().await {
            if name(&event) == what {
                return event;
            }
        }
        panic!("the workflow ended without `{what}`: {:?}", names(&self.seen));
    }

    /// Reads on until so many events were seen, or the stream ends.
    pub async fn at_least(&mut self, count: usize) {
        while self.seen.len() < count && self.next().await.is_some() {}
    }

    /// Reads to the end of the stream, which must be OK, and returns all that was seen.
    pub async fn rest(mut self) -> Vec<WorkflowEvent> {
        while self.next().await.is_some() {}
        self.seen
    }

    /// Reads on to the error that ends the stream.
    pub async fn error(mut self) -> Status {
        loop {
            match self.try_next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended well: {:?}", names(&self.seen)),
                Err(status) => return status,
            }
        }
    }

    async fn next(&mut self) -> Option<WorkflowEvent> {
        self.try_next().await.unwrap()
    }

    async fn try_next(&mut self) -> Result<Option<WorkflowEvent>, Status> {
        loop {
            let response = tokio::time::timeout(PATIENCE, self.stream.message()).await.expect("an event in time");
            let Some(response) = response? else { return Ok(None) };
            let event = response.event.unwrap();
            if !matches!(event.event, Some(Event::Heartbeat(_))) {
                self.seen.push(event.clone());
                return Ok(Some(event));
            }
        }
    }
}

/// An event in short: its kind, and for step events the step, such as `step_started planner`.
pub fn name(event: &WorkflowEvent) -> String {
    match step(event) {
        Some(step) => format!("{} {}", kind(event), step.name),
        None => kind(event).to_owned(),
    }
}

/// All events in short.
pub fn names(events: &[WorkflowEvent]) -> Vec<String> {
    events.iter().map(name).collect()
}

/// The reason of a failure without its prefix.
pub fn reason(failure: &Failure) -> &'static str {
    failure.reason().as_str_name().trim_start_matches("ERROR_REASON_")
}

/// Why a workflow failed, from its last event.
#[track_caller]
pub fn failed(events: &[WorkflowEvent]) -> &Failure {
    match events.last().and_then(|event| event.event.as_ref()) {
        Some(Event::Failed(failed)) => failed.failure.as_ref().unwrap(),
        other => panic!("the workflow did not fail but: {other:?}"),
    }
}

/// The workflow as `GetWorkflow` tells it.
pub async fn workflow(client: &mut WorkflowServiceClient<Channel>, id: &str) -> Workflow {
    let request = pulse::pb::v1::GetWorkflowRequest { id: id.to_owned() };
    client.get_workflow(request).await.unwrap().into_inner().workflow.unwrap()
}

/// Two watchers saw the same; else the first event that differs is shown.
#[track_caller]
pub fn assert_same(one: &[WorkflowEvent], other: &[WorkflowEvent]) {
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one, other);
    }
    assert_eq!(names(one), names(other));
}
