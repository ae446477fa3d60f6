//! Bad weather: servers that are down, silent, full, restarted or somebody else; and what is left when all is over.

use std::path::Path;
use std::time::Duration;

use pulse::domain::{Tls, TlsMode, Value};
use pulse::sql::{Database, Error, HostPolicy, Limits, Options, ServerTarget, Target, Unreachable};

use super::{
    ENDLESS, executed, guarded, one_connection, opened, patient, patiently, streamed, target, value, without_limits,
};
use crate::support::proxy::{Proxy, Weather};
use crate::support::servers::{self, CERTIFICATE, CERTIFICATES, READ_ONLY, User, free_port};

fn at(target: ServerTarget, options: Options) -> Database {
    Database::new(Target::Postgresql(target), options)
}

/// The database behind a proxy, without TLS so that the proxy cuts where it says.
fn through(proxy: &Proxy, home: &servers::Database<'_>, options: Options) -> Database {
    let tls = Tls { mode: TlsMode::Disable, ..Tls::default() };
    at(ServerTarget { port: proxy.port, tls, ..target(home.server, READ_ONLY, &home.name) }, options)
}

fn over_socket(folder: &Path, target: &ServerTarget) -> ServerTarget {
    let hosts = HostPolicy { socket_folders: vec![folder.to_owned()], ..HostPolicy::default() };
    ServerTarget { host: folder.to_str().unwrap().to_owned(), hosts, ..target.clone() }
}

fn impatient() -> Options {
    Options { connect_timeout: Duration::from_secs(2), ..Options::default() }
}

async fn one(database: &Database) -> Result<Value, Error> {
    executed(database, &guarded("SELECT 1"), &[]).await.map(|(_, mut rows)| rows.remove(0).remove(0))
}

#[tokio::test]
async fn ways_that_lead_nowhere_are_told_apart() {
    let home = servers::postgres().await.fresh_database("nowhere").await;
    let good = target(home.server, READ_ONLY, &home.name);
    let fails = async |target: ServerTarget| {
        let error = at(target.clone(), patient()).probe().await.unwrap_err();
        assert_eq!(one(&at(target, patient())).await.unwrap_err(), error);
        error
    };
    let refused = Error::Unreachable(Unreachable::Refused);
    assert_eq!(fails(ServerTarget { port: free_port(), ..good.clone() }).await, refused);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(fails(over_socket(empty.path(), &good)).await, refused);
    assert_eq!(
        fails(ServerTarget { host: "no.such.host.invalid".into(), ..good.clone() }).await,
        Error::Unreachable(Unreachable::Dns)
    );
    let wrong = User { password: "wrong", ..READ_ONLY };
    assert!(matches!(fails(target(home.server, wrong, &home.name)).await, Error::AuthFailed(_)));
    let nobody = User { name: "nobody", password: "x" };
    assert!(matches!(fails(target(home.server, nobody, &home.name)).await, Error::AuthFailed(_)));
    let unknown = fails(ServerTarget { database: "no_such_database".into(), ..good.clone() }).await;
    assert!(matches!(&unknown, Error::DatabaseUnknown(words) if words.contains("no_such_database")), "{unknown:?}");
    home.server.admin(&format!("REVOKE CONNECT ON DATABASE {} FROM PUBLIC;", home.name)).await;
    let forbidden = fails(good).await;
    assert!(matches!(forbidden, Error::PrivilegeMissing(_)), "{forbidden:?}");
}

#[tokio::test]
async fn what_is_no_postgresql_is_told() {
    let mariadb = servers::mariadb().await;
    for mode in [TlsMode::Prefer, TlsMode::Disable, TlsMode::Require] {
        let tls = Tls { mode, ..Tls::default() };
        let error =
            at(ServerTarget { tls, ..target(mariadb, READ_ONLY, "mysql") }, patient()).probe().await.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{mode:?}: {error:?}");
    }
}

