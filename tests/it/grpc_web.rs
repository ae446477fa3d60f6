//! gRPC-Web at both doors that browsers have: Pulse's own port, and a gateway in front of it.

use std::net::SocketAddr;

use prost::Message;
use pulse::pb::v1::stream_query_response::Part;
use pulse::pb::v1::{
    ExecuteQueryRequest, ExecuteQueryResponse, ListConnectionsRequest, ListConnectionsResponse, StreamQueryRequest,
    StreamQueryResponse, TruncationReason, WatchWorkflowRequest, WatchWorkflowResponse, WorkflowEvent,
    stream_batch::Data,
};

use crate::support::calls::{assert_whole_log, connection_id, question, start};
use crate::support::databases::{statement, stream_of};
use crate::support::follow::name;
use crate::support::http::{Form, WebAnswer, WebCall, WebFrame};
use crate::support::script::{self, ANSWER, QUESTION};
use crate::support::server::Server;
use crate::support::servers::Gateway;

const LIST_CONNECTIONS: &str = "/pulse.v1.ConnectionService/ListConnections";
const EXECUTE_QUERY: &str = "/pulse.v1.QueryService/ExecuteQuery";
const STREAM_QUERY: &str = "/pulse.v1.QueryService/StreamQuery";
const WATCH_WORKFLOW: &str = "/pulse.v1.WorkflowService/WatchWorkflow";

/// In one piece, and in pieces that cut the head of the frame.
const PIECES: [usize; 2] = [usize::MAX, 3];

/// Every way to call: door, form, and size of the pieces in which the request comes.
async fn ways(server: &Server) -> (Gateway, Vec<(SocketAddr, Form, usize)>) {
    let gateway = Gateway::before(&[server.address], &[]).await;
    let doors = [server.address, gateway.address];
    let forms = doors.into_iter().flat_map(|door| [Form::Binary, Form::Text].map(|form| (door, form)));
    let ways = forms.flat_map(|(door, form)| PIECES.map(|piece| (door, form, piece))).collect();
    (gateway, ways)
}

#[track_caller]
fn assert_ok(answer: &WebAnswer) {
    assert_eq!((answer.http_status, answer.trailer("grpc-status")), (200, Some("0")), "{:?}", answer.trailers);
}

/// The answer is this error, complete with the details that a browser reads from its binary trailer.
#[track_caller]
fn assert_refused(answer: &WebAnswer, code: i32, reason: &str) {
    assert_eq!((answer.http_status, answer.trailer("grpc-status")), (200, Some(&*code.to_string())), "{answer:?}");
    let status = answer.status();
    assert_eq!(status.code, code);
    let info = status.details.iter().find(|detail| detail.type_url.ends_with("/google.rpc.ErrorInfo"));
    let info = tonic_types::pb::ErrorInfo::decode(&*info.unwrap().value).unwrap();
    assert_eq!((&*info.reason, &*info.domain), (reason, "pulse"));
}

#[tokio::test]
async fn a_call_is_answered_in_either_form() {
    let server = Server::demo(&[]).await;
    let (_gateway, ways) = ways(&server).await;
    for (door, form, piece) in ways {
        let request = ListConnectionsRequest::default();
        let answer = WebCall::new(door, LIST_CONNECTIONS, &request, form, piece).await.whole().await;
        assert_ok(&answer);
        let [message] = &answer.messages[..] else { panic!("{answer:?}") };
        assert_eq!(ListConnectionsResponse::decode(&message[..]).unwrap().connections[0].name, "demo");
    }
}

#[tokio::test]
async fn an_error_before_a_stream_has_its_details() {
    let server = Server::start().await;
    let (_gateway, ways) = ways(&server).await;
    let request = WatchWorkflowRequest { id: "0198c0de-0000-7000-8000-000000000000".to_owned(), ..Default::default() };
    for (door, form, piece) in ways {
        let answer = WebCall::new(door, WATCH_WORKFLOW, &request, form, piece).await.whole().await;
        assert!(answer.messages.is_empty(), "{answer:?}");
        assert_refused(&answer, 5, "WORKFLOW_NOT_FOUND");
    }
}

