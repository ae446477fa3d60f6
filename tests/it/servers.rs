//! The rigs themselves: the real servers and the proxy do what the tests on them rely on.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use rusqlite::{Connection, OpenFlags};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{Connection as _, Executor as _};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::support::proxy::{Proxy, Weather};
use crate::support::servers::{
    self, ADMIN, CERTIFICATE, CERTIFICATES, Database, HOST, OwnServer, READ_ONLY, READ_WRITE, Session, User,
};

/// Every session of these users is over TLS with the server's name checked.
fn postgres_options(database: &Database<'_>, user: User) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host(HOST)
        .port(database.server.port)
        .username(user.name)
        .password(user.password)
        .database(&database.name)
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert_from_pem(CERTIFICATES.authority.clone().into_bytes())
}

fn mariadb_options(database: &Database<'_>, user: User) -> MySqlConnectOptions {
    MySqlConnectOptions::new()
        .host(HOST)
        .port(database.server.port)
        .username(user.name)
        .password(user.password)
        .database(&database.name)
        .ssl_mode(MySqlSslMode::VerifyIdentity)
        .ssl_ca_from_pem(CERTIFICATES.authority.clone().into_bytes())
}

async fn postgres_text(options: &PgConnectOptions, sql: &'static str) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let text = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(text)
}

async fn mariadb_text(options: &MySqlConnectOptions, sql: &'static str) -> Result<String, sqlx::Error> {
    let mut connection = MySqlConnection::connect_with(options).await?;
    let text = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(text)
}

#[tokio::test]
async fn postgres_checks_certificates_both_ways() {
    let database = servers::postgres().await.fresh_database("tls").await;
    let tls = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let read_only = postgres_options(&database, READ_ONLY);
    assert_eq!(postgres_text(&read_only, tls).await.unwrap(), "true");
    let plain = read_only.clone().ssl_mode(PgSslMode::Disable);
    assert_eq!(postgres_text(&plain, tls).await.unwrap(), "false");

    let by_number = read_only.clone().host("127.0.0.1");
    postgres_text(&by_number, tls).await.unwrap_err();
    postgres_text(&by_number.ssl_mode(PgSslMode::VerifyCa), tls).await.unwrap();
    let stranger = CERTIFICATES.other_authority.clone().into_bytes();
    postgres_text(&read_only.ssl_root_cert_from_pem(stranger), tls).await.unwrap_err();

    let bare = postgres_options(&database, CERTIFICATE);
    postgres_text(&bare, tls).await.unwrap_err();
    postgres_text(&bare.clone().ssl_mode(PgSslMode::Disable), tls).await.unwrap_err();
    let certified =
        bare.ssl_client_cert_from_pem(&CERTIFICATES.client).ssl_client_key_from_pem(&CERTIFICATES.client_key);
    assert_eq!(postgres_text(&certified, "SELECT current_user::text").await.unwrap(), CERTIFICATE.name);
}

#[tokio::test]
async fn mariadb_checks_certificates_both_ways() {
    let database = servers::mariadb().await.fresh_database("tls").await;
    let tls = "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'Ssl_version'";
    let read_only = mariadb_options(&database, READ_ONLY);
    assert!(mariadb_text(&read_only, tls).await.unwrap().starts_with("TLS"));
    let plain = read_only.clone().ssl_mode(MySqlSslMode::Disabled);
    assert_eq!(mariadb_text(&plain, tls).await.unwrap(), "");

    let by_number = read_only.clone().host("127.0.0.1");
    mariadb_text(&by_number, tls).await.unwrap_err();
    mariadb_text(&by_number.ssl_mode(MySqlSslMode::VerifyCa), tls).await.unwrap();
    let stranger = CERTIFICATES.other_authority.clone().into_bytes();
    mariadb_text(&read_only.ssl_ca_from_pem(stranger), tls).await.unwrap_err();

    let bare = mariadb_options(&database, CERTIFICATE);
    mariadb_text(&bare, tls).await.unwrap_err();
    let certified =
        bare.ssl_client_cert_from_pem(&CERTIFICATES.client).ssl_client_key_from_pem(&CERTIFICATES.client_key);
    assert_eq!(mariadb_text(&certified, "SELECT user()").await.unwrap(), format!("{}@127.0.0.1", CERTIFICATE.name));
}

