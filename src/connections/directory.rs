//! The directory of a tenant's connections.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use uuid::Uuid;

use super::change::{self, Change};
use super::spec::{Checked, Spec};
use super::vault::Vault;
use super::{failures, folder};
use crate::domain::connection::ConnectionSecrets;
use crate::domain::{
    Clock, Connection, ConnectionId, Failure, Page, PageRequest, Principal, Reason, RequestKey, Schema, ValueIndex,
};
use crate::sql::{self, Database, SampleBounds, Target};
use crate::store::record::ConnectionRecord;
use crate::store::{self, Claim, Store};

/// The name under which request ids of creations are kept.
const CREATE_RPC: &str = "CreateConnection";

/// How often a change without an etag starts anew when somebody else changed the connection meanwhile.
const UPDATE_TRIES: u32 = 5;

/// Paths of a change after which the database is not tried again: they do not say where it is.
const BESIDE_THE_TARGET: [&str; 4] = ["name", "access_mode", "allowed_functions", "limits"];

/// How the directory behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that SQLite files must lie in; relative paths start there.
    pub sqlite_dir: PathBuf,
    /// Bounds of each open database.
    pub database: sql::Options,
    /// Databases kept open, over all tenants; the one unused longest is closed first.
    pub open_databases: u64,
    /// How long an unused database stays open.
    pub idle: Duration,
    /// How old a schema may be before it is read again.
    pub schema_max_age: Duration,
    /// How much [`Directory::values`] reads.
    pub sample: SampleBounds,
    /// Longest wait for the answer of a database that is tried.
    pub test_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sqlite_dir: PathBuf::from("databases"),
            database: sql::Options::default(),
            open_databases: 256,
            idle: Duration::from_mins(10),
            schema_max_age: Duration::from_secs(30),
            sample: SampleBounds::default(),
            test_timeout: Duration::from_secs(10),
        }
    }
}

/// How to create.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// Makes repeats safe: the same request gives the same connection.
    pub request: Option<RequestKey>,
    /// Saves without trying the database.
    pub skip_test: bool,
    /// Checks and tries, but saves nothing.
    pub validate_only: bool,
}

/// What is to be tried.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "lives for one call, on the stack")]
pub enum Tested {
    /// A saved connection.
    Saved(ConnectionId),
    /// One that may be saved later.
    Unsaved(Spec),
}

/// What trying a database showed.
#[derive(Debug, Clone)]
pub struct TestReport {
    /// Why it cannot be used; `None` when it can.
    pub failure: Option<Failure>,
    /// How long it took to open and to answer.
    pub latency: Duration,
    /// What it says of itself; empty when it failed.
    pub server_version: String,
    /// What works but should be changed.
    pub warnings: Vec<String>,
}

/// Registers, tries, describes and removes connections. Cheap to clone. Every call sees the caller's tenant only: the id
/// of another tenant's connection is `CONNECTION_NOT_FOUND`.
#[derive(Clone)]
pub struct Directory {
    parts: Arc<Parts>,
}

struct Parts {
    store: Arc<dyn Store>,
    vault: Vault,
    clock: Arc<dyn Clock>,
    options: Options,
    /// The open database of each connection, with the etag it was opened for.
    databases: Cache<ConnectionId, (String, Database)>,
    /// Schemas by connection and etag. Building one is shared by all who ask meanwhile.
    schemas: Cache<(ConnectionId, String), Arc<Schema>>,
}

