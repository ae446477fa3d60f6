//! Request ids (AIP-155): what a repeated call refers to.

use jiff::Timestamp;
use uuid::Uuid;

use super::link::Link;
use super::scripts::{ANSWER, CLAIM, FORGET_REQUESTS, KEEP_ANSWER, RELEASE_REQUEST};
use crate::domain::TenantId;
use crate::store::{Claim, Error};

/// Requests that one script forgets.
const AT_ONCE: u32 = 1_000;

/// The name of a request: tenants and RPCs have no colon in theirs.
pub(super) fn name(tenant: &TenantId, rpc: &str, request_id: &str) -> String {
    format!("{tenant}:{rpc}:{request_id}")
}

/// Stores the claim unless there is one; says what stands.
pub(super) async fn claim(
    link: &Link,
    request: String,
    hash: &[u8; 32],
    id: Uuid,
    now: Timestamp,
) -> Result<Claim, Error> {
    let tag = link.keys.of_request(&request);
    let arguments =
        vec![request.into(), id.hyphenated().to_string().into(), hex::encode(hash).into(), now.as_microsecond().into()];
    let answer: Vec<String> = link.run(&CLAIM, tag, arguments).await?;
    match answer.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["new"] => Ok(Claim::New),
        ["reused"] => Ok(Claim::Reused),
        ["repeat", id] => {
            let id = Uuid::parse_str(id).map_err(|_| Error::Corrupt("the id behind a request id".to_owned()))?;
            Ok(Claim::Repeat(id))
        }
        _ => Err(Error::Corrupt("the claim of a request id".to_owned())),
    }
}

/// Keeps the answer beside its claim.
pub(super) async fn keep_answer(link: &Link, request: String, answer: &str) -> Result<(), Error> {
    let tag = link.keys.of_request(&request);
    link.run::<i64>(&KEEP_ANSWER, tag, vec![request.into(), answer.into()]).await.map(|_| ())
}

/// Forgets the claim with this id.
pub(super) async fn release(link: &Link, request: String, id: Uuid) -> Result<(), Error> {
    let tag = link.keys.of_request(&request);
    let arguments = vec![request.into(), id.hyphenated().to_string().into()];
    link.run::<i64>(&RELEASE_REQUEST, tag, arguments).await.map(|_| ())
}

/// The answer beside a claim.
pub(super) async fn answer(link: &Link, request: String) -> Result<Option<String>, Error> {
    let tag = link.keys.of_request(&request);
    link.run(&ANSWER, tag, vec![request.into()]).await
}

/// Forgets request ids claimed before `older_than`.
pub(super) async fn expire(link: &Link, older_than: Timestamp) -> Result<(), Error> {
    for tag in link.keys.tags() {
        loop {
            let arguments = vec![older_than.as_microsecond().into(), AT_ONCE.into()];
            let forgotten: u32 = link.run(&FORGET_REQUESTS, tag.clone(), arguments).await?;
            if forgotten < AT_ONCE {
                break;
            }
        }
    }
    Ok(())
}
