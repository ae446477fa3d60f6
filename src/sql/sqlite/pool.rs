//! A small pool of connections to one SQLite file, used from blocking threads.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::open::open_for;
use super::run;
use super::threads::Threads;
use super::watch::Watch;
use super::{SampleBounds, catalog, sample};
use crate::domain::{AccessMode, DatabaseKind, Schema, Value, ValueIndex};
use crate::sql::database::Backend;
use crate::sql::guard::Effect;
use crate::sql::output::Output;
use crate::sql::permits::acquire;
use crate::sql::result::WAITING_BATCHES;
use crate::sql::{Error, GuardedSql, Limits, Options, Plan, ResultSet, RowStream, ServerInfo, Written};

/// Work that took so long has been through a file; that of short calls finds its few pages in the cache again.
const LONG_WORK: Duration = Duration::from_millis(100);

/// Connections to one file.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    /// The one connection that may write; none when the connection only reads.
    writing: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    options: Options,
    /// What its connections may do.
    access: AccessMode,
    /// One permit a connection; closed when the pool is.
    permits: Arc<Semaphore>,
    threads: Threads,
    idle: Mutex<Vec<Session>>,
}

/// An open connection and the file it was opened on.
#[derive(Debug)]
struct Session {
    connection: Connection,
    file: Option<FileIdentity>,
}

impl Pool {
    pub fn new(path: &Path, options: Options) -> Self {
        let shared = |access, connections| {
            let permits = Arc::new(Semaphore::new(connections));
            let threads = match access {
                AccessMode::ReadOnly => Threads::own(connections),
                AccessMode::ReadWrite | AccessMode::Ddl => Threads::of_the_program(),
            };
            Arc::new(Shared { path: path.to_owned(), options, access, permits, threads, idle: Mutex::default() })
        };
        // SQLite has one writer at a time; a second connection would only wait.
        let writing = (options.access != AccessMode::ReadOnly).then(|| shared(options.access, 1));
        Self { shared: shared(AccessMode::ReadOnly, options.connections), writing }
    }

    /// Runs one of Pulse's own statements.
    async fn own<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.shared.run(self.shared.options.own_timeout, work).await
    }
}

#[async_trait]
impl Backend for Pool {
    fn kind(&self) -> DatabaseKind {
        DatabaseKind::Sqlite
    }

    async fn probe(&self) -> Result<ServerInfo, Error> {
        let version = |connection: &Connection| {
            Ok(connection.query_row("SELECT sqlite_version()", [], |row| row.get::<_, String>(0))?)
        };
        self.own(version).await.map(|version| ServerInfo { version: format!("SQLite {version}"), warnings: Vec::new() })
    }

    async fn schema(&self) -> Result<Schema, Error> {
        self.own(catalog::schema).await
    }

    async fn values(&self, schema: Schema, bounds: SampleBounds) -> Result<ValueIndex, Error> {
        // The bounds end the collecting early and keep what there is; the watch is for a single endless read.
        let longest = bounds.time.saturating_add(self.shared.options.own_timeout);
        self.shared.run(longest, move |connection| sample::values(connection, &schema, bounds)).await
    }

    async fn explain(&self, sql: GuardedSql, parameters: Vec<Value>) -> Result<Plan, Error> {
        let writes = sql.effect() != Effect::Read;
        let explain = move |connection: &Connection| run::explain(connection, &sql, &parameters);
        match &self.writing {
            // Only a connection that may write can prepare a statement that does.
            Some(writing) if writes => writing.run(self.shared.options.own_timeout, explain).await,
            _ => self.own(explain).await,
        }
    }

