//! The least that a gRPC server over a database can be: the driver, typed cells, nothing else. No guard, no limits, no
//! time-outs, no cancelling, no identity. What Pulse costs is measured against it.

use std::pin::Pin;
use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt};
use pulse::pb::v1 as pb;
use pulse::pb::v1::query_service_server::{QueryService, QueryServiceServer};
use pulse::pb::v1::stream_query_request::Source;
use pulse::pb::v1::stream_query_response::Part;
use pulse::pb::v1::value::Kind;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column, Connection, Decode, Row, TypeInfo, ValueRef};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Connections to a server; a SQLite file has fewer.
const CONNECTIONS: usize = 16;
const FILE_CONNECTIONS: usize = 4;
const BATCH_ROWS: usize = 1_000;

/// Serves until it is killed; prints its address first. `url` is of a server or a file.
pub async fn serve(url: &str) {
    let target = Target::open(url).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let service = QueryServiceServer::new(Bare { target: Arc::new(target) });
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .add_service(service)
        .serve_with_incoming(incoming)
        .await
        .unwrap();
}

struct Pool<C> {
    permits: Semaphore,
    free: Mutex<Vec<C>>,
}

impl<C> Pool<C> {
    fn new(connections: Vec<C>) -> Self {
        Self { permits: Semaphore::new(connections.len()), free: Mutex::new(connections) }
    }

    async fn take(&self) -> (tokio::sync::SemaphorePermit<'_>, C) {
        let permit = self.permits.acquire().await.unwrap();
        let connection = self.free.lock().await.pop().unwrap();
        (permit, connection)
    }
}

enum Target {
    Postgres(Pool<PgConnection>),
    Mysql(Pool<MySqlConnection>),
    Sqlite(Pool<rusqlite::Connection>),
}

impl Target {
    async fn open(url: &str) -> Self {
        if url.starts_with("postgres") {
            let mut connections = Vec::new();
            for _ in 0..CONNECTIONS {
                connections.push(PgConnection::connect(url).await.unwrap());
            }
            Self::Postgres(Pool::new(connections))
        } else if url.starts_with("mysql") {
            let mut connections = Vec::new();
            for _ in 0..CONNECTIONS {
                connections.push(MySqlConnection::connect(url).await.unwrap());
            }
            Self::Mysql(Pool::new(connections))
        } else {
            let open = |_| rusqlite::Connection::open(url).unwrap();
            Self::Sqlite(Pool::new((0..FILE_CONNECTIONS).map(open).collect()))
        }
    }

    /// Rows in batches, through a channel that waits for its reader.
    async fn run(&self, sql: String, batches: mpsc::Sender<Vec<pb::Row>>) {
        match self {
            Self::Postgres(pool) => {
                let (_permit, mut connection) = pool.take().await;
                gather(
                    sqlx::query(AssertSqlSafe(sql)).fetch(&mut connection).map(|row| postgres_row(&row.unwrap())),
                    batches,
                )
                .await;
                pool.free.lock().await.push(connection);
            }
            Self::Mysql(pool) => {
                let (_permit, mut connection) = pool.take().await;
                gather(
                    sqlx::query(AssertSqlSafe(sql)).fetch(&mut connection).map(|row| mysql_row(&row.unwrap())),
                    batches,
                )
                .await;
                pool.free.lock().await.push(connection);
            }
            Self::Sqlite(pool) => {
                let (_permit, connection) = pool.take().await;
                let read = move || {
                    sqlite_rows(&connection, &sql, &batches);
                    connection
                };
                let connection = tokio::task::spawn_blocking(read).await.unwrap();
                pool.free.lock().await.push(connection);
            }
        }
    }
}

async fn gather(mut rows: impl futures::Stream<Item = pb::Row> + Unpin, batches: mpsc::Sender<Vec<pb::Row>>) {
    let mut batch = Vec::new();
    while let Some(row) = rows.next().await {
        batch.push(row);
        if batch.len() == BATCH_ROWS {
            let _ = batches.send(std::mem::take(&mut batch)).await;
        }
    }
    let _ = batches.send(batch).await;
}

fn cell(kind: Kind) -> pb::Value {
    pb::Value { kind: Some(kind) }
}

