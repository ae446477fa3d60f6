//! The port: health, reflection, gRPC-Web with CORS, plain HTTP, limits of a call, and the soft stop.

use prost::Message;
use prost_types::FileDescriptorProto;
use pulse::pb::v1::connection_service_client::ConnectionServiceClient;
use pulse::pb::v1::start_workflow_request::Source;
use pulse::pb::v1::stream_query_response::Part;
use pulse::pb::v1::{
    Engine, GetConnectionRequest, ListConnectionsRequest, ListConnectionsResponse, StartWorkflowRequest,
    WatchWorkflowRequest,
};
use tokio_stream::StreamExt;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::support::calls::{assert_error, connection_id, question};
use crate::support::databases::{statement, stream_of};
use crate::support::http::{self, grpc_web, url};
use crate::support::server::Server;

const SERVICES: [&str; 4] =
    ["pulse.v1.ConnectionService", "pulse.v1.KnowledgeService", "pulse.v1.QueryService", "pulse.v1.WorkflowService"];
const LIST_CONNECTIONS: &str = "/pulse.v1.ConnectionService/ListConnections";
const ORIGIN: &str = "https://pulse.example.org";

#[tokio::test]
async fn each_service_has_its_health() {
    let server = Server::start().await;
    let mut health = HealthClient::new(server.channel.clone());
    for service in SERVICES.into_iter().chain([""]) {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let request = HealthCheckRequest { service: "pulse.v1.NoService".to_owned() };
    assert_eq!(health.check(request).await.unwrap_err().code(), Code::NotFound);
}

/// Both versions of the reflection protocol are the same but for their package.
macro_rules! reflection_test {
    ($name:ident, $version:ident) => {
        #[tokio::test]
        async fn $name() {
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            use tonic_reflection::pb::$version::{ServerReflectionRequest, ServerReflectionResponse};

            let server = Server::start().await;
            let mut client = ServerReflectionClient::new(server.channel.clone());
            let asked = [
                MessageRequest::ListServices(String::new()),
                MessageRequest::FileContainingSymbol("pulse.v1.WorkflowService".to_owned()),
                MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".to_owned()),
            ];
            let asked =
                asked.map(|request| ServerReflectionRequest { message_request: Some(request), ..Default::default() });
            let stream = client.server_reflection_info(tokio_stream::iter(asked)).await.unwrap().into_inner();
            let answers: Vec<ServerReflectionResponse> = stream.map(Result::unwrap).collect().await;

            let Some(MessageResponse::ListServicesResponse(list)) = &answers[0].message_response else { panic!() };
            let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
            assert!(SERVICES.iter().all(|service| names.contains(service)), "{names:?}");
            assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");
            let Some(MessageResponse::FileDescriptorResponse(files)) = &answers[1].message_response else { panic!() };
            let file = FileDescriptorProto::decode(&files.file_descriptor_proto[0][..]).unwrap();
            assert_eq!(file.name(), "pulse/v1/workflow_service.proto");
            let info = file.source_code_info.unwrap();
            let comments = info.location.iter().filter_map(|one| one.leading_comments.as_deref());
            assert!(comments.into_iter().any(|text| text.contains("Turns questions into checked SQL")));
            // Details of errors are shown, not only their bytes.
            assert!(matches!(&answers[2].message_response, Some(MessageResponse::FileDescriptorResponse(_))));
        }
    };
}
reflection_test!(reflection_v1_lists_services_and_shows_comments, v1);
reflection_test!(reflection_v1alpha_lists_services_and_shows_comments, v1alpha);

#[tokio::test]
async fn grpc_web_works_over_http_1() {
    let server = Server::demo(&[]).await;
    let answer = grpc_web(server.address, LIST_CONNECTIONS, &ListConnectionsRequest::default(), &[]).await;
    assert_eq!((answer.http_status, answer.trailer("grpc-status")), (200, Some("0")), "{answer:?}");
    let [message] = &answer.messages[..] else { panic!("{answer:?}") };
    assert_eq!(ListConnectionsResponse::decode(&message[..]).unwrap().connections[0].name, "demo");

    let unknown = GetConnectionRequest { id: "x".to_owned() };
    let refused = grpc_web(server.address, "/pulse.v1.ConnectionService/GetConnection", &unknown, &[]).await;
    assert_eq!((refused.http_status, refused.trailer("grpc-status")), (200, Some("3")), "{refused:?}");
    assert!(refused.trailer("grpc-status-details-bin").is_some(), "{refused:?}");
}

#[tokio::test]
async fn grpc_web_streams_events() {
    let server = Server::demo(&[]).await;
    let question = pulse::pb::v1::RunWorkflowRequest {
        question: pulse::demo::QUESTIONS[0].to_owned(),
        source: Some(pulse::pb::v1::run_workflow_request::Source::ConnectionId(
            connection_id(&server.channel, "demo").await,
        )),
        ..Default::default()
    };
    let answer = grpc_web(server.address, "/pulse.v1.WorkflowService/RunWorkflow", &question, &[]).await;
    assert_eq!(answer.trailer("grpc-status"), Some("0"), "{answer:?}");
    let event = |bytes: &Vec<u8>| pulse::pb::v1::RunWorkflowResponse::decode(&bytes[..]).unwrap().event.unwrap();
    let events: Vec<_> = answer.messages.iter().map(event).collect();
    crate::support::calls::assert_whole_log(&events, 0);
}

/// What a browser asks before it lets a page of `origin` call.
async fn preflight(server: &Server, origin: &str) -> reqwest::Response {
    let request = http::client().request(reqwest::Method::OPTIONS, url(server.address, LIST_CONNECTIONS));
    let request = request.header("origin", origin).header("access-control-request-method", "POST");
    let asked = "content-type,x-grpc-web,grpc-timeout,authorization";
    request.header("access-control-request-headers", asked).send().await.unwrap()
}

fn header<'a>(response: &'a reqwest::Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn pages_of_allowed_origins_may_call() {
    let server = Server::with(&["--cors-origins", "https://pulse.example.org,http://localhost:5173"]).await;
    for origin in [ORIGIN, "http://localhost:5173"] {
        let allowed = preflight(&server, origin).await;
        assert!(allowed.status().is_success(), "{allowed:?}");
        assert_eq!(header(&allowed, "access-control-allow-origin"), Some(origin));
        let headers = header(&allowed, "access-control-allow-headers").unwrap().to_lowercase();
        assert!(["x-grpc-web", "grpc-timeout", "authorization"].iter().all(|one| headers.contains(one)), "{headers}");
    }
    let denied = preflight(&server, "https://elsewhere.example.org").await;
    assert_eq!(header(&denied, "access-control-allow-origin"), None, "{denied:?}");

    let request = http::client().post(url(server.address, LIST_CONNECTIONS)).body(vec![0; 5]);
    let request = request.header("origin", ORIGIN).header("content-type", "application/grpc-web+proto");
    let called = request.send().await.unwrap();
    assert_eq!(header(&called, "access-control-allow-origin"), Some(ORIGIN));
    let exposed = header(&called, "access-control-expose-headers").unwrap().to_lowercase();
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        assert!(exposed.contains(name), "{exposed}");
    }
}

