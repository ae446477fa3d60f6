//! Periods of time that a question names, as half-open intervals of days.

use jiff::ToSpan;
use jiff::civil::{Date, date};

use super::words::{Token, TokenKind};

/// From the first day (included) to the last (excluded).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    /// First day.
    pub from: Date,
    /// The day after the last.
    pub to: Date,
    /// Set when the period is one calendar year: columns of years compare with it.
    pub year: Option<i16>,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The period that the tokens start with, and how many tokens it takes.
pub(crate) fn period(tokens: &[Token], today: Date) -> Option<(Period, usize)> {
    let word = |at: usize| {
        tokens.get(at).filter(|token| token.kind != TokenKind::Quoted).map_or("", |token| token.folded.as_str())
    };
    let first = word(0);
    if let Ok(day) = first.parse::<Date>()
        && first.len() == 10
    {
        return Some((days(day, day.checked_add(1.day()).ok()?), 1));
    }
    if let Some(month) = month(first) {
        if let Some(year) = year(word(1)) {
            return Some((months(year, month, 1)?, 2));
        }
        let comma = usize::from(word(2) == ",");
        if let (Some(day), Some(year)) = (day(word(1)), year(word(2 + comma))) {
            let day = Date::new(year, month, day).ok()?;
            return Some((days(day, day.checked_add(1.day()).ok()?), 3 + comma));
        }
        return None;
    }
    if let (Some(day), Some(month), Some(year)) = (day(first), month(word(1)), year(word(2))) {
        let day = Date::new(year, month, day).ok()?;
        return Some((days(day, day.checked_add(1.day()).ok()?), 3));
    }
    if let Some(quarter) =
        first.strip_prefix('q').and_then(|digit| digit.parse::<i8>().ok()).filter(|q| (1..=4).contains(q))
    {
        return Some((months(year(word(1))?, quarter * 3 - 2, 3)?, 2));
    }
    if let Some(year) = year(first) {
        return Some((whole_year(year)?, 1));
    }
    relative(first, word(1), today)
}

fn relative(first: &str, second: &str, today: Date) -> Option<(Period, usize)> {
    let month_start = today.first_of_month();
    let found = match (first, second) {
        ("today", _) => return Some((days(today, today.checked_add(1.day()).ok()?), 1)),
        ("yesterday", _) => return Some((days(today.checked_sub(1.day()).ok()?, today), 1)),
        ("this", "year") => whole_year(today.year())?,
        ("last" | "previous", "year") => whole_year(today.year() - 1)?,
        ("this", "month") => days(month_start, month_start.checked_add(1.month()).ok()?),
        ("last" | "previous", "month") => days(month_start.checked_sub(1.month()).ok()?, month_start),
        ("this", "week") => {
            let monday = today.checked_sub(i64::from(today.weekday().to_monday_zero_offset()).days()).ok()?;
            days(monday, monday.checked_add(1.week()).ok()?)
        }
        ("last" | "previous", "week") => {
            let monday = today.checked_sub(i64::from(today.weekday().to_monday_zero_offset()).days()).ok()?;
            days(monday.checked_sub(1.week()).ok()?, monday)
        }
        ("this", "quarter") => months(today.year(), (today.month() - 1) / 3 * 3 + 1, 3)?,
        ("last" | "previous", "quarter") => {
            let start = date(today.year(), (today.month() - 1) / 3 * 3 + 1, 1);
            days(start.checked_sub(3.months()).ok()?, start)
        }
        _ => return None,
    };
    Some((found, 2))
}

fn days(from: Date, to: Date) -> Period {
    Period { from, to, year: None }
}

fn whole_year(year: i16) -> Option<Period> {
    Some(Period { year: Some(year), ..months(year, 1, 12)? })
}

fn months(year: i16, month: i8, count: i32) -> Option<Period> {
    let from = Date::new(year, month, 1).ok()?;
    Some(days(from, from.checked_add(count.months()).ok()?))
}

fn year(word: &str) -> Option<i16> {
    word.parse().ok().filter(|year| word.len() == 4 && (1800..=2100).contains(year))
}

fn month(word: &str) -> Option<i8> {
    let short = |name: &str| word.len() == 3 && name.starts_with(word);
    MONTHS.iter().position(|name| *name == word || short(name)).and_then(|index| i8::try_from(index + 1).ok())
}

fn day(word: &str) -> Option<i8> {
    word.trim_end_matches("st")
        .trim_end_matches("nd")
        .trim_end_matches("rd")
        .trim_end_matches("th")
        .parse()
        .ok()
        .filter(|day| (1..=31).contains(day))
}

#[cfg(test)]
mod tests {
    use super::super::words::tokens;
    use super::*;

    fn check(text: &str, expected: Option<(&str, &str)>) {
        let found = period(&tokens(text), date(2026, 11, 23))
            .map(|(period, _)| (period.from.to_string(), period.to.to_string()));
        assert_eq!(found.as_ref().map(|(from, to)| (from.as_str(), to.as_str())), expected, "{text}");
    }

    #[test]
    fn periods_are_half_open() {
        check("2024", Some(("2024-01-01", "2025-01-01")));
        check("March 2024", Some(("2024-03-01", "2024-04-01")));
        check("Q4 2023", Some(("2023-10-01", "2024-01-01")));
        check("2024-02-28", Some(("2024-02-28", "2024-02-29")));
        check("March 5, 2024", Some(("2024-03-05", "2024-03-06")));
        check("last month", Some(("2026-10-01", "2026-11-01")));
        check("last quarter", Some(("2026-07-01", "2026-10-01")));
        check("this week", Some(("2026-11-23", "2026-11-30")));
        check("last name", None);
        check("may", None);
    }
}
