//! The least that a gRPC server over a database can be: the driver, and the same answers as Pulse's (named columns, typed
//! cells), nothing else. No guard, no limits, no time-outs, no cancelling, no identity. What Pulse costs is measured
//! against it.

use std::pin::Pin;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use jiff::ToSpan;
use jiff::civil::{DateTime, date};
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

    /// Columns, then rows in batches, through a channel that waits for its reader.
    async fn run(&self, sql: String, pieces: mpsc::Sender<Piece>) {
        match self {
            Self::Postgres(pool) => {
                let (_permit, mut connection) = pool.take().await;
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut connection);
                gather(rows.map(Result::unwrap), columns, postgres_row, pieces).await;
                pool.free.lock().await.push(connection);
            }
            Self::Mysql(pool) => {
                let (_permit, mut connection) = pool.take().await;
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut connection);
                gather(rows.map(Result::unwrap), columns, mysql_row, pieces).await;
                pool.free.lock().await.push(connection);
            }
            Self::Sqlite(pool) => {
                let (_permit, connection) = pool.take().await;
                let read = move || {
                    sqlite_rows(&connection, &sql, &pieces);
                    connection
                };
                let connection = tokio::task::spawn_blocking(read).await.unwrap();
                pool.free.lock().await.push(connection);
            }
        }
    }
}

/// What a result is made of.
enum Piece {
    Columns(Vec<pb::Column>),
    Rows(Vec<pb::Row>),
}

/// The columns are those of the first row: the queries that are measured have one.
async fn gather<R>(
    mut rows: impl futures::Stream<Item = R> + Unpin,
    columns: impl Fn(&R) -> Vec<pb::Column>,
    row: impl Fn(&R) -> pb::Row,
    pieces: mpsc::Sender<Piece>,
) {
    let mut batch = Vec::new();
    let mut first = true;
    while let Some(given) = rows.next().await {
        if std::mem::take(&mut first) {
            let _ = pieces.send(Piece::Columns(columns(&given))).await;
        }
        batch.push(row(&given));
        if batch.len() == BATCH_ROWS {
            let _ = pieces.send(Piece::Rows(std::mem::take(&mut batch))).await;
        }
    }
    let _ = pieces.send(Piece::Rows(batch)).await;
}

fn columns<R: Row>(row: &R) -> Vec<pb::Column> {
    row.columns().iter().map(|column| named(column.name(), column.type_info().name())).collect()
}

fn named(name: &str, database_type: &str) -> pb::Column {
    let r#type = match database_type {
        "INT4" | "INT8" | "INT" | "BIGINT" | "INTEGER" => pb::DataType::Int64,
        "NUMERIC" | "DECIMAL" | "DECIMAL(12,2)" => pb::DataType::Decimal,
        "TIMESTAMP" | "DATETIME" => pb::DataType::Timestamp,
        _ => pb::DataType::String,
    };
    pb::Column { name: name.to_owned(), database_type: database_type.to_owned(), r#type: r#type.into(), nullable: None }
}

fn cell(kind: Kind) -> pb::Value {
    pb::Value { kind: Some(kind) }
}

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
            "NUMERIC" => cell(Kind::DecimalValue(numeric(raw.as_bytes().unwrap()))),
            "TIMESTAMP" => {
                let micros = i64::from_be_bytes(raw.as_bytes().unwrap().try_into().unwrap());
                let time = date(2000, 1, 1).at(0, 0, 0, 0) + micros.microseconds();
                cell(Kind::TimestampValue(time.to_string()))
            }
            name => panic!("no measured query has a {name}"),
        }
    };
    pb::Row { values: (0..row.len()).map(value).collect() }
}

/// A positive number of PostgreSQL: digits in base 10,000 with a weight and a count of decimals.
fn numeric(bytes: &[u8]) -> String {
    let words: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let (weight, decimals) = (i32::from(words[1].cast_signed()), usize::from(words[3]));
    let digit = |place: i32| usize::try_from(place).ok().and_then(|place| words.get(4 + place)).copied().unwrap_or(0);
    let digits =
        |from: i32, to: i32| (from..to).fold(String::new(), |text, place| format!("{text}{:04}", digit(place)));
    let whole = digits(0, weight + 1);
    let fraction = digits(weight + 1, weight + 1 + i32::try_from(decimals.div_ceil(4)).unwrap());
    let whole = whole.trim_start_matches('0');
    format!("{}.{}", if whole.is_empty() { "0" } else { whole }, &fraction[..decimals])
}