/// Numbers and text are typed; decimals and times, which take work, are handed on as the bytes they are.
fn postgres_row(row: &PgRow) -> pb::Row {
    let value = |index: usize| {
        let raw = row.try_get_raw(index).unwrap();
        if raw.is_null() {
            return cell(Kind::NullValue(0));
        }
        match row.column(index).type_info().name() {
            "INT4" => cell(Kind::Int64Value(row.get::<i32, _>(index).into())),
            "INT8" => cell(Kind::Int64Value(row.get(index))),
            "TEXT" | "VARCHAR" => cell(Kind::StringValue(row.get(index))),
            _ => cell(Kind::BytesValue(raw.as_bytes().unwrap().to_vec().into())),
        }
    };
    pb::Row { values: (0..row.len()).map(value).collect() }
}

fn mysql_row(row: &MySqlRow) -> pb::Row {
    let value = |index: usize| {
        let raw = row.try_get_raw(index).unwrap();
        if raw.is_null() {
            return cell(Kind::NullValue(0));
        }
        match row.column(index).type_info().name() {
            "INT" => cell(Kind::Int64Value(row.get::<i32, _>(index).into())),
            "BIGINT" => cell(Kind::Int64Value(row.get(index))),
            "TEXT" | "VARCHAR" | "CHAR" => cell(Kind::StringValue(row.get(index))),
            _ => cell(Kind::BytesValue(<&[u8] as Decode<sqlx::MySql>>::decode(raw).unwrap().to_vec().into())),
        }
    };
    pb::Row { values: (0..row.len()).map(value).collect() }
}

fn sqlite_rows(connection: &rusqlite::Connection, sql: &str, batches: &mpsc::Sender<Vec<pb::Row>>) {
    use rusqlite::types::ValueRef as Stored;

    let mut statement = connection.prepare_cached(sql).unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut batch = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let value = |index| match row.get_ref(index).unwrap() {
            Stored::Null => cell(Kind::NullValue(0)),
            Stored::Integer(number) => cell(Kind::Int64Value(number)),
            Stored::Real(number) => cell(Kind::DoubleValue(number)),
            Stored::Text(text) => cell(Kind::StringValue(std::str::from_utf8(text).unwrap().to_owned())),
            Stored::Blob(bytes) => cell(Kind::BytesValue(bytes.to_vec().into())),
        };
        batch.push(pb::Row { values: (0..columns).map(value).collect() });
        if batch.len() == BATCH_ROWS && batches.blocking_send(std::mem::take(&mut batch)).is_err() {
            return;
        }
    }
    let _ = batches.blocking_send(batch);
}

struct Bare {
    target: Arc<Target>,
}

impl Bare {
    /// A task of its own reads, so that a client that hangs up does not break a connection.
    fn run(&self, sql: String) -> mpsc::Receiver<Vec<pb::Row>> {
        let (sender, receiver) = mpsc::channel(2);
        let target = Arc::clone(&self.target);
        tokio::spawn(async move { target.run(sql, sender).await });
        receiver
    }
}

#[tonic::async_trait]
impl QueryService for Bare {
    async fn execute_query(
        &self,
        request: Request<pb::ExecuteQueryRequest>,
    ) -> Result<Response<pb::ExecuteQueryResponse>, Status> {
        let mut batches = self.run(request.into_inner().sql);
        let mut rows = Vec::new();
        while let Some(batch) = batches.recv().await {
            rows.extend(batch);
        }
        let row_count = i32::try_from(rows.len()).unwrap();
        Ok(Response::new(pb::ExecuteQueryResponse { rows, row_count, ..Default::default() }))
    }

    type StreamQueryStream = Pin<Box<BoxStream<'static, Result<pb::StreamQueryResponse, Status>>>>;

    async fn stream_query(
        &self,
        request: Request<pb::StreamQueryRequest>,
    ) -> Result<Response<Self::StreamQueryStream>, Status> {
        let Some(Source::Statement(statement)) = request.into_inner().source else { panic!("no statement") };
        let batches = ReceiverStream::new(self.run(statement.sql));
        let piece = |rows| {
            let data = Some(pb::stream_batch::Data::Rows(pb::RowBatch { rows }));
            Ok(pb::StreamQueryResponse { part: Some(Part::Batch(pb::StreamBatch { data })) })
        };
        Ok(Response::new(Box::pin(batches.map(piece).boxed())))
    }

    async fn validate_query(
        &self,
        _request: Request<pb::ValidateQueryRequest>,
    ) -> Result<Response<pb::ValidateQueryResponse>, Status> {
        Err(Status::unimplemented("the bare server only runs"))
    }
}
