//! One target database: a small pool of connections, and statements that end when their caller goes away.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::sqlite::{self, Interruption, Plan, Ticket};
use super::{Error, GuardedSql};
use crate::domain::{ResultColumn, Row, Schema, Value, ValueIndex};

/// Which database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file whose path has been checked and made canonical.
    Sqlite {
        /// Absolute path.
        path: PathBuf,
    },
}

/// Bounds of the pool.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Connections at the same time, at least 1.
    pub max_connections: usize,
    /// How long a statement waits for a free connection.
    pub acquire_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_connections: 4, acquire_timeout: Duration::from_secs(5) }
    }
}

/// Limits of one statement.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows handed on.
    pub max_rows: u64,
    /// Bytes handed on, as [`Value::size_bytes`] counts them.
    pub max_bytes: u64,
    /// Longest it may run.
    pub timeout: Duration,
}

/// How much of the data is read for recognising values.
#[derive(Debug, Clone, Copy)]
pub struct SampleBounds {
    /// Distinct values of one column.
    pub values_per_column: usize,
    /// Characters of one value; longer text is prose.
    pub value_characters: usize,
    /// Values of all columns together.
    pub total_values: usize,
    /// Time for all of it.
    pub time: Duration,
}

impl Default for SampleBounds {
    fn default() -> Self {
        Self { values_per_column: 20_000, value_characters: 80, total_values: 200_000, time: Duration::from_secs(5) }
    }
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// Such as `SQLite 3.50.2`.
    pub version: String,
}

/// Why a result ends before its last row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncation {
    /// The row limit.
    Rows,
    /// The byte limit.
    Bytes,
}

/// A whole result within its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultSet {
    /// Columns, also when there are no rows.
    pub columns: Vec<ResultColumn>,
    /// Rows up to the limits.
    pub rows: Vec<Row>,
    /// Set when rows were left out.
    pub truncated: Option<Truncation>,
    /// Time in the database.
    pub execution_time: Duration,
}

/// Rows on their way, in batches of about 256 KiB.
pub type Batch = Vec<Row>;

/// How a stream of rows ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Rows handed on.
    pub row_count: u64,
    /// Bytes handed on.
    pub size_bytes: u64,
    /// Set when rows were left out.
    pub truncated: Option<Truncation>,
    /// Time in the database, waiting for the reader included.
    pub execution_time: Duration,
}

/// A running statement. Dropping it ends the statement.
#[derive(Debug)]
pub struct RowStream {
    /// Columns of the result.
    pub columns: Vec<ResultColumn>,
    batches: mpsc::Receiver<Batch>,
    summary: oneshot::Receiver<Result<Summary, Error>>,
    _guard: CancelOnDrop,
}

impl RowStream {
    /// The next batch; `None` when there are no more: then [`RowStream::summary`] says how it ended.
    pub async fn next_batch(&mut self) -> Option<Batch> {
        self.batches.recv().await
    }

    /// How the statement ended. Call it after the last batch.
    pub async fn summary(self) -> Result<Summary, Error> {
        self.summary.await.unwrap_or_else(|_| Err(Error::Unavailable("the statement's thread ended".to_owned())))
    }
}

/// One target database. Cheap to clone; connections are opened when first needed.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    options: Options,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Session>>,
}

/// An open connection with the handle that ends its statement.
struct Session {
    connection: Connection,
    interruption: Interruption,
}

/// A session taken from the pool; it goes back when its work ended well.
struct Lease {
    session: Session,
    _permit: OwnedSemaphorePermit,
}

impl Database {
    /// A handle on the target; nothing is opened yet.
    #[must_use]
    pub fn new(target: Target, options: Options) -> Self {
        let Target::Sqlite { path } = target;
        let permits = Arc::new(Semaphore::new(options.max_connections.max(1)));
        Self { inner: Arc::new(Inner { path, options, permits, idle: Mutex::new(Vec::new()) }) }
    }

    /// Opens a connection and reads from the database, so that a file that is none is found out.
    pub async fn probe(&self) -> Result<ServerInfo, Error> {
        self.blocking(|session| {
            let version: Result<String, _> =
                session.connection.query_row("SELECT sqlite_version()", [], |row| row.get(0));
            let readable =
                session.connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
            match (version, readable) {
                (Ok(version), Ok(_)) => Ok(ServerInfo { version: format!("SQLite {version}") }),
                (Err(error), _) | (_, Err(error)) => Err(catalog_error(&error)),
            }
        })
        .await
    }

    /// Tables, columns and keys.
    pub async fn schema(&self) -> Result<Schema, Error> {
        self.blocking(|session| sqlite::schema(&session.connection).map_err(|error| catalog_error(&error))).await
    }

    /// Distinct text values within bounds.
    pub async fn values(&self, schema: Arc<Schema>, bounds: SampleBounds) -> Result<ValueIndex, Error> {
        self.blocking(move |session| Ok(sqlite::values(&session.connection, &schema, bounds))).await
    }

    /// What the database's planner says of the statement; nothing runs.
    pub async fn explain(&self, sql: &GuardedSql, parameters: &[Value]) -> Result<Plan, Error> {
        let (sql, parameters) = (sql.clone(), parameters.to_vec());
        self.blocking(move |session| sqlite::explain(&session.connection, &sql, &parameters)).await
    }

    /// Runs the statement and collects its rows up to the limits. Dropping the future ends the statement.
    pub async fn execute(&self, sql: &GuardedSql, parameters: &[Value], limits: Limits) -> Result<ResultSet, Error> {
        let mut stream = self.stream(sql.clone(), parameters.to_vec(), limits).await?;
        let mut rows = Vec::new();
        while let Some(batch) = stream.next_batch().await {
            rows.extend(batch);
        }
        let columns = std::mem::take(&mut stream.columns);
        let summary = stream.summary().await?;
        Ok(ResultSet { columns, rows, truncated: summary.truncated, execution_time: summary.execution_time })
    }

