//! Dates, times and spans as text. PostgreSQL's calendar is proleptic Gregorian and reaches from 4713 BC to beyond the
//! year 290,000, which no crate of ours covers.

use std::fmt::Write;

use crate::sql::digits::{four, two};

/// Days between 1970-01-01 and 2000-01-01, where PostgreSQL counts from.
const DAYS_TO_2000: i64 = 10_957;
const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Writes a date, `days` after 2000-01-01.
pub(super) fn push_date(text: &mut String, days: i32) {
    match days {
        i32::MAX => text.push_str("infinity"),
        i32::MIN => text.push_str("-infinity"),
        days => {
            let before_christ = push_day(text, i64::from(days));
            push_era(text, before_christ);
        }
    }
}

/// Days after 2000-01-01 of `2024-02-29`, `0044-03-15 BC` or a year of more digits.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    match text {
        "infinity" => return Some(i32::MAX),
        "-infinity" => return Some(i32::MIN),
        _ => {}
    }
    let (date, before_christ) = text.strip_suffix(" BC").map_or((text, false), |date| (date, true));
    let mut parts = date.splitn(3, '-');
    let mut number = |width: usize| {
        let part = parts.next().filter(|part| part.len() >= width && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        part.parse::<i64>().ok().filter(|number| *number < 10_000_000)
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let year = if before_christ { 1 - year } else { year };
    let days = days(year, month, day);
    // There is no February 30 and no year 0.
    let exists = civil(days) == (year, month, day) && before_christ == (year < 1);
    i32::try_from(days - DAYS_TO_2000).ok().filter(|_| exists)
}

/// Seconds east of Greenwich of `Z`, `+02`, `-05:30` or `+00:19:32`.
pub(super) fn parse_offset(text: &str) -> Option<i32> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, parts) = match text.split_at_checked(1)? {
        ("+", parts) => (1, parts),
        ("-", parts) => (-1, parts),
        _ => return None,
    };
    let parts: Vec<&str> = parts.split(':').collect();
    let two_digits = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() > 3 || !parts.iter().all(two_digits) {
        return None;
    }
    let number = |index: usize| parts.get(index).map_or(Some(0), |part| part.parse::<i32>().ok());
    let (hours, minutes, seconds) = (number(0)?, number(1)?, number(2)?);
    (hours < 16 && minutes < 60 && seconds < 60).then_some(sign * (hours * 3_600 + minutes * 60 + seconds))
}

/// Writes a time of day, in microseconds; 24:00:00 is one.
pub(super) fn push_time(text: &mut String, micros: i64) {
    let part = |number: i64| two(u16::try_from(number).unwrap_or_default());
    let seconds = micros / MICROS_PER_SECOND;
    text.push_str(part(seconds / 3_600));
    text.push(':');
    text.push_str(part(seconds / 60 % 60));
    text.push(':');
    text.push_str(part(seconds % 60));
    push_fraction(text, (micros % MICROS_PER_SECOND).unsigned_abs());
}

/// Writes a date and time, in microseconds after 2000-01-01; `zone` is appended to what is a point in time.
pub(super) fn push_timestamp(text: &mut String, micros: i64, zone: &str) {
    match micros {
        i64::MAX => text.push_str("infinity"),
        i64::MIN => text.push_str("-infinity"),
        micros => {
            let before_christ = push_day(text, micros.div_euclid(MICROS_PER_DAY));
            text.push('T');
            push_time(text, micros.rem_euclid(MICROS_PER_DAY));
            text.push_str(zone);
            push_era(text, before_christ);
        }
    }
}

/// `+02:00` for an offset in seconds east of Greenwich.
pub(super) fn offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.unsigned_abs();
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if rest == 0 {
        format!("{sign}{hours:02}:{minutes:02}")
    } else {
        format!("{sign}{hours:02}:{minutes:02}:{rest:02}")
    }
}

/// A span as PostgreSQL keeps it: months, days and microseconds are independent of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}

