//! Calls built from the descriptors, for rules that hold for every RPC: a new one is covered the day it is declared.

use std::collections::BTreeSet;

use prost::Message;
use prost::bytes::{Buf, BufMut};
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MethodDescriptor, ReflectMessage, Value};
use pulse::pb::v1::{DatabaseKind, RatingVerdict};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// The contract with everything it imports.
pub fn pool() -> DescriptorPool {
    DescriptorPool::decode(pulse::pb::FILE_DESCRIPTOR_SET).unwrap()
}

/// Every RPC of the contract.
pub fn methods() -> Vec<MethodDescriptor> {
    pool().services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// Every REST binding of the contract as `VERB /path/{field}`. No two are the same, and all are below `/api/v1/`.
pub fn bindings() -> BTreeSet<String> {
    let http = pool().get_extension_by_name("google.api.http").unwrap();
    let mut bound = BTreeSet::new();
    for method in methods() {
        let options = method.options();
        let rule = options.get_extension(&http);
        let rule = rule.as_message().unwrap();
        let more = rule.get_field_by_name("additional_bindings").unwrap();
        let rules = std::iter::once(rule).chain(more.as_list().unwrap().iter().filter_map(Value::as_message));
        for rule in rules {
            for verb in ["get", "put", "post", "delete", "patch"] {
                let path = rule.get_field_by_name(verb).unwrap();
                let path = path.as_str().unwrap();
                if !path.is_empty() {
                    assert!(path.starts_with("/api/v1/"), "{path}");
                    assert!(bound.insert(format!("{verb} {path}")), "{verb} {path} is bound twice");
                }
            }
        }
    }
    bound
}

/// Where a field stands in a request: the fields to walk through, itself last.
pub type Path = Vec<FieldDescriptor>;

/// A path as error details name it, such as `statement.connection_id`.
pub fn dotted(path: &[FieldDescriptor]) -> String {
    path.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".")
}

/// Every single field that `wanted` accepts in the RPC's request and the messages in it.
pub fn fields(method: &MethodDescriptor, wanted: impl Fn(&FieldDescriptor) -> bool) -> Vec<Path> {
    let mut found = Vec::new();
    let mut open: Vec<Path> = method.input().fields().map(|field| vec![field]).collect();
    while let Some(path) = open.pop() {
        let field = path.last().unwrap();
        if field.is_list() || field.is_map() {
            continue;
        }
        match field.kind() {
            Kind::Message(message) if message.package_name() == "pulse.v1" => {
                open.extend(message.fields().map(|inner| [path.clone(), vec![inner]].concat()));
            }
            Kind::Message(_) => {}
            _ if wanted(field) => found.push(path),
            _ => {}
        }
    }
    found
}

/// A field that holds an id of a record.
pub fn is_id(field: &FieldDescriptor) -> bool {
    let foreign = field.name().ends_with("_id") && !matches!(field.name(), "user_id" | "request_id");
    matches!(field.kind(), Kind::String) && (field.name() == "id" || foreign)
}

/// A request of this RPC that is in order, on a connection of the caller's own, but for one field that holds `value`.
pub fn request(
    method: &MethodDescriptor,
    own_connection: &str,
    path: &[FieldDescriptor],
    value: Value,
) -> DynamicMessage {
    let mut request = DynamicMessage::new(method.input());
    set(&mut request, method.name(), own_connection, path, value);
    request
}

/// A request of this RPC that is in order, on a connection of the caller's own.
pub fn complete_request(method: &MethodDescriptor, own_connection: &str) -> DynamicMessage {
    let mut request = DynamicMessage::new(method.input());
    complete(&mut request, method.name(), own_connection);
    request
}

fn set(message: &mut DynamicMessage, method: &str, own_connection: &str, path: &[FieldDescriptor], value: Value) {
    let (field, rest) = path.split_first().unwrap();
    complete(message, method, own_connection);
    if rest.is_empty() {
        message.set_field(field, value);
    } else {
        set(message.get_field_mut(field).as_message_mut().unwrap(), method, own_connection, rest, value);
    }
}

/// Fills in what the RPC needs beside the field in question.
fn complete(message: &mut DynamicMessage, method: &str, own_connection: &str) {
    let text = |text: &str| Value::String(text.to_owned());
    let message_name = message.descriptor().name().to_owned();
    for field in message.descriptor().fields() {
        let value = match (message_name.as_str(), field.name(), field.kind()) {
            (_, "question", _) => text("How many t are there?"),
            (_, "sql", _) => text("SELECT 1"),
            ("ImportKnowledgeRequest", "yaml", _) => text("{}"),
            ("RateWorkflowRequest", "verdict", _) => Value::EnumNumber(RatingVerdict::Up.into()),
            ("ListWorkflowsRequest", "connection_id", _) | ("TestConnectionRequest", "id", _) => continue,
            (_, "id" | "connection_id", _) => text(own_connection),
            ("ConnectionSpec", "name", _) if method == "UpdateConnection" => text("renamed"),
            ("ConnectionSpec", "kind", _) if method != "UpdateConnection" => {
                Value::EnumNumber(DatabaseKind::Sqlite.into())
            }
            ("ConnectionSpec", "database", _) if method != "UpdateConnection" => text("t.sqlite"),
            ("UpdateConnectionRequest", "connection", Kind::Message(inner))
            | ("UpdateKnowledgeRequest", "knowledge", Kind::Message(inner))
            | ("StreamQueryRequest", "statement", Kind::Message(inner))
            | ("ResumeWorkflowRequest", "approve", Kind::Message(inner)) => {
                let mut inner = DynamicMessage::new(inner);
                complete(&mut inner, method, own_connection);
                Value::Message(inner)
            }
            _ => continue,
        };
        message.set_field(&field, value);
    }
}

/// Calls an RPC and returns its first answer, encoded; `None` when a stream ends OK without one.
pub async fn call(
    channel: &Channel,
    key: Option<&str>,
    method: &MethodDescriptor,
    message: &DynamicMessage,
) -> Result<Option<Vec<u8>>, Status> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let mut request = Request::new(message.encode_to_vec());
    if let Some(key) = key {
        request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    }
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let mut answers = client.server_streaming(request, path.parse().unwrap(), Plain).await?.into_inner();
    answers.message().await
}

/// Messages as they are on the wire.
struct Plain;

impl Codec for Plain {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}
