//! What PostgreSQL and MySQL servers have in common: where they are, sessions that are pooled and cancelled.

mod host;
mod pool;
mod target;

pub(super) use host::Address;
pub use host::{HostList, HostPolicy};
pub(super) use pool::{Driver, Extent, Pool, Rest, Work};
pub(super) use target::{OnServer, System};

use crate::domain::Tls;
use crate::domain::connection::ConnectionSecrets;

/// Where a database server is and how to log in.
#[derive(Debug, Clone)]
pub struct ServerTarget {
    /// Host name, address, or the absolute path of a folder with Unix sockets.
    pub host: String,
    /// TCP port, or the port in the socket's name.
    pub port: u16,
    /// Database to open; empty for the server's default.
    pub database: String,
    /// User to log in as.
    pub username: String,
    /// Password and client key.
    pub secrets: ConnectionSecrets,
    /// How the link is protected.
    pub tls: Tls,
    /// Which hosts may be connected to; asked again at every connect.
    pub hosts: HostPolicy,
}
