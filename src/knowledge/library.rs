//! Facts, measured once and shared.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use moka::future::Cache;

use super::likeness::Precedents;
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
    /// How old a value index may be before the values are read again. A changed schema makes a new one at once.
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
    values: Cache<Key, Arc<ValueIndex>>,
    /// What people know, by the etag of it; as old as the values may be.
    known: Cache<(Key, String), Known>,
}

/// What people know of a database, ready for questions.
#[derive(Clone, Default)]
struct Known {
    /// The schema with what they say of it.
    schema: Option<Arc<Schema>>,
    meaning: Arc<Meaning>,
    precedents: Option<Arc<Precedents>>,
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
        let values = Cache::builder().max_capacity(indexes).time_to_live(values_max_age).build();
        let known = Cache::builder().max_capacity(indexes).time_to_live(values_max_age).build();
        Self { directory, service, values, known }
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
        let read = async { self.directory.values(who, id, &schema).await.map(Arc::new) };
        let shared = self.values.try_get_with(key.clone(), read).await;
        let values = shared.map_err(|failure: Arc<Failure>| Arc::unwrap_or_clone(failure))?;
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
        let Some((etag, holding)) = self.service.holding(who, description).await? else { return Ok(Known::default()) };
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
