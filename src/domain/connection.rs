//! A saved database connection.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::ids::ConnectionId;
use super::principal::TenantId;

/// The database systems Pulse speaks to; also names the SQL dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseKind {
    /// PostgreSQL 13 or newer.
    Postgresql,
    /// MySQL 8 and MariaDB 10.6 or newer.
    Mysql,
    /// SQLite 3.
    Sqlite,
}

impl DatabaseKind {
    /// The name people use.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Postgresql => "PostgreSQL",
            Self::Mysql => "MySQL",
            Self::Sqlite => "SQLite",
        }
    }
}

/// What statements a connection may run. Workflows only ever read, whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessMode {
    /// Reads only.
    #[default]
    ReadOnly,
    /// Single INSERT, UPDATE, DELETE or MERGE statements too, when the call asks for it.
    ReadWrite,
    /// Schema changes too.
    Ddl,
}

/// How the transport is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// The driver's default: TLS where the server offers it.
    #[default]
    Prefer,
    /// Plain text.
    Disable,
    /// TLS without verification.
    Require,
    /// TLS, certificate signed by a known CA.
    VerifyCa,
    /// TLS, certificate signed by a known CA for this very host.
    VerifyFull,
}

/// TLS settings of a connection. Private keys are secrets and travel beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tls {
    /// How strict.
    pub mode: TlsMode,
    /// PEM of the CA to trust instead of the system's.
    pub ca_pem: Option<String>,
    /// PEM of the client certificate.
    pub client_certificate_pem: Option<String>,
}

/// Limits for every call on a connection; `None` leaves the server's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectionLimits {
    /// Rows of one unary result.
    pub max_rows: Option<u32>,
    /// Encoded bytes of one unary result.
    pub max_bytes: Option<u32>,
    /// Longest a statement may run.
    pub statement_timeout: Option<Duration>,
    /// Sessions with the database.
    #[serde(default)]
    pub max_pool_size: Option<u32>,
}

/// A saved connection: everything but its secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// Who owns it.
    pub tenant: TenantId,
    /// Name for people; unique in a tenant, ignoring case.
    pub name: String,
    /// Which system.
    pub kind: DatabaseKind,
    /// Host name or address; empty for SQLite.
    pub host: String,
    /// Port; 0 for SQLite.
    pub port: u16,
    /// Database name; for SQLite the path of the file, relative to the allowed folder or absolute inside it.
    pub database: String,
    /// User name; empty for SQLite.
    pub username: String,
    /// TLS settings.
    pub tls: Tls,
    /// What statements it may run.
    pub access_mode: AccessMode,
    /// Names of user functions that its statements may call.
    pub allowed_functions: Vec<String>,
    /// Columns that agents do not see, as `schema.table.column` or `table.column`.
    #[serde(default)]
    pub excluded_columns: Vec<String>,
    /// Its own limits.
    pub limits: ConnectionLimits,
    /// Whether a password is stored.
    pub has_password: bool,
    /// When it was created.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
    /// Changes with every update (AIP-154).
    pub etag: String,
}

/// Secrets of a connection while they are in memory; `Debug` shows none of them.
#[derive(Debug, Clone, Default)]
pub struct ConnectionSecrets {
    /// The password.
    pub password: Option<SecretString>,
    /// PEM of the TLS client key.
    pub client_key_pem: Option<SecretString>,
}
