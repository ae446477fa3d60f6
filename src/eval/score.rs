//! Execution accuracy: a statement is right when its rows are those of a gold statement.
//!
//! Statements here come from anywhere: they run on databases that are opened read-only, for at most [`TIMEOUT`] and
//! [`MAX_ROWS`].

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::run::{Error, Progress};
use super::spread::spread;
use super::suite::{Item, Suite, database};
use crate::sql::sqlite;

/// Longest that a statement may run.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// Most rows of a result.
pub const MAX_ROWS: usize = 200_000;

/// Questions that are scored with one opening of their database.
const BATCH: usize = 32;
/// Instructions of SQLite's virtual machine between two looks at the clock.
const INSTRUCTIONS_BETWEEN_LOOKS: i32 = 20_000;
/// How far two numbers may be apart, as a part of the larger one, or of 1 when both are smaller.
const TOLERANCE: f64 = 1e-6;

/// What statements are run on.
#[derive(Debug, Clone)]
pub struct ScoreOptions {
    /// Folder of the databases, `<db>.sqlite` each.
    pub databases: PathBuf,
    /// Folder of their second state: where it holds a database, a statement must be right there too.
    pub alt: Option<PathBuf>,
    /// Databases worked on beside each other; at least 1.
    pub jobs: usize,
}

/// What became of one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether there was a statement.
    pub answered: bool,
    /// Whether it was right; an abstention is where there is no answer.
    pub right: bool,
}

/// Counts of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Questions.
    pub total: usize,
    /// Questions with a statement.
    pub answered: usize,
    /// Right statements, and right abstentions.
    pub right: usize,
    /// Right statements.
    pub right_answers: usize,
}

impl Figures {
    /// Right ones among all, 0 to 1.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        share(self.right, self.total)
    }

    /// Answered ones among all, 0 to 1.
    #[must_use]
    pub fn coverage(&self) -> f64 {
        share(self.answered, self.total)
    }

    /// Right ones among the answered, 0 to 1; `None` when nothing was answered.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        (self.answered > 0).then(|| share(self.right_answers, self.answered))
    }

    /// Counts one more question.
    pub fn add(&mut self, verdict: Verdict) {
        self.total += 1;
        self.answered += usize::from(verdict.answered);
        self.right += usize::from(verdict.right);
        self.right_answers += usize::from(verdict.answered && verdict.right);
    }
}

/// Runs answers, given in the suite's order, and says which are right, in the same order.
pub fn score(
    suite: &Suite,
    answers: &[Option<String>],
    options: &ScoreOptions,
    mut on_progress: impl FnMut(Progress),
) -> Result<Vec<Verdict>, Error> {
    let items = &suite.items;
    let by_database = suite.by_database();
    let work: Vec<(&str, &[usize])> =
        by_database.iter().flat_map(|(db, indexes)| indexes.chunks(BATCH).map(|indexes| (*db, indexes))).collect();
    let mut verdicts = vec![Verdict { answered: false, right: false }; items.len()];
    let mut progress = Progress { done: 0, total: items.len(), answered: 0 };
    let judge = |(db, indexes): &(&str, &[usize])| judge_batch(options, db, indexes, items, answers);
    spread(&work, options.jobs, judge, |judged| {
        for (index, verdict) in judged {
            verdicts[index] = verdict;
            progress.done += 1;
            progress.answered += usize::from(verdict.right);
        }
        on_progress(progress);
    })?;
    Ok(verdicts)
}

fn judge_batch(
    options: &ScoreOptions,
    db: &str,
    indexes: &[usize],
    items: &[Item],
    answers: &[Option<String>],
) -> Result<Vec<(usize, Verdict)>, Error> {
    let open = |folder: &Path| {
        let opened = sqlite::open(&database(folder, db), Duration::from_secs(1));
        opened.map_err(|source| Error::Database { db: db.to_owned(), source })
    };
    let first = open(&options.databases)?;
    let alt = options.alt.as_deref().filter(|folder| database(folder, db).exists()).map(open).transpose()?;
    let judge = |&index: &usize| {
        let item = &items[index];
        let second = alt.as_ref().filter(|_| item.alt);
        let states: Vec<&Connection> = std::iter::once(&first).chain(second).collect();
        let answer = answers.get(index).and_then(Option::as_deref);
        let right = match (answer, &item.gold_sql) {
            (None, gold) => gold.is_none(),
            (Some(_), None) => false,
            (Some(sql), Some(gold)) => is_right(sql, gold, item.gold_alt.as_deref().unwrap_or_default(), &states),
        };
        (index, Verdict { answered: answer.is_some(), right })
    };
    Ok(indexes.iter().map(judge).collect())
}