#[tokio::test]
async fn no_origin_may_call_by_default() {
    let server = Server::start().await;
    let denied = preflight(&server, ORIGIN).await;
    assert_eq!(header(&denied, "access-control-allow-origin"), None, "{denied:?}");
}

#[tokio::test]
async fn plain_http_has_health_a_page_and_404() {
    let server = Server::start().await;
    let get = async |path: &str| http::client().get(url(server.address, path)).send().await.unwrap();
    let health = get("/health").await;
    assert_eq!((health.status().as_u16(), header(&health, "content-type")), (200, Some("application/json")));
    let body: serde_json::Value = serde_json::from_slice(&health.bytes().await.unwrap()).unwrap();
    assert!(body["status"].is_string(), "{body}");

    let page = get("/").await;
    assert_eq!(page.status().as_u16(), 200);
    assert!(header(&page, "content-type").unwrap().starts_with("text/html"), "{page:?}");
    assert!(page.text().await.unwrap().contains("Pulse"));

    for path in ["/nowhere", "/health/more", "/pulse.v1.ConnectionService/ListConnections", "/../etc/passwd"] {
        let missing = get(path).await;
        assert!((400..500).contains(&missing.status().as_u16()), "{path}: {missing:?}");
    }
    assert_eq!(get("/nowhere").await.status().as_u16(), 404);
}