/// Rows of 100 bytes and more, of which the last one cannot be computed.
const BREAKING: &str = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20000) \
    SELECT n, 'a hundred bytes of text, so that several batches are on their way before the last row, which has no value' AS t, \
    abs(CASE WHEN n = 20000 THEN -9223372036854775807 - 1 ELSE n END) AS a FROM c";

#[tokio::test]
async fn an_error_inside_a_stream_has_its_details() {
    let server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let (_gateway, ways) = ways(&server).await;
    for (door, form, piece) in ways {
        let answer = WebCall::new(door, STREAM_QUERY, &stream_of(&demo, BREAKING), form, piece).await.whole().await;
        let parts =
            answer.messages.iter().map(|message| StreamQueryResponse::decode(&message[..]).unwrap().part.unwrap());
        let parts: Vec<Part> = parts.collect();
        assert!(matches!(parts[..], [Part::Header(_), Part::Batch(_), ..]), "{} parts", parts.len());
        assert!(!parts.iter().any(|part| matches!(part, Part::Summary(_))));
        assert_refused(&answer, 3, "SQL_FAILED");
    }
}

/// As many rows of 1 KiB.
fn wide(count: usize) -> String {
    format!(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) \
         SELECT n, hex(zeroblob(512)) AS t FROM c"
    )
}

#[tokio::test]
async fn the_largest_answer_arrives_whole() {
    let server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let (_gateway, ways) = ways(&server).await;
    let request = ExecuteQueryRequest { max_rows: 10_000, ..statement(&demo, &wide(5_000)) };
    for (door, form, piece) in ways {
        let answer = WebCall::new(door, EXECUTE_QUERY, &request, form, piece).await.whole().await;
        assert_ok(&answer);
        let [message] = &answer.messages[..] else { panic!("{} messages", answer.messages.len()) };
        let result = ExecuteQueryResponse::decode(&message[..]).unwrap();
        assert_eq!(result.truncation_reason(), TruncationReason::MaxBytes);
        assert!(message.len() > 2_500_000 && result.rows.len() > 2_400, "{} rows", result.rows.len());
    }
}

#[tokio::test]
async fn a_large_stream_arrives_whole() {
    let server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let (_gateway, ways) = ways(&server).await;
    let request: StreamQueryRequest = stream_of(&demo, &wide(4_000));
    for (door, form, piece) in ways {
        let answer = WebCall::new(door, STREAM_QUERY, &request, form, piece).await.whole().await;
        assert_ok(&answer);
        let mut rows = 0;
        for message in &answer.messages {
            if let Some(Part::Batch(batch)) = StreamQueryResponse::decode(&message[..]).unwrap().part
                && let Some(Data::Rows(batch)) = batch.data
            {
                rows += batch.rows.len();
            }
        }
        assert_eq!(rows, 4_000);
    }
}

/// Reads events until one of this name.
async fn until(call: &mut WebCall, what: &str) -> Vec<WorkflowEvent> {
    let mut events = Vec::new();
    while let Some(WebFrame::Message(message)) = call.next().await {
        let event = WatchWorkflowResponse::decode(&message[..]).unwrap().event.unwrap();
        let found = name(&event) == what;
        events.push(event);
        if found {
            return events;
        }
    }
    panic!("the stream ended without {what}");
}

#[tokio::test]
async fn events_arrive_while_the_stream_is_open() {
    let model = script::model(ANSWER, Some("composer")).await;
    let mut server = script::server(&model, &[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let (_gateway, ways) = ways(&server).await;
    let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
    let request = WatchWorkflowRequest { id, ..Default::default() };
    let mut calls = Vec::new();
    for (door, form, piece) in ways {
        let mut call = WebCall::new(door, WATCH_WORKFLOW, &request, form, piece).await;
        let events = until(&mut call, "step_started composer").await;
        calls.push((call, events));
    }
    model.release("composer");
    for (mut call, mut events) in calls {
        events.extend(until(&mut call, "completed").await);
        assert_whole_log(&events, 0);
        // The trailers come by themselves, or with the last event.
        let Some(WebFrame::Trailers(trailers)) = call.next().await else { panic!("no trailers") };
        assert!(trailers.contains(&("grpc-status".to_owned(), "0".to_owned())), "{trailers:?}");
        assert!(call.next().await.is_none());
    }
}