    /// Runs the statement and hands its rows on as the reader takes them. Dropping the stream ends the statement.
    pub async fn stream(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<RowStream, Error> {
        /// Batches between the statement and its reader.
        const BATCHES_AHEAD: usize = 2;
        let lease = self.lease().await?;
        let guard = CancelOnDrop::arm(&lease.session, limits.timeout);
        let (columns_sender, columns) = oneshot::channel();
        let (batch_sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let (summary_sender, summary) = oneshot::channel();
        let database = self.clone();
        tokio::task::spawn_blocking(move || {
            let outcome = produce(&lease.session, &sql, &parameters, limits, columns_sender, &batch_sender);
            // A connection whose statement ended by force is closed, not reused.
            if outcome.is_ok() || matches!(outcome, Err(Error::Refused(_) | Error::ParameterCount { .. })) {
                database.give_back(lease);
            }
            drop(batch_sender);
            // The reader may be gone; then nobody wants to know.
            let _ = summary_sender.send(outcome);
        });
        match columns.await {
            Ok(columns) => Ok(RowStream { columns, batches, summary, _guard: guard }),
            // The statement failed before it had columns.
            Err(_) => match summary.await {
                Ok(Err(error)) => Err(error),
                _ => Err(Error::Unavailable("the statement's thread ended".to_owned())),
            },
        }
    }

    /// Closes idle connections; running statements keep theirs until they end.
    pub async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle());
        // Closing may touch the disk.
        let _ = tokio::task::spawn_blocking(move || drop(idle)).await;
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        /// Catalog work is bounded by itself; this only ends what hangs.
        const LONGEST: Duration = Duration::from_mins(1);
        let lease = self.lease().await?;
        let guard = CancelOnDrop::arm(&lease.session, LONGEST);
        let database = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let outcome = work(&lease.session);
            if outcome.is_ok() || matches!(outcome, Err(Error::Refused(_) | Error::ParameterCount { .. })) {
                database.give_back(lease);
            }
            outcome
        });
        let outcome = task.await.unwrap_or_else(|_| Err(Error::Unavailable("the database's thread ended".to_owned())));
        drop(guard);
        outcome
    }

    async fn lease(&self) -> Result<Lease, Error> {
        let waiting = self.inner.permits.clone().acquire_owned();
        let permit = tokio::time::timeout(self.inner.options.acquire_timeout, waiting).await;
        // The semaphore is never closed, so the inner error cannot happen; busy is true of it all the same.
        let permit = permit.map_err(|_| Error::Busy)?.map_err(|_| Error::Busy)?;
        let idle = self.idle().pop();
        let session = match idle {
            Some(session) => session,
            None => self.open().await?,
        };
        Ok(Lease { session, _permit: permit })
    }

    async fn open(&self) -> Result<Session, Error> {
        let path = self.inner.path.clone();
        let opened = tokio::task::spawn_blocking(move || sqlite::open(&path)).await;
        let opened = opened.map_err(|_| Error::Unavailable("the database's thread ended".to_owned()))?;
        opened.map(|(connection, interruption)| Session { connection, interruption })
    }

    fn give_back(&self, lease: Lease) {
        let Lease { session, _permit } = lease;
        self.idle().push(session);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        // Nothing panics while it is held: pushes and pops only.
        self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs on a blocking thread: fills batches, applies the limits, stops when the reader is gone.
fn produce(
    session: &Session,
    sql: &GuardedSql,
    parameters: &[Value],
    limits: Limits,
    columns: oneshot::Sender<Vec<ResultColumn>>,
    batches: &mpsc::Sender<Batch>,
) -> Result<Summary, Error> {
    const BATCH_BYTES: u64 = 256 << 10;
    let start = Instant::now();
    let mut summary = Summary::default();
    let mut batch: Batch = Vec::new();
    let mut batch_bytes = 0;
    let mut reader_gone = false;
    let send = |batch: &mut Batch| batches.blocking_send(std::mem::take(batch)).is_err();
    let send_columns = |found: Vec<ResultColumn>| drop(columns.send(found));
    sqlite::run(&session.connection, &session.interruption, sql, parameters, send_columns, |row| {
        let bytes = row.iter().map(|cell| cell.size_bytes() as u64).sum::<u64>();
        if summary.row_count == limits.max_rows {
            summary.truncated = Some(Truncation::Rows);
            return ControlFlow::Break(());
        }
        if summary.size_bytes + bytes > limits.max_bytes {
            summary.truncated = Some(Truncation::Bytes);
            return ControlFlow::Break(());
        }
        summary.row_count += 1;
        summary.size_bytes += bytes;
        batch_bytes += bytes;
        batch.push(row);
        if batch_bytes >= BATCH_BYTES {
            batch_bytes = 0;
            reader_gone = send(&mut batch);
        }
        if reader_gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if !batch.is_empty() && !reader_gone {
        reader_gone = send(&mut batch);
    }
    if reader_gone {
        return Err(Error::Cancelled);
    }
    summary.execution_time = start.elapsed();
    Ok(summary)
}

/// Ends the statement when its caller goes away.
#[derive(Debug)]
struct CancelOnDrop(Interruption, Ticket);

impl CancelOnDrop {
    fn arm(session: &Session, timeout: Duration) -> Self {
        Self(session.interruption.clone(), session.interruption.arm(timeout))
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel(self.1);
    }
}

fn catalog_error(error: &rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => Error::FileNotDatabase,
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Error::Busy,
        Some(rusqlite::ErrorCode::OperationInterrupted) => Error::Timeout,
        _ => Error::Unavailable(error.to_string()),
    }
}
