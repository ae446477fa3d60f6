//! Short forms of what most tests do: ask, watch to the end, read an error's details.

use pulse::pb::v1::workflow_event::Event;
use pulse::pb::v1::workflow_service_client::WorkflowServiceClient;
use pulse::pb::v1::{
    ListConnectionsRequest, StartWorkflowRequest, Step, WatchWorkflowRequest, WorkflowEvent, connection_service_client,
    start_workflow_request::Source,
};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A request to ask `question` of a saved connection, with every option at its default.
pub fn question(connection_id: &str, question: &str) -> StartWorkflowRequest {
    StartWorkflowRequest {
        question: question.to_owned(),
        source: Some(Source::ConnectionId(connection_id.to_owned())),
        ..StartWorkflowRequest::default()
    }
}

/// Id of the saved connection of this name.
pub async fn connection_id(channel: &Channel, name: &str) -> String {
    let mut client = connection_service_client::ConnectionServiceClient::new(channel.clone());
    let list = client.list_connections(ListConnectionsRequest::default()).await.unwrap().into_inner();
    list.connections.into_iter().find(|one| one.name == name).unwrap_or_else(|| panic!("no connection {name}")).id
}

/// Starts the workflow and returns its id.
pub async fn start(client: &mut WorkflowServiceClient<Channel>, request: StartWorkflowRequest) -> String {
    client.start_workflow(request).await.unwrap().into_inner().workflow.unwrap().id
}

/// Every stored event after a sequence, until the terminal one. Heartbeats are left out.
pub async fn watch(client: &mut WorkflowServiceClient<Channel>, id: &str, after_sequence: i64) -> Vec<WorkflowEvent> {
    let request = WatchWorkflowRequest { id: id.to_owned(), after_sequence, ..WatchWorkflowRequest::default() };
    let mut stream = client.watch_workflow(request).await.unwrap().into_inner();
    let mut events = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        let event = response.event.unwrap();
        if !matches!(event.event, Some(Event::Heartbeat(_))) {
            events.push(event);
        }
    }
    events
}

/// Asks, watches to the end, and returns the id with all events.
pub async fn run(
    client: &mut WorkflowServiceClient<Channel>,
    request: StartWorkflowRequest,
) -> (String, Vec<WorkflowEvent>) {
    let id = start(client, request).await;
    let events = watch(client, &id, 0).await;
    (id, events)
}

/// The kind of an event as in the proto's oneof.
pub fn kind(event: &WorkflowEvent) -> &'static str {
    match event.event.as_ref().unwrap() {
        Event::WorkflowStarted(_) => "workflow_started",
        Event::StepStarted(_) => "step_started",
        Event::StepCompleted(_) => "step_completed",
        Event::StepFailed(_) => "step_failed",
        Event::Retrying(_) => "retrying",
        Event::Awaiting(_) => "awaiting",
        Event::Resumed(_) => "resumed",
        Event::CancelRequested(_) => "cancel_requested",
        Event::Result(_) => "result",
        Event::Completed(_) => "completed",
        Event::Failed(_) => "failed",
        Event::Cancelled(_) => "cancelled",
        Event::Heartbeat(_) => "heartbeat",
    }
}

/// The step of a step event.
pub fn step(event: &WorkflowEvent) -> Option<&Step> {
    match event.event.as_ref()? {
        Event::StepStarted(event) => event.step.as_ref(),
        Event::StepCompleted(event) => event.step.as_ref(),
        Event::StepFailed(event) => event.step.as_ref(),
        _ => None,
    }
}

/// Sequences are 1, 2, 3 … after `after`, and exactly the last event is terminal.
#[track_caller]
pub fn assert_whole_log(events: &[WorkflowEvent], after: i64) {
    let sequences: Vec<i64> = events.iter().map(|event| event.sequence).collect();
    let expected: Vec<i64> = (1..).skip(usize::try_from(after).unwrap()).take(events.len()).collect();
    assert_eq!(sequences, expected);
    let terminal = |event: &&WorkflowEvent| matches!(kind(event), "completed" | "failed" | "cancelled");
    assert_eq!(events.iter().filter(terminal).count(), 1, "{:?}", events.iter().map(kind).collect::<Vec<_>>());
    assert!(terminal(&events.last().unwrap()));
}

/// An error has this code, exactly one `ErrorInfo` of this reason in domain `pulse`, and names these fields.
#[track_caller]
pub fn assert_error(status: &Status, code: Code, reason: &str, fields: &[&str]) {
    assert_eq!(status.code(), code, "{status:?}");
    let details = status.get_error_details_vec();
    let infos = details.iter().filter_map(|detail| match detail {
        tonic_types::ErrorDetail::ErrorInfo(info) => Some((info.reason.as_str(), info.domain.as_str())),
        _ => None,
    });
    assert_eq!(infos.collect::<Vec<_>>(), [(reason, "pulse")], "{status:?}");
    let named = status.get_details_bad_request().map(|request| request.field_violations).unwrap_or_default();
    let named: Vec<&str> = named.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(named, fields, "{status:?}");
}

/// The fields an error names, sorted, for requests with several bad ones.
pub fn bad_fields(status: &Status) -> Vec<String> {
    let named = status.get_details_bad_request().map(|request| request.field_violations).unwrap_or_default();
    let mut named: Vec<String> = named.into_iter().map(|violation| violation.field).collect();
    named.sort();
    named
}

/// Every error carries exactly one `ErrorInfo` of Pulse's domain; returns its reason.
#[track_caller]
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details_vec();
    let mut infos = details.into_iter().filter_map(|detail| match detail {
        tonic_types::ErrorDetail::ErrorInfo(info) => Some(info),
        _ => None,
    });
    let info = infos.next().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!((info.domain.as_str(), infos.count()), ("pulse", 0), "{status:?}");
    info.reason
}