/// Whether a statement gives the rows of one of the gold statements in every state of the database.
fn is_right(sql: &str, gold: &str, others: &[String], states: &[&Connection]) -> bool {
    let given: Option<Vec<Rows>> = states.iter().map(|state| run(state, sql)).collect();
    let Some(given) = given else { return false };
    std::iter::once(gold).chain(others.iter().map(String::as_str)).any(|gold| {
        let ordered = orders(gold);
        let mut pairs = states.iter().zip(&given);
        pairs.all(|(state, given)| run(state, gold).is_some_and(|gold| gold.equal(given, ordered)))
    })
}

/// A result, reduced to what counts.
#[derive(Debug)]
struct Rows {
    columns: usize,
    rows: Vec<Vec<Cell>>,
}

/// A cell; kinds in the order in which they are sorted.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Cell {
    Null,
    Number(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// The rows of one reading statement; `None` for anything else, and for what fails or goes beyond a limit.
fn run(connection: &Connection, sql: &str) -> Option<Rows> {
    let sql = bare(sql);
    let word: String = sql.chars().take_while(|letter| is_word(*letter)).collect();
    let reads = ["select", "with", "values"].iter().any(|verb| word.eq_ignore_ascii_case(verb));
    if !reads || sql.contains('\0') {
        return None;
    }
    let end = Instant::now() + TIMEOUT;
    connection.progress_handler(INSTRUCTIONS_BETWEEN_LOOKS, Some(move || Instant::now() > end)).ok()?;
    let rows = fetch(connection, sql).ok().flatten();
    connection.progress_handler(0, None::<fn() -> bool>).ok()?;
    rows
}

fn fetch(connection: &Connection, sql: &str) -> rusqlite::Result<Option<Rows>> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    if columns == 0 || statement.parameter_count() > 0 {
        return Ok(None);
    }
    let mut rows = Vec::new();
    let mut stored = statement.raw_query();
    while let Some(row) = stored.next()? {
        if rows.len() == MAX_ROWS {
            return Ok(None);
        }
        rows.push((0..columns).map(|column| Ok(Cell::of(row.get_ref(column)?))).collect::<rusqlite::Result<_>>()?);
    }
    Ok(Some(Rows { columns, rows }))
}

impl Cell {
    fn of(stored: ValueRef<'_>) -> Self {
        match stored {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Number(number as f64),
            ValueRef::Real(number) => Self::Number(number),
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Self::Bytes(bytes.to_vec()),
        }
    }

    fn equal(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => {
                one.total_cmp(other).is_eq() || (one - other).abs() <= TOLERANCE * 1_f64.max(one.abs()).max(other.abs())
            }
            _ => self == other,
        }
    }
}

impl Rows {
    fn equal(&self, other: &Self, ordered: bool) -> bool {
        if self.columns != other.columns || self.rows.len() != other.rows.len() {
            return false;
        }
        if ordered {
            return self.rows.iter().zip(&other.rows).all(|(one, other)| equal(one, other));
        }
        let (ours, theirs) = (sorted(&self.rows), sorted(&other.rows));
        ours.iter().zip(&theirs).all(|(one, other)| equal(one, other)) || matched(&self.rows, &other.rows)
    }
}

fn equal(one: &[Cell], other: &[Cell]) -> bool {
    one.iter().zip(other).all(|(one, other)| one.equal(other))
}

fn sorted(rows: &[Vec<Cell>]) -> Vec<&Vec<Cell>> {
    let mut rows: Vec<&Vec<Cell>> = rows.iter().collect();
    // SQLite has no NaN, so all cells compare.
    rows.sort_by(|one, other| one.partial_cmp(other).unwrap_or(Ordering::Equal));
    rows
}

/// Whether every row has a partner of its own. Sorting alone may part those whose numbers differ in the last digits.
fn matched(ours: &[Vec<Cell>], theirs: &[Vec<Cell>]) -> bool {
    let kind = |row: &[Cell]| -> String {
        let kinds = row.iter().map(|cell| match cell {
            Cell::Number(_) => "1".to_owned(),
            other => format!("{other:?}"),
        });
        kinds.collect::<Vec<_>>().join("\u{1f}")
    };
    let mut left: HashMap<String, Vec<&Vec<Cell>>> = HashMap::new();
    for row in theirs {
        left.entry(kind(row)).or_default().push(row);
    }
    ours.iter().all(|row| {
        let Some(partners) = left.get_mut(&kind(row)) else { return false };
        let partner = partners.iter().position(|partner| equal(row, partner));
        partner.map(|partner| partners.remove(partner)).is_some()
    })
}

/// The statement without comments before it and semicolons after it.
fn bare(sql: &str) -> &str {
    let mut sql = sql;
    while let Some(length) = gap(sql) {
        sql = &sql[length..];
    }
    sql.trim_end().trim_end_matches(';').trim_end()
}

/// The length of the blank or comment that a text begins with, if it does. A comment that never ends is none.
fn gap(sql: &str) -> Option<usize> {
    let blank = sql.len() - sql.trim_start().len();
    if blank > 0 {
        return Some(blank);
    }
    if sql.starts_with("--") {
        return Some(sql.find('\n').map_or(sql.len(), |end| end + 1));
    }
    let comment = sql.strip_prefix("/*")?;
    comment.find("*/").map(|end| end + 4)
}

