//! Requests of `ConnectionService`.

use secrecy::SecretString;

use super::fields::{Draft, Fields, request_key};
use crate::api::page_token::List;
use crate::connections::{Change, CreateOptions, Spec, Tested};
use crate::domain::{AccessMode, ConnectionId, ConnectionLimits, DatabaseKind, Failure, PageRequest, Tls, TlsMode};
use crate::pb::v1 as pb;

const MAX_NAME_CHARS: usize = 100;
const MAX_URL_BYTES: usize = 2 << 10;
const MAX_HOST_BYTES: usize = 255;
const MAX_PATH_BYTES: usize = 4 << 10;
const MAX_PASSWORD_BYTES: usize = 1 << 10;
const MAX_PEM_BYTES: usize = 64 << 10;
const MAX_FUNCTIONS: usize = 200;
const MAX_EXCLUDED_COLUMNS: usize = 1_000;

/// Fields of a spec that a mask may name, as the use case knows them.
const MASK_PATHS: &[&str] = &[
    "url",
    "name",
    "kind",
    "host",
    "port",
    "database",
    "username",
    "password",
    "tls",
    "tls.mode",
    "tls.ca_certificate",
    "tls.client_certificate",
    "tls.client_key",
    "access_mode",
    "allowed_functions",
    "excluded_columns",
    "limits",
    "limits.max_rows",
    "limits.max_bytes",
    "limits.statement_timeout",
    "limits.max_pool_size",
];

pub(in crate::api) fn create_connection(mut request: pb::CreateConnectionRequest) -> Draft<(Spec, CreateOptions)> {
    let mut fields = Fields::default();
    let id = std::mem::take(&mut request.request_id);
    let key = request_key(&mut fields, id, &request);
    let pb::CreateConnectionRequest { connection, skip_test, request_id: _, validate_only } = request;
    let spec = required_spec(&mut fields, connection);
    let options = CreateOptions { request: key, skip_test, validate_only };
    fields.draft(spec.map(|spec| (spec, options)))
}

/// Which connections to list.
pub(in crate::api) struct ListConnections {
    pub(in crate::api) list: List,
    pub(in crate::api) page: PageRequest<ConnectionId>,
    /// Only this name, ignoring case.
    pub(in crate::api) name: Option<String>,
    /// Only this kind.
    pub(in crate::api) kind: Option<DatabaseKind>,
}

pub(in crate::api) fn list_connections(request: pb::ListConnectionsRequest) -> Result<ListConnections, Failure> {
    let pb::ListConnectionsRequest { page_size, page_token, name, kind } = request;
    let mut fields = Fields::default();
    let limit = fields.page_size(page_size, 50, 500);
    let list = List::new("ListConnections", &(name.to_lowercase(), kind));
    let kind = fields.choice("kind", kind).and_then(database_kind);
    fields.finish(Some(()))?;
    let page = PageRequest { after: list.after(&page_token)?, limit };
    Ok(ListConnections { list, page, name: Some(name).filter(|name| !name.is_empty()), kind })
}

pub(in crate::api) fn update_connection(request: pb::UpdateConnectionRequest) -> Draft<(ConnectionId, Change)> {
    let pb::UpdateConnectionRequest { id, connection, update_mask, etag, skip_test, validate_only } = request;
    let mut fields = Fields::default();
    let id = fields.id("id", &id);
    let asked = update_mask.map(|mask| mask.paths).unwrap_or_default();
    let paths = if asked.is_empty() { connection.as_ref().map(present).unwrap_or_default() } else { asked };
    for path in &paths {
        if path == "url" && connection.as_ref().is_none_or(|spec| spec.url.is_empty()) {
            fields.bad("connection.url", "is named by the mask but empty");
        } else if !MASK_PATHS.contains(&path.as_str()) {
            fields.bad("update_mask", format!("`{path}` is no field of a connection's spec"));
        }
    }
    if paths.is_empty() && connection.is_some() {
        fields.bad("connection", "changes nothing; set the fields to change, or name those to clear in `update_mask`");
    }
    let spec = required_spec(&mut fields, connection);
    let etag = Some(etag).filter(|etag| !etag.is_empty());
    let change = spec.map(|spec| Change { spec, paths, etag, skip_test, validate_only });
    fields.draft(id.zip(change))
}

