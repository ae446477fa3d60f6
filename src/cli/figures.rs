//! What `pulse eval` found out, as tables.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Table, presets};

use crate::domain::Reason;
use crate::eval::{Answer, Figures, Suite, Verdict, is_invalid};

/// Difficulties in the order in which they are told; others come behind them.
const DIFFICULTIES: [&str; 4] = ["easy", "medium", "hard", "extra"];

/// One suite, asked and scored.
pub(super) struct Measured {
    pub(super) suite: Suite,
    /// In the suite's order.
    pub(super) answers: Vec<Answer>,
    /// In the suite's order; `None` for a suite that does not say what is right.
    pub(super) verdicts: Option<Vec<Verdict>>,
}

/// Prints everything. False when a question could not be asked, so that the figures say less than they seem to.
pub(super) fn print(measured: &[Measured]) -> bool {
    if measured.iter().any(|one| one.verdicts.is_some()) {
        println!("{}", scores(measured));
    } else {
        println!("No line of the suites has `gold_sql`, so nothing is said of what is right.");
    }
    let answers = || measured.iter().flat_map(|one| &one.answers);
    let (total, answered) = (answers().count(), answers().filter(|answer| answer.sql.is_some()).count());
    println!("{total} questions: {answered} answered, {} not", total - answered);
    if answers().any(|answer| answer.usage.calls > 0) {
        println!("{}", costs(measured));
    }
    let failed = answers().filter_map(|answer| answer.failure.as_ref());
    let (invalid, abstained): (Vec<_>, Vec<_>) = failed.partition(|failure| is_invalid(failure));
    let reasons = abstained.iter().map(|failure| word(failure.reason));
    for (reason, count) in counted(reasons) {
        println!("not answered {count} times: {reason}");
    }
    for (message, count) in
        counted(invalid.iter().map(|failure| format!("{}: {}", word(failure.reason), failure.message)))
    {
        println!("not asked {count} times: {message}");
    }
    invalid.is_empty()
}

/// Figures of all questions, and of those without flags.
#[derive(Default)]
struct Pair {
    all: Figures,
    unflagged: Figures,
}

/// A line for each suite, each difficulty, and everything.
fn scores(measured: &[Measured]) -> Table {
    let mut suites: Vec<(&str, Pair)> = Vec::new();
    let mut difficulties: BTreeMap<(usize, &str), Pair> = BTreeMap::new();
    let mut total = Pair::default();
    for Measured { suite, verdicts, answers: _ } in measured {
        let mut of_suite = Pair::default();
        for (item, verdict) in suite.items.iter().zip(verdicts.iter().flatten()) {
            let difficulty =
                item.difficulty.as_deref().map(|difficulty| difficulties.entry(ranked(difficulty)).or_default());
            for pair in [Some(&mut of_suite), Some(&mut total), difficulty].into_iter().flatten() {
                pair.all.add(*verdict);
                if item.flags.is_empty() {
                    pair.unflagged.add(*verdict);
                }
            }
        }
        if verdicts.is_some() {
            suites.push((&suite.name, of_suite));
        }
    }
    let mut table =
        table(["", "n", "answered", "coverage", "accuracy", "precision", "n without flags", "accuracy", "precision"]);
    for (name, pair) in &suites {
        line(&mut table, name, pair);
    }
    for ((_, difficulty), pair) in &difficulties {
        line(&mut table, difficulty, pair);
    }
    line(&mut table, "total", &total);
    table
}

fn line(table: &mut Table, name: &str, Pair { all, unflagged }: &Pair) {
    let precision = |figures: &Figures| figures.precision().map_or_else(|| "-".to_owned(), percent);
    let cells = [
        all.total.to_string(),
        all.answered.to_string(),
        percent(all.coverage()),
        percent(all.accuracy()),
        precision(all),
        unflagged.total.to_string(),
        percent(unflagged.accuracy()),
        precision(unflagged),
    ];
    table.add_row(std::iter::once(Cell::new(name)).chain(cells.into_iter().map(right)));
}

/// What the model's answers took: in all, and in the middle one of the questions.
fn costs(measured: &[Measured]) -> Table {
    let mut table =
        table(["", "calls", "median", "prompt tokens", "median", "completion tokens", "median", "seconds", "median"]);
    let mut row = |name: &str, answers: &[&Answer]| {
        let counts = |of: fn(&Answer) -> u64| {
            let counts: Vec<u64> = answers.iter().map(|answer| of(answer)).collect();
            [right(counts.iter().sum::<u64>().to_string()), right(median(counts).unwrap_or_default().to_string())]
        };
        let times: Vec<Duration> = answers.iter().map(|answer| answer.time).collect();
        let seconds = |time: Duration| right(format!("{:.2}", time.as_secs_f64()));
        let cells = [
            counts(|answer| answer.usage.calls.into()),
            counts(|answer| answer.usage.prompt_tokens),
            counts(|answer| answer.usage.completion_tokens),
            [seconds(times.iter().sum()), seconds(median(times).unwrap_or_default())],
        ];
        table.add_row(std::iter::once(Cell::new(name)).chain(cells.into_iter().flatten()));
    };
    for Measured { suite, answers, .. } in measured {
        row(&suite.name, &answers.iter().collect::<Vec<_>>());
    }
    let asked = || measured.iter().flat_map(|one| one.suite.items.iter().zip(&one.answers));
    let mut difficulties: BTreeMap<(usize, &str), Vec<&Answer>> = BTreeMap::new();
    for (item, answer) in asked() {
        if let Some(difficulty) = item.difficulty.as_deref() {
            difficulties.entry(ranked(difficulty)).or_default().push(answer);
        }
    }
    for ((_, difficulty), answers) in &difficulties {
        row(difficulty, answers);
    }
    row("total", &asked().map(|(_, answer)| answer).collect::<Vec<_>>());
    table
}

/// A difficulty with its place among the others.
fn ranked(difficulty: &str) -> (usize, &str) {
    let known = DIFFICULTIES.iter().position(|known| *known == difficulty);
    (known.unwrap_or(DIFFICULTIES.len()), difficulty)
}

/// The middle one, the lower of two.
fn median<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}

/// How often each occurs, the most frequent first.
fn counted(words: impl Iterator<Item = String>) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

/// The name that programs match on.
fn word(reason: Reason) -> String {
    serde_json::to_value(reason).ok().and_then(|name| name.as_str().map(str::to_uppercase)).unwrap_or_default()
}

fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let first_left = header.into_iter().enumerate().map(|(index, name)| {
        let cell = Cell::new(name);
        if index == 0 { cell } else { cell.set_alignment(CellAlignment::Right) }
    });
    table.set_header(first_left);
    table
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_one_of_the_values() {
        assert_eq!(median::<u8>(Vec::new()), None);
        assert_eq!(median(vec![3, 1, 2]), Some(2));
        assert_eq!(median(vec![4, 1, 2, 3]), Some(2));
    }

    #[test]
    fn the_most_frequent_comes_first() {
        let words = ["b", "a", "c", "a"].map(str::to_owned);
        let counts = [("a", 2), ("b", 1), ("c", 1)].map(|(word, count)| (word.to_owned(), count));
        assert_eq!(counted(words.into_iter()), counts);
    }
}
