//! The three years the shop has been open, as day numbers: 0 is 2023-01-01.

use jiff::ToSpan;
use jiff::civil::{Date, Weekday, date};

use super::random::{Random, Weighted};

const OPENING: Date = date(2023, 1, 1);

/// Day number of 2025-12-31: nothing in the database happens later.
pub(super) const LAST_DAY: i64 = 1_095;

/// A day as ISO 8601 text. Negative numbers are days before the opening.
pub(super) fn iso_date(day: i64) -> String {
    civil(day).to_string()
}

/// A moment of a day as ISO 8601 text, at a time when people are awake.
pub(super) fn iso_timestamp(day: i64, random: &mut Random) -> String {
    let (hour, minute, second) = (random.between(7, 22), random.between(0, 59), random.between(0, 59));
    format!("{} {hour:02}:{minute:02}:{second:02}", civil(day))
}

/// The 1st of January of a year as a day number.
pub(super) fn new_year(year: i16) -> i64 {
    (date(year, 1, 1) - OPENING).get_days().into()
}

/// How many orders a day attracts: the shop grows, weekends are better than weekdays, and the
/// weeks before Christmas are best.
pub(super) fn demand() -> Weighted {
    Weighted::new((0..=LAST_DAY).map(|day| {
        let growth = 100 + 90 * day.unsigned_abs() / LAST_DAY.unsigned_abs();
        let season = match civil(day).month() {
            11 | 12 => 160,
            7 | 8 => 85,
            _ => 100,
        };
        let weekday = match civil(day).weekday() {
            Weekday::Saturday | Weekday::Sunday => 125,
            _ => 100,
        };
        growth * season * weekday
    }))
}

fn civil(day: i64) -> Date {
    OPENING.saturating_add(day.days())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_numbers_follow_the_calendar() {
        assert_eq!(iso_date(0), "2023-01-01");
        assert_eq!(iso_date(-1), "2022-12-31");
        assert_eq!(iso_date(LAST_DAY), "2025-12-31");
        assert_eq!(iso_date(new_year(2024) + 59), "2024-02-29");
        assert_eq!(iso_date(new_year(1960)), "1960-01-01");
    }
}
