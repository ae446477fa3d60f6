//! Keeping what people know of a connection's database.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};
use uuid::Uuid;

use super::check::{Checked, Checker};
use super::document::{self, Pair};
use super::limits;
use crate::connections::{self, Description, Directory};
use crate::domain::{
    Clock, Connection, ConnectionId, Definitions, Example, ExampleId, Failure, FieldViolation, Principal, Reason,
    RequestKey, Schema, WorkflowId,
};
use crate::queries;
use crate::store::record::KnowledgeRecord;
use crate::store::{self, Claim, Store};

/// The name under which request ids of creations are kept.
const CREATE_RPC: &str = "CreateExample";
/// The etag of what was never saved.
const NEVER: &str = "0";
/// How often a change without an etag starts anew when somebody else changed the same meanwhile.
const TRIES: u32 = 5;
/// Connections whose knowledge is remembered, over all tenants.
const REMEMBERED: u64 = 256;

/// What is known of a connection's database.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// As people wrote it.
    pub definitions: Definitions,
    /// What of it does not hold now, by path.
    pub problems: Vec<FieldViolation>,
    /// Another with every change.
    pub etag: String,
    /// When it was changed last; `None` before the first time.
    pub update_time: Option<Timestamp>,
    /// How many examples there are.
    pub examples: usize,
}

/// New definitions.
#[derive(Debug, Clone)]
pub struct Change {
    /// Holds the new values of the named fields.
    pub definitions: Definitions,
    /// `notes`, `tables`, `measures`, `joins`; each is replaced as a whole.
    pub paths: Vec<String>,
    /// Refuses the change unless this is the etag.
    pub etag: Option<String>,
    /// Checks, but saves nothing.
    pub validate_only: bool,
}

/// An example to save.
#[derive(Debug, Clone)]
pub struct NewExample {
    /// The question.
    pub question: String,
    /// The SQL that answers it.
    pub sql: String,
    /// The workflow that it comes from.
    pub workflow: Option<WorkflowId>,
    /// Makes repeats safe.
    pub request: Option<RequestKey>,
    /// Checks, but saves nothing.
    pub validate_only: bool,
}

/// Whether an example can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It holds.
    Valid,
    /// It no longer holds, and why.
    Stale(String),
    /// The database could not be asked, and why.
    Unchecked(String),
}

/// An example and whether it can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The example.
    pub example: Example,
    /// On the schema as it is.
    pub state: State,
}

/// Connection, its etag, fingerprint of its schema, etag of its knowledge: what a check depends on.
type Key = (ConnectionId, String, String, String);

/// Definitions and examples of connections. Cheap to clone. Every call sees the caller's tenant only.
#[derive(Clone)]
pub struct Service {
    parts: Arc<Parts>,
}

struct Parts {
    store: Arc<dyn Store>,
    directory: Directory,
    queries: queries::Service,
    clock: Arc<dyn Clock>,
    /// Records as the store last had them. What this process changes counts at once.
    records: Cache<ConnectionId, Option<Arc<KnowledgeRecord>>>,
    /// What holds. Checking is shared by all who ask meanwhile.
    checks: Cache<Key, Arc<Holding>>,
}

/// What of a connection's knowledge holds for its schema.
pub(super) struct Holding {
    pub(super) checked: Checked,
    pub(super) examples: Vec<Verified>,
}

