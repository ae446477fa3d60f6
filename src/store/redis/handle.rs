//! The store as the rest of the program sees it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::link::{Health, Link};
use super::queue::{self, Queue};
use super::{Settings, connections, keeper, knowledge, requests, workflows};
use crate::domain::{Clock, ConnectionId, Event, Page, PageRequest, Rating, SystemClock, TenantId, WorkflowId};
use crate::store::append::Append;
use crate::store::record::{ConnectionRecord, KnowledgeRecord};
use crate::store::tails::Tails;
use crate::store::{Claim, Error, Events, Lease, ListFilter, Store, StoredWorkflow, Work};

/// How the store behaves.
#[derive(Clone)]
pub struct Options {
    /// Longest that one call may take; then it ends in [`Error::Unavailable`], though a write may still happen.
    pub timeout: Duration,
    /// How long a worker holds a workflow without a sign of life.
    pub lease: Duration,
    /// Tells when a request id was claimed.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(2), lease: Duration::from_secs(15), clock: Arc::new(SystemClock) }
    }
}

/// A store in Redis. It connects by itself, again and again; while Redis does not answer, calls are refused. Dropping it
/// disconnects soon after; [`Store::close`] waits for it.
pub struct Redis {
    pub(super) link: Arc<Link>,
    tails: Arc<Tails>,
    queue: Arc<Queue>,
    options: Options,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Redis {
    /// A store there. Returns once Redis answers, or after the timeout when it does not; the error says why Redis must
    /// not be used at all. Needs a tokio runtime.
    pub async fn open(settings: Settings, options: Options) -> Result<Self, Error> {
        let link = Arc::new(Link::new(settings, options.timeout)?);
        let (tails, queue) = (Arc::<Tails>::default(), Arc::<Queue>::default());
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut health = link.health();
        tasks.spawn(keeper::watch_over(link.clone(), tails.clone(), stop.clone()));
        tasks.spawn(keeper::listen(link.clone(), tails.clone(), queue.clone(), stop.clone()));
        tasks.close();
        let store = Self { link, tails, queue, options, stop, tasks };
        let known = health.wait_for(|health| !matches!(health, Health::Down(_)));
        match tokio::time::timeout(store.options.timeout, known).await {
            Ok(Ok(health)) => match &*health {
                Health::Unfit(why) => Err(Error::Unavailable(why.clone().into())),
                Health::Up | Health::Down(_) => Ok(()),
            },
            _ => Ok(()),
        }?;
        Ok(store)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// How many to ask for so that the last one, which is not returned, tells whether more follow.
pub(super) fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1
}

#[async_trait]
impl Store for Redis {
    async fn create_connection(&self, record: ConnectionRecord) -> Result<(), Error> {
        connections::create(&self.link, &record).await
    }

    async fn get_connection(&self, tenant: &TenantId, id: ConnectionId) -> Result<Option<ConnectionRecord>, Error> {
        connections::get(&self.link, tenant, id).await
    }

    async fn list_connections(
        &self,
        tenant: &TenantId,
        page: PageRequest<ConnectionId>,
    ) -> Result<Page<ConnectionRecord, ConnectionId>, Error> {
        connections::list(&self.link, tenant, page).await
    }

    async fn update_connection(&self, record: ConnectionRecord, expected_etag: &str) -> Result<bool, Error> {
        connections::update(&self.link, &record, expected_etag).await
    }

    async fn delete_connection(&self, tenant: &TenantId, id: ConnectionId) -> Result<bool, Error> {
        connections::delete(&self.link, tenant, id).await
    }

    async fn get_knowledge(
        &self,
        tenant: &TenantId,
        connection: ConnectionId,
    ) -> Result<Option<KnowledgeRecord>, Error> {
        knowledge::get(&self.link, tenant, connection).await
    }

    async fn put_knowledge(&self, record: KnowledgeRecord, expected_etag: Option<&str>) -> Result<bool, Error> {
        knowledge::put(&self.link, &record, expected_etag).await
    }

    async fn claim_request(
        &self,
        tenant: &TenantId,
        rpc: &str,
        request_id: &str,
        hash: &[u8; 32],
        id: uuid::Uuid,
    ) -> Result<Claim, Error> {
        let request = requests::name(tenant, rpc, request_id);
        requests::claim(&self.link, request, hash, id, self.options.clock.now()).await
    }

    async fn keep_answer(&self, tenant: &TenantId, rpc: &str, request_id: &str, answer: &str) -> Result<(), Error> {
        requests::keep_answer(&self.link, requests::name(tenant, rpc, request_id), answer).await
    }

    async fn release_request(
        &self,
        tenant: &TenantId,
        rpc: &str,
        request_id: &str,
        id: uuid::Uuid,
    ) -> Result<(), Error> {
        requests::release(&self.link, requests::name(tenant, rpc, request_id), id).await
    }

    async fn answer(&self, tenant: &TenantId, rpc: &str, request_id: &str) -> Result<Option<String>, Error> {
        requests::answer(&self.link, requests::name(tenant, rpc, request_id)).await
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
        let appending = self.tails.appending(tenant, workflow, events);
        workflows::append(&self.link, append, lease, self.options.lease).await?;
        // Listeners of this process need not wait for the notice.
        appending.stored();
        Ok(())
    }

    async fn read(
        &self,
        tenant: &TenantId,
        workflow: WorkflowId,
        after_sequence: u64,
        limit: usize,
    ) -> Result<Vec<Event>, Error> {
        workflows::read(&self.link, tenant, workflow, after_sequence, limit).await
    }

    async fn last_sequence(&self, tenant: &TenantId, workflow: WorkflowId) -> Result<Option<u64>, Error> {
        workflows::last_sequence(&self.link, tenant, workflow).await
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
        workflows::list(&self.link, tenant, filter, page).await
    }

    async fn put_rating(&self, tenant: &TenantId, workflow: WorkflowId, rating: &Rating) -> Result<bool, Error> {
        workflows::put_rating(&self.link, tenant, workflow, rating).await
    }

    async fn get_rating(&self, tenant: &TenantId, workflow: WorkflowId) -> Result<Option<Rating>, Error> {
        workflows::get_rating(&self.link, tenant, workflow).await
    }

    async fn take(&self) -> Result<Option<Work>, Error> {
        self.queue.take(&self.link, self.options.lease).await
    }

    async fn more_work(&self) {
        self.queue.more().await;
    }

    async fn waiting(&self) -> Result<usize, Error> {
        queue::waiting(&self.link).await
    }

    async fn renew(&self, leases: &[(TenantId, Lease)]) -> Result<Vec<Lease>, Error> {
        queue::renew(&self.link, leases, self.options.lease).await
    }

    async fn release(&self, tenant: &TenantId, lease: Lease) -> Result<(), Error> {
        queue::release(&self.link, tenant, lease).await
    }

    async fn is_held(&self, tenant: &TenantId, workflow: WorkflowId) -> Result<bool, Error> {
        queue::is_held(&self.link, tenant, workflow).await
    }

    fn lease_time(&self) -> Duration {
        self.options.lease
    }

    async fn delete_workflow(&self, tenant: &TenantId, workflow: WorkflowId) -> Result<bool, Error> {
        let deleted = workflows::delete(&self.link, tenant, workflow).await?;
        if deleted {
            self.tails.end(tenant, workflow);
        }
        Ok(deleted)
    }

    async fn expire(
        &self,
        older_than: Timestamp,
        keep: usize,
        request_ids_older_than: Timestamp,
    ) -> Result<u64, Error> {
        requests::expire(&self.link, request_ids_older_than).await?;
        workflows::expire(&self.link, older_than, keep).await
    }

    async fn ping(&self) -> Result<u64, Error> {
        self.link.identity().await
    }

    fn epoch(&self) -> u64 {
        self.link.epoch()
    }

    async fn close(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}
