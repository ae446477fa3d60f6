//! Which hosts Pulse connects to. Names are resolved once per connect, and what was checked is what is connected to.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::ServerTarget;
use crate::sql::{Error, Unreachable};

/// Which hosts may be connected to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostPolicy {}

/// A place to connect to that policy allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sql) enum Address {
    /// An address; the port is the target's.
    Ip(IpAddr),
    /// A folder with Unix sockets.
    SocketFolder(PathBuf),
}

impl ServerTarget {
    /// The addresses of the host, every one checked. `limit` bounds the look-up of a name.
    pub(in crate::sql) async fn resolve(&self, limit: Duration) -> Result<Vec<Address>, Error> {
        if self.host.starts_with('/') {
            return Ok(vec![Address::SocketFolder(PathBuf::from(&self.host))]);
        }
        let found = match timeout(limit, lookup_host((self.host.as_str(), self.port))).await {
            Ok(Ok(found)) => found.map(|address| address.ip()).collect::<Vec<_>>(),
            Ok(Err(_)) => return Err(Error::Unreachable(Unreachable::Dns)),
            Err(_elapsed) => return Err(Error::Unreachable(Unreachable::Timeout)),
        };
        if found.is_empty() {
            return Err(Error::Unreachable(Unreachable::Dns));
        }
        Ok(found.into_iter().map(Address::Ip).collect())
    }
}
