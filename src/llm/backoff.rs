//! How long to wait before a call is repeated.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::Timestamp;

/// First upper bound of a wait; it doubles with every repeat.
const BASE: Duration = Duration::from_millis(250);
/// Upper bound of every wait that the endpoint did not ask for.
const LONGEST: Duration = Duration::from_secs(8);

/// The wait before repeat number `repeat` (from 0), `random` being uniform over all of `u64`.
///
/// Full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015): anything between nothing and the bound. Where
/// the endpoint said how long to wait, it is never less than that, and a little more so that callers do not return
/// all at once.
pub fn wait(repeat: u32, retry_after: Option<Duration>, random: u64) -> Duration {
    let bound = BASE.saturating_mul(2_u32.saturating_pow(repeat)).min(LONGEST);
    let share = random as f64 / u64::MAX as f64;
    match retry_after {
        Some(told) => told.saturating_add(BASE.mul_f64(share)),
        None => bound.mul_f64(share),
    }
}

/// What `Retry-After` says (RFC 9110 section 10.2.3): seconds, or a date, which is read against the reply's own `Date`
/// so that clocks that disagree do no harm.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let now = http_date(headers.get(DATE)?.to_str().ok()?)?;
    Some(Duration::try_from(http_date(text)?.duration_since(now)).unwrap_or(Duration::ZERO))
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        assert_eq!(wait(0, None, u64::MAX), BASE);
        assert_eq!(wait(2, None, u64::MAX), BASE * 4);
        assert_eq!(wait(60, None, u64::MAX), LONGEST);
        assert_eq!(wait(3, None, 0), Duration::ZERO);
        assert!(wait(0, Some(Duration::from_secs(2)), 0) >= Duration::from_secs(2));
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let date = "Mon, 23 Nov 2026 10:00:00 GMT";
        for (told, expected) in [
            ("2", Some(2)),
            ("86400", Some(86_400)),
            ("Mon, 23 Nov 2026 10:00:07 GMT", Some(7)),
            ("Mon, 23 Nov 2026 09:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = [(RETRY_AFTER, told.parse().unwrap()), (DATE, date.parse().unwrap())].into_iter().collect();
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{told}");
        }
    }
}
