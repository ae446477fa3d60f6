//! Facts, measured once and shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::civil::Date;
use moka::future::Cache;
use tokio::time::Instant;

use super::likeness::Precedents;
use super::secrets;
use super::service::{Service, State, without_excluded};
use crate::connections::{Description, Directory};
use crate::domain::{ConnectionId, Facts, Failure, Meaning, Principal, Schema, Source, ValueIndex};

/// Examples that an engine is shown.
const EXAMPLES_SHOWN: usize = 3;

/// How much is kept, and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Value indexes kept, over all tenants.
    pub indexes: u64,
    /// How old a value index may be before the values are read again, beside the questions that go on with the old one.
    /// One that is four times as old is not used any more. A changed schema makes a new one at once.
    pub values_max_age: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { indexes: 64, values_max_age: Duration::from_mins(15) }
    }
}

/// Connection, its etag, fingerprint of its schema.
type Key = (ConnectionId, String, String);

/// Facts about sources. Cheap to clone; the clones share what they have measured.
#[derive(Clone)]
pub struct Library {
    directory: Directory,
    service: Service,
    values: Cache<Key, Arc<Reading>>,
    values_max_age: Duration,
    /// What people know, by the etag of it; as old as the values may be.
    known: Cache<(Key, String), Known>,
    /// Of databases that nobody has said anything of.
    nothing: Known,
}

/// What people know of a database, ready for questions.
#[derive(Clone, Default)]
struct Known {
    /// The schema with what they say of it.
    schema: Option<Arc<Schema>>,
    meaning: Arc<Meaning>,
    precedents: Option<Arc<Precedents>>,
}

/// Values as they were once read.
struct Reading {
    values: Arc<ValueIndex>,
    since: Instant,
    /// Whether somebody is reading them again.
    refreshed: AtomicBool,
}

impl Library {
    /// A library with default options.
    #[must_use]
    pub fn new(directory: Directory, service: Service) -> Self {
        Self::with_options(directory, service, &Options::default())
    }

    /// A library that keeps as much as the options say.
    #[must_use]
    pub fn with_options(directory: Directory, service: Service, options: &Options) -> Self {
        let Options { indexes, values_max_age } = *options;
        let values = Cache::builder().max_capacity(indexes).time_to_live(values_max_age.saturating_mul(4)).build();
        let known = Cache::builder().max_capacity(indexes).time_to_live(values_max_age).build();
        Self { directory, service, values, values_max_age, known, nothing: Known::default() }
    }

    /// What is known of a source; of an inline schema only itself. The schema is as fresh as
    /// [`Directory::schema`] says; the values are read anew when it changed. Callers who ask for the same values at the same
    /// time wait for one reading. Of what people know there is what holds for the schema, and the examples that are like the
    /// question.
    pub async fn facts(
        &self,
        who: &Principal,
        source: &Source,
        question: &str,
        today: Date,
    ) -> Result<Arc<Facts>, Failure> {
        let id = match source {
            Source::InlineSchema(schema) => {
                return Ok(Arc::new(Facts::new(Arc::new(schema.clone()), Arc::default(), today)));
            }
            Source::Connection(id) => *id,
        };
        let description = self.directory.describe(who, id, false).await?;
        let connection = &description.connection;
        let schema = without_excluded(connection, &description.schema);
        let key = (id, connection.etag.clone(), schema.fingerprint.clone());
        let values = self.values(who, key.clone(), &schema).await?;
        let Known { schema: described, meaning, precedents } = self.known(who, &description, key, &values).await?;
        let schema = described.unwrap_or(schema);
        let examples = precedents.map(|precedents| precedents.of(question, EXAMPLES_SHOWN)).unwrap_or_default();
        Ok(Arc::new(Facts { schema, values, today, meaning, examples }))
    }

    async fn known(
        &self,
        who: &Principal,
        description: &Description,
        key: Key,
        values: &ValueIndex,
    ) -> Result<Known, Failure> {
        let Some((etag, holding)) = self.service.holding(who, description).await? else {
            return Ok(self.nothing.clone());
        };
        let prepare = async {
            let checked = &holding.checked;
            let valid = holding.examples.iter().filter(|verified| verified.state == State::Valid);
            let examples = valid.map(|verified| verified.example.clone()).collect();
            let precedents = Precedents::new(examples, &checked.schema, values, &checked.meaning);
            Known {
                schema: Some(checked.schema.clone()),
                meaning: Arc::new(checked.meaning.clone()),
                precedents: Some(Arc::new(precedents)),
            }
        };
        Ok(self.known.get_with((key, etag), prepare).await)
    }

