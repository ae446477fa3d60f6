//! The directory over a store in memory and SQLite files in a temporary folder.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;
use crate::domain::{
    AccessMode, Connection, ConnectionId, DatabaseKind, Failure, PageRequest, Principal, Reason, RequestKey,
    SystemClock, TenantId,
};
use crate::sql::{self, HostPolicy};
use crate::store::embedded::Embedded;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

struct World {
    directory: Directory,
    store: Arc<Embedded>,
    folder: tempfile::TempDir,
    who: Principal,
}

impl World {
    async fn new() -> Self {
        Self::with(|options| options).await
    }

    async fn with(change: impl FnOnce(Options) -> Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Embedded::in_memory().await.unwrap());
        let options = change(Options { sqlite_dir: folder.path().to_owned(), ..Options::default() });
        let world = Self { directory: over(&store, options), store, folder, who: Principal::local() };
        world.write("shop.sqlite", "CREATE TABLE customer (id INTEGER PRIMARY KEY, city TEXT)");
        world
    }

    fn write(&self, file: &str, sql: &str) {
        let database = rusqlite::Connection::open(self.folder.path().join(file)).unwrap();
        database.execute_batch(sql).unwrap();
    }

    async fn create(&self, spec: Spec) -> Result<Connection, Failure> {
        Ok(self.directory.create(&self.who, spec, CreateOptions::default()).await?.connection)
    }

    async fn change(&self, id: ConnectionId, spec: Spec, paths: &[&str]) -> Result<Connection, Failure> {
        let paths = paths.iter().map(ToString::to_string).collect();
        let change = Change { spec, paths, etag: None, skip_test: false, validate_only: false };
        Ok(self.directory.update(&self.who, id, change).await?.connection)
    }

    async fn count(&self) -> usize {
        self.directory.list(&self.who, PageRequest { after: None, limit: 100 }).await.unwrap().items.len()
    }
}

fn over(store: &Arc<Embedded>, options: Options) -> Directory {
    Directory::new(store.clone(), Vault::from_keys(KEY).unwrap(), Arc::new(SystemClock), options)
}

/// A server that nobody has to run.
fn server(url: &str) -> Spec {
    Spec { url: Some(url.into()), ..Spec::default() }
}

fn untested() -> CreateOptions {
    CreateOptions { skip_test: true, ..CreateOptions::default() }
}

/// Waits until the database refuses statements because it was closed.
async fn until_closed(directory: &Directory, database: &sql::Database) {
    let closed = async {
        while !matches!(database.probe().await, Err(sql::Error::Unavailable(_))) {
            directory.tidy().await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), closed).await.expect("closed");
}

fn file(path: &str) -> Spec {
    Spec { kind: Some(DatabaseKind::Sqlite), database: path.to_owned(), ..Spec::default() }
}

fn named(name: &str) -> Spec {
    Spec { name: name.to_owned(), ..file("shop.sqlite") }
}

fn reason<T>(outcome: Result<T, Failure>) -> Reason {
    outcome.err().expect("a failure").reason
}

fn other() -> Principal {
    Principal { tenant: TenantId::parse("other").unwrap(), ..Principal::local() }
}

#[tokio::test]
async fn a_connection_is_created_found_changed_and_deleted() {
    let world = World::new().await;
    let created = world.create(named("Shop")).await.unwrap();
    assert_eq!(created.access_mode, AccessMode::ReadOnly);
    assert_eq!(world.directory.get(&world.who, created.id).await.unwrap(), created);
    assert_eq!(world.directory.find(&world.who, "sHOP").await.unwrap(), created);
    assert_eq!(world.directory.find(&world.who, &created.id.to_string()).await.unwrap(), created);

    let spec = Spec { access_mode: AccessMode::Ddl, ..named("Store") };
    let changed = world.change(created.id, spec, &["name"]).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.access_mode), ("Store", AccessMode::ReadOnly), "only what is named");
    assert_ne!(changed.etag, created.etag);
    assert_eq!(changed.create_time, created.create_time);

    let refused = world.directory.delete(&world.who, created.id, Some(created.etag)).await;
    assert_eq!(reason(refused), Reason::EtagMismatch);
    world.directory.delete(&world.who, created.id, Some(changed.etag)).await.unwrap();
    assert_eq!(reason(world.directory.get(&world.who, created.id).await), Reason::ConnectionNotFound);
    assert_eq!(reason(world.directory.delete(&world.who, created.id, None).await), Reason::ConnectionNotFound);
}