impl Directory {
    /// A directory over the records of the store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, vault: Vault, clock: Arc<dyn Clock>, options: Options) -> Self {
        let databases = Cache::builder().max_capacity(options.open_databases).time_to_idle(options.idle).build();
        let schemas =
            Cache::builder().max_capacity(options.open_databases).time_to_live(options.schema_max_age).build();
        Self { parts: Arc::new(Parts { store, vault, clock, options, databases, schemas }) }
    }

    /// Checks the spec, tries the database unless told not to, and saves the connection.
    pub async fn create(&self, who: &Principal, spec: Spec, options: CreateOptions) -> Result<Connection, Failure> {
        let checked = spec.check()?;
        let mut id = ConnectionId::generate();
        let request = options.request.filter(|_| !options.validate_only);
        if let Some(request) = &request {
            id = self.claim(who, request, id).await?;
            if let Some(done) = self.record(who, id).await? {
                return Ok(done.connection);
            }
        }
        self.try_target(&checked, options.skip_test).await?;
        let record = self.new_record(who, id, checked)?;
        if options.validate_only {
            self.refuse_taken_name(who, &record.connection).await?;
            return Ok(record.connection);
        }
        match self.parts.store.create_connection(record.clone()).await {
            Ok(()) => Ok(record.connection),
            // A repeat of this request may have been faster.
            Err(store::Error::NameTaken) => match self.record(who, id).await? {
                Some(done) => Ok(done.connection),
                None => Err(failures::name_taken(&record.connection.name)),
            },
            Err(error) => Err(failures::from_store(&error)),
        }
    }

    /// The connection.
    pub async fn get(&self, who: &Principal, id: ConnectionId) -> Result<Connection, Failure> {
        Ok(self.existing(who, id).await?.connection)
    }

    /// The tenant's connections in the order they were created.
    pub async fn list(
        &self,
        who: &Principal,
        page: PageRequest<ConnectionId>,
    ) -> Result<Page<Connection, ConnectionId>, Failure> {
        let page = self.parts.store.list_connections(&who.tenant, page).await;
        let Page { items, next } = page.map_err(|error| failures::from_store(&error))?;
        Ok(Page { items: items.into_iter().map(|record| record.connection).collect(), next })
    }

    /// The connection of this id, else of this name, ignoring case.
    pub async fn find(&self, who: &Principal, name_or_id: &str) -> Result<Connection, Failure> {
        if let Ok(id) = name_or_id.parse()
            && let Some(record) = self.record(who, id).await?
        {
            return Ok(record.connection);
        }
        let found = self.by_name(who, name_or_id).await?;
        found.ok_or_else(|| {
            let message = format!("there is no connection named {name_or_id}");
            Failure::new(Reason::ConnectionNotFound, message).with("connection_id", name_or_id)
        })
    }

    /// Changes the named fields, trying the database first when they say where it is.
    pub async fn update(&self, who: &Principal, id: ConnectionId, change: Change) -> Result<Connection, Failure> {
        let Change { spec, paths, etag, skip_test, validate_only } = change;
        let same_target =
            paths.iter().all(|path| BESIDE_THE_TARGET.iter().any(|field| path == field) || path.starts_with("limits."));
        for _ in 0..UPDATE_TRIES {
            let before = self.existing(who, id).await?;
            if etag.as_ref().is_some_and(|etag| *etag != before.connection.etag) {
                return Err(failures::changed(id));
            }
            let stored_etag = before.connection.etag.clone();
            let create_time = before.connection.create_time;
            let secrets = self.secrets(who, &before)?;
            let wanted = change::apply(Spec::of(before.connection, secrets), &spec, &paths)?.check()?;
            if !same_target {
                self.try_target(&wanted, skip_test).await?;
            }
            let mut record = self.new_record(who, id, wanted)?;
            record.connection.create_time = create_time;
            if validate_only {
                self.refuse_taken_name(who, &record.connection).await?;
                return Ok(record.connection);
            }
            match self.parts.store.update_connection(record.clone(), &stored_etag).await {
                Ok(true) => {
                    self.forget(id, &stored_etag).await;
                    return Ok(record.connection);
                }
                Ok(false) => return Err(failures::not_found(id)),
                Err(store::Error::NameTaken) => return Err(failures::name_taken(&record.connection.name)),
                Err(store::Error::EtagMismatch) => {}
                Err(error) => return Err(failures::from_store(&error)),
            }
        }
        Err(failures::changed(id))
    }

    /// Removes the connection and closes its database after the running statements.
    pub async fn delete(&self, who: &Principal, id: ConnectionId, etag: Option<String>) -> Result<(), Failure> {
        let record = self.existing(who, id).await?;
        if etag.is_some_and(|etag| etag != record.connection.etag) {
            return Err(failures::changed(id));
        }
        let deleted = self.parts.store.delete_connection(&who.tenant, id).await;
        let deleted = deleted.map_err(|error| failures::from_store(&error))?;
        self.forget(id, &record.connection.etag).await;
        if deleted { Ok(()) } else { Err(failures::not_found(id)) }
    }

    /// Tries a database over connections of its own. That it cannot be used is a report, not an error.
    pub async fn test(&self, who: &Principal, tested: Tested) -> Result<TestReport, Failure> {
        let checked = match tested {
            Tested::Unsaved(spec) => spec.check()?,
            Tested::Saved(id) => {
                let record = self.existing(who, id).await?;
                let secrets = self.secrets(who, &record)?;
                Spec::of(record.connection, secrets).check()?
            }
        };
        let begin = Instant::now();
        let outcome = self.probe(&checked.database).await;
        let latency = begin.elapsed();
        let (failure, server_version) = match outcome {
            Ok(version) => (None, version),
            Err(failure) => (Some(failure), String::new()),
        };
        Ok(TestReport { failure, latency, server_version, warnings: Vec::new() })
    }

    /// The connection and its open database, shared by all callers until the connection changes.
    pub async fn database(&self, who: &Principal, id: ConnectionId) -> Result<(Connection, Database), Failure> {
        let connection = self.get(who, id).await?;
        let open = self.parts.databases.get(&id).await;
        if let Some((_, database)) = open.filter(|(etag, _)| *etag == connection.etag) {
            return Ok((connection, database));
        }
        let database = self.connect(&connection.database).await.map_err(|failure| failure.with("connection_id", id))?;
        self.parts.databases.insert(id, (connection.etag.clone(), database.clone())).await;
        Ok((connection, database))
    }

    /// The schema, at most [`Options::schema_max_age`] old; `refresh` reads it now.
    pub async fn schema(&self, who: &Principal, id: ConnectionId, refresh: bool) -> Result<Arc<Schema>, Failure> {
        Ok(self.describe(who, id, refresh).await?.1)
    }

    /// The schema as [`Directory::schema`] gives it, with the very state of the connection that it was read through.
    pub async fn describe(
        &self,
        who: &Principal,
        id: ConnectionId,
        refresh: bool,
    ) -> Result<(Connection, Arc<Schema>), Failure> {
        let (connection, database) = self.database(who, id).await?;
        let key = (id, connection.etag.clone());
        if refresh {
            self.parts.schemas.invalidate(&key).await;
        }
        let read = async {
            let schema = database.schema().await;
            let schema = schema.map_err(|error| failures::from_target(&error, &connection.database))?;
            Ok(Arc::new(schema))
        };
        let shared = self.parts.schemas.try_get_with(key, read).await;
        let schema = shared.map_err(|failure: Arc<Failure>| Arc::unwrap_or_clone(failure).with("connection_id", id))?;
        Ok((connection, schema))
    }

    /// Distinct text values of the database, read now and within [`Options::sample`].
    pub async fn values(&self, who: &Principal, id: ConnectionId, schema: &Schema) -> Result<ValueIndex, Failure> {
        let (connection, database) = self.database(who, id).await?;
        let values = database.values(schema, self.parts.options.sample).await;
        values.map_err(|error| failures::from_target(&error, &connection.database).with("connection_id", id))
    }

    async fn record(&self, who: &Principal, id: ConnectionId) -> Result<Option<ConnectionRecord>, Failure> {
        let record = self.parts.store.get_connection(&who.tenant, id).await;
        record.map_err(|error| failures::from_store(&error))
    }

    async fn existing(&self, who: &Principal, id: ConnectionId) -> Result<ConnectionRecord, Failure> {
        self.record(who, id).await?.ok_or_else(|| failures::not_found(id))
    }

    async fn by_name(&self, who: &Principal, name: &str) -> Result<Option<Connection>, Failure> {
        const PAGE: usize = 500;
        let wanted = name.to_lowercase();
        let mut after = None;
        loop {
            let page = self.list(who, PageRequest { after, limit: PAGE }).await?;
            let found = page.items.into_iter().find(|connection| connection.name.to_lowercase() == wanted);
            after = page.next;
            if found.is_some() || after.is_none() {
                return Ok(found);
            }
        }
    }

    async fn refuse_taken_name(&self, who: &Principal, connection: &Connection) -> Result<(), Failure> {
        match self.by_name(who, &connection.name).await? {
            Some(other) if other.id != connection.id => Err(failures::name_taken(&connection.name)),
            _ => Ok(()),
        }
    }

    /// The id that a request stands for: `fresh` when it is new.
    async fn claim(&self, who: &Principal, request: &RequestKey, fresh: ConnectionId) -> Result<ConnectionId, Failure> {
        let store = &self.parts.store;
        let claim = store.claim_request(&who.tenant, CREATE_RPC, &request.id, &request.body_hash, fresh.uuid()).await;
        match claim.map_err(|error| failures::from_store(&error))? {
            Claim::New => Ok(fresh),
            Claim::Repeat(id) => Ok(ConnectionId::from_uuid(id)),
            Claim::Reused => {
                let message = "the request id was used with another body; give each request its own";
                Err(Failure::new(Reason::RequestIdReused, message).with("request_id", &request.id))
            }
        }
    }

    fn new_record(&self, who: &Principal, id: ConnectionId, checked: Checked) -> Result<ConnectionRecord, Failure> {
        let now = self.parts.clock.now();
        let sealed = self.parts.vault.seal(&who.tenant, id, &checked.secrets);
        let sealed = sealed.map_err(|error| Failure::new(Reason::Internal, error.to_string()))?;
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
            create_time: now,
            update_time: now,
            etag: Uuid::now_v7().simple().to_string(),
        };
        Ok(ConnectionRecord { min_reader: ConnectionRecord::VERSION, connection, sealed })
    }

    fn secrets(&self, who: &Principal, record: &ConnectionRecord) -> Result<ConnectionSecrets, Failure> {
        let Some(sealed) = &record.sealed else { return Ok(ConnectionSecrets::default()) };
        let id = record.connection.id;
        self.parts.vault.open(&who.tenant, id, sealed).map_err(|unreadable| {
            Failure::new(Reason::SecretUnreadable, unreadable.to_string())
                .with("connection_id", id)
                .with("key_id", unreadable.key_id)
        })
    }

    /// Refuses a target that does not answer. Without a test only a path outside the folder is refused: the file may
    /// come later.
    async fn try_target(&self, checked: &Checked, skip_test: bool) -> Result<(), Failure> {
        if !skip_test {
            return self.probe(&checked.database).await.map(|_| ());
        }
        match self.resolve(&checked.database).await {
            Err(failure) if failure.reason == Reason::FileOutsideFolder => Err(failure),
            _ => Ok(()),
        }
    }

    /// Opens the database anew, asks its version and closes it again.
    async fn probe(&self, path: &str) -> Result<String, Failure> {
        let limit = self.parts.options.test_timeout;
        let asked = async {
            let database = self.connect(path).await?;
            let info = database.probe().await;
            database.close().await;
            info.map(|info| info.version).map_err(|error| failures::from_target(&error, path))
        };
        tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| Err(failures::timed_out(limit)))
    }

    async fn connect(&self, path: &str) -> Result<Database, Failure> {
        let path = self.resolve(path).await?;
        Ok(Database::new(Target::Sqlite { path }, self.parts.options.database))
    }

    async fn resolve(&self, path: &str) -> Result<PathBuf, Failure> {
        let (folder, path) = (self.parts.options.sqlite_dir.clone(), path.to_owned());
        let resolved = tokio::task::spawn_blocking(move || folder::resolve(&folder, &path)).await;
        resolved.unwrap_or_else(|error| Err(Failure::new(Reason::Internal, error.to_string())))
    }

    /// Drops what is cached of a connection that changed; its database closes once the running statements end.
    async fn forget(&self, id: ConnectionId, etag: &str) {
        self.parts.schemas.invalidate(&(id, etag.to_owned())).await;
        if let Some((_, database)) = self.parts.databases.remove(&id).await {
            tokio::spawn(async move { database.close().await });
        }
    }
}
