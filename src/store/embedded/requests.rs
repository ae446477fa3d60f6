//! Request ids (AIP-155): what a repeated call refers to.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use uuid::Uuid;

use crate::domain::TenantId;
use crate::store::{Claim, Error};

/// A request id and what it is to stand for.
pub(super) struct Request {
    pub(super) tenant: TenantId,
    pub(super) rpc: String,
    pub(super) key: String,
    pub(super) hash: [u8; 32],
    pub(super) id: Uuid,
}

/// Stores the claim unless there is one; says what stands.
pub(super) async fn claim(database: &mut SqliteConnection, request: Request, now: Timestamp) -> Result<Claim, Error> {
    let stored: Option<(String, Vec<u8>)> =
        sqlx::query_as("SELECT id, hash FROM requests WHERE tenant = ? AND rpc = ? AND request_id = ?")
            .bind(request.tenant.as_str())
            .bind(&request.rpc)
            .bind(&request.key)
            .fetch_optional(&mut *database)
            .await?;
    if let Some((id, hash)) = stored {
        if hash != request.hash {
            return Ok(Claim::Reused);
        }
        let id = Uuid::parse_str(&id).map_err(|_| Error::Corrupt("the id behind a request id".to_owned()))?;
        return Ok(Claim::Repeat(id));
    }
    sqlx::query("INSERT INTO requests (tenant, rpc, request_id, id, hash, claim_time) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(request.tenant.as_str())
        .bind(request.rpc)
        .bind(request.key)
        .bind(request.id.hyphenated().to_string())
        .bind(request.hash.to_vec())
        .bind(now.as_microsecond())
        .execute(database)
        .await?;
    Ok(Claim::New)
}

/// Keeps the answer beside its claim.
pub(super) async fn keep_answer(
    database: &mut SqliteConnection,
    (tenant, rpc, key): (TenantId, String, String),
    answer: String,
) -> Result<(), Error> {
    sqlx::query("UPDATE requests SET answer = ? WHERE tenant = ? AND rpc = ? AND request_id = ?")
        .bind(answer)
        .bind(tenant.as_str())
        .bind(rpc)
        .bind(key)
        .execute(database)
        .await?;
    Ok(())
}

/// Forgets the claim with this id.
pub(super) async fn release(
    database: &mut SqliteConnection,
    (tenant, rpc, key): (TenantId, String, String),
    id: Uuid,
) -> Result<(), Error> {
    sqlx::query("DELETE FROM requests WHERE tenant = ? AND rpc = ? AND request_id = ? AND id = ?")
        .bind(tenant.as_str())
        .bind(rpc)
        .bind(key)
        .bind(id.hyphenated().to_string())
        .execute(database)
        .await?;
    Ok(())
}

/// The answer beside a claim.
pub(super) async fn answer(
    database: &mut SqliteConnection,
    (tenant, rpc, key): (TenantId, String, String),
) -> Result<Option<String>, Error> {
    let answer: Option<Option<String>> =
        sqlx::query_scalar("SELECT answer FROM requests WHERE tenant = ? AND rpc = ? AND request_id = ?")
            .bind(tenant.as_str())
            .bind(rpc)
            .bind(key)
            .fetch_optional(database)
            .await?;
    Ok(answer.flatten())
}

/// Forgets request ids claimed before `older_than`.
pub(super) async fn expire(database: &mut SqliteConnection, older_than: Timestamp) -> Result<(), Error> {
    sqlx::query("DELETE FROM requests WHERE claim_time < ?")
        .bind(older_than.as_microsecond())
        .execute(database)
        .await?;
    Ok(())
}
