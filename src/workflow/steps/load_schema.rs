//! `load_schema`: says what was read of the database. The facts themselves are fetched by the executor, which hands
//! them to this step and to every step behind it.

use async_trait::async_trait;

use super::{counted, facts};
use crate::agents::steps::LOAD_SCHEMA;
use crate::agents::{Agent, AgentError, Outcome, Task};
use crate::domain::outputs::{SchemaOutput, StepOutput};
use crate::domain::{Failure, Reason};

pub(in crate::workflow) struct LoadSchema;

#[async_trait]
impl Agent for LoadSchema {
    fn name(&self) -> &'static str {
        LOAD_SCHEMA
    }

    fn requires(&self) -> &'static [&'static str] {
        &[]
    }

    async fn run(&self, task: &Task) -> Result<Outcome, AgentError> {
        let facts = facts(task)?;
        let tables = &facts.schema.tables;
        if tables.is_empty() {
            return Err(Failure::new(Reason::SchemaEmpty, "the database has no table that can be read").into());
        }
        let columns: usize = tables.iter().map(|table| table.columns.len()).sum();
        let foreign_keys: usize = tables.iter().map(|table| table.foreign_keys.len()).sum();
        let indexed = facts.values.columns().count();
        let output = SchemaOutput {
            table_count: saturated(tables.len()),
            column_count: saturated(columns),
            foreign_key_count: saturated(foreign_keys),
            indexed_column_count: saturated(indexed),
            fingerprint: facts.schema.fingerprint.clone(),
            dialect: facts.schema.dialect,
        };
        let summary = format!(
            "Read {} with {}; values of {} are known.",
            counted(tables.len() as u64, "table"),
            counted(columns as u64, "column"),
            counted(indexed as u64, "column"),
        );
        Ok(Outcome { output: StepOutput::Schema(output), summary, usage: None })
    }
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
