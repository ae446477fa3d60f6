//! The gateway: a real Envoy, as `scripts/gateway` runs it, in front of real servers.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::join_all;
use pulse::pb::v1::connection_service_client::ConnectionServiceClient;
use pulse::pb::v1::query_service_client::QueryServiceClient;
use pulse::pb::v1::workflow_event::Event;
use pulse::pb::v1::workflow_service_client::WorkflowServiceClient;
use pulse::pb::v1::{
    ConnectionSpec, DatabaseKind, GetConnectionRequest, ListConnectionsRequest, WatchWorkflowRequest, WorkflowEvent,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tonic::{Code, Request};

use crate::support::calls::{assert_error, assert_whole_log, connection_id, kind, question, run, start};
use crate::support::contract::bindings;
use crate::support::databases::{creation, sqlite, statement, stream_of};
use crate::support::follow::names;
use crate::support::http;
use crate::support::proxy::{Proxy, Weather};
use crate::support::replicas::Replicas;
use crate::support::script::{self, ANSWER, QUESTION};
use crate::support::server::{Folder, Server};
use crate::support::servers::{CERTIFICATES, Gateway, free_port};

const ORIGIN: &str = "https://app.example.org";
const NOBODYS: &str = "0198c0de-0000-7000-8000-000000000000";

#[tokio::test]
async fn calls_streams_and_errors_pass_unchanged() {
    let server = Server::demo(&[]).await;
    let gateway = Gateway::before(&[server.address], &[]).await;
    let channel = gateway.channel().await;
    let demo = connection_id(&channel, "demo").await;
    let (_, events) = run(&mut WorkflowServiceClient::new(channel.clone()), question(&demo, QUESTION)).await;
    assert_whole_log(&events, 0);
    let mut queries = QueryServiceClient::new(channel.clone());
    let rows = stream_of(&demo, "SELECT * FROM customers");
    let mut stream = queries.stream_query(rows).await.unwrap().into_inner();
    let mut parts = 0;
    while stream.message().await.unwrap().is_some() {
        parts += 1;
    }
    assert!(parts >= 3);
    let mut connections = ConnectionServiceClient::new(channel);
    let refused = connections.get_connection(GetConnectionRequest { id: "x".to_owned() }).await;
    assert_error(&refused.unwrap_err(), Code::InvalidArgument, "FIELD_INVALID", &["id"]);
}

/// REST as a script would speak it, and which bindings it has used.
struct Rest {
    address: SocketAddr,
    used: BTreeSet<String>,
}

impl Rest {
    fn new(gateway: &Gateway) -> Self {
        Self { address: gateway.address, used: BTreeSet::new() }
    }

    /// The answer to a request on a binding such as `get /api/v1/instances/{id}`, with the id in its place and this
    /// query. A body is sent unless it is null.
    async fn text(&mut self, binding: &str, id: &str, query: &str, body: Value) -> (u16, String) {
        self.used.insert(binding.to_owned());
        let (verb, path) = binding.split_once(' ').unwrap();
        let path = path.replace("{id}", id).replace("{connection_id}", id);
        let verb: reqwest::Method = verb.to_uppercase().parse().unwrap();
        let mut request = http::client().request(verb, http::url(self.address, &format!("{path}{query}")));
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json", "{binding}");
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The same when all must go well.
    async fn ok(&mut self, binding: &str, id: &str, query: &str, body: Value) -> Value {
        let (status, text) = self.text(binding, id, query, body).await;
        assert_eq!(status, 200, "{binding}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{binding}: {error}: {text}"))
    }

    /// The objects of a stream, one a line.
    async fn lines(&mut self, binding: &str, id: &str, body: Value) -> Vec<Value> {
        let (status, text) = self.text(binding, id, "", body).await;
        assert_eq!(status, 200, "{binding}: {text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// An error: HTTP status, gRPC code, and the reason in its details.
    async fn error(&mut self, binding: &str, id: &str, query: &str, body: Value) -> (u16, i64, String) {
        let (status, text) = self.text(binding, id, query, body).await;
        let error: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{binding}: {error}: {text}"));
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{text}");
        let mut details = error["details"].as_array().into_iter().flatten();
        let reason = details.find_map(|detail| detail["reason"].as_str());
        (status, error["code"].as_i64().unwrap(), reason.unwrap_or_default().to_owned())
    }
}

fn said<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

async fn connections_over_rest(rest: &mut Rest) -> String {
    let mine = json!({ "name": "mine", "kind": "DATABASE_KIND_SQLITE", "database": "mine.sqlite" });
    let created = rest.ok("post /api/v1/instances", "", "?request_id=once", mine.clone()).await;
    let id = said(&created, "/connection/id").to_owned();
    let again = rest.ok("post /api/v1/instances", "", "?request_id=once", mine.clone()).await;
    assert_eq!(said(&again, "/connection/id"), id);
    assert_eq!(rest.ok("get /api/v1/instances/{id}", &id, "", Value::Null).await["connection"], created["connection"]);
    let listed = rest.ok("get /api/v1/instances", "", "?page_size=1&name=MINE", Value::Null).await;
    assert_eq!(listed["connections"], json!([created["connection"]]));
    // Without a mask what is absent stays.
    let renamed = rest.ok("put /api/v1/instances/{id}", &id, "", json!({ "name": "ours" })).await;
    assert_eq!((said(&renamed, "/connection/name"), said(&renamed, "/connection/database")), ("ours", "mine.sqlite"));
    let limits = json!({ "limits": { "max_rows": "7" } });
    let limited = rest.ok("patch /api/v1/instances/{id}", &id, "?skip_test=true", limits).await;
    assert_eq!((said(&limited, "/connection/limits/max_rows"), said(&limited, "/connection/name")), ("7", "ours"));
    assert_eq!(rest.ok("post /api/v1/instances/{id}/test", &id, "", json!({})).await["ok"], true);
    assert_eq!(rest.ok("post /api/v1/instances/test", "", "", mine).await["ok"], true);
    let schema = rest.ok("get /api/v1/instances/{id}/schema", &id, "?view=SCHEMA_VIEW_FULL", Value::Null).await;
    assert_eq!((said(&schema, "/tables/0/name"), said(&schema, "/tables/0/columns/0/name")), ("t", "n"));
    id
}

async fn queries_over_rest(rest: &mut Rest, id: &str) {
    let largest = json!([{ "values": [{ "int64_value": "9223372036854775807" }, { "null_value": null }] }]);
    let select = json!({ "sql": "SELECT n, t FROM t WHERE n > ?", "parameters": [{ "int64_value": 1 }] });
    let result = rest.ok("post /api/v1/instances/{connection_id}/query", id, "", select.clone()).await;
    // Integers beyond 2^53 stay exact, zero is written out.
    assert_eq!((&result["rows"], &result["truncated"], &result["row_count"]), (&largest, &json!(false), &json!(1)));
    let mut whole = select;
    whole["connection_id"] = json!(id);
    assert_eq!(rest.ok("post /api/v1/query", "", "", whole.clone()).await["rows"], largest);
    let validated = rest.ok("post /api/v1/query/validate", "", "", whole.clone()).await;
    assert_eq!(validated["valid"], true);
    let parts = rest.lines("post /api/v1/query/stream", "", json!({ "statement": whole })).await;
    let [header, batch, summary] = &parts[..] else { panic!("{parts:?}") };
    assert_eq!((said(header, "/header/columns/1/name"), &batch["batch"]["rows"]["rows"]), ("t", &largest));
    assert!(summary["summary"].is_object(), "{summary}");
}

async fn workflows_over_rest(rest: &mut Rest, id: &str) {
    let asked = json!({ "question": "How many t are there?", "connection_id": id });
    let mut ids = Vec::new();
    for binding in ["post /api/v1/workflows", "post /api/v1/workflows/start-with-connection"] {
        let started = rest.ok(binding, "", "", asked.clone()).await;
        ids.push(said(&started, "/workflow/id").to_owned());
    }
    let [first, second] = &ids[..] else { panic!() };
    for id in &ids {
        let events = rest.lines("get /api/v1/workflows/{id}/events", id, Value::Null).await;
        assert!(events.last().unwrap()["event"]["completed"].is_object(), "{events:?}");
        let sequences: Vec<String> = events.iter().map(|event| said(event, "/event/sequence").to_owned()).collect();
        assert_eq!(sequences, (1..=events.len()).map(|n| n.to_string()).collect::<Vec<_>>());
    }
    for binding in ["get /api/v1/workflows/{id}/status", "get /api/v1/workflows/{id}"] {
        let workflow = rest.ok(binding, first, "", Value::Null).await;
        assert_eq!(said(&workflow, "/workflow/status"), "WORKFLOW_STATUS_COMPLETED");
    }
    let steps = rest.ok("get /api/v1/workflows/{id}/steps", first, "?page_size=2", Value::Null).await;
    assert_eq!(said(&steps, "/steps/0/name"), "load_schema");
    let listed = rest.ok("get /api/v1/workflows", "", "?status=WORKFLOW_STATUS_COMPLETED", Value::Null).await;
    assert_eq!(said(&listed, "/workflows/0/id"), second);
    let events = rest.lines("post /api/v1/workflows/run", "", asked).await;
    assert_eq!(said(&events[0], "/event/sequence"), "1");

    let finished = rest.error("post /api/v1/workflows/{id}/cancel", first, "", json!({ "reason": "late" })).await;
    assert_eq!(finished, (400, 9, "WORKFLOW_FINISHED".to_owned()));
    let resumed = rest.error("post /api/v1/workflows/{id}/resume", first, "", json!({ "answer": "yes" })).await;
    assert_eq!(resumed, (400, 9, "WORKFLOW_NOT_AWAITING".to_owned()));
    let rated = json!({ "verdict": "RATING_VERDICT_DOWN", "comment": "of last year" });
    let rated = rest.ok("post /api/v1/workflows/{id}/rate", first, "", rated).await;
    assert_eq!(said(&rated, "/workflow/rating/comment"), "of last year");
    rest.ok("delete /api/v1/workflows/{id}", first, "", Value::Null).await;
    let gone = rest.error("get /api/v1/workflows/{id}", first, "", Value::Null).await;
    assert_eq!(gone, (404, 5, "WORKFLOW_NOT_FOUND".to_owned()));
}

async fn knowledge_over_rest(rest: &mut Rest, id: &str) {
    const KNOWLEDGE: &str = "/api/v1/instances/{connection_id}/knowledge";
    const EXAMPLES: &str = "/api/v1/instances/{connection_id}/examples";
    let first = rest.ok(&format!("get {KNOWLEDGE}"), id, "", Value::Null).await;
    assert_eq!((said(&first, "/knowledge/connection_id"), said(&first, "/knowledge/etag")), (id, "0"));
    let measure = json!({ "name": "most", "table": "t", "expression": "max(n)" });
    let put = rest.ok(&format!("put {KNOWLEDGE}"), id, "?etag=0", json!({ "measures": [measure] })).await;
    assert_eq!(said(&put, "/knowledge/measures/0/expression"), "max(n)");
    let patched = rest.ok(&format!("patch {KNOWLEDGE}"), id, "", json!({ "notes": "n counts" })).await;
    assert_eq!(patched["knowledge"]["measures"], put["knowledge"]["measures"], "what is absent stays");
    let wrong = json!({ "joins": [{ "left": "t.n", "right": "u.n" }] });
    let refused = rest.error(&format!("put {KNOWLEDGE}"), id, "", wrong).await;
    assert_eq!(refused, (400, 3, "FIELD_INVALID".to_owned()));

    let new = json!({ "question": "What is the most?", "sql": "SELECT max(n) FROM t" });
    let created = rest.ok(&format!("post {EXAMPLES}"), id, "", new).await;
    let listed = rest.ok(&format!("get {EXAMPLES}"), id, "?state=EXAMPLE_STATE_VALID", Value::Null).await;
    assert_eq!(listed["examples"], json!([created["example"]]));
    let exported = rest.ok(&format!("get {KNOWLEDGE}/export"), id, "", Value::Null).await;
    let yaml = json!({ "yaml": exported["yaml"], "etag": exported["etag"] });
    let imported = rest.ok(&format!("post {KNOWLEDGE}/import"), id, "", yaml).await;
    assert_eq!(imported["knowledge"]["example_count"], 1);
    // Here the example's id is in the path too; `used` has it as the binding says it.
    let gone = format!("/api/v1/instances/{id}/examples/{}", said(&created, "/example/id"));
    let answer = http::client().delete(http::url(rest.address, &gone)).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    rest.used.insert(format!("delete {EXAMPLES}/{{id}}"));
    let again = http::client().delete(http::url(rest.address, &gone)).send().await.unwrap();
    assert_eq!(again.status().as_u16(), 404);
}

#[tokio::test]
async fn every_rest_path_works() {
    let server = Server::start().await;
    let table =
        "CREATE TABLE t (n INTEGER PRIMARY KEY, t TEXT); INSERT INTO t VALUES (1, 'a'), (9223372036854775807, NULL);";
    sqlite(&server.databases(), "mine.sqlite", table);
    let gateway = Gateway::before(&[server.address], &[]).await;
    let mut rest = Rest::new(&gateway);
    let id = connections_over_rest(&mut rest).await;
    queries_over_rest(&mut rest, &id).await;
    workflows_over_rest(&mut rest, &id).await;
    knowledge_over_rest(&mut rest, &id).await;
    rest.ok("delete /api/v1/instances/{id}", &id, "", Value::Null).await;
    assert_eq!(rest.used, bindings());
    let health = http::client().get(http::url(gateway.address, "/health")).send().await.unwrap();
    assert_eq!(health.status().as_u16(), 200);
    assert_eq!(serde_json::from_str::<Value>(&health.text().await.unwrap()).unwrap()["ready"], true);
}

#[tokio::test]
async fn rest_errors_have_one_form() {
    let server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let gateway = Gateway::before(&[server.address], &[]).await;
    let mut rest = Rest::new(&gateway);
    let written = json!({ "sql": "DELETE FROM customers", "connection_id": demo });
    assert_eq!(rest.error("post /api/v1/query", "", "", written).await, (403, 7, "SQL_NOT_ALLOWED".to_owned()));
    let wrong = json!({ "sql": "SELECT nothing FROM customers", "connection_id": demo });
    let (_, text) = rest.text("post /api/v1/query", "", "", wrong).await;
    let error: Value = serde_json::from_str(&text).unwrap();
    let detail =
        error["details"].as_array().unwrap().iter().find(|one| said(one, "/@type").ends_with(".SqlErrorDetail"));
    assert!(said(detail.unwrap(), "/message").contains("nothing"), "{text}");
    // What never reaches a server.
    let nothing = String::new;
    assert_eq!(rest.error("get /api/v1/instances", "", "?pagesize=1", Value::Null).await, (400, 3, nothing()));
    assert_eq!(rest.error("post /api/v1/query", "", "", json!("SELECT 1")).await, (400, 3, nothing()));
    assert_eq!(rest.error("delete /api/v1/query", "", "", Value::Null).await, (404, 5, nothing()));
    assert_eq!(rest.error("get /api/v2", "", "", Value::Null).await, (404, 5, nothing()));
    server.stop().await;
    assert_eq!(rest.error("get /api/v1/instances", "", "", Value::Null).await, (503, 14, nothing()));
    let mut connections = ConnectionServiceClient::new(gateway.channel().await);
    let status = connections.list_connections(ListConnectionsRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

#[tokio::test]
async fn what_a_foreign_page_may_send_unasked_is_refused() {
    let server = Server::start().await;
    let gateway = Gateway::before(&[server.address], &[]).await;
    let send = async |content_type: Option<&str>, origin: Option<&str>| {
        let request = http::client().post(http::url(gateway.address, "/api/v1/guard-test:cancel"));
        let request = content_type.into_iter().fold(request, |request, kind| request.header("content-type", kind));
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        request.body("{}").send().await.unwrap().status().as_u16()
    };
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("multipart/form-data")] {
        for origin in ["https://evil.example", "null", "http://127.0.0.1:9"] {
            assert_eq!(send(kind, Some(origin)).await, 403, "{kind:?} from {origin}");
        }
        // Programs send no origin, and what they like. There is no such path.
        assert_eq!(send(kind, None).await, 404, "{kind:?}");
    }
    assert_eq!(send(Some("application/json"), Some("https://evil.example")).await, 404, "asked for in a preflight");
}

#[tokio::test]
async fn pages_of_listed_origins_may_call() {
    let server = Server::start().await;
    let gateway = Gateway::before(&[server.address], &["--origin", ORIGIN, "--origin", "http://localhost:5173"]).await;
    let preflight = async |path: &str, origin: &str| {
        let request = http::client().request(reqwest::Method::OPTIONS, http::url(gateway.address, path));
        let request = request.header("origin", origin).header("access-control-request-method", "POST");
        request.header("access-control-request-headers", "content-type,x-grpc-web").send().await.unwrap()
    };
    for path in ["/pulse.v1.QueryService/ExecuteQuery", "/api/v1/query"] {
        for origin in [ORIGIN, "http://localhost:5173"] {
            let allowed = preflight(path, origin).await;
            assert_eq!(allowed.headers()["access-control-allow-origin"], origin);
            let headers = allowed.headers()["access-control-allow-headers"].to_str().unwrap();
            assert!(["authorization", "grpc-timeout", "x-grpc-web"].iter().all(|name| headers.contains(name)));
        }
        for origin in ["https://app.example.org.evil.example", "https://evil.example", "null"] {
            let denied = preflight(path, origin).await;
            assert!(!denied.headers().contains_key("access-control-allow-origin"), "{denied:?}");
        }
    }
    let called = http::client().get(http::url(gateway.address, "/api/v1/instances")).header("origin", ORIGIN);
    let called = called.send().await.unwrap();
    assert_eq!(
        (called.status().as_u16(), called.headers()["access-control-allow-origin"].to_str().unwrap()),
        (200, ORIGIN)
    );
    assert!(!called.headers().contains_key("access-control-allow-credentials"));
    let exposed = called.headers()["access-control-expose-headers"].to_str().unwrap();
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        assert!(exposed.split(", ").any(|one| one == name), "{exposed}");
    }
}

#[tokio::test]
async fn on_loopback_only_its_own_names_are_answered() {
    let server = Server::start().await;
    let gateway = Gateway::before(&[server.address], &["--host", "pulse.lan"]).await;
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]", 200),
        ("pulse.lan:8080", 200),
        ("rebound.example", 404),
        ("localhost.example", 404),
    ] {
        let request = http::client().get(http::url(gateway.address, "/health")).header("host", host);
        assert_eq!(request.send().await.unwrap().status().as_u16(), status, "{host}");
    }
}

#[tokio::test]
async fn a_request_has_one_id_everywhere() {
    let server = Server::start().await;
    let gateway = Gateway::before(&[server.address], &[]).await;
    let path = "/api/v1/workflows/secret-words?after_sequence=1";
    let request = http::client().get(http::url(gateway.address, path)).header("x-request-id", "from-the-caller-7");
    let answer = request.header("authorization", "Bearer canary-key").send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "from-the-caller-7");
    let entry = gateway.logged("from-the-caller-7").await;
    assert_eq!((&entry["status"], &entry["method"]), (&json!(400), &json!("GET")), "{entry}");
    assert!(!entry.to_string().contains("canary-key") && !entry.to_string().contains("after_sequence"), "{entry}");
    let given = http::client().get(http::url(gateway.address, "/health")).send().await.unwrap();
    let given = given.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(gateway.logged(&given).await["path"], "/health");
}

