//! Logs of workflows, and the lists they are in. A workflow's partition holds all of it, so that an append is one
//! script; a list of all partitions is merged here.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::handle::one_more;
use super::link::Link;
use super::queue::milliseconds;
use super::scripts::{APPEND, DELETE, ENDED_OF, EXPIRED, GET_RATING, LAST, LIST, PUT_RATING, READ};
use crate::domain::{Event, Page, PageRequest, Rating, TenantId, WorkflowId, WorkflowStatus};
use crate::store::append::{Append, Turn};
use crate::store::record;
use crate::store::{Error, Lease, ListFilter, StoredWorkflow};

/// Partitions asked at the same time.
pub(super) const ABREAST: usize = 16;

/// Workflows that one step of an expiry reads.
const AT_ONCE: usize = 100;

/// Appends when the log ends where the writer expects.
pub(super) async fn append(
    link: &Link,
    append: Append,
    lease: Option<Lease>,
    lease_time: Duration,
) -> Result<(), Error> {
    if !append.is_gapless() {
        let last = last_sequence(link, &append.tenant, append.workflow).await?.unwrap_or(0);
        return Err(Error::OutOfSequence { last });
    }
    let (turn, until) = match append.turn {
        Turn::Same => ("same", 0),
        Turn::Worker => ("worker", 0),
        Turn::Person(until) => ("person", until.as_millisecond()),
        Turn::Nobody => ("nobody", 0),
    };
    let (begins, connection, user) = match append.begins {
        Some((connection, user)) => ("1", connection.unwrap_or_default(), user),
        None => ("0", String::new(), String::new()),
    };
    let mut arguments = vec![
        append.workflow.to_string().into(),
        append.tenant.as_str().into(),
        append.expected_last.to_string().into(),
        append.status.map_or("", WorkflowStatus::as_str).into(),
        turn.into(),
        until.into(),
        append.last_time.as_microsecond().into(),
        append.min_reader.into(),
        begins.into(),
        connection.into(),
        user.into(),
        lease.map(|lease| lease.token.to_string()).unwrap_or_default().into(),
        milliseconds(lease_time).into(),
    ];
    arguments.extend(append.rows.into_iter().map(|(_, text)| text.into()));
    let answer: Vec<String> = link.run(&APPEND, link.keys.of_workflow(append.workflow), arguments).await?;
    match answer.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["stored"] => Ok(()),
        ["lease"] => Err(Error::LeaseLost),
        ["last", last] => {
            let last = last.parse().map_err(|_| damaged("the end of a log"))?;
            if last < append.expected_last {
                // The store went back to an earlier state: what is written from now on has other cursors.
                link.renew_epoch();
            }
            Err(Error::OutOfSequence { last })
        }
        _ => Err(Error::Corrupt("a log begins with workflow_started".to_owned())),
    }
}

/// Events after a sequence, in order.
pub(super) async fn read(
    link: &Link,
    tenant: &TenantId,
    id: WorkflowId,
    after_sequence: u64,
    limit: usize,
) -> Result<Vec<Event>, Error> {
    let first = after_sequence.saturating_add(1).to_string();
    let arguments = vec![id.to_string().into(), tenant.as_str().into(), first.into(), clamped(limit).into()];
    let flat: Vec<String> = link.run(&READ, link.keys.of_workflow(id), arguments).await?;
    let event = |[sequence, version, text]: &[String; 3]| match (sequence.parse(), version.parse()) {
        (Ok(sequence), Ok(version)) => record::event(id, sequence, version, text),
        _ => Err(damaged("an entry of a log")),
    };
    rows(&flat).map(event).collect()
}

/// Sequence of the last event.
pub(super) async fn last_sequence(link: &Link, tenant: &TenantId, id: WorkflowId) -> Result<Option<u64>, Error> {
    let arguments = vec![id.to_string().into(), tenant.as_str().into()];
    link.run(&LAST, link.keys.of_workflow(id), arguments).await
}

/// One page of a tenant's workflows, newest first.
pub(super) async fn list(
    link: &Link,
    tenant: &TenantId,
    filter: &ListFilter,
    page: PageRequest<WorkflowId>,
) -> Result<Page<StoredWorkflow, WorkflowId>, Error> {
    let mut arguments = vec![
        tenant.as_str().into(),
        page.after.map(|id| id.to_string()).unwrap_or_default().into(),
        one_more(page.limit).into(),
        filter.connection.map(|id| id.to_string()).unwrap_or_default().into(),
        if filter.user_id.is_some() { "1" } else { "0" }.into(),
        filter.user_id.clone().unwrap_or_default().into(),
    ];
    arguments.extend(filter.statuses.iter().map(|status| status.as_str().into()));
    let parts: Vec<Vec<String>> = stream::iter(link.keys.tags())
        .map(|tag| link.run(&LIST, tag, arguments.clone()))
        .buffer_unordered(ABREAST)
        .try_collect()
        .await?;
    let flat = parts.concat();
    let listed = |[id, status, last]: &[String; 3]| stored(tenant.as_str(), id, status, last);
    let mut items = rows(&flat).map(listed).collect::<Result<Vec<_>, _>>()?;
    items.sort_unstable_by_key(|workflow| std::cmp::Reverse(workflow.id));
    let more = items.len() > page.limit;
    items.truncate(page.limit);
    let next = if more { items.last().map(|workflow| workflow.id) } else { None };
    Ok(Page { items, next })
}

