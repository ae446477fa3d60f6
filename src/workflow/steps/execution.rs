//! `execution`: runs the checked statement and keeps its first rows.

use std::sync::Arc;

use async_trait::async_trait;

use super::{counted, missing};
use crate::agents::steps::{EXECUTION, VALIDATOR};
use crate::agents::{Agent, AgentError, Outcome, Task};
use crate::domain::outputs::{ExecutionOutput, StepOutput, WorkflowResult};
use crate::domain::{Row, RunLimits, Source, Value};
use crate::workflow::{Databases, Rows, answer};

/// Most rows kept with a workflow.
pub(in crate::workflow) const MAX_KEPT_ROWS: u32 = 200;
/// Most bytes of rows kept with a workflow.
pub(in crate::workflow) const MAX_KEPT_BYTES: u32 = 256 << 10;

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
        let limits = task.question.options.limits;
        let answered = self.databases.execute(who, connection, &sql, parameters, limits.statement_timeout).await?;
        let output = keep(sql, answered, limits);
        let milliseconds = output.execution_micros as f64 / 1e3;
        let least = if output.truncated { "at least " } else { "" };
        let more = if output.result.truncated { ", more than are kept" } else { "" };
        let summary = format!("{least}{} in {milliseconds:.1} ms{more}.", counted(output.row_count, "row"));
        Ok(Outcome { output: StepOutput::Execution(output), summary, usage: None })
    }
}

fn keep(sql: String, answered: Rows, limits: RunLimits) -> ExecutionOutput {
    let Rows { columns, mut rows, row_count, capped, execution_time } = answered;
    rows.truncate(fitting(&rows, limits));
    let truncated = capped || (rows.len() as u64) < row_count;
    let answer_text = answer::text(&columns, &rows, row_count, capped);
    let result = WorkflowResult { sql, columns, rows, row_count, truncated, answer_text };
    let execution_micros = u64::try_from(execution_time.as_micros()).unwrap_or(u64::MAX);
    ExecutionOutput { row_count, truncated: capped, execution_micros, result }
}

/// How many of the first rows are kept.
fn fitting(rows: &[Row], limits: RunLimits) -> usize {
    let most = |asked: Option<u32>, most: u32| {
        usize::try_from(asked.map_or(most, |asked| asked.min(most))).unwrap_or(usize::MAX)
    };
    let most_bytes = most(limits.max_bytes, MAX_KEPT_BYTES);
    let mut bytes = 0;
    let fits = |row: &&Row| {
        bytes += row.iter().map(Value::size_bytes).sum::<usize>();
        bytes <= most_bytes
    };
    rows.iter().take(most(limits.max_rows, MAX_KEPT_ROWS)).take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn kept(rows: Vec<Row>, capped: bool) -> (usize, ExecutionOutput) {
        kept_within(RunLimits::default(), rows, capped)
    }

    fn kept_within(limits: RunLimits, rows: Vec<Row>, capped: bool) -> (usize, ExecutionOutput) {
        let row_count = rows.len() as u64;
        let answered = Rows { columns: Vec::new(), rows, row_count, capped, execution_time: Duration::from_millis(2) };
        let output = keep("SELECT 1".into(), answered, limits);
        (output.result.rows.len(), output)
    }

    #[test]
    fn rows_are_kept_up_to_both_caps() {
        let (count, output) = kept(vec![vec![Value::Int64(1)]; 200], false);
        assert!(count == 200 && !output.result.truncated && output.execution_micros == 2_000);
        let (count, output) = kept(vec![vec![Value::Int64(1)]; 201], false);
        assert!(count == 200 && output.result.truncated && output.row_count == 201);
        assert!(!output.truncated, "all 201 were read");
        let (count, output) = kept(vec![vec![Value::String("x".repeat(100 << 10))]; 3], false);
        assert!(count == 2 && output.result.truncated);
        let output = kept(vec![vec![Value::Null]], true).1;
        assert!(output.truncated && output.result.truncated);
    }

    #[test]
    fn a_workflow_may_keep_less_but_not_more() {
        let kept = |limits| kept_within(limits, vec![vec![Value::String("x".repeat(10))]; 300], false);
        let (count, output) = kept(RunLimits { max_rows: Some(3), ..RunLimits::default() });
        assert!(count == 3 && output.result.truncated && output.row_count == 300);
        let cell = u32::try_from(Value::String("x".repeat(10)).size_bytes()).unwrap();
        let (count, output) = kept(RunLimits { max_bytes: Some(2 * cell + 1), ..RunLimits::default() });
        assert!(count == 2 && output.result.truncated, "{count}");
        let more = RunLimits { max_rows: Some(u32::MAX), max_bytes: Some(u32::MAX), ..RunLimits::default() };
        assert_eq!(kept(more).0, 200);
    }
}
