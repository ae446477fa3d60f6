//! `pulse.v1.QueryService`.

use std::pin::Pin;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::from_pb::{StreamFormat, StreamSource};
use super::identity::caller;
use super::{from_pb, layers, status, to_pb};
use crate::domain::{Failure, Scope};
use crate::pb::v1 as pb;
use crate::pb::v1::query_service_server as server;
use crate::queries::arrow::Encoder;
use crate::queries::{self, QueryStream, StreamItem};
use crate::workflow::Handle;

pub(super) struct QueryService {
    queries: queries::Service,
    workflows: Handle,
    drain: Drain,
}

impl QueryService {
    pub(super) fn new(queries: queries::Service, workflows: Handle, drain: Drain) -> Self {
        Self { queries, workflows, drain }
    }
}

/// When a stopping server takes leave of streams that have not ended by themselves.
#[derive(Debug, Clone)]
pub(super) struct Drain {
    soft: CancellationToken,
    time: Duration,
}

impl Drain {
    /// Streams may go on after the soft token for the `drain` time of the server, less what the farewell takes.
    pub(super) fn new(soft: CancellationToken, drain: Duration) -> Self {
        Self { soft, time: drain.saturating_sub(FAREWELL) }
    }

    /// Ends when it is time to leave.
    async fn over(self) {
        self.soft.cancelled().await;
        tokio::time::sleep(self.time).await;
    }
}

/// How long it takes to tell clients that the server leaves.
const FAREWELL: Duration = Duration::from_secs(1);

type Pieces = Pin<Box<dyn Stream<Item = Result<pb::StreamQueryResponse, Status>> + Send>>;

#[tonic::async_trait]
impl server::QueryService for QueryService {
    async fn execute_query(
        &self,
        request: Request<pb::ExecuteQueryRequest>,
    ) -> Result<Response<pb::ExecuteQueryResponse>, Status> {
        let who = caller(&request, Scope::Run)?;
        let query = from_pb::execute_query(request.into_inner())?;
        if query.validate_only {
            let validation = self.queries.validate(&who, query.connection, query.statement, query.intent).await?;
            return match validation.refusal {
                Some(refusal) => Err(refusal.into()),
                None => Ok(Response::new(pb::ExecuteQueryResponse::default())),
            };
        }
        let result = self.queries.execute(&who, query.connection, query.statement, query.limits, query.intent).await?;
        Ok(Response::new(to_pb::query_result(result)))
    }

    type StreamQueryStream = Pieces;

    async fn stream_query(
        &self,
        request: Request<pb::StreamQueryRequest>,
    ) -> Result<Response<Self::StreamQueryStream>, Status> {
        let who = caller(&request, Scope::Run)?;
        let deadline = layers::stated_deadline(request.metadata().as_ref())?;
        let mut query = from_pb::stream_query(request.into_inner())?;
        // A stream has no deadline of the server's; the caller's own bounds the statement.
        query.limits.deadline = deadline;
        let (connection, statement) = match query.source {
            StreamSource::Statement(connection, statement) => (connection, statement),
            StreamSource::Workflow(id) => self.workflows.statement(&who, id).await?,
        };
        let mut leave = self.drain.clone().over().boxed();
        let rows = tokio::select! {
            rows = self.queries.stream(&who, connection, statement, query.limits) => rows?,
            () = &mut leave => return Err(status::draining().into()),
        };
        Ok(Response::new(pieces(rows, query.format, leave)))
    }

    async fn validate_query(
        &self,
        request: Request<pb::ValidateQueryRequest>,
    ) -> Result<Response<pb::ValidateQueryResponse>, Status> {
        let who = caller(&request, Scope::Run)?;
        let (connection, statement, intent) = from_pb::validate_query(request.into_inner())?;
        let validation = self.queries.validate(&who, connection, statement, intent).await?;
        Ok(Response::new(to_pb::validation(validation)))
    }
}

/// Header, batches, summary: each batch is read from the database once the client has taken the one before. A stream
/// that is dropped, or whose rows cannot be written, drops its statement; so does one that has not ended when `leave` does.
fn pieces(result: QueryStream, format: StreamFormat, leave: BoxFuture<'static, ()>) -> Pieces {
    let QueryStream { database, columns, items } = result;
    let (wire_format, arrow) = match format {
        StreamFormat::Rows => (pb::StreamFormat::Rows, None),
        StreamFormat::Arrow => (pb::StreamFormat::Arrow, Some(Encoder::new(database, columns.clone()))),
    };
    let header = stream::once(std::future::ready(Ok(to_pb::header(columns, wire_format))));
    let writer = Writer { arrow, sent_bytes: 0 };
    let rest = stream::unfold(Some((items, writer, leave)), |state| async move {
        let (mut items, mut writer, mut leave) = state?;
        let item = tokio::select! {
            biased;
            () = &mut leave => Err(status::draining()),
            item = items.next() => item?,
        };
        match item.and_then(|item| writer.write(item)) {
            Ok(pieces) => Some((Ok(stream::iter(pieces.into_iter().map(Ok))), Some((items, writer, leave)))),
            Err(failure) => Some((Err(Status::from(failure)), None)),
        }
    });
    header.chain(rest.try_flatten()).boxed()
}

