//! States of a database that statements are scored on: SQLite files, and databases of a server.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tokio::runtime::Handle;

use super::rows::reading;
use super::run::Error;
use super::suite::database;
use super::workflows::is_invalid;
use crate::domain::{Cell as Stored, Comparable, ConnectionId, Failure, Plain, Principal, TextKind};
use crate::queries::{self, QueryStream, RequestedLimits, Statement, StreamItem};
use crate::sql::sqlite;

/// Longest that a statement may run.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// Most rows of a result.
pub const MAX_ROWS: usize = 200_000;

/// Instructions of SQLite's virtual machine between two looks at the clock.
const INSTRUCTIONS_BETWEEN_LOOKS: i32 = 20_000;

/// What a statement gives, or why it gives nothing that could be compared.
pub(super) type Given = Result<Comparable, String>;

/// Something that statements are run on; they come from anywhere, and only read.
pub(super) trait State {
    /// The rows of one reading statement. An error says nothing of the statement.
    fn run(&self, sql: &str) -> Result<Given, Error>;
}

/// A SQLite file, opened read-only.
pub(super) struct FileState(Connection);

/// A database of a server; statements go through guard and limits like any other.
pub(super) struct ServerState<'a> {
    pub(super) queries: &'a queries::Service,
    pub(super) runtime: &'a Handle,
    pub(super) db: &'a str,
    pub(super) connection: ConnectionId,
}

impl FileState {
    pub(super) fn open(folder: &Path, db: &str) -> Result<Self, Error> {
        let opened = sqlite::open(&database(folder, db), Duration::from_secs(1));
        opened.map(Self).map_err(|source| Error::Database { db: db.to_owned(), source })
    }
}

impl State for FileState {
    fn run(&self, sql: &str) -> Result<Given, Error> {
        let Some(sql) = reading(sql) else { return Ok(Err(no_reading())) };
        let end = Instant::now() + TIMEOUT;
        let watched = self.0.progress_handler(INSTRUCTIONS_BETWEEN_LOOKS, Some(move || Instant::now() > end));
        let given = watched.map_err(|error| error.to_string()).and_then(|()| fetch(&self.0, sql));
        let given = given.map_err(|why| if Instant::now() > end { too_long() } else { why });
        // What is left of it would stop the next statement at once, which then says so itself.
        let _ = self.0.progress_handler(0, None::<fn() -> bool>);
        Ok(given)
    }
}

fn fetch(connection: &Connection, sql: &str) -> Given {
    let words = |error: rusqlite::Error| error.to_string();
    let mut statement = connection.prepare(sql).map_err(words)?;
    let columns = statement.column_count();
    if columns == 0 {
        return Err(no_reading());
    }
    if statement.parameter_count() > 0 {
        return Err("it has placeholders, which nothing is given for".to_owned());
    }
    let mut rows = Vec::new();
    let mut stored = statement.raw_query();
    while let Some(row) = stored.next().map_err(words)? {
        if rows.len() == MAX_ROWS {
            return Err(too_many());
        }
        let cells = (0..columns).map(|column| Ok(of_file(row.get_ref(column)?)));
        rows.push(cells.collect::<rusqlite::Result<_>>().map_err(words)?);
    }
    Ok(Comparable { columns, rows })
}

fn of_file(stored: ValueRef<'_>) -> Plain {
    match stored {
        ValueRef::Null => Plain::Null,
        ValueRef::Integer(number) => Plain::Number(number as f64),
        ValueRef::Real(number) => Plain::Number(number),
        ValueRef::Text(text) => Plain::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Plain::Bytes(bytes.to_vec()),
    }
}

impl State for ServerState<'_> {
    fn run(&self, sql: &str) -> Result<Given, Error> {
        let Some(sql) = reading(sql) else { return Ok(Err(no_reading())) };
        self.runtime.block_on(self.read(sql))
    }
}

impl ServerState<'_> {
    async fn read(&self, sql: &str) -> Result<Given, Error> {
        let limits =
            RequestedLimits { max_rows: u32::try_from(MAX_ROWS).ok(), timeout: Some(TIMEOUT), ..Default::default() };
        let statement = Statement { sql: sql.to_owned(), parameters: Vec::new() };
        let started = self.queries.stream(&Principal::local(), self.connection, statement, limits).await;
        let ended = match started {
            Ok(stream) => collect(stream).await,
            Err(failure) => Err(failure),
        };
        match ended {
            Ok(given) => Ok(given),
            Err(failure) if is_invalid(&failure) => Err(Error::Connection { db: self.db.to_owned(), failure }),
            Err(failure) => Ok(Err(failure.to_string())),
        }
    }
}

async fn collect(stream: QueryStream) -> Result<Given, Failure> {
    let QueryStream { columns, mut items, .. } = stream;
    let mut rows = Vec::new();
    while let Some(item) = items.next().await {
        match item? {
            StreamItem::Rows(batch) => rows.extend(batch.rows().map(|row| row.map(of_server).collect::<Vec<_>>())),
            StreamItem::Summary(end) if end.truncated.is_some() => return Ok(Err(too_many())),
            StreamItem::Summary(_) => {}
        }
    }
    Ok(Ok(Comparable { columns: columns.len(), rows }))
}

fn of_server(stored: Stored<'_>) -> Plain {
    let number = |number: f64| if number.is_nan() { Plain::Null } else { Plain::Number(number) };
    match stored {
        Stored::Null => Plain::Null,
        Stored::Bool(truth) => Plain::Number(f64::from(u8::from(truth))),
        Stored::Int64(whole) => Plain::Number(whole as f64),
        Stored::Uint64(whole) => Plain::Number(whole as f64),
        Stored::Double(double) => number(double),
        Stored::Text(TextKind::Decimal, text) => text.parse().map_or_else(|_| Plain::Text(text.to_owned()), number),
        Stored::Text(_, text) => Plain::Text(text.to_owned()),
        Stored::Bytes(bytes) => Plain::Bytes(bytes.to_vec()),
        Stored::Array(items) => Plain::Text(format!("{items:?}")),
    }
}

fn no_reading() -> String {
    "it is not one SELECT, WITH or VALUES statement".to_owned()
}

fn too_long() -> String {
    format!("it ran longer than {} s", TIMEOUT.as_secs())
}

fn too_many() -> String {
    format!("it gives more than {MAX_ROWS} rows")
}
