//! Writes whose end may be lost, and repeats of writes (AIP-155): a write that carries a request id happens once, and its
//! repeats get the first result.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::types::QueryResult;
use crate::domain::{DatabaseKind, Failure, Principal, Reason, RequestKey};
use crate::store::{self, Claim, Store};

/// The name under which request ids of writes are kept.
const RPC: &str = "ExecuteQuery";

/// The metadata of a failure after which nobody knows whether the write happened.
const OUTCOME: (&str, &str) = ("outcome", "unknown");

/// How a write ended that happened.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Done(QueryResult),
}

/// Runs the write unless it happened before.
///
/// A write that certainly did not happen leaves the id free, so that the same request can be sent again. What is not known
/// for certain is not guessed: a write whose end was lost (the caller left, the server died, the database did not answer)
/// is not run again, and its repeats say so.
pub(super) async fn once(
    store: &Arc<dyn Store>,
    who: &Principal,
    key: &RequestKey,
    write: impl Future<Output = Result<QueryResult, Failure>>,
) -> Result<QueryResult, Failure> {
    let id = Uuid::now_v7();
    let claim = store.claim_request(&who.tenant, RPC, &key.id, &key.body_hash, id).await;
    match claim.map_err(|error| unavailable(&error))? {
        Claim::New => {}
        Claim::Reused => {
            let message = "the request id was used with another body; give each request its own";
            return Err(Failure::new(Reason::RequestIdReused, message).with("request_id", &key.id).with("rpc", RPC));
        }
        Claim::Repeat(_) => {
            let Answer::Done(result) = first_answer(store, who, key).await?.ok_or_else(|| unknown(key))?;
            return Ok(result);
        }
    }
    let ended = write.await;
    let kept = match &ended {
        Ok(result) => keep(store, who, key, &Answer::Done(result.clone())).await,
        Err(failure) if is_unknown(failure) => Ok(()),
        Err(_) => store.release_request(&who.tenant, RPC, &key.id, id).await,
    };
    if let Err(error) = kept {
        // The end of the write stands; only its repeats will not know of it.
        tracing::error!(error = &error as &dyn std::error::Error, "the answer to a write could not be kept");
    }
    ended
}

/// The failure of a write; one that leaves open whether the write happened says so.
pub(super) fn told(failure: Failure, database: DatabaseKind) -> Failure {
    if happened_not(&failure, database) {
        return failure;
    }
    let message = format!(
        "{} Whether the write happened is not known: look at the data before you send it again, then under a new request id.",
        failure.message
    );
    // Nothing that repeats calls by itself may repeat this one.
    Failure { message, retry_after: None, ..failure }.with(OUTCOME.0, OUTCOME.1)
}

fn is_unknown(failure: &Failure) -> bool {
    failure.metadata.get(OUTCOME.0).is_some_and(|outcome| outcome == OUTCOME.1)
}

/// Whether a failure says for certain that nothing was written: the statement was never sent, or the database itself says
/// that it refused it.
fn happened_not(failure: &Failure, database: DatabaseKind) -> bool {
    match failure.reason {
        Reason::FieldInvalid
        // The database itself says that somebody stopped it; when its caller leaves, nobody reads this.
        | Reason::CallCancelled
        | Reason::SqlFailed
        | Reason::SqlNotAllowed
        | Reason::SqlConstraintViolated
        | Reason::SqlConflict
        | Reason::StatementTooExpensive
        | Reason::HostNotAllowed
        | Reason::FileNotFound
        | Reason::FileIsDirectory
        | Reason::FileNotADatabase
        | Reason::FileUnreadable
        | Reason::TargetAuthFailed
        | Reason::TargetTlsFailed
        | Reason::TargetDatabaseUnknown
        | Reason::TargetPrivilegeMissing
        | Reason::TargetProtocol
        | Reason::TargetBusy => true,
        // A session that was never there has sent nothing; one that broke may have.
        Reason::TargetUnavailable => failure.metadata.get("failure").is_some_and(|how| how != "LOST"),
        // SQLite's own end of the statement is waited for, and it undid what it stopped; a server is not waited for.
        Reason::StatementTimeout => database == DatabaseKind::Sqlite,
        _ => false,
    }
}

async fn first_answer(store: &Arc<dyn Store>, who: &Principal, key: &RequestKey) -> Result<Option<Answer>, Failure> {
    let kept = store.answer(&who.tenant, RPC, &key.id).await.map_err(|error| unavailable(&error))?;
    let read = kept.map(|text| serde_json::from_str(&text)).transpose();
    read.map_err(|_| {
        Failure::new(Reason::StoreDataLost, "the answer to the first call cannot be read").with("record", "request")
    })
}

async fn keep(store: &Arc<dyn Store>, who: &Principal, key: &RequestKey, answer: &Answer) -> Result<(), store::Error> {
    let text = serde_json::to_string(answer).map_err(|error| store::Error::Corrupt(error.to_string()))?;
    store.keep_answer(&who.tenant, RPC, &key.id, &text).await
}

fn unknown(key: &RequestKey) -> Failure {
    let message = "The first call with this request id still runs, or nobody knows how it ended. Repeat this call until the \
                   first one must be over; if it says the same then, look at the data, and send the write under a new \
                   request id if it did not happen.";
    Failure::new(Reason::SqlConflict, message).with("request_id", &key.id).with(OUTCOME.0, OUTCOME.1)
}

fn unavailable(error: &store::Error) -> Failure {
    tracing::error!(error = error as &dyn std::error::Error, "the store refused");
    Failure::new(Reason::StoreUnavailable, "the store cannot be reached in time")
        .retry_after(std::time::Duration::from_secs(1))
}