#[tokio::test]
async fn heartbeats_keep_an_idle_watch_open() {
    let model = script::model(ANSWER, Some("planner")).await;
    let mut server = script::server(&model, &["--heartbeat", "500ms"]).await;
    let demo = connection_id(&server.channel, "demo").await;
    // Streams on which nothing passes for three heartbeats and more are ended.
    let gateway = Gateway::before(&[server.address], &["--idle-timeout", "4"]).await;
    let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
    let mut client = WorkflowServiceClient::new(gateway.channel().await);
    let watch = WatchWorkflowRequest { id, ..Default::default() };
    let mut stream = client.watch_workflow(watch).await.unwrap().into_inner();
    // Three times as long as that.
    let mut heartbeats = 0;
    while heartbeats < 24 {
        let event = stream.message().await.unwrap().expect("the stream is open").event.unwrap();
        heartbeats += usize::from(matches!(event.event, Some(Event::Heartbeat(_))));
    }
    model.release("planner");
    while let Some(response) = stream.message().await.unwrap() {
        if kind(&response.event.unwrap()) == "completed" {
            return;
        }
    }
    panic!("the watch did not see the end");
}

#[tokio::test]
async fn a_stream_on_which_nothing_passes_is_ended() {
    let model = script::model(ANSWER, Some("planner")).await;
    let mut server = script::server(&model, &["--heartbeat", "10m"]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let gateway = Gateway::before(&[server.address], &["--idle-timeout", "1"]).await;
    let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
    let mut client = WorkflowServiceClient::new(gateway.channel().await);
    let watch = WatchWorkflowRequest { id, ..Default::default() };
    let mut stream = client.watch_workflow(watch).await.unwrap().into_inner();
    while let Ok(response) = stream.message().await {
        assert!(response.is_some(), "the stream ended as if it were complete");
    }
}

#[tokio::test]
async fn a_watcher_goes_on_at_another_replica() {
    let mut replicas = Replicas::start().await;
    let channel = replicas.gateway.channel().await;
    let mut client = WorkflowServiceClient::new(channel.clone());
    let demo = connection_id(&channel, "demo").await;
    let id = start(&mut client, question(&demo, QUESTION)).await;
    let mut seen: Vec<WorkflowEvent> = Vec::new();
    let mut broken = 0;
    // As any client does it: from the last event on, until the end.
    while !seen.last().is_some_and(|event| matches!(kind(event), "completed" | "failed" | "cancelled")) {
        let after_sequence = seen.last().map_or(0, |event| event.sequence);
        let watch = WatchWorkflowRequest { id: id.clone(), after_sequence, ..Default::default() };
        let mut stream = match client.watch_workflow(watch).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        loop {
            match stream.message().await {
                Ok(Some(response)) => seen.extend(response.event.filter(|event| kind(event) != "heartbeat")),
                Ok(None) => break,
                // Clients make various codes of a stream that is reset.
                Err(_) => {
                    broken += 1;
                    break;
                }
            }
            let waits = names(&seen).last().is_some_and(|name| name == "step_started composer");
            if waits {
                replicas.kill_first().await;
            }
        }
    }
    assert_whole_log(&seen, 0);
    assert_eq!((broken, kind(seen.last().unwrap())), (1, "completed"), "{:?}", names(&seen));
}

#[tokio::test]
async fn only_calls_that_read_are_sent_again_when_a_connection_breaks() {
    let server = Server::start().await;
    let way = Proxy::to(server.address.port()).await;
    let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let servers = [SocketAddr::from(([127, 0, 0, 1], way.port))];
    let gateway = Gateway::before(&servers, &["--admin", &admin.to_string()]).await;
    let read = http::client().get(http::url(gateway.address, "/api/v1/instances"));
    let run = http::client().post(http::url(gateway.address, "/api/v1/query")).body("{}");
    for (request, id, again) in [(read, "a-read", true), (run, "a-run", false)] {
        way.set(Weather::Fair).await;
        until(async || http::client().get(http::url(gateway.address, "/health")).send().await.unwrap().status() == 200)
            .await;
        way.set(Weather::BlackHole).await;
        let call = tokio::spawn(request.header("x-request-id", id).send());
        // On its way: nobody can tell any more whether it arrives.
        until(async || {
            let stats = http::client().get(http::url(admin, "/stats?filter=cluster.pulse.upstream_rq_active")).send();
            stats.await.unwrap().text().await.unwrap().contains("upstream_rq_active: 1")
        })
        .await;
        way.set(Weather::Refused).await;
        assert_eq!(call.await.unwrap().unwrap().status().as_u16(), 503, "{id}");
        let attempts = gateway.logged(id).await["attempts"].as_u64().unwrap();
        assert_eq!(attempts > 1, again, "{id}: {attempts} attempts");
    }
}

/// Waits until this is so.
async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_mins(1), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.expect("it becomes so within a minute");
}

