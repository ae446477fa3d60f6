//! The store as the rest of the program sees it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::watch;

use super::writer::Writer;
use super::{connections, file, knowledge, migrations, requests, workflows};
use crate::domain::{Clock, ConnectionId, Event, Page, PageRequest, Rating, SystemClock, TenantId, WorkflowId};
use crate::store::append::{Append, Turn};
use crate::store::queue::Queue;
use crate::store::record::{self, ConnectionRecord, KnowledgeRecord};
use crate::store::tails::Tails;
use crate::store::{Claim, Error, Events, Lease, ListFilter, Store, StoredWorkflow, Work};

/// Workflows that one transaction of [`Store::expire`] removes, so that appends do not wait long for it.
const EXPIRE_AT_ONCE: usize = 100;

/// How the store behaves.
#[derive(Clone)]
pub struct Options {
    /// Longest that one call may take; then it ends in [`Error::Unavailable`], though a write may still happen.
    pub timeout: Duration,
    /// Connections that read beside the writer.
    pub readers: u32,
    /// Tells when a request id was claimed.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(2), readers: 4, clock: Arc::new(SystemClock) }
    }
}

/// A store in one SQLite file, or in memory for tests. Dropping it closes the file soon after; [`Store::close`]
/// waits for it.
pub struct Embedded {
    writer: Writer,
    /// Absent in memory, where a second connection would see another database: the writer reads as well.
    readers: Option<SqlitePool>,
    tails: Arc<Tails>,
    queue: Arc<Queue>,
    epoch: u64,
    options: Options,
}

impl Embedded {
    /// Opens the file, creating it (0600) and its folder (0700) when they do not exist, and brings it to the newest
    /// format. The source of the error is an [`super::OpenError`] when another process has the file or a newer Pulse
    /// wrote it. Needs a tokio runtime.
    pub async fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let path = path.as_ref();
        let lock = file::prepare(path)?;
        let settings = settings().filename(path).journal_mode(SqliteJournalMode::Wal);
        let mut connection = settings.clone().connect().await?;
        let epoch = migrations::run(&mut connection, path).await?;
        let queue = Queue::default();
        for left in workflows::unfinished(&mut connection).await? {
            let turn = if left.status.is_awaiting() {
                let before = left.last_sequence.saturating_sub(1);
                Turn::after(&workflows::read(&mut connection, left.tenant.clone(), left.id, before, 1).await?)
            } else {
                Turn::Worker
            };
            match turn {
                Turn::Person(until) => queue.rest(&left.tenant, left.id, until),
                Turn::Same | Turn::Worker | Turn::Nobody => queue.add(&left.tenant, left.id),
            }
        }
        let readers = SqlitePoolOptions::new()
            .max_connections(options.readers)
            .acquire_timeout(options.timeout)
            .test_before_acquire(false)
            .connect_lazy_with(settings.pragma("query_only", "on"));
        let writer = Writer::start(connection, Some(lock));
        Ok(Self { writer, readers: Some(readers), tails: Arc::default(), queue: Arc::new(queue), epoch, options })
    }

    /// A store that is gone when dropped.
    pub async fn in_memory() -> Result<Self, Error> {
        let mut connection = settings().in_memory(true).connect().await?;
        let epoch = migrations::run(&mut connection, Path::new(":memory:")).await?;
        let writer = Writer::start(connection, None);
        Ok(Self {
            writer,
            readers: None,
            tails: Arc::default(),
            queue: Arc::default(),
            epoch,
            options: Options::default(),
        })
    }

    async fn write<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        self.write_then(work, |_| {}).await
    }

    /// As `write`; `then` is called once the write is on the disk.
    async fn write_then<T, W, A>(&self, work: W, then: A) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        in_time(self.options.timeout, self.writer.run(work, then)).await
    }

    async fn read_with<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        let Some(readers) = &self.readers else { return self.write(work).await };
        in_time(self.options.timeout, async {
            let mut reader = readers.acquire().await?;
            work(&mut reader).await
        })
        .await
    }
}

fn settings() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(1))
        .disable_statement_logging()
}

async fn in_time<T>(timeout: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(timeout, call).await.unwrap_or_else(|elapsed| Err(Error::Unavailable(Box::new(elapsed))))
}

/// How many rows to fetch so that the last one, which is not returned, tells whether more follow.
pub(super) fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

#[async_trait]
impl Store for Embedded {
    async fn create_connection(&self, record: ConnectionRecord) -> Result<(), Error> {
        self.write(|database| Box::pin(connections::create(database, record))).await
    }

