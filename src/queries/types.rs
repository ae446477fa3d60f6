//! What callers hand in and get back.

use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use serde::{Deserialize, Serialize};

use crate::domain::outputs::Check;
use crate::domain::{Batch, DatabaseKind, Failure, RequestKey, ResultColumn, Row, Value};
pub use crate::sql::{Plan, Summary as StreamSummary, Truncation};

/// One statement and the values of its placeholders.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// One statement in the connection's dialect.
    pub sql: String,
    /// Values bound in order.
    pub parameters: Vec<Value>,
}

/// What a caller asks for; `None` takes the default, and more than is allowed is lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestedLimits {
    /// Most rows.
    pub max_rows: Option<u32>,
    /// Most bytes of rows.
    pub max_bytes: Option<u32>,
    /// Longest run.
    pub timeout: Option<Duration>,
    /// When the caller stops waiting; bounds the run, whatever else does.
    pub deadline: Option<Duration>,
}

/// The server's bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Rows of a unary result when the caller names no number.
    pub default_rows: u32,
    /// Most rows of a unary result.
    pub max_rows: u32,
    /// Most bytes of a unary result.
    pub max_bytes: u32,
    /// Most bytes of one cell.
    pub max_cell_bytes: u32,
    /// Most rows of a stream.
    pub stream_max_rows: u32,
    /// Most bytes of a stream.
    pub stream_max_bytes: u32,
    /// Longest run of a statement when the caller names no time.
    pub default_timeout: Duration,
    /// Longest run of a statement.
    pub max_timeout: Duration,
    /// Most placeholders of a statement.
    pub max_parameters: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            default_rows: 1_000,
            max_rows: 10_000,
            max_bytes: 3 << 20,
            max_cell_bytes: 1 << 20,
            stream_max_rows: 1_000_000,
            stream_max_bytes: 1 << 30,
            default_timeout: Duration::from_secs(30),
            max_timeout: Duration::from_mins(10),
            max_parameters: 1_000,
        }
    }
}

/// What a call means to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// To read; a statement that writes is refused.
    Read,
    /// To write, if the connection admits it.
    Write {
        /// Makes repeats safe: the same request runs once.
        request: Option<RequestKey>,
    },
}

/// A result held whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryResult {
    /// Columns, also when there are no rows.
    pub columns: Vec<ResultColumn>,
    /// Rows in the order the database gave them.
    pub rows: Vec<Row>,
    /// Rows in this result.
    pub row_count: u64,
    /// Set when there was more than is returned.
    pub truncated: Option<Truncation>,
    /// From sending the statement to having the last row read.
    pub execution_time: Duration,
    /// Rows that a statement that writes inserted, changed or removed; `None` when it read.
    pub affected_rows: Option<u64>,
}

/// A result in batches. Dropping it stops the statement.
pub struct QueryStream {
    /// What kind of database they come from.
    pub database: DatabaseKind,
    /// Columns of every row.
    pub columns: Vec<ResultColumn>,
    /// Batches of about 256 KiB, then exactly one summary, or one failure.
    pub items: Pin<Box<dyn Stream<Item = Result<StreamItem, Failure>> + Send>>,
}

impl std::fmt::Debug for QueryStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("QueryStream").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// A piece of a streamed result.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamItem {
    /// Some rows.
    Rows(Batch),
    /// How it ended; always last.
    Summary(StreamSummary),
}

/// What guard and planner think of a statement. Nothing ran.
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    /// Parse, read-only, schema and planner, each with its verdict.
    pub checks: Vec<Check>,
    /// What running it would fail with; `None` when it would run.
    pub refusal: Option<Failure>,
    /// Tables it reads or writes, as `schema.table`; empty when the guard refuses it.
    pub tables: Vec<String>,
    /// What the planner says; empty when it was not asked or refuses the statement.
    pub plan: Plan,
}