pub(in crate::api) fn test_connection(request: pb::TestConnectionRequest) -> Draft<Tested> {
    let pb::TestConnectionRequest { id, connection } = request;
    let mut fields = Fields::default();
    let tested = match (id.is_empty(), connection) {
        (true, None) => {
            fields.bad("id", "is required, unless `connection` is given");
            None
        }
        (true, Some(given)) => Some(Tested::Unsaved(spec(&mut fields, given))),
        (false, None) => fields.id("id", &id).map(Tested::Saved),
        (false, Some(given)) => {
            let paths = present(&given);
            let spec = spec(&mut fields, given);
            fields.id("id", &id).map(|id| Tested::Changed { id, spec, paths })
        }
    };
    fields.draft(tested)
}

/// Which tables to describe.
pub(in crate::api) struct GetSchema {
    pub(in crate::api) id: ConnectionId,
    pub(in crate::api) list: List,
    /// Schema and name of the last table of the page before.
    pub(in crate::api) after: Option<(String, String)>,
    pub(in crate::api) limit: usize,
    pub(in crate::api) schema: Option<String>,
    pub(in crate::api) table: Option<String>,
    pub(in crate::api) names_only: bool,
    pub(in crate::api) refresh: bool,
}

pub(in crate::api) fn get_schema(request: pb::GetSchemaRequest) -> Result<GetSchema, Failure> {
    let pb::GetSchemaRequest { id, page_size, page_token, schema, table, view, refresh } = request;
    let mut fields = Fields::default();
    let list = List::new("GetSchema", &(&id, &schema, &table, view));
    let id = fields.id("id", &id);
    let limit = fields.page_size(page_size, 200, 1_000);
    let names_only = fields.choice("view", view) == Some(pb::SchemaView::Names);
    let id = fields.finish(id)?;
    let after = list.after(&page_token)?;
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(GetSchema { id, list, after, limit, schema: given(schema), table: given(table), names_only, refresh })
}

fn required_spec(fields: &mut Fields, given: Option<pb::ConnectionSpec>) -> Option<Spec> {
    if given.is_none() {
        fields.bad("connection", "is required");
    }
    given.map(|given| spec(fields, given))
}

/// What belongs together (a kind and its host) is checked by the use case, which also reads the URL.
fn spec(fields: &mut Fields, given: pb::ConnectionSpec) -> Spec {
    let pb::ConnectionSpec {
        url,
        name,
        kind,
        host,
        port,
        database,
        username,
        password,
        tls,
        access_mode,
        allowed_functions,
        excluded_columns,
        limits,
    } = given;
    if name.chars().count() > MAX_NAME_CHARS {
        fields.bad("connection.name", format!("must have at most {MAX_NAME_CHARS} characters"));
    } else if name.chars().any(char::is_control) {
        fields.bad("connection.name", "must not contain control characters");
    }
    let port = u16::try_from(port).unwrap_or_else(|_| {
        fields.bad("connection.port", format!("is {port}; ports are 1 to 65535, 0 means the usual one"));
        0
    });
    if allowed_functions.len() > MAX_FUNCTIONS {
        fields.bad("connection.allowed_functions", format!("must name at most {MAX_FUNCTIONS}"));
    }
    if excluded_columns.len() > MAX_EXCLUDED_COLUMNS {
        fields.bad("connection.excluded_columns", format!("must name at most {MAX_EXCLUDED_COLUMNS}"));
    }
    let access = fields.choice("connection.access_mode", access_mode);
    let (tls, client_key_pem) = tls.map(|given| tls_settings(fields, given)).unwrap_or_default();
    Spec {
        name,
        url: secret(fields, "connection.url", url, MAX_URL_BYTES),
        kind: fields.choice("connection.kind", kind).and_then(database_kind),
        host: fields.text("connection.host", host, MAX_HOST_BYTES),
        port,
        database: fields.text("connection.database", database, MAX_PATH_BYTES),
        username: fields.text("connection.username", username, MAX_HOST_BYTES),
        password: secret(fields, "connection.password", password, MAX_PASSWORD_BYTES),
        client_key_pem,
        tls,
        access_mode: access.map_or(AccessMode::default(), mode),
        allowed_functions,
        excluded_columns,
        limits: limits.map(|given| connection_limits(fields, given)).unwrap_or_default(),
    }
}

