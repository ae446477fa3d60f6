//! From the wire to our own types: every field is taken apart, every bad one is named, all in one answer.

mod connection;
mod fields;
mod inline_schema;
mod knowledge;
mod query;
mod workflow;

pub(super) use connection::{
    GetSchema, ListConnections, create_connection, get_schema, list_connections, test_connection, update_connection,
};
pub(super) use fields::id;
pub(super) use knowledge::{
    CreateExample, ImportKnowledge, ListExamples, connection_id, create_example, delete_example, import_knowledge,
    list_examples, update_knowledge,
};
pub(super) use query::{StreamFormat, StreamSource, execute_query, stream_query, validate_query};
pub(super) use workflow::{
    ListSteps, ListWorkflows, Rate, Resume, RunWorkflow, WatchWorkflow, cancel_workflow, list_steps, list_workflows,
    rate_workflow, resume_workflow, run_workflow, start_workflow, watch_workflow,
};