impl Service {
    /// A service over the records of the store. `record_max_age` is how long they are taken to be as the store last had
    /// them, which matters only where other processes write to it.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        directory: Directory,
        queries: queries::Service,
        clock: Arc<dyn Clock>,
        record_max_age: Duration,
    ) -> Self {
        // A longer life than the cache knows of is as good as for ever.
        let max_age = record_max_age.min(Duration::from_hours(24 * 365));
        let records = Cache::builder().max_capacity(REMEMBERED).time_to_live(max_age).build();
        let checks = Cache::builder().max_capacity(REMEMBERED).build();
        Self { parts: Arc::new(Parts { store, directory, queries, clock, records, checks }) }
    }

    /// What is known of a connection, and what of it does not hold now. Where the database cannot be asked, nothing is
    /// said to be wrong.
    pub async fn get(&self, who: &Principal, id: ConnectionId) -> Result<Known, Failure> {
        let record = self.existing(who, id).await?;
        let mut known = known(record.as_ref());
        if record.is_some()
            && let Ok(description) = self.parts.directory.describe(who, id, false).await
            && let Ok(Some((_, holding))) = self.holding(who, &description).await
        {
            known.problems.clone_from(&holding.checked.problems);
        }
        Ok(known)
    }

    /// Replaces the named parts of the definitions, once all of them hold.
    pub async fn update(&self, who: &Principal, id: ConnectionId, change: Change) -> Result<Known, Failure> {
        let Change { definitions, paths, etag, validate_only } = change;
        self.change(who, id, etag, validate_only, &Edit::Define(definitions, paths)).await
    }

    /// Definitions and examples as a YAML document, and its etag.
    pub async fn export(&self, who: &Principal, id: ConnectionId) -> Result<(String, String), Failure> {
        let record = self.existing(who, id).await?;
        let known = known(record.as_ref());
        let examples = record.map(|record| record.examples).unwrap_or_default();
        let pairs = examples.into_iter().map(|Example { question, sql, .. }| Pair { question, sql });
        Ok((document::write(known.definitions, pairs.collect())?, known.etag))
    }

    /// Replaces definitions and examples by those of a YAML document, once all of them hold. An example that is there
    /// already stays, whatever became of it.
    pub async fn import(
        &self,
        who: &Principal,
        id: ConnectionId,
        yaml: &str,
        etag: Option<String>,
        validate_only: bool,
    ) -> Result<Known, Failure> {
        self.parts.directory.get(who, id).await?;
        let (definitions, pairs) = document::read(yaml)?;
        self.change(who, id, etag, validate_only, &Edit::Replace(definitions, pairs)).await
    }

    /// The examples in the order in which they were saved, with their states.
    pub async fn examples(&self, who: &Principal, id: ConnectionId) -> Result<Vec<Verified>, Failure> {
        let Some(record) = self.existing(who, id).await? else { return Ok(Vec::new()) };
        let holding = async {
            let description = self.parts.directory.describe(who, id, false).await?;
            self.holding(who, &description).await
        };
        let unchecked = match holding.await {
            Ok(Some((etag, holding))) if etag == record.etag => return Ok(holding.examples.clone()),
            Ok(_) => "it was changed this moment; list the examples again".to_owned(),
            Err(failure) => failure.message,
        };
        let state = State::Unchecked(unchecked);
        Ok(record.examples.into_iter().map(|example| Verified { example, state: state.clone() }).collect())
    }

    /// Saves an example whose SQL holds. One with the same question and SQL is not saved twice.
    pub async fn create_example(
        &self,
        who: &Principal,
        id: ConnectionId,
        new: NewExample,
    ) -> Result<Verified, Failure> {
        self.parts.directory.get(who, id).await?;
        let NewExample { question, sql, workflow, request, validate_only } = new;
        let (question, sql) = (question.trim().to_owned(), sql.trim().to_owned());
        refuse(limits::of_example(&question, &sql, ""), "")?;
        let mut fresh = ExampleId::generate();
        if let Some(request) = request.filter(|_| !validate_only) {
            fresh = self.claim(who, &request, fresh).await?;
            let record = self.existing(who, id).await?;
            let done = record.and_then(|record| record.examples.into_iter().find(|known| known.id == fresh));
            if let Some(example) = done {
                return Ok(Verified { example, state: State::Valid });
            }
        }
        let (connection, schema) = self.fresh_schema(who, id).await?;
        let checker = Checker::new(&self.parts.queries, who, &connection, schema.clone());
        if let Err(description) = checker.statement(&sql).await? {
            return Err(Failure::field("sql", description));
        }
        let example = Example {
            id: fresh,
            question,
            sql,
            workflow,
            create_time: self.parts.clock.now(),
            fingerprint: schema.fingerprint.clone(),
        };
        let edit = Edit::Add(example);
        self.change(who, id, None, validate_only, &edit).await?;
        let Edit::Add(example) = edit else { return Err(Failure::new(Reason::Internal, "an edit changed its kind")) };
        let saved = if validate_only { None } else { self.existing(who, id).await? };
        let saved = saved.and_then(|record| there(&record, &example).cloned());
        Ok(Verified { example: saved.unwrap_or(example), state: State::Valid })
    }

    /// Deletes an example.
    pub async fn delete_example(&self, who: &Principal, id: ConnectionId, example: ExampleId) -> Result<(), Failure> {
        self.change(who, id, None, false, &Edit::Remove(example)).await.map(|_| ())
    }

    /// What of a connection's knowledge holds for the schema as described, and the etag of that knowledge; `None` when
    /// nothing is known. The failure is a database that cannot be asked.
    pub(super) async fn holding(
        &self,
        who: &Principal,
        description: &Description,
    ) -> Result<Option<(String, Arc<Holding>)>, Failure> {
        let Description { connection, schema, read_time: _ } = description;
        let Some(record) = self.remembered(who, connection.id).await? else { return Ok(None) };
        let key = (connection.id, connection.etag.clone(), schema.fingerprint.clone(), record.etag.clone());
        let check = self.check(who, connection, schema, &record);
        let shared = self.parts.checks.try_get_with(key, check).await;
        let holding = shared.map_err(|failure: Arc<Failure>| Arc::unwrap_or_clone(failure))?;
        Ok(Some((record.etag.clone(), holding)))
    }

    /// What was accepted on this very schema is taken to hold; the rest is checked again.
    async fn check(
        &self,
        who: &Principal,
        connection: &Connection,
        schema: &Arc<Schema>,
        record: &KnowledgeRecord,
    ) -> Result<Arc<Holding>, Failure> {
        let reduced = without_excluded(connection, schema);
        let judge = Checker::new(&self.parts.queries, who, connection, reduced.clone());
        let accepted = record.fingerprint == reduced.fingerprint && connection.excluded_columns.is_empty();
        let checked = judge.definitions(&record.definitions, accepted).await?;
        let unchanged =
            |example: &Example| example.fingerprint == schema.fingerprint && connection.excluded_columns.is_empty();
        let doubtful: Vec<&str> =
            record.examples.iter().filter(|example| !unchanged(example)).map(|example| example.sql.as_str()).collect();
        let mut verdicts = judge.statements(&doubtful).await?.into_iter();
        let examples = record.examples.iter().map(|example| {
            let verdict = if unchanged(example) { Ok(()) } else { verdicts.next().unwrap_or(Ok(())) };
            Verified { example: example.clone(), state: verdict.map_or_else(State::Stale, |()| State::Valid) }
        });
        let examples = examples.collect();
        Ok(Arc::new(Holding { checked, examples }))
    }

    /// Examples of a document, and what is wrong with them.
    async fn pairs(
        &self,
        checker: &Checker<'_>,
        schema: &Schema,
        pairs: &[Pair],
        before: Option<&KnowledgeRecord>,
    ) -> Result<(Vec<Example>, Vec<FieldViolation>), Failure> {
        let (mut examples, mut problems): (Vec<Example>, Vec<FieldViolation>) = (Vec::new(), Vec::new());
        if pairs.len() > limits::MAX_EXAMPLES {
            let description = format!("has {} entries; at most {} are accepted", pairs.len(), limits::MAX_EXAMPLES);
            return Ok((examples, vec![FieldViolation { field: "examples".to_owned(), description }]));
        }
        for (place, Pair { question, sql }) in pairs.iter().enumerate() {
            let (question, sql) = (question.trim().to_owned(), sql.trim().to_owned());
            let same = |known: &&Example| known.question == question && known.sql == sql;
            if examples.iter().any(|known| same(&known)) {
                continue;
            }
            if let Some(known) = before.and_then(|record| record.examples.iter().find(same)) {
                examples.push(known.clone());
                continue;
            }
            let prefix = format!("examples[{place}].");
            let wrong = limits::of_example(&question, &sql, &prefix);
            if !wrong.is_empty() {
                problems.extend(wrong);
            } else if let Err(description) = checker.statement(&sql).await? {
                problems.push(FieldViolation { field: format!("{prefix}sql"), description });
            }
            let (create_time, fingerprint) = (self.parts.clock.now(), schema.fingerprint.clone());
            examples.push(Example {
                id: ExampleId::generate(),
                question,
                sql,
                workflow: None,
                create_time,
                fingerprint,
            });
        }
        if let Some(description) = limits::too_many(&examples) {
            problems.push(FieldViolation { field: "examples".to_owned(), description });
        }
        Ok((examples, problems))
    }

    /// Reads, edits and stores, again when somebody else was faster, unless an etag says what was read.
    async fn change(
        &self,
        who: &Principal,
        id: ConnectionId,
        etag: Option<String>,
        validate_only: bool,
        edit: &Edit,
    ) -> Result<Known, Failure> {
        for _ in 0..TRIES {
            let before = self.existing(who, id).await?;
            let stored_etag = before.as_ref().map(|record| record.etag.clone());
            if etag.as_deref().is_some_and(|etag| etag != stored_etag.as_deref().unwrap_or(NEVER)) {
                return Err(changed(id));
            }
            let Content { definitions, fingerprint, examples } = self.edited(who, id, edit, before.as_ref()).await?;
            let unchanged = before.as_ref().is_some_and(|record| {
                record.definitions == definitions && record.fingerprint == fingerprint && record.examples == examples
            });
            let record = KnowledgeRecord {
                min_reader: KnowledgeRecord::VERSION,
                tenant: who.tenant.clone(),
                connection: id,
                etag: Uuid::now_v7().simple().to_string(),
                update_time: self.parts.clock.now(),
                definitions,
                fingerprint,
                examples,
            };
            if validate_only {
                let before = known(before.as_ref());
                let Known { definitions, examples, .. } = known(Some(&record));
                return Ok(Known { definitions, examples, ..before });
            }
            if unchanged {
                return Ok(known(before.as_ref()));
            }
            let after = known(Some(&record));
            match self.store(record, stored_etag).await? {
                Ok(true) => return Ok(after),
                Ok(false) => return Err(no_connection(id)),
                Err(store::Error::EtagMismatch) => {}
                Err(error) => return Err(connections::from_store(&error)),
            }
        }
        Err(changed(id))
    }

    /// Stores a record and forgets the one before, also when the caller goes away meanwhile: what is stored and what is
    /// remembered must not differ.
    async fn store(
        &self,
        record: KnowledgeRecord,
        stored_etag: Option<String>,
    ) -> Result<Result<bool, store::Error>, Failure> {
        let (this, id) = (self.clone(), record.connection);
        let work = async move {
            let stored = this.parts.store.put_knowledge(record, stored_etag.as_deref()).await;
            // One at a time with `remembered`: nobody puts back what was just forgotten.
            this.parts.records.entry(id).and_compute_with(async |_| Op::Remove).await;
            stored
        };
        tokio::spawn(work).await.map_err(|died| Failure::new(Reason::Internal, died.to_string()))
    }

    /// What a record holds after an edit, once that holds for the schema.
    async fn edited(
        &self,
        who: &Principal,
        id: ConnectionId,
        edit: &Edit,
        before: Option<&KnowledgeRecord>,
    ) -> Result<Content, Failure> {
        let mut content = before.map(Content::of).unwrap_or_default();
        match edit {
            Edit::Define(definitions, paths) => {
                for path in paths {
                    replace(&mut content.definitions, definitions, path)?;
                }
                let (connection, schema) = self.fresh_schema(who, id).await?;
                let checker = Checker::new(&self.parts.queries, who, &connection, schema.clone());
                refuse(wrong(&checker, &content.definitions).await?, "knowledge.")?;
                content.fingerprint.clone_from(&schema.fingerprint);
            }
            Edit::Replace(definitions, pairs) => {
                let (connection, schema) = self.fresh_schema(who, id).await?;
                let checker = Checker::new(&self.parts.queries, who, &connection, schema.clone());
                let mut problems = wrong(&checker, definitions).await?;
                let (examples, others) = self.pairs(&checker, &schema, pairs, before).await?;
                problems.extend(others);
                refuse(problems, "")?;
                let (definitions, fingerprint) = (definitions.clone(), schema.fingerprint.clone());
                content = Content { definitions, fingerprint, examples };
            }
            Edit::Add(example) => {
                if before.and_then(|record| there(record, example)).is_none() {
                    content.examples.push(example.clone());
                    quota(&content.examples)?;
                }
            }
            Edit::Remove(id) => {
                let count = content.examples.len();
                content.examples.retain(|example| example.id != *id);
                if content.examples.len() == count {
                    let message = format!("the connection has no example {id}");
                    return Err(Failure::new(Reason::ExampleNotFound, message).with("example_id", id));
                }
            }
        }
        Ok(content)
    }

    /// The record as it is in the store. The failure says that there is no such connection.
    async fn existing(&self, who: &Principal, id: ConnectionId) -> Result<Option<KnowledgeRecord>, Failure> {
        self.parts.directory.get(who, id).await?;
        let record = self.parts.store.get_knowledge(&who.tenant, id).await;
        record.map_err(|error| connections::from_store(&error))
    }

    /// The record of a connection of the caller's, perhaps as it was a moment ago.
    async fn remembered(&self, who: &Principal, id: ConnectionId) -> Result<Option<Arc<KnowledgeRecord>>, Failure> {
        if let Some(record) = self.parts.records.get(&id).await {
            return Ok(record);
        }
        let read = self.parts.records.entry(id).and_try_compute_with(async |held| {
            if held.is_some() {
                return Ok(Op::Nop);
            }
            let record = self.parts.store.get_knowledge(&who.tenant, id).await;
            let record = record.map_err(|error| connections::from_store(&error))?;
            Ok::<_, Failure>(Op::Put(record.map(Arc::new)))
        });
        Ok(match read.await? {
            CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) | CompResult::Unchanged(entry) => {
                entry.into_value()
            }
            CompResult::Removed(_) | CompResult::StillNone(_) => None,
        })
    }

    /// The schema as it is now, without the columns that are kept from engines.
    async fn fresh_schema(&self, who: &Principal, id: ConnectionId) -> Result<(Arc<Connection>, Arc<Schema>), Failure> {
        let Description { connection, schema, .. } = self.parts.directory.describe(who, id, true).await?;
        let schema = without_excluded(&connection, &schema);
        Ok((connection, schema))
    }

    /// The id that a request stands for: `fresh` when it is new.
    async fn claim(&self, who: &Principal, request: &RequestKey, fresh: ExampleId) -> Result<ExampleId, Failure> {
        let store = &self.parts.store;
        let claim = store.claim_request(&who.tenant, CREATE_RPC, &request.id, &request.body_hash, fresh.uuid()).await;
        match claim.map_err(|error| connections::from_store(&error))? {
            Claim::New => Ok(fresh),
            Claim::Repeat(id) => Ok(ExampleId::from_uuid(id)),
            Claim::Reused => {
                let message = "the request id was used with another body; give each request its own";
                Err(Failure::new(Reason::RequestIdReused, message)
                    .with("request_id", &request.id)
                    .with("rpc", CREATE_RPC))
            }
        }
    }
}

