//! The directory of a tenant's connections.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};

use super::change::{self, Change};
use super::open::{self, Open, OpenDatabases};
use super::spec::{Checked, Spec};
use super::vault::Vault;
use super::{failures, target};
use crate::domain::connection::ConnectionSecrets;
use crate::domain::{
    Clock, Connection, ConnectionId, Failure, FieldViolation, Page, PageRequest, Principal, Reason, RequestKey, Schema,
    ValueIndex,
};
use crate::sql::{self, Database, HostPolicy, SampleBounds};
use crate::store::record::ConnectionRecord;
use crate::store::{self, Claim, Store};

/// The name under which request ids of creations are kept.
const CREATE_RPC: &str = "CreateConnection";

/// How often a change without an etag starts anew when somebody else changed the connection meanwhile.
const UPDATE_TRIES: u32 = 5;

/// Paths of a change after which the database is not tried again: they do not say where it is.
const BESIDE_THE_TARGET: [&str; 5] = ["name", "access_mode", "allowed_functions", "excluded_columns", "limits"];

/// How the directory behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that SQLite files must lie in; relative paths start there.
    pub sqlite_dir: PathBuf,
    /// Which servers may be connected to.
    pub hosts: HostPolicy,
    /// Bounds of each open database; a connection's own limits may only lower them.
    pub database: sql::Options,
    /// Databases kept open, over all tenants; the one unused longest is closed first.
    pub open_databases: u64,
    /// How long an unused database stays open.
    pub idle: Duration,
    /// How long a connection that is in use is taken to be as the store last had it. What this process itself changes
    /// counts at once, so this matters only where other processes write to the same store.
    pub record_max_age: Duration,
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
            hosts: HostPolicy::default(),
            database: sql::Options::default(),
            open_databases: 256,
            idle: Duration::from_mins(10),
            record_max_age: Duration::from_secs(1),
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

/// A connection that was saved, or would be.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// As it is saved.
    pub connection: Connection,
    /// What trying it found worth saying; empty when it was not tried.
    pub warnings: Vec<String>,
}

/// What is to be tried.
#[derive(Debug, Clone)]
pub enum Tested {
    /// A saved connection.
    Saved(ConnectionId),
    /// One that may be saved later.
    Unsaved(Spec),
    /// A saved connection as it would be after a change.
    Changed {
        /// Which connection.
        id: ConnectionId,
        /// Holds the new values.
        spec: Spec,
        /// The fields that change, as in [`Change::paths`].
        paths: Vec<String>,
    },
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

/// A connection and what its database looks like.
#[derive(Debug, Clone)]
pub struct Description {
    /// The connection in the very state that the schema was read through.
    pub connection: Arc<Connection>,
    /// Every schema that its user may read.
    pub schema: Arc<Schema>,
    /// When it was read.
    pub read_time: Timestamp,
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
    databases: OpenDatabases,
    /// Schemas by connection and etag, and when they were read. Reading one is shared by all who ask meanwhile.
    schemas: Cache<(ConnectionId, String), (Arc<Schema>, Timestamp)>,
}

impl Directory {
    /// A directory over the records of the store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, vault: Vault, clock: Arc<dyn Clock>, options: Options) -> Self {
        let databases = open::databases(options.open_databases, options.idle);
        // A longer life than the cache knows of is as good as for ever.
        let max_age = options.schema_max_age.min(Duration::from_hours(24 * 365));
        let schemas = Cache::builder().max_capacity(options.open_databases).time_to_live(max_age).build();
        Self { parts: Arc::new(Parts { store, vault, clock, options, databases, schemas }) }
    }

