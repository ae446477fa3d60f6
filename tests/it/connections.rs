//! Saved connections: what is kept, what is tested, what a change does, and what is shown of a schema.

use std::path::Path;

use pulse::pb::v1::{
    AccessMode, Connection, ConnectionFailureReason, ConnectionSpec, CreateConnectionRequest, DatabaseKind,
    DeleteConnectionRequest, GetConnectionRequest, ListConnectionsRequest, ListConnectionsResponse,
    ListWorkflowsRequest, TestConnectionRequest, TestConnectionResponse, UpdateConnectionRequest,
};
use tonic::{Code, Status};

use crate::support::calls::assert_error;
use crate::support::databases::{creation, spec, sqlite};
use crate::support::server::Server;

const ONE_TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2);";

/// A server whose folder holds `shop.sqlite`.
async fn with_shop() -> Server {
    let server = Server::start().await;
    sqlite(&server.databases(), "shop.sqlite", ONE_TABLE);
    server
}

async fn get(server: &mut Server, id: &str) -> Result<Connection, Status> {
    let request = GetConnectionRequest { id: id.to_owned() };
    Ok(server.connections.get_connection(request).await?.into_inner().connection.unwrap())
}

async fn list(server: &mut Server, request: ListConnectionsRequest) -> Result<ListConnectionsResponse, Status> {
    Ok(server.connections.list_connections(request).await?.into_inner())
}

async fn names(server: &mut Server) -> Vec<String> {
    let page = list(server, ListConnectionsRequest::default()).await.unwrap();
    page.connections.into_iter().map(|one| one.name).collect()
}

async fn update(server: &mut Server, request: UpdateConnectionRequest) -> Result<Connection, Status> {
    Ok(server.connections.update_connection(request).await?.into_inner().connection.unwrap())
}

/// A change of these fields.
fn change(id: &str, connection: ConnectionSpec, paths: &[&str]) -> UpdateConnectionRequest {
    let paths = paths.iter().map(|&path| path.to_owned()).collect();
    UpdateConnectionRequest {
        id: id.to_owned(),
        connection: Some(connection),
        update_mask: Some(prost_types::FieldMask { paths }),
        ..UpdateConnectionRequest::default()
    }
}

fn named(name: &str) -> ConnectionSpec {
    ConnectionSpec { name: name.to_owned(), ..ConnectionSpec::default() }
}

