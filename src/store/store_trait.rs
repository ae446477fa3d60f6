//! The store's contract. `contract.rs` holds the tests that every implementation passes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::record::{ConnectionRecord, KnowledgeRecord};
use super::search;
use crate::domain::{ConnectionId, Event, Page, PageRequest, Rating, TenantId, WorkflowId, WorkflowStatus};

/// Events of one log, in order, shared by those who follow it.
pub type Events = Arc<[Arc<Event>]>;

/// Keeps records durably. Everything is named by tenant: a record of another tenant does not exist.
///
/// A call that returned `Ok` from a writing method has reached the disk (or the replicas, as configured).
#[async_trait]
pub trait Store: Send + Sync {
    /// Adds a connection. [`Error::NameTaken`] when the tenant has one of this name, ignoring case, or of this id.
    async fn create_connection(&self, record: ConnectionRecord) -> Result<(), Error>;

    /// The connection, or `None`.
    async fn get_connection(&self, tenant: &TenantId, id: ConnectionId) -> Result<Option<ConnectionRecord>, Error>;

    /// Connections in id order.
    async fn list_connections(
        &self,
        tenant: &TenantId,
        page: PageRequest<ConnectionId>,
    ) -> Result<Page<ConnectionRecord, ConnectionId>, Error>;

    /// Replaces a connection whose stored etag is `expected_etag`; [`Error::EtagMismatch`] otherwise, `Ok(false)` when
    /// it does not exist.
    async fn update_connection(&self, record: ConnectionRecord, expected_etag: &str) -> Result<bool, Error>;

    /// Removes a connection with what is known of it; `Ok(false)` when it does not exist.
    async fn delete_connection(&self, tenant: &TenantId, id: ConnectionId) -> Result<bool, Error>;

    /// What is known of a connection, or `None`.
    async fn get_knowledge(
        &self,
        tenant: &TenantId,
        connection: ConnectionId,
    ) -> Result<Option<KnowledgeRecord>, Error>;

    /// Replaces what is known of a connection, whose stored etag is `expected_etag` (`None`: nothing is stored);
    /// [`Error::EtagMismatch`] otherwise, `Ok(false)` when there is no such connection.
    async fn put_knowledge(&self, record: KnowledgeRecord, expected_etag: Option<&str>) -> Result<bool, Error>;

    /// Stores `(tenant, rpc, request_id) → (id, hash)` unless it is there; then says what is there (AIP-155).
    /// `hash` is the SHA-256 of the request's body.
    async fn claim_request(
        &self,
        tenant: &TenantId,
        rpc: &str,
        request_id: &str,
        hash: &[u8; 32],
        id: uuid::Uuid,
    ) -> Result<Claim, Error>;

    /// Keeps what a claimed request was answered, so that a repeat can be answered the same without running again. It
    /// goes with the claim; without a claim nothing is kept.
    async fn keep_answer(&self, tenant: &TenantId, rpc: &str, request_id: &str, answer: &str) -> Result<(), Error>;

    /// Forgets a claim, and its answer, if it still is the one that was stored with this `id`: the next who claims the
    /// request is the first again.
    async fn release_request(
        &self,
        tenant: &TenantId,
        rpc: &str,
        request_id: &str,
        id: uuid::Uuid,
    ) -> Result<(), Error>;

    /// What [`Store::keep_answer`] kept.
    async fn answer(&self, tenant: &TenantId, rpc: &str, request_id: &str) -> Result<Option<String>, Error>;

    /// Appends events to a workflow's log. The first must have sequence `expected_last + 1`, the rest follow without a
    /// gap; [`Error::OutOfSequence`] when the log's last sequence is not `expected_last`. All or none are stored. A log
    /// that begins waits for a worker from then on, until it ends; so does one whose person has answered.
    async fn append(
        &self,
        tenant: &TenantId,
        workflow: WorkflowId,
        expected_last: u64,
        events: &[Event],
    ) -> Result<(), Error> {
        self.append_on(tenant, workflow, expected_last, events, None).await
    }

    /// The same for a worker: [`Error::LeaseLost`] when it does not hold the workflow (any more). A log that begins is
    /// held from then on; an append prolongs the lease. A terminal event ends it, and so does one that asks a person: from
    /// then on the workflow rests, until it is answered or the wait is over.
    async fn append_on(
        &self,
        tenant: &TenantId,
        workflow: WorkflowId,
        expected_last: u64,
        events: &[Event],
        lease: Option<Lease>,
    ) -> Result<(), Error>;

    /// Up to `limit` events after `after_sequence`, in order. Empty when there are none, or no such workflow.
    async fn read(
        &self,
        tenant: &TenantId,
        workflow: WorkflowId,
        after_sequence: u64,
        limit: usize,
    ) -> Result<Vec<Event>, Error>;

    /// Sequence of the last event; `None` when this tenant has no such workflow.
    async fn last_sequence(&self, tenant: &TenantId, workflow: WorkflowId) -> Result<Option<u64>, Error>;

    /// Follows a log: the receiver's value is the last stored sequence and changes after each append. It closes when the
    /// log is gone, and when it may have changed otherwise than by growing: whoever follows it asks for another and
    /// compares. One tail per workflow and process, however many callers.
    async fn tail(&self, tenant: &TenantId, workflow: WorkflowId) -> Result<watch::Receiver<u64>, Error>;

    /// The events that follow `after_sequence`, if this process has just appended them to a log that is followed: they are
    /// stored, and need not be read. `None` says nothing of what is stored.
    fn newest(&self, tenant: &TenantId, workflow: WorkflowId, after_sequence: u64) -> Option<Events> {
        let _ = (tenant, workflow, after_sequence);
        None
    }

