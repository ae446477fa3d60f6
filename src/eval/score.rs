//! Execution accuracy: a statement is right when its rows are those of a gold statement.
//!
//! Statements here come from anywhere: they run on databases that are opened read-only, for at most [`super::TIMEOUT`] and
//! [`super::MAX_ROWS`].

use std::path::PathBuf;

use tokio::runtime::Handle;

use super::rows::orders;
use super::run::{Error, Progress};
use super::spread::spread;
use super::states::{FileState, ServerState, State};
use super::suite::{Item, Suite, database};
use super::workflows::Connected;
use crate::domain::Comparable;
use crate::queries;

/// Questions that are scored with one opening of their database.
const BATCH: usize = 32;

/// What statements are run on.
#[derive(Clone)]
pub enum Tried {
    /// SQLite files.
    Files {
        /// Their folder, `<db>.sqlite` each.
        databases: PathBuf,
        /// Folder of their second state: where it holds a database, a statement must be right there too.
        alt: Option<PathBuf>,
    },
    /// Databases of a server.
    Server {
        /// What runs statements on them.
        queries: queries::Service,
        /// The connections to them.
        connected: Connected,
        /// Where statements are waited for.
        runtime: Handle,
    },
}

/// What came of scoring.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scored {
    /// In the suite's order.
    pub verdicts: Vec<Verdict>,
    /// Gold statements that give nothing to compare with, in the suite's order.
    pub bad_gold: Vec<BadGold>,
}

/// A gold statement that gives nothing to compare with: it is broken, writes, or has no end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadGold {
    /// Where in the suite.
    pub index: usize,
    /// The field of the line.
    pub field: String,
    /// Why.
    pub why: String,
    /// Whether no other gold statement of the question is left: every answer counts as wrong then.
    pub only: bool,
}

/// What became of one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

/// Runs answers, given in the suite's order, and says which are right.
///
/// Gold statements run for every question, so that one that gives nothing is named whatever was answered.
pub fn score(
    suite: &Suite,
    answers: &[Option<String>],
    on: &Tried,
    jobs: usize,
    mut on_progress: impl FnMut(Progress),
) -> Result<Scored, Error> {
    let items = &suite.items;
    let by_database = suite.by_database();
    let work: Vec<(&str, &[usize])> =
        by_database.iter().flat_map(|(db, indexes)| indexes.chunks(BATCH).map(|indexes| (*db, indexes))).collect();
    let mut scored = Scored { verdicts: vec![Verdict::default(); items.len()], bad_gold: Vec::new() };
    let mut progress = Progress { done: 0, total: items.len(), answered: 0 };
    let judge = |(db, indexes): &(&str, &[usize])| judge_batch(on, db, indexes, items, answers);
    spread(&work, jobs, judge, |judged| {
        for (index, Judged { verdict, bad_gold }) in judged {
            scored.verdicts[index] = verdict;
            let only = items[index].gold().count() == bad_gold.len();
            let named = bad_gold.into_iter().map(|(field, why)| BadGold { index, field, why, only });
            scored.bad_gold.extend(named);
            progress.done += 1;
            progress.answered += usize::from(verdict.right);
        }
        on_progress(progress);
    })?;
    scored.bad_gold.sort_by_key(|bad| bad.index);
    Ok(scored)
}

/// One question, and its gold statements that give nothing: field and reason.
struct Judged {
    verdict: Verdict,
    bad_gold: Vec<(String, String)>,
}

fn judge_batch(
    on: &Tried,
    db: &str,
    indexes: &[usize],
    items: &[Item],
    answers: &[Option<String>],
) -> Result<Vec<(usize, Judged)>, Error> {
    let (first, second) = open(on, db)?;
    let judge = |&index: &usize| {
        let item = &items[index];
        let second = second.as_ref().filter(|_| item.alt).map(|second| second as &dyn State);
        let states: Vec<&dyn State> = std::iter::once(&*first).chain(second).collect();
        Ok((index, judge(item, answers.get(index).and_then(Option::as_deref), &states)?))
    };
    indexes.iter().map(judge).collect()
}

