//! What is asked of a MySQL or MariaDB database, and who does it.

use async_trait::async_trait;

use super::session::{Role, Server, Session};
use super::{catalog, grants, run, sample};
use crate::domain::{AccessMode, DatabaseKind, Schema, Value, ValueIndex};
use crate::sql::output::Output;
use crate::sql::server::{OnServer, Rest, ServerTarget, System};
use crate::sql::sqlite::SampleBounds;
use crate::sql::{Error, GuardedSql, Options, ServerInfo};

/// One MySQL or MariaDB database.
pub(in crate::sql) type Mysql = OnServer<Server>;

#[async_trait]
impl System for Server {
    const KIND: DatabaseKind = DatabaseKind::Mysql;

    fn new(server: ServerTarget, options: Options, writes: bool) -> Self {
        Self::new(server, options, if writes { Role::Writer } else { Role::Reader })
    }

    async fn probe(session: &mut Session, access: AccessMode) -> Result<ServerInfo, Error> {
        grants::probe(session, access).await
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
        let (done, rest) = run::unary(session, sql.text(), parameters, output).await;
        (done.map(drop), rest)
    }

    async fn stream(
        session: &mut Session,
        sql: &GuardedSql,
        parameters: &[Value],
        output: &mut Output,
    ) -> (Result<(), Error>, Rest) {
        run::stream(session, sql.text(), parameters, output).await
    }

    async fn write(
        session: &mut Session,
        sql: &GuardedSql,
        parameters: &[Value],
        output: &mut Output,
    ) -> (Result<u64, Error>, Rest) {
        run::write(session, sql.text(), parameters, output).await
    }
}
