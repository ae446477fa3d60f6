//! Who may do what: API keys, scopes, and tenants that never see each other.

use std::collections::BTreeMap;

use prost_reflect::Value;
use pulse::pb::v1::{DeleteConnectionRequest, ListConnectionsRequest, ListWorkflowsRequest};
use sha2::{Digest, Sha256};
use tonic::{Code, Request};
use tonic_types::StatusExt;

use crate::support::calls::{assert_error, question, reason};
use crate::support::contract::{self, dotted, fields, is_id, methods};
use crate::support::databases::{creation, spec, sqlite, statement};
use crate::support::process::pulse;
use crate::support::server::{Folder, Server};

const A: &str = "key-of-a-8f1d0c5e7b2a49368f1d0c5e7b2a4936";
const B: &str = "key-of-b-1b6e4f2d9c8047a51b6e4f2d9c8047a5";
/// Keys of tenant `a` with one scope each.
const SCOPED: [(&str, &str); 3] = [
    ("read", "reader-of-a-5d2c7e9f1a3b4c6d5d2c7e9f1a3b4c6d"),
    ("run", "runner-of-a-3e8b1f7d5c9a2460b3e8b1f7d5c9a246"),
    ("manage", "manager-of-a-7a9e3b5c1d2f4e6a7a9e3b5c1d2f4e6"),
];

/// A server with the tenants `a` and `b`; the folder of databases is theirs together.
async fn two_tenants() -> Server {
    let folder = Folder::new();
    let entry = |tenant: &str, key: &str, scopes: &[&str]| {
        let sha256 = hex::encode(Sha256::digest(key));
        serde_json::json!({ "name": "test", "tenant": tenant, "sha256": sha256, "scopes": scopes })
    };
    let everything = &["read", "run", "manage"];
    let mut keys = vec![entry("a", A, everything), entry("b", B, everything)];
    keys.extend(SCOPED.map(|(scope, key)| entry("a", key, &[scope])));
    let file = folder.path().join("keys.json");
    std::fs::write(&file, serde_json::Value::Array(keys).to_string()).unwrap();
    sqlite(&folder.databases(), "t.sqlite", "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);");
    Server::on(folder, &["--api-keys-file", file.to_str().unwrap()], false).await
}

/// The request as the holder of `key` sends it.
fn with<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

/// Saves a connection and runs a workflow on it; returns both ids.
async fn records(server: &mut Server, key: &str) -> (String, String) {
    let creation = with(key, creation(spec("t", "t.sqlite")));
    let connection = server.connections.create_connection(creation).await.unwrap().into_inner().connection.unwrap();
    let started = with(key, question(&connection.id, "How many t are there?"));
    let workflow = server.workflows.start_workflow(started).await.unwrap().into_inner().workflow.unwrap();
    (connection.id, workflow.id)
}

#[tokio::test]
async fn every_rpc_needs_a_key() {
    let mut server = two_tenants().await;
    let (own, _) = records(&mut server, A).await;
    for method in methods() {
        for key in [None, Some("wrong"), Some(&hex::encode(Sha256::digest(A))[..])] {
            let request = contract::complete_request(&method, &own);
            let status = contract::call(&server.channel, key, &method, &request).await.unwrap_err();
            assert_error(&status, Code::Unauthenticated, "UNAUTHENTICATED", &[]);
        }
    }
}

