//! What is known of connections.

use sqlx::SqliteConnection;

use super::connections;
use crate::domain::{ConnectionId, TenantId};
use crate::store::Error;
use crate::store::record::KnowledgeRecord;

/// What is known of a connection, or `None`.
pub(super) async fn get(
    database: &mut SqliteConnection,
    tenant: TenantId,
    connection: ConnectionId,
) -> Result<Option<KnowledgeRecord>, Error> {
    let text: Option<String> = sqlx::query_scalar("SELECT record FROM knowledge WHERE tenant = ? AND connection = ?")
        .bind(tenant.as_str())
        .bind(connection.to_string())
        .fetch_optional(database)
        .await?;
    text.map(|text| KnowledgeRecord::from_text(&text)).transpose()
}

/// Replaces what still has the expected etag, or adds it where nothing is expected.
pub(super) async fn put(
    database: &mut SqliteConnection,
    record: KnowledgeRecord,
    expected_etag: Option<String>,
) -> Result<bool, Error> {
    if !connections::exists(database, &record.tenant, record.connection).await? {
        return Ok(false);
    }
    let stored: Option<String> = sqlx::query_scalar("SELECT etag FROM knowledge WHERE tenant = ? AND connection = ?")
        .bind(record.tenant.as_str())
        .bind(record.connection.to_string())
        .fetch_optional(&mut *database)
        .await?;
    if stored != expected_etag {
        return Err(Error::EtagMismatch);
    }
    sqlx::query("INSERT OR REPLACE INTO knowledge (tenant, connection, etag, record) VALUES (?, ?, ?, ?)")
        .bind(record.tenant.as_str())
        .bind(record.connection.to_string())
        .bind(&record.etag)
        .bind(record.to_text()?)
        .execute(database)
        .await?;
    Ok(true)
}
