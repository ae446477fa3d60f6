//! The saved connections of every tenant, and open databases behind them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use uuid::Uuid;

use super::failures::{from_sql, from_store};
use super::spec::{Checked, Spec};
use super::{Vault, sqlite_path};
use crate::domain::connection::ConnectionSecrets;
use crate::domain::{
    Clock, Connection, ConnectionId, Failure, Page, PageRequest, Principal, Reason, RequestKey, Schema,
};
use crate::sql::{self, Database, Target};
use crate::store::record::ConnectionRecord;
use crate::store::{Claim, Store};

/// What the directory may open.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder that SQLite files may be opened from.
    pub sqlite_dir: PathBuf,
    /// Open databases at the same time; the least used is closed first.
    pub max_open: u64,
    /// An unused database is closed after this long.
    pub idle: Duration,
    /// How long a read schema is served before it is read again.
    pub schema_age: Duration,
    /// Bounds of one database's pool.
    pub pool: sql::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sqlite_dir: PathBuf::from("databases"),
            max_open: 256,
            idle: Duration::from_mins(10),
            schema_age: Duration::from_secs(30),
            pool: sql::Options::default(),
        }
    }
}

/// How to create.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// Makes a repeat return the first result.
    pub request: Option<RequestKey>,
    /// Save without trying.
    pub skip_test: bool,
    /// Check and try, save nothing.
    pub validate_only: bool,
}

/// A change of some fields.
#[derive(Debug, Clone)]
pub struct Change {
    /// New values.
    pub spec: Spec,
    /// Which of them to take: names of the spec's fields.
    pub paths: Vec<String>,
    /// The etag that was read, when the change must not overwrite another.
    pub etag: Option<String>,
    /// Save without trying.
    pub skip_test: bool,
    /// Check and try, save nothing.
    pub validate_only: bool,
}

/// What to try.
#[derive(Debug, Clone)]
pub enum Tested {
    /// A saved connection.
    Saved(ConnectionId),
    /// A spec that is not saved.
    Unsaved(Box<Spec>),
}

/// How a trial went.
#[derive(Debug, Clone)]
pub struct TestReport {
    /// Why it failed; `None` when it worked.
    pub failure: Option<Failure>,
    /// Time to open the database and read from it.
    pub latency: Duration,
    /// Such as `SQLite 3.50.2`; empty when it failed.
    pub server_version: String,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// The saved connections. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    vault: Vault,
    clock: Arc<dyn Clock>,
    options: Options,
    /// One database per state of a connection: an update opens a new one, the old ends after its statements.
    open: Cache<(ConnectionId, String), Database>,
    schemas: Cache<(ConnectionId, String), Arc<Schema>>,
}

