//! Connections and schemas.

use crate::connections::TestReport;
use crate::domain::{
    AccessMode, Column, Connection, ConnectionLimits, DatabaseKind, Failure, ForeignKey, Reason, Table, TableKind, Tls,
    TlsMode,
};
use crate::pb::v1 as pb;
use crate::pb::v1::ConnectionFailureReason as Why;

use super::value::{data_type, duration, timestamp};

/// A connection that was only checked has no id.
pub(in crate::api) fn connection(given: Connection, saved: bool) -> pb::Connection {
    let Connection {
        id,
        tenant: _,
        name,
        kind,
        host,
        port,
        database,
        username,
        tls,
        access_mode,
        allowed_functions,
        excluded_columns,
        limits,
        has_password,
        create_time,
        update_time,
        etag,
    } = given;
    let saved_text = |text: String| if saved { text } else { String::new() };
    pb::Connection {
        id: saved_text(id.to_string()),
        name,
        kind: database_kind(kind).into(),
        host,
        port: port.into(),
        database,
        username,
        has_password,
        tls: (kind != DatabaseKind::Sqlite).then(|| tls_settings(tls)),
        access_mode: mode(access_mode).into(),
        allowed_functions,
        excluded_columns,
        limits: Some(connection_limits(limits)),
        create_time: saved.then(|| timestamp(create_time)),
        update_time: saved.then(|| timestamp(update_time)),
        etag: saved_text(etag),
    }
}

fn tls_settings(given: Tls) -> pb::Tls {
    let Tls { mode, ca_pem, client_certificate_pem } = given;
    let mode = match mode {
        TlsMode::Disable => pb::TlsMode::Disable,
        TlsMode::Prefer => pb::TlsMode::Prefer,
        TlsMode::Require => pb::TlsMode::Require,
        TlsMode::VerifyCa => pb::TlsMode::VerifyCa,
        TlsMode::VerifyFull => pb::TlsMode::VerifyFull,
    };
    pb::Tls {
        mode: mode.into(),
        ca_certificate: ca_pem.unwrap_or_default(),
        // A certificate is of no use without its key, so they are saved together.
        has_client_key: client_certificate_pem.is_some(),
        client_certificate: client_certificate_pem.unwrap_or_default(),
    }
}

fn connection_limits(given: ConnectionLimits) -> pb::ConnectionLimits {
    let ConnectionLimits { max_rows, max_bytes, statement_timeout, max_pool_size } = given;
    pb::ConnectionLimits {
        max_rows: max_rows.unwrap_or_default().into(),
        max_bytes: max_bytes.unwrap_or_default().into(),
        statement_timeout: statement_timeout.map(duration),
        max_pool_size: max_pool_size.map_or(0, |size| i32::try_from(size).unwrap_or(i32::MAX)),
    }
}

pub(super) fn database_kind(kind: DatabaseKind) -> pb::DatabaseKind {
    match kind {
        DatabaseKind::Postgresql => pb::DatabaseKind::Postgresql,
        DatabaseKind::Mysql => pb::DatabaseKind::Mysql,
        DatabaseKind::Sqlite => pb::DatabaseKind::Sqlite,
    }
}

fn mode(mode: AccessMode) -> pb::AccessMode {
    match mode {
        AccessMode::ReadOnly => pb::AccessMode::ReadOnly,
        AccessMode::ReadWrite => pb::AccessMode::ReadWrite,
        AccessMode::Ddl => pb::AccessMode::Ddl,
    }
}

pub(in crate::api) fn tested(report: TestReport) -> pb::TestConnectionResponse {
    let TestReport { failure, latency, server_version, warnings } = report;
    let why = failure.as_ref().map_or(Why::Unspecified, failure_reason);
    let message = match &failure {
        Some(failure) => failure.message.clone(),
        None if server_version.is_empty() => "The database can be used.".to_owned(),
        None => format!("The database can be used: {server_version}."),
    };
    pb::TestConnectionResponse {
        ok: failure.is_none(),
        failure_reason: why.into(),
        message,
        hint: failure.as_ref().map(hint).unwrap_or_default(),
        latency: Some(duration(latency)),
        server_version,
        warnings,
    }
}