async fn test(server: &mut Server, id: &str, connection: Option<ConnectionSpec>) -> TestConnectionResponse {
    let request = TestConnectionRequest { id: id.to_owned(), connection };
    server.connections.test_connection(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn what_is_saved_is_read_back() {
    let mut server = with_shop().await;
    let saved = server.create(spec("Shop", "shop.sqlite")).await.unwrap();
    assert_eq!(uuid::Uuid::parse_str(&saved.id).unwrap().get_version_num(), 7);
    assert_eq!((saved.name.as_str(), saved.kind()), ("Shop", DatabaseKind::Sqlite));
    assert!(saved.database.ends_with("shop.sqlite"), "{saved:?}");
    assert_eq!((saved.host.as_str(), saved.port, saved.has_password), ("", 0, false));
    assert_eq!(saved.access_mode(), AccessMode::ReadOnly);
    assert!(saved.create_time.is_some() && saved.update_time == saved.create_time && !saved.etag.is_empty());
    assert_eq!(get(&mut server, &saved.id).await.unwrap(), saved);
}

#[tokio::test]
async fn a_url_or_a_path_alone_is_enough() {
    let mut server = with_shop().await;
    let url = ConnectionSpec { url: "sqlite://shop.sqlite".to_owned(), ..ConnectionSpec::default() };
    let saved = server.create(url).await.unwrap();
    assert_eq!((saved.name.as_str(), saved.kind()), ("shop", DatabaseKind::Sqlite));
    let path = ConnectionSpec { name: "by path".to_owned(), ..spec("", "shop.sqlite") };
    assert_eq!(server.create(path).await.unwrap().name, "by path");
    let whole = server.databases().join("shop.sqlite");
    let absolute = spec("absolute", whole.to_str().unwrap());
    let id = server.create(absolute).await.unwrap().id;
    assert_eq!(server.execute(&id, "SELECT count(*) FROM t").await.unwrap().row_count, 1);
}

#[tokio::test]
async fn a_list_comes_in_pages_oldest_first() {
    let mut server = with_shop().await;
    for name in ["e", "d", "c", "b", "a"] {
        server.create(spec(name, "shop.sqlite")).await.unwrap();
    }
    let (mut pages, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListConnectionsRequest { page_size: 2, page_token, ..ListConnectionsRequest::default() };
        let page = list(&mut server, request).await.unwrap();
        pages.push(page.connections.into_iter().map(|one| one.name).collect::<String>());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, ["ed", "cb", "a"]);
}

#[tokio::test]
async fn a_list_can_be_filtered() {
    let mut server = with_shop().await;
    server.create(spec("Shop", "shop.sqlite")).await.unwrap();
    server.create(spec("other", "shop.sqlite")).await.unwrap();
    let by_name = ListConnectionsRequest { name: "sHOP".to_owned(), ..ListConnectionsRequest::default() };
    let found = list(&mut server, by_name).await.unwrap().connections;
    assert_eq!(found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["Shop"]);
    for (kind, count) in [(DatabaseKind::Sqlite, 2), (DatabaseKind::Mysql, 0)] {
        let by_kind = ListConnectionsRequest { kind: kind.into(), ..ListConnectionsRequest::default() };
        assert_eq!(list(&mut server, by_kind).await.unwrap().connections.len(), count, "{kind:?}");
    }
}

#[tokio::test]
async fn a_page_token_belongs_to_its_list() {
    let mut server = with_shop().await;
    for name in ["a", "b"] {
        server.create(spec(name, "shop.sqlite")).await.unwrap();
    }
    let first = ListConnectionsRequest { page_size: 1, ..ListConnectionsRequest::default() };
    let page_token = list(&mut server, first).await.unwrap().next_page_token;

    let filtered = ListConnectionsRequest {
        page_token: page_token.clone(),
        kind: DatabaseKind::Sqlite.into(),
        ..ListConnectionsRequest::default()
    };
    let refused = list(&mut server, filtered).await.unwrap_err();
    assert_error(&refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID", &[]);

    let elsewhere = ListWorkflowsRequest { page_token, ..ListWorkflowsRequest::default() };
    let refused = server.workflows.list_workflows(elsewhere).await.unwrap_err();
    assert_error(&refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID", &[]);
}

#[tokio::test]
async fn a_masked_update_changes_what_the_mask_names() {
    let mut server = with_shop().await;
    let saved = server.create(spec("shop", "shop.sqlite")).await.unwrap();
    let new = ConnectionSpec { name: "renamed".to_owned(), ..spec("", "not-looked-at.sqlite") };
    let changed = update(&mut server, change(&saved.id, new, &["name"])).await.unwrap();
    assert_eq!((changed.name.as_str(), &changed.database), ("renamed", &saved.database));
    assert_eq!((&changed.id, changed.create_time), (&saved.id, saved.create_time));
    assert_ne!(changed.etag, saved.etag);
    assert_eq!(get(&mut server, &saved.id).await.unwrap(), changed);

    let stale = UpdateConnectionRequest { etag: saved.etag, ..change(&saved.id, named("again"), &["name"]) };
    let refused = update(&mut server, stale).await.unwrap_err();
    assert_error(&refused, Code::Aborted, "ETAG_MISMATCH", &[]);
    let fresh = UpdateConnectionRequest { etag: changed.etag, ..change(&saved.id, named("again"), &["name"]) };
    assert_eq!(update(&mut server, fresh).await.unwrap().name, "again");
}

#[tokio::test]
async fn an_update_without_a_mask_changes_what_is_present() {
    let mut server = with_shop().await;
    let first = ConnectionSpec { allowed_functions: vec!["mine".to_owned()], ..spec("shop", "shop.sqlite") };
    let saved = server.create(first).await.unwrap();
    let unmasked = UpdateConnectionRequest { update_mask: None, ..change(&saved.id, named("renamed"), &[]) };
    let changed = update(&mut server, unmasked).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.allowed_functions), ("renamed", vec!["mine".to_owned()]));
    let cleared = update(&mut server, change(&saved.id, ConnectionSpec::default(), &["allowed_functions"])).await;
    assert_eq!(cleared.unwrap().allowed_functions, Vec::<String>::new());
}

#[tokio::test]
async fn an_update_is_tested_before_it_is_saved() {
    let mut server = with_shop().await;
    let saved = server.create(spec("shop", "shop.sqlite")).await.unwrap();
    let missing = change(&saved.id, spec("", "missing.sqlite"), &["database"]);
    let refused = update(&mut server, missing).await.unwrap_err();
    assert_error(&refused, Code::FailedPrecondition, "FILE_NOT_FOUND", &[]);
    let only_checked = UpdateConnectionRequest { validate_only: true, ..change(&saved.id, named("new"), &["name"]) };
    assert_eq!(update(&mut server, only_checked).await.unwrap().name, "new");
    assert_eq!(get(&mut server, &saved.id).await.unwrap(), saved);
}

#[tokio::test]
async fn an_update_changes_what_is_queried() {
    let mut server = with_shop().await;
    sqlite(&server.databases(), "new.sqlite", "CREATE TABLE t (id); INSERT INTO t VALUES (1), (2), (3);");
    let id = server.create(spec("shop", "shop.sqlite")).await.unwrap().id;
    assert_eq!(server.execute(&id, "SELECT id FROM t").await.unwrap().row_count, 2);
    update(&mut server, change(&id, spec("", "new.sqlite"), &["database"])).await.unwrap();
    assert_eq!(server.execute(&id, "SELECT id FROM t").await.unwrap().row_count, 3);
}

#[tokio::test]
async fn a_name_is_taken_whatever_its_case() {
    let mut server = with_shop().await;
    server.create(spec("Shop", "shop.sqlite")).await.unwrap();
    let refused = server.create(spec("sHoP", "shop.sqlite")).await.unwrap_err();
    assert_error(&refused, Code::AlreadyExists, "NAME_TAKEN", &[]);
    let other = server.create(spec("other", "shop.sqlite")).await.unwrap();
    let refused = update(&mut server, change(&other.id, named("SHOP"), &["name"])).await.unwrap_err();
    assert_error(&refused, Code::AlreadyExists, "NAME_TAKEN", &[]);
    let own_case = update(&mut server, change(&other.id, named("OTHER"), &["name"])).await.unwrap();
    assert_eq!(own_case.name, "OTHER");
}

#[tokio::test]
async fn a_deleted_connection_is_gone_and_its_name_free() {
    let mut server = with_shop().await;
    let saved = server.create(spec("shop", "shop.sqlite")).await.unwrap();
    let stale = DeleteConnectionRequest { id: saved.id.clone(), etag: "stale".to_owned() };
    let refused = server.connections.delete_connection(stale).await.unwrap_err();
    assert_error(&refused, Code::Aborted, "ETAG_MISMATCH", &[]);

    let request = DeleteConnectionRequest { id: saved.id.clone(), etag: saved.etag };
    server.connections.delete_connection(request.clone()).await.unwrap();
    for refused in [
        get(&mut server, &saved.id).await.unwrap_err(),
        server.execute(&saved.id, "SELECT 1").await.unwrap_err(),
        server.connections.delete_connection(request).await.unwrap_err(),
    ] {
        assert_error(&refused, Code::NotFound, "CONNECTION_NOT_FOUND", &[]);
    }
    server.create(spec("shop", "shop.sqlite")).await.unwrap();
}

#[tokio::test]
async fn connections_outlive_the_server() {
    let mut server = with_shop().await;
    let saved = server.create(spec("shop", "shop.sqlite")).await.unwrap();
    let folder = server.stop().await;
    let mut server = Server::on(folder, &[], false).await;
    assert_eq!(get(&mut server, &saved.id).await.unwrap(), saved);
    assert_eq!(server.execute(&saved.id, "SELECT id FROM t").await.unwrap().row_count, 2);
}

#[tokio::test]
async fn a_repeated_request_id_creates_once() {
    let mut server = with_shop().await;
    let request = CreateConnectionRequest { request_id: "once".to_owned(), ..creation(spec("shop", "shop.sqlite")) };
    let first = server.connections.create_connection(request.clone()).await.unwrap().into_inner();
    let repeat = server.connections.create_connection(request.clone()).await.unwrap().into_inner();
    assert_eq!(repeat.connection, first.connection);
    assert_eq!(names(&mut server).await, ["shop"]);

    let other = CreateConnectionRequest { connection: Some(spec("other", "shop.sqlite")), ..request };
    let refused = server.connections.create_connection(other).await.unwrap_err();
    assert_error(&refused, Code::AlreadyExists, "REQUEST_ID_REUSED", &[]);
}

#[tokio::test]
async fn validate_only_tests_and_saves_nothing() {
    let mut server = with_shop().await;
    let request = |file| CreateConnectionRequest { validate_only: true, ..creation(spec("shop", file)) };
    let answer = server.connections.create_connection(request("shop.sqlite")).await.unwrap().into_inner();
    let connection = answer.connection.unwrap();
    assert_eq!((connection.id.as_str(), connection.name.as_str()), ("", "shop"));
    let refused = server.connections.create_connection(request("missing.sqlite")).await.unwrap_err();
    assert_error(&refused, Code::FailedPrecondition, "FILE_NOT_FOUND", &[]);
    assert_eq!(names(&mut server).await, [""; 0]);
}

#[tokio::test]
async fn skip_test_saves_a_database_that_comes_later() {
    let mut server = Server::start().await;
    let request = CreateConnectionRequest { skip_test: true, ..creation(spec("later", "later.sqlite")) };
    let id = server.connections.create_connection(request).await.unwrap().into_inner().connection.unwrap().id;
    let refused = server.execute(&id, "SELECT 1").await.unwrap_err();
    assert_error(&refused, Code::FailedPrecondition, "FILE_NOT_FOUND", &[]);
    sqlite(&server.databases(), "later.sqlite", ONE_TABLE);
    assert_eq!(server.execute(&id, "SELECT id FROM t").await.unwrap().row_count, 2);
}

#[tokio::test]
async fn a_saved_connection_can_be_tested() {
    let mut server = with_shop().await;
    let id = server.create(spec("shop", "shop.sqlite")).await.unwrap().id;
    let passed = test(&mut server, &id, None).await;
    assert!(passed.ok, "{passed:?}");
    assert_eq!(passed.failure_reason(), ConnectionFailureReason::Unspecified);
    assert!(passed.server_version.contains("SQLite 3."), "{passed:?}");
    assert!(passed.latency.is_some() && !passed.message.is_empty());

    let changed =
        test(&mut server, &id, Some(ConnectionSpec { database: "other.sqlite".to_owned(), ..Default::default() }))
            .await;
    assert_eq!((changed.ok, changed.failure_reason()), (false, ConnectionFailureReason::FileNotFound));

    std::fs::remove_file(server.databases().join("shop.sqlite")).unwrap();
    let gone = test(&mut server, &id, None).await;
    assert_eq!((gone.ok, gone.failure_reason()), (false, ConnectionFailureReason::FileNotFound));
}

#[tokio::test]
async fn a_test_says_why_it_failed() {
    let mut server = with_shop().await;
    let folder = server.databases();
    let outside = sqlite(server.data_dir(), "outside.sqlite", ONE_TABLE);
    std::fs::create_dir(folder.join("archive")).unwrap();
    std::fs::write(folder.join("notes.txt"), "not a database, however long this text may become\n".repeat(20)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    std::os::unix::fs::symlink(&outside, folder.join("link.sqlite")).unwrap();

    for (file, expected) in [
        ("missing.sqlite", ConnectionFailureReason::FileNotFound),
        ("archive", ConnectionFailureReason::FileIsDirectory),
        ("notes.txt", ConnectionFailureReason::FileNotADatabase),
        ("socket", ConnectionFailureReason::FileUnreadable),
        ("link.sqlite", ConnectionFailureReason::FileOutsideFolder),
        ("../outside.sqlite", ConnectionFailureReason::FileOutsideFolder),
        (outside.to_str().unwrap(), ConnectionFailureReason::FileOutsideFolder),
        ("/etc/passwd", ConnectionFailureReason::FileOutsideFolder),
    ] {
        let failed = test(&mut server, "", Some(spec("unsaved", file))).await;
        assert_eq!((failed.ok, failed.failure_reason()), (false, expected), "{file}: {failed:?}");
        assert!(!failed.message.is_empty() && !failed.hint.is_empty(), "{file}: {failed:?}");
    }
    assert!(test(&mut server, "", Some(spec("unsaved", "shop.sqlite"))).await.ok);
    assert_eq!(names(&mut server).await, [""; 0]);
}

/// A SQLite file has no password, so one is refused; the refusal repeats no secret and nothing keeps it.
#[tokio::test]
async fn a_secret_is_never_repeated() {
    const SECRET: &str = "canary-8c1f6e-password";
    let mut server = with_shop().await;
    let saved = server.create(spec("shop", "shop.sqlite")).await.unwrap();
    let with_password = ConnectionSpec { password: SECRET.to_owned(), ..spec("other", "shop.sqlite") };
    let refused = server.create(with_password.clone()).await.unwrap_err();
    assert_error(&refused, Code::InvalidArgument, "FIELD_INVALID", &["connection.password"]);
    let url = |url: &str| ConnectionSpec { url: url.replace("SECRET", SECRET), ..named("by url") };
    let tested = TestConnectionRequest { id: String::new(), connection: Some(with_password.clone()) };
    let skipped = CreateConnectionRequest { skip_test: true, ..creation(with_password.clone()) };
    for refused in [
        refused,
        server.create(url("postgres://user:SECRET@localhost/shop")).await.unwrap_err(),
        server.create(url("mysql://user:SECRET@local host/shop?x=SECRET")).await.unwrap_err(),
        server.create(url("oracle://user:SECRET@localhost/shop")).await.unwrap_err(),
        server.connections.create_connection(skipped).await.map(drop).unwrap_err(),
        server.connections.test_connection(tested).await.map(drop).unwrap_err(),
        update(&mut server, change(&saved.id, with_password, &["password"])).await.unwrap_err(),
    ] {
        assert!(!contains(refused.details(), SECRET) && !refused.message().contains(SECRET), "{refused:?}");
    }
    let folder = server.stop().await;
    let mut read = 0;
    assert_no_file_contains(folder.path(), SECRET, &mut read);
    assert!(read > 1, "the store is there");
}

fn assert_no_file_contains(folder: &Path, secret: &str, read: &mut usize) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            assert_no_file_contains(&entry.path(), secret, read);
        } else if entry.file_type().unwrap().is_file() {
            *read += 1;
            assert!(!contains(&std::fs::read(entry.path()).unwrap(), secret), "{}", entry.path().display());
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
