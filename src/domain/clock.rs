//! Time as an argument, so that expiry, backoff and cursors can be tested without waiting.

use jiff::{SignedDuration, Timestamp};

/// Tells the time of day. Durations are measured with the monotonic clock, never with this one.
pub trait Clock: Send + Sync {
    /// The current instant in UTC.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that goes on from another instant, so that questions can be asked on another day.
#[derive(Debug, Clone, Copy)]
pub struct ShiftedClock {
    shift: SignedDuration,
}

impl ShiftedClock {
    /// A clock that shows `now` now. It stops at the ends of the calendar.
    #[must_use]
    pub fn starting_at(now: Timestamp) -> Self {
        Self { shift: now.duration_since(SystemClock.now()) }
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().saturating_add(self.shift).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_clock_goes_on_from_where_it_starts() {
        let start: Timestamp = "2024-02-29T00:00:00Z".parse().unwrap();
        let clock = ShiftedClock::starting_at(start);
        let (first, second) = (clock.now(), clock.now());
        assert!(start <= first && first <= second);
        assert!(second.duration_since(start) < SignedDuration::from_hours(1), "{second}");
    }
}