#[tokio::test]
async fn a_database_that_is_down_counts_against_no_server() {
    let server = Server::demo(&[]).await;
    let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let gateway = Gateway::before(&[server.address], &["--admin", &admin.to_string()]).await;
    let channel = gateway.channel().await;
    let mut connections = ConnectionServiceClient::new(channel.clone());
    let down = ConnectionSpec {
        name: "down".to_owned(),
        kind: DatabaseKind::Postgresql.into(),
        host: "127.0.0.1".to_owned(),
        port: free_port().into(),
        username: "ada".to_owned(),
        ..ConnectionSpec::default()
    };
    let mut creation = creation(down);
    creation.skip_test = true;
    let down = connections.create_connection(creation).await.unwrap().into_inner().connection.unwrap();
    let queries = QueryServiceClient::new(channel);
    for _ in 0..3 {
        let calls = (0..10).map(|_| {
            let mut queries = queries.clone();
            let request = statement(&down.id, "SELECT 1");
            async move { queries.execute_query(request).await.unwrap_err() }
        });
        for status in join_all(calls).await {
            assert_error(&status, Code::Unavailable, "TARGET_UNAVAILABLE", &[]);
        }
    }
    let stats = http::client().get(http::url(admin, "/stats?filter=ejections_enforced")).send().await.unwrap();
    let stats = stats.text().await.unwrap();
    assert!(!stats.is_empty() && stats.lines().all(|line| line.ends_with(": 0")), "{stats}");
}