    async fn execute(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<ResultSet, Error> {
        let execute = move |connection: &Connection| run::execute(connection, &sql, &parameters, limits);
        self.shared.run(limits.timeout, execute).await
    }

    async fn stream(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<RowStream, Error> {
        let permit = acquire(&self.shared.permits, self.shared.options.acquire_timeout).await?;
        let (watch, stop) = Watch::start(limits.timeout);
        let (batch_sender, batches) = mpsc::channel(WAITING_BATCHES);
        let (header_sender, header) = oneshot::channel();
        let (outcome_sender, outcome) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let runtime = Handle::current();
        self.shared.threads.spawn(move || {
            let mut output = Output::streamed(limits, header_sender, batch_sender);
            let hand_over = |output: &mut Output| hand_over(output, &watch, &runtime);
            let result = shared.session(|connection| {
                watch.over(connection, |connection| {
                    run::run(connection, &sql, &parameters, &mut output, hand_over)?;
                    hand_over(&mut output)?;
                    Ok(output.summary(watch.elapsed()))
                })
            });
            // Whoever reads must see the end of the batches before the outcome.
            drop(output);
            drop(permit);
            // Nobody listens when the reader is gone; then there is nobody to tell.
            let _ = outcome_sender.send(result);
        });
        match header.await {
            Ok(columns) => Ok(RowStream { columns, batches, outcome, stop: Box::new(stop) }),
            // It failed before there were columns: the outcome says why.
            Err(_) => Err(match outcome.await {
                Ok(Err(error)) => error,
                _ => Error::Internal("the statement ended without columns".to_owned()),
            }),
        }
    }

    async fn write(
        &self,
        sql: GuardedSql,
        parameters: Vec<Value>,
        limits: Limits,
        stop: CancellationToken,
    ) -> Result<Written, Error> {
        let writing = self.writing.as_ref().ok_or(Error::NotWritable)?;
        let write = move |connection: &Connection| run::write(connection, &sql, &parameters, limits);
        writing.finish(limits.timeout, &stop, write).await
    }

    async fn close(&self) {
        self.shared.close().await;
        if let Some(writing) = &self.writing {
            writing.close().await;
        }
    }
}

impl Shared {
    /// Runs work on a free connection and a blocking thread; dropping the future stops it.
    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        longest: Duration,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.finish(longest, &CancellationToken::new(), work).await
    }

    /// The same, but cancelling `stop` stops it too; then the future says how it ended.
    async fn finish<T: Send + 'static>(
        self: &Arc<Self>,
        longest: Duration,
        stop: &CancellationToken,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = tokio::select! {
            permit = acquire(&self.permits, self.options.acquire_timeout) => permit?,
            () = stop.cancelled() => return Err(Error::Interrupted),
        };
        let (watch, stop_on_drop) = Watch::start(longest);
        let shared = Arc::clone(self);
        let mut task = self.threads.spawn(move || {
            let result = shared.session(|connection| watch.over(connection, work));
            drop(permit);
            result
        });
        let ended = tokio::select! {
            ended = &mut task => ended,
            () = stop.cancelled() => {
                drop(stop_on_drop);
                task.await
            }
        };
        ended.unwrap_or_else(|died| Err(Error::Internal(died.to_string())))
    }

    async fn close(self: &Arc<Self>) {
        let all = if self.access == AccessMode::ReadOnly { self.options.connections } else { 1 };
        // Waiting is first come, first served: whoever asks from now on comes after the closing and is refused.
        let permits = self.permits.acquire_many(u32::try_from(all).unwrap_or(u32::MAX)).await;
        self.permits.close();
        drop(permits);
        let shared = Arc::clone(self);
        // Closing a file may block; that it panics instead is nothing anyone could act on.
        let _ = self.threads.spawn(move || shared.idle().clear()).await;
    }

    /// Work on an idle connection, or on a new one; called on a blocking thread with a permit in hand.
    fn session<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let file = FileIdentity::of(&self.path);
        // A file that was replaced since is another database; its connections go.
        let idle = self.idle().pop().filter(|session| session.file == file && file.is_some());
        let session = match idle {
            Some(session) => session,
            None => Session { connection: open_for(&self.path, self.options.lock_timeout, self.access)?, file },
        };
        let began = Instant::now();
        let result = work(&session.connection);
        if began.elapsed() >= LONG_WORK {
            // What it leaves in the cache is its last pages; that it cannot be freed would cost memory only.
            let _ = session.connection.release_memory();
        }
        if !self.permits.is_closed() && !matches!(result, Err(Error::FileNotDatabase | Error::Unavailable(_))) {
            self.idle().push(session);
        }
        result
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Device and number of a file: the same path may hold another file later.
#[derive(Debug, PartialEq, Eq)]
struct FileIdentity(u64, u64);

impl FileIdentity {
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        fs::symlink_metadata(path).ok().map(|metadata| Self(metadata.dev(), metadata.ino()))
    }

    #[cfg(not(unix))]
    fn of(path: &Path) -> Option<Self> {
        fs::symlink_metadata(path).ok().map(|metadata| Self(0, metadata.len()))
    }
}

/// Waits for the reader no longer than the statement may run.
fn hand_over(output: &mut Output, watch: &Watch, runtime: &Handle) -> Result<(), Error> {
    let handed_over = runtime.block_on(async { timeout(watch.left(), output.flush()).await });
    handed_over.unwrap_or_else(|_elapsed| Err(watch.why_stopped()))
}
