//! Runs one attempt of one step: facts, time limit, panics. Dropping it stops the step.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::tz::TimeZone;
use tokio::sync::OnceCell;

use super::databases::Databases;
use crate::agents::steps::LOAD_SCHEMA;
use crate::agents::{Agent, AgentError, Outcome, Task};
use crate::domain::{EventKind, Facts, Failure, Reason, Workflow};

/// Between two tries of a step whose database did not say how long to wait.
const SHORT_WAIT: Duration = Duration::from_millis(200);

/// One attempt that is about to run.
pub(super) struct Attempt {
    pub(super) agent: Arc<dyn Agent>,
    pub(super) task: Task,
    /// Where the step's facts come from, for `load_schema` and the steps behind it.
    pub(super) facts: Option<Arc<FactsCell>>,
}

impl Attempt {
    /// Runs it and says how it ended, as the event to store.
    pub(super) async fn run(self) -> EventKind {
        let (step, attempt, candidate) = (self.agent.name().to_owned(), self.task.attempt, self.task.candidate);
        match self.outcome().await {
            Ok(Outcome { output, summary, usage }) => {
                EventKind::StepCompleted { step, attempt, candidate, output: Box::new(output), summary, usage }
            }
            Err(AgentError { failure, output, usage }) => {
                EventKind::StepFailed { step, attempt, candidate, failure, output: output.map(Box::new), usage }
            }
        }
    }

    async fn once(&mut self) -> Result<Outcome, AgentError> {
        if let Some(facts) = &self.facts {
            self.task.facts = Some(facts.get(&self.task.workflow).await?);
        }
        self.agent.run(&self.task).await
    }

    async fn outcome(mut self) -> Result<Outcome, AgentError> {
        let (step, timeout) = (self.agent.name(), self.task.timeout);
        let work = async {
            loop {
                match self.once().await {
                    Err(error) if passes(&error.failure) => {
                        let wait = error.failure.retry_after.unwrap_or(SHORT_WAIT);
                        tracing::info!(step, reason = ?error.failure.reason, "a step waits");
                        tokio::time::sleep(wait).await;
                    }
                    ended => return ended,
                }
            }
        };
        match tokio::time::timeout(timeout, AssertUnwindSafe(work).catch_unwind()).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => {
                tracing::error!(step, panic = panic_message(&*panic), "a step panicked");
                let message = format!("step `{step}` broke off; this is a bug of the server");
                Err(Failure::new(Reason::Internal, message).with("step", step).into())
            }
            Err(_) => {
                let seconds = timeout.as_secs_f64();
                let message = format!("step `{step}` took longer than {seconds} s");
                Err(Failure::new(Reason::StepTimeout, message).with("step", step).with("seconds", seconds).into())
            }
        }
    }
}

/// A busy database and a store that does not answer come back; the step's own time limit bounds the waiting.
fn passes(failure: &Failure) -> bool {
    matches!(failure.reason, Reason::StoreUnavailable | Reason::TargetBusy)
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// The facts of one workflow, fetched in the time of the first step that needs them: `load_schema`, or, after a
/// resume, whichever runs first behind it.
pub(super) struct FactsCell {
    databases: Arc<dyn Databases>,
    cell: OnceCell<Arc<Facts>>,
}

impl FactsCell {
    pub(super) fn new(databases: Arc<dyn Databases>) -> Self {
        Self { databases, cell: OnceCell::new() }
    }

    /// "Today" is the day on which the workflow was stored, so that a resume reads the question the same way.
    async fn get(&self, workflow: &Workflow) -> Result<Arc<Facts>, Failure> {
        let started = &workflow.started;
        let today = workflow.create_time.to_zoned_datetime(TimeZone::UTC).date();
        let question = &started.question;
        let fetch = || self.databases.facts(&started.principal, &question.source, &question.text, today);
        self.cell.get_or_try_init(fetch).await.cloned()
    }

    /// Whether a step is given the facts.
    pub(super) fn concerns(plan: &super::plan::Plan, step: &str) -> bool {
        step == LOAD_SCHEMA || plan.depends_on(step, LOAD_SCHEMA)
    }
}
