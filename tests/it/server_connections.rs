//! Connections to real database servers: how they are made, why they fail, what is opened and closed for them, and that
//! nobody ever hears their secrets.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use prost::Message;
use pulse::pb::v1::connection_service_client::ConnectionServiceClient;
use pulse::pb::v1::query_service_client::QueryServiceClient;
use pulse::pb::v1::{
    Connection, ConnectionFailureReason as Why, ConnectionLimits, ConnectionSpec, CreateConnectionRequest,
    DatabaseKind, DeleteConnectionRequest, GetConnectionRequest, GetSchemaRequest, GetSchemaResponse,
    ListConnectionsRequest, SchemaView, StreamQueryRequest, StreamStatement, TestConnectionRequest,
    TestConnectionResponse, TlsMode, TlsSpec, UpdateConnectionRequest, stream_query_request::Source,
    stream_query_response::Part,
};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::calls::{assert_error, reason};
use crate::support::databases::{creation, statement};
use crate::support::process::pulse;
use crate::support::proxy::{Proxy, Weather};
use crate::support::server::Server;
use crate::support::servers::{
    self, ADMIN, CERTIFICATE, CERTIFICATES, Database, DatabaseServer, HOST, READ_ONLY, User,
};

const ONE_TABLE: &str = "CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2);";

/// The servers, and the kind of connection that each needs.
async fn both() -> [(&'static DatabaseServer, DatabaseKind); 2] {
    [(servers::postgres().await, DatabaseKind::Postgresql), (servers::mariadb().await, DatabaseKind::Mysql)]
}

/// What a connection of this user to the database is made from, by fields.
fn spec(database: &Database<'_>, kind: DatabaseKind, user: User) -> ConnectionSpec {
    ConnectionSpec {
        name: database.name.clone(),
        kind: kind.into(),
        host: HOST.to_owned(),
        port: database.server.port.into(),
        database: database.name.clone(),
        username: user.name.to_owned(),
        password: user.password.to_owned(),
        ..ConnectionSpec::default()
    }
}

fn tls(mode: TlsMode, authority: &str) -> TlsSpec {
    TlsSpec { mode: mode.into(), ca_certificate: authority.to_owned(), ..TlsSpec::default() }
}

async fn test(server: &mut Server, connection: ConnectionSpec) -> TestConnectionResponse {
    let request = TestConnectionRequest { connection: Some(connection), ..TestConnectionRequest::default() };
    server.connections.test_connection(request).await.unwrap().into_inner()
}

async fn update(server: &mut Server, id: &str, connection: ConnectionSpec) -> Result<Connection, Status> {
    let request = UpdateConnectionRequest {
        id: id.to_owned(),
        connection: Some(connection),
        ..UpdateConnectionRequest::default()
    };
    Ok(server.connections.update_connection(request).await?.into_inner().connection.unwrap())
}

async fn delete(server: &mut Server, id: &str) {
    let request = DeleteConnectionRequest { id: id.to_owned(), ..DeleteConnectionRequest::default() };
    server.connections.delete_connection(request).await.unwrap();
}

async fn schema(server: &mut Server, request: GetSchemaRequest) -> GetSchemaResponse {
    server.connections.get_schema(request).await.unwrap().into_inner()
}

async fn rows(server: &mut Server, id: &str) -> i64 {
    server.execute(id, "SELECT n FROM t").await.unwrap().row_count.into()
}

// --- Making one ---------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_server_is_given_by_url_or_by_fields() {
    let mut server = Server::start().await;
    for (databases, kind) in both().await {
        let database = databases.fresh_database("given").await;
        database.admin(ONE_TABLE).await;
        let url = database.url(READ_ONLY);
        let by_url = server.create(ConnectionSpec { url: url.clone(), ..ConnectionSpec::default() }).await.unwrap();
        let by_fields = ConnectionSpec { name: format!("{kind:?} by fields"), ..spec(&database, kind, READ_ONLY) };
        let by_fields = server.create(by_fields).await.unwrap();
        for saved in [&by_url, &by_fields] {
            let address = (saved.host.as_str(), saved.port, saved.database.as_str());
            assert_eq!(address, (HOST, i32::from(databases.port), database.name.as_str()));
            assert_eq!((saved.kind(), saved.username.as_str(), saved.has_password), (kind, READ_ONLY.name, true));
            assert_eq!(rows(&mut server, &saved.id).await, 2);
            let found = schema(&mut server, GetSchemaRequest { id: saved.id.clone(), ..Default::default() }).await;
            assert_eq!(found.tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["t"]);
            assert!(found.read_time.is_some() && !found.fingerprint.is_empty());
        }
        assert_eq!(by_url.name, database.name, "the database's name, when there is no other");
        // A field beside the URL wins over that part of it.
        let wrong = ConnectionSpec { url, password: "wrong".to_owned(), ..ConnectionSpec::default() };
        assert_eq!(test(&mut server, wrong).await.failure_reason(), Why::Auth);
    }
}