    async fn get_connection(&self, tenant: &TenantId, id: ConnectionId) -> Result<Option<ConnectionRecord>, Error> {
        let tenant = tenant.clone();
        self.read_with(move |database| Box::pin(connections::get(database, tenant, id))).await
    }

    async fn list_connections(
        &self,
        tenant: &TenantId,
        page: PageRequest<ConnectionId>,
    ) -> Result<Page<ConnectionRecord, ConnectionId>, Error> {
        let tenant = tenant.clone();
        self.read_with(move |database| Box::pin(connections::list(database, tenant, page))).await
    }

    async fn update_connection(&self, record: ConnectionRecord, expected_etag: &str) -> Result<bool, Error> {
        let etag = expected_etag.to_owned();
        self.write(|database| Box::pin(connections::update(database, record, etag))).await
    }

    async fn delete_connection(&self, tenant: &TenantId, id: ConnectionId) -> Result<bool, Error> {
        let tenant = tenant.clone();
        self.write(move |database| Box::pin(connections::delete(database, tenant, id))).await
    }

    async fn get_knowledge(
        &self,
        tenant: &TenantId,
        connection: ConnectionId,
    ) -> Result<Option<KnowledgeRecord>, Error> {
        let tenant = tenant.clone();
        self.read_with(move |database| Box::pin(knowledge::get(database, tenant, connection))).await
    }

    async fn put_knowledge(&self, record: KnowledgeRecord, expected_etag: Option<&str>) -> Result<bool, Error> {
        let etag = expected_etag.map(str::to_owned);
        self.write(|database| Box::pin(knowledge::put(database, record, etag))).await
    }

    async fn claim_request(
        &self,
        tenant: &TenantId,
        rpc: &str,
        request_id: &str,
        hash: &[u8; 32],
        id: uuid::Uuid,
    ) -> Result<Claim, Error> {
        let (rpc, key) = (rpc.to_owned(), request_id.to_owned());
        let request = requests::Request { tenant: tenant.clone(), rpc, key, hash: *hash, id };
        let now = self.options.clock.now();
        self.write(move |database| Box::pin(requests::claim(database, request, now))).await
    }

    async fn keep_answer(&self, tenant: &TenantId, rpc: &str, request_id: &str, answer: &str) -> Result<(), Error> {
        let request = (tenant.clone(), rpc.to_owned(), request_id.to_owned());
        let answer = answer.to_owned();
        self.write(|database| Box::pin(requests::keep_answer(database, request, answer))).await
    }

    async fn release_request(
        &self,
        tenant: &TenantId,
        rpc: &str,
        request_id: &str,
        id: uuid::Uuid,
    ) -> Result<(), Error> {
        let request = (tenant.clone(), rpc.to_owned(), request_id.to_owned());
        self.write(move |database| Box::pin(requests::release(database, request, id))).await
    }

    async fn answer(&self, tenant: &TenantId, rpc: &str, request_id: &str) -> Result<Option<String>, Error> {
        let request = (tenant.clone(), rpc.to_owned(), request_id.to_owned());
        self.read_with(|database| Box::pin(requests::answer(database, request))).await
    }

    async fn append_on(
        &self,
        tenant: &TenantId,
        workflow: WorkflowId,
        expected_last: u64,
        events: &[Event],
        lease: Option<Lease>,
    ) -> Result<(), Error> {
        let Some(append) = Append::new(tenant, workflow, expected_last, events)? else { return Ok(()) };
        let (begins, turn) = (append.begins.is_some(), append.turn);
        self.queue.check(workflow, begins, lease)?;
        let appending = self.tails.appending(tenant, workflow, events);
        let (queue, tenant) = (Arc::clone(&self.queue), tenant.clone());
        let caller = Arc::new(());
        let waits = Arc::downgrade(&caller);
        let tell = move |(): &()| {
            queue.appended(&tenant, workflow, turn, lease);
            if let Some(lease) = lease.filter(|_| begins && waits.strong_count() == 0) {
                // Who began it has given up and may never know: any worker takes it.
                queue.release(&tenant, lease);
            }
            appending.stored();
        };
        let outcome = self.write_then(|database| Box::pin(workflows::append(database, append)), tell).await;
        drop(caller);
        outcome
    }

    async fn read(
        &self,
        tenant: &TenantId,
        workflow: WorkflowId,
        after_sequence: u64,
        limit: usize,
    ) -> Result<Vec<Event>, Error> {
        let tenant = tenant.clone();
        self.read_with(move |database| Box::pin(workflows::read(database, tenant, workflow, after_sequence, limit)))
            .await
    }

