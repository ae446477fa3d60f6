//! The threads on which the connections of one file wait for it.

use tokio::runtime::{Builder, Runtime};
use tokio::task::{self, JoinHandle};

/// At most one thread for each connection, started when needed and ended when idle for ten seconds.
///
/// The threads of the program's own runtime would do the work as well, but a call that comes while the last one is about
/// to end gets a new thread there: under load a hundred of them for sixteen connections, each with memory of its own.
#[derive(Debug)]
pub(super) struct Threads {
    /// None when there is no more; and where none could be had, the program's own.
    runtime: Option<Runtime>,
}

impl Threads {
    pub fn new(most: usize) -> Self {
        // It has neither clock nor sockets, only threads for what blocks.
        let runtime = Builder::new_current_thread().thread_name("sqlite").max_blocking_threads(most.max(1)).build();
        Self { runtime: runtime.ok() }
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
    /// What runs goes on to its end; nobody waits for it here.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