#[tokio::test]
async fn tls_is_as_strict_as_its_mode() {
    let mut server = Server::start().await;
    let [authority, other_authority] = [&CERTIFICATES.authority, &CERTIFICATES.other_authority];
    let [client, client_key] = [&CERTIFICATES.client, &CERTIFICATES.client_key];
    for (databases, kind) in both().await {
        let database = databases.fresh_database("tls").await;
        for (mode, host, ca, expected) in [
            (TlsMode::Disable, HOST, "", None),
            (TlsMode::Prefer, HOST, "", None),
            (TlsMode::Require, "127.0.0.1", "", None),
            (TlsMode::VerifyCa, "127.0.0.1", authority, None),
            (TlsMode::VerifyCa, HOST, other_authority, Some(Why::Tls)),
            (TlsMode::VerifyFull, HOST, authority, None),
            (TlsMode::VerifyFull, HOST, other_authority, Some(Why::Tls)),
            (TlsMode::VerifyFull, HOST, "", Some(Why::Tls)),
            (TlsMode::VerifyFull, "127.0.0.1", authority, Some(Why::Tls)),
        ] {
            let tls = Some(tls(mode, ca));
            let spec = ConnectionSpec { host: host.to_owned(), tls, ..spec(&database, kind, READ_ONLY) };
            let tested = test(&mut server, spec).await;
            let why = (!tested.ok).then(|| tested.failure_reason());
            assert_eq!(why, expected, "{kind:?} {mode:?} {host}: {tested:?}");
        }
        let certified = TlsSpec {
            client_certificate: client.clone(),
            client_key: client_key.clone(),
            ..tls(TlsMode::VerifyFull, authority)
        };
        let with = |tls: TlsSpec| ConnectionSpec { tls: Some(tls), ..spec(&database, kind, CERTIFICATE) };
        let bare = test(&mut server, with(tls(TlsMode::VerifyFull, authority))).await;
        assert_eq!(bare.failure_reason(), Why::Auth, "{bare:?}");
        let saved = server.create(with(certified)).await.unwrap();
        let shown = saved.tls.unwrap();
        assert!(shown.has_client_key && shown.client_certificate == *client && shown.mode() == TlsMode::VerifyFull);
        server.execute(&saved.id, "SELECT 1").await.unwrap();

        let unused = test(
            &mut server,
            ConnectionSpec { tls: Some(tls(TlsMode::Require, authority)), ..spec(&database, kind, READ_ONLY) },
        )
        .await;
        assert!(unused.ok && unused.warnings.iter().any(|warning| warning.contains("VERIFY_CA")), "{unused:?}");
    }
}

#[tokio::test]
async fn sockets_lead_only_where_the_operator_says() {
    let databases = servers::postgres().await;
    let database = databases.fresh_database("socket").await;
    database.admin(ONE_TABLE).await;
    let folder = databases.socket_folder().to_str().unwrap();
    let spec = ConnectionSpec { host: folder.to_owned(), ..spec(&database, DatabaseKind::Postgresql, READ_ONLY) };
    let mut closed = Server::start().await;
    let refused = closed.create(spec.clone()).await.unwrap_err();
    assert_error(&refused, Code::PermissionDenied, "HOST_NOT_ALLOWED", &[]);
    assert!(refused.message().contains("PULSE_SOCKET_DIRS"), "{refused:?}");

    let mut server = Server::with(&["--socket-dirs", folder]).await;
    let id = server.create(spec).await.unwrap().id;
    assert_eq!(rows(&mut server, &id).await, 2);
}

