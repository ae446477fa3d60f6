//! What the contract promises about itself, read from its descriptors.

use std::collections::BTreeSet;

use prost_reflect::{Kind, MessageDescriptor, MethodDescriptor};

use crate::support::contract::{bindings, methods};
use crate::support::process::python;

/// A client that has Google's stubs too would not start if our `google/api` differed.
#[tokio::test]
async fn google_api_is_as_published() {
    let set = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(set.path(), pulse::pb::FILE_DESCRIPTOR_SET).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proto/compare_googleapis.py");
    let output = python().arg(script).arg(set.path()).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn no_answer_has_room_for_a_secret() {
    let mut open: Vec<MessageDescriptor> = methods().iter().map(MethodDescriptor::output).collect();
    let mut seen = BTreeSet::new();
    while let Some(message) = open.pop() {
        if !seen.insert(message.full_name().to_owned()) {
            continue;
        }
        for field in message.fields() {
            let secret = matches!(field.name(), "password" | "client_key" | "url" | "api_key");
            assert!(!secret, "{}", field.full_name());
            if let Kind::Message(inner) = field.kind() {
                open.push(inner);
            }
        }
    }
    assert!(seen.contains("pulse.v1.Connection") && seen.contains("pulse.v1.WorkflowEvent"));
}

#[test]
fn watches_hold_an_event_and_answers_their_resource_first() {
    for method in methods() {
        let (name, answer) = (method.name(), method.output());
        let fields: Vec<_> = answer.fields().map(|field| (field.number(), field.name().to_owned())).collect();
        let service = method.parent_service();
        let resource = match (service.name(), name) {
            ("ConnectionService", _) => "connection",
            ("KnowledgeService", "CreateExample") => "example",
            ("KnowledgeService", _) => "knowledge",
            _ => "workflow",
        };
        match name {
            "WatchWorkflow" | "RunWorkflow" => assert_eq!(fields, [(1, "event".to_owned())], "{name}"),
            "CreateConnection" | "GetConnection" | "UpdateConnection" | "GetKnowledge" | "UpdateKnowledge"
            | "ImportKnowledge" | "CreateExample" | "StartWorkflow" | "GetWorkflow" | "CancelWorkflow"
            | "ResumeWorkflow" | "RateWorkflow" => assert_eq!(fields[0], (1, resource.to_owned()), "{name}"),
            _ if name.starts_with("List") => assert_eq!(fields[1], (2, "next_page_token".to_owned()), "{name}"),
            _ => {}
        }
    }
}

#[test]
fn every_rest_path_of_the_design_is_bound() {
    let bound = bindings();
    for expected in [
        "post /api/v1/instances",
        "get /api/v1/instances",
        "get /api/v1/instances/{id}",
        "put /api/v1/instances/{id}",
        "delete /api/v1/instances/{id}",
        "post /api/v1/instances/{id}/test",
        "post /api/v1/instances/{connection_id}/query",
        "post /api/v1/query",
        "post /api/v1/workflows",
        "post /api/v1/workflows/start-with-connection",
        "get /api/v1/workflows/{id}/status",
        "get /api/v1/workflows/{id}/steps",
    ] {
        assert!(bound.contains(expected), "{expected} is missing from {bound:#?}");
    }
}
