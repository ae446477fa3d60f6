//! Saved connections.

use sqlx::SqliteConnection;

use crate::domain::{ConnectionId, Page, PageRequest, TenantId};
use crate::store::Error;
use crate::store::record::ConnectionRecord;

/// Adds a connection whose name and id are free.
pub(super) async fn create(database: &mut SqliteConnection, record: ConnectionRecord) -> Result<(), Error> {
    let row = Row::of(&record)?;
    if name_is_taken(database, &row).await? || etag_of(database, &row).await?.is_some() {
        return Err(Error::NameTaken);
    }
    sqlx::query("INSERT INTO connections (tenant, id, name_key, etag, record) VALUES (?, ?, ?, ?, ?)")
        .bind(row.tenant)
        .bind(row.id)
        .bind(row.name_key)
        .bind(row.etag)
        .bind(row.record)
        .execute(database)
        .await?;
    Ok(())
}

/// The connection, or `None`.
pub(super) async fn get(
    database: &mut SqliteConnection,
    tenant: TenantId,
    id: ConnectionId,
) -> Result<Option<ConnectionRecord>, Error> {
    let text: Option<String> = sqlx::query_scalar("SELECT record FROM connections WHERE tenant = ? AND id = ?")
        .bind(tenant.as_str())
        .bind(id.to_string())
        .fetch_optional(database)
        .await?;
    text.map(|text| ConnectionRecord::from_text(&text)).transpose()
}

/// One page in id order.
pub(super) async fn list(
    database: &mut SqliteConnection,
    tenant: TenantId,
    page: PageRequest<ConnectionId>,
) -> Result<Page<ConnectionRecord, ConnectionId>, Error> {
    // One more than asked for tells whether more follow.
    let texts: Vec<String> =
        sqlx::query_scalar("SELECT record FROM connections WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?")
            .bind(tenant.as_str())
            .bind(page.after.map(|id| id.to_string()).unwrap_or_default())
            .bind(super::handle::one_more(page.limit))
            .fetch_all(database)
            .await?;
    let more = texts.len() > page.limit;
    let items =
        texts.iter().take(page.limit).map(|text| ConnectionRecord::from_text(text)).collect::<Result<Vec<_>, _>>()?;
    let next = if more { items.last().map(|record| record.connection.id) } else { None };
    Ok(Page { items, next })
}

/// Replaces a connection that still has the expected etag.
pub(super) async fn update(
    database: &mut SqliteConnection,
    record: ConnectionRecord,
    expected_etag: String,
) -> Result<bool, Error> {
    let row = Row::of(&record)?;
    let stored = etag_of(database, &row).await?;
    let Some(stored) = stored else { return Ok(false) };
    if stored != expected_etag {
        return Err(Error::EtagMismatch);
    }
    if name_is_taken(database, &row).await? {
        return Err(Error::NameTaken);
    }
    sqlx::query("UPDATE connections SET name_key = ?, etag = ?, record = ? WHERE tenant = ? AND id = ?")
        .bind(row.name_key)
        .bind(row.etag)
        .bind(row.record)
        .bind(row.tenant)
        .bind(row.id)
        .execute(database)
        .await?;
    Ok(true)
}

/// Whether there is such a connection.
pub(super) async fn exists(
    database: &mut SqliteConnection,
    tenant: &TenantId,
    id: ConnectionId,
) -> Result<bool, Error> {
    let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM connections WHERE tenant = ? AND id = ?")
        .bind(tenant.as_str())
        .bind(id.to_string())
        .fetch_optional(database)
        .await?;
    Ok(found.is_some())
}

/// Removes a connection with what is known of it.
pub(super) async fn delete(database: &mut SqliteConnection, tenant: TenantId, id: ConnectionId) -> Result<bool, Error> {
    sqlx::query("DELETE FROM knowledge WHERE tenant = ? AND connection = ?")
        .bind(tenant.as_str())
        .bind(id.to_string())
        .execute(&mut *database)
        .await?;
    let done = sqlx::query("DELETE FROM connections WHERE tenant = ? AND id = ?")
        .bind(tenant.as_str())
        .bind(id.to_string())
        .execute(database)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// A record with the columns that are searched beside it.
struct Row {
    tenant: String,
    id: String,
    name_key: String,
    etag: String,
    record: String,
}

impl Row {
    fn of(record: &ConnectionRecord) -> Result<Self, Error> {
        let connection = &record.connection;
        Ok(Self {
            tenant: connection.tenant.to_string(),
            id: connection.id.to_string(),
            name_key: connection.name.to_lowercase(),
            etag: connection.etag.clone(),
            record: record.to_text()?,
        })
    }
}

/// The stored etag; `None` when there is no such connection.
async fn etag_of(database: &mut SqliteConnection, row: &Row) -> Result<Option<String>, Error> {
    let stored = sqlx::query_scalar("SELECT etag FROM connections WHERE tenant = ? AND id = ?")
        .bind(&row.tenant)
        .bind(&row.id)
        .fetch_optional(database)
        .await?;
    Ok(stored)
}

/// Whether another connection of the tenant has the name.
async fn name_is_taken(database: &mut SqliteConnection, row: &Row) -> Result<bool, Error> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM connections WHERE tenant = ? AND name_key = ? AND id <> ? LIMIT 1")
            .bind(&row.tenant)
            .bind(&row.name_key)
            .bind(&row.id)
            .fetch_optional(database)
            .await?;
    Ok(found.is_some())
}