    async fn last_sequence(&self, tenant: &TenantId, workflow: WorkflowId) -> Result<Option<u64>, Error> {
        let tenant = tenant.clone();
        self.read_with(move |database| Box::pin(workflows::last_sequence(database, tenant, workflow))).await
    }

    async fn tail(&self, tenant: &TenantId, workflow: WorkflowId) -> Result<watch::Receiver<u64>, Error> {
        self.tails.follow(tenant, workflow, self.last_sequence(tenant, workflow)).await
    }

    fn newest(&self, tenant: &TenantId, workflow: WorkflowId, after_sequence: u64) -> Option<Events> {
        self.tails.newest(tenant, workflow, after_sequence)
    }

    async fn list_workflows(
        &self,
        tenant: &TenantId,
        filter: &ListFilter,
        page: PageRequest<WorkflowId>,
    ) -> Result<Page<StoredWorkflow, WorkflowId>, Error> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        self.read_with(move |database| Box::pin(workflows::list(database, tenant, filter, page))).await
    }

    async fn put_rating(&self, tenant: &TenantId, workflow: WorkflowId, rating: &Rating) -> Result<bool, Error> {
        let (tenant, text) = (tenant.clone(), record::rating_text(rating)?);
        self.write(move |database| Box::pin(workflows::put_rating(database, tenant, workflow, text))).await
    }

    async fn get_rating(&self, tenant: &TenantId, workflow: WorkflowId) -> Result<Option<Rating>, Error> {
        let tenant = tenant.clone();
        self.read_with(move |database| Box::pin(workflows::get_rating(database, tenant, workflow))).await
    }

    async fn take(&self) -> Result<Option<Work>, Error> {
        Ok(self.queue.take(self.options.clock.now()))
    }

    async fn more_work(&self) {
        self.queue.more(|| self.options.clock.now()).await;
    }

    async fn waiting(&self) -> Result<usize, Error> {
        Ok(self.queue.waiting())
    }

    async fn renew(&self, leases: &[(TenantId, Lease)]) -> Result<Vec<Lease>, Error> {
        Ok(self.queue.lost(leases))
    }

    async fn release(&self, tenant: &TenantId, lease: Lease) -> Result<(), Error> {
        self.queue.release(tenant, lease);
        Ok(())
    }

    async fn is_held(&self, _: &TenantId, workflow: WorkflowId) -> Result<bool, Error> {
        Ok(self.queue.is_held(workflow))
    }

    /// Workers live and die with the process that has the file.
    fn lease_time(&self) -> Duration {
        Duration::MAX
    }

    async fn delete_workflow(&self, tenant: &TenantId, workflow: WorkflowId) -> Result<bool, Error> {
        let (tails, queue) = (Arc::clone(&self.tails), Arc::clone(&self.queue));
        let (owner, tenant) = (tenant.clone(), tenant.clone());
        let end = move |deleted: &bool| {
            if *deleted {
                queue.appended(&owner, workflow, Turn::Nobody, None);
                tails.end(&owner, workflow);
            }
        };
        self.write_then(move |database| Box::pin(workflows::delete(database, tenant, workflow)), end).await
    }

    async fn expire(
        &self,
        older_than: Timestamp,
        keep: usize,
        request_ids_older_than: Timestamp,
    ) -> Result<u64, Error> {
        self.write(move |database| Box::pin(requests::expire(database, request_ids_older_than))).await?;
        let mut removed = 0;
        loop {
            let some = self
                .read_with(move |database| Box::pin(workflows::expired(database, older_than, keep, EXPIRE_AT_ONCE)))
                .await?;
            for workflow in &some {
                removed += u64::from(self.delete_workflow(&workflow.tenant, workflow.id).await?);
            }
            if some.len() < EXPIRE_AT_ONCE {
                return Ok(removed);
            }
        }
    }

    async fn ping(&self) -> Result<u64, Error> {
        self.read_with(|database| {
            Box::pin(async move {
                sqlx::query("SELECT value FROM meta").fetch_one(database).await?;
                Ok(())
            })
        })
        .await?;
        self.identity().await
    }

    /// The file is this process's alone, and is what it was.
    async fn identity(&self) -> Result<u64, Error> {
        Ok(0)
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Closes the file and releases its lock.
    async fn close(&self) {
        if let Some(readers) = &self.readers {
            readers.close().await;
        }
        self.writer.close().await;
    }
}
