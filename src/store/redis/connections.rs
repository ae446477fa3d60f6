//! Saved connections. All of a tenant's are in one partition, so that names are unique by one script.

use super::link::Link;
use super::scripts::{CREATE_CONNECTION, DELETE_CONNECTION, GET_CONNECTION, LIST_CONNECTIONS, UPDATE_CONNECTION};
use crate::domain::{ConnectionId, Page, PageRequest, TenantId};
use crate::store::Error;
use crate::store::record::ConnectionRecord;

/// Adds a connection whose name and id are free.
pub(super) async fn create(link: &Link, record: &ConnectionRecord) -> Result<(), Error> {
    let connection = &record.connection;
    let arguments = vec![
        connection.tenant.as_str().into(),
        connection.id.to_string().into(),
        connection.name.to_lowercase().into(),
        connection.etag.as_str().into(),
        record.to_text()?.into(),
    ];
    let answer: String = link.run_once(&CREATE_CONNECTION, link.keys.of_tenant(&connection.tenant), arguments).await?;
    if answer == "done" { Ok(()) } else { Err(Error::NameTaken) }
}

/// The connection, or `None`.
pub(super) async fn get(link: &Link, tenant: &TenantId, id: ConnectionId) -> Result<Option<ConnectionRecord>, Error> {
    let arguments = vec![tenant.as_str().into(), id.to_string().into()];
    let text: Option<String> = link.run(&GET_CONNECTION, link.keys.of_tenant(tenant), arguments).await?;
    text.map(|text| ConnectionRecord::from_text(&text)).transpose()
}

/// One page in id order.
pub(super) async fn list(
    link: &Link,
    tenant: &TenantId,
    page: PageRequest<ConnectionId>,
) -> Result<Page<ConnectionRecord, ConnectionId>, Error> {
    // One more than asked for tells whether more follow.
    let after = page.after.map(|id| id.to_string()).unwrap_or_default();
    let arguments = vec![tenant.as_str().into(), after.into(), super::handle::one_more(page.limit).into()];
    let texts: Vec<String> = link.run(&LIST_CONNECTIONS, link.keys.of_tenant(tenant), arguments).await?;
    let more = texts.len() > page.limit;
    let records = texts.iter().take(page.limit).map(|text| ConnectionRecord::from_text(text));
    let items = records.collect::<Result<Vec<_>, _>>()?;
    let next = if more { items.last().map(|record| record.connection.id) } else { None };
    Ok(Page { items, next })
}

/// Replaces a connection that still has the expected etag.
pub(super) async fn update(link: &Link, record: &ConnectionRecord, expected_etag: &str) -> Result<bool, Error> {
    let connection = &record.connection;
    let arguments = vec![
        connection.tenant.as_str().into(),
        connection.id.to_string().into(),
        connection.name.to_lowercase().into(),
        connection.etag.as_str().into(),
        record.to_text()?.into(),
        expected_etag.into(),
    ];
    let answer: String = link.run_once(&UPDATE_CONNECTION, link.keys.of_tenant(&connection.tenant), arguments).await?;
    match answer.as_str() {
        "done" => Ok(true),
        "absent" => Ok(false),
        "taken" => Err(Error::NameTaken),
        _ => Err(Error::EtagMismatch),
    }
}

/// Removes a connection.
pub(super) async fn delete(link: &Link, tenant: &TenantId, id: ConnectionId) -> Result<bool, Error> {
    let arguments = vec![tenant.as_str().into(), id.to_string().into()];
    link.run_once(&DELETE_CONNECTION, link.keys.of_tenant(tenant), arguments).await
}
