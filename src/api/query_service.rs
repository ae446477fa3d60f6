//! `pulse.v1.QueryService`.

use std::pin::Pin;

use futures::stream::{self, Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::identity::caller;
use super::{from_pb, to_pb};
use crate::domain::outputs::{Check, CheckKind, Verdict};
use crate::domain::{Failure, Reason, Scope};
use crate::pb::v1 as pb;
use crate::pb::v1::query_service_server as server;
use crate::queries::{self, QueryStream, StreamItem, Validation};

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
            if !validation.is_valid {
                return Err(refusal(validation).into());
            }
            return Ok(Response::new(pb::ExecuteQueryResponse::default()));
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
fn pieces(result: QueryStream) -> Pin<Box<dyn Stream<Item = Result<pb::StreamQueryResponse, Status>> + Send>> {
    let QueryStream { columns, items } = result;
    let header = stream::once(std::future::ready(Ok(to_pb::header(columns))));
    let mut sent_bytes = 0;
    let rest = items.map(move |item| match item? {
        StreamItem::Rows(rows) => {
            let (batch, bytes) = to_pb::batch(rows);
            sent_bytes += bytes;
            Ok(batch)
        }
        StreamItem::Summary(summary) => Ok(to_pb::summary(summary, sent_bytes)),
    });
    header.chain(rest).boxed()
}

/// Why a statement would not run, as the call that runs it would say.
fn refusal(validation: Validation) -> Failure {
    let failed = validation.checks.into_iter().find(|check| check.verdict == Verdict::Failed);
    let (reason, detail) = match failed {
        Some(Check { kind: CheckKind::Parse, detail, .. }) => (Reason::SqlNotUnderstood, detail),
        Some(Check { kind: CheckKind::ReadOnly, detail, .. }) => (Reason::SqlNotAllowed, detail),
        Some(Check { kind: CheckKind::Schema | CheckKind::Planner | CheckKind::Semantics, detail, .. }) => {
            (Reason::SqlFailed, detail)
        }
        None => (Reason::SqlFailed, "the statement is not valid".to_owned()),
    };
    match validation.sql_error {
        Some(error) => Failure::new(reason, error.message.clone()).with_sql(error),
        None => Failure::new(reason, detail),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{ColumnType, ResultColumn, Value};
    use crate::queries::StreamSummary;
    use pb::stream_query_response::Part;

    #[tokio::test]
    async fn a_stream_is_header_batches_summary() {
        let column = ResultColumn { name: "n".into(), database_type: "INTEGER".into(), kind: ColumnType::Integer };
        let rows = || Ok(StreamItem::Rows(vec![vec![Value::Int64(1)], vec![Value::Null]]));
        let end = StreamSummary { row_count: 4, size_bytes: 0, truncated: None, execution_time: Duration::ZERO };
        let items = stream::iter([rows(), rows(), Ok(StreamItem::Summary(end))]).boxed();
        let told: Vec<_> = pieces(QueryStream { columns: vec![column], items }).collect().await;
        let parts: Vec<_> = told.into_iter().map(|piece| piece.unwrap().part.unwrap()).collect();
        let [Part::Header(header), Part::Batch(first), Part::Batch(_), Part::Summary(end)] = parts.as_slice() else {
            panic!("{parts:?}")
        };
        assert_eq!(header.columns[0].name, "n");
        let bytes = i64::try_from(prost::Message::encoded_len(first)).unwrap();
        assert_eq!((end.row_count, end.size_bytes), (4, 2 * bytes));
    }

    #[tokio::test]
    async fn a_stream_that_fails_has_no_summary() {
        let items = stream::iter([Err(Failure::new(Reason::StatementTimeout, "too long"))]).boxed();
        let told: Vec<_> = pieces(QueryStream { columns: Vec::new(), items }).collect().await;
        assert_eq!(told.len(), 2);
        assert_eq!(told[1].as_ref().unwrap_err().code(), tonic::Code::DeadlineExceeded);
    }

    #[test]
    fn what_would_be_refused_says_why() {
        for (kind, reason) in [
            (CheckKind::Parse, Reason::SqlNotUnderstood),
            (CheckKind::ReadOnly, Reason::SqlNotAllowed),
            (CheckKind::Planner, Reason::SqlFailed),
        ] {
            let check = Check { kind, verdict: Verdict::Failed, detail: "no".into() };
            let (tables, plan) = (Vec::new(), String::new());
            let validation = Validation { is_valid: false, checks: vec![check], sql_error: None, tables, plan };
            assert_eq!(refusal(validation).reason, reason);
        }
    }
}
