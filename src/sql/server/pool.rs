//! Sessions with one database server: opened when needed, bounded, reused while healthy, and cancelled for real.
//!
//! A statement runs in a task of its own that owns its session. When its caller is gone or its time is over, the task has
//! the server stop it, over another session, and gives the session up: what an abandoned statement leaves in a connection
//! is nobody's to clean. sqlx's own pool does not do that, and asks the server for a sign of life twice a statement.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::domain::ResultColumn;
use crate::sql::output::Output;
use crate::sql::permits::acquire;
use crate::sql::result::WAITING_BATCHES;
use crate::sql::{Error, Limits, Options, RowStream, Summary, Unreachable};

/// A session that was unused for so long is asked for a sign of life before it is used again.
const FRESH: Duration = Duration::from_secs(1);
/// Longest that stopping a statement in the database may take.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// How one database system opens, checks and cancels sessions.
#[async_trait]
pub(in crate::sql) trait Driver: fmt::Debug + Send + Sync + 'static {
    /// An open session.
    type Session: Send + 'static;

    /// Opens a session and sets it up: read-only unless it is for writes, with the server's own time limits.
    async fn connect(&self) -> Result<Self::Session, Error>;

    /// Asserts that the session still is what [`Self::connect`] made of it.
    async fn check(&self, session: &mut Self::Session) -> Result<(), Error>;

    /// What [`Self::cancel`] needs to know of a session.
    fn id(&self, session: &Self::Session) -> u64;

    /// Has the server stop what the session `victim` runs.
    async fn cancel(&self, over: &mut Self::Session, victim: u64, extent: Extent) -> Result<(), Error>;
}

/// How much of a session is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sql) enum Extent {
    /// The statement it runs; the session goes on. If it runs none, nothing happens.
    Statement,
    /// Whatever it runs or is about to run: the session is given up. Returns once the server runs nothing for it.
    Session,
}

/// What is left in a session when a statement is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sql) enum Rest {
    /// Everything was read.
    Nothing,
    /// Rows that nobody wants.
    Rows,
    /// Settings that a function of the user's may have changed.
    Settings,
}

/// Something to do with a session.
pub(in crate::sql) type Work<S, T> =
    Box<dyn for<'a> FnOnce(&'a mut S) -> BoxFuture<'a, (Result<T, Error>, Rest)> + Send>;

/// Sessions with one server.
#[derive(Debug)]
pub(in crate::sql) struct Pool<D: Driver> {
    shared: Arc<Shared<D>>,
}

struct Shared<D: Driver> {
    driver: D,
    options: Options,
    /// One permit a session; closed when the pool is.
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle<D::Session>>>,
    /// Whether a task closes what stays unused.
    reaping: AtomicBool,
    /// Held while a statement is stopped: what stops it is one session, however many are stopped.
    stopping: tokio::sync::Mutex<()>,
}

struct Idle<S> {
    session: S,
    since: Instant,
}

impl<D: Driver> Pool<D> {
    pub fn new(driver: D, options: Options) -> Self {
        let permits = Arc::new(Semaphore::new(options.connections));
        let shared = Shared {
            driver,
            options,
            permits,
            idle: Mutex::default(),
            reaping: AtomicBool::new(false),
            stopping: tokio::sync::Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Does something with a session. Dropping the future, or running longer than `longest`, stops it in the database.
    pub async fn run<T: Send + 'static>(&self, longest: Duration, work: Work<D::Session, T>) -> Result<T, Error> {
        let permit = acquire(&self.shared.permits, self.shared.options.acquire_timeout).await?;
        let stop = CancellationToken::new();
        let _stop_on_drop = stop.clone().drop_guard();
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move { shared.attend(permit, longest, stop, work).await });
        task.await.unwrap_or_else(|died| Err(Error::Internal(died.to_string())))
    }

    /// Does something that gives rows to an [`Output`], which the returned stream reads.
    pub async fn stream(
        &self,
        limits: Limits,
        work: impl FnOnce(Output) -> Work<D::Session, Summary>,
    ) -> Result<RowStream, Error> {
        let permit = acquire(&self.shared.permits, self.shared.options.acquire_timeout).await?;
        let stop = CancellationToken::new();
        let stop_on_drop = stop.clone().drop_guard();
        let (header_sender, header) = oneshot::channel::<Vec<ResultColumn>>();
        let (batch_sender, batches) = mpsc::channel(WAITING_BATCHES);
        let (outcome_sender, outcome) = oneshot::channel();
        let work = work(Output::streamed(limits, header_sender, batch_sender));
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let ended = shared.attend(permit, limits.timeout, stop, work).await;
            // Nobody listens when the reader is gone; then there is nobody to tell.
            let _ = outcome_sender.send(ended);
        });
        match header.await {
            Ok(columns) => Ok(RowStream { columns, batches, outcome, stop: Box::new(stop_on_drop) }),
            // It failed before there were columns: the outcome says why.
            Err(_) => Err(match outcome.await {
                Ok(Err(error)) => error,
                _ => Error::Internal("the statement ended without columns".to_owned()),
            }),
        }
    }

    /// Refuses new statements, waits for the running ones, closes all sessions.
    pub async fn close(&self) {
        let all = u32::try_from(self.shared.options.connections).unwrap_or(u32::MAX);
        // Waiting is first come, first served: whoever asks from now on comes after the closing and is refused.
        let permits = self.shared.permits.acquire_many(all).await;
        self.shared.permits.close();
        drop(permits);
        self.shared.idle().clear();
    }
}

