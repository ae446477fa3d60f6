//! One target database, whatever system it is.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::server::ServerTarget;
use super::sqlite::SampleBounds;
use super::{Error, GuardedSql, Limits, Plan, ResultSet, RowStream, Written, mysql, postgres, routines, sqlite};
use crate::domain::{AccessMode, DatabaseKind, Schema, Value, ValueIndex};

/// Where a database is.
#[derive(Debug, Clone)]
pub enum Target {
    /// A SQLite file.
    Sqlite {
        /// Its canonical path, already checked to lie in an allowed folder.
        path: PathBuf,
    },
    /// A PostgreSQL server.
    Postgresql(ServerTarget),
    /// A MySQL or MariaDB server.
    Mysql(ServerTarget),
}

/// Bounds of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What the target may be asked to do. Statements that write use sessions of their own.
    pub access: AccessMode,
    /// Connections, and so statements at the same time.
    pub connections: usize,
    /// Longest wait for a free connection, then [`Error::Busy`].
    pub acquire_timeout: Duration,
    /// Longest wait for a server to accept a new connection and to log in.
    pub connect_timeout: Duration,
    /// Longest wait for a lock that another session holds.
    pub lock_timeout: Duration,
    /// Longest run of Pulse's own statements: catalog, sampling, plans.
    pub own_timeout: Duration,
    /// Longest run of any statement: the server is told to stop it then, should Pulse itself be gone.
    pub statement_timeout: Duration,
    /// How long an unused connection stays open.
    pub idle: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            access: AccessMode::ReadOnly,
            connections: 4,
            acquire_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            own_timeout: Duration::from_secs(30),
            statement_timeout: Duration::from_mins(10),
            idle: Duration::from_mins(5),
        }
    }
}

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// Product and version, such as `PostgreSQL 15.18`.
    pub version: String,
    /// What works but should be changed, such as a role that can do more than read.
    pub warnings: Vec<String>,
}

/// What a database system must be able to do. [`Database`] is its only caller.
///
/// Dropping the future of any method stops the statement it runs, in the database too.
#[async_trait]
pub(super) trait Backend: fmt::Debug + Send + Sync {
    /// The dialect it speaks.
    fn kind(&self) -> DatabaseKind;
    /// Opens the database and reads its version.
    async fn probe(&self) -> Result<ServerInfo, Error>;
    /// Tables, columns and keys.
    async fn schema(&self) -> Result<Schema, Error>;
    /// Distinct text values, within bounds.
    async fn values(&self, schema: Schema, bounds: SampleBounds) -> Result<ValueIndex, Error>;
    /// The planner's plan as text.
    async fn explain(&self, sql: GuardedSql, parameters: Vec<Value>) -> Result<String, Error>;
    /// Runs a statement that reads and holds its result.
    async fn execute(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<ResultSet, Error>;
    /// Runs a statement that reads and hands over its rows.
    async fn stream(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<RowStream, Error>;
    /// Runs a statement that writes.
    async fn write(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<Written, Error>;
    /// Refuses new statements, waits for the running ones, closes all connections.
    async fn close(&self);
}

/// One target database. Cheap to clone; all clones share the connections, which are opened when first needed.
///
/// Dropping the future of any method stops the statement it runs.
#[derive(Debug, Clone)]
pub struct Database {
    backend: Arc<dyn Backend>,
}

impl Database {
    /// A handle; nothing is opened yet.
    #[must_use]
    pub fn new(target: Target, options: Options) -> Self {
        let backend: Arc<dyn Backend> = match target {
            Target::Sqlite { path } => Arc::new(sqlite::Pool::new(&path, options)),
            Target::Postgresql(server) => Arc::new(postgres::Postgres::new(&server, options)),
            Target::Mysql(server) => Arc::new(mysql::Mysql::new(&server, options)),
        };
        Self { backend }
    }

    /// The dialect it speaks.
    #[must_use]
    pub fn kind(&self) -> DatabaseKind {
        self.backend.kind()
    }

    /// Opens the database, reads its version, and says what its user may do beyond reading.
    pub async fn probe(&self) -> Result<ServerInfo, Error> {
        self.backend.probe().await
    }

    /// Tables, columns and keys of every schema that the user may read.
    pub async fn schema(&self) -> Result<Schema, Error> {
        self.backend.schema().await
    }

    /// Distinct text values, within bounds.
    pub async fn values(&self, schema: &Schema, bounds: SampleBounds) -> Result<ValueIndex, Error> {
        self.backend.values(schema.clone(), bounds).await
    }

    /// The planner's plan. An error is the database's refusal of the statement or of its parameters. Nothing runs.
    pub async fn explain(&self, sql: &GuardedSql, parameters: &[Value]) -> Result<Plan, Error> {
        let text = self.backend.explain(sql.clone(), parameters.to_vec()).await?;
        Ok(Plan::read(self.kind(), text))
    }

    /// Those of these functions, named `name` or `schema.name`, that the database does not have or its user may not see.
    pub async fn missing_functions(&self, names: &[String]) -> Result<Vec<String>, Error> {
        routines::missing(self, names).await
    }

    /// Runs a statement that reads and holds its result, never more than the limits.
    pub async fn execute(&self, sql: &GuardedSql, parameters: &[Value], limits: Limits) -> Result<ResultSet, Error> {
        self.backend.execute(sql.clone(), parameters.to_vec(), limits).await
    }

    /// Runs a statement that reads and hands over its rows in batches.
    pub async fn stream(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<RowStream, Error> {
        self.backend.stream(sql, parameters, limits).await
    }

    /// Runs a statement that writes. Whether it may is the caller's to know: the guard minted it for a policy that
    /// admits writes, and [`Options::access`] must admit them too.
    pub async fn write(&self, sql: &GuardedSql, parameters: &[Value], limits: Limits) -> Result<Written, Error> {
        self.backend.write(sql.clone(), parameters.to_vec(), limits).await
    }

    /// Refuses new statements, waits for the running ones, and closes all connections.
    pub async fn close(&self) {
        self.backend.close().await;
    }
}
