//! What `pulse eval` found out, as tables.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::command::By;
use super::output::say;
use crate::domain::Reason;
use crate::eval::{Answer, BadGold, Figures, Item, Scored, Suite, Verdict, is_invalid};

/// Difficulties in the order in which they are told; others come behind them.
const DIFFICULTIES: [&str; 4] = ["easy", "medium", "hard", "extra"];

/// One suite, asked and scored.
pub(super) struct Measured {
    pub(super) suite: Suite,
    /// In the suite's order.
    pub(super) answers: Vec<Answer>,
    /// `None` for a suite that does not say what is right.
    pub(super) scored: Option<Scored>,
}

/// One question, asked and scored.
#[derive(Clone, Copy)]
struct Asked<'a> {
    item: &'a Item,
    answer: &'a Answer,
    verdict: Option<Verdict>,
}

impl Measured {
    fn asked(&self) -> impl Iterator<Item = Asked<'_>> {
        let verdict = |index: usize| self.scored.as_ref().and_then(|scored| scored.verdicts.get(index)).copied();
        let pairs = self.suite.items.iter().zip(&self.answers).enumerate();
        pairs.map(move |(index, (item, answer))| Asked { item, answer, verdict: verdict(index) })
    }
}

/// Prints everything. False when the figures say less than they seem to: a question could not be asked, or its gold SQL
/// gives nothing to compare with.
pub(super) fn print(measured: &[Measured], by: &[By]) -> bool {
    let groups = groups(measured, by);
    if measured.iter().any(|one| one.scored.is_some()) {
        say(&scores(&groups));
    } else {
        say("No line of the suites has `gold_sql`, so nothing is said of what is right.");
    }
    let answers = || measured.iter().flat_map(|one| &one.answers);
    let (total, answered) = (answers().count(), answers().filter(|answer| answer.sql.is_some()).count());
    say(&format!("{total} questions: {answered} answered, {} not", total - answered));
    if answers().any(|answer| !answer.time.is_zero()) {
        say(&costs(&groups));
    }
    let failed = answers().filter_map(|answer| answer.failure.as_ref());
    let (invalid, abstained): (Vec<_>, Vec<_>) = failed.partition(|failure| is_invalid(failure));
    let reasons = abstained.iter().map(|failure| word(failure.reason));
    for (reason, count) in counted(reasons) {
        say(&format!("not answered {count} times: {reason}"));
    }
    for (message, count) in
        counted(invalid.iter().map(|failure| format!("{}: {}", word(failure.reason), failure.message)))
    {
        say(&format!("not asked {count} times: {message}"));
    }
    let bad_gold: Vec<String> = measured.iter().flat_map(bad_gold).collect();
    for told in &bad_gold {
        say(told);
    }
    invalid.is_empty() && bad_gold.is_empty()
}

/// Gold statements that give nothing to compare with, and how their questions count.
fn bad_gold(one: &Measured) -> impl Iterator<Item = String> {
    one.scored.iter().flat_map(|scored| &scored.bad_gold).map(|BadGold { index, field, why, only }| {
        let Item { id, line, .. } = &one.suite.items[*index];
        let counts = if *only {
            "no answer to it can be right: mend it, or leave the question out"
        } else {
            "answers are held against its other gold statements alone: mend it, or leave it out"
        };
        format!("{}, line {line}: `{field}` of `{id}` gives no rows ({why}); {counts}", one.suite.path.display())
    })
}

/// Questions that are told of together: by suite, by difficulty, by what was asked for, and all of them.
fn groups<'a>(measured: &'a [Measured], by: &[By]) -> Vec<(&'a str, Vec<Asked<'a>>)> {
    let mut groups: Vec<(&str, Vec<Asked>)> =
        measured.iter().map(|one| (one.suite.name.as_str(), one.asked().collect())).collect();
    let all: Vec<Asked> = measured.iter().flat_map(Measured::asked).collect();
    let mut add = |rank: &dyn Fn(&'a Item) -> Option<(usize, &'a str)>| {
        let mut ranked: BTreeMap<(usize, &str), Vec<Asked>> = BTreeMap::new();
        for asked in &all {
            if let Some(place) = rank(asked.item) {
                ranked.entry(place).or_default().push(*asked);
            }
        }
        groups.extend(ranked.into_iter().map(|((_, name), asked)| (name, asked)));
    };
    add(&|item| item.difficulty.as_deref().map(ranked));
    for field in by {
        match field {
            By::Database => add(&|item| Some((0, &item.db))),
            By::Kind => add(&|item| item.kind.as_deref().map(|kind| (0, kind))),
        }
    }
    groups.push(("total", all));
    groups
}

/// A line for each group in which anything was scored.
fn scores(groups: &[(&str, Vec<Asked>)]) -> Table {
    let mut table =
        table(["", "n", "answered", "coverage", "accuracy", "precision", "n without flags", "accuracy", "precision"]);
    for (name, asked) in groups {
        let (mut all, mut unflagged) = (Figures::default(), Figures::default());
        for Asked { item, verdict, .. } in asked {
            let Some(verdict) = *verdict else { continue };
            all.add(verdict);
            if item.flags.is_empty() {
                unflagged.add(verdict);
            }
        }
        if all.total > 0 {
            line(&mut table, name, &all, &unflagged);
        }
    }
    table
}

fn line(table: &mut Table, name: &str, all: &Figures, unflagged: &Figures) {
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

/// What answers took: in all, and in the middle one of the questions.
fn costs(groups: &[(&str, Vec<Asked>)]) -> Table {
    let mut table =
        table(["", "calls", "median", "prompt tokens", "median", "completion tokens", "median", "seconds", "median"]);
    for (name, asked) in groups {
        let counts = |of: fn(&Answer) -> u64| {
            let counts: Vec<u64> = asked.iter().map(|asked| of(asked.answer)).collect();
            [right(counts.iter().sum::<u64>().to_string()), right(median(counts).unwrap_or_default().to_string())]
        };
        let times: Vec<Duration> = asked.iter().map(|asked| asked.answer.time).collect();
        let cells = [
            counts(|answer| answer.usage.calls.into()),
            counts(|answer| answer.usage.prompt_tokens),
            counts(|answer| answer.usage.completion_tokens),
            [seconds(times.iter().sum(), 2), seconds(median(times).unwrap_or_default(), 4)],
        ];
        table.add_row(std::iter::once(Cell::new(name)).chain(cells.into_iter().flatten()));
    }
    table
}

fn seconds(time: Duration, digits: usize) -> Cell {
    right(format!("{:.digits$}", time.as_secs_f64()))
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
