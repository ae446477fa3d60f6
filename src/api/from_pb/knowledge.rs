//! Requests of `KnowledgeService`.

use super::fields::{Fields, request_key};
use crate::api::page_token::List;
use crate::domain::knowledge::{ColumnMeaning, Measure, PreferredJoin, TableMeaning, ValueAlias};
use crate::domain::{ConnectionId, Definitions, ExampleId, Failure, RequestKey, WorkflowId};
use crate::knowledge::{Change, MAX_DOCUMENT_BYTES};
use crate::pb::v1 as pb;

const MASK_PATHS: [&str; 4] = ["notes", "tables", "measures", "joins"];
const MAX_QUESTION_BYTES: usize = 4 << 10;
const MAX_SQL_BYTES: usize = 32 << 10;

/// The connection that is all a request names.
pub(in crate::api) fn connection_id(text: &str) -> Result<ConnectionId, Failure> {
    let mut fields = Fields::default();
    let id = fields.id("connection_id", text);
    fields.finish(id)
}

pub(in crate::api) fn update_knowledge(request: pb::UpdateKnowledgeRequest) -> Result<(ConnectionId, Change), Failure> {
    let pb::UpdateKnowledgeRequest { connection_id, knowledge, update_mask, etag, validate_only } = request;
    let mut fields = Fields::default();
    let id = fields.id("connection_id", &connection_id);
    if knowledge.is_none() {
        fields.bad("knowledge", "is required");
    }
    let definitions = definitions(knowledge.unwrap_or_default());
    let asked = update_mask.map(|mask| mask.paths).unwrap_or_default();
    for path in asked.iter().filter(|path| !MASK_PATHS.contains(&path.as_str())) {
        fields.bad("update_mask", format!("`{path}` is none of {}", MASK_PATHS.join(", ")));
    }
    let paths = if asked.is_empty() { present(&definitions) } else { asked };
    let etag = Some(etag).filter(|etag| !etag.is_empty());
    fields.finish(id.map(|id| (id, Change { definitions, paths, etag, validate_only })))
}

/// The parts that say something.
fn present(definitions: &Definitions) -> Vec<String> {
    let Definitions { notes, tables, measures, joins } = definitions;
    let there = [!notes.is_empty(), !tables.is_empty(), !measures.is_empty(), !joins.is_empty()];
    MASK_PATHS.into_iter().zip(there).filter(|(_, there)| *there).map(|(path, _)| path.to_owned()).collect()
}

fn definitions(given: pb::KnowledgeSpec) -> Definitions {
    let pb::KnowledgeSpec { notes, tables, measures, joins } = given;
    Definitions {
        notes,
        tables: tables.into_iter().map(table).collect(),
        measures: measures.into_iter().map(measure).collect(),
        joins: joins.into_iter().map(join).collect(),
    }
}

fn table(given: pb::TableMeaning) -> TableMeaning {
    let pb::TableMeaning { table, description, synonyms, default_filter, columns } = given;
    TableMeaning { table, description, synonyms, default_filter, columns: columns.into_iter().map(column).collect() }
}

fn column(given: pb::ColumnMeaning) -> ColumnMeaning {
    let pb::ColumnMeaning { column, description, synonyms, values } = given;
    let value = |pb::ValueAlias { alias, value }| ValueAlias { alias, value };
    ColumnMeaning { column, description, synonyms, values: values.into_iter().map(value).collect() }
}

fn measure(given: pb::Measure) -> Measure {
    let pb::Measure { name, synonyms, table, expression, description } = given;
    Measure { name, synonyms, table, expression, description }
}

fn join(given: pb::PreferredJoin) -> PreferredJoin {
    let pb::PreferredJoin { left, right, description } = given;
    PreferredJoin { left, right, description }
}

/// A document to import.
pub(in crate::api) struct ImportKnowledge {
    pub(in crate::api) connection: ConnectionId,
    pub(in crate::api) yaml: String,
    pub(in crate::api) etag: Option<String>,
    pub(in crate::api) validate_only: bool,
}

pub(in crate::api) fn import_knowledge(request: pb::ImportKnowledgeRequest) -> Result<ImportKnowledge, Failure> {
    let pb::ImportKnowledgeRequest { connection_id, yaml, etag, validate_only } = request;
    let mut fields = Fields::default();
    let connection = fields.id("connection_id", &connection_id);
    let yaml = fields.text("yaml", yaml, MAX_DOCUMENT_BYTES);
    if yaml.trim().is_empty() {
        // An export that failed leaves an empty file: it must not take everything with it.
        fields.bad("yaml", "is required; the document `{}` removes everything");
    }
    let etag = Some(etag).filter(|etag| !etag.is_empty());
    fields.finish(connection.map(|connection| ImportKnowledge { connection, yaml, etag, validate_only }))
}

/// An example to create; what is `None` is the workflow's.
pub(in crate::api) struct CreateExample {
    pub(in crate::api) connection: ConnectionId,
    pub(in crate::api) question: Option<String>,
    pub(in crate::api) sql: Option<String>,
    pub(in crate::api) workflow: Option<WorkflowId>,
    pub(in crate::api) request: Option<RequestKey>,
    pub(in crate::api) validate_only: bool,
}

pub(in crate::api) fn create_example(mut request: pb::CreateExampleRequest) -> Result<CreateExample, Failure> {
    let mut fields = Fields::default();
    let id = std::mem::take(&mut request.request_id);
    let key = request_key(&mut fields, id, &request);
    let pb::CreateExampleRequest { connection_id, question, sql, workflow_id, request_id: _, validate_only } = request;
    let connection = fields.id("connection_id", &connection_id);
    let workflow = fields.optional_id("workflow_id", &workflow_id);
    let mut given = |field: &str, text: String, most: usize| {
        if text.is_empty() && !workflow_id.is_empty() { None } else { Some(fields.words(field, text, most)) }
    };
    let question = given("question", question, MAX_QUESTION_BYTES);
    let sql = given("sql", sql, MAX_SQL_BYTES);
    fields.finish(connection.map(|connection| CreateExample {
        connection,
        question,
        sql,
        workflow,
        request: key,
        validate_only,
    }))
}

/// Which examples to list.
pub(in crate::api) struct ListExamples {
    pub(in crate::api) connection: ConnectionId,
    pub(in crate::api) list: List,
    /// The last one of the page before.
    pub(in crate::api) after: Option<ExampleId>,
    pub(in crate::api) limit: usize,
    /// Only these.
    pub(in crate::api) state: Option<pb::ExampleState>,
}

pub(in crate::api) fn list_examples(request: pb::ListExamplesRequest) -> Result<ListExamples, Failure> {
    let pb::ListExamplesRequest { connection_id, page_size, page_token, state } = request;
    let mut fields = Fields::default();
    let list = List::new("ListExamples", &(&connection_id, state));
    let connection = fields.id("connection_id", &connection_id);
    let limit = fields.page_size(page_size, 50, 500);
    let state = fields.choice("state", state);
    let connection = fields.finish(connection)?;
    let after = list.after(&page_token)?;
    Ok(ListExamples { connection, list, after, limit, state })
}

pub(in crate::api) fn delete_example(request: pb::DeleteExampleRequest) -> Result<(ConnectionId, ExampleId), Failure> {
    let pb::DeleteExampleRequest { connection_id, id } = request;
    let mut fields = Fields::default();
    let connection = fields.id("connection_id", &connection_id);
    let example = fields.id("id", &id);
    fields.finish(connection.zip(example))
}