/// Turns batches into pieces: of an Arrow stream, or typed rows.
struct Writer {
    arrow: Option<Encoder>,
    sent_bytes: usize,
}

impl Writer {
    fn write(&mut self, item: StreamItem) -> Result<Vec<pb::StreamQueryResponse>, Failure> {
        let (pieces, summary) = match (&mut self.arrow, item) {
            (None, StreamItem::Rows(rows)) => (vec![to_pb::batch(&rows)], None),
            (None, StreamItem::Summary(summary)) => (Vec::new(), Some(summary)),
            (Some(arrow), StreamItem::Rows(rows)) => {
                (arrow.encode(&rows)?.into_iter().map(to_pb::arrow).collect(), None)
            }
            (Some(arrow), StreamItem::Summary(summary)) => {
                (arrow.finish()?.into_iter().map(to_pb::arrow).collect(), Some(summary))
            }
        };
        self.sent_bytes += pieces.iter().map(|(_, bytes)| bytes).sum::<usize>();
        let summary = summary.map(|summary| to_pb::summary(summary, self.sent_bytes));
        Ok(pieces.into_iter().map(|(piece, _)| piece).chain(summary).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ColumnType, DatabaseKind, Reason, ResultColumn, Value};
    use crate::queries::StreamSummary;
    use pb::stream_query_response::Part;

    fn pieces(result: QueryStream, format: StreamFormat) -> Pieces {
        super::pieces(result, format, futures::future::pending().boxed())
    }

    fn result(columns: Vec<ResultColumn>, items: Vec<Result<StreamItem, Failure>>) -> QueryStream {
        QueryStream { database: DatabaseKind::Sqlite, columns, items: stream::iter(items).boxed() }
    }

    #[tokio::test]
    async fn a_stream_is_header_batches_summary() {
        let column = ResultColumn { name: "n".into(), database_type: "INTEGER".into(), kind: ColumnType::Integer };
        let rows = || Ok(StreamItem::Rows(vec![vec![Value::Int64(1)], vec![Value::Null]].into()));
        let end = StreamSummary { row_count: 4, size_bytes: 0, truncated: None, execution_time: Duration::ZERO };
        let items = vec![rows(), rows(), Ok(StreamItem::Summary(end))];
        let told: Vec<_> = pieces(result(vec![column], items), StreamFormat::Rows).collect().await;
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
        let items = vec![Err(Failure::new(Reason::StatementTimeout, "too long"))];
        let told: Vec<_> = pieces(result(Vec::new(), items), StreamFormat::Rows).collect().await;
        assert_eq!(told.len(), 2);
        assert_eq!(told[1].as_ref().unwrap_err().code(), tonic::Code::DeadlineExceeded);
    }

    #[tokio::test]
    async fn a_stopping_server_takes_leave_of_a_stream() {
        let soft = CancellationToken::new();
        let items = stream::iter([Ok(StreamItem::Rows(vec![vec![Value::Int64(1)]].into()))]).chain(stream::pending());
        let column = ResultColumn { name: "n".into(), database_type: "INTEGER".into(), kind: ColumnType::Integer };
        let endless = QueryStream { database: DatabaseKind::Sqlite, columns: vec![column], items: items.boxed() };
        let leave = Drain::new(soft.clone(), FAREWELL).over().boxed();
        let mut told = super::pieces(endless, StreamFormat::Rows, leave);
        assert!(matches!(told.next().await.unwrap().unwrap().part, Some(Part::Header(_))));
        assert!(matches!(told.next().await.unwrap().unwrap().part, Some(Part::Batch(_))));
        assert!(told.next().now_or_never().is_none(), "it waits for more");
        soft.cancel();
        let refused = told.next().await.unwrap().unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unavailable);
        assert!(told.next().await.is_none());
    }

    #[tokio::test]
    async fn a_row_that_cannot_be_written_ends_the_stream() {
        let column = ResultColumn { name: "n".into(), database_type: "INTEGER".into(), kind: ColumnType::Integer };
        let rows = |cell| Ok(StreamItem::Rows(vec![vec![cell]].into()));
        let items = vec![rows(Value::Int64(1)), rows(Value::String("one".into())), rows(Value::Int64(2))];
        let told: Vec<_> = pieces(result(vec![column], items), StreamFormat::Arrow).collect().await;
        let [Ok(_), Ok(_), Err(refused)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert!(refused.message().contains("row 2"), "{refused:?}");
    }
}
