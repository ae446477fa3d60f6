//! The threads on which the connections of one file wait for it.

use tokio::runtime::{Builder, Runtime};
use tokio::task::{self, JoinHandle};

/// Where the calls of one pool are run.
#[derive(Debug)]
pub(super) struct Threads {
    /// Its own; none for the program's.
    runtime: Option<Runtime>,
}

impl Threads {
    /// At most so many of its own, started when needed and ended when idle for ten seconds.
    ///
    /// The program's would do the work as well, but a call that comes while the last one is about to end gets one more of
    /// those: under load a hundred for sixteen connections, each with memory of its own.
    pub fn own(most: usize) -> Self {
        // It has neither clock nor sockets, only threads for what blocks. Where it cannot be had, the program's serve.
        let runtime = Builder::new_current_thread().thread_name("sqlite").max_blocking_threads(most.max(1)).build();
        Self { runtime: runtime.ok() }
    }

    /// The program's, whose end waits for what runs on them: nothing is written by halves.
    pub fn of_the_program() -> Self {
        Self { runtime: None }
    }

    /// Does the work as soon as a thread is free.
    pub fn spawn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        match &self.runtime {
            Some(runtime) => runtime.spawn_blocking(work),
            None => task::spawn_blocking(work),
        }
    }
}

impl Drop for Threads {
    /// What runs goes on, or ends with the program; it only reads. A runtime that is dropped would wait, which async code
    /// must not.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