impl Directory {
    /// A directory over the records of the store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, vault: Vault, clock: Arc<dyn Clock>, options: Options) -> Self {
        let open = Cache::builder().max_capacity(options.max_open).time_to_idle(options.idle).build();
        let schemas = Cache::builder().max_capacity(options.max_open).time_to_live(options.schema_age).build();
        Self { inner: Arc::new(Inner { store, vault, clock, options, open, schemas }) }
    }

    /// Checks, tries and saves a connection.
    pub async fn create(&self, who: &Principal, spec: Spec, options: CreateOptions) -> Result<Connection, Failure> {
        let checked = spec.check(true)?;
        let id = match &options.request {
            Some(request) if !options.validate_only => match self.claim(who, request).await? {
                Claimed::New(id) => id,
                Claimed::Repeat(id) => match self.find_record(who, id).await? {
                    Some(record) => return Ok(record.connection),
                    // The first try was stored halfway: this one completes it.
                    None => id,
                },
            },
            _ => ConnectionId::generate(),
        };
        let (connection, secrets) = self.compose(who, id, checked, None);
        if !options.skip_test {
            self.probe(&connection).await?;
        }
        if !options.validate_only {
            let record = self.record(&connection, &secrets)?;
            self.inner
                .store
                .create_connection(record)
                .await
                .map_err(|error| named(&from_store(&error), &connection))?;
        }
        Ok(connection)
    }

    /// The connection, or `CONNECTION_NOT_FOUND`.
    pub async fn get(&self, who: &Principal, id: ConnectionId) -> Result<Connection, Failure> {
        Ok(self.get_record(who, id).await?.connection)
    }

    /// Connections in the order they were created.
    pub async fn list(
        &self,
        who: &Principal,
        page: PageRequest<ConnectionId>,
    ) -> Result<Page<Connection, ConnectionId>, Failure> {
        let page = self.inner.store.list_connections(&who.tenant, page).await.map_err(|error| from_store(&error))?;
        Ok(Page { items: page.items.into_iter().map(|record| record.connection).collect(), next: page.next })
    }

    /// Changes the named fields, tries the result, and saves it.
    pub async fn update(&self, who: &Principal, id: ConnectionId, change: Change) -> Result<Connection, Failure> {
        let record = self.get_record(who, id).await?;
        let before = record.connection.clone();
        if change.etag.as_ref().is_some_and(|etag| *etag != before.etag) {
            return Err(from_store(&crate::store::Error::EtagMismatch));
        }
        let secrets = self.secrets(&record, &change)?;
        let spec = merge(&before, secrets, &change.spec, &change.paths)?;
        let (connection, secrets) = self.compose(who, id, spec.check(true)?, Some(&before));
        if !change.skip_test {
            self.probe(&connection).await?;
        }
        if !change.validate_only {
            let record = self.record(&connection, &secrets)?;
            let updated = self.inner.store.update_connection(record, &before.etag).await;
            if !updated.map_err(|error| named(&from_store(&error), &connection))? {
                return Err(not_found(id));
            }
            self.close(&before).await;
        }
        Ok(connection)
    }

    /// Removes the connection and closes its database.
    pub async fn delete(&self, who: &Principal, id: ConnectionId, etag: Option<String>) -> Result<(), Failure> {
        let connection = self.get(who, id).await?;
        if etag.is_some_and(|etag| etag != connection.etag) {
            return Err(from_store(&crate::store::Error::EtagMismatch));
        }
        let deleted = self.inner.store.delete_connection(&who.tenant, id).await.map_err(|error| from_store(&error))?;
        self.close(&connection).await;
        if deleted { Ok(()) } else { Err(not_found(id)) }
    }

    /// Tries a connection and says why it failed. Only a missing id or a malformed spec is an error.
    pub async fn test(&self, who: &Principal, tested: Tested) -> Result<TestReport, Failure> {
        let connection = match tested {
            Tested::Saved(id) => self.get(who, id).await?,
            Tested::Unsaved(spec) => self.compose(who, ConnectionId::generate(), spec.check(false)?, None).0,
        };
        let start = Instant::now();
        let outcome = self.probe(&connection).await;
        let latency = start.elapsed();
        let (failure, server_version) = match outcome {
            Ok(info) => (None, info.version),
            Err(failure) => (Some(failure), String::new()),
        };
        Ok(TestReport { failure, latency, server_version, warnings: Vec::new() })
    }

    /// The connection with an open database, shared by all its callers.
    pub async fn database(&self, who: &Principal, id: ConnectionId) -> Result<(Connection, Database), Failure> {
        let connection = self.get(who, id).await?;
        let database = self.open(&connection).await?;
        Ok((connection, database))
    }

    /// Tables, columns and keys; a schema that was read a moment ago is served again unless `refresh` is set.
    pub async fn schema(&self, who: &Principal, id: ConnectionId, refresh: bool) -> Result<Arc<Schema>, Failure> {
        let (connection, database) = self.database(who, id).await?;
        let key = key(&connection);
        if refresh {
            self.inner.schemas.invalidate(&key).await;
        }
        let read = async { database.schema().await.map(Arc::new).map_err(from_sql) };
        self.inner.schemas.try_get_with(key, read).await.map_err(Arc::unwrap_or_clone)
    }

    /// The connection of this id, or else of this name, ignoring case.
    pub async fn find(&self, who: &Principal, name_or_id: &str) -> Result<Connection, Failure> {
        const PAGE: usize = 500;
        if let Ok(id) = name_or_id.parse() {
            return self.get(who, id).await;
        }
        let wanted = name_or_id.trim().to_lowercase();
        let mut after = None;
        loop {
            let page = self.list(who, PageRequest { after, limit: PAGE }).await?;
            if let Some(found) = page.items.into_iter().find(|one| one.name.to_lowercase() == wanted) {
                return Ok(found);
            }
            after = page.next;
            if after.is_none() {
                return Err(Failure::new(Reason::ConnectionNotFound, "no connection has this name"));
            }
        }
    }

    async fn claim(&self, who: &Principal, request: &RequestKey) -> Result<Claimed, Failure> {
        let id = ConnectionId::generate();
        let claim =
            self.inner.store.claim_request(&who.tenant, "CreateConnection", &request.id, &request.body_hash, id.uuid());
        match claim.await.map_err(|error| from_store(&error))? {
            Claim::New => Ok(Claimed::New(id)),
            Claim::Repeat(first) => Ok(Claimed::Repeat(ConnectionId::from_uuid(first))),
            Claim::Reused => Err(Failure::new(
                Reason::RequestIdReused,
                "this request_id was used with another body; use a new one for a new request",
            )),
        }
    }

    async fn find_record(&self, who: &Principal, id: ConnectionId) -> Result<Option<ConnectionRecord>, Failure> {
        self.inner.store.get_connection(&who.tenant, id).await.map_err(|error| from_store(&error))
    }

    async fn get_record(&self, who: &Principal, id: ConnectionId) -> Result<ConnectionRecord, Failure> {
        self.find_record(who, id).await?.ok_or_else(|| not_found(id))
    }

    /// The saved form of a checked spec; every change makes a new etag.
    fn compose(
        &self,
        who: &Principal,
        id: ConnectionId,
        checked: Checked,
        before: Option<&Connection>,
    ) -> (Connection, ConnectionSecrets) {
        let now = self.inner.clock.now();
        let connection = Connection {
            id,
            tenant: who.tenant.clone(),
            name: checked.name,
            kind: checked.kind,
            host: checked.host,
            port: checked.port,
            database: checked.database,
            username: checked.username,
            tls: checked.tls,
            access_mode: checked.access_mode,
            allowed_functions: checked.allowed_functions,
            limits: checked.limits,
            has_password: checked.secrets.password.is_some(),
            create_time: before.map_or(now, |before| before.create_time),
            update_time: now,
            etag: Uuid::now_v7().simple().to_string(),
        };
        (connection, checked.secrets)
    }

    fn record(&self, connection: &Connection, secrets: &ConnectionSecrets) -> Result<ConnectionRecord, Failure> {
        let sealed = self.inner.vault.seal(&connection.tenant, connection.id, secrets)?;
        Ok(ConnectionRecord { min_reader: ConnectionRecord::VERSION, connection: connection.clone(), sealed })
    }

    /// Secrets that the change keeps. A record whose secrets cannot be opened can still be given new ones.
    fn secrets(&self, record: &ConnectionRecord, change: &Change) -> Result<ConnectionSecrets, Failure> {
        let Some(sealed) = &record.sealed else { return Ok(ConnectionSecrets::default()) };
        match self.inner.vault.open(&record.connection.tenant, record.connection.id, sealed) {
            Ok(secrets) => Ok(secrets),
            Err(_) if change.paths.iter().any(|path| path == "password") => Ok(ConnectionSecrets::default()),
            Err(failure) => Err(failure),
        }
    }

    /// Opens a connection of its own, so that nothing cached hides a failure.
    async fn probe(&self, connection: &Connection) -> Result<sql::ServerInfo, Failure> {
        let path = self.path(connection).await?;
        let database = Database::new(Target::Sqlite { path }, self.inner.options.pool);
        let outcome = database.probe().await.map_err(from_sql);
        database.close().await;
        outcome
    }

    async fn open(&self, connection: &Connection) -> Result<Database, Failure> {
        // The path is checked at every use: what it names may have been moved since.
        let path = self.path(connection).await?;
        let pool = self.inner.options.pool;
        let open = async { Database::new(Target::Sqlite { path }, pool) };
        Ok(self.inner.open.get_with(key(connection), open).await)
    }

    async fn path(&self, connection: &Connection) -> Result<PathBuf, Failure> {
        let folder = self.inner.options.sqlite_dir.clone();
        let database = connection.database.clone();
        let resolved = tokio::task::spawn_blocking(move || sqlite_path::resolve(&folder, &database)).await;
        resolved.map_err(|_| Failure::new(Reason::Internal, "the file check ended early"))?
    }

    async fn close(&self, connection: &Connection) {
        let key = key(connection);
        self.inner.schemas.invalidate(&key).await;
        if let Some(database) = self.inner.open.remove(&key).await {
            database.close().await;
        }
    }
}

