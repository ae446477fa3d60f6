//! `pulse.v1.QueryService`.

use std::pin::Pin;

use futures::stream::{self, Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::identity::caller;
use super::{from_pb, to_pb};
use crate::domain::Scope;
use crate::pb::v1 as pb;
use crate::pb::v1::query_service_server as server;
use crate::queries::{self, QueryStream};

pub(super) struct QueryService {
    queries: queries::Service,
}

impl QueryService {
    pub(super) fn new(queries: queries::Service) -> Self {
        Self { queries }
    }
}

#[tonic::async_trait]
impl server::QueryService for QueryService {
    async fn execute_query(
        &self,
        request: Request<pb::ExecuteQueryRequest>,
    ) -> Result<Response<pb::ExecuteQueryResponse>, Status> {
        let who = caller(&request, Scope::Run)?;
        let query = from_pb::execute_query(request.into_inner())?;
        if query.validate_only {
            let validation = self.queries.validate(&who, query.connection, query.statement).await?;
            return match validation.failure {
                Some(failure) => Err(failure.into()),
                None => Ok(Response::new(pb::ExecuteQueryResponse::default())),
            };
        }
        let result = self.queries.execute(&who, query.connection, query.statement, query.limits).await?;
        Ok(Response::new(to_pb::query_result(result)))
    }

    type StreamQueryStream = Pin<Box<dyn Stream<Item = Result<pb::StreamQueryResponse, Status>> + Send>>;

    async fn stream_query(
        &self,
        request: Request<pb::StreamQueryRequest>,
    ) -> Result<Response<Self::StreamQueryStream>, Status> {
        let who = caller(&request, Scope::Run)?;
        let query = from_pb::stream_query(request.into_inner())?;
        let rows = self.queries.stream(&who, query.connection, query.statement, query.limits).await?;
        Ok(Response::new(pieces(rows)))
    }

    async fn validate_query(
        &self,
        request: Request<pb::ValidateQueryRequest>,
    ) -> Result<Response<pb::ValidateQueryResponse>, Status> {
        let who = caller(&request, Scope::Run)?;
        let (connection, statement) = from_pb::validate_query(request.into_inner())?;
        let validation = self.queries.validate(&who, connection, statement).await?;
        Ok(Response::new(to_pb::validation(validation)))
    }
}

/// Header, batches, summary: each batch is read from the database once the client has taken the one before. A stream
/// that is dropped drops its statement.
fn pieces(rows: QueryStream) -> Pin<Box<dyn Stream<Item = Result<pb::StreamQueryResponse, Status>> + Send>> {
    let header = to_pb::header(rows.columns().to_vec());
    let rest = stream::unfold(Some((rows, 0)), |state| async move {
        let (mut rows, sent_bytes) = state?;
        if let Some(batch) = rows.next().await {
            let (batch, bytes) = to_pb::batch(batch);
            return Some((Ok(batch), Some((rows, sent_bytes + bytes))));
        }
        let summary = rows.finish().await.map(|summary| to_pb::summary(&summary, sent_bytes));
        Some((summary.map_err(Status::from), None))
    });
    stream::once(std::future::ready(Ok(header))).chain(rest).boxed()
}
