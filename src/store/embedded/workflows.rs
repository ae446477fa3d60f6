//! Logs of workflows, and the table that lists them.

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::handle::one_more;
use crate::domain::{Event, Page, PageRequest, Rating, TenantId, WorkflowId, WorkflowStatus};
use crate::store::append::Append;
use crate::store::record;
use crate::store::{Error, ListFilter, StoredWorkflow};

/// Events that one statement adds.
const AT_ONCE: usize = 16;

/// Appends when the log ends where the writer expects.
pub(super) async fn append(database: &mut SqliteConnection, append: Append) -> Result<(), Error> {
    let id = append.workflow.to_string();
    if !append.is_gapless() || !move_on(database, &append, &id).await? {
        return Err(refusal(database, &append, &id).await?);
    }
    for (nth, rows) in append.rows.chunks(AT_ONCE).enumerate().skip(1) {
        let before = append.expected_last.cast_signed() + i64::try_from(nth * AT_ONCE).unwrap_or(i64::MAX);
        let insert = sqlx::query(AssertSqlSafe(insertion(rows.len(), "true")));
        let insert = insert.bind(&id).bind(before).bind(append.min_reader);
        rows.iter().fold(insert, |insert, (_, text)| insert.bind(text)).execute(&mut *database).await?;
    }
    Ok(())
}

/// Moves the row of the workflow and adds the first events; nothing, when the log does not end where it should. Both in one
/// text, because each visit to the database's thread costs more than a statement; of the few texts that this makes each is
/// prepared once.
async fn move_on(database: &mut SqliteConnection, append: &Append, id: &str) -> Result<bool, Error> {
    let rows = &append.rows[..append.rows.len().min(AT_ONCE)];
    let events = insertion(rows.len(), "changes() = 1");
    let first = 4 + rows.len();
    let row = match append.begins {
        Some(_) => format!(
            "INSERT INTO workflows
                 (id, tenant, last_sequence, update_time, status, connection, user_id, create_time)
             SELECT ?1, ?{}, ?{}, ?{}, ?{}, ?{}, ?{}, ?{} WHERE ?2 = 0 ON CONFLICT (id) DO NOTHING",
            first,
            first + 1,
            first + 2,
            first + 3,
            first + 4,
            first + 5,
            first + 6
        ),
        None => format!(
            "UPDATE workflows SET last_sequence = ?{}, update_time = ?{}, status = coalesce(?{}, status)
             WHERE id = ?1 AND tenant = ?{} AND last_sequence = ?2",
            first + 1,
            first + 2,
            first + 3,
            first
        ),
    };
    let change = sqlx::query(AssertSqlSafe(format!("{row}; {events}")));
    let change = change.bind(id).bind(append.expected_last.cast_signed()).bind(append.min_reader);
    let change = rows.iter().fold(change, |change, (_, text)| change.bind(text));
    let mut change = change
        .bind(append.tenant.as_str())
        .bind(append.last_sequence().cast_signed())
        .bind(append.last_time.as_microsecond())
        .bind(append.status.map(WorkflowStatus::as_str));
    if let Some((connection, user_id)) = &append.begins {
        change = change.bind(connection).bind(user_id).bind(append.first_time.as_microsecond());
    }
    Ok(change.execute(database).await?.rows_affected() > 0)
}

/// Adds events of the workflow `?1` after sequence `?2` with version `?3`: the texts `?4`, `?5` …
fn insertion(events: usize, condition: &str) -> String {
    let events: Vec<_> = (1..=events).map(|nth| format!("(?2 + {nth}, ?{})", nth + 3)).collect();
    format!(
        "INSERT INTO events (workflow_id, sequence, min_reader, event)
         SELECT ?1, column1, ?3, column2 FROM (VALUES {}) WHERE {condition}",
        events.join(", ")
    )
}

/// Why nothing was appended.
async fn refusal(database: &mut SqliteConnection, append: &Append, id: &str) -> Result<Error, Error> {
    let stored: Option<(String, i64)> = sqlx::query_as("SELECT tenant, last_sequence FROM workflows WHERE id = ?")
        .bind(id)
        .fetch_optional(database)
        .await?;
    if stored.is_none() && append.expected_last == 0 && append.begins.is_none() {
        return Ok(Error::Corrupt("a log begins with workflow_started".to_owned()));
    }
    let own = stored.filter(|(tenant, _)| tenant == append.tenant.as_str());
    Ok(Error::OutOfSequence { last: own.map_or(0, |(_, last)| last.unsigned_abs()) })
}

/// Events after a sequence, in order.
pub(super) async fn read(
    database: &mut SqliteConnection,
    tenant: TenantId,
    workflow: WorkflowId,
    after_sequence: u64,
    limit: usize,
) -> Result<Vec<Event>, Error> {
    let rows: Vec<(i64, i64, String)> = sqlx::query_as(
        "SELECT events.sequence, events.min_reader, events.event
         FROM workflows JOIN events ON events.workflow_id = workflows.id
         WHERE workflows.tenant = ? AND workflows.id = ? AND events.sequence > ?
         ORDER BY events.sequence LIMIT ?",
    )
    .bind(tenant.as_str())
    .bind(workflow.to_string())
    .bind(i64::try_from(after_sequence).unwrap_or(i64::MAX))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(database)
    .await?;
    let event = |(sequence, min_reader, text): (i64, i64, String)| {
        record::event(workflow, sequence.unsigned_abs(), min_reader, &text)
    };
    rows.into_iter().map(event).collect()
}

