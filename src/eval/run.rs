//! Runs the built-in engine over a suite.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use jiff::civil::Date;

use super::suite::{self, Item, Prediction};
use crate::domain::Facts;
use crate::engines::builtin::{Lexicon, interpret};
use crate::sql::{self, SampleBounds, sqlite};

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The suite: JSON Lines with `id`, `db` and `question`.
    pub suite: PathBuf,
    /// Folder of the databases, `<db>.sqlite` each; they are opened read-only.
    pub databases: PathBuf,
    /// Where predictions go: JSON Lines with `id` and `sql`, null for an abstention.
    pub predictions: PathBuf,
    /// Databases read beside each other; at least 1.
    pub jobs: usize,
    /// The day that "last month" is counted from.
    pub today: Date,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Questions read.
    pub done: usize,
    /// Questions of the suite.
    pub total: usize,
    /// Questions answered so far.
    pub answered: usize,
}

/// Figures of a finished run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Questions of the suite.
    pub total: usize,
    /// Questions with a statement.
    pub answered: usize,
    /// Questions without.
    pub abstained: usize,
    /// Time for everything, opening databases included.
    pub elapsed: Duration,
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
    /// A line of the suite is not a question.
    #[error("line {line} of the suite is not a question: {message}")]
    Suite {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A database cannot be opened or read.
    #[error("database {db}: {source}")]
    Database {
        /// Its name in the suite.
        db: String,
        /// Why.
        source: sql::Error,
    },
}

/// Reads every question of the suite against its database and writes the predictions, in the suite's order.
///
/// `on_progress` is called from this thread after each database.
pub fn run(options: &Options, mut on_progress: impl FnMut(Progress)) -> Result<Report, Error> {
    let started = Instant::now();
    let file = |path: &PathBuf| {
        let path = path.clone();
        move |source| Error::File { path, source }
    };
    let input = File::open(&options.suite).map_err(file(&options.suite))?;
    let items = suite::read(BufReader::new(input))?;
    let mut by_database: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        by_database.entry(&item.db).or_default().push(index);
    }
    let work: Vec<(&str, Vec<usize>)> = by_database.into_iter().collect();
    let mut predictions: Vec<Prediction> =
        items.iter().map(|item| Prediction { id: item.id.clone(), sql: None }).collect();
    let mut progress = Progress { done: 0, total: items.len(), answered: 0 };
    let next = AtomicUsize::new(0);
    let outcome = std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..options.jobs.max(1) {
            let (sender, work, items, next) = (sender.clone(), &work, &items, &next);
            scope.spawn(move || {
                while let Some((db, indexes)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if sender.send(answer(options, db, indexes, items)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for answers in receiver {
            for (index, sql) in answers? {
                progress.done += 1;
                progress.answered += usize::from(sql.is_some());
                predictions[index].sql = sql;
            }
            on_progress(progress);
        }
        Ok(())
    });
    outcome?;
    let output = File::create(&options.predictions).map_err(file(&options.predictions))?;
    suite::write(BufWriter::new(output), &predictions).map_err(file(&options.predictions))?;
    let (total, answered) = (progress.total, progress.answered);
    Ok(Report { total, answered, abstained: total - answered, elapsed: started.elapsed() })
}

/// The statements for the questions of one database.
fn answer(
    options: &Options,
    db: &str,
    indexes: &[usize],
    items: &[Item],
) -> Result<Vec<(usize, Option<String>)>, Error> {
    let facts = facts(&options.databases, db, options.today)?;
    let lexicon = Lexicon::new(Arc::new(facts));
    let read = |index: &usize| {
        let readings = interpret(&items[*index].question, &lexicon).ok();
        (*index, readings.and_then(|readings| readings.into_iter().next()).map(|reading| reading.sql))
    };
    Ok(indexes.iter().map(read).collect())
}

/// What is known of one database.
pub(super) fn facts(folder: &Path, db: &str, today: Date) -> Result<Facts, Error> {
    let failed = |source| Error::Database { db: db.to_owned(), source };
    let path = folder.join(format!("{db}.sqlite"));
    // Opening follows no links; the folder that a person names may well be one.
    let path = path.canonicalize().unwrap_or(path);
    let connection = sqlite::open(&path, Duration::from_secs(1)).map_err(failed)?;
    let schema = sqlite::schema(&connection).map_err(failed)?;
    let values = sqlite::values(&connection, &schema, SampleBounds::default()).map_err(failed)?;
    Ok(Facts::new(Arc::new(schema), Arc::new(values), today))
}
