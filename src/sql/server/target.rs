//! One database on a server: what can be asked of it, each in a session of a pool.

use std::time::Instant;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Driver, Pool, Rest, ServerTarget, Work};
use crate::domain::{AccessMode, DatabaseKind, Schema, Value, ValueIndex};
use crate::sql::database::Backend;
use crate::sql::output::Output;
use crate::sql::sqlite::SampleBounds;
use crate::sql::{Error, GuardedSql, Limits, Options, ResultSet, RowStream, ServerInfo, Summary, Written};

/// How one database system does in a session what a target is asked for.
#[async_trait]
pub(in crate::sql) trait System: Driver + Sized {
    /// The dialect it speaks.
    const KIND: DatabaseKind;

    /// Opens sessions of this server, for reading or for writing.
    fn new(server: ServerTarget, options: Options, writes: bool) -> Self;

    /// The server's version, and what its user may do beyond what `access` says.
    async fn probe(session: &mut Self::Session, access: AccessMode) -> Result<ServerInfo, Error>;

    /// Tables, columns and keys.
    async fn schema(session: &mut Self::Session) -> Result<Schema, Error>;

    /// Distinct text values, within bounds.
    async fn values(session: &mut Self::Session, schema: &Schema, bounds: SampleBounds) -> Result<ValueIndex, Error>;

    /// The planner's plan as text.
    async fn explain(session: &mut Self::Session, sql: &GuardedSql, parameters: &[Value]) -> Result<String, Error>;

    /// Runs a statement that reads; its rows go to the output.
    async fn read(
        session: &mut Self::Session,
        sql: &GuardedSql,
        parameters: &[Value],
        output: &mut Output,
    ) -> (Result<(), Error>, Rest);

    /// As [`Self::read`], for a result that somebody takes as it comes: it takes long, and the last batch is handed over.
    async fn stream(
        session: &mut Self::Session,
        sql: &GuardedSql,
        parameters: &[Value],
        output: &mut Output,
    ) -> (Result<(), Error>, Rest);

    /// Runs a statement that writes, and gives the rows it affected.
    async fn write(
        session: &mut Self::Session,
        sql: &GuardedSql,
        parameters: &[Value],
        output: &mut Output,
    ) -> (Result<u64, Error>, Rest);
}

/// One database on a server. Sessions for reading and sessions for writing are pooled apart, each up to
/// [`Options::connections`].
#[derive(Debug)]
pub(in crate::sql) struct OnServer<S: System> {
    options: Options,
    reading: Pool<S>,
    /// Sessions that may write; none when the connection only reads.
    writing: Option<Pool<S>>,
}

impl<S: System> OnServer<S> {
    pub fn new(server: &ServerTarget, options: Options) -> Self {
        let pool = |writes| Pool::new(S::new(server.clone(), options, writes), options);
        let writing = (options.access != AccessMode::ReadOnly).then(|| pool(true));
        Self { options, reading: pool(false), writing }
    }

    /// Does something of Pulse's own.
    async fn own<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a mut S::Session) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
    {
        let work: Work<S::Session, T> =
            Box::new(move |session| work(session).map(|done| (done, Rest::Nothing)).boxed());
        self.reading.run(self.options.own_timeout, work).await
    }
}

/// The statement must be of this dialect: the guard of another would have read it otherwise.
fn of_this_dialect<S: System>(sql: &GuardedSql) -> Result<(), Error> {
    if sql.dialect() == S::KIND {
        return Ok(());
    }
    Err(Error::Internal(format!("a {} statement for a {} database", sql.dialect().label(), S::KIND.label())))
}

/// A function of the user's may have changed the session, be it only for the next statement.
fn doubted(rest: Rest, sql: &GuardedSql) -> Rest {
    match rest {
        Rest::Nothing if sql.mentions_allowed_functions() => Rest::Settings,
        rest => rest,
    }
}

#[async_trait]
impl<S: System> Backend for OnServer<S> {
    fn kind(&self) -> DatabaseKind {
        S::KIND
    }

    async fn probe(&self) -> Result<ServerInfo, Error> {
        let access = self.options.access;
        self.own(move |session| S::probe(session, access)).await
    }

    async fn schema(&self) -> Result<Schema, Error> {
        self.own(|session| S::schema(session)).await
    }

    async fn values(&self, schema: Schema, bounds: SampleBounds) -> Result<ValueIndex, Error> {
        // The bounds end the collecting early and keep what there is; the limit is for a single endless read.
        let longest = bounds.time.saturating_add(self.options.own_timeout);
        let work: Work<S::Session, ValueIndex> =
            Box::new(move |session| async move { (S::values(session, &schema, bounds).await, Rest::Nothing) }.boxed());
        self.reading.run(longest, work).await
    }

    async fn explain(&self, sql: GuardedSql, parameters: Vec<Value>) -> Result<String, Error> {
        of_this_dialect::<S>(&sql)?;
        self.own(move |session| async move { S::explain(session, &sql, &parameters).await }.boxed()).await
    }

    async fn execute(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<ResultSet, Error> {
        of_this_dialect::<S>(&sql)?;
        let work: Work<S::Session, ResultSet> = Box::new(move |session| {
            async move {
                let started = Instant::now();
                let mut output = Output::held(limits);
                let (done, rest) = S::read(session, &sql, &parameters, &mut output).await;
                (done.map(|()| output.whole(started.elapsed())), doubted(rest, &sql))
            }
            .boxed()
        });
        self.reading.run(limits.timeout, work).await
    }

    async fn stream(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<RowStream, Error> {
        of_this_dialect::<S>(&sql)?;
        let work = move |mut output: Output| -> Work<S::Session, Summary> {
            Box::new(move |session| {
                async move {
                    let started = Instant::now();
                    let (done, rest) = S::stream(session, &sql, &parameters, &mut output).await;
                    (done.map(|()| output.summary(started.elapsed())), doubted(rest, &sql))
                }
                .boxed()
            })
        };
        self.reading.stream(limits, work).await
    }

    async fn write(&self, sql: GuardedSql, parameters: Vec<Value>, limits: Limits) -> Result<Written, Error> {
        of_this_dialect::<S>(&sql)?;
        let writing = self.writing.as_ref().ok_or(Error::NotWritable)?;
        let work: Work<S::Session, Written> = Box::new(move |session| {
            async move {
                let started = Instant::now();
                let mut output = Output::held(limits);
                // Every row is read: stopping early would take the write back.
                output.keep_what_fits();
                let (done, rest) = S::write(session, &sql, &parameters, &mut output).await;
                let written =
                    done.map(|affected_rows| Written { affected_rows, returned: output.whole(started.elapsed()) });
                (written, doubted(rest, &sql))
            }
            .boxed()
        });
        writing.run(limits.timeout, work).await
    }

    async fn close(&self) {
        self.reading.close().await;
        if let Some(writing) = &self.writing {
            writing.close().await;
        }
    }
}