#[tokio::test]
async fn a_user_that_can_do_more_than_read_is_warned_of() {
    let mut server = Server::start().await;
    for (databases, kind) in both().await {
        let database = databases.fresh_database("warned").await;
        let warnings = async |server: &mut Server, user: User| {
            let request = CreateConnectionRequest { validate_only: true, ..creation(spec(&database, kind, user)) };
            let created = server.connections.create_connection(request).await.unwrap().into_inner().warnings;
            assert_eq!(test(server, spec(&database, kind, user)).await.warnings, created);
            created
        };
        assert_ne!(warnings(&mut server, ADMIN).await, [""; 0], "{kind:?}");
        assert_eq!(warnings(&mut server, READ_ONLY).await, [""; 0], "{kind:?}");
    }
}

// --- Why one fails ------------------------------------------------------------------------------------------------

/// Both ways to hear of it say the same, and nothing is saved.
async fn assert_fails(server: &mut Server, spec: ConnectionSpec, why: Why, code: Code, error: &str) -> String {
    let tested = test(server, spec.clone()).await;
    assert_eq!((tested.ok, tested.failure_reason()), (false, why), "{tested:?}");
    assert!(!tested.hint.is_empty() && tested.server_version.is_empty() && tested.latency.is_some(), "{tested:?}");
    let refused = server.create(spec).await.unwrap_err();
    assert_error(&refused, code, error, &[]);
    assert_eq!(refused.message(), tested.message);
    tested.message
}

#[tokio::test]
async fn each_way_to_fail_is_told_apart() {
    let mut server = Server::start().await;
    for (databases, kind) in both().await {
        let other_port = both().await.into_iter().find(|(_, other)| *other != kind).unwrap().0.port;
        let database = databases.fresh_database("failing").await;
        let forbidden = databases.fresh_database("forbidden").await;
        let forbid = match kind {
            DatabaseKind::Postgresql => format!("REVOKE CONNECT ON DATABASE {} FROM PUBLIC;", forbidden.name),
            _ => format!("REVOKE SELECT, SHOW VIEW ON {}.* FROM {};", forbidden.name, READ_ONLY.name),
        };
        databases.admin(&forbid).await;
        let good = || spec(&database, kind, READ_ONLY);
        let admin = || spec(&database, kind, ADMIN);
        let unavailable = (Code::Unavailable, "TARGET_UNAVAILABLE");
        let cases = [
            (ConnectionSpec { host: "nowhere.invalid".into(), ..good() }, Why::Dns, unavailable),
            (ConnectionSpec { port: servers::free_port().into(), ..good() }, Why::Refused, unavailable),
            (
                ConnectionSpec { tls: Some(tls(TlsMode::VerifyCa, &CERTIFICATES.other_authority)), ..good() },
                Why::Tls,
                (Code::FailedPrecondition, "TARGET_TLS_FAILED"),
            ),
            (
                ConnectionSpec { password: "wrong".into(), ..good() },
                Why::Auth,
                (Code::FailedPrecondition, "TARGET_AUTH_FAILED"),
            ),
            (
                ConnectionSpec { database: "no_such_database".into(), ..admin() },
                Why::UnknownDatabase,
                (Code::FailedPrecondition, "TARGET_DATABASE_UNKNOWN"),
            ),
            (spec(&forbidden, kind, READ_ONLY), Why::Privilege, (Code::FailedPrecondition, "TARGET_PRIVILEGE_MISSING")),
            (
                ConnectionSpec { port: other_port.into(), ..good() },
                Why::Protocol,
                (Code::FailedPrecondition, "TARGET_PROTOCOL"),
            ),
            (
                ConnectionSpec { host: "169.254.169.254".into(), ..good() },
                Why::HostNotAllowed,
                (Code::PermissionDenied, "HOST_NOT_ALLOWED"),
            ),
        ];
        let count = cases.len();
        let mut words = BTreeSet::new();
        for (spec, why, (code, error)) in cases {
            words.insert(assert_fails(&mut server, spec, why, code, error).await);
        }
        assert_eq!(words.len(), count, "each in its own words: {words:#?}");
    }
    let list = server.connections.list_connections(ListConnectionsRequest::default()).await.unwrap().into_inner();
    assert_eq!(list.connections, []);
}