#[tokio::test]
async fn tls_is_what_was_asked_for_or_an_error() {
    let home = servers::postgres().await.fresh_database("tls").await;
    home.admin("CREATE VIEW tls AS SELECT ssl::text || coalesce(client_dn, '') AS v FROM pg_stat_ssl WHERE pid = pg_backend_pid(); GRANT SELECT ON tls TO PUBLIC;").await;
    let plain_server = servers::postgres_of_its_own(&["ssl = off"]).await;
    let plain_home = plain_server.fresh_database("plain").await;
    let good = target(home.server, READ_ONLY, &home.name);
    let plain = target(&plain_server, READ_ONLY, &plain_home.name);
    let with = |target: &ServerTarget, host: &str, mode: TlsMode, ca: Option<&str>| {
        let tls = Tls { mode, ca_pem: ca.map(ToOwned::to_owned), client_certificate_pem: None };
        at(ServerTarget { tls, host: host.to_owned(), ..target.clone() }, patient())
    };
    let (ours, stranger) = (Some(CERTIFICATES.authority.as_str()), Some(CERTIFICATES.other_authority.as_str()));
    for (host, mode, ca, encrypted) in [
        ("localhost", TlsMode::Disable, None, "false"),
        ("localhost", TlsMode::Prefer, None, "true"),
        ("127.0.0.1", TlsMode::Require, None, "true"),
        ("127.0.0.1", TlsMode::VerifyCa, ours, "true"),
        ("localhost", TlsMode::VerifyFull, ours, "true"),
    ] {
        assert_eq!(
            value(&with(&good, host, mode, ca), "SELECT v FROM tls").await,
            Value::String(encrypted.into()),
            "{mode:?}"
        );
    }
    for (host, mode, ca) in [
        ("localhost", TlsMode::VerifyCa, stranger),
        ("localhost", TlsMode::VerifyCa, None),
        ("localhost", TlsMode::VerifyFull, stranger),
        ("127.0.0.1", TlsMode::VerifyFull, ours),
        ("localhost", TlsMode::VerifyFull, Some("no certificate")),
    ] {
        let error = one(&with(&good, host, mode, ca)).await.unwrap_err();
        assert!(matches!(error, Error::TlsFailed(_)), "{host} {mode:?}: {error:?}");
    }
    for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let error = one(&with(&plain, "localhost", mode, ours)).await.unwrap_err();
        assert!(matches!(error, Error::TlsFailed(_)), "{mode:?}: {error:?}");
    }
    one(&with(&plain, "localhost", TlsMode::Prefer, None)).await.unwrap();

    let mut certified = target(home.server, CERTIFICATE, &home.name);
    certified.secrets.password = None;
    certified.tls =
        Tls { mode: TlsMode::VerifyFull, ca_pem: Some(CERTIFICATES.authority.clone()), client_certificate_pem: None };
    let error = one(&at(certified.clone(), patient())).await.unwrap_err();
    assert!(matches!(error, Error::AuthFailed(_)), "{error:?}");
    certified.tls.client_certificate_pem = Some(CERTIFICATES.client.clone());
    certified.secrets.client_key_pem = Some(CERTIFICATES.client_key.clone().into());
    let subject = value(&at(certified, patient()), "SELECT v FROM tls").await;
    assert_eq!(subject, Value::String(format!("true/CN={}", CERTIFICATE.name)));
}

#[tokio::test]
async fn a_unix_socket_is_a_way_too() {
    let home = servers::postgres().await.fresh_database("socket").await;
    home.admin("CREATE VIEW way AS SELECT coalesce(inet_client_addr()::text, 'socket') AS v;").await;
    let target = target(home.server, READ_ONLY, &home.name);
    let database = at(over_socket(home.server.socket_folder(), &target), one_connection());
    assert_eq!(value(&database, "SELECT v FROM way").await, Value::String("socket".into()));
    // Stopping works over it, too.
    let endless = guarded("SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b");
    let limits = Limits { timeout: Duration::from_millis(100), ..without_limits() };
    assert!(matches!(database.execute(&endless, &[], limits).await, Err(Error::Timeout(_))));
    one(&database).await.unwrap();
}

