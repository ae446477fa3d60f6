//! One target database, whatever system it is.

use std::path::PathBuf;
use std::time::Duration;

use super::sqlite::{Pool, SampleBounds};
use super::{Error, GuardedSql, Limits, ResultSet, RowStream};
use crate::domain::{DatabaseKind, Schema, Value, ValueIndex};

/// Where a database is. PostgreSQL and MySQL will be further variants.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A SQLite file.
    Sqlite {
        /// Its canonical path, already checked to lie in an allowed folder.
        path: PathBuf,
    },
}

/// Bounds of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Connections, and so statements at the same time.
    pub connections: usize,
    /// Longest wait for a free connection, then [`Error::Busy`].
    pub acquire_timeout: Duration,
    /// Longest wait for another process's lock, then [`Error::Busy`].
    pub lock_timeout: Duration,
    /// Longest run of Pulse's own statements: catalog, sampling, plans.
    pub own_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: 4,
            acquire_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            own_timeout: Duration::from_secs(30),
        }
    }
}

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// Version of the database system, such as `3.51.3`.
    pub version: String,
}

/// One target database. Cheap to clone; all clones share the connections, which are opened when first needed.
///
/// Dropping the future of any method stops the statement it runs.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
}

impl Database {
    /// A handle; nothing is opened yet.
    #[must_use]
    pub fn new(target: Target, options: Options) -> Self {
        let Target::Sqlite { path } = target;
        Self { pool: Pool::new(path, options) }
    }

    /// The dialect it speaks.
    #[must_use]
    pub fn kind(&self) -> DatabaseKind {
        DatabaseKind::Sqlite
    }

    /// Opens the database and reads its version.
    pub async fn probe(&self) -> Result<ServerInfo, Error> {
        self.pool.probe().await
    }

    /// Tables, columns and keys.
    pub async fn schema(&self) -> Result<Schema, Error> {
        self.pool.schema().await
    }

    /// Distinct text values, within bounds.
    pub async fn values(&self, schema: &Schema, bounds: SampleBounds) -> Result<ValueIndex, Error> {
        self.pool.values(schema.clone(), bounds).await
    }

    /// The planner's plan as text; empty for statements that have none. An error is the database's refusal of the
    /// statement or of its parameters. Nothing runs.
    pub async fn explain(&self, sql: &GuardedSql, parameters: &[Value]) -> Result<String, Error> {
        self.pool.explain(sql.clone(), parameters.to_vec()).await
    }

    /// Runs a statement and holds its result, never more than the limits.
    pub async fn execute(&self, sql: &GuardedSql, parameters: &[Value], limits: Limits) -> Result<ResultSet, Error> {
        self.pool.execute(sql.clone(), parameters.to_vec(), limits).await
    }

    /// Runs a statement and hands over its rows in batches.
    pub async fn stream(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<RowStream, Error> {
        self.pool.stream(sql, parameters, limits).await
    }

    /// Refuses new statements, waits for the running ones, and closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
