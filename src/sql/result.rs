//! Results of statements: bounded, whole or in batches.

use std::any::Any;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::Error;
use crate::domain::{Batch, Cell, ResultColumn, Row};

/// Bytes of rows that a batch of a stream aims at.
pub(super) const BATCH_BYTES: u64 = 256 << 10;
/// Batches that wait for the reader of a stream.
pub(super) const WAITING_BATCHES: usize = 2;

/// Bounds of one statement's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most rows.
    pub max_rows: u64,
    /// Most bytes of all rows together, as they take on the wire.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// What a statement that writes did.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Rows that it inserted, changed or removed, as the database counts them.
    pub affected_rows: u64,
    /// What its RETURNING gives; no columns when it has none.
    pub returned: ResultSet,
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
    pub(super) batches: mpsc::Receiver<Batch>,
    pub(super) outcome: oneshot::Receiver<Result<Summary, Error>>,
    /// Stops the statement when it is dropped; what it is, the database system knows.
    pub(super) stop: Box<dyn Any + Send + Sync>,
}

impl RowStream {
    /// The next batch; `None` after the last one, when [`Self::finish`] says how it ended.
    pub async fn next(&mut self) -> Option<Batch> {
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

/// Counts rows against limits.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    pub row_count: u64,
    pub size_bytes: u64,
    pub truncated: Option<Truncation>,
}

impl Meter {
    pub fn new(limits: Limits) -> Self {
        Self { limits, row_count: 0, size_bytes: 0, truncated: None }
    }

    /// Whether the next row would be one too many; then there is no need to read it.
    pub fn is_full(&mut self) -> bool {
        if self.row_count == self.limits.max_rows {
            self.truncated = Some(Truncation::Rows);
        }
        self.truncated.is_some()
    }

    /// Rows that may still come.
    pub fn rows_left(&self) -> u64 {
        self.limits.max_rows - self.row_count
    }

    /// An error when a cell of this size is too large for any result. `column` names it.
    pub fn cell(&self, size_bytes: usize, column: impl FnOnce() -> String) -> Result<(), Error> {
        let limit_bytes = self.limits.max_cell_bytes;
        if size_bytes <= limit_bytes {
            return Ok(());
        }
        Err(Error::ResultTooLarge { column: column(), size_bytes, limit_bytes })
    }

    /// Ends the open row of the batch and counts it; drops it and gives `false` when it does not fit any more. A first
    /// row that does not fit is an error, since cutting at a row is impossible.
    pub fn row(&mut self, batch: &mut Batch, column: impl FnOnce(usize) -> String) -> Result<bool, Error> {
        let size_bytes = batch.open_row_bytes();
        if self.size_bytes + size_bytes as u64 <= self.limits.max_bytes {
            self.row_count += 1;
            self.size_bytes += size_bytes as u64;
            batch.end_row();
            return Ok(true);
        }
        let sizes = batch.open_row().map(Cell::size_bytes).enumerate();
        let (largest, _) = sizes.max_by_key(|(_, size)| *size).unwrap_or_default();
        batch.drop_row();
        if self.row_count > 0 {
            self.truncated = Some(Truncation::Bytes);
            return Ok(false);
        }
        let limit_bytes = usize::try_from(self.limits.max_bytes).unwrap_or(usize::MAX);
        Err(Error::ResultTooLarge { column: column(largest), size_bytes, limit_bytes })
    }

    pub fn summary(&self, execution_time: Duration) -> Summary {
        let Self { limits: _, row_count, size_bytes, truncated } = *self;
        Summary { row_count, size_bytes, truncated, execution_time }
    }
}
