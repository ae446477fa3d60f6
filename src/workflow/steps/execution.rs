//! `execution`: runs the checked statement and keeps its first rows. Of several candidates all that passed are run, and the
//! rows that most of them return are kept.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use tokio::time::Instant;

use super::{counted, facts, missing};
use crate::agents::steps::{EXECUTION, PLANNER, VALIDATOR};
use crate::agents::{Agent, AgentError, Outcome, Task};
use crate::domain::outputs::{Agreement, ComposerOutput, ExecutionOutput, StepOutput, WorkflowResult};
use crate::domain::{ConnectionId, EngineName, Failure, Reason, Row, RunLimits, Source, Step, Value, Workflow};
use crate::workflow::vote::{Vote, elect};
use crate::workflow::{Databases, Rows, answer, candidates};

/// Most rows kept with a workflow.
pub(in crate::workflow) const MAX_KEPT_ROWS: u32 = 200;
/// Most bytes of rows kept with a workflow.
pub(in crate::workflow) const MAX_KEPT_BYTES: u32 = 256 << 10;
/// Statements of one workflow that run at the same time: all there can be, so that a slow one keeps none waiting.
const BESIDE: usize = 6;
/// Between two tries of a statement whose database did not say how long to wait.
const SHORT_WAIT: Duration = Duration::from_millis(200);

pub(in crate::workflow) struct Execution {
    pub(in crate::workflow) databases: Arc<dyn Databases>,
    /// Composes without a model, so that its reading of the question is a vote that costs nothing.
    pub(in crate::workflow) voter: Option<Arc<dyn Agent>>,
}

/// A statement that is run.
#[derive(Debug, PartialEq)]
struct Ballot {
    sql: String,
    parameters: Vec<Value>,
}

/// Until when candidates may run, so that what is left of the step's time is enough to choose among their rows.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    since: Duration,
}

impl Deadline {
    fn of(task: &Task) -> Self {
        let since = task.timeout * 3 / 4;
        Self { at: Instant::now() + since, since }
    }

    fn failure(self) -> Failure {
        let seconds = self.since.as_secs_f64();
        let message = format!(
            "The statement was stopped after {seconds} s, three quarters of its step's time. Narrow it down, or raise \
             PULSE_STEP_TIMEOUT."
        );
        Failure::new(Reason::StatementTimeout, message).with("timeout_seconds", seconds)
    }
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
        let limits = task.question.options.limits;
        let passed = passed(&task.workflow);
        let (sql, answered, agreement) = if passed.is_empty() {
            let sql = task.workflow.checked_sql().ok_or_else(|| missing("a checked statement"))?.to_owned();
            let ballot = Ballot { sql, parameters: task.workflow.checked_parameters().to_vec() };
            let answered = self.execute(task, connection, &ballot, limits.statement_timeout).await?;
            (ballot.sql, answered, None)
        } else {
            self.elect(task, connection, passed).await?
        };
        let output = ExecutionOutput { agreement, ..keep(sql, answered, limits) };
        let summary = summary(&output, &task.workflow);
        Ok(Outcome { output: StepOutput::Execution(output), summary, usage: None })
    }
}

impl Execution {
    async fn execute(
        &self,
        task: &Task,
        connection: ConnectionId,
        ballot: &Ballot,
        timeout: Option<Duration>,
    ) -> Result<Rows, Failure> {
        let who = &task.workflow.started.principal;
        self.databases.execute(who, connection, &ballot.sql, &ballot.parameters, timeout).await
    }

    /// The same as one of several, until the deadline: the rows of the others are worth a vote whatever becomes of it. A
    /// database that has no room now may have it once another of them ends.
    async fn execute_by(
        &self,
        task: &Task,
        connection: ConnectionId,
        ballot: &Ballot,
        deadline: Deadline,
    ) -> Result<Rows, Failure> {
        let patience = task.question.options.limits.statement_timeout;
        let mut busy = None;
        let run = async {
            loop {
                let left = deadline.at.saturating_duration_since(Instant::now());
                let timeout = patience.map_or(left, |patience| patience.min(left));
                match self.execute(task, connection, ballot, Some(timeout)).await {
                    Err(failure) if failure.reason == Reason::TargetBusy => {
                        let wait = failure.retry_after.unwrap_or(SHORT_WAIT);
                        busy = Some(failure);
                        tokio::time::sleep(wait).await;
                    }
                    ended => return ended,
                }
            }
        };
        let ended = tokio::time::timeout_at(deadline.at, run).await;
        ended.unwrap_or_else(|_| Err(busy.unwrap_or_else(|| deadline.failure())))
    }