#[tokio::test]
async fn unix_sockets_lead_to_the_same_servers() {
    let database = servers::postgres().await.fresh_database("socket").await;
    let options = postgres_options(&database, READ_ONLY).socket(database.server.socket_folder());
    let options = options.ssl_mode(PgSslMode::Disable);
    let came = "SELECT coalesce(inet_client_addr()::text, 'socket')";
    assert_eq!(postgres_text(&options, came).await.unwrap(), "socket");

    let database = servers::mariadb().await.fresh_database("socket").await;
    let options = mariadb_options(&database, READ_ONLY).socket(database.server.socket());
    let options = options.ssl_mode(MySqlSslMode::Disabled);
    assert_eq!(mariadb_text(&options, "SELECT user()").await.unwrap(), format!("{}@localhost", READ_ONLY.name));
}

#[tokio::test]
async fn users_may_do_what_their_names_say() {
    for server in [servers::postgres().await, servers::mariadb().await] {
        let database = server.fresh_database("users").await;
        database.admin("CREATE TABLE of_admin (n int);").await;
        database.run_as(READ_WRITE, "CREATE TABLE own (n int); INSERT INTO own VALUES (1), (NULL);").await;
        database.run_as(READ_WRITE, "INSERT INTO of_admin SELECT n FROM own;").await;
        for table in ["own", "of_admin"] {
            for user in [ADMIN, READ_WRITE, READ_ONLY] {
                let printed = database.run_as(user, &format!("SELECT n FROM {table} ORDER BY n IS NULL;")).await;
                assert_eq!(printed, "1\nNULL\n", "{user:?} in {table}");
            }
            let refused = database.attempt(READ_ONLY, &format!("DELETE FROM {table};")).await.unwrap_err();
            assert!(refused.contains("denied"), "{refused}");
        }
    }
}

#[tokio::test]
async fn sessions_are_those_in_the_servers_own_list() {
    let database = servers::postgres().await.fresh_database("sessions").await;
    let mut connection = PgConnection::connect(&database.url(READ_ONLY)).await.unwrap();
    connection.execute("SET application_name = 'Jo'").await.unwrap();
    connection.execute("BEGIN").await.unwrap();
    let id: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await.unwrap();
    let expected = Session {
        id: id.into(),
        user_name: READ_ONLY.name.to_owned(),
        database_name: Some(database.name.clone()),
        application_name: Some("Jo".to_owned()),
        state: Some("idle in transaction".to_owned()),
        query: Some("SELECT pg_backend_pid()".to_owned()),
    };
    assert_eq!(database.sessions().await, [expected]);
    connection.close().await.unwrap();
    database.until_sessions(0).await;

    let database = servers::mariadb().await.fresh_database("sessions").await;
    let mut connection = MySqlConnection::connect(&database.url(READ_ONLY)).await.unwrap();
    let id: u64 = sqlx::query_scalar("SELECT connection_id()").fetch_one(&mut connection).await.unwrap();
    let expected = Session {
        id: id.try_into().unwrap(),
        user_name: READ_ONLY.name.to_owned(),
        database_name: Some(database.name.clone()),
        application_name: None,
        state: Some("Sleep".to_owned()),
        query: None,
    };
    assert_eq!(database.sessions().await, [expected]);
    connection.close().await.unwrap();
    database.until_sessions(0).await;
}

#[tokio::test]
async fn a_server_of_its_own_stops_dies_and_comes_back() {
    stops_dies_and_comes_back(&servers::postgres_of_its_own(&["max_connections = 17"]).await, "SHOW max_connections;")
        .await;
    stops_dies_and_comes_back(
        &servers::mariadb_of_its_own(&["max_connections = 17"]).await,
        "SELECT @@max_connections;",
    )
    .await;
}

async fn stops_dies_and_comes_back(server: &OwnServer, limit: &str) {
    assert_eq!(server.admin(limit).await, "17\n");
    let database = server.fresh_database("own").await;
    database.admin("CREATE TABLE t AS SELECT 42 AS n;").await;
    server.stop().await;
    assert!(TcpStream::connect(("127.0.0.1", server.port)).await.is_err());
    server.start().await;

    let sleep = if limit.contains("@@") { "SELECT sleep(100);" } else { "SELECT pg_sleep(100);" };
    let asleep = database.attempt(READ_ONLY, sleep);
    let ended = async {
        database.until_sessions(1).await;
        server.kill().await;
    };
    let (asleep, ()) = tokio::join!(asleep, ended);
    asleep.unwrap_err();
    assert!(TcpStream::connect(("127.0.0.1", server.port)).await.is_err());
    server.start().await;
    assert_eq!(database.admin("SELECT n FROM t;").await, "42\n");
}