impl Interval {
    /// ISO 8601, each part with its own sign, as PostgreSQL's `iso_8601` style writes it: `P1Y2M3DT4H5M6.789S`.
    pub fn iso(self) -> String {
        match self {
            Self { months: 0, days: 0, micros: 0 } => return "PT0S".to_owned(),
            Self { months: i32::MAX, days: i32::MAX, micros: i64::MAX } => return "infinity".to_owned(),
            Self { months: i32::MIN, days: i32::MIN, micros: i64::MIN } => return "-infinity".to_owned(),
            _ => {}
        }
        let mut text = "P".to_owned();
        let mut part = |number: i64, unit: char| {
            if number != 0 {
                // Writing into a String cannot fail.
                let _ = write!(text, "{number}{unit}");
            }
        };
        part((self.months / 12).into(), 'Y');
        part((self.months % 12).into(), 'M');
        part(self.days.into(), 'D');
        if self.micros != 0 {
            let seconds = self.micros / MICROS_PER_SECOND;
            text.push('T');
            let mut part = |number: i64, unit: char| {
                if number != 0 {
                    let _ = write!(text, "{number}{unit}");
                }
            };
            part(seconds / 3_600, 'H');
            part(seconds / 60 % 60, 'M');
            let (rest, fraction) = (seconds % 60, self.micros % MICROS_PER_SECOND);
            if rest != 0 || fraction != 0 {
                let sign = if self.micros < 0 { "-" } else { "" };
                let _ = write!(text, "{sign}{}", rest.unsigned_abs());
                push_fraction(&mut text, fraction.unsigned_abs());
                text.push('S');
            }
        }
        text
    }

    /// Reads PostgreSQL's default style: `1 year 2 mons -3 days +04:05:06.789`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "infinity" => return Some(Self { months: i32::MAX, days: i32::MAX, micros: i64::MAX }),
            "-infinity" => return Some(Self { months: i32::MIN, days: i32::MIN, micros: i64::MIN }),
            _ => {}
        }
        let mut interval = Self::default();
        let mut words = text.split_ascii_whitespace();
        if text.is_empty() {
            return None;
        }
        while let Some(word) = words.next() {
            if word.contains(':') {
                interval.micros = clock(word)?;
                continue;
            }
            let number: i32 = word.parse().ok()?;
            match words.next()?.trim_end_matches('s') {
                "year" => interval.months = interval.months.checked_add(number.checked_mul(12)?)?,
                "mon" => interval.months = interval.months.checked_add(number)?,
                "day" => interval.days = interval.days.checked_add(number)?,
                _ => return None,
            }
        }
        Some(interval)
    }

    /// Reads ISO 8601 with designators, each part with its own sign; only seconds have decimals.
    pub fn parse_iso(text: &str) -> Option<Self> {
        let (mut months, mut days, mut micros) = (0_i64, 0_i64, 0_i128);
        let mut rest = text.strip_prefix('P').filter(|rest| !rest.is_empty() && !rest.ends_with('T'))?;
        let mut of_day = false;
        while !rest.is_empty() {
            if let Some(clock) = rest.strip_prefix('T').filter(|_| !of_day) {
                (rest, of_day) = (clock, true);
                continue;
            }
            let at = rest.find(|character: char| character.is_ascii_alphabetic())?;
            let (number, unit) = (&rest[..at], rest.as_bytes()[at]);
            rest = &rest[at + 1..];
            let whole = || number.parse::<i64>().ok().filter(|number| number.abs() < 1 << 40);
            match (of_day, unit) {
                (false, b'Y') => months += whole()? * 12,
                (false, b'M') => months += whole()?,
                (false, b'W') => days += whole()? * 7,
                (false, b'D') => days += whole()?,
                (true, b'H') => micros += i128::from(whole()?) * 3_600_000_000,
                (true, b'M') => micros += i128::from(whole()?) * 60_000_000,
                (true, b'S') => micros += seconds(number)?,
                _ => return None,
            }
        }
        let (months, days) = (i32::try_from(months).ok()?, i32::try_from(days).ok()?);
        Some(Self { months, days, micros: i64::try_from(micros).ok()? })
    }
}

/// Microseconds of `[-]H…:MM:SS[.ffffff]`.
fn clock(text: &str) -> Option<i64> {
    let negative = text.starts_with('-');
    let mut parts = text.trim_start_matches(['-', '+']).split(':');
    let hours: i64 = parts.next()?.parse().ok()?;
    let minutes: i64 = parts.next()?.parse().ok()?;
    let whole = i128::from(hours) * 3_600_000_000 + i128::from(minutes) * 60_000_000;
    let micros = whole + seconds(parts.next()?)?;
    i64::try_from(if negative { -micros } else { micros }).ok()
}

/// Microseconds of `-6.789`; not more than six decimals.
fn seconds(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || fraction.len() > 6 {
        return None;
    }
    let whole = whole.parse::<i64>().ok()?;
    Some(sign * (i128::from(whole) * 1_000_000 + format!("{fraction:0<6}").parse::<i128>().ok()?))
}