fn mysql_row(row: &MySqlRow) -> pb::Row {
    let value = |index: usize| {
        let raw = row.try_get_raw(index).unwrap();
        if raw.is_null() {
            return cell(Kind::NullValue(0));
        }
        let bytes = |raw| <&[u8] as Decode<sqlx::MySql>>::decode(raw).unwrap();
        match row.column(index).type_info().name() {
            "INT" => cell(Kind::Int64Value(row.get::<i32, _>(index).into())),
            "BIGINT" => cell(Kind::Int64Value(row.get(index))),
            "TEXT" | "VARCHAR" | "CHAR" => cell(Kind::StringValue(row.get(index))),
            "DECIMAL" => cell(Kind::DecimalValue(String::from_utf8(bytes(raw).to_vec()).unwrap())),
            "DATETIME" => cell(Kind::TimestampValue(datetime(bytes(raw)).to_string())),
            name => panic!("no measured query has a {name}"),
        }
    };
    pb::Row { values: (0..row.len()).map(value).collect() }
}

/// MySQL's binary form: the length, the date, then the time unless it is midnight.
fn datetime(bytes: &[u8]) -> DateTime {
    let part = |index: usize| bytes.get(index).map_or(0, |byte| byte.cast_signed());
    let year = u16::from_le_bytes([bytes[1], bytes[2]]).cast_signed();
    date(year, part(3), part(4)).at(part(5), part(6), part(7), 0)
}

fn sqlite_rows(connection: &rusqlite::Connection, sql: &str, pieces: &mpsc::Sender<Piece>) {
    use rusqlite::types::ValueRef as Stored;

    let mut statement = connection.prepare_cached(sql).unwrap();
    let named = |column: &rusqlite::Column<'_>| named(column.name(), column.decl_type().unwrap_or_default());
    let columns: Vec<_> = statement.columns().iter().map(named).collect();
    let column_count = columns.len();
    let _ = pieces.blocking_send(Piece::Columns(columns));
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
        batch.push(pb::Row { values: (0..column_count).map(value).collect() });
        if batch.len() == BATCH_ROWS && pieces.blocking_send(Piece::Rows(std::mem::take(&mut batch))).is_err() {
            return;
        }
    }
    let _ = pieces.blocking_send(Piece::Rows(batch));
}

struct Bare {
    target: Arc<Target>,
}

impl Bare {
    /// A task of its own reads, so that a client that hangs up does not break a connection.
    fn run(&self, sql: String) -> mpsc::Receiver<Piece> {
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
        let mut pieces = self.run(request.into_inner().sql);
        let mut answer = pb::ExecuteQueryResponse::default();
        while let Some(piece) = pieces.recv().await {
            match piece {
                Piece::Columns(columns) => answer.columns = columns,
                Piece::Rows(rows) => answer.rows.extend(rows),
            }
        }
        answer.row_count = i32::try_from(answer.rows.len()).unwrap();
        Ok(Response::new(answer))
    }

    type StreamQueryStream = Pin<Box<BoxStream<'static, Result<pb::StreamQueryResponse, Status>>>>;

    async fn stream_query(
        &self,
        request: Request<pb::StreamQueryRequest>,
    ) -> Result<Response<Self::StreamQueryStream>, Status> {
        let Some(Source::Statement(statement)) = request.into_inner().source else { panic!("no statement") };
        let pieces = ReceiverStream::new(self.run(statement.sql));
        let part = |piece| match piece {
            Piece::Columns(columns) => {
                Part::Header(pb::StreamHeader { columns, format: pb::StreamFormat::Rows.into() })
            }
            Piece::Rows(rows) => {
                let data = Some(pb::stream_batch::Data::Rows(rows.into()));
                Part::Batch(pb::StreamBatch { data })
            }
        };
        let answer = pieces.map(part).chain(stream::once(async { Part::Summary(pb::StreamSummary::default()) }));
        Ok(Response::new(Box::pin(answer.map(|part| Ok(pb::StreamQueryResponse { part: Some(part) })).boxed())))
    }

    async fn validate_query(
        &self,
        _request: Request<pb::ValidateQueryRequest>,
    ) -> Result<Response<pb::ValidateQueryResponse>, Status> {
        Err(Status::unimplemented("the bare server only runs"))
    }
}