/// Keeps what a person thinks of a workflow.
pub(super) async fn put_rating(link: &Link, tenant: &TenantId, id: WorkflowId, rating: &Rating) -> Result<bool, Error> {
    let arguments = vec![id.to_string().into(), tenant.as_str().into(), record::rating_text(rating)?.into()];
    link.run(&PUT_RATING, link.keys.of_workflow(id), arguments).await
}

/// What a person thinks of a workflow.
pub(super) async fn get_rating(link: &Link, tenant: &TenantId, id: WorkflowId) -> Result<Option<Rating>, Error> {
    let arguments = vec![id.to_string().into(), tenant.as_str().into()];
    let text: Option<String> = link.run(&GET_RATING, link.keys.of_workflow(id), arguments).await?;
    text.map(|text| record::rating(&text)).transpose()
}

/// Removes a workflow with its log.
pub(super) async fn delete(link: &Link, tenant: &TenantId, id: WorkflowId) -> Result<bool, Error> {
    let arguments = vec![id.to_string().into(), tenant.as_str().into()];
    link.run_once(&DELETE, link.keys.of_workflow(id), arguments).await
}

/// Removes terminal workflows that ended before `older_than`, and all but the newest `keep` of each tenant.
pub(super) async fn expire(link: &Link, older_than: Timestamp, keep: usize) -> Result<u64, Error> {
    let mut removed = 0;
    for tag in link.keys.tags() {
        loop {
            let arguments = vec![older_than.as_microsecond().into(), clamped(AT_ONCE).into()];
            let flat: Vec<String> = link.run(&EXPIRED, tag.clone(), arguments).await?;
            for [id, tenant] in rows(&flat) {
                let (id, tenant) = id.parse().ok().zip(TenantId::parse(tenant)).ok_or_else(|| damaged("an id"))?;
                removed += u64::from(delete(link, &tenant, id).await?);
            }
            if flat.len() < 2 * AT_ONCE {
                break;
            }
        }
    }
    for (tenant, ended) in ended_by_tenant(link).await? {
        if ended > keep {
            removed += expire_beyond(link, &tenant, keep).await?;
        }
    }
    Ok(removed)
}

/// How many workflows of each tenant have ended.
async fn ended_by_tenant(link: &Link) -> Result<BTreeMap<TenantId, usize>, Error> {
    let mut counts = BTreeMap::new();
    for tag in link.keys.tags() {
        let flat: Vec<String> = link.run(&ENDED_OF, tag, Vec::new()).await?;
        for [tenant, count] in rows(&flat) {
            let count: Option<usize> = count.parse().ok();
            let (tenant, count) = TenantId::parse(tenant).zip(count).ok_or_else(|| damaged("a count"))?;
            *counts.entry(tenant).or_insert(0) += count;
        }
    }
    Ok(counts)
}

/// Removes a tenant's terminal workflows beyond the newest `keep`.
async fn expire_beyond(link: &Link, tenant: &TenantId, keep: usize) -> Result<u64, Error> {
    let statuses = WorkflowStatus::ALL.into_iter().filter(|status| status.is_terminal()).collect();
    let filter = ListFilter { statuses, ..ListFilter::default() };
    let (mut seen, mut removed, mut after) = (0, 0, None);
    loop {
        let page = list(link, tenant, &filter, PageRequest { after, limit: AT_ONCE }).await?;
        for workflow in page.items {
            seen += 1;
            if seen > keep {
                removed += u64::from(delete(link, tenant, workflow.id).await?);
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(removed),
        }
    }
}

/// A flat answer as rows; what is left over of a damaged one is dropped.
pub(super) fn rows<const N: usize>(flat: &[String]) -> impl Iterator<Item = &[String; N]> {
    flat.as_chunks().0.iter()
}

fn clamped(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn stored(tenant: &str, id: &str, status: &str, last: &str) -> Result<StoredWorkflow, Error> {
    let parsed = || {
        let status = WorkflowStatus::parse(status)?;
        Some(StoredWorkflow {
            tenant: TenantId::parse(tenant)?,
            id: id.parse().ok()?,
            status,
            last_sequence: last.parse().ok()?,
        })
    };
    parsed().ok_or_else(|| damaged("a record of a workflow"))
}

pub(super) fn damaged(what: &str) -> Error {
    Error::Corrupt(what.to_owned())
}