enum Claimed {
    New(ConnectionId),
    Repeat(ConnectionId),
}

fn key(connection: &Connection) -> (ConnectionId, String) {
    (connection.id, connection.etag.clone())
}

/// The connection as a spec, with the named fields replaced.
fn merge(before: &Connection, secrets: ConnectionSecrets, new: &Spec, paths: &[String]) -> Result<Spec, Failure> {
    let mut spec = Spec {
        name: before.name.clone(),
        url: None,
        kind: Some(before.kind),
        host: before.host.clone(),
        port: before.port,
        database: before.database.clone(),
        username: before.username.clone(),
        password: secrets.password,
        client_key_pem: secrets.client_key_pem,
        tls: before.tls.clone(),
        access_mode: before.access_mode,
        allowed_functions: before.allowed_functions.clone(),
        limits: before.limits,
    };
    for path in paths {
        match path.as_str() {
            "name" => spec.name.clone_from(&new.name),
            "url" => {
                spec.url.clone_from(&new.url);
                spec.host.clear();
                spec.port = 0;
                spec.database.clear();
            }
            "kind" => spec.kind = new.kind,
            "host" => spec.host.clone_from(&new.host),
            "port" => spec.port = new.port,
            "database" => spec.database.clone_from(&new.database),
            "username" => spec.username.clone_from(&new.username),
            "password" => spec.password.clone_from(&new.password),
            "tls" => {
                spec.tls.clone_from(&new.tls);
                spec.client_key_pem.clone_from(&new.client_key_pem);
            }
            "access_mode" => spec.access_mode = new.access_mode,
            "allowed_functions" => spec.allowed_functions.clone_from(&new.allowed_functions),
            "limits" => spec.limits = new.limits,
            other => {
                let message = format!("`{other}` is not a field of a connection that can be changed");
                return Err(Failure::field("update_mask", message));
            }
        }
    }
    Ok(spec)
}

fn not_found(id: ConnectionId) -> Failure {
    Failure::new(Reason::ConnectionNotFound, "there is no connection with this id").with("connection_id", id)
}

/// A failure about the name says which one.
fn named(failure: &Failure, connection: &Connection) -> Failure {
    match failure.reason {
        Reason::NameTaken => failure.clone().with("name", &connection.name),
        _ => failure.clone(),
    }
}
