//! Repeats of writes (AIP-155): a write that carries a request id runs once, and its repeats get the first result.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::types::QueryResult;
use crate::domain::{Failure, Principal, Reason, RequestKey};
use crate::store::{self, Claim, Store};

/// The name under which request ids of writes are kept.
const RPC: &str = "ExecuteQuery";

/// How a write ended, as far as that is known for certain.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Done(QueryResult),
    /// The database refused it: nothing was written.
    Refused(Failure),
}

/// Runs the write unless it ran before.
///
/// What is not known for certain is not guessed: a write whose end was lost (the caller left, the server died, the
/// database did not answer) is not run again, and its repeats say so.
pub(super) async fn once(
    store: &Arc<dyn Store>,
    who: &Principal,
    key: &RequestKey,
    write: impl Future<Output = Result<QueryResult, Failure>>,
) -> Result<QueryResult, Failure> {
    let claim = store.claim_request(&who.tenant, RPC, &key.id, &key.body_hash, Uuid::now_v7()).await;
    match claim.map_err(|error| unavailable(&error))? {
        Claim::New => {}
        Claim::Reused => {
            let message = "the request id was used with another body; give each request its own";
            return Err(Failure::new(Reason::RequestIdReused, message).with("request_id", &key.id).with("rpc", RPC));
        }
        Claim::Repeat(_) => match first_answer(store, who, key).await? {
            Some(Answer::Done(result)) => return Ok(result),
            // Waiting helps against this one, so it may run now.
            Some(Answer::Refused(failure)) if failure.retry_after.is_some() => {}
            Some(Answer::Refused(failure)) => return Err(failure),
            None => return Err(unknown(key)),
        },
    }
    let ended = write.await;
    let answer = match &ended {
        Ok(result) => Answer::Done(result.clone()),
        Err(failure) if is_certain(failure.reason) => Answer::Refused(failure.clone()),
        Err(_) => return ended,
    };
    if let Err(error) = keep(store, who, key, &answer).await {
        // The write stands; only its repeats will not know how it ended.
        tracing::error!(error = &error as &dyn std::error::Error, "the answer to a write could not be kept");
    }
    ended
}

/// Whether a failure says that nothing was written.
fn is_certain(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::FieldInvalid
            | Reason::SqlFailed
            | Reason::SqlNotAllowed
            | Reason::SqlConstraintViolated
            | Reason::SqlConflict
            | Reason::TargetBusy
            | Reason::TargetPrivilegeMissing
    )
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
    let message = "The first call with this request id still runs, or its end was lost. Look at the data before you send \
                   the write again under a new request id.";
    Failure::new(Reason::SqlConflict, message).with("request_id", &key.id)
}

fn unavailable(error: &store::Error) -> Failure {
    tracing::error!(error = error as &dyn std::error::Error, "the store refused");
    Failure::new(Reason::StoreUnavailable, "the store cannot be reached in time")
        .retry_after(std::time::Duration::from_secs(1))
}
