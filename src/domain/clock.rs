//! Time as an argument, so that expiry, backoff and cursors can be tested without waiting.

use jiff::Timestamp;

/// Tells the time of day. Durations are measured with the monotonic clock, never with this one.
pub trait Clock: Send + Sync {
    /// The current instant in UTC.
    fn now(&self) -> Timestamp;
}

/// The machine's clock: the only implementation outside tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
