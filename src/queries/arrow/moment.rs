//! ISO 8601 text as Arrow's numbers, exactly or not at all.
//!
//! Not with a date library: `9999-12-31T23:59:59` and years beyond 9999 must fit, `23:59:60` and a tenth of a
//! microsecond must not be bent until they do.

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Days since 1970-01-01 in the Gregorian calendar, also before its time. `None` for all that is not `YYYY-MM-DD`, with
/// more digits of the year where it needs them.
pub(super) fn date(text: &str) -> Option<i32> {
    let (year, &[b'-', m, mm, b'-', d, dd]) = text.as_bytes().split_last_chunk()? else { return None };
    if !(4..=6).contains(&year.len()) || (year.len() > 4 && year[0] == b'0') {
        return None;
    }
    let (year, month, day) = (number(year)?, two(m, mm)?, two(d, dd)?);
    if !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    i32::try_from(days(year, month, day)).ok()
}

/// Microseconds since midnight of `HH:MM`, `HH:MM:SS` or `HH:MM:SS.ffffff`; digits beyond microseconds must be zero.
pub(super) fn time(text: &str) -> Option<i64> {
    let &[h, hh, b':', m, mm, ref rest @ ..] = text.as_bytes() else { return None };
    let (second, micros) = match *rest {
        [] => (0, 0),
        [b':', s, ss] => (two(s, ss)?, 0),
        [b':', s, ss, b'.', ref fraction @ ..] => (two(s, ss)?, micros(fraction)?),
        _ => return None,
    };
    let (hour, minute) = (two(h, hh)?, two(m, mm)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(((hour * 60 + minute) * 60 + second) * SECOND + micros)
}

/// Microseconds since 1970-01-01T00:00 of a date and time without zone.
pub(super) fn timestamp(text: &str) -> Option<i64> {
    let (day, clock) = text.split_once('T')?;
    i64::from(date(day)?).checked_mul(DAY)?.checked_add(time(clock)?)
}

/// Microseconds since 1970-01-01T00:00Z of an instant with its offset.
pub(super) fn instant(text: &str) -> Option<i64> {
    let (day, clock) = text.split_once('T')?;
    let (clock, offset) = clock.split_at(clock.bytes().position(|byte| matches!(byte, b'Z' | b'+' | b'-'))?);
    let local = i64::from(date(day)?).checked_mul(DAY)?.checked_add(time(clock)?)?;
    local.checked_sub(seconds_east(offset)? * SECOND)
}

/// `Z`, `+02`, `+02:00` or `-00:53:28`.
fn seconds_east(offset: &str) -> Option<i64> {
    let (sign, span) = match offset.split_at_checked(1)? {
        ("Z", "") => return Some(0),
        ("+", span) => (1, span),
        ("-", span) => (-1, span),
        _ => return None,
    };
    let span = if span.len() == 2 { format!("{span}:00") } else { span.to_owned() };
    Some(sign * time(&span).filter(|_| !span.contains('.'))? / SECOND)
}

/// The fraction of a second in microseconds.
fn micros(fraction: &[u8]) -> Option<i64> {
    let (kept, beyond) = fraction.split_at_checked(6).unwrap_or((fraction, &[]));
    let missing = 6_u32.checked_sub(u32::try_from(kept.len()).ok()?)?;
    beyond.iter().all(|byte| *byte == b'0').then_some(number(kept)? * 10_i64.pow(missing))
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    Some(10 * digit(tens)? + digit(ones)?)
}

/// At most six digits and nothing else.
fn number(digits: &[u8]) -> Option<i64> {
    if !(1..=6).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0, |value, byte| Some(value * 10 + digit(*byte)?))
}

fn digit(byte: u8) -> Option<i64> {
    let digit = byte.wrapping_sub(b'0');
    (digit < 10).then_some(digit.into())
}

fn days_of(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, counting years from March so that a leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    const EPOCH: i64 = 719_468;
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_counted_as_a_calendar_counts_them() {
        let epoch = jiff::civil::date(1970, 1, 1);
        let mut checked = 0;
        for year in [-1, 0, 1, 4, 100, 1582, 1600, 1900, 1969, 1970, 1999, 2000, 2024, 2100, 9999_i16] {
            for ordinal in 0..365 {
                let day = jiff::civil::date(year, 1, 1).checked_add(jiff::Span::new().days(ordinal)).unwrap();
                let expected = i32::try_from(day.duration_since(epoch).as_hours() / 24).unwrap();
                if year >= 0 {
                    assert_eq!(date(&day.to_string()), Some(expected), "{day}");
                    checked += 1;
                }
            }
        }
        assert_eq!(checked, 14 * 365);
        assert_eq!((date("10000-01-01"), date("9999-12-31")), (Some(2_932_897), Some(2_932_896)));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "infinity",
            "-infinity",
            "0000-00-00",
            "2024-00-10",
            "2024-02-30",
            "2023-02-29",
            "1900-02-29",
            "2024-13-01",
            "2024-1-01",
            "24-01-01",
            "02024-01-01",
            "-0044-03-15",
            "0044-03-15 BC",
            "2024-02-29T00:00",
            "1000000-01-01",
            "２０２４-01-01",
            "",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_exact_or_none() {
        for (text, expected) in [
            ("00:00", Some(0)),
            ("13:45", Some(49_500_000_000)),
            ("13:45:01.5", Some(49_501_500_000)),
            ("23:59:59.999999", Some(DAY - 1)),
            ("00:00:00.000001000", Some(1)),
            ("00:00:00.0000001", None),
            ("24:00:00", None),
            ("23:59:60", None),
            ("23:60", None),
            ("1:00", None),
            ("13:45:00+02:00", None),
            ("-01:00:00", None),
            ("838:59:59", None),
            ("13:45:01.", None),
            ("13:45:01.1é", None),
            ("13:45:01.12345é", None),
            ("13:45:99999999999999999999", None),
            ("13", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
    }

    #[test]
    fn timestamps_reach_from_the_first_year_to_the_last() {
        assert_eq!(timestamp("1969-12-31T23:59:59.999999"), Some(-1));
        assert_eq!(timestamp("0000-01-01T00:00"), Some(-719_528 * DAY));
        assert_eq!(timestamp("9999-12-31T23:59:59.999999"), Some(2_932_897 * DAY - 1));
        assert_eq!(timestamp("294247-01-10T04:00:54.775807"), Some(i64::MAX));
        assert_eq!(timestamp("294247-01-10T04:00:54.775808"), None);
        assert_eq!((timestamp("2024-02-29 13:45"), timestamp("2024-02-29")), (None, None));
    }

    #[test]
    fn instants_keep_their_moment() {
        let expected = timestamp("2024-02-29T13:45:00.123456");
        for text in [
            "2024-02-29T13:45:00.123456Z",
            "2024-02-29T15:45:00.123456+02:00",
            "2024-02-29T15:45:00.123456+02",
            "2024-02-29T08:15:00.123456-05:30",
            "2024-02-29T12:51:32.123456-00:53:28",
            "2024-03-01T03:45:00.123456+14:00",
        ] {
            assert_eq!(instant(text), expected, "{text}");
        }
        for text in ["2024-02-29T13:45", "2024-02-29T13:45+99:99", "2024-02-29T13:45+", "2024-02-29T13:45Zulu"] {
            assert_eq!(instant(text), None, "{text}");
        }
    }
}
