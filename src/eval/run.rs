//! Reads the questions of a suite with the built-in engine, without workflows around it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::civil::Date;

use super::spread::spread;
use super::suite::{Item, Suite, database};
use crate::domain::outputs::Usage;
use crate::domain::{Facts, Failure};
use crate::engines::builtin::{Lexicon, interpret};
use crate::sql::{self, SampleBounds, sqlite};

/// How to ask.
#[derive(Debug, Clone)]
pub struct Options {
    /// Databases, or workflows, beside each other; at least 1.
    pub jobs: usize,
    /// The day that "last month" is counted from.
    pub today: Date,
    /// Whether the evidence of a question is part of it.
    pub evidence: bool,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Questions that are done.
    pub done: usize,
    /// Questions of the suite.
    pub total: usize,
    /// Of those that are done: answered, or right, or whatever is looked for.
    pub answered: usize,
}

/// What came of one question.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// The statement; `None` is an abstention, or a failure.
    pub sql: Option<String>,
    /// What it took of a model.
    pub usage: Usage,
    /// From asking to the answer.
    pub time: Duration,
    /// Why there is no statement, where a workflow said so.
    pub failure: Option<Failure>,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A line of a file does not say what it should.
    #[error("{path}, line {line}: {message}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with which field, and what would be right.
        message: String,
    },
    /// The URL of a server does not fit the suite.
    #[error("--database-url: {0}")]
    Url(String),
    /// A database cannot be opened or read.
    #[error("database {db}: {source}")]
    Database {
        /// Its name in the suite.
        db: String,
        /// Why.
        source: sql::Error,
    },
    /// A database cannot be asked about.
    #[error("database {db}: {failure}")]
    Connection {
        /// Its name in the suite.
        db: String,
        /// Why.
        failure: Failure,
    },
}

/// Reads every question of the suite against its database, `<db>.sqlite` in a folder, which is opened read-only; answers
/// are in the suite's order.
///
/// `on_progress` is called from this thread after each database.
pub fn run(
    suite: &Suite,
    databases: &Path,
    options: &Options,
    mut on_progress: impl FnMut(Progress),
) -> Result<Vec<Answer>, Error> {
    let items = &suite.items;
    let work: Vec<(&str, Vec<usize>)> = suite.by_database().into_iter().collect();
    let mut found = vec![Answer::default(); items.len()];
    let mut progress = Progress { done: 0, total: items.len(), answered: 0 };
    let read = |(db, indexes): &(&str, Vec<usize>)| answer(databases, options, db, indexes, items);
    spread(&work, options.jobs, read, |answers| {
        for (index, answer) in answers {
            progress.done += 1;
            progress.answered += usize::from(answer.sql.is_some());
            found[index] = answer;
        }
        on_progress(progress);
    })?;
    Ok(found)
}

/// The statements for the questions of one database.
fn answer(
    databases: &Path,
    options: &Options,
    db: &str,
    indexes: &[usize],
    items: &[Item],
) -> Result<Vec<(usize, Answer)>, Error> {
    let facts = facts(databases, db, options.today)?;
    let lexicon = Lexicon::new(Arc::new(facts));
    let read = |index: &usize| {
        let started = Instant::now();
        let readings = interpret(&asked(&items[*index], options.evidence), &lexicon).ok();
        let sql = readings.and_then(|readings| readings.into_iter().next()).map(|reading| reading.sql);
        (*index, Answer { sql, time: started.elapsed(), ..Answer::default() })
    };
    Ok(indexes.iter().map(read).collect())
}

/// The question as it is asked.
pub(super) fn asked(item: &Item, evidence: bool) -> String {
    match item.evidence.as_deref().map(str::trim) {
        Some(hint) if evidence && !hint.is_empty() => format!("{} ({hint})", item.question),
        _ => item.question.clone(),
    }
}

/// What is known of one database.
pub(super) fn facts(folder: &Path, db: &str, today: Date) -> Result<Facts, Error> {
    let failed = |source| Error::Database { db: db.to_owned(), source };
    let connection = sqlite::open(&database(folder, db), Duration::from_secs(1)).map_err(failed)?;
    let schema = sqlite::schema(&connection).map_err(failed)?;
    let values = sqlite::values(&connection, &schema, SampleBounds::default()).map_err(failed)?;
    Ok(Facts::new(Arc::new(schema), Arc::new(values), today))
}
