//! One PostgreSQL database: what can be asked of it, each in a session of a pool.

use std::time::Instant;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::session::{Session, Sessions};
use super::{catalog, run, sample};
use crate::domain::{AccessMode, DatabaseKind, Schema, Value, ValueIndex};
use crate::sql::database::Backend;
use crate::sql::server::{Output, Pool, Rest, ServerTarget, Work};
use crate::sql::sqlite::SampleBounds;
use crate::sql::{Error, GuardedSql, Limits, Options, Plan, ResultSet, RowStream, ServerInfo, Written};

/// One PostgreSQL database.
#[derive(Debug)]
pub(in crate::sql) struct Postgres {
    options: Options,
    reading: Pool<Sessions>,
    /// Sessions that may write; none when the connection only reads.
    writing: Option<Pool<Sessions>>,
}

impl Postgres {
    pub fn new(server: &ServerTarget, options: Options) -> Self {
        let pool = |writes| Pool::new(Sessions { server: server.clone(), options, writes }, options);
        let writing = (options.access != AccessMode::ReadOnly).then(|| pool(true));
        Self { options, reading: pool(false), writing }
    }

    /// Does something of Pulse's own.
    async fn own<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
    {
        let work: Work<Session, T> = Box::new(move |session| work(session).map(|done| (done, Rest::Nothing)).boxed());
        self.reading.run(self.options.own_timeout, work).await
    }
}

/// The statement must be of this dialect: the guard of another would have read it otherwise.
fn of_this_dialect(sql: &GuardedSql) -> Result<(), Error> {
    if sql.dialect() == DatabaseKind::Postgresql {
        return Ok(());
    }
    Err(Error::Internal(format!("a {} statement for a PostgreSQL database", sql.dialect().label())))
}

/// A function of the user's may have changed the session, be it only for the next statement.
fn doubted(rest: Rest, sql: &GuardedSql) -> Rest {
    match rest {
        Rest::Nothing if sql.mentions_allowed_functions() => Rest::Settings,
        rest => rest,
    }
}

#[async_trait]
impl Backend for Postgres {
    fn kind(&self) -> DatabaseKind {
        DatabaseKind::Postgresql
    }

    async fn probe(&self) -> Result<ServerInfo, Error> {
        let reads_only = self.options.access == AccessMode::ReadOnly;
        self.own(move |session| catalog::server_info(session, reads_only).boxed()).await
    }

    async fn schema(&self) -> Result<Schema, Error> {
        self.own(|session| catalog::schema(session).boxed()).await
    }

    async fn values(&self, schema: Schema, bounds: SampleBounds) -> Result<ValueIndex, Error> {
        // The bounds end the collecting early and keep what there is; the limit is for a single endless read.
        let longest = bounds.time.saturating_add(self.options.own_timeout);
        let work: Work<Session, ValueIndex> = Box::new(move |session| {
            async move { (sample::values(session, &schema, bounds).await, Rest::Nothing) }.boxed()
        });
        self.reading.run(longest, work).await
    }

    async fn explain(&self, sql: GuardedSql, parameters: Vec<Value>) -> Result<Plan, Error> {
        of_this_dialect(&sql)?;
        self.own(move |session| async move { run::explain(session, &sql, &parameters).await }.boxed()).await
    }

    async fn execute(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<ResultSet, Error> {
        of_this_dialect(&sql)?;
        let work: Work<Session, ResultSet> = Box::new(move |session| {
            async move {
                let started = Instant::now();
                let mut output = Output::held(limits);
                let (done, rest) = run::read(session, &sql, &parameters, &mut output).await;
                let rest = doubted(rest, &sql);
                (done.map(|()| output.whole(started.elapsed())), rest)
            }
            .boxed()
        });
        self.reading.run(limits.timeout, work).await
    }

    async fn stream(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<RowStream, Error> {
        of_this_dialect(&sql)?;
        let work = move |mut output: Output| -> Work<Session, _> {
            Box::new(move |session| {
                async move {
                    let (done, rest) = run::stream(session, &sql, &parameters, &mut output).await;
                    (done, doubted(rest, &sql))
                }
                .boxed()
            })
        };
        self.reading.stream(limits, work).await
    }

    async fn write(
        &self,
        sql: GuardedSql,
        parameters: Vec<Value>,
        limits: Limits,
        stop: CancellationToken,
    ) -> Result<Written, Error> {
        of_this_dialect(&sql)?;
        let writing = self.writing.as_ref().ok_or(Error::NotWritable)?;
        let work: Work<Session, Written> = Box::new(move |session| {
            async move {
                let started = Instant::now();
                let mut output = Output::held(limits);
                let (done, rest) = run::write(session, &sql, &parameters, &mut output).await;
                let written =
                    done.map(|affected_rows| Written { affected_rows, returned: output.whole(started.elapsed()) });
                (written, doubted(rest, &sql))
            }
            .boxed()
        });
        writing.finish(limits.timeout, &stop, work).await
    }

    async fn close(&self) {
        self.reading.close().await;
        if let Some(writing) = &self.writing {
            writing.close().await;
        }
    }
}
