//! The one writer: everything that waits goes into one transaction, and each caller hears of its own part after the
//! commit.

use std::fs::File;

use futures::future::BoxFuture;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::error::repeated;
use crate::store::Error;

/// Writes that may wait before callers do.
const QUEUE: usize = 1024;

/// Writes in one transaction; bounds how long the first of them waits for the last.
const GROUP: usize = 256;

/// What one caller wants done. It checks before it changes anything, so that a refusal leaves nothing behind.
type Job = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Finished> + Send>;

/// Answers a caller when the transaction has ended; told the error when it was undone.
type Answer = Box<dyn FnOnce(Result<(), &Error>) + Send>;

/// A job that ran, in a transaction that has not ended.
struct Finished {
    /// Set when the failure may have left half a change: then the whole transaction is undone.
    spoiled: Option<Error>,
    answer: Answer,
}

/// Hands jobs to the writer's task. The task ends, and the lock goes, when this is dropped or closed.
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    stop: CancellationToken,
    stopped: CancellationToken,
}

impl Writer {
    /// Starts the writer's task on a connection of its own. `lock` is held as long as the task runs.
    pub(super) fn start(connection: SqliteConnection, lock: Option<File>) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (stop, stopped) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(serve(connection, lock, queue, stop.clone(), stopped.clone()));
        Self { jobs, stop, stopped }
    }

    /// Runs `work` in the next transaction and returns once that is committed. `then` is called after the commit, also
    /// when the caller is gone by then.
    pub(super) async fn run<T, W, A>(&self, work: W, then: A) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            Box::pin(async move {
                let (outcome, spoiled) = match work(connection).await {
                    Err(error @ (Error::Full | Error::Unavailable(_))) => (None, Some(error)),
                    outcome => (Some(outcome), None),
                };
                let answer = Box::new(move |committed: Result<(), &Error>| {
                    let outcome = match (committed, outcome) {
                        (Ok(()), Some(outcome)) => outcome,
                        (Err(error), _) => Err(repeated(error)),
                        (Ok(()), None) => Err(Error::Unavailable("the write was undone".into())),
                    };
                    if let Ok(value) = &outcome {
                        then(value);
                    }
                    // The caller may have given up waiting; what is stored stays stored.
                    let _ = reply.send(outcome);
                });
                Finished { spoiled, answer }
            })
        });
        self.jobs.send(job).await.map_err(|_| Error::Unavailable("the store is closed".into()))?;
        answer.await.map_err(|_| Error::Unavailable("the transaction did not begin or was undone".into()))?
    }

    /// Finishes the writes that wait, closes the file and gives the lock back.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.stopped.cancelled().await;
    }
}

async fn serve(
    mut connection: SqliteConnection,
    lock: Option<File>,
    mut queue: mpsc::Receiver<Job>,
    stop: CancellationToken,
    stopped: CancellationToken,
) {
    let _stopped = stopped.drop_guard();
    let mut group = Vec::with_capacity(GROUP);
    loop {
        let received = tokio::select! {
            received = queue.recv_many(&mut group, GROUP) => received,
            () = stop.cancelled(), if !queue.is_closed() => { queue.close(); continue }
        };
        if received == 0 {
            break;
        }
        commit_group(&mut connection, &mut group).await;
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the store's file did not close cleanly");
    }
    drop(lock);
}

/// One transaction for the whole group. A write that was refused has changed nothing and does not disturb the others;
/// one that broke (disk full, I/O) undoes them all, for then SQLite may have undone some by itself.
async fn commit_group(connection: &mut SqliteConnection, group: &mut Vec<Job>) {
    let mut answers = Vec::with_capacity(group.len());
    let outcome = in_transaction(connection, group.drain(..), &mut answers).await;
    if let Err(error) = &outcome {
        tracing::error!(error = error as &dyn std::error::Error, "a transaction of the store failed");
    }
    for answer in answers {
        answer(outcome.as_ref().copied());
    }
}

async fn in_transaction(
    connection: &mut SqliteConnection,
    jobs: impl Iterator<Item = Job>,
    answers: &mut Vec<Answer>,
) -> Result<(), Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut spoiled = None;
    for job in jobs {
        let finished = job(&mut transaction).await;
        answers.push(finished.answer);
        if finished.spoiled.is_some() {
            spoiled = finished.spoiled;
            break;
        }
    }
    match spoiled {
        // SQLite may have rolled back already; the first error is the one to tell.
        Some(error) => {
            let _ = transaction.rollback().await;
            Err(error)
        }
        None => Ok(transaction.commit().await?),
    }
}