#[tokio::test]
async fn names_are_unique_in_a_tenant() {
    let world = World::new().await;
    world.create(named("Shop")).await.unwrap();
    let second = world.create(named("second")).await.unwrap();
    assert_eq!(reason(world.create(named("SHOP")).await), Reason::NameTaken);
    assert_eq!(reason(world.change(second.id, named("shop"), &["name"]).await), Reason::NameTaken);
    let options = CreateOptions { validate_only: true, ..CreateOptions::default() };
    let checked = world.directory.create(&world.who, named("shop"), options).await;
    assert_eq!(reason(checked), Reason::NameTaken);
    world.directory.create(&other(), named("shop"), CreateOptions::default()).await.unwrap();
}

#[tokio::test]
async fn each_way_a_file_can_be_wrong_has_its_reason() {
    let world = World::new().await;
    std::fs::create_dir(world.folder.path().join("sub")).unwrap();
    std::fs::write(world.folder.path().join("notes.txt"), "not a database at all").unwrap();
    for (path, expected) in [
        ("absent.sqlite", Reason::FileNotFound),
        ("sub", Reason::FileIsDirectory),
        ("notes.txt", Reason::FileNotADatabase),
        ("../etc/passwd", Reason::FileOutsideFolder),
    ] {
        assert_eq!(reason(world.create(file(path)).await), expected, "{path}");
        let report = world.directory.test(&world.who, Tested::Unsaved(file(path))).await.unwrap();
        assert_eq!(report.failure.unwrap().reason, expected, "{path}");
    }
    assert_eq!(world.count().await, 0);
    let untested = CreateOptions { skip_test: true, ..CreateOptions::default() };
    let early = world.directory.create(&world.who, file("absent.sqlite"), untested.clone()).await.unwrap().connection;
    assert_eq!(reason(world.directory.database(&world.who, early.id).await), Reason::FileNotFound);
    let outside = world.directory.create(&world.who, file("/etc/passwd"), untested).await;
    assert_eq!(reason(outside), Reason::FileOutsideFolder);
}

#[tokio::test]
async fn trying_tells_version_and_time() {
    let world = World::new().await;
    let report = world.directory.test(&world.who, Tested::Unsaved(file("shop.sqlite"))).await.unwrap();
    assert!(report.failure.is_none() && report.server_version.contains('3'), "{report:?}");
    let saved = world.create(named("shop")).await.unwrap();
    let report = world.directory.test(&world.who, Tested::Saved(saved.id)).await.unwrap();
    assert!(report.failure.is_none(), "{report:?}");
    std::fs::remove_file(world.folder.path().join("shop.sqlite")).unwrap();
    let report = world.directory.test(&world.who, Tested::Saved(saved.id)).await.unwrap();
    assert_eq!(report.failure.unwrap().reason, Reason::FileNotFound);
}

#[tokio::test]
async fn validating_saves_nothing() {
    let world = World::new().await;
    let options = CreateOptions {
        request: Some(RequestKey { id: "r".to_owned(), body_hash: [1; 32] }),
        validate_only: true,
        ..CreateOptions::default()
    };
    world.directory.create(&world.who, named("shop"), options).await.unwrap();
    assert_eq!(world.count().await, 0);
    let created = world.create(named("shop")).await.unwrap();
    let change =
        Change { spec: named("x"), paths: vec!["name".to_owned()], etag: None, skip_test: false, validate_only: true };
    assert_eq!(world.directory.update(&world.who, created.id, change).await.unwrap().connection.name, "x");
    assert_eq!(world.directory.get(&world.who, created.id).await.unwrap(), created);
}