#[tokio::test]
async fn loopback_answers_to_its_own_names_only() {
    let server = Server::start().await;
    for (host, status) in [("localhost", 200), ("127.0.0.1:50051", 200), ("[::1]:1", 200), ("rebound.example", 403)] {
        let request = http::client().get(url(server.address, "/health")).header("host", host);
        assert_eq!(request.send().await.unwrap().status().as_u16(), status, "{host}");
    }
}

#[tokio::test]
async fn without_keys_a_proxy_lets_nobody_in_from_elsewhere() {
    let server = Server::start().await;
    let mut client = ConnectionServiceClient::new(server.channel.clone());
    for (callers, welcome) in [
        ("127.0.0.1", true),
        ("127.0.0.1, ::1", true),
        ("", true),
        ("192.0.2.7", false),
        ("127.0.0.1, 192.0.2.7", false),
        ("192.0.2.7, 127.0.0.1", false),
        ("unknown", false),
    ] {
        let mut request = Request::new(ListConnectionsRequest::default());
        request.metadata_mut().insert("x-forwarded-for", callers.parse().unwrap());
        match client.list_connections(request).await {
            Ok(_) => assert!(welcome, "{callers}"),
            Err(status) => {
                assert!(!welcome, "{callers}: {status:?}");
                assert_error(&status, Code::Unauthenticated, "UNAUTHENTICATED", &[]);
                assert!(status.message().contains("PULSE_API_KEYS_FILE"), "{status:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_unknown_grpc_path_is_unimplemented() {
    let server = Server::start().await;
    for path in ["/pulse.v1.ConnectionService/NoSuchMethod", "/pulse.v1.NoService/Call", "/nowhere"] {
        let mut client = tonic::client::Grpc::new(server.channel.clone());
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<ListConnectionsRequest, ListConnectionsResponse>::default();
        let request = tonic::Request::new(ListConnectionsRequest::default());
        let status = client.unary(request, path.parse().unwrap(), codec).await.unwrap_err();
        assert_error(&status, Code::Unimplemented, "METHOD_UNKNOWN", &[]);
        let web = grpc_web(server.address, path, &ListConnectionsRequest::default(), &[]).await;
        assert_eq!((web.http_status, web.trailer("grpc-status")), (200, Some("12")), "{path}: {web:?}");
        assert!(web.messages.is_empty());
    }
}

#[tokio::test]
async fn requests_may_be_compressed_with_gzip_only() {
    let mut server = Server::start().await;
    let get = || GetConnectionRequest { id: "7".to_owned() };
    let client = ConnectionServiceClient::new(server.channel.clone());
    let status = client.send_compressed(CompressionEncoding::Gzip).get_connection(get()).await.unwrap_err();
    assert_error(&status, Code::InvalidArgument, "FIELD_INVALID", &["id"]);

    let mut request = Request::new(get());
    request.metadata_mut().insert("grpc-encoding", "zstd".parse().unwrap());
    let status = server.connections.get_connection(request).await.unwrap_err();
    assert_error(&status, Code::Unimplemented, "NOT_IMPLEMENTED", &[]);
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let mut server = Server::start().await;
    let mut request = Request::new(GetConnectionRequest { id: "7".to_owned() });
    request.metadata_mut().insert("x-request-id", "my-id.1".parse().unwrap());
    let status = server.connections.get_connection(request).await.unwrap_err();
    assert_eq!(status.metadata().get("x-request-id").unwrap(), "my-id.1");
    let answer = server.connections.list_connections(ListConnectionsRequest::default()).await.unwrap();
    assert!(!answer.metadata().get("x-request-id").unwrap().is_empty());
}

#[tokio::test]
async fn a_message_has_a_size() {
    let mut server = Server::start().await;
    let huge = question("0198c0de-0000-7000-8000-000000000000", &"x".repeat(3 * 1024 * 1024));
    let status = server.workflows.start_workflow(huge).await.unwrap_err();
    assert_error(&status, Code::InvalidArgument, "FIELD_INVALID", &["request"]);
}

#[tokio::test]
async fn a_message_that_cannot_be_decoded_is_refused() {
    let server = Server::start().await;
    let answer = http::grpc_web_bytes(server.address, LIST_CONNECTIONS, &[0xff; 3], &[]).await;
    assert_eq!((answer.trailer("grpc-status"), answer.messages.len()), (Some("3"), 0), "{answer:?}");
    assert!(answer.trailer("grpc-status-details-bin").is_some(), "{answer:?}");
}

/// The client's deadline travels in `grpc-timeout`. Over gRPC-Web nobody but the server acts on it.
#[tokio::test]
async fn a_deadline_ends_the_call() {
    let mut server = Server::start().await;
    let id = server.database("t", "CREATE TABLE t (n); INSERT INTO t VALUES (1);").await;
    let sql =
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1000000000) SELECT count(*) FROM c";
    let slow = statement(&id, sql);
    for timeout in ["50m", "1n"] {
        let headers = [("grpc-timeout", timeout)];
        let answer = grpc_web(server.address, "/pulse.v1.QueryService/ExecuteQuery", &slow, &headers).await;
        assert_eq!(answer.trailer("grpc-status"), Some("4"), "{timeout}: {answer:?}");
    }
    // The statement was stopped with its call: the next one is served.
    assert_eq!(server.execute(&id, "SELECT n FROM t").await.unwrap().row_count, 1);
}

#[tokio::test]
async fn a_stop_lets_streams_end_or_says_that_it_leaves() {
    let mut server = Server::start().await;
    let id = server.database("t", "CREATE TABLE t (n);").await;
    let count = |rows: u64, shown: &str| {
        let numbers = format!("WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows})");
        stream_of(&id, &format!("{numbers} SELECT n FROM c WHERE {shown}"))
    };
    // Both are under way when the server is asked to stop: one ends in time, one would not for minutes.
    let mut short = server.queries.stream_query(count(20_000, "n > 0")).await.unwrap().into_inner();
    let mut long = server.queries.stream_query(count(4_000_000_000, "n = 4000000000")).await.unwrap().into_inner();
    for stream in [&mut short, &mut long] {
        assert!(matches!(stream.message().await.unwrap().unwrap().part, Some(Part::Header(_))));
    }
    server.begin_stop();
    let mut last = None;
    while let Some(piece) = short.message().await.unwrap() {
        last = piece.part;
    }
    assert!(matches!(last, Some(Part::Summary(summary)) if summary.row_count == 20_000));
    let left = long.message().await.unwrap_err();
    assert_error(&left, Code::Unavailable, "DRAINING", &[]);
    assert!(left.get_details_retry_info().is_some(), "{left:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_stop_ends_watches_with_a_hint_to_come_back() {
    // A model that takes the call and never answers keeps the workflow running.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let model = format!("http://{}/v1", silent.local_addr().unwrap());
    let mut server = Server::demo(&["--openai-base-url", &model]).await;
    let connection = connection_id(&server.channel, "demo").await;
    let request = StartWorkflowRequest {
        source: Some(Source::ConnectionId(connection)),
        engine: Engine::Openai.into(),
        ..question("", "How many customers are there?")
    };
    let id = server.workflows.start_workflow(request).await.unwrap().into_inner().workflow.unwrap().id;
    let request = WatchWorkflowRequest { id, ..WatchWorkflowRequest::default() };
    let mut watch = server.workflows.watch_workflow(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().event.unwrap().sequence, 1);

    server.begin_stop();
    let ended = loop {
        match watch.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a watch of a running workflow does not end OK"),
            Err(status) => break status,
        }
    };
    assert_error(&ended, Code::Unavailable, "DRAINING", &[]);
    assert!(ended.get_details_retry_info().is_some(), "{ended:?}");
    let address = server.address;
    server.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nothing listens any more");
}