#[tokio::test]
async fn silence_ends_at_the_connect_timeout() {
    let home = servers::postgres().await.fresh_database("silence").await;
    let proxy = Proxy::to(home.server.port).await;
    proxy.set(Weather::BlackHole).await;
    let database = through(&proxy, &home, impatient());
    let timeout = Error::Unreachable(Unreachable::Timeout);
    assert_eq!(one(&database).await.unwrap_err(), timeout);
    assert_eq!(database.probe().await.unwrap_err(), timeout);
    proxy.set(Weather::Fair).await;
    recovers(&database).await;
}

/// The connect timeout is short, and the machine may be busy.
async fn recovers(database: &Database) {
    while let Err(error) = one(database).await {
        assert_eq!(error, Error::Unreachable(Unreachable::Timeout));
    }
}

/// Sessions that went silent while nobody used them cost one wait, not one each.
#[tokio::test]
async fn silent_idle_sessions_are_given_up_together() {
    let home = servers::postgres().await.fresh_database("silent").await;
    let proxy = Proxy::to(home.server.port).await;
    let options = Options { connections: 6, ..impatient() };
    let database = through(&proxy, &home, options);
    recovers(&database).await;
    home.admin("CREATE VIEW nap AS SELECT pg_sleep(1)::text AS v;").await;
    let nap = guarded("SELECT v FROM nap");
    while home.sessions().await.len() < 6 {
        futures::future::join_all((0..6).map(|_| database.execute(&nap, &[], patiently()))).await;
    }
    // They must have been unused for a second before they are asked for a sign of life.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    proxy.set(Weather::BlackHole).await;
    // One wait for the sign of life and one for a new session fit in, five do not.
    let limits = Limits { timeout: 3 * options.connect_timeout, ..Limits::default() };
    let error = database.execute(&guarded("SELECT 1"), &[], limits).await.unwrap_err();
    assert_eq!(error, Error::Unreachable(Unreachable::Timeout));
    proxy.set(Weather::Fair).await;
    recovers(&database).await;
}

#[tokio::test]
async fn a_connection_cut_mid_result_is_told_and_replaced() {
    let home = servers::postgres().await.fresh_database("cut").await;
    let proxy = Proxy::to(home.server.port).await;
    let database = through(&proxy, &home, one_connection());
    let many = guarded("SELECT n, repeat('x', 100) FROM generate_series(1, 8000) n");
    let rare = guarded("SELECT n, repeat('x', 100), '10.0.0.1'::inet FROM generate_series(1, 8000) n");
    for weather in [Weather::CutAfter(64 << 10), Weather::HalfClosed, Weather::Refused] {
        for sql in [&many, &rare] {
            one(&database).await.unwrap();
            proxy.set(weather).await;
            let error = executed(&database, sql, &[]).await.unwrap_err();
            assert!(matches!(error, Error::Unavailable(_)), "{weather:?}: {error:?}");
            proxy.set(Weather::Fair).await;
            executed(&database, sql, &[]).await.unwrap();

            proxy.set(weather).await;
            let error = streamed(&database, sql, &[]).await.unwrap_err();
            assert!(matches!(error, Error::Unavailable(_)), "{weather:?}: {error:?}");
            proxy.set(Weather::Fair).await;
            streamed(&database, sql, &[]).await.unwrap();
        }
    }
    proxy.until_open(1).await;
    database.close().await;
    proxy.until_open(0).await;
}

