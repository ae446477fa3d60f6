//! From a connection to the database behind it.

use std::path::PathBuf;
use std::time::Duration;

use super::directory::Options;
use super::{failures, folder, names};
use crate::domain::connection::ConnectionSecrets;
use crate::domain::{Connection, ConnectionLimits, DatabaseKind, Failure, Reason, TlsMode};
use crate::sql::{self, Database, ServerInfo, ServerTarget, Target};

/// A handle to the database; a server is not asked for anything yet.
pub(super) async fn open(
    options: &Options,
    connection: &Connection,
    secrets: ConnectionSecrets,
) -> Result<Database, Failure> {
    let target = match connection.kind {
        DatabaseKind::Sqlite => Target::Sqlite { path: resolve(options, &connection.database).await? },
        DatabaseKind::Postgresql => Target::Postgresql(server(options, connection, secrets)),
        DatabaseKind::Mysql => Target::Mysql(server(options, connection, secrets)),
    };
    Ok(Database::new(target, bounds(options, connection)))
}

/// Opens the database over a session of its own, asks what it is and closes it again.
///
/// The failure names what went wrong as closely as it can. That is no way to explore a network: trying hosts takes the
/// scope of an administrator, and [`sql::HostPolicy`] decides which hosts are tried at all.
pub(super) async fn probe(
    options: &Options,
    connection: &Connection,
    secrets: ConnectionSecrets,
) -> Result<ServerInfo, Failure> {
    let once = Options { database: sql::Options { connections: 1, ..options.database }, ..options.clone() };
    let limit = options.test_timeout;
    let asked = async {
        let database = open(&once, connection, secrets).await?;
        let mut info = database.probe().await;
        if let Ok(info) = &mut info {
            info.warnings.extend(names::missing(&database, connection).await);
        }
        database.close().await;
        info.map_err(|error| failures::from_target(error, &connection.database))
    };
    let mut info = tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| Err(failures::timed_out(limit)))?;
    info.warnings.extend(unused_authority(connection));
    Ok(info)
}

/// Refuses a place that policy forbids. That nothing is there is no reason: it may come later.
pub(super) async fn check_place(options: &Options, connection: &Connection) -> Result<(), Failure> {
    let refused = match connection.kind {
        DatabaseKind::Sqlite => resolve(options, &connection.database).await.err(),
        DatabaseKind::Postgresql | DatabaseKind::Mysql => {
            let server = server(options, connection, ConnectionSecrets::default());
            let checked = server.check_host(options.database.connect_timeout).await;
            checked.err().map(Failure::from)
        }
    };
    match refused {
        Some(failure) if matches!(failure.reason, Reason::FileOutsideFolder | Reason::HostNotAllowed) => Err(failure),
        _ => Ok(()),
    }
}

fn server(options: &Options, connection: &Connection, secrets: ConnectionSecrets) -> ServerTarget {
    ServerTarget {
        host: connection.host.clone(),
        port: connection.port,
        database: connection.database.clone(),
        username: connection.username.clone(),
        secrets,
        tls: connection.tls.clone(),
        hosts: options.hosts.clone(),
    }
}

/// The server-wide bounds, lowered to the connection's own.
fn bounds(options: &Options, connection: &Connection) -> sql::Options {
    let most = options.database;
    let ConnectionLimits { statement_timeout, max_pool_size, max_rows: _, max_bytes: _ } = connection.limits;
    let least = |own: Option<Duration>, most: Duration| own.map_or(most, |own| own.min(most));
    let own_size = max_pool_size.and_then(|size| usize::try_from(size).ok());
    sql::Options {
        access: connection.access_mode,
        connections: own_size.map_or(most.connections, |size| size.clamp(1, most.connections)),
        // Pulse stops statements itself; what the server is told must leave time for Pulse's own ones.
        statement_timeout: least(statement_timeout, most.statement_timeout).max(most.own_timeout),
        ..most
    }
}

async fn resolve(options: &Options, path: &str) -> Result<PathBuf, Failure> {
    let (folder, path) = (options.sqlite_dir.clone(), path.to_owned());
    let resolved = tokio::task::spawn_blocking(move || folder::resolve(&folder, &path)).await;
    resolved.unwrap_or_else(|error| Err(Failure::new(Reason::Internal, error.to_string())))
}

/// Who gives an authority expects it to be asked.
fn unused_authority(connection: &Connection) -> Option<String> {
    let unused = match connection.tls.mode {
        TlsMode::Disable => "DISABLE sends everything in plain text",
        TlsMode::Prefer => "PREFER does not check certificates",
        TlsMode::Require => "REQUIRE does not check certificates",
        TlsMode::VerifyCa | TlsMode::VerifyFull => return None,
    };
    let given = connection.tls.ca_pem.is_some();
    given.then(|| format!("the CA certificate is not used: TLS mode {unused}; choose VERIFY_CA or VERIFY_FULL"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::Spec;
    use crate::domain::AccessMode;

    fn bounds_of(limits: ConnectionLimits) -> sql::Options {
        let spec = Spec {
            kind: Some(DatabaseKind::Postgresql),
            username: "ann".to_owned(),
            access_mode: AccessMode::ReadWrite,
            limits,
            ..Spec::default()
        };
        let (connection, _) = spec.check().unwrap().into_connection(
            crate::domain::ConnectionId::generate(),
            crate::domain::TenantId::local(),
            jiff::Timestamp::UNIX_EPOCH,
        );
        let database = sql::Options {
            connections: 8,
            own_timeout: Duration::from_secs(20),
            statement_timeout: Duration::from_mins(2),
            ..sql::Options::default()
        };
        bounds(&Options { database, ..Options::default() }, &connection)
    }

    #[test]
    fn a_connection_only_lowers_what_the_server_allows() {
        let usual = bounds_of(ConnectionLimits::default());
        assert_eq!((usual.connections, usual.statement_timeout), (8, Duration::from_mins(2)));
        assert_eq!(usual.access, AccessMode::ReadWrite);
        for (own, expected) in [(1, 1), (3, 3), (100, 8), (u32::MAX, 8)] {
            let limits = ConnectionLimits { max_pool_size: Some(own), ..ConnectionLimits::default() };
            assert_eq!(bounds_of(limits).connections, expected, "{own}");
        }
        for (own, expected) in [(1, 20), (30, 30), (3_000, 120)] {
            let limits =
                ConnectionLimits { statement_timeout: Some(Duration::from_secs(own)), ..ConnectionLimits::default() };
            assert_eq!(bounds_of(limits).statement_timeout, Duration::from_secs(expected), "{own}");
        }
    }
}