fn failure_reason(failure: &Failure) -> Why {
    match failure.reason {
        Reason::TargetUnavailable => match failure.metadata.get("failure").map(String::as_str) {
            Some("DNS") => Why::Dns,
            Some("REFUSED") => Why::Refused,
            Some("TIMEOUT") => Why::Timeout,
            Some("UNREACHABLE") => Why::Unreachable,
            _ => Why::Other,
        },
        Reason::TargetTlsFailed => Why::Tls,
        Reason::TargetAuthFailed => Why::Auth,
        Reason::TargetDatabaseUnknown => Why::UnknownDatabase,
        Reason::TargetPrivilegeMissing => Why::Privilege,
        Reason::TargetBusy => Why::TooManyConnections,
        Reason::TargetProtocol => Why::Protocol,
        Reason::HostNotAllowed => Why::HostNotAllowed,
        Reason::FileNotFound => Why::FileNotFound,
        Reason::FileIsDirectory => Why::FileIsDirectory,
        Reason::FileNotADatabase => Why::FileNotADatabase,
        Reason::FileOutsideFolder => Why::FileOutsideFolder,
        Reason::FileUnreadable => Why::FileUnreadable,
        _ => Why::Other,
    }
}

fn hint(failure: &Failure) -> String {
    let page = super::reason(failure.reason).as_str_name().trim_start_matches("ERROR_REASON_").to_ascii_lowercase();
    format!("See docs/errors.md#{page}")
}

/// The table with its columns and keys.
pub(in crate::api) fn table(given: &Table) -> pb::Table {
    pb::Table {
        columns: given.columns.iter().map(column).collect(),
        primary_key: given.primary_key.clone(),
        unique_keys: given
            .unique_keys
            .iter()
            .map(|columns| pb::UniqueKey { name: String::new(), columns: columns.clone() })
            .collect(),
        foreign_keys: given.foreign_keys.iter().map(foreign_key).collect(),
        ..without_columns(given)
    }
}

/// The table as the NAMES view tells it.
pub(in crate::api) fn without_columns(given: &Table) -> pb::Table {
    let kind = match given.kind {
        TableKind::Table => pb::TableKind::Table,
        TableKind::View => pb::TableKind::View,
        TableKind::MaterializedView => pb::TableKind::MaterializedView,
    };
    pb::Table {
        schema: given.schema.clone(),
        name: given.name.clone(),
        kind: kind.into(),
        columns: Vec::new(),
        primary_key: Vec::new(),
        unique_keys: Vec::new(),
        foreign_keys: Vec::new(),
        comment: given.comment.clone().unwrap_or_default(),
        approximate_row_count: given.row_count,
    }
}

fn column(given: &Column) -> pb::TableColumn {
    let Column { name, declared_type, kind, nullable, default, comment, enum_labels, generated } = given;
    pb::TableColumn {
        name: name.clone(),
        declared_type: declared_type.clone(),
        r#type: data_type(*kind).into(),
        nullable: *nullable,
        default_expression: default.clone().unwrap_or_default(),
        comment: comment.clone().unwrap_or_default(),
        enum_labels: enum_labels.clone(),
        generated: *generated,
    }
}

fn foreign_key(given: &ForeignKey) -> pb::ForeignKey {
    let ForeignKey { name, columns, referenced_schema, referenced_table, referenced_columns } = given;
    pb::ForeignKey {
        name: name.clone().unwrap_or_default(),
        columns: columns.clone(),
        referenced_schema: referenced_schema.clone(),
        referenced_table: referenced_table.clone(),
        referenced_columns: referenced_columns.clone(),
    }
}