    /// The values as they are remembered; they are read anew beside this where they are old.
    async fn values(&self, who: &Principal, key: Key, schema: &Arc<Schema>) -> Result<Arc<ValueIndex>, Failure> {
        let shared = self.values.try_get_with(key.clone(), self.read(who, key.0, schema)).await;
        let reading = shared.map_err(|failure: Arc<Failure>| Arc::unwrap_or_clone(failure))?;
        if reading.since.elapsed() > self.values_max_age && !reading.refreshed.swap(true, Ordering::AcqRel) {
            let (this, who, schema, old) = (self.clone(), who.clone(), schema.clone(), reading.clone());
            tokio::spawn(async move {
                match this.read(&who, key.0, &schema).await {
                    Ok(fresh) => this.values.insert(key, fresh).await,
                    // Whoever asks next tries again; meanwhile the old ones are better than none.
                    Err(_) => old.refreshed.store(false, Ordering::Release),
                }
            });
        }
        Ok(reading.values.clone())
    }

    /// Reads the values of all columns but those whose names say that they are secret.
    async fn read(&self, who: &Principal, id: ConnectionId, schema: &Schema) -> Result<Arc<Reading>, Failure> {
        let secret = schema.tables.iter().flat_map(|table| {
            let secret = table.columns.iter().filter(|column| secrets::is_secret(&column.name));
            secret.map(|column| format!("{}.{}.{}", table.schema, table.name, column.name))
        });
        let secret: Vec<String> = secret.collect();
        let values = if secret.is_empty() {
            self.directory.values(who, id, schema).await?
        } else {
            self.directory.values(who, id, &schema.without(&secret)).await?
        };
        Ok(Arc::new(Reading { values: Arc::new(values), since: Instant::now(), refreshed: AtomicBool::new(false) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::{self, CreateOptions, Spec, Vault};
    use crate::domain::{ColumnPath, DatabaseKind, Reason, SystemClock};
    use crate::queries;
    use crate::store::embedded::Embedded;

    fn today() -> Date {
        jiff::civil::date(2026, 11, 23)
    }

    fn write(folder: &tempfile::TempDir, sql: &str) {
        rusqlite::Connection::open(folder.path().join("shop.sqlite")).unwrap().execute_batch(sql).unwrap();
    }

    async fn library(folder: &tempfile::TempDir) -> (Library, Directory, Source) {
        let store = Arc::new(Embedded::in_memory().await.unwrap());
        let directory = Directory::new(
            store.clone(),
            Vault::from_keys(&"00".repeat(32)).unwrap(),
            Arc::new(SystemClock),
            connections::Options { sqlite_dir: folder.path().to_owned(), ..connections::Options::default() },
        );
        let spec = Spec { kind: Some(DatabaseKind::Sqlite), database: "shop.sqlite".to_owned(), ..Spec::default() };
        let saved = directory.create(&Principal::local(), spec, CreateOptions::default()).await.unwrap().connection;
        let queries = queries::Service::new(directory.clone(), store.clone(), queries::Options::default());
        let service = Service::new(store, directory.clone(), queries, Arc::new(SystemClock), Duration::MAX);
        (Library::new(directory.clone(), service), directory, Source::Connection(saved.id))
    }

    fn cities(facts: &Facts) -> Option<Vec<String>> {
        let city = ColumnPath { schema: "main".into(), table: "customer".into(), column: "city".into() };
        let mut distinct = facts.values.column(&city)?.distinct.clone();
        distinct.sort();
        Some(distinct)
    }

    #[tokio::test]
    async fn facts_are_measured_once_until_the_schema_changes() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "CREATE TABLE customer (city TEXT); INSERT INTO customer VALUES ('Oslo'), ('Rome'), ('Oslo')");
        let (library, directory, source) = library(&folder).await;
        let who = Principal::local();
        let asked = (0..8).map(|_| library.facts(&who, &source, "", today()));
        let asked = futures::future::try_join_all(asked).await.unwrap();
        assert_eq!(cities(&asked[0]).unwrap(), ["Oslo", "Rome"]);
        assert!(asked.iter().all(|facts| Arc::ptr_eq(&facts.values, &asked[0].values)), "one reading for all");

        write(&folder, "INSERT INTO customer VALUES ('Kyiv'); ALTER TABLE customer ADD COLUMN name TEXT");
        let held = library.facts(&who, &source, "", today()).await.unwrap();
        assert!(Arc::ptr_eq(&held.values, &asked[0].values), "the schema is not looked at all the time");
        let Source::Connection(id) = source else { unreachable!() };
        directory.schema(&who, id, true).await.unwrap();
        let fresh = library.facts(&who, &source, "", today()).await.unwrap();
        assert_eq!(cities(&fresh).unwrap(), ["Kyiv", "Oslo", "Rome"]);
        assert_eq!(fresh.schema.tables[0].columns.len(), 2);
    }

    #[tokio::test]
    async fn excluded_columns_are_no_facts() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "CREATE TABLE customer (city TEXT, email TEXT); INSERT INTO customer VALUES ('Oslo', 'a@b')");
        let (library, directory, source) = library(&folder).await;
        let Source::Connection(id) = source else { unreachable!() };
        let who = Principal::local();
        assert_eq!(cities(&library.facts(&who, &source, "", today()).await.unwrap()).unwrap(), ["Oslo"]);
        let change = connections::Change {
            spec: Spec { excluded_columns: vec!["customer.city".to_owned()], ..Spec::default() },
            paths: vec!["excluded_columns".to_owned()],
            etag: None,
            skip_test: false,
            validate_only: false,
        };
        directory.update(&who, id, change).await.unwrap();
        let facts = library.facts(&who, &source, "", today()).await.unwrap();
        let columns: Vec<_> = facts.schema.tables[0].columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!((columns, cities(&facts)), (vec!["email"], None));
        let whole = directory.schema(&who, id, false).await.unwrap();
        assert_eq!(whole.tables[0].columns.len(), 2, "whoever asks for the schema sees all of it");
    }

