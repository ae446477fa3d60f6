//! One MySQL or MariaDB database: what can be asked of it, each in a session of a pool.

use std::time::Instant;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::session::{Role, Server, Session};
use super::{catalog, grants, run, sample};
use crate::domain::{AccessMode, DatabaseKind, Schema, Value, ValueIndex};
use crate::sql::database::Backend;
use crate::sql::guard::Effect;
use crate::sql::server::{Output, Pool, Rest, ServerTarget, Work};
use crate::sql::sqlite::SampleBounds;
use crate::sql::{Error, GuardedSql, Limits, Options, Plan, ResultSet, RowStream, ServerInfo, Summary, Written};

/// One MySQL or MariaDB database.
///
/// Sessions for reading and sessions for writing are pooled apart, each up to [`Options::connections`].
#[derive(Debug)]
pub(in crate::sql) struct Mysql {
    options: Options,
    reading: Pool<Server>,
    /// Sessions that may write; none when the connection only reads.
    writing: Option<Pool<Server>>,
}

impl Mysql {
    pub fn new(target: ServerTarget, options: Options) -> Self {
        let pool = |target, role| Pool::new(Server::new(target, options, role), options);
        let writing = (options.access != AccessMode::ReadOnly).then(|| pool(target.clone(), Role::Writer));
        Self { options, reading: pool(target, Role::Reader), writing }
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
    if sql.dialect() == DatabaseKind::Mysql {
        return Ok(());
    }
    Err(Error::Internal(format!("a {} statement for a MySQL database", sql.dialect().label())))
}

#[async_trait]
impl Backend for Mysql {
    fn kind(&self) -> DatabaseKind {
        DatabaseKind::Mysql
    }

    async fn probe(&self) -> Result<ServerInfo, Error> {
        let access = self.options.access;
        self.own(move |session| grants::probe(session, access).boxed()).await
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
        // A session that only reads does not even prepare a statement that writes.
        let pool = match sql.effect() {
            Effect::Read => &self.reading,
            Effect::Write | Effect::Ddl => self.writing.as_ref().ok_or(Error::NotWritable)?,
        };
        let work: Work<Session, Plan> = Box::new(move |session| {
            async move { (run::explain(session, &sql, &parameters).await, Rest::Nothing) }.boxed()
        });
        pool.run(self.options.own_timeout, work).await
    }

    async fn execute(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<ResultSet, Error> {
        of_this_dialect(&sql)?;
        let work: Work<Session, ResultSet> = Box::new(move |session| {
            async move {
                let started = Instant::now();
                let mut output = Output::held(limits);
                let (done, rest) = run::unary(session, sql.text(), &parameters, &mut output).await;
                (done.map(|_row_count| output.whole(started.elapsed())), rest)
            }
            .boxed()
        });
        self.reading.run(limits.timeout, work).await
    }

    async fn stream(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<RowStream, Error> {
        of_this_dialect(&sql)?;
        let work = move |mut output: Output| -> Work<Session, Summary> {
            Box::new(move |session| {
                async move { run::stream(session, sql.text(), &parameters, &mut output).await }.boxed()
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
                let (done, rest) = run::write(session, sql.text(), &parameters, &mut output).await;
                let written =
                    done.map(|affected_rows| Written { affected_rows, returned: output.whole(started.elapsed()) });
                (written, rest)
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