#[tokio::test]
async fn health_needs_no_key() {
    let server = two_tenants().await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(server.channel.clone());
    health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn only_a_bearer_key_counts() {
    let mut server = two_tenants().await;
    for header in [format!("Basic {A}"), A.to_owned(), format!("Bearer {A}x"), "Bearer ".to_owned()] {
        let mut request = Request::new(ListConnectionsRequest::default());
        request.metadata_mut().insert("authorization", header.parse().unwrap());
        let status = server.connections.list_connections(request).await.unwrap_err();
        assert_error(&status, Code::Unauthenticated, "UNAUTHENTICATED", &[]);
        assert!(!status.message().contains(A), "a refusal repeats no key");
    }
    server.connections.list_connections(with(A, ListConnectionsRequest::default())).await.unwrap();
}

#[tokio::test]
async fn every_rpc_needs_its_scope() {
    let mut server = two_tenants().await;
    let (own, _) = records(&mut server, A).await;
    let mut allowed = BTreeMap::new();
    for method in methods() {
        for (scope, key) in SCOPED {
            let request = contract::complete_request(&method, &own);
            match contract::call(&server.channel, Some(key), &method, &request).await {
                Err(status) if reason(&status) == "SCOPE_MISSING" => {
                    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
                    assert!(status.get_details_error_info().unwrap().metadata.contains_key("scope"), "{status:?}");
                }
                _ => {
                    let before = allowed.insert(method.name().to_owned(), scope);
                    assert_eq!(before, None, "{} has one scope", method.name());
                }
            }
        }
    }
    let with = |wanted| allowed.iter().filter(move |(_, scope)| **scope == wanted).map(|(name, _)| &name[..]);
    let reads = [
        "ExportKnowledge",
        "GetConnection",
        "GetKnowledge",
        "GetSchema",
        "GetWorkflow",
        "ListConnections",
        "ListExamples",
        "ListWorkflowSteps",
        "ListWorkflows",
        "WatchWorkflow",
    ];
    assert_eq!(with("read").collect::<Vec<_>>(), reads);
    let manages = [
        "CreateConnection",
        "CreateExample",
        "DeleteConnection",
        "DeleteExample",
        "ImportKnowledge",
        "TestConnection",
        "UpdateConnection",
        "UpdateKnowledge",
    ];
    assert_eq!(with("manage").collect::<Vec<_>>(), manages);
    assert_eq!(allowed.len(), methods().len(), "every RPC has its scope: {allowed:?}");
}

#[tokio::test]
async fn lists_hold_ones_own() {
    let mut server = two_tenants().await;
    let (connection, workflow) = records(&mut server, A).await;
    let connections = |key| with(key, ListConnectionsRequest::default());
    let workflows = |key| with(key, ListWorkflowsRequest::default());
    let of_a = server.connections.list_connections(connections(A)).await.unwrap().into_inner().connections;
    assert_eq!(of_a.iter().map(|one| &one.id).collect::<Vec<_>>(), [&connection]);
    let of_a = server.workflows.list_workflows(workflows(A)).await.unwrap().into_inner().workflows;
    assert_eq!(of_a.iter().map(|one| &one.id).collect::<Vec<_>>(), [&workflow]);
    assert!(server.connections.list_connections(connections(B)).await.unwrap().into_inner().connections.is_empty());
    assert!(server.workflows.list_workflows(workflows(B)).await.unwrap().into_inner().workflows.is_empty());
    let search = ListWorkflowsRequest { question_contains: " ".to_owned(), ..ListWorkflowsRequest::default() };
    let found = |key| with(key, search.clone());
    assert_eq!(server.workflows.list_workflows(found(A)).await.unwrap().into_inner().workflows.len(), 1);
    assert!(server.workflows.list_workflows(found(B)).await.unwrap().into_inner().workflows.is_empty());
}

#[tokio::test]
async fn names_and_request_ids_are_each_tenants_own() {
    let mut server = two_tenants().await;
    let mut ids = Vec::new();
    for key in [A, B] {
        let mut request = creation(spec("same name", "t.sqlite"));
        "same request".clone_into(&mut request.request_id);
        let created = server.connections.create_connection(with(key, request)).await.unwrap().into_inner();
        ids.push(created.connection.unwrap().id);
    }
    assert_ne!(ids[0], ids[1]);
}

/// Every RPC that takes an id, called by B with A's: it answers as if the id did not exist.
#[tokio::test]
async fn another_tenants_ids_do_not_exist() {
    const NOBODYS: &str = "0198c0de-0000-7000-8000-000000000000";
    let mut server = two_tenants().await;
    let (connection, workflow) = records(&mut server, A).await;
    let (own, _) = records(&mut server, B).await;
    let mut checked = 0;
    for method in methods() {
        for path in fields(&method, is_id) {
            for id in [&connection, &workflow] {
                let call = async |id: &str| {
                    let request = contract::request(&method, &own, &path, Value::String(id.to_owned()));
                    contract::call(&server.channel, Some(B), &method, &request).await
                };
                let (theirs, nobodys) = (call(id).await, call(NOBODYS).await);
                let what = format!("{} with {}", method.name(), dotted(&path));
                match (theirs, nobodys) {
                    (Err(theirs), Err(nobodys)) => {
                        assert_eq!(theirs.code(), Code::NotFound, "{what}: {theirs:?}");
                        assert_eq!(reason(&theirs), reason(&nobodys), "{what}");
                        assert_eq!(theirs.message().replace(id, NOBODYS), nobodys.message(), "{what}");
                    }
                    // A filter by an id that does not exist matches nothing.
                    (theirs, nobodys) if method.name() == "ListWorkflows" => {
                        assert_eq!((theirs.unwrap(), nobodys.unwrap()), (Some(vec![]), Some(vec![])), "{what}");
                    }
                    (theirs, nobodys) => panic!("{what}: {theirs:?}, and for an unknown id {nobodys:?}"),
                }
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "{checked}");
    // And A's records are as they were.
    let request = with(A, statement(&connection, "SELECT id FROM t"));
    assert_eq!(server.queries.execute_query(request).await.unwrap().into_inner().row_count, 1);
    let gone = with(A, DeleteConnectionRequest { id: connection, ..DeleteConnectionRequest::default() });
    server.connections.delete_connection(gone).await.unwrap();
}

#[tokio::test]
async fn other_addresses_than_loopback_need_keys() {
    let folder = Folder::new();
    let serve = |flags: &[&str]| {
        let mut command = pulse();
        command.args(["serve", "--listen", "0.0.0.0:0", "--data-dir"]).arg(folder.path()).args(flags);
        command
    };
    let refused = serve(&[]).output().await.unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    for part in ["PULSE_LISTEN", "PULSE_API_KEYS_FILE", "--insecure"] {
        assert!(said.contains(part), "{said}");
    }

    let file = folder.path().join("keys.json");
    for keys in ["", "{}", "[]", r#"[{"name": "x"}]"#] {
        std::fs::write(&file, keys).unwrap();
        let refused = serve(&["--api-keys-file", file.to_str().unwrap()]).output().await.unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{keys}: {said}");
        assert!(said.contains("PULSE_API_KEYS_FILE"), "{keys}: {said}");
    }
}
