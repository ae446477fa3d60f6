//! Starting and stopping: signals become tokens, and every task has an owner.
//!
//! The *soft* token says "finish what you are doing": open watches end, no new work starts. The *hard* token says
//! "now": what still runs is dropped. Everything that is dropped can be resumed from the log.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Handed to everything that runs until the process stops.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// Cancelled when the process should finish.
    pub soft: CancellationToken,
    /// Cancelled when the process must end at once.
    pub hard: CancellationToken,
    /// Every task of the process, so that the end can be awaited.
    pub tasks: TaskTracker,
}

impl Lifecycle {
    /// How long a soft stop may take before it becomes a hard one.
    pub const GRACE: Duration = Duration::from_secs(10);

    /// Turns SIGINT and SIGTERM into the tokens: the first stops softly, the second (or the end of the grace) hard.
    pub fn listen_for_signals(&self) -> std::io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let lifecycle = self.clone();
        // Not tracked: it lives as long as the runtime and must not hold up the end.
        tokio::spawn(async move {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            tracing::info!("stopping: finishing what runs");
            lifecycle.soft.cancel();
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = tokio::time::sleep(Self::GRACE) => {}
            }
            lifecycle.hard.cancel();
        });
        Ok(())
    }

    /// Waits until every task has ended, or the hard token is cancelled.
    pub async fn ended(&self) {
        self.tasks.close();
        tokio::select! { () = self.tasks.wait() => {}, () = self.hard.cancelled() => {} }
    }
}