/// What can be done to a record.
enum Edit {
    /// Replaces the parts of the definitions that are named.
    Define(Definitions, Vec<String>),
    /// Replaces all definitions and examples.
    Replace(Definitions, Vec<Pair>),
    /// Adds an example that was checked.
    Add(Example),
    /// Removes an example.
    Remove(ExampleId),
}

/// What a record holds.
#[derive(Default)]
struct Content {
    definitions: Definitions,
    fingerprint: String,
    examples: Vec<Example>,
}

impl Content {
    fn of(record: &KnowledgeRecord) -> Self {
        let KnowledgeRecord { definitions, fingerprint, examples, .. } = record.clone();
        Self { definitions, fingerprint, examples }
    }
}

fn replace(definitions: &mut Definitions, new: &Definitions, path: &str) -> Result<(), Failure> {
    match path {
        "notes" => definitions.notes.clone_from(&new.notes),
        "tables" => definitions.tables.clone_from(&new.tables),
        "measures" => definitions.measures.clone_from(&new.measures),
        "joins" => definitions.joins.clone_from(&new.joins),
        unknown => {
            let message = format!("`{unknown}` is no field of the knowledge that can be changed");
            return Err(Failure::field("update_mask", message));
        }
    }
    Ok(())
}

/// What is wrong with definitions.
async fn wrong(checker: &Checker<'_>, definitions: &Definitions) -> Result<Vec<FieldViolation>, Failure> {
    let problems = limits::of_definitions(definitions);
    if problems.is_empty() { Ok(checker.definitions(definitions, false).await?.problems) } else { Ok(problems) }
}

