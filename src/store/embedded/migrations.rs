//! The tables, and how older files become newer ones.

use std::path::Path;

use sqlx::{Connection, SqliteConnection};

use super::error::OpenError;
use crate::store::Error;

/// Step n takes a file from format n to n + 1. Steps are never edited once released, only added.
const STEPS: &[&[&str]] = &[
    &[
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT",
        "INSERT INTO meta (key, value) VALUES ('epoch', 0)",
        "CREATE TABLE connections (
            tenant TEXT NOT NULL, id TEXT NOT NULL, name_key TEXT NOT NULL, etag TEXT NOT NULL, record TEXT NOT NULL,
            PRIMARY KEY (tenant, id), UNIQUE (tenant, name_key)) STRICT",
        "CREATE TABLE requests (
            tenant TEXT NOT NULL, rpc TEXT NOT NULL, request_id TEXT NOT NULL,
            id TEXT NOT NULL, hash BLOB NOT NULL, claim_time INTEGER NOT NULL,
            PRIMARY KEY (tenant, rpc, request_id)) STRICT",
        // Derived from the events in the transaction that appends them; the log stays the truth.
        "CREATE TABLE workflows (
            id TEXT PRIMARY KEY, tenant TEXT NOT NULL, status TEXT NOT NULL, connection TEXT, user_id TEXT NOT NULL,
            last_sequence INTEGER NOT NULL, create_time INTEGER NOT NULL, update_time INTEGER NOT NULL) STRICT",
        "CREATE INDEX workflows_by_tenant ON workflows (tenant, id)",
        "CREATE INDEX workflows_unfinished ON workflows (id) WHERE status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')",
        "CREATE TABLE events (
            workflow_id TEXT NOT NULL, sequence INTEGER NOT NULL, min_reader INTEGER NOT NULL, event TEXT NOT NULL,
            PRIMARY KEY (workflow_id, sequence)) STRICT",
    ],
    &["ALTER TABLE requests ADD COLUMN answer TEXT"],
    &["CREATE TABLE knowledge (
        tenant TEXT NOT NULL, connection TEXT NOT NULL, etag TEXT NOT NULL, record TEXT NOT NULL,
        PRIMARY KEY (tenant, connection)) STRICT"],
    &["ALTER TABLE workflows ADD COLUMN rating TEXT"],
];

/// Brings the file to the newest format and counts this opening; returns the new epoch.
pub(super) async fn run(connection: &mut SqliteConnection, path: &Path) -> Result<u64, Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let Some(missing) = usize::try_from(found).ok().and_then(|done| STEPS.get(done..)) else {
        return Err(OpenError::TooNew { path: path.to_owned(), found, known }.into());
    };
    for statement in missing.iter().copied().flatten().copied() {
        sqlx::query(statement).execute(&mut *transaction).await?;
    }
    // A pragma takes no parameters; the number is ours.
    let record_version = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {known}"));
    sqlx::query(record_version).execute(&mut *transaction).await?;
    let epoch: i64 = sqlx::query_scalar("UPDATE meta SET value = value + 1 WHERE key = 'epoch' RETURNING value")
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(epoch.unsigned_abs())
}