    #[tokio::test]
    async fn old_values_are_read_again_beside_the_questions() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "CREATE TABLE customer (city TEXT); INSERT INTO customer VALUES ('Oslo')");
        let (first, directory, source) = library(&folder).await;
        let options = Options { values_max_age: Duration::from_nanos(1), ..Options::default() };
        // Time to live is not what is tested here.
        let library = Library { values: Cache::new(8), ..Library::with_options(directory, first.service, &options) };
        let who = Principal::local();
        library.facts(&who, &source, "", today()).await.unwrap();
        write(&folder, "INSERT INTO customer VALUES ('Kyiv')");
        let held = library.facts(&who, &source, "", today()).await.unwrap();
        assert_eq!(cities(&held).unwrap(), ["Oslo"], "nobody waits");
        let fresh = async {
            loop {
                let facts = library.facts(&who, &source, "", today()).await.unwrap();
                if cities(&facts).unwrap() == ["Kyiv", "Oslo"] {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(2), fresh).await.expect("new values arrive");
    }

    #[tokio::test]
    async fn secrets_are_columns_without_values() {
        let folder = tempfile::tempdir().unwrap();
        write(
            &folder,
            "CREATE TABLE customer (city TEXT, api_token TEXT); INSERT INTO customer VALUES ('Oslo', 'hunter2')",
        );
        let (library, _, source) = library(&folder).await;
        let facts = library.facts(&Principal::local(), &source, "", today()).await.unwrap();
        assert_eq!(facts.schema.tables[0].columns.len(), 2);
        assert_eq!(facts.values.columns().map(|(path, _)| path.column.as_str()).collect::<Vec<_>>(), ["city"]);
    }

    #[tokio::test]
    async fn an_inline_schema_has_no_values_and_a_foreign_one_no_facts() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "CREATE TABLE customer (city TEXT); INSERT INTO customer VALUES ('Oslo')");
        let (library, directory, source) = library(&folder).await;
        let Source::Connection(id) = source else { unreachable!() };
        let who = Principal::local();
        let schema = directory.schema(&who, id, false).await.unwrap();
        let inline = Source::InlineSchema((*schema).clone());
        let facts = library.facts(&who, &inline, "", today()).await.unwrap();
        assert_eq!((facts.schema.tables.len(), cities(&facts)), (1, None));

        library.facts(&who, &source, "", today()).await.unwrap();
        let other = Principal { tenant: crate::domain::TenantId::parse("other").unwrap(), ..Principal::local() };
        let refused = library.facts(&other, &source, "", today()).await.unwrap_err();
        assert_eq!(refused.reason, Reason::ConnectionNotFound);
    }
}
