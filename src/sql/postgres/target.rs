//! What is asked of a PostgreSQL database, and who does it.

use async_trait::async_trait;

use super::session::{Session, Sessions};
use super::{catalog, run, sample};
use crate::domain::{AccessMode, DatabaseKind, Schema, Value, ValueIndex};
use crate::sql::output::Output;
use crate::sql::server::{OnServer, Rest, ServerTarget, System};
use crate::sql::sqlite::SampleBounds;
use crate::sql::{Error, GuardedSql, Options, ServerInfo};

/// One PostgreSQL database.
pub(in crate::sql) type Postgres = OnServer<Sessions>;

#[async_trait]
impl System for Sessions {
    const KIND: DatabaseKind = DatabaseKind::Postgresql;

    fn new(server: ServerTarget, options: Options, writes: bool) -> Self {
        Self { server, options, writes }
    }

    async fn probe(session: &mut Session, access: AccessMode) -> Result<ServerInfo, Error> {
        catalog::server_info(session, access == AccessMode::ReadOnly).await
    }

    async fn schema(session: &mut Session) -> Result<Schema, Error> {
        catalog::schema(session).await
    }

    async fn values(session: &mut Session, schema: &Schema, bounds: SampleBounds) -> Result<ValueIndex, Error> {
        sample::values(session, schema, bounds).await
    }

    async fn explain(session: &mut Session, sql: &GuardedSql, parameters: &[Value]) -> Result<String, Error> {
        run::explain(session, sql, parameters).await
    }

    async fn read(
        session: &mut Session,
        sql: &GuardedSql,
        parameters: &[Value],
        output: &mut Output,
    ) -> (Result<(), Error>, Rest) {
        run::read(session, sql, parameters, output).await
    }

    async fn stream(
        session: &mut Session,
        sql: &GuardedSql,
        parameters: &[Value],
        output: &mut Output,
    ) -> (Result<(), Error>, Rest) {
        match run::read(session, sql, parameters, output).await {
            (Ok(()), rest) => (output.flush().await, rest),
            failed => failed,
        }
    }

    async fn write(
        session: &mut Session,
        sql: &GuardedSql,
        parameters: &[Value],
        output: &mut Output,
    ) -> (Result<u64, Error>, Rest) {
        run::write(session, sql, parameters, output).await
    }
}