#[tokio::test]
async fn calls_are_served_with_tls() {
    let server = Server::demo(&[]).await;
    let files = tempfile::TempDir::new().unwrap();
    let [certificate, key] =
        [("server.pem", &CERTIFICATES.server), ("server.key", &CERTIFICATES.server_key)].map(|(name, text)| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        });
    let gateway = Gateway::before(&[server.address], &["--tls-certificate", &certificate, "--tls-key", &key]).await;
    let url = format!("https://localhost:{}/api/v1/instances", gateway.address.port());
    let get = async |authority: &str| {
        let authority = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().resolve("localhost", gateway.address);
        client.tls_certs_only([authority]).build().unwrap().get(&url).send().await
    };
    // Installs what encrypts.
    drop(http::client());
    let answer = get(&CERTIFICATES.authority).await.unwrap();
    assert!(answer.text().await.unwrap().contains("demo"));
    assert!(get(&CERTIFICATES.other_authority).await.is_err());
}

const ISSUER: &str = "https://login.example.org";
const AUDIENCE: &str = "pulse";
const SECRET: &[u8] = b"the issuer signs with these words and nobody else knows them";

/// A token of these claims, signed by `secret` (RFC 7515, HS256).
fn token(secret: &[u8], issuer: &str, audience: &str, expires: jiff::Timestamp) -> String {
    let claims = json!({ "iss": issuer, "aud": audience, "sub": "ada", "exp": expires.as_second() });
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(json!({ "alg": "HS256", "typ": "JWT", "kid": "one" })), part(claims));
    // HMAC (RFC 2104); the secret is at most one block long.
    let padded = |pad: u8| (0..64).map(move |at| secret.get(at).copied().unwrap_or(0) ^ pad).collect::<Vec<u8>>();
    let inner = Sha256::digest([padded(0x36), signed.as_bytes().to_vec()].concat());
    let signature = Sha256::digest([padded(0x5c), inner.to_vec()].concat());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn only_who_has_a_token_gets_in() {
    let folder = Folder::with_demo();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let own = "key-of-the-gateway-1b6e4f2d9c8047a5";
    let sha256 = hex::encode(Sha256::digest(own));
    let entry = json!([{ "name": "gateway", "tenant": "a", "scopes": ["read"], "sha256": sha256 }]).to_string();
    let [api_keys, own] = [file("keys.json", &entry), file("own", own)];
    let key = json!({ "kty": "oct", "alg": "HS256", "kid": "one", "k": URL_SAFE_NO_PAD.encode(SECRET) });
    let jwks = file("jwks.json", &json!({ "keys": [key] }).to_string());
    let server = Server::on(folder, &["--api-keys-file", &api_keys], true).await;
    let options = [
        "--jwt-issuer",
        ISSUER,
        "--jwt-audience",
        AUDIENCE,
        "--jwt-keys",
        &jwks,
        "--api-key-file",
        &own,
        "--origin",
        ORIGIN,
    ];
    let gateway = Gateway::before(&[server.address], &options).await;

    let (soon, past) = ("2200-01-01T00:00:00Z".parse().unwrap(), "2020-01-01T00:00:00Z".parse().unwrap());
    let good = token(SECRET, ISSUER, AUDIENCE, soon);
    let bad = [
        (String::new(), Code::Unauthenticated),
        ("nonsense".to_owned(), Code::Unauthenticated),
        (token(b"somebody else", ISSUER, AUDIENCE, soon), Code::Unauthenticated),
        (token(SECRET, "https://elsewhere.example", AUDIENCE, soon), Code::Unauthenticated),
        (token(SECRET, ISSUER, AUDIENCE, past), Code::Unauthenticated),
        (token(SECRET, ISSUER, "another", soon), Code::PermissionDenied),
    ];
    let mut client = ConnectionServiceClient::new(gateway.channel().await);
    let mut call = async |token: &str| {
        let mut request = Request::new(ListConnectionsRequest::default());
        if !token.is_empty() {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        client.list_connections(request).await.map(|_| ()).map_err(|status| status.code())
    };
    assert_eq!(call(&good).await, Ok(()));
    for (token, code) in &bad {
        assert_eq!(call(token).await, Err(*code), "{token}");
    }
    let rest = async |path: &str, token: &str| {
        let request = http::client().get(http::url(gateway.address, path));
        let request =
            if token.is_empty() { request } else { request.header("authorization", format!("Bearer {token}")) };
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(rest("/api/v1/instances", &good).await, 200);
    // The token says who may come in, the gateway's key what may be done.
    assert_eq!(rest(&format!("/api/v1/instances/{NOBODYS}"), &good).await, 404);
    // However the path is written, it is not a way around.
    for path in [
        "/api/v1/instances",
        "//api/v1/instances",
        "/x/../api/v1/instances",
        "/%61pi/v1/instances",
        "/API/v1/instances",
    ] {
        let status = rest(path, "").await;
        assert!(matches!(status, 401 | 404), "{path}: {status}");
    }
    assert_eq!(rest("/health", "").await, 200);
    let preflight = http::client().request(reqwest::Method::OPTIONS, http::url(gateway.address, "/api/v1/instances"));
    let preflight =
        preflight.header("origin", ORIGIN).header("access-control-request-method", "GET").send().await.unwrap();
    assert_eq!(preflight.headers()["access-control-allow-origin"], ORIGIN);
}

#[tokio::test]
async fn wrong_arguments_are_named_with_a_remedy() {
    let cases: [(&[&str], &str); 15] = [
        (&[], "no Pulse server is named: give its HOST:PORT"),
        (&["localhost"], "UPSTREAM: `localhost` is no HOST:PORT"),
        (&["localhost:70000"], "UPSTREAM: `localhost:70000` is no HOST:PORT"),
        (&["a b:1"], "UPSTREAM: `a b:1` is no HOST:PORT"),
        (&["--listen", "8080", "localhost:1"], "--listen: `8080` is no HOST:PORT"),
        (&["--listen"], "--listen needs a value"),
        (&["--liste", "x"], "there is no option --liste"),
        (&["--origin", "https://a.example/path", "localhost:1"], "--origin: `https://a.example/path` is no origin"),
        (&["--origin", "*", "localhost:1"], "--origin: `*` is no origin"),
        (&["--idle-timeout", "soon", "localhost:1"], "--idle-timeout: `soon` is no number of seconds"),
        (&["--tls-key", "/dev/null", "localhost:1"], "--tls-key: there is no file /dev/null that can be read"),
        (&["--tls-key", "/etc/passwd", "localhost:1"], "--tls-certificate and --tls-key go together"),
        (&["--jwt-issuer", "a\"b", "localhost:1"], "--jwt-issuer: `a\"b` holds a quote"),
        (&["--jwt-issuer", "a", "localhost:1"], "--jwt-issuer, --jwt-audience and --jwt-keys go together"),
        (&["--api-key-file", "/etc/passwd", "localhost:1"], "--api-key-file is for --jwt-"),
    ];
    for (arguments, part) in cases {
        let complaint = Gateway::complaint(arguments).await;
        assert!(complaint.contains(part), "{arguments:?}: {complaint}");
    }
}