/// The example as it is saved already.
fn there<'a>(record: &'a KnowledgeRecord, example: &Example) -> Option<&'a Example> {
    let same =
        |known: &&Example| known.id == example.id || (known.question == example.question && known.sql == example.sql);
    record.examples.iter().find(same)
}

/// The schema as engines may know it.
pub(super) fn without_excluded(connection: &Connection, schema: &Arc<Schema>) -> Arc<Schema> {
    let excluded = &connection.excluded_columns;
    if excluded.is_empty() { schema.clone() } else { Arc::new(schema.without(excluded)) }
}

fn known(record: Option<&KnowledgeRecord>) -> Known {
    match record {
        None => Known {
            definitions: Definitions::default(),
            problems: Vec::new(),
            etag: NEVER.to_owned(),
            update_time: None,
            examples: 0,
        },
        Some(record) => Known {
            definitions: record.definitions.clone(),
            problems: Vec::new(),
            etag: record.etag.clone(),
            update_time: Some(record.update_time),
            examples: record.examples.len(),
        },
    }
}

/// Refuses what has problems, with their paths in the request.
fn refuse(problems: Vec<FieldViolation>, prefix: &str) -> Result<(), Failure> {
    if problems.is_empty() {
        return Ok(());
    }
    let in_request =
        |FieldViolation { field, description }| FieldViolation { field: format!("{prefix}{field}"), description };
    Err(Failure::fields(problems.into_iter().map(in_request).collect()))
}

fn quota(examples: &[Example]) -> Result<(), Failure> {
    match limits::too_many(examples) {
        None => Ok(()),
        Some(message) => Err(Failure::new(Reason::QuotaExceeded, message)
            .with("limit", "examples")
            .with("maximum", limits::MAX_EXAMPLES)),
    }
}

fn changed(id: ConnectionId) -> Failure {
    let message = "the knowledge of the connection changed since it was read; read it again and repeat the change";
    Failure::new(Reason::EtagMismatch, message).with("connection_id", id)
}

fn no_connection(id: ConnectionId) -> Failure {
    Failure::new(Reason::ConnectionNotFound, format!("there is no connection {id}")).with("connection_id", id)
}
