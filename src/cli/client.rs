//! A connection to a running server, as any gRPC client would make it.

use std::fmt::Write;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::command::{Error, ServerArguments};
use crate::pb::v1::connection_service_client::ConnectionServiceClient;
use crate::pb::v1::knowledge_service_client::KnowledgeServiceClient;
use crate::pb::v1::workflow_service_client::WorkflowServiceClient;
use crate::pb::v1::{Connection, ListConnectionsRequest};

/// Puts the API key on every call.
#[derive(Debug, Clone)]
pub(super) struct Credentials(Option<MetadataValue<Ascii>>);

impl tonic::service::Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Stubs of a running server.
pub(super) struct Client {
    pub(super) channel: Channel,
    pub(super) connections: ConnectionServiceClient<InterceptedService<Channel, Credentials>>,
    pub(super) knowledge: KnowledgeServiceClient<InterceptedService<Channel, Credentials>>,
    pub(super) workflows: WorkflowServiceClient<InterceptedService<Channel, Credentials>>,
}

impl Client {
    /// Connects, or says what to check.
    pub(super) async fn connect(arguments: &ServerArguments) -> Result<Self, Error> {
        let scheme = if arguments.server.contains("://") { "" } else { "http://" };
        let endpoint = Endpoint::from_shared(format!("{scheme}{}", arguments.server))
            .map_err(|_| {
                Error::Usage(format!("--server: `{}` is not a URL such as http://127.0.0.1:50051", arguments.server))
            })?
            .connect_timeout(std::time::Duration::from_secs(5));
        let channel = endpoint.connect().await.map_err(|_| {
            Error::Call(format!("no server answers at {}; start one with `pulse serve --demo`", arguments.server))
        })?;
        let bearer = arguments.api_key.as_deref().map(|key| format!("Bearer {key}").parse()).transpose();
        let credentials = Credentials(bearer.map_err(|_| Error::Usage("--api-key: not a key".to_owned()))?);
        Ok(Self {
            channel: channel.clone(),
            connections: ConnectionServiceClient::with_interceptor(channel.clone(), credentials.clone()),
            knowledge: KnowledgeServiceClient::with_interceptor(channel.clone(), credentials.clone()),
            workflows: WorkflowServiceClient::with_interceptor(channel, credentials),
        })
    }

    /// The saved connection of this id or name; names ignore case.
    pub(super) async fn find_connection(&mut self, name_or_id: &str) -> Result<Connection, Error> {
        let mut page_token = String::new();
        loop {
            let request = ListConnectionsRequest { page_token, ..Default::default() };
            let page =
                self.connections.list_connections(request).await.map_err(|status| explain(&status))?.into_inner();
            let matches = |one: &Connection| {
                one.id.eq_ignore_ascii_case(name_or_id) || one.name.to_lowercase() == name_or_id.to_lowercase()
            };
            if let Some(found) = page.connections.into_iter().find(matches) {
                return Ok(found);
            }
            if page.next_page_token.is_empty() {
                return Err(Error::Call(format!("no connection is named `{name_or_id}`")));
            }
            page_token = page.next_page_token;
        }
    }
}

/// A status in words: its code, the reason, the message, and every field that is wrong.
pub(super) fn explain(status: &Status) -> Error {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| format!(" {}", info.reason)).unwrap_or_default();
    let mut text = format!("{:?}{reason}: {}", status.code(), status.message());
    for violation in details.bad_request().into_iter().flat_map(|request| &request.field_violations) {
        if !status.message().contains(&violation.description) {
            let _ = write!(text, "\n  {}: {}", violation.field, violation.description);
        }
    }
    if status.code() == Code::InvalidArgument { Error::Usage(text) } else { Error::Call(text) }
}