#[tokio::test]
async fn a_repeated_request_gives_the_same_connection() {
    let world = World::new().await;
    let options = |hash: u8| CreateOptions {
        request: Some(RequestKey { id: "r".to_owned(), body_hash: [hash; 32] }),
        ..CreateOptions::default()
    };
    // The first try claims the id and then fails: a repeat completes it.
    assert_eq!(
        reason(world.directory.create(&world.who, file("later.sqlite"), options(1)).await),
        Reason::FileNotFound
    );
    world.write("later.sqlite", "CREATE TABLE t (a)");
    let created = world.directory.create(&world.who, file("later.sqlite"), options(1)).await.unwrap().connection;
    let again = world.directory.create(&world.who, file("later.sqlite"), options(1)).await.unwrap().connection;
    assert_eq!(again, created);
    let reused = world.directory.create(&world.who, named("shop"), options(2)).await;
    assert_eq!(reason(reused), Reason::RequestIdReused);
    assert_eq!(world.count().await, 1);

    let twins = (0..8).map(|_| {
        let options = CreateOptions {
            request: Some(RequestKey { id: "twins".to_owned(), body_hash: [3; 32] }),
            ..CreateOptions::default()
        };
        world.directory.create(&world.who, named("twins"), options)
    });
    let twins = futures::future::join_all(twins).await;
    let ids: std::collections::HashSet<_> = twins.into_iter().map(|twin| twin.unwrap().connection.id).collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn changes_are_refused_when_stale_or_wrong() {
    let world = World::new().await;
    let created = world.create(named("shop")).await.unwrap();
    let change = |etag: &str, path: &str| Change {
        spec: named("new"),
        paths: vec![path.to_owned()],
        etag: Some(etag.to_owned()),
        skip_test: false,
        validate_only: false,
    };
    let stale = world.directory.update(&world.who, created.id, change("old", "name")).await;
    assert_eq!(reason(stale), Reason::EtagMismatch);
    let unknown = world.directory.update(&world.who, created.id, change(&created.etag, "colour")).await;
    assert_eq!(reason(unknown), Reason::FieldInvalid);
    let absent = world.change(created.id, file("absent.sqlite"), &["database"]).await;
    assert_eq!(reason(absent), Reason::FileNotFound, "a new place is tried");
    let by_url = Spec { url: Some("sqlite://absent.sqlite".into()), ..Spec::default() };
    assert_eq!(reason(world.change(created.id, by_url, &["url"]).await), Reason::FileNotFound);
    assert_eq!(world.directory.get(&world.who, created.id).await.unwrap(), created);
}

#[tokio::test]
async fn a_changed_connection_has_another_database() {
    let world = World::new().await;
    world.write("other.sqlite", "CREATE TABLE invoice (id INTEGER PRIMARY KEY)");
    let created = world.create(named("shop")).await.unwrap();
    let tables = async || {
        let schema = world.directory.schema(&world.who, created.id, false).await.unwrap();
        schema.tables.iter().map(|table| table.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(tables().await, ["customer"]);
    let by_url = Spec { url: Some("sqlite:other.sqlite".into()), ..Spec::default() };
    world.change(created.id, by_url, &["url"]).await.unwrap();
    assert_eq!(tables().await, ["invoice"]);

    world.write("other.sqlite", "CREATE TABLE payment (id INTEGER PRIMARY KEY)");
    assert_eq!(tables().await, ["invoice"], "held for a while");
    world.directory.schema(&world.who, created.id, true).await.unwrap();
    assert_eq!(tables().await, ["invoice", "payment"]);
}

#[tokio::test]
async fn another_tenant_sees_nothing() {
    let world = World::new().await;
    let id = world.create(named("shop")).await.unwrap().id;
    let (directory, other) = (&world.directory, &other());
    directory.schema(&world.who, id, false).await.unwrap();
    let change =
        Change { spec: named("x"), paths: vec!["name".to_owned()], etag: None, skip_test: true, validate_only: false };
    let reasons = [
        reason(directory.get(other, id).await),
        reason(directory.find(other, "shop").await),
        reason(directory.find(other, &id.to_string()).await),
        reason(directory.update(other, id, change).await),
        reason(directory.delete(other, id, None).await),
        reason(directory.test(other, Tested::Saved(id)).await),
        reason(directory.database(other, id).await),
        reason(directory.schema(other, id, true).await),
    ];
    assert_eq!(reasons, [Reason::ConnectionNotFound; 8]);
    assert!(directory.list(other, PageRequest { after: None, limit: 10 }).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn what_this_process_changes_counts_at_once() {
    let world = World::with(|options| Options { record_max_age: Duration::MAX, ..options }).await;
    let created = world.create(named("shop")).await.unwrap();
    let (_, first) = world.directory.database(&world.who, created.id).await.unwrap();
    assert_eq!(reason(world.directory.database(&other(), created.id).await), Reason::ConnectionNotFound);

    let spec = Spec { allowed_functions: vec!["mine".to_owned()], ..Spec::default() };
    let changed = world.change(created.id, spec, &["allowed_functions"]).await.unwrap();
    let (connection, second) = world.directory.database(&world.who, created.id).await.unwrap();
    assert_eq!(*connection, changed);
    until_closed(&world.directory, &first).await;

    world.directory.delete(&world.who, created.id, None).await.unwrap();
    assert_eq!(reason(world.directory.database(&world.who, created.id).await), Reason::ConnectionNotFound);
    until_closed(&world.directory, &second).await;
}

#[tokio::test]
async fn what_another_process_changes_counts_after_a_while() {
    let world = World::with(|options| Options { record_max_age: Duration::ZERO, ..options }).await;
    let elsewhere = over(&world.store, Options { sqlite_dir: world.folder.path().to_owned(), ..Options::default() });
    let created = world.create(named("shop")).await.unwrap();
    let (_, first) = world.directory.database(&world.who, created.id).await.unwrap();

    let spec = Spec { allowed_functions: vec!["mine".to_owned()], ..Spec::default() };
    let paths = vec!["allowed_functions".to_owned()];
    let change = Change { spec, paths, etag: None, skip_test: false, validate_only: false };
    let changed = elsewhere.update(&world.who, created.id, change).await.unwrap().connection;
    assert_eq!(*world.directory.database(&world.who, created.id).await.unwrap().0, changed);
    until_closed(&world.directory, &first).await;

    elsewhere.delete(&world.who, created.id, None).await.unwrap();
    assert_eq!(reason(world.directory.database(&world.who, created.id).await), Reason::ConnectionNotFound);
}

#[tokio::test]
async fn the_database_unused_longest_is_closed_for_a_new_one() {
    let world = World::with(|options| Options { open_databases: 1, ..options }).await;
    let first = world.create(named("first")).await.unwrap();
    let second = world.create(named("second")).await.unwrap();
    let (_, of_first) = world.directory.database(&world.who, first.id).await.unwrap();
    let (_, of_second) = world.directory.database(&world.who, second.id).await.unwrap();
    until_closed(&world.directory, &of_first).await;
    of_second.probe().await.unwrap();
    let (_, again) = world.directory.database(&world.who, first.id).await.unwrap();
    again.probe().await.unwrap();

    world.directory.close().await;
    assert!(again.probe().await.is_err(), "all are closed");
}

#[tokio::test]
async fn a_host_that_policy_forbids_is_not_saved() {
    let exposed = HostPolicy { private: false, ..HostPolicy::default() };
    let world = World::with(|options| Options { hosts: exposed, ..options }).await;
    let create =
        async |url: &str, options: CreateOptions| world.directory.create(&world.who, server(url), options).await;
    for url in [
        "postgres://ann:x@127.0.0.1/shop",
        "postgres://ann:x@localhost/shop",
        "postgres://ann:x@169.254.169.254:8080/shop",
        "postgres://ann:x@[::ffff:10.0.0.1]/shop",
        "postgres://ann:x@nowhere.invalid:22/shop",
        "postgres://ann:x@%2Frun%2Fpostgresql/shop",
    ] {
        assert_eq!(reason(create(url, CreateOptions::default()).await), Reason::HostNotAllowed, "{url}");
        assert_eq!(reason(create(url, untested()).await), Reason::HostNotAllowed, "{url}, untested");
        let report = world.directory.test(&world.who, Tested::Unsaved(server(url))).await.unwrap();
        assert_eq!(report.failure.unwrap().reason, Reason::HostNotAllowed, "{url}, only tested");
    }
    assert_eq!(world.count().await, 0);
    // A name that has no address yet may get an allowed one: it is looked at again at every connect.
    let early = create("postgres://ann:x@nowhere.invalid/shop", untested()).await.unwrap().connection;
    let (_, database) = world.directory.database(&world.who, early.id).await.unwrap();
    assert_eq!(database.probe().await, Err(sql::Error::Unreachable(sql::Unreachable::Dns)));
    let moved = world.change(early.id, Spec { host: "10.0.0.1".to_owned(), ..Spec::default() }, &["host"]).await;
    assert_eq!(reason(moved), Reason::HostNotAllowed);
}

#[tokio::test]
async fn secrets_of_a_server_are_kept_sealed_and_handed_to_nobody() {
    let world = World::new().await;
    let secret = "canary-password";
    let saved =
        world.directory.create(&world.who, server("postgres://ann:canary-password@nowhere.invalid/shop"), untested());
    let saved = saved.await.unwrap().connection;
    assert!(saved.has_password && !format!("{saved:?}").contains(secret));
    let record =
        crate::store::Store::get_connection(&*world.store, &world.who.tenant, saved.id).await.unwrap().unwrap();
    assert!(record.sealed.is_some() && !format!("{record:?}").contains(secret));
    let vault = Vault::from_keys(KEY).unwrap();
    let opened = vault.open(&world.who.tenant, saved.id, record.sealed.as_deref().unwrap()).unwrap();
    assert_eq!(opened.password.unwrap().expose_secret(), secret);
    let (_, database) = world.directory.database(&world.who, saved.id).await.unwrap();
    assert!(!format!("{database:?}").contains(secret));

    // A change of another field keeps it; a URL says everything, and this one says no password.
    let renamed = world.change(saved.id, Spec { name: "x".to_owned(), ..Spec::default() }, &["name"]).await.unwrap();
    assert!(renamed.has_password);
    let change = Change {
        spec: server("postgres://ann@nowhere.invalid/shop"),
        paths: vec!["url".to_owned()],
        etag: None,
        skip_test: true,
        validate_only: false,
    };
    assert!(!world.directory.update(&world.who, saved.id, change).await.unwrap().connection.has_password);
}

#[tokio::test]
async fn a_saved_connection_is_tried_as_it_would_be_after_a_change() {
    let world = World::new().await;
    let saved = world.create(named("shop")).await.unwrap();
    let tested = async |spec: Spec, path: &str| {
        let tested = Tested::Changed { id: saved.id, spec, paths: vec![path.to_owned()] };
        world.directory.test(&world.who, tested).await
    };
    let absent = tested(file("absent.sqlite"), "database").await.unwrap();
    assert_eq!(absent.failure.unwrap().reason, Reason::FileNotFound);
    assert!(tested(named("other"), "name").await.unwrap().failure.is_none());
    assert_eq!(reason(tested(named("other"), "colour").await), Reason::FieldInvalid);
    assert_eq!(world.directory.get(&world.who, saved.id).await.unwrap(), saved, "nothing is saved");
}
