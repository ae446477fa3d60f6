//! MySQL and MariaDB targets, through sqlx.

use async_trait::async_trait;

use super::database::Backend;
use super::server::ServerTarget;
use super::sqlite::SampleBounds;
use super::{Error, GuardedSql, Limits, Options, ResultSet, RowStream, ServerInfo, Written};
use crate::domain::{DatabaseKind, Schema, Value, ValueIndex};

/// One MySQL or MariaDB database.
#[derive(Debug)]
pub(super) struct Mysql {
    server: ServerTarget,
    options: Options,
}

impl Mysql {
    pub fn new(server: ServerTarget, options: Options) -> Self {
        Self { server, options }
    }

    fn not_there<T>(&self) -> Result<T, Error> {
        let Self { server, options } = self;
        Err(Error::Protocol(format!("not there yet: {server:?} {options:?}")))
    }
}

#[async_trait]
impl Backend for Mysql {
    fn kind(&self) -> DatabaseKind {
        DatabaseKind::Mysql
    }

    async fn probe(&self) -> Result<ServerInfo, Error> {
        self.not_there()
    }

    async fn schema(&self) -> Result<Schema, Error> {
        self.not_there()
    }

    async fn values(&self, _schema: Schema, _bounds: SampleBounds) -> Result<ValueIndex, Error> {
        self.not_there()
    }

    async fn explain(&self, _sql: GuardedSql, _parameters: Vec<Value>) -> Result<String, Error> {
        self.not_there()
    }

    async fn execute(&self, _sql: GuardedSql, _parameters: Vec<Value>, _limits: Limits) -> Result<ResultSet, Error> {
        self.not_there()
    }

    async fn stream(&self, _sql: GuardedSql, _parameters: Vec<Value>, _limits: Limits) -> Result<RowStream, Error> {
        self.not_there()
    }

    async fn write(&self, _sql: GuardedSql, _parameters: Vec<Value>, _limits: Limits) -> Result<Written, Error> {
        self.not_there()
    }

    async fn close(&self) {}
}
