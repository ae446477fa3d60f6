//! Stops a statement that nobody waits for any more or that runs too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::sql::Error;

/// Instructions of SQLite's virtual machine between two looks at the clock: some ten microseconds.
const INSTRUCTIONS_BETWEEN_LOOKS: i32 = 1_000;

/// The time and the permission that one run of a statement has.
#[derive(Debug)]
pub(super) struct Watch {
    stopped: AtomicBool,
    started: Instant,
    timeout: Duration,
}

/// Stops the run when it is dropped: whoever waits for the result holds it.
#[derive(Debug)]
pub(super) struct StopOnDrop(Arc<Watch>);

impl Watch {
    pub fn start(timeout: Duration) -> (Arc<Self>, StopOnDrop) {
        let watch = Arc::new(Self { stopped: AtomicBool::new(false), started: Instant::now(), timeout });
        (Arc::clone(&watch), StopOnDrop(watch))
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Time left; zero when it is used up.
    pub fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.elapsed())
    }

    /// Runs `work` on the connection, whose statements end with [`Error::Timeout`] or [`Error::Interrupted`] when the
    /// time is over or nobody waits any more.
    pub fn over<T>(
        self: &Arc<Self>,
        connection: &Connection,
        work: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let watch = Arc::clone(self);
        connection.progress_handler(INSTRUCTIONS_BETWEEN_LOOKS, Some(move || watch.must_stop()))?;
        let result = work(connection);
        connection.progress_handler(0, None::<fn() -> bool>)?;
        result.map_err(|error| match error {
            Error::Interrupted => self.why_stopped(),
            error => error,
        })
    }

    /// The error of a run that was stopped: its time was over, or else its reader was gone.
    pub fn why_stopped(&self) -> Error {
        let abandoned = self.stopped.load(Ordering::Relaxed) || !self.left().is_zero();
        if abandoned { Error::Interrupted } else { Error::Timeout(self.timeout) }
    }

    pub fn must_stop(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.left().is_zero()
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }
}