/// Silence in the middle of a result ends at the statement's own limit; the answer does not wait for the server to be
/// told, which takes its time.
#[tokio::test]
async fn silence_mid_result_ends_at_the_limit() {
    let home = servers::postgres().await.fresh_database("lull").await;
    let proxy = Proxy::to(home.server.port).await;
    let options = Options { connect_timeout: Duration::from_hours(1), ..one_connection() };
    let database = through(&proxy, &home, options);
    one(&database).await.unwrap();
    proxy.set(Weather::BlackHole).await;
    let timeout = Duration::from_millis(200);
    let limits = Limits { timeout, ..Limits::default() };
    let sql = guarded("SELECT 2");
    let error = tokio::select! {
        biased;
        result = database.execute(&sql, &[], limits) => result.unwrap_err(),
        () = tokio::time::sleep(Duration::from_secs(4)) => panic!("the answer waits for the server"),
    };
    assert_eq!(error, Error::Timeout(timeout));
    proxy.set(Weather::Fair).await;
}

#[tokio::test]
async fn a_restarted_server_costs_one_call_at_most() {
    let server = servers::postgres_of_its_own(&[]).await;
    let home = server.fresh_database("restart").await;
    home.admin("CREATE VIEW asleep AS SELECT pg_sleep(3600)::text AS v;").await;
    let database = opened(&home, patient());
    for kill in [false, true] {
        let all = futures::future::join_all((0..3).map(|_| one(&database))).await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        if kill {
            server.kill().await
        } else {
            server.stop().await
        }
        let error = one(&database).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_) | Error::Unreachable(Unreachable::Refused)), "{error:?}");
        assert_eq!(one(&database).await.unwrap_err(), Error::Unreachable(Unreachable::Refused));
        server.start().await;
        one(&database).await.unwrap();
        // Restarted between two calls.
        server.stop().await;
        server.start().await;
        if let Err(error) = one(&database).await {
            assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        }
        one(&database).await.unwrap();
        // Stopped while a statement runs.
        let asleep = guarded("SELECT v FROM asleep");
        let running = database.execute(&asleep, &[], without_limits());
        let ended = async {
            home.server.until_sessions("state = 'active' AND query LIKE '%asleep%'", 1).await;
            if kill { server.kill().await } else { server.stop().await }
        };
        let (result, ()) = tokio::join!(running, ended);
        assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
        server.start().await;
        one(&database).await.unwrap();
    }
    database.close().await;
    home.until_sessions(0).await;
}

#[tokio::test]
async fn a_full_server_is_busy() {
    let server = servers::postgres_of_its_own(&["max_connections = 6", "superuser_reserved_connections = 3"]).await;
    let home = server.fresh_database("full").await;
    let (first, second) = (opened(&home, patient()), opened(&home, patient()));
    let endless = guarded(ENDLESS);
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(first.stream(endless.clone(), Vec::new(), without_limits()).await.unwrap());
    }
    let error = one(&second).await.unwrap_err();
    assert!(matches!(error, Error::Busy(_)), "{error:?}");
    assert!(matches!(second.probe().await, Err(Error::Busy(_))));
    drop(streams);
    home.server.until_sessions("state = 'active'", 0).await;
    first.close().await;
    one(&second).await.unwrap();
}

/// One session was ended by an administrator; the others are fine.
#[tokio::test]
async fn a_terminated_session_is_replaced() {
    let home = servers::postgres().await.fresh_database("terminated").await;
    let database = opened(&home, one_connection());
    for _ in 0..3 {
        one(&database).await.unwrap();
        home.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pulse';").await;
        home.until_sessions(0).await;
        if let Err(error) = one(&database).await {
            assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
            one(&database).await.unwrap();
        }
    }
    assert_eq!(home.sessions().await.len(), 1);
    database.close().await;
    home.until_sessions(0).await;
    assert!(matches!(one(&database).await, Err(Error::Unavailable(_))));
}

/// Sessions that nobody uses are closed.
#[tokio::test]
async fn unused_sessions_are_closed() {
    let home = servers::postgres().await.fresh_database("unused").await;
    let database = opened(&home, Options { idle: Duration::from_millis(300), ..patient() });
    let all = futures::future::join_all((0..3).map(|_| one(&database))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    home.until_sessions(0).await;
    one(&database).await.unwrap();
}