/// Writes the date and says whether its year is before Christ.
fn push_day(text: &mut String, days_after_2000: i64) -> bool {
    let (year, month, day) = civil(days_after_2000 + DAYS_TO_2000);
    // There is no year 0: the year before 1 is 1 BC.
    let (shown, before_christ) = if year > 0 { (year, false) } else { (1 - year, true) };
    match u16::try_from(shown) {
        Ok(year @ ..=9_999) => text.push_str(four(year)),
        _ => text.push_str(&shown.to_string()),
    }
    for part in [month, day] {
        text.push('-');
        text.push_str(two(u16::try_from(part).unwrap_or_default()));
    }
    before_christ
}

/// `.25` for 250,000 microseconds; nothing for none.
fn push_fraction(text: &mut String, micros: u64) {
    if micros > 0 {
        text.push('.');
        let digits = format!("{micros:06}");
        text.push_str(digits.trim_end_matches('0'));
    }
}

fn push_era(text: &mut String, before_christ: bool) {
    if before_christ {
        text.push_str(" BC");
    }
}

/// Year, month and day, `days` after 1970-01-01 in the proleptic Gregorian calendar.
///
/// Counts in eras of 400 years that begin on the first of March, so that the leap day is the last day of its year
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    let shifted = days + 719_468;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// The other way round.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(push: impl FnOnce(&mut String)) -> String {
        let mut text = String::new();
        push(&mut text);
        text
    }

    fn date(days: i32) -> String {
        written(|text| push_date(text, days))
    }

    fn timestamp(micros: i64, zone: &str) -> String {
        written(|text| push_timestamp(text, micros, zone))
    }

    #[test]
    fn dates_over_the_whole_calendar() {
        for (days, expected) in [
            (0, "2000-01-01"),
            (59, "2000-02-29"),
            (-10_957, "1970-01-01"),
            (-10_958, "1969-12-31"),
            (8_825, "2024-02-29"),
            (2_921_939, "9999-12-31"),
            (2_921_940, "10000-01-01"),
            (-730_119, "0001-01-01"),
            (-730_120, "0001-12-31 BC"),
            (-746_580, "0046-12-08 BC"),
            (-2_451_545, "4714-11-24 BC"),
            (i32::MAX, "infinity"),
            (i32::MIN, "-infinity"),
        ] {
            assert_eq!(date(days), expected, "{days}");
            assert_eq!(parse_date(expected), Some(days), "{expected}");
        }
        for text in
            ["2024-02-30", "2023-02-29", "0000-01-01", "0000-01-01 BC", "2024-13-01", "2024-1-1", "2024-01-01T00"]
        {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn moments_before_and_after_2000() {
        assert_eq!(timestamp(0, "Z"), "2000-01-01T00:00:00Z");
        assert_eq!(timestamp(-1, ""), "1999-12-31T23:59:59.999999");
        assert_eq!(timestamp(1_500_000, ""), "2000-01-01T00:00:01.5");
        assert_eq!(timestamp(i64::MIN, "Z"), "-infinity");
        assert_eq!(written(|text| push_time(text, 86_400_000_000)), "24:00:00");
        assert_eq!(
            (offset(7_200).as_str(), offset(-19_800).as_str(), offset(1_172).as_str()),
            ("+02:00", "-05:30", "+00:19:32")
        );
    }

    #[test]
    fn spans_keep_every_part_and_its_sign() {
        for (text, iso) in [
            ("00:00:00", "PT0S"),
            ("1 year 2 mons 3 days 04:05:06.789", "P1Y2M3DT4H5M6.789S"),
            ("-1 years -2 mons +3 days -04:05:06.7", "P-1Y-2M3DT-4H-5M-6.7S"),
            ("-00:00:00.5", "PT-0.5S"),
            ("100 days", "P100D"),
            ("2562047788:00:54.775807", "PT2562047788H54.775807S"),
            ("-2562047788:00:54.775808", "PT-2562047788H-54.775808S"),
            ("-178956970 years -8 mons", "P-178956970Y-8M"),
        ] {
            assert_eq!(Interval::parse(text).map(Interval::iso).as_deref(), Some(iso), "{text}");
            assert_eq!(Interval::parse_iso(iso).map(Interval::iso).as_deref(), Some(iso), "{text}");
        }
        for text in ["P", "PT", "1Y", "P1", "P1X", "P1.5Y", "PT1.1234567S", "P1YT", "PT1HT1M", "P300000000Y"] {
            assert_eq!(Interval::parse_iso(text), None, "{text}");
        }
        assert_eq!(Interval::parse("P1Y"), None);
        assert_eq!(Interval::parse("infinity").map(Interval::iso).as_deref(), Some("infinity"));
        assert_eq!(Interval { months: i32::MAX, days: i32::MAX, micros: i64::MAX }.iso(), "infinity");
    }
}
