//! `execution`: runs the checked statement and keeps its first rows.

use std::sync::Arc;

use async_trait::async_trait;

use super::{counted, missing};
use crate::agents::steps::{EXECUTION, VALIDATOR};
use crate::agents::{Agent, AgentError, Outcome, Task};
use crate::domain::outputs::{ExecutionOutput, StepOutput, WorkflowResult};
use crate::domain::{Row, Source, Value};
use crate::workflow::{Databases, Rows, answer};

/// Most rows kept with a workflow.
const MAX_KEPT_ROWS: usize = 200;
/// Most bytes of rows kept with a workflow.
const MAX_KEPT_BYTES: usize = 256 << 10;

pub(in crate::workflow) struct Execution {
    pub(in crate::workflow) databases: Arc<dyn Databases>,
}

#[async_trait]
impl Agent for Execution {
    fn name(&self) -> &'static str {
        EXECUTION
    }

    fn requires(&self) -> &'static [&'static str] {
        &[VALIDATOR]
    }

    async fn run(&self, task: &Task) -> Result<Outcome, AgentError> {
        let Source::Connection(connection) = task.question.source else { return Err(missing("a connection").into()) };
        let sql = task.workflow.checked_sql().ok_or_else(|| missing("a checked statement"))?.to_owned();
        let parameters = task.workflow.checked_parameters();
        let who = &task.workflow.started.principal;
        let answered = self.databases.execute(who, connection, &sql, parameters).await?;
        let output = keep(sql, answered);
        let milliseconds = output.execution_micros as f64 / 1e3;
        let more = if output.truncated { ", more than are kept" } else { "" };
        let summary = format!("{} in {milliseconds:.1} ms{more}.", counted(output.row_count, "row"));
        Ok(Outcome { output: StepOutput::Execution(output), summary, usage: None })
    }
}

fn keep(sql: String, answered: Rows) -> ExecutionOutput {
    let Rows { columns, mut rows, row_count, capped, execution_time } = answered;
    rows.truncate(fitting(&rows));
    let truncated = capped || (rows.len() as u64) < row_count;
    let answer_text = answer::text(&columns, &rows, row_count, capped);
    let result = WorkflowResult { sql, columns, rows, row_count, truncated, answer_text };
    let execution_micros = u64::try_from(execution_time.as_micros()).unwrap_or(u64::MAX);
    ExecutionOutput { row_count, truncated, execution_micros, result }
}

/// How many of the first rows are kept.
fn fitting(rows: &[Row]) -> usize {
    let mut bytes = 0;
    let fits = |row: &&Row| {
        bytes += row.iter().map(Value::size_bytes).sum::<usize>();
        bytes <= MAX_KEPT_BYTES
    };
    rows.iter().take(MAX_KEPT_ROWS).take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn kept(rows: Vec<Row>, capped: bool) -> (usize, ExecutionOutput) {
        let row_count = rows.len() as u64;
        let answered = Rows { columns: Vec::new(), rows, row_count, capped, execution_time: Duration::from_millis(2) };
        let output = keep("SELECT 1".into(), answered);
        (output.result.rows.len(), output)
    }

    #[test]
    fn rows_are_kept_up_to_both_caps() {
        let (count, output) = kept(vec![vec![Value::Int64(1)]; 200], false);
        assert!(count == 200 && !output.truncated && output.execution_micros == 2_000);
        let (count, output) = kept(vec![vec![Value::Int64(1)]; 201], false);
        assert!(count == 200 && output.truncated && output.row_count == 201);
        let (count, output) = kept(vec![vec![Value::String("x".repeat(100 << 10))]; 3], false);
        assert!(count == 2 && output.result.truncated);
        assert!(kept(vec![vec![Value::Null]], true).1.truncated);
    }
}
