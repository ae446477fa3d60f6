//! What is known of connections. It is in the partition of its connection, so that it goes with it by one script.

use super::link::Link;
use super::scripts::{GET_KNOWLEDGE, PUT_KNOWLEDGE};
use crate::domain::{ConnectionId, TenantId};
use crate::store::Error;
use crate::store::record::KnowledgeRecord;

/// What is known of a connection, or `None`.
pub(super) async fn get(
    link: &Link,
    tenant: &TenantId,
    connection: ConnectionId,
) -> Result<Option<KnowledgeRecord>, Error> {
    let arguments = vec![tenant.as_str().into(), connection.to_string().into()];
    let text: Option<String> = link.run(&GET_KNOWLEDGE, link.keys.of_tenant(tenant), arguments).await?;
    text.map(|text| KnowledgeRecord::from_text(&text)).transpose()
}

/// Replaces what still has the expected etag, or adds it where nothing is expected.
pub(super) async fn put(link: &Link, record: &KnowledgeRecord, expected_etag: Option<&str>) -> Result<bool, Error> {
    let arguments = vec![
        record.tenant.as_str().into(),
        record.connection.to_string().into(),
        record.etag.as_str().into(),
        record.to_text()?.into(),
        expected_etag.unwrap_or_default().into(),
    ];
    let answer: String = link.run_once(&PUT_KNOWLEDGE, link.keys.of_tenant(&record.tenant), arguments).await?;
    match answer.as_str() {
        "done" => Ok(true),
        "absent" => Ok(false),
        _ => Err(Error::EtagMismatch),
    }
}