    /// Checks the spec, tries the database unless told not to, and saves the connection.
    pub async fn create(&self, who: &Principal, spec: Spec, options: CreateOptions) -> Result<Saved, Failure> {
        let checked = spec.check()?;
        let mut id = ConnectionId::generate();
        let request = options.request.filter(|_| !options.validate_only);
        if let Some(request) = &request {
            id = self.claim(who, request, id).await?;
            if let Some(done) = self.record(who, id).await? {
                return Ok(Saved { connection: done.connection, warnings: Vec::new() });
            }
        }
        let (connection, secrets) = self.connection(who, id, checked);
        let warnings = self.try_target(&connection, &secrets, options.skip_test).await?;
        if options.validate_only {
            self.refuse_taken_name(who, &connection).await?;
            return Ok(Saved { connection, warnings });
        }
        let record = self.sealed(connection.clone(), &secrets)?;
        match self.parts.store.create_connection(record).await {
            Ok(()) => Ok(Saved { connection, warnings }),
            // A repeat of this request may have been faster.
            Err(store::Error::NameTaken) => match self.record(who, id).await? {
                Some(done) => Ok(Saved { connection: done.connection, warnings }),
                None => Err(failures::name_taken(&connection.name)),
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
    pub async fn update(&self, who: &Principal, id: ConnectionId, change: Change) -> Result<Saved, Failure> {
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
            let (mut connection, secrets) = self.changed(who, before, &spec, &paths)?;
            connection.create_time = create_time;
            let warnings =
                if same_target { Vec::new() } else { self.try_target(&connection, &secrets, skip_test).await? };
            if validate_only {
                self.refuse_taken_name(who, &connection).await?;
                return Ok(Saved { connection, warnings });
            }
            let record = self.sealed(connection.clone(), &secrets)?;
            match self.store_update(record, stored_etag).await? {
                Ok(true) => return Ok(Saved { connection, warnings }),
                Ok(false) => return Err(failures::not_found(id)),
                Err(store::Error::NameTaken) => return Err(failures::name_taken(&connection.name)),
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
        let (this, tenant) = (self.clone(), who.tenant.clone());
        let deleted = to_the_end(async move {
            let deleted = this.parts.store.delete_connection(&tenant, id).await;
            this.forget(id, &record.connection.etag).await;
            deleted
        });
        let deleted = deleted.await?.map_err(|error| failures::from_store(&error))?;
        if deleted { Ok(()) } else { Err(failures::not_found(id)) }
    }

    /// Tries a database over a session of its own. That it cannot be used is a report, not an error.
    pub async fn test(&self, who: &Principal, tested: Tested) -> Result<TestReport, Failure> {
        let (connection, secrets) = match tested {
            Tested::Unsaved(spec) => self.connection(who, ConnectionId::generate(), spec.check()?),
            Tested::Saved(id) => {
                let record = self.existing(who, id).await?;
                let secrets = self.secrets(&record)?;
                (record.connection, secrets)
            }
            Tested::Changed { id, spec, paths } => {
                let record = self.existing(who, id).await?;
                self.changed(who, record, &spec, &paths)?
            }
        };
        let begin = Instant::now();
        let outcome = target::probe(&self.parts.options, &connection, secrets).await;
        let latency = begin.elapsed();
        Ok(match outcome {
            Ok(info) => TestReport { failure: None, latency, server_version: info.version, warnings: info.warnings },
            Err(failure) => {
                TestReport { failure: Some(failure), latency, server_version: String::new(), warnings: Vec::new() }
            }
        })
    }

    /// What is wrong with a connection as it would be after a change, as far as that can be said without its database;
    /// nothing when there is no such connection.
    pub async fn problems(
        &self,
        who: &Principal,
        id: ConnectionId,
        spec: &Spec,
        paths: &[String],
    ) -> Vec<FieldViolation> {
        let Ok(record) = self.existing(who, id).await else { return Vec::new() };
        let changed = self.changed(who, record, spec, paths);
        changed.err().map(|failure| failure.violations).unwrap_or_default()
    }

    /// The connection and its open database, shared by all callers until the connection changes.
    pub async fn database(&self, who: &Principal, id: ConnectionId) -> Result<(Arc<Connection>, Database), Failure> {
        let max_age = self.parts.options.record_max_age;
        if let Some(open) = self.parts.databases.get(&id).await
            && open.is_current(max_age)
        {
            // Ids are never given twice, so the tenant of one never changes.
            return if open.connection.tenant == who.tenant { Ok(open.parts()) } else { Err(failures::not_found(id)) };
        }
        // One at a time for a connection, also with `forget`: nobody puts back what was just forgotten.
        let looked_up = self.parts.databases.entry(id).and_try_compute_with(async |open| {
            let open = open.map(moka::Entry::into_value);
            let open = open.filter(|open| open.connection.tenant == who.tenant);
            if open.as_ref().is_some_and(|open| open.is_current(max_age)) {
                return Ok(Op::Nop);
            }
            let Some(record) = self.record(who, id).await? else {
                return if open.is_some() { Ok(Op::Remove) } else { Err(failures::not_found(id)) };
            };
            if let Some(open) = open.filter(|open| open.connection.etag == record.connection.etag) {
                open.confirm();
                return Ok(Op::Nop);
            }
            let secrets = self.secrets(&record)?;
            let database = target::open(&self.parts.options, &record.connection, secrets).await;
            let database = database.map_err(|failure| failure.with("connection_id", id))?;
            Ok(Op::Put(Arc::new(Open::new(record.connection, database))))
        });
        match looked_up.await? {
            CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) | CompResult::Unchanged(entry) => {
                Ok(entry.into_value().parts())
            }
            CompResult::Removed(_) | CompResult::StillNone(_) => Err(failures::not_found(id)),
        }
    }

    /// Closes what was not used for long; for an owner that calls this now and then.
    pub async fn tidy(&self) {
        self.parts.databases.run_pending_tasks().await;
    }

    /// Closes every database after its running statements. The directory can go on being used.
    pub async fn close(&self) {
        let open: Vec<_> = self.parts.databases.iter().map(|(_, open)| open.database.clone()).collect();
        self.parts.databases.invalidate_all();
        futures::future::join_all(open.iter().map(Database::close)).await;
    }

    /// The schema, at most [`Options::schema_max_age`] old; `refresh` reads it now.
    pub async fn schema(&self, who: &Principal, id: ConnectionId, refresh: bool) -> Result<Arc<Schema>, Failure> {
        Ok(self.describe(who, id, refresh).await?.schema)
    }

    /// The schema as [`Directory::schema`] gives it, with the connection that it was read through.
    pub async fn describe(&self, who: &Principal, id: ConnectionId, refresh: bool) -> Result<Description, Failure> {
        let (connection, database) = self.database(who, id).await?;
        let key = (id, connection.etag.clone());
        if refresh {
            self.parts.schemas.invalidate(&key).await;
        }
        let read = async {
            let read_time = self.parts.clock.now();
            let schema = database.schema().await;
            let schema = schema.map_err(|error| failures::from_target(error, &connection.database))?;
            Ok((Arc::new(schema), read_time))
        };
        let shared = self.parts.schemas.try_get_with(key, read).await;
        let (schema, read_time) =
            shared.map_err(|failure: Arc<Failure>| Arc::unwrap_or_clone(failure).with("connection_id", id))?;
        Ok(Description { connection, schema, read_time })
    }

    /// The next who asks for the schema has it read anew.
    pub async fn forget_schema(&self, connection: &Connection) {
        self.parts.schemas.invalidate(&(connection.id, connection.etag.clone())).await;
    }

    /// Distinct text values of the database, read now and within [`Options::sample`].
    pub async fn values(&self, who: &Principal, id: ConnectionId, schema: &Schema) -> Result<ValueIndex, Failure> {
        let (connection, database) = self.database(who, id).await?;
        let values = database.values(schema, self.parts.options.sample).await;
        values.map_err(|error| failures::from_target(error, &connection.database).with("connection_id", id))
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

    fn connection(&self, who: &Principal, id: ConnectionId, checked: Checked) -> (Connection, ConnectionSecrets) {
        checked.into_connection(id, who.tenant.clone(), self.parts.clock.now())
    }

    /// The connection as it would be after the change.
    fn changed(
        &self,
        who: &Principal,
        before: ConnectionRecord,
        spec: &Spec,
        paths: &[String],
    ) -> Result<(Connection, ConnectionSecrets), Failure> {
        let id = before.connection.id;
        let secrets = self.secrets(&before)?;
        let wanted = change::apply(Spec::of(before.connection, secrets), spec, paths)?.check()?;
        Ok(self.connection(who, id, wanted))
    }

    fn sealed(&self, connection: Connection, secrets: &ConnectionSecrets) -> Result<ConnectionRecord, Failure> {
        let sealed = self.parts.vault.seal(&connection.tenant, connection.id, secrets);
        let sealed = sealed.map_err(|error| Failure::new(Reason::Internal, error.to_string()))?;
        Ok(ConnectionRecord { min_reader: ConnectionRecord::VERSION, connection, sealed })
    }

    fn secrets(&self, record: &ConnectionRecord) -> Result<ConnectionSecrets, Failure> {
        let Some(sealed) = &record.sealed else { return Ok(ConnectionSecrets::default()) };
        let Connection { id, tenant, .. } = &record.connection;
        self.parts.vault.open(tenant, *id, sealed).map_err(|unreadable| {
            Failure::new(Reason::SecretUnreadable, unreadable.to_string())
                .with("connection_id", id)
                .with("key_id", unreadable.key_id)
        })
    }

    /// Refuses a target that does not answer; without a test only one that policy forbids. Hands back warnings.
    async fn try_target(
        &self,
        connection: &Connection,
        secrets: &ConnectionSecrets,
        skip_test: bool,
    ) -> Result<Vec<String>, Failure> {
        let options = &self.parts.options;
        if skip_test {
            return target::check_place(options, connection).await.map(|()| Vec::new());
        }
        Ok(target::probe(options, connection, secrets.clone()).await?.warnings)
    }

    async fn store_update(
        &self,
        record: ConnectionRecord,
        stored_etag: String,
    ) -> Result<Result<bool, store::Error>, Failure> {
        let this = self.clone();
        to_the_end(async move {
            let id = record.connection.id;
            let updated = this.parts.store.update_connection(record, &stored_etag).await;
            this.forget(id, &stored_etag).await;
            updated
        })
        .await
    }

    /// Drops what is remembered of a connection that may have changed; its database closes once the running statements
    /// end.
    async fn forget(&self, id: ConnectionId, etag: &str) {
        self.parts.schemas.invalidate(&(id, etag.to_owned())).await;
        self.parts.databases.entry(id).and_compute_with(async |_| Op::Remove).await;
    }
}

/// Does something to its end, also when the caller goes away meanwhile: what is stored and what is remembered of it must
/// not differ.
async fn to_the_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Failure> {
    tokio::spawn(work).await.map_err(|died| Failure::new(Reason::Internal, died.to_string()))
}