    /// Workflows of a tenant, newest first.
    async fn list_workflows(
        &self,
        tenant: &TenantId,
        filter: &ListFilter,
        page: PageRequest<WorkflowId>,
    ) -> Result<Page<StoredWorkflow, WorkflowId>, Error>;

    /// Those of them whose question contains a text, whatever the case. A call looks at so many workflows at most that it
    /// stays short: a page may hold fewer than asked for, or none, and still have a next.
    async fn search_workflows(
        &self,
        tenant: &TenantId,
        filter: &ListFilter,
        text: &str,
        page: PageRequest<WorkflowId>,
    ) -> Result<Page<StoredWorkflow, WorkflowId>, Error> {
        search::search(self, tenant, filter, text, page).await
    }

    /// Keeps what a person thinks of a workflow, in place of what was kept before, as long as the workflow; `Ok(false)`
    /// when it does not exist.
    async fn put_rating(&self, tenant: &TenantId, workflow: WorkflowId, rating: &Rating) -> Result<bool, Error>;

    /// What [`Store::put_rating`] kept.
    async fn get_rating(&self, tenant: &TenantId, workflow: WorkflowId) -> Result<Option<Rating>, Error>;

    /// Takes the next workflow that has not ended and that nobody holds, fairly between tenants; `None` when nothing
    /// waits. What an earlier process left, or a worker that was lost, waits like the rest.
    async fn take(&self) -> Result<Option<Work>, Error>;

    /// Returns when something may wait for a worker: at once, or when a notice comes or a lease may have run out.
    async fn more_work(&self);

    /// How many workflows wait for a worker.
    async fn waiting(&self) -> Result<usize, Error>;

    /// Prolongs leases; returns those that are lost.
    async fn renew(&self, leases: &[(TenantId, Lease)]) -> Result<Vec<Lease>, Error>;

    /// Gives a workflow back: the next worker takes it at once. Nothing happens when the lease is lost.
    async fn release(&self, tenant: &TenantId, lease: Lease) -> Result<(), Error>;

    /// Whether a worker holds the workflow.
    async fn is_held(&self, tenant: &TenantId, workflow: WorkflowId) -> Result<bool, Error>;

    /// How long a lease lasts that is not prolonged.
    fn lease_time(&self) -> Duration;

    /// Removes a workflow with its log; `Ok(false)` when it does not exist.
    async fn delete_workflow(&self, tenant: &TenantId, workflow: WorkflowId) -> Result<bool, Error>;

    /// Removes terminal workflows last changed before `older_than` and, per tenant, all but the newest `keep`; removes
    /// request ids claimed before `request_ids_older_than`. Returns how many workflows went.
    async fn expire(
        &self,
        older_than: jiff::Timestamp,
        keep: usize,
        request_ids_older_than: jiff::Timestamp,
    ) -> Result<u64, Error>;

    /// Whether the store answers, and which one it is: another number than before means that what it held is gone.
    async fn ping(&self) -> Result<u64, Error>;

    /// Which store it is, as [`Store::ping`] tells it, where that takes no call as well.
    async fn identity(&self) -> Result<u64, Error> {
        self.ping().await
    }

    /// Number that grows with every start of a writer on this store, and whenever what it acknowledged may be lost;
    /// part of each event's cursor.
    fn epoch(&self) -> u64;

    /// Finishes what waits and lets go of the store. Every later call is refused.
    async fn close(&self);
}

/// The right to work on a workflow. Whoever has lost it cannot append on it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Which workflow.
    pub workflow: WorkflowId,
    /// Names this very taking of it.
    pub token: u64,
}

impl Lease {
    /// A lease that nobody had before, for a log that begins.
    #[must_use]
    pub fn new(workflow: WorkflowId) -> Self {
        // Of an id that is made anew, what its time does not determine.
        let (_, token) = uuid::Uuid::now_v7().as_u64_pair();
        Self { workflow, token }
    }
}

/// A workflow that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// Whose it is.
    pub tenant: TenantId,
    /// The right to work on it.
    pub lease: Lease,
    /// How many workers in a row were lost before they appended anything.
    pub lost: u32,
}

/// What a request id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It was free and now stands for the given id.
    New,
    /// The same request came before and stands for this id.
    Repeat(uuid::Uuid),
    /// Another request used it.
    Reused,
}

/// Which workflows to list. Empty fields do not filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListFilter {
    /// Only these states.
    pub statuses: Vec<WorkflowStatus>,
    /// Only of this connection.
    pub connection: Option<ConnectionId>,
    /// Only with this label.
    pub user_id: Option<String>,
}

/// A workflow in a list; its log tells the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWorkflow {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its id.
    pub id: WorkflowId,
    /// Its status as of `last_sequence`.
    pub status: WorkflowStatus,
    /// Sequence of its last event.
    pub last_sequence: u64,
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another connection of the tenant has this name.
    #[error("a connection of this name exists")]
    NameTaken,
    /// The record changed since it was read.
    #[error("the record changed since it was read")]
    EtagMismatch,
    /// Somebody else appended first.
    #[error("the log ends at {last}, not where the writer expected")]
    OutOfSequence {
        /// The log's last sequence; 0 when there is no log.
        last: u64,
    },
    /// Another worker holds the workflow by now, or none.
    #[error("another worker took the workflow over")]
    LeaseLost,
    /// The store cannot be reached in time.
    #[error("the store cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No room on the store's disk.
    #[error("the store has no room")]
    Full,
    /// A record cannot be read.
    #[error("a stored record cannot be read: {0}")]
    Corrupt(String),
}
