//! Results of statements: bounded, whole or in batches.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::Error;
use super::sqlite::StopOnDrop;
use crate::domain::{ResultColumn, Row};

/// Bounds of one statement's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most rows.
    pub max_rows: u64,
    /// Most bytes of all rows together, as [`crate::domain::Value::size_bytes`] counts them.
    pub max_bytes: u64,
    /// Most bytes of one cell; a larger one is an error, since cutting at a row is impossible.
    pub max_cell_bytes: usize,
    /// Longest run, from sending the statement to the last row read.
    pub timeout: Duration,
}

impl Default for Limits {
    /// What a unary result may hold at most, and 30 s.
    fn default() -> Self {
        Self { max_rows: 10_000, max_bytes: 3 << 20, max_cell_bytes: 1 << 20, timeout: Duration::from_secs(30) }
    }
}

/// Why a result holds fewer rows than the statement has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncation {
    /// The row limit.
    Rows,
    /// The byte limit.
    Bytes,
}

/// A result held whole, within its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultSet {
    /// Columns, also when there are no rows.
    pub columns: Vec<ResultColumn>,
    /// Rows in the order the database gave them.
    pub rows: Vec<Row>,
    /// Set when there was more.
    pub truncated: Option<Truncation>,
    /// From sending the statement to having the last row read.
    pub execution_time: Duration,
}

/// How a streamed result ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Rows sent.
    pub row_count: u64,
    /// Bytes of those rows.
    pub size_bytes: u64,
    /// Set when there was more.
    pub truncated: Option<Truncation>,
    /// From sending the statement to having handed over the last row, the reader's own time included.
    pub execution_time: Duration,
}

/// A result in batches of about 256 KiB, read from the database only as fast as they are taken.
///
/// Dropping it stops the statement.
#[derive(Debug)]
pub struct RowStream {
    /// Columns of every row.
    pub columns: Vec<ResultColumn>,
    pub(super) batches: mpsc::Receiver<Vec<Row>>,
    pub(super) outcome: oneshot::Receiver<Result<Summary, Error>>,
    pub(super) stop: StopOnDrop,
}

impl RowStream {
    /// The next batch; `None` after the last one, when [`Self::finish`] says how it ended.
    pub async fn next(&mut self) -> Option<Vec<Row>> {
        self.batches.recv().await
    }

    /// How the result ended. Without having read to the end it stops the statement and is [`Error::Interrupted`].
    pub async fn finish(mut self) -> Result<Summary, Error> {
        self.batches.close();
        let outcome = self.outcome.await;
        drop(self.stop);
        outcome.unwrap_or_else(|_| Err(Error::Internal("the reader ended without a word".to_owned())))
    }
}