/// What dies in the test below.
#[tokio::test]
#[ignore = "a part of no_server_outlives_its_process"]
async fn servers_until_the_input_ends() {
    let (postgres, mariadb) = (servers::postgres_of_its_own(&[]).await, servers::mariadb().await);
    for server in [&*postgres, mariadb] {
        println!("server {}", server.socket().display());
    }
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[tokio::test]
async fn no_server_outlives_its_process() {
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "servers::servers_until_the_input_ends", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut sockets = Vec::new();
    while sockets.len() < 2 {
        let line = lines.next_line().await.unwrap().expect("the child starts two servers");
        sockets.extend(line.strip_prefix("server ").map(PathBuf::from));
    }
    let mut sessions = Vec::new();
    for socket in &sockets {
        sessions.push(UnixStream::connect(socket).await.unwrap());
    }
    child.kill().await.unwrap();
    for (socket, mut session) in sockets.iter().zip(sessions) {
        // The server is gone when its end of the session is, and the folder goes after it.
        let _ = session.read_to_end(&mut Vec::new()).await;
        while socket.parent().unwrap().exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn chinook_is_the_same_everywhere() {
    let sqlite = Connection::open_with_flags(servers::chinook_sqlite(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    for table in ["Album", "Artist", "Customer", "Employee", "Genre", "Invoice", "InvoiceLine", "Playlist", "Track"] {
        let count = |table: &str| format!("SELECT count(*) FROM {table};");
        let rows: i64 = sqlite.query_row(&count(table), [], |row| row.get(0)).unwrap();
        assert!(rows > 0, "{table} is empty");
        let mariadb = servers::chinook_mariadb().await.run_as(READ_ONLY, &count(table)).await;
        let snake_case = table.replace("eL", "e_l");
        let postgres = servers::chinook_postgres().await.run_as(READ_ONLY, &count(&snake_case)).await;
        assert_eq!((mariadb.trim(), postgres.trim()), (&*rows.to_string(), &*rows.to_string()), "{table}");
    }
}

/// A client and a server with a proxy between them.
async fn met(proxy: &Proxy, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let (client, server) = tokio::join!(TcpStream::connect(("127.0.0.1", proxy.port)), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// Reads until the end; what was read, and how it ended.
async fn heard(stream: &mut TcpStream) -> (String, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).await;
    (String::from_utf8(bytes).unwrap(), ended.err().map(|error| error.kind()))
}

#[tokio::test]
async fn the_proxy_makes_the_weather() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap().port()).await;

    let (mut client, mut server) = met(&proxy, &listener).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(heard(&mut server).await, ("question".to_owned(), None));
    let begun = Instant::now();
    proxy.set(Weather::Slow(Duration::from_millis(50))).await;
    server.write_all(b"answer").await.unwrap();
    drop(server);
    assert_eq!(heard(&mut client).await, ("answer".to_owned(), None));
    assert!(begun.elapsed() >= Duration::from_millis(50));
    proxy.until_open(0).await;

    proxy.set(Weather::CutAfter(3)).await;
    let (mut client, mut server) = met(&proxy, &listener).await;
    server.write_all(b"answer").await.unwrap();
    assert_eq!(heard(&mut client).await, ("ans".to_owned(), Some(ErrorKind::ConnectionReset)));

    proxy.set(Weather::HalfClosed).await;
    let (mut client, mut server) = met(&proxy, &listener).await;
    assert_eq!(heard(&mut client).await, (String::new(), None));
    client.write_all(b"still here").await.unwrap();
    drop(client);
    assert_eq!(heard(&mut server).await, ("still here".to_owned(), None));
    proxy.until_open(0).await;

    proxy.set(Weather::BlackHole).await;
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    client.write_all(b"anybody?").await.unwrap();
    client.shutdown().await.unwrap();
    proxy.until_open(1).await;
    assert!(listener.accept().now_or_never().is_none());
    proxy.set(Weather::Fair).await;
    let mut server = listener.accept().await.unwrap().0;
    assert_eq!(heard(&mut server).await, ("anybody?".to_owned(), None));

    proxy.set(Weather::Refused).await;
    assert_eq!(heard(&mut client).await, (String::new(), Some(ErrorKind::ConnectionReset)));
    let refused = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.set(Weather::Fair).await;
    met(&proxy, &listener).await;
}
