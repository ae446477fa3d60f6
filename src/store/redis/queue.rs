//! Work: workflows that wait for a worker, and the leases of those that have one.
//!
//! A partition's queue is ordered by the time from which a workflow may be taken. Taking one puts that time a lease ahead,
//! renewing puts it off again; so what a lost worker held comes back by itself, and giving back is setting it to zero.
//! There is nothing else to reclaim, and no consumer to forget.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Notify;

use super::keys::PARTITIONS;
use super::link::Link;
use super::scripts::{HELD, RELEASE, RENEW, TAKE, WAITING};
use super::workflows::{ABREAST, damaged, rows};
use crate::domain::{TenantId, WorkflowId};
use crate::store::{Error, Lease, Work};

/// How often every partition is asked, notice or not: leases run out without one.
const SWEEP: Duration = Duration::from_secs(2);

/// Beyond the time between two renewals: how long after an outage holders have to prolong leases that ran out meanwhile,
/// before somebody else takes over.
const RECOVERY: Duration = Duration::from_secs(2);

/// Version of the records that this build reads.
const READER: u32 = 1;

/// Workers that may be lost over a workflow before it is put aside. Its own worker ends it long before, when it can.
const MOST_LOST: u32 = 20;

/// Where work may wait, as far as this process has heard.
pub(super) struct Queue {
    /// A bit for each partition.
    parts: AtomicU64,
    more: Notify,
    /// Where to look next, so that every partition gets its turn.
    next: AtomicUsize,
    swept: Mutex<Instant>,
}

impl Default for Queue {
    fn default() -> Self {
        let (parts, next) = (AtomicU64::new(u64::MAX), AtomicUsize::new(0));
        Self { parts, more: Notify::new(), next, swept: Mutex::new(Instant::now()) }
    }
}

impl Queue {
    /// A partition has work.
    pub(super) fn tell(&self, partition: u8) {
        self.parts.fetch_or(1 << partition, Ordering::SeqCst);
        self.more.notify_one();
    }

    /// Returns when some partition may have work.
    pub(super) async fn more(&self) {
        while self.parts.load(Ordering::SeqCst) == 0 {
            let since = self.swept.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
            tokio::select! {
                () = self.more.notified() => {}
                () = tokio::time::sleep(SWEEP.saturating_sub(since)) => {
                    *self.swept.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                    self.parts.store(u64::MAX, Ordering::SeqCst);
                }
            }
        }
    }

    /// Takes the next workflow of the next partition that has one.
    pub(super) async fn take(&self, link: &Link, lease_time: Duration) -> Result<Option<Work>, Error> {
        let begin = self.next.load(Ordering::Relaxed);
        for at in begin..begin + usize::from(PARTITIONS) {
            let partition = u8::try_from(at % usize::from(PARTITIONS)).unwrap_or_default();
            let bit = 1 << partition;
            if self.parts.fetch_and(!bit, Ordering::SeqCst) & bit == 0 {
                continue;
            }
            let taken = take_from(link, partition, lease_time).await;
            if !matches!(taken, Ok(None)) {
                // There may be more.
                self.tell(partition);
                self.next.store(at + 1, Ordering::Relaxed);
                return taken;
            }
        }
        Ok(None)
    }
}

/// How many workflows wait in all partitions.
pub(super) async fn waiting(link: &Link) -> Result<usize, Error> {
    let parts: Vec<usize> = stream::iter(link.keys.tags())
        .map(|tag| link.run::<usize>(&WAITING, tag, Vec::new()))
        .buffer_unordered(ABREAST)
        .try_collect()
        .await?;
    Ok(parts.into_iter().sum())
}

async fn take_from(link: &Link, partition: u8, lease_time: Duration) -> Result<Option<Work>, Error> {
    // The token is drawn before it is known which workflow it is for.
    let Lease { token, .. } = Lease::new(WorkflowId::generate());
    let free_only = if link.returned_within(lease_time / 3 + RECOVERY) { "1" } else { "0" };
    let arguments = vec![
        token.to_string().into(),
        milliseconds(lease_time).into(),
        READER.into(),
        MOST_LOST.into(),
        free_only.into(),
    ];
    let flat: Vec<String> = link.run_once(&TAKE, link.keys.tag(partition), arguments).await?;
    let work = |[id, tenant, lost]: &[String; 3]| {
        let lease = Lease { workflow: id.parse().ok()?, token };
        Some(Work { tenant: TenantId::parse(tenant)?, lease, lost: lost.parse().ok()? })
    };
    rows(&flat).next().map(|row| work(row).ok_or_else(|| damaged("a workflow that waits"))).transpose()
}

/// Prolongs leases; returns those that are lost.
pub(super) async fn renew(
    link: &Link,
    leases: &[(TenantId, Lease)],
    lease_time: Duration,
) -> Result<Vec<Lease>, Error> {
    let mut parts: BTreeMap<String, Vec<&(TenantId, Lease)>> = BTreeMap::new();
    for held in leases {
        parts.entry(link.keys.of_workflow(held.1.workflow)).or_default().push(held);
    }
    let mut lost = Vec::new();
    for (tag, held) in parts {
        let names = held.iter().flat_map(|(tenant, lease)| {
            [lease.workflow.to_string().into(), tenant.as_str().into(), lease.token.to_string().into()]
        });
        let arguments = std::iter::once(milliseconds(lease_time).into()).chain(names).collect();
        let gone: Vec<String> = link.run(&RENEW, tag, arguments).await?;
        let is_gone = |lease: &Lease| gone.iter().any(|token| *token == lease.token.to_string());
        lost.extend(held.iter().map(|(_, lease)| *lease).filter(is_gone));
    }
    Ok(lost)
}

/// Gives a workflow back.
pub(super) async fn release(link: &Link, tenant: &TenantId, lease: Lease) -> Result<(), Error> {
    let id = lease.workflow;
    let arguments = vec![id.to_string().into(), tenant.as_str().into(), lease.token.to_string().into()];
    link.run::<i64>(&RELEASE, link.keys.of_workflow(id), arguments).await.map(|_| ())
}

/// Whether a worker holds the workflow.
pub(super) async fn is_held(link: &Link, tenant: &TenantId, id: WorkflowId) -> Result<bool, Error> {
    let arguments = vec![id.to_string().into(), tenant.as_str().into()];
    link.run(&HELD, link.keys.of_workflow(id), arguments).await
}

pub(super) fn milliseconds(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