fn tls_settings(fields: &mut Fields, given: pb::TlsSpec) -> (Tls, Option<SecretString>) {
    let pb::TlsSpec { mode, ca_certificate, client_certificate, client_key } = given;
    let mut pem = |field: &str, text| Some(fields.text(field, text, MAX_PEM_BYTES)).filter(|text| !text.is_empty());
    let ca_pem = pem("connection.tls.ca_certificate", ca_certificate);
    let client_certificate_pem = pem("connection.tls.client_certificate", client_certificate);
    let key = secret(fields, "connection.tls.client_key", client_key, MAX_PEM_BYTES);
    let mode = match fields.choice("connection.tls.mode", mode) {
        None | Some(pb::TlsMode::Unspecified | pb::TlsMode::Prefer) => TlsMode::Prefer,
        Some(pb::TlsMode::Disable) => TlsMode::Disable,
        Some(pb::TlsMode::Require) => TlsMode::Require,
        Some(pb::TlsMode::VerifyCa) => TlsMode::VerifyCa,
        Some(pb::TlsMode::VerifyFull) => TlsMode::VerifyFull,
    };
    (Tls { mode, ca_pem, client_certificate_pem }, key)
}

fn connection_limits(fields: &mut Fields, given: pb::ConnectionLimits) -> ConnectionLimits {
    let pb::ConnectionLimits { max_rows, max_bytes, statement_timeout, max_pool_size } = given;
    ConnectionLimits {
        max_rows: fields.limit("connection.limits.max_rows", max_rows),
        max_bytes: fields.limit("connection.limits.max_bytes", max_bytes),
        statement_timeout: fields.duration("connection.limits.statement_timeout", statement_timeout),
        max_pool_size: fields.limit("connection.limits.max_pool_size", max_pool_size.into()),
    }
}

fn secret(fields: &mut Fields, field: &str, text: String, max_bytes: usize) -> Option<SecretString> {
    let text = fields.text(field, text, max_bytes);
    (!text.is_empty()).then(|| SecretString::from(text))
}

pub(super) fn database_kind(kind: pb::DatabaseKind) -> Option<DatabaseKind> {
    match kind {
        pb::DatabaseKind::Unspecified => None,
        pb::DatabaseKind::Postgresql => Some(DatabaseKind::Postgresql),
        pb::DatabaseKind::Mysql => Some(DatabaseKind::Mysql),
        pb::DatabaseKind::Sqlite => Some(DatabaseKind::Sqlite),
    }
}

fn mode(mode: pb::AccessMode) -> AccessMode {
    match mode {
        pb::AccessMode::Unspecified | pb::AccessMode::ReadOnly => AccessMode::ReadOnly,
        pb::AccessMode::ReadWrite => AccessMode::ReadWrite,
        pb::AccessMode::Ddl => AccessMode::Ddl,
    }
}