/// Sequence of the last event.
pub(super) async fn last_sequence(
    database: &mut SqliteConnection,
    tenant: TenantId,
    workflow: WorkflowId,
) -> Result<Option<u64>, Error> {
    let last: Option<i64> = sqlx::query_scalar("SELECT last_sequence FROM workflows WHERE tenant = ? AND id = ?")
        .bind(tenant.as_str())
        .bind(workflow.to_string())
        .fetch_optional(database)
        .await?;
    Ok(last.map(i64::unsigned_abs))
}

/// One page of a tenant's workflows, newest first.
pub(super) async fn list(
    database: &mut SqliteConnection,
    tenant: TenantId,
    filter: ListFilter,
    page: PageRequest<WorkflowId>,
) -> Result<Page<StoredWorkflow, WorkflowId>, Error> {
    let statuses: Vec<&str> = filter.statuses.iter().copied().map(WorkflowStatus::as_str).collect();
    let statuses = (!statuses.is_empty()).then(|| serde_json::Value::from(statuses).to_string());
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, tenant, status, last_sequence FROM workflows
         WHERE tenant = ?1 AND (?2 IS NULL OR id < ?2)
           AND (?3 IS NULL OR status IN (SELECT value FROM json_each(?3)))
           AND (?4 IS NULL OR connection = ?4) AND (?5 IS NULL OR user_id = ?5)
         ORDER BY id DESC LIMIT ?6",
    )
    .bind(tenant.as_str())
    .bind(page.after.map(|id| id.to_string()))
    .bind(statuses)
    .bind(filter.connection.map(|id| id.to_string()))
    .bind(filter.user_id)
    .bind(one_more(page.limit))
    .fetch_all(database)
    .await?;
    let more = rows.len() > page.limit;
    let items = rows.into_iter().take(page.limit).map(stored_workflow).collect::<Result<Vec<_>, _>>()?;
    let next = if more { items.last().map(|workflow| workflow.id) } else { None };
    Ok(Page { items, next })
}

/// Keeps what a person thinks of a workflow.
pub(super) async fn put_rating(
    database: &mut SqliteConnection,
    tenant: TenantId,
    workflow: WorkflowId,
    rating: String,
) -> Result<bool, Error> {
    let done = sqlx::query("UPDATE workflows SET rating = ? WHERE tenant = ? AND id = ?")
        .bind(rating)
        .bind(tenant.as_str())
        .bind(workflow.to_string())
        .execute(database)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// What a person thinks of a workflow.
pub(super) async fn get_rating(
    database: &mut SqliteConnection,
    tenant: TenantId,
    workflow: WorkflowId,
) -> Result<Option<Rating>, Error> {
    let text: Option<Option<String>> = sqlx::query_scalar("SELECT rating FROM workflows WHERE tenant = ? AND id = ?")
        .bind(tenant.as_str())
        .bind(workflow.to_string())
        .fetch_optional(database)
        .await?;
    text.flatten().map(|text| record::rating(&text)).transpose()
}

/// Workflows of all tenants that can still change, oldest first.
pub(super) async fn unfinished(database: &mut SqliteConnection) -> Result<Vec<StoredWorkflow>, Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, tenant, status, last_sequence FROM workflows
         WHERE status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED') ORDER BY id",
    )
    .fetch_all(database)
    .await?;
    rows.into_iter().map(stored_workflow).collect()
}

/// Removes a workflow with its log.
pub(super) async fn delete(
    database: &mut SqliteConnection,
    tenant: TenantId,
    workflow: WorkflowId,
) -> Result<bool, Error> {
    let id = workflow.to_string();
    let done = sqlx::query("DELETE FROM workflows WHERE tenant = ? AND id = ?")
        .bind(tenant.as_str())
        .bind(&id)
        .execute(&mut *database)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("DELETE FROM events WHERE workflow_id = ?").bind(id).execute(database).await?;
    Ok(true)
}

/// Up to `limit` terminal workflows that are too old, or too many for their tenant.
pub(super) async fn expired(
    database: &mut SqliteConnection,
    older_than: Timestamp,
    keep: usize,
    limit: usize,
) -> Result<Vec<StoredWorkflow>, Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, tenant, status, last_sequence FROM (
             SELECT *, row_number() OVER (PARTITION BY tenant ORDER BY id DESC) AS place FROM workflows
             WHERE status IN ('COMPLETED', 'FAILED', 'CANCELLED'))
         WHERE update_time < ? OR place > ? LIMIT ?",
    )
    .bind(older_than.as_microsecond())
    .bind(i64::try_from(keep).unwrap_or(i64::MAX))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(database)
    .await?;
    rows.into_iter().map(stored_workflow).collect()
}

/// Id, tenant, status, last sequence.
type Row = (String, String, String, i64);

fn stored_workflow((id, tenant, status, last): Row) -> Result<StoredWorkflow, Error> {
    let parsed = || Some((id.parse().ok()?, TenantId::parse(&tenant)?, WorkflowStatus::parse(&status)?));
    let (id, tenant, status) = parsed().ok_or_else(|| Error::Corrupt("a row of the list of workflows".to_owned()))?;
    Ok(StoredWorkflow { tenant, id, status, last_sequence: last.unsigned_abs() })
}