    /// Runs every candidate, equal statements once, and chooses by their rows. A candidate whose statement fails, or takes too
    /// long, has no vote; where all do, the first one's failure counts.
    async fn elect(
        &self,
        task: &Task,
        connection: ConnectionId,
        passed: Vec<(u32, Ballot)>,
    ) -> Result<(String, Rows, Option<Agreement>), Failure> {
        let deadline = Deadline::of(task);
        let reading = self.reading(task).await;
        let mut statements: Vec<&Ballot> = Vec::new();
        for ballot in passed.iter().map(|(_, ballot)| ballot).chain(&reading) {
            if !statements.contains(&ballot) {
                statements.push(ballot);
            }
        }
        let running: Vec<_> =
            statements.iter().map(|ballot| self.execute_by(task, connection, ballot, deadline)).collect();
        let mut answers: Vec<Result<Rows, Failure>> = futures::stream::iter(running).buffered(BESIDE).collect().await;
        let place = |ballot: &Ballot| statements.iter().position(|one| *one == ballot);
        let votes: Vec<Option<Vote>> = answers.iter().map(|answer| answer.as_ref().ok().map(Vote::from)).collect();
        let vote_of = |ballot: &Ballot| place(ballot).and_then(|place| votes[place].as_ref());
        let cast: Vec<(u32, &Vote)> =
            passed.iter().filter_map(|(candidate, ballot)| Some((*candidate, vote_of(ballot)?))).collect();
        let composed = u32::try_from(task.workflow.candidates().len()).unwrap_or(u32::MAX);
        let agreement = elect(&cast, reading.as_ref().and_then(vote_of), is_ordered(&task.workflow), composed);
        let chosen = agreement
            .as_ref()
            .map_or(passed.first(), |agreement| passed.iter().find(|(candidate, _)| *candidate == agreement.candidate));
        let (_, ballot) = chosen.ok_or_else(|| missing("a candidate"))?;
        let place = place(ballot).ok_or_else(|| missing("an answer"))?;
        let rows = answers.swap_remove(place)?;
        Ok((ballot.sql.clone(), rows, agreement))
    }

    /// What the built-in engine makes of the question, unless it abstains or its statement does not pass.
    async fn reading(&self, task: &Task) -> Option<Ballot> {
        let read = self.voter.as_ref()?.run(task).await.ok()?.output;
        let StepOutput::Composer(proposal) = read else { return None };
        let (who, source) = (&task.workflow.started.principal, &task.question.source);
        let verdict = self.databases.judge(who, source, facts(task).ok()?, &proposal, None).await.ok()?;
        let ComposerOutput { sql, parameters, .. } = proposal;
        verdict.is_valid.then(|| Ballot { sql: verdict.refined_sql.unwrap_or(sql), parameters })
    }
}

/// The candidates that passed the checks; none where there is one statement, or where a person chose one.
fn passed(workflow: &Workflow) -> Vec<(u32, Ballot)> {
    if workflow.choice.is_some() {
        return Vec::new();
    }
    let ballot = |step: &Step| {
        let Some(StepOutput::Composer(ComposerOutput { sql, parameters, .. })) = &step.output else { return None };
        let refined = match candidates::verdict(workflow, step.candidate).and_then(|step| step.output.as_ref()) {
            Some(StepOutput::Validator(verdict)) => verdict.refined_sql.as_ref(),
            _ => None,
        };
        let sql = refined.unwrap_or(sql).clone();
        Some((step.candidate, Ballot { sql, parameters: parameters.clone() }))
    };
    candidates::passed(workflow).filter_map(ballot).collect()
}

/// Whether the question asks for an order.
fn is_ordered(workflow: &Workflow) -> bool {
    matches!(workflow.output(PLANNER), Some(StepOutput::Planner(plan)) if !plan.order_by.is_empty())
}

fn summary(output: &ExecutionOutput, workflow: &Workflow) -> String {
    let milliseconds = output.execution_micros as f64 / 1e3;
    let least = if output.truncated { "at least " } else { "" };
    let more = if output.result.truncated { ", more than are kept" } else { "" };
    let mut said = format!("{least}{} in {milliseconds:.1} ms{more}", counted(output.row_count, "row"));
    if let Some(agreement) = &output.agreement {
        said = format!("{}: {said}", agreed(agreement));
    }
    let (wanted, composed) = (candidates::wanted(workflow), workflow.candidates().len().max(1));
    // Only the first attempt has candidates.
    if workflow.retries == 0 && composed < wanted as usize && workflow.started.engine == EngineName::Openai {
        let composed = counted(composed as u64, "candidate");
        said = format!("{said}; {composed} of {wanted}, as PULSE_LLM_MAX_CALLS allows no more");
    }
    format!("{said}.")
}

/// `Candidates 1 and 3 of 3 agree`, and what the built-in engine says to it.
fn agreed(agreement: &Agreement) -> String {
    let Agreement { agreeing, composed, builtin, .. } = agreement;
    let numbers = agreeing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let candidates = match agreeing.len() {
        1 => format!("Candidate {numbers} of {composed} stands alone"),
        _ => format!("Candidates {numbers} of {composed} agree"),
    };
    match builtin {
        Some(true) => format!("{candidates}, with the built-in engine"),
        Some(false) => format!("{candidates}, against the built-in engine"),
        None => candidates,
    }
}

fn keep(sql: String, answered: Rows, limits: RunLimits) -> ExecutionOutput {
    let Rows { columns, mut rows, row_count, capped, execution_time } = answered;
    rows.truncate(fitting(&rows, limits));
    let truncated = capped || (rows.len() as u64) < row_count;
    let answer_text = answer::text(&columns, &rows, row_count, capped);
    let result = WorkflowResult { sql, columns, rows, row_count, truncated, answer_text };
    let execution_micros = u64::try_from(execution_time.as_micros()).unwrap_or(u64::MAX);
    ExecutionOutput { row_count, truncated: capped, execution_micros, result, agreement: None }
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