#[tokio::test]
async fn a_url_of_the_other_kind_of_server_says_what_it_is_not() {
    let mut server = Server::start().await;
    let (postgres, mariadb) = (servers::postgres().await, servers::mariadb().await);
    for mode in [TlsMode::Disable, TlsMode::Prefer, TlsMode::Require] {
        let tls = Some(TlsSpec { mode: mode.into(), ..TlsSpec::default() });
        for (url, is_not) in [
            (format!("postgres://ann:secret@{HOST}:{}/shop", mariadb.port), "not a PostgreSQL server"),
            (format!("mysql://ann:secret@{HOST}:{}/shop", postgres.port), "not a MySQL or MariaDB server"),
        ] {
            let spec = ConnectionSpec { url, tls: tls.clone(), ..ConnectionSpec::default() };
            let told =
                assert_fails(&mut server, spec, Why::Protocol, Code::FailedPrecondition, "TARGET_PROTOCOL").await;
            assert!(told.contains(is_not) && told.contains("Check kind and port"), "{told}");
        }
    }
}

#[tokio::test]
async fn names_that_the_database_does_not_have_are_warned_of() {
    let mut server = Server::start().await;
    let function = |kind| match kind {
        DatabaseKind::Postgresql => "CREATE FUNCTION score(int) RETURNS int LANGUAGE sql AS 'SELECT $1';",
        _ => "CREATE FUNCTION score(a int) RETURNS int DETERMINISTIC RETURN a;",
    };
    for (databases, kind) in both().await {
        let database = databases.fresh_database("names").await;
        database.admin(&format!("{ONE_TABLE} {}", function(kind))).await;
        let schema = if kind == DatabaseKind::Postgresql { "public".to_owned() } else { database.name.clone() };
        let listing = |functions: &[&str], columns: &[&str]| ConnectionSpec {
            allowed_functions: functions.iter().map(ToString::to_string).collect(),
            excluded_columns: columns.iter().map(ToString::to_string).collect(),
            ..spec(&database, kind, servers::READ_WRITE)
        };
        let plain = test(&mut server, listing(&[], &[])).await.warnings.len();
        let qualified = [format!("{schema}.Score"), format!("{schema}.t.n")];
        let there = test(&mut server, listing(&["SCORE", &qualified[0]], &["t.N", &qualified[1]])).await;
        assert!(there.ok && there.warnings.len() == plain, "{there:?}");
        let absent = listing(&["score", "scroe", "elsewhere.score"], &["t.m", "t.n", "elsewhere.t.n"]);
        let told = test(&mut server, absent.clone()).await;
        assert!(told.ok && told.warnings.len() == plain + 2, "{told:?}");
        let words = told.warnings.join("\n");
        for (name, named) in
            [("`scroe`", true), ("`elsewhere.score`", true), ("`score`", false), ("`t.m`", true), ("`t.n`", false)]
        {
            assert_eq!(words.contains(name), named, "{name}: {words}");
        }
        // They may come later: saving says the same and saves.
        let created = server.connections.create_connection(creation(absent)).await.unwrap().into_inner();
        assert_eq!(created.warnings, told.warnings);
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let mut server = Server::start().await;
    for (databases, kind) in both().await {
        let database = databases.fresh_database("silent").await;
        let proxy = Proxy::to(databases.port).await;
        proxy.set(Weather::BlackHole).await;
        let silent = ConnectionSpec { port: proxy.port.into(), ..spec(&database, kind, READ_ONLY) };
        let tested = test(&mut server, silent.clone()).await;
        assert_eq!((tested.ok, tested.failure_reason()), (false, Why::Timeout), "{tested:?}");
        proxy.set(Weather::Fair).await;
        assert!(test(&mut server, silent).await.ok);
        // What was given up is also let go.
        proxy.until_open(0).await;
        database.until_sessions(0).await;
    }
}

#[tokio::test]
async fn policy_decides_which_hosts_are_tried() {
    let databases = servers::postgres().await;
    let database = databases.fresh_database("policy").await;
    let kind = DatabaseKind::Postgresql;
    let at = |host: &str, port: i32| ConnectionSpec { host: host.to_owned(), port, ..spec(&database, kind, READ_ONLY) };
    let port = i32::from(databases.port);
    for (flags, spec, allowed) in [
        (&[][..], at("127.0.0.1", port), true),
        (&["--deny-hosts", "127.0.0.0/8,::1"], at(HOST, port), false),
        (&["--deny-hosts", "*"], at(HOST, port), false),
        (&["--deny-hosts", "*", "--allow-hosts", HOST], at(HOST, port), true),
        (&["--listen", "0.0.0.0:0", "--insecure"], at(HOST, port), false),
        (&["--listen", "0.0.0.0:0", "--insecure", "--allow-hosts", "127.0.0.1,::1"], at(HOST, port), true),
        (&["--allow-hosts", "169.254.0.0/16"], at("169.254.169.254", port), false),
        (&["--allow-hosts", "0.0.0.0"], at("0.0.0.0", port), false),
        (&[], at(HOST, 1023), false),
    ] {
        let mut server = Server::with(flags).await;
        for skip_test in [false, true] {
            let request = CreateConnectionRequest { skip_test, validate_only: true, ..creation(spec.clone()) };
            let outcome = server.connections.create_connection(request).await;
            match outcome {
                Ok(_) => assert!(allowed, "{flags:?} {spec:?}"),
                Err(refused) => {
                    assert!(!allowed, "{flags:?}: {refused:?}");
                    assert_error(&refused, Code::PermissionDenied, "HOST_NOT_ALLOWED", &[]);
                }
            }
        }
    }
}

#[tokio::test]
async fn an_edit_is_tested_before_it_is_saved_and_without_its_password() {
    let mut server = Server::start().await;
    for (databases, kind) in both().await {
        let database = databases.fresh_database("edit").await;
        let saved = server.create(spec(&database, kind, READ_ONLY)).await.unwrap();
        let tested = async |server: &mut Server, changes: ConnectionSpec| {
            let request = TestConnectionRequest { id: saved.id.clone(), connection: Some(changes) };
            server.connections.test_connection(request).await.unwrap().into_inner()
        };
        let tls = Some(tls(TlsMode::VerifyFull, &CERTIFICATES.authority));
        let stricter = tested(&mut server, ConnectionSpec { tls, ..Default::default() }).await;
        assert!(stricter.ok, "{stricter:?}");
        let elsewhere = ConnectionSpec { port: servers::free_port().into(), ..Default::default() };
        assert_eq!(tested(&mut server, elsewhere.clone()).await.failure_reason(), Why::Refused);
        let refused = update(&mut server, &saved.id, elsewhere).await.unwrap_err();
        assert_error(&refused, Code::Unavailable, "TARGET_UNAVAILABLE", &[]);
        let request = GetConnectionRequest { id: saved.id.clone() };
        let now = server.connections.get_connection(request).await.unwrap().into_inner().connection;
        assert_eq!(now, Some(saved.clone()));
    }
}

// --- What is opened for one ---------------------------------------------------------------------------------------

#[tokio::test]
async fn sessions_are_few_replaced_by_an_update_and_gone_after_a_delete() {
    let mut server = Server::start().await;
    for (databases, kind) in both().await {
        let database = databases.fresh_database("pool").await;
        database.admin(ONE_TABLE).await;
        let limits = Some(ConnectionLimits { max_pool_size: 2, ..ConnectionLimits::default() });
        let saved = server.create(ConnectionSpec { limits, ..spec(&database, kind, READ_ONLY) }).await.unwrap();
        assert_eq!(saved.limits.unwrap().max_pool_size, 2);
        database.until_sessions(0).await;

        // All at once, none of them first: still one pool, and no more sessions than it may have.
        let calls = (0..16).map(|_| {
            let (mut queries, request) = (server.queries.clone(), statement(&saved.id, "SELECT n FROM t"));
            async move { queries.execute_query(request).await.unwrap().into_inner().row_count }
        });
        assert_eq!(futures::future::join_all(calls).await, [2; 16]);
        let first: BTreeSet<_> = database.sessions().await.into_iter().map(|session| session.id).collect();
        assert!((1..=2).contains(&first.len()), "{first:?}");

        let named = ConnectionSpec { name: format!("{kind:?} again"), ..ConnectionSpec::default() };
        update(&mut server, &saved.id, named).await.unwrap();
        database.until_sessions(0).await;
        assert_eq!(rows(&mut server, &saved.id).await, 2);
        let second: BTreeSet<_> = database.sessions().await.into_iter().map(|session| session.id).collect();
        assert!(second.len() == 1 && second.is_disjoint(&first), "{second:?} after {first:?}");

        delete(&mut server, &saved.id).await;
        let gone = server.execute(&saved.id, "SELECT n FROM t").await.unwrap_err();
        assert_error(&gone, Code::NotFound, "CONNECTION_NOT_FOUND", &[]);
        database.until_sessions(0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_while_its_connection_changes_runs_to_its_end() {
    // Few and wide: far more than anything on the way holds back, and little work.
    const ROWS: i64 = 3_000;
    let mut server = Server::start().await;
    for (databases, kind) in both().await {
        let database = databases.fresh_database("running").await;
        let series = match kind {
            DatabaseKind::Postgresql => format!("generate_series(1, {ROWS}) AS series"),
            _ => format!("seq_1_to_{ROWS}"),
        };
        database
            .admin(&format!("CREATE TABLE n (n text); INSERT INTO n SELECT repeat('x', 10000) FROM {series};"))
            .await;
        let id = server.create(spec(&database, kind, READ_ONLY)).await.unwrap().id;
        let statement = StreamStatement {
            connection_id: id.clone(),
            sql: "SELECT n FROM n".to_owned(),
            ..StreamStatement::default()
        };
        let request =
            StreamQueryRequest { source: Some(Source::Statement(statement)), ..StreamQueryRequest::default() };
        let mut stream = server.queries.stream_query(request).await.unwrap().into_inner();
        stream.message().await.unwrap().unwrap();

        let named = ConnectionSpec { name: format!("{kind:?} renamed"), ..ConnectionSpec::default() };
        update(&mut server, &id, named).await.unwrap();
        server.execute(&id, "SELECT 1").await.unwrap();
        delete(&mut server, &id).await;

        let mut last = None;
        while let Some(message) = stream.message().await.unwrap() {
            last = Some(message);
        }
        let Some(Part::Summary(summary)) = last.unwrap().part else { panic!("the last message is no summary") };
        assert_eq!(summary.row_count, ROWS, "{kind:?}");
        database.until_sessions(0).await;
    }
}

#[tokio::test]
async fn a_server_that_ends_takes_leave_of_databases() {
    for (databases, kind) in both().await {
        let database = databases.fresh_database("leave").await;
        database.admin(ONE_TABLE).await;
        let mut server = Server::start().await;
        let id = server.create(spec(&database, kind, READ_ONLY)).await.unwrap().id;
        rows(&mut server, &id).await;
        assert_eq!(database.sessions().await.len(), 1);
        server.stop().await;
        database.until_sessions(0).await;
    }
}

// --- The schema ---------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_large_schema_comes_in_pages_and_its_changes_are_noticed() {
    const TABLES: usize = 1_000;
    let database = servers::postgres().await.fresh_database("wide").await;
    let tables = format!(
        "DO $$ BEGIN FOR i IN 1..{TABLES} LOOP EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY, %s)', \
         CASE WHEN i % 2 = 0 THEN 'Table_' ELSE 'table' END || i, \
         (SELECT string_agg(format('column_%s varchar(40)', c), ', ') FROM generate_series(1, 19) c)); \
         END LOOP; END $$;"
    );
    database.admin(&tables).await;
    let mut server = Server::start().await;
    let id = server.create(spec(&database, DatabaseKind::Postgresql, READ_ONLY)).await.unwrap().id;
    let all = || GetSchemaRequest { id: id.clone(), page_size: 1_000, ..GetSchemaRequest::default() };

    let (mut names, mut page_token, mut fingerprints) = (Vec::new(), String::new(), BTreeSet::new());
    loop {
        let page = schema(&mut server, GetSchemaRequest { page_token, page_size: 300, ..all() }).await;
        assert!(page.encoded_len() < 3_500_000 && page.tables.len() <= 300);
        assert_eq!(page.table_count, i32::try_from(TABLES).unwrap());
        assert!(page.tables.iter().all(|table| table.columns.len() == 20 && table.primary_key == ["id"]));
        names.extend(page.tables.into_iter().map(|table| table.name));
        fingerprints.insert(page.fingerprint);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((names.iter().collect::<BTreeSet<_>>().len(), names.len()), (TABLES, TABLES), "each table once");
    let brief = schema(&mut server, GetSchemaRequest { view: SchemaView::Names.into(), ..all() }).await;
    assert!(brief.tables.len() == TABLES && brief.tables.iter().all(|table| table.columns.is_empty()));
    let one = schema(&mut server, GetSchemaRequest { table: "table7".into(), ..all() }).await;
    assert_eq!((one.tables.len(), one.table_count), (1, 1));

    database.admin("ALTER TABLE table7 ADD COLUMN new int;").await;
    let held = schema(&mut server, all()).await;
    assert!(fingerprints.contains(&held.fingerprint), "answered from the cache");
    let fresh = schema(&mut server, GetSchemaRequest { refresh: true, ..all() }).await;
    assert!(!fingerprints.contains(&fresh.fingerprint) && fresh.read_time != held.read_time);

    let mut forgetful = Server::with(&["--schema-max-age", "0s"]).await;
    let id = forgetful.create(spec(&database, DatabaseKind::Postgresql, READ_ONLY)).await.unwrap().id;
    let one = || GetSchemaRequest { id: id.clone(), page_size: 1, ..GetSchemaRequest::default() };
    let before = schema(&mut forgetful, one()).await.fingerprint;
    database.admin("ALTER TABLE table7 DROP COLUMN new;").await;
    assert_ne!(schema(&mut forgetful, one()).await.fingerprint, before, "noticed without being asked to look");
}

// --- Secrets ------------------------------------------------------------------------------------------------------

/// Fails when bytes hold a secret.
fn assert_clean(what: &str, bytes: &[u8], secrets: &[&str]) {
    for secret in secrets {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{what} holds a secret");
    }
}

fn heard<T: std::fmt::Debug>(answer: Result<tonic::Response<T>, Status>) -> Vec<u8> {
    match answer {
        Ok(answer) => format!("{answer:?}").into_bytes(),
        Err(status) => {
            reason(&status);
            [format!("{status:?}").into_bytes(), status.details().to_vec()].concat()
        }
    }
}

/// Every RPC of connections, in order and out of it, at the most talkative log level: the password, and the key of the
/// client's certificate, are in no answer, no error, no log line and no file.
#[tokio::test]
async fn secrets_of_servers_are_heard_by_nobody() {
    const WRONG: &str = "canary-4b7e1d-password";
    let key_line = CERTIFICATES.client_key.lines().nth(1).unwrap();
    let secrets = [WRONG, CERTIFICATE.password, READ_ONLY.password, key_line];
    let folder = tempfile::tempdir().unwrap();
    let (channel, log, mut process) = talkative(folder.path()).await;
    let mut connections = ConnectionServiceClient::new(channel.clone());
    let mut queries = QueryServiceClient::new(channel);
    for (databases, kind) in both().await {
        let database = databases.fresh_database("secrets").await;
        let certified = Some(TlsSpec {
            client_certificate: CERTIFICATES.client.clone(),
            client_key: CERTIFICATES.client_key.clone(),
            ..tls(TlsMode::VerifyFull, &CERTIFICATES.authority)
        });
        let good = ConnectionSpec { tls: certified, ..spec(&database, kind, CERTIFICATE) };
        let saved = connections.create_connection(creation(good.clone())).await.unwrap().into_inner();
        let id = saved.connection.as_ref().unwrap().id.clone();
        let wrong = ConnectionSpec { password: WRONG.into(), ..spec(&database, kind, READ_ONLY) };
        let swapped = Some(TlsSpec { client_key: CERTIFICATES.client_key.clone(), ..TlsSpec::default() });
        let by_url = |url: String| ConnectionSpec { url, ..ConnectionSpec::default() };
        let scheme = databases.url(READ_ONLY, "x").split(':').next().unwrap().to_owned();
        let bad = [
            wrong.clone(),
            ConnectionSpec { tls: swapped, ..wrong.clone() },
            ConnectionSpec { host: "nowhere.invalid".into(), ..wrong.clone() },
            ConnectionSpec { database: WRONG[..6].into(), ..good.clone() },
            ConnectionSpec { name: "\u{7}".into(), ..good.clone() },
            by_url(format!("{scheme}://ann:{WRONG}@{HOST}:{}/x", databases.port)),
            by_url(format!("{scheme}://ann:{WRONG}@{HOST}:port/x")),
            by_url(format!("{scheme}://ann:{WRONG}@{HOST}/x?password={WRONG}")),
        ];
        let mut answers = vec![format!("{saved:?}").into_bytes()];
        for spec in bad {
            let connection = Some(spec.clone());
            let changed = |id: &str| UpdateConnectionRequest {
                id: id.to_owned(),
                connection: Some(spec.clone()),
                ..UpdateConnectionRequest::default()
            };
            answers.push(heard(connections.create_connection(creation(spec.clone())).await));
            answers.push(heard(connections.update_connection(changed(&id)).await));
            for id in [String::new(), id.clone()] {
                let request = TestConnectionRequest { id, connection: connection.clone() };
                answers.push(heard(connections.test_connection(request).await));
            }
        }
        answers.push(heard(connections.get_connection(GetConnectionRequest { id: id.clone() }).await));
        answers.push(heard(connections.list_connections(ListConnectionsRequest::default()).await));
        answers.push(heard(connections.get_schema(GetSchemaRequest { id: id.clone(), ..Default::default() }).await));
        answers.push(heard(queries.execute_query(statement(&id, "SELECT 1")).await));
        answers.push(heard(queries.execute_query(statement(&id, "SELECT nothing")).await));
        let request = DeleteConnectionRequest { id, ..DeleteConnectionRequest::default() };
        answers.push(heard(connections.delete_connection(request).await));
        for answer in answers {
            assert_clean("an answer", &answer, &secrets);
        }
    }
    process.kill().await.unwrap();
    let said = std::fs::read(log).unwrap();
    assert!(said.len() > 10_000, "the log is talkative: {}", String::from_utf8_lossy(&said));
    assert_clean("the log", &said, &secrets);
    for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
        assert_clean(&file.path().display().to_string(), &std::fs::read(file.path()).unwrap(), &secrets);
    }
}

/// The program at its most talkative, its log in a file of the folder.
async fn talkative(folder: &Path) -> (Channel, std::path::PathBuf, tokio::process::Child) {
    let log = folder.join("log");
    let process = pulse()
        .args(["serve", "--listen", "127.0.0.1:0", "--log", "trace", "--log-format", "json", "--data-dir"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let serving = async {
        loop {
            let said = std::fs::read_to_string(&log).unwrap();
            let lines = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            if let Some(line) = lines.into_iter().find(|line| line["message"] == "serving") {
                return line["address"].as_str().unwrap().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let address = tokio::time::timeout(Duration::from_mins(1), serving).await.expect("the program serves");
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    (channel, log, process)
}