/// The mask that an empty one stands for: the fields that are present (AIP-134).
fn present(spec: &pb::ConnectionSpec) -> Vec<String> {
    let tls = spec.tls.clone().unwrap_or_default();
    let limits = spec.limits.unwrap_or_default();
    let fields = [
        ("url", !spec.url.is_empty()),
        ("name", !spec.name.is_empty()),
        ("kind", spec.kind != 0),
        ("host", !spec.host.is_empty()),
        ("port", spec.port != 0),
        ("database", !spec.database.is_empty()),
        ("username", !spec.username.is_empty()),
        ("password", !spec.password.is_empty()),
        ("tls.mode", tls.mode != 0),
        ("tls.ca_certificate", !tls.ca_certificate.is_empty()),
        ("tls.client_certificate", !tls.client_certificate.is_empty()),
        ("tls.client_key", !tls.client_key.is_empty()),
        ("access_mode", spec.access_mode != 0),
        ("allowed_functions", !spec.allowed_functions.is_empty()),
        ("excluded_columns", !spec.excluded_columns.is_empty()),
        ("limits.max_rows", limits.max_rows != 0),
        ("limits.max_bytes", limits.max_bytes != 0),
        ("limits.statement_timeout", limits.statement_timeout.is_some()),
        ("limits.max_pool_size", limits.max_pool_size != 0),
    ];
    fields.into_iter().filter(|(_, present)| *present).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Reason;

    /// What parsing alone says.
    fn parsed<T: std::fmt::Debug>(draft: Draft<T>) -> Result<T, Failure> {
        let nothing_more = draft.finish(async |_| Vec::new());
        futures::FutureExt::now_or_never(nothing_more).unwrap()
    }

    fn bad_fields(failure: &Failure) -> Vec<&str> {
        failure.violations.iter().map(|violation| violation.field.as_str()).collect()
    }

    #[test]
    fn a_path_is_enough_and_access_is_read_only() {
        let spec = pb::ConnectionSpec { database: "shop.sqlite".into(), kind: 3, ..Default::default() };
        let request = pb::CreateConnectionRequest { connection: Some(spec), ..Default::default() };
        let (spec, options) = parsed(create_connection(request)).unwrap();
        assert_eq!((spec.kind, spec.access_mode), (Some(DatabaseKind::Sqlite), AccessMode::ReadOnly));
        assert!(options.request.is_none());
    }

    #[test]
    fn every_bad_field_of_a_spec_is_named() {
        let spec = pb::ConnectionSpec {
            name: "x".repeat(101),
            kind: 99,
            port: 70_000,
            password: "p".repeat(2_000),
            tls: Some(pb::TlsSpec { mode: 9, ..Default::default() }),
            limits: Some(pb::ConnectionLimits { max_rows: -1, ..Default::default() }),
            ..Default::default()
        };
        let request =
            pb::CreateConnectionRequest { connection: Some(spec), request_id: "r".repeat(65), ..Default::default() };
        let failure = parsed(create_connection(request)).unwrap_err();
        let mut found = bad_fields(&failure);
        found.sort_unstable();
        let expected = [
            "connection.kind",
            "connection.limits.max_rows",
            "connection.name",
            "connection.password",
            "connection.port",
            "connection.tls.mode",
            "request_id",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_request_id_does_not_change_the_hash_and_the_body_does() {
        let hash = |id: &str, name: &str| {
            let spec = pb::ConnectionSpec { name: name.into(), url: "sqlite://shop".into(), ..Default::default() };
            let request =
                pb::CreateConnectionRequest { connection: Some(spec), request_id: id.into(), ..Default::default() };
            parsed(create_connection(request)).unwrap().1.request.unwrap().body_hash
        };
        assert_eq!(hash("a", "shop"), hash("b", "shop"));
        assert_ne!(hash("a", "shop"), hash("a", "shops"));
    }

    #[test]
    fn an_empty_mask_is_the_fields_that_are_present() {
        let id = ConnectionId::generate().to_string();
        let limits = pb::ConnectionLimits { max_rows: 5, ..Default::default() };
        let spec = pb::ConnectionSpec { name: "shop".into(), limits: Some(limits), ..Default::default() };
        let request = pb::UpdateConnectionRequest { id, connection: Some(spec), ..Default::default() };
        let (_, change) = parsed(update_connection(request)).unwrap();
        assert_eq!(change.paths, ["name", "limits.max_rows"]);
    }

    #[test]
    fn masks_name_real_fields() {
        let request = pb::UpdateConnectionRequest {
            id: "x".into(),
            connection: Some(pb::ConnectionSpec::default()),
            update_mask: Some(prost_types::FieldMask { paths: vec!["nmae".into()] }),
            ..Default::default()
        };
        assert_eq!(bad_fields(&parsed(update_connection(request)).unwrap_err()), ["id", "update_mask"]);
    }

    #[test]
    fn a_saved_connection_is_tested_as_it_is_or_changed() {
        let id = ConnectionId::generate();
        let test =
            |connection| parsed(test_connection(pb::TestConnectionRequest { id: id.to_string(), connection })).unwrap();
        assert!(matches!(test(None), Tested::Saved(tested) if tested == id));
        let spec = pb::ConnectionSpec { port: 6432, ..Default::default() };
        let Tested::Changed { id: tested, spec, paths } = test(Some(spec)) else { panic!("not with changes") };
        assert_eq!((tested, paths, spec.port), (id, vec!["port".to_owned()], 6432));
    }

    #[test]
    fn a_token_of_other_filters_is_refused() {
        let request = |name: &str, page_token: &str| pb::ListConnectionsRequest {
            name: name.into(),
            page_token: page_token.into(),
            ..Default::default()
        };
        let token = list_connections(request("", "")).unwrap().list.token(ConnectionId::generate());
        assert!(list_connections(request("", &token)).unwrap().page.after.is_some());
        let Err(failure) = list_connections(request("shop", &token)) else { panic!("accepted") };
        assert_eq!(failure.reason, Reason::PageTokenInvalid);
    }
}