impl<D: Driver> Shared<D> {
    /// Runs the work on a session until it is done, its time is over, or nobody waits for it any more.
    async fn attend<T>(
        self: Arc<Self>,
        permit: OwnedSemaphorePermit,
        longest: Duration,
        stop: CancellationToken,
        work: Work<D::Session, T>,
    ) -> Result<T, Error> {
        let until = Instant::now() + longest;
        let ended = tokio::select! {
            session = self.session() => Ok(session?),
            () = stop.cancelled() => Err(Error::Interrupted),
            () = sleep_until(until) => Err(Error::Timeout(longest)),
        };
        let mut session = ended?;
        let id = self.driver.id(&session);
        let stopped = tokio::select! {
            // A statement that is done is done, also when its time is over at the same moment.
            biased;
            (done, rest) = work(&mut session) => {
                self.give_back(session, done.as_ref().err(), rest).await;
                drop(permit);
                return done;
            }
            // Rows that come without a pause use up what the runtime grants a task at a time. These two are heard all the same.
            () = unconstrained(stop.cancelled()) => Error::Interrupted,
            () = unconstrained(sleep_until(until)) => Error::Timeout(longest),
        };
        // The answer does not wait for the server, but the next statement does.
        tokio::spawn(async move {
            self.cancel(id, Extent::Session).await;
            drop(session);
            drop(permit);
        });
        Err(stopped)
    }

    /// An idle session that is alive, or a new one.
    async fn session(&self) -> Result<D::Session, Error> {
        loop {
            let idle = self.idle().pop();
            let Some(Idle { mut session, since }) = idle else { return self.connect().await };
            let age = since.elapsed();
            if age < FRESH {
                return Ok(session);
            }
            if age >= self.options.idle {
                continue;
            }
            match timeout(self.options.connect_timeout, self.driver.check(&mut session)).await {
                Ok(Ok(())) => return Ok(session),
                Ok(Err(_)) => {}
                // The others are no younger, and would be waited for as long.
                Err(_elapsed) => self.idle().clear(),
            }
        }
    }

    async fn connect(&self) -> Result<D::Session, Error> {
        let connected = timeout(self.options.connect_timeout, self.driver.connect()).await;
        connected.unwrap_or(Err(Error::Unreachable(Unreachable::Timeout)))
    }

    /// Keeps a session for the next statement, unless the error says that it is of no use any more.
    async fn give_back(self: &Arc<Self>, mut session: D::Session, error: Option<&Error>, rest: Rest) {
        if matches!(error, Some(Error::Unavailable(_))) {
            // The server is gone, and with it every other session.
            self.idle().clear();
        }
        if rest == Rest::Rows {
            self.cancel(self.driver.id(&session), Extent::Statement).await;
        }
        let doubtful = rest != Rest::Nothing || error.is_some();
        let usable = error.is_none_or(Error::leaves_session) && (!doubtful || self.is_healthy(&mut session).await);
        if usable && !self.permits.is_closed() {
            self.keep(session);
        }
    }

    async fn is_healthy(&self, session: &mut D::Session) -> bool {
        matches!(timeout(self.options.connect_timeout, self.driver.check(session)).await, Ok(Ok(())))
    }

    fn keep(self: &Arc<Self>, session: D::Session) {
        let mut idle = self.idle();
        // One more than run statements: it stops them.
        if idle.len() <= self.options.connections {
            idle.push(Idle { session, since: Instant::now() });
        }
        drop(idle);
        if !self.reaping.swap(true, Ordering::Relaxed) {
            tokio::spawn(reap(Arc::downgrade(self), self.options.idle));
        }
    }

    /// Stops what the session runs, over an idle session or a new one.
    async fn cancel(self: &Arc<Self>, victim: u64, extent: Extent) {
        let stopped = timeout(CANCEL_TIMEOUT, async {
            let _one_at_a_time = self.stopping.lock().await;
            let idle = self.idle().pop();
            if let Some(Idle { mut session, .. }) = idle
                && self.driver.cancel(&mut session, victim, extent).await.is_ok()
            {
                return Ok(session);
            }
            let mut session = self.driver.connect().await?;
            self.driver.cancel(&mut session, victim, extent).await?;
            Ok::<_, Error>(session)
        });
        match stopped.await {
            Ok(Ok(session)) => self.keep(session),
            // The server's own time limit ends it later.
            Ok(Err(error)) => tracing::warn!(%error, "a statement could not be stopped in the database"),
            Err(_elapsed) => tracing::warn!("a statement could not be stopped in the database in time"),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle<D::Session>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes sessions that stay unused, for as long as the pool lives.
async fn reap<D: Driver>(pool: Weak<Shared<D>>, idle: Duration) {
    loop {
        tokio::time::sleep(idle / 2).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.idle().retain(|session| session.since.elapsed() < idle);
    }
}

impl<D: Driver> fmt::Debug for Shared<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("driver", &self.driver).finish_non_exhaustive()
    }
}
