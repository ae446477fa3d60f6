//! From our own types to the wire. A field that nothing here knows yet is spelled out as its empty value, so that a new
//! one has to be decided on.

mod connection;
mod event;
mod failure;
mod knowledge;
mod outputs;
mod query;
mod rows;
mod value;
mod workflow;

pub(super) use connection::{connection, table, tested, without_columns};
#[cfg(test)]
pub(super) use event::cursor;
pub(super) use event::{event, heartbeat, parse_cursor};
pub(super) use failure::{reason, sql_error};
pub(super) use knowledge::{example, example_state, knowledge};
pub(super) use query::{arrow, batch, header, query_result, summary, validation};
pub(super) use value::{duration, timestamp};
pub(super) use workflow::{steps, workflow, workflow_without_rows};