/// The states of a database.
fn open<'a>(on: &'a Tried, db: &'a str) -> Result<(Box<dyn State + 'a>, Option<FileState>), Error> {
    match on {
        Tried::Files { databases, alt } => {
            let alt = alt.as_deref().filter(|folder| database(folder, db).exists());
            let second = alt.map(|folder| FileState::open(folder, db)).transpose()?;
            Ok((Box::new(FileState::open(databases, db)?), second))
        }
        Tried::Server { queries, connected, runtime } => {
            let connection = connected.to(db)?;
            Ok((Box::new(ServerState { queries, runtime, db, connection }), None))
        }
    }
}

/// Whether an answer gives the rows of one of the gold statements in every state of the database.
fn judge(item: &Item, answer: Option<&str>, states: &[&dyn State]) -> Result<Judged, Error> {
    let given = answer.map(|sql| in_all(states, sql)).transpose()?;
    let mut bad_gold = Vec::new();
    let mut right = answer.is_none() && item.gold_sql.is_none();
    for (field, gold) in item.gold() {
        match (in_all(states, gold)?, &given) {
            (Err(why), _) => bad_gold.push((field, why)),
            (Ok(expected), Some(Ok(given))) => {
                let ordered = orders(gold);
                right |= expected.iter().zip(given).all(|(expected, given)| expected.same(given, ordered));
            }
            (Ok(_), None | Some(Err(_))) => {}
        }
    }
    Ok(Judged { verdict: Verdict { answered: answer.is_some(), right }, bad_gold })
}

/// What a statement gives in each state, or why it gives nothing in one of them.
fn in_all(states: &[&dyn State], sql: &str) -> Result<Result<Vec<Comparable>, String>, Error> {
    let mut given = Vec::new();
    for (place, state) in states.iter().enumerate() {
        match state.run(sql)? {
            Ok(rows) => given.push(rows),
            Err(why) if place > 0 => return Ok(Err(format!("in the second state, {why}"))),
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(given))
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged_here(answer: Option<&str>, gold: &[&str]) -> Judged {
        let folder = tempfile::tempdir().unwrap();
        let tables = "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (2, 'y'), (NULL, 'z');";
        let file = rusqlite::Connection::open(folder.path().join("shop.sqlite")).unwrap();
        file.execute_batch(tables).unwrap();
        let line = serde_json::json!({ "id": "a", "db": "shop", "question": "?", "gold_sql": gold[0],
            "gold_alt": gold[1..] });
        let item: Item = serde_json::from_value(line).unwrap();
        judge(&item, answer, &[&FileState::open(folder.path(), "shop").unwrap()]).unwrap()
    }

    fn is_right_here(sql: &str, gold: &str) -> bool {
        judged_here(Some(sql), &[gold]).verdict.right
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

    #[test]
    fn gold_that_gives_nothing_is_named_whatever_is_answered() {
        for (gold, why) in [
            ("SELECT a FROM nowhere", "no such table"),
            ("DELETE FROM t", "not one SELECT"),
            ("WITH u AS (SELECT 1) DELETE FROM t", "not authorized"),
            ("SELECT a FROM t WHERE a = ?", "placeholders"),
        ] {
            for answer in [None, Some("SELECT a FROM t"), Some("no SQL")] {
                let Judged { verdict, bad_gold } = judged_here(answer, &[gold]);
                assert!(!verdict.right && bad_gold.len() == 1, "{gold}");
                let (field, said) = &bad_gold[0];
                assert!(field == "gold_sql" && said.contains(why), "{gold}: {said}");
            }
            let Judged { verdict, bad_gold } = judged_here(Some("SELECT 1"), &[gold, "SELECT 1", gold]);
            let fields: Vec<&str> = bad_gold.iter().map(|(field, _)| field.as_str()).collect();
            assert!(verdict.right && fields == ["gold_sql", "gold_alt[1]"], "{gold}: {fields:?}");
        }
    }
}
