//! The port itself: what is served beside the RPCs, in which forms, to whom.

use std::net::SocketAddr;

use prost::Message;
use pulse::pb::v1 as pb;
use pulse::pb::v1::connection_service_client::ConnectionServiceClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::support::calls::assert_error;
use crate::support::server::Server;

const GET_CONNECTION: &str = "/pulse.v1.ConnectionService/GetConnection";

#[tokio::test]
async fn pages_and_probes_need_no_grpc() {
    let server = Server::start().await;
    let health = http(server.address, "GET /health", &[], b"").await;
    assert_eq!(health.status, 200);
    let health: serde_json::Value = serde_json::from_slice(&health.body).unwrap();
    assert_eq!((&health["status"], &health["ready"]), (&"SERVING".into(), &true.into()));

    let page = http(server.address, "GET /", &[], b"").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Pulse is running"));
    assert_eq!(http(server.address, "GET /nothing", &[], b"").await.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn health_and_reflection_name_every_service() {
    let server = Server::start().await;
    let services = ["pulse.v1.ConnectionService", "pulse.v1.QueryService", "pulse.v1.WorkflowService"];
    let mut health = HealthClient::new(server.channel.clone());
    for service in services.iter().chain(&[""]) {
        let answer = health.check(HealthCheckRequest { service: (*service).to_owned() }).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(HealthCheckRequest { service: "pulse.v1.Nothing".to_owned() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);

    let question = MessageRequest::ListServices(String::new());
    let ask = ServerReflectionRequest { message_request: Some(question), ..Default::default() };
    let mut reflection = ServerReflectionClient::new(server.channel.clone());
    let mut answers = reflection.server_reflection_info(tokio_stream::once(ask)).await.unwrap().into_inner();
    let answer: ServerReflectionResponse = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("no list") };
    for service in services {
        assert!(list.service.iter().any(|one| one.name == service), "{service}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stopping_server_finishes_and_refuses_new_connections() {
    let server = Server::start().await;
    let address = server.address;
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn every_error_has_our_details() {
    let mut server = Server::start().await;
    let get = |id: &str| pb::GetConnectionRequest { id: id.to_owned() };
    let malformed = server.connections.get_connection(get("7")).await.unwrap_err();
    assert_error(&malformed, Code::InvalidArgument, "FIELD_INVALID", &["id"]);
    assert!(malformed.metadata().contains_key("x-request-id"));

    let unknown = call_unknown(&server, "/pulse.v1.QueryService/Explain").await;
    assert_error(&unknown, Code::Unimplemented, "METHOD_UNKNOWN", &[]);
    let unknown = call_unknown(&server, "/other.v1.Service/Call").await;
    assert_error(&unknown, Code::Unimplemented, "METHOD_UNKNOWN", &[]);

    let spec = pb::ConnectionSpec { database: "x".repeat(3 << 20), ..Default::default() };
    let large = pb::CreateConnectionRequest { connection: Some(spec), ..Default::default() };
    let large = server.connections.create_connection(large).await.unwrap_err();
    assert_error(&large, Code::InvalidArgument, "FIELD_INVALID", &["request"]);

    let resume = server.workflows.resume_workflow(pb::ResumeWorkflowRequest::default()).await.unwrap_err();
    assert_error(&resume, Code::Unimplemented, "NOT_IMPLEMENTED", &[]);
    server.stop().await;
}

#[tokio::test]
async fn requests_may_be_compressed_with_gzip_only() {
    let server = Server::start().await;
    let get = || pb::GetConnectionRequest { id: "7".to_owned() };
    let client = ConnectionServiceClient::new(server.channel.clone());
    let mut client = client.send_compressed(CompressionEncoding::Gzip);
    let status = client.get_connection(get()).await.unwrap_err();
    assert_error(&status, Code::InvalidArgument, "FIELD_INVALID", &["id"]);

    let mut request = Request::new(get());
    request.metadata_mut().insert("grpc-encoding", "zstd".parse().unwrap());
    let status = server.connections.clone().get_connection(request).await.unwrap_err();
    assert_error(&status, Code::Unimplemented, "NOT_IMPLEMENTED", &[]);
    server.stop().await;
}

#[tokio::test]
async fn a_request_id_comes_back() {
    let mut server = Server::start().await;
    let mut request = Request::new(pb::GetConnectionRequest { id: "7".to_owned() });
    request.metadata_mut().insert("x-request-id", "my-id.1".parse().unwrap());
    let status = server.connections.get_connection(request).await.unwrap_err();
    assert_eq!(status.metadata().get("x-request-id").unwrap(), "my-id.1");
    server.stop().await;
}

#[tokio::test]
async fn browsers_of_allowed_origins_may_call() {
    let server = Server::with(&["--cors-origins", "https://ok.example"]).await;
    let post = format!("POST {GET_CONNECTION}");
    let body = frame(&pb::GetConnectionRequest { id: "7".to_owned() });
    let web = [("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1"), ("origin", "https://ok.example")];
    let answer = http(server.address, &post, &web, &body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("grpc-status"), Some("3"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://ok.example"));
    let exposed = answer.header("access-control-expose-headers").unwrap();
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        assert!(exposed.split(',').any(|one| one == name), "{exposed}");
    }

    let foreign = [("content-type", "application/grpc-web+proto"), ("origin", "https://bad.example")];
    let answer = http(server.address, &post, &foreign, &body).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);

    let preflight = [
        ("origin", "https://ok.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,x-grpc-web,authorization"),
    ];
    let answer = http(server.address, &format!("OPTIONS {GET_CONNECTION}"), &preflight, b"").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://ok.example"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("x-grpc-web"));
    server.stop().await;
}

#[tokio::test]
async fn loopback_answers_to_its_own_names_only() {
    let server = Server::start().await;
    for (host, status) in [("localhost", 200), ("127.0.0.1:50051", 200), ("[::1]:1", 200), ("rebound.example", 403)] {
        let answer = http(server.address, "GET /health", &[("host", host)], b"").await;
        assert_eq!(answer.status, status, "{host}");
    }
    server.stop().await;
}

#[tokio::test]
async fn with_keys_every_call_needs_one_and_its_scope() {
    // SHA-256 of "open sesame".
    const HASH: &str = "41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb";
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("keys.json");
    let keys = format!(r#"[{{"name": "reader", "tenant": "acme", "scopes": ["read"], "sha256": "{HASH}"}}]"#);
    std::fs::write(&file, keys).unwrap();
    let mut server = Server::with(&["--api-keys-file", file.to_str().unwrap()]).await;

    let list = pb::ListConnectionsRequest::default;
    let nobody = server.connections.list_connections(list()).await.unwrap_err();
    assert_error(&nobody, Code::Unauthenticated, "UNAUTHENTICATED", &[]);
    let wrong = server.connections.list_connections(with_key(list(), "sesame")).await.unwrap_err();
    assert_error(&wrong, Code::Unauthenticated, "UNAUTHENTICATED", &[]);
    server.connections.list_connections(with_key(list(), "open sesame")).await.unwrap();

    let delete = with_key(pb::DeleteConnectionRequest::default(), "open sesame");
    let delete = server.connections.delete_connection(delete).await.unwrap_err();
    assert_error(&delete, Code::PermissionDenied, "SCOPE_MISSING", &[]);

    let mut health = HealthClient::new(server.channel.clone());
    health.check(HealthCheckRequest::default()).await.unwrap();
    server.stop().await;
}

fn with_key<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

async fn call_unknown(server: &Server, path: &'static str) -> Status {
    let mut client = tonic::client::Grpc::new(server.channel.clone());
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<pb::GetConnectionRequest, pb::GetConnectionResponse>::default();
    let request = Request::new(pb::GetConnectionRequest::default());
    client.unary(request, path.parse().unwrap(), codec).await.unwrap_err()
}

/// A message as gRPC frames it: no compression, length, bytes.
fn frame(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0], length.as_slice(), &bytes].concat()
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One HTTP/1.1 request on a connection of its own; `start` is method and path.
async fn http(address: SocketAddr, start: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut head = format!("{start} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "host") {
        head.push_str("host: localhost\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Answer { status, headers, body: answer[end + 4..].to_vec() }
}
