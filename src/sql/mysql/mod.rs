//! MySQL and MariaDB targets, through sqlx.
//!
//! Statements of callers go through the binary protocol's prepared statements only, where the server itself sees to it
//! that there is one; Pulse's own go through the text protocol, whose answers are all text. Reads run in sessions that
//! the server holds to reading; writes have sessions of their own, which exist only when the connection admits writes.

mod bind;
mod catalog;
mod cell;
mod error;
mod geometry;
mod grants;
mod run;
mod sample;
mod session;
mod types;

use std::time::Instant;

use async_trait::async_trait;

use self::run::Unwanted;
use self::session::{Role, Server, Session};
use super::database::Backend;
use super::server::{Output, Pool, Rest, ServerTarget, Work};
use super::sqlite::SampleBounds;
use super::{Error, GuardedSql, Limits, Options, ResultSet, RowStream, ServerInfo, Summary, Written};
use crate::domain::{AccessMode, DatabaseKind, Schema, Value, ValueIndex};

/// One MySQL or MariaDB database.
///
/// Sessions for reading and sessions for writing are pooled apart, each up to [`Options::connections`].
#[derive(Debug)]
pub(super) struct Mysql {
    readers: Pool<Server>,
    writers: Option<Pool<Server>>,
    options: Options,
}

impl Mysql {
    pub fn new(target: ServerTarget, options: Options) -> Self {
        let writers = (options.access != AccessMode::ReadOnly)
            .then(|| Pool::new(Server::new(target.clone(), options, Role::Writer), options));
        let readers = Pool::new(Server::new(target, options, Role::Reader), options);
        Self { readers, writers, options }
    }
}

#[async_trait]
impl Backend for Mysql {
    fn kind(&self) -> DatabaseKind {
        DatabaseKind::Mysql
    }

    async fn probe(&self) -> Result<ServerInfo, Error> {
        let access = self.options.access;
        let work: Work<Session, ServerInfo> =
            Box::new(move |session| Box::pin(async move { (grants::probe(session, access).await, Rest::Nothing) }));
        self.readers.run(self.options.own_timeout, work).await
    }

    async fn schema(&self) -> Result<Schema, Error> {
        let work: Work<Session, Schema> =
            Box::new(|session| Box::pin(async move { (catalog::schema(session).await, Rest::Nothing) }));
        self.readers.run(self.options.own_timeout, work).await
    }

    async fn values(&self, schema: Schema, bounds: SampleBounds) -> Result<ValueIndex, Error> {
        let work: Work<Session, ValueIndex> = Box::new(move |session| {
            Box::pin(async move { (sample::values(session, &schema, bounds).await, Rest::Nothing) })
        });
        self.readers.run(self.options.own_timeout, work).await
    }

    async fn explain(&self, sql: GuardedSql, parameters: Vec<Value>) -> Result<String, Error> {
        checked(&sql)?;
        let work: Work<Session, String> = Box::new(move |session| {
            Box::pin(async move { (run::explain(session, &sql, &parameters).await, Rest::Nothing) })
        });
        self.readers.run(self.options.own_timeout, work).await
    }

    async fn execute(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<ResultSet, Error> {
        checked(&sql)?;
        let work: Work<Session, ResultSet> = Box::new(move |session| {
            Box::pin(async move {
                let started = Instant::now();
                let mut output = Output::held(limits);
                let (done, rest) = run::run(session, sql.text(), &parameters, &mut output, Unwanted::Leave).await;
                (done.map(|_affected| output.whole(started.elapsed())), rest)
            })
        });
        self.readers.run(limits.timeout, work).await
    }

    async fn stream(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<RowStream, Error> {
        checked(&sql)?;
        let work = |mut output: Output| -> Work<Session, Summary> {
            Box::new(move |session| {
                Box::pin(async move { run::stream(session, sql.text(), &parameters, &mut output).await })
            })
        };
        self.readers.stream(limits, work).await
    }

    async fn write(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<Written, Error> {
        checked(&sql)?;
        let writers = self.writers.as_ref().ok_or(Error::NotWritable)?;
        let work: Work<Session, Written> = Box::new(move |session| {
            Box::pin(async move { run::write(session, sql.text(), &parameters, limits).await })
        });
        writers.run(limits.timeout, work).await
    }

    async fn close(&self) {
        self.readers.close().await;
        if let Some(writers) = &self.writers {
            writers.close().await;
        }
    }
}

fn checked(sql: &GuardedSql) -> Result<(), Error> {
    match sql.dialect() {
        DatabaseKind::Mysql => Ok(()),
        other => Err(Error::Internal(format!("a {} statement for a MySQL database", other.label()))),
    }
}