/// Whether ORDER BY stands outside every parenthesis and quotation.
fn orders(sql: &str) -> bool {
    let (mut rest, mut depth, mut ordering) = (sql, 0_usize, false);
    while let Some(letter) = rest.chars().next() {
        if let Some(length) = gap(rest) {
            rest = &rest[length..];
        } else if matches!(letter, '\'' | '"' | '`' | '[') {
            rest = behind_quotation(rest, letter);
            ordering = false;
        } else if is_word(letter) {
            let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after;
            if depth == 0 {
                if ordering && word.eq_ignore_ascii_case("by") {
                    return true;
                }
                ordering = word.eq_ignore_ascii_case("order");
            }
        } else {
            match letter {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            rest = &rest[letter.len_utf8()..];
        }
    }
    false
}

/// What follows a quotation that the text begins with. A doubled mark inside is part of it: it reads as two quotations,
/// one behind the other.
fn behind_quotation(text: &str, mark: char) -> &str {
    let end = if mark == '[' { ']' } else { mark };
    let inside = &text[mark.len_utf8()..];
    inside.find(end).map_or("", |at| &inside[at + end.len_utf8()..])
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_right_here(sql: &str, gold: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.sqlite");
        let tables = "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (2, 'y'), (NULL, 'z');";
        Connection::open(&path).unwrap().execute_batch(tables).unwrap();
        is_right(sql, gold, &[], &[&sqlite::open(&path, Duration::ZERO).unwrap()])
    }

    #[test]
    fn rows_count_and_names_do_not() {
        let gold = "SELECT a, b FROM t";
        for right in [
            "SELECT a AS other, b FROM t ORDER BY b DESC;",
            "-- why\n/* so */ select a * 1.0000001, b from t ; ",
            "VALUES (1, 'x'), (2, 'y'), (NULL, 'z'), (2, 'y')",
            "WITH u AS (SELECT * FROM t) SELECT * FROM u",
        ] {
            assert!(is_right_here(right, gold), "{right}");
        }
        for wrong in [
            "SELECT DISTINCT a, b FROM t",
            "SELECT b, a FROM t",
            "SELECT a FROM t",
            "SELECT a, b, 1 FROM t",
            "SELECT a, upper(b) FROM t",
            "SELECT coalesce(a, 0), b FROM t",
            "SELECT CAST(a AS TEXT), b FROM t",
            "SELECT a * 1.001, b FROM t",
            "SELECT a, b FROM t WHERE a = ? OR 1",
            "SELECT a, b FROM t; SELECT 1",
            "DELETE FROM t",
            "DELETE FROM t RETURNING a, b",
            "PRAGMA table_info(t)",
            "SELECT a, b FROM nowhere",
            "",
            "-- nothing",
        ] {
            assert!(!is_right_here(wrong, gold), "{wrong}");
        }
    }

    #[test]
    fn order_counts_when_the_outermost_gold_orders() {
        let gold = "SELECT b FROM t ORDER BY b";
        assert!(is_right_here("SELECT b FROM t ORDER BY 1 ASC", gold));
        assert!(!is_right_here("SELECT b FROM t ORDER BY b DESC", gold));
        for ordered in ["SELECT 1 ORDER\n/* c */ BY 1", "SELECT (SELECT 1) order by 1", "SELECT ']' ORDER BY 1"] {
            assert!(orders(ordered), "{ordered}");
        }
        for free in [
            "SELECT * FROM (SELECT 1 ORDER BY 1)",
            "SELECT 'it''s ORDER BY'",
            "SELECT 1 -- ORDER BY 1",
            "SELECT \"ORDER\" BY",
            "SELECT [a ORDER BY b]",
            "SELECT sum(a) OVER (ORDER BY b) FROM t",
        ] {
            assert!(!orders(free), "{free}");
        }
    }

    #[test]
    fn numbers_that_differ_in_the_last_digits_find_their_partners() {
        let gold = "VALUES (1.0000001, 'b'), (1.0, 'c'), (5, 'a')";
        assert!(is_right_here("VALUES (1.0, 'b'), (1.0000001, 'c'), (5, 'a')", gold));
        assert!(!is_right_here("VALUES (1.0, 'b'), (1.0, 'b'), (5, 'a')", gold));
    }

    #[test]
    fn figures_tell_abstentions_from_errors() {
        let mut figures = Figures::default();
        assert_eq!((figures.accuracy(), figures.precision()), (0.0, None));
        for (answered, right) in [(true, true), (true, false), (false, false), (false, true)] {
            figures.add(Verdict { answered, right });
        }
        assert_eq!((figures.accuracy(), figures.coverage(), figures.precision()), (0.5, 0.5, Some(0.5)));
    }

    #[test]
    fn results_without_end_are_wrong() {
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
        assert!(!is_right_here(endless, "SELECT 1"));
    }
}
