//! The state of a workflow: a fold over its events, never stored as the truth.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{Event, EventKind, WorkflowStarted};
use super::failure::Failure;
use super::ids::WorkflowId;
use super::outputs::{Clarification, Feedback, StepOutput, Usage, WorkflowResult};
use super::value::Value;

/// Where a workflow stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WorkflowStatus {
    /// Stored, no step has begun.
    Pending,
    /// Steps run.
    Running,
    /// Between a failed validation and the composer's next attempt.
    Retrying,
    /// Waits for an answer.
    AwaitingInput,
    /// Waits for approval.
    AwaitingApproval,
    /// Answered.
    Completed,
    /// Not answered.
    Failed,
    /// Cancelled.
    Cancelled,
}

impl WorkflowStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Running,
        Self::Retrying,
        Self::AwaitingInput,
        Self::AwaitingApproval,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The name as in the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Retrying => "RETRYING",
            Self::AwaitingInput => "AWAITING_INPUT",
            Self::AwaitingApproval => "AWAITING_APPROVAL",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The status of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether nothing can change any more.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// Where one attempt of a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StepStatus {
    /// Runs now, or ran when its process died.
    Running,
    /// Ended well.
    Done,
    /// Ended badly.
    Failed,
}

/// One attempt of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The agent.
    pub name: String,
    /// 1, 2, 3 … per name.
    pub attempt: u32,
    /// How it stands.
    pub status: StepStatus,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    pub finish_time: Option<Timestamp>,
    /// What it produced.
    pub output: Option<StepOutput>,
    /// One line for people.
    pub summary: String,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Tokens and calls.
    pub usage: Option<Usage>,
}

/// A workflow as its events tell it.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// Its id.
    pub id: WorkflowId,
    /// The first event.
    pub started: WorkflowStarted,
    /// Where it stands.
    pub status: WorkflowStatus,
    /// Attempts in the order they began.
    pub steps: Vec<Step>,
    /// Retries of the composer so far.
    pub retries: u32,
    /// What the composer is to be told next.
    pub feedback: Option<Feedback>,
    /// What a person was asked.
    pub clarification: Option<Clarification>,
    /// The answer.
    pub result: Option<WorkflowResult>,
    /// Why it failed or was cancelled.
    pub failure: Option<Failure>,
    /// Whether somebody asked to cancel, and their reason.
    pub cancel_requested: Option<String>,
    /// When it was stored.
    pub create_time: Timestamp,
    /// Time of the last event.
    pub update_time: Timestamp,
    /// Sequence of the last event.
    pub last_sequence: u64,
    /// Epoch of the last event's writer.
    pub last_epoch: u64,
}

impl Workflow {
    /// The workflow that these events tell, from sequence 1 on; `None` unless the first is `workflow_started`.
    #[must_use]
    pub fn fold(id: WorkflowId, events: &[Event]) -> Option<Self> {
        let (first, rest) = events.split_first()?;
        let EventKind::WorkflowStarted(started) = &first.kind else { return None };
        let mut workflow = Self {
            id,
            started: (**started).clone(),
            status: WorkflowStatus::Pending,
            steps: Vec::new(),
            retries: 0,
            feedback: None,
            clarification: None,
            result: None,
            failure: None,
            cancel_requested: None,
            create_time: first.time,
            update_time: first.time,
            last_sequence: first.sequence,
            last_epoch: first.epoch,
        };
        for event in rest {
            workflow.apply(event);
        }
        Some(workflow)
    }

    /// Moves on by one event.
    pub fn apply(&mut self, event: &Event) {
        self.last_sequence = event.sequence;
        self.last_epoch = event.epoch;
        self.update_time = event.time;
        match &event.kind {
            EventKind::WorkflowStarted(_) => {}
            EventKind::StepStarted { step, attempt } => {
                self.status = WorkflowStatus::Running;
                self.start_step(step, *attempt, event.time);
            }
            EventKind::StepCompleted { step, attempt, output, summary, usage } => {
                if let Some(entry) = self.step_mut(step, *attempt) {
                    entry.status = StepStatus::Done;
                    entry.finish_time = Some(event.time);
                    entry.output = Some((**output).clone());
                    entry.summary.clone_from(summary);
                    entry.usage.clone_from(usage);
                }
            }
            EventKind::StepFailed { step, attempt, failure, output, usage } => {
                if let Some(entry) = self.step_mut(step, *attempt) {
                    entry.status = StepStatus::Failed;
                    entry.finish_time = Some(event.time);
                    entry.output = output.as_deref().cloned();
                    entry.summary.clone_from(&failure.message);
                    entry.failure = Some(failure.clone());
                    entry.usage.clone_from(usage);
                }
            }
            EventKind::Retrying { retry, feedback } => {
                self.status = WorkflowStatus::Retrying;
                self.retries = *retry;
                self.feedback = Some(feedback.clone());
            }
            EventKind::Awaiting { clarification } => {
                self.status = if clarification.is_some() {
                    WorkflowStatus::AwaitingInput
                } else {
                    WorkflowStatus::AwaitingApproval
                };
                self.clarification.clone_from(clarification);
            }
            EventKind::CancelRequested { reason, .. } => self.cancel_requested = Some(reason.clone()),
            EventKind::Resumed { .. } => self.status = WorkflowStatus::Running,
            EventKind::Result(result) => self.result = Some((**result).clone()),
            EventKind::Completed => self.status = WorkflowStatus::Completed,
            EventKind::Failed(failure) => {
                self.status = WorkflowStatus::Failed;
                self.failure = Some(failure.clone());
            }
            EventKind::Cancelled(failure) => {
                self.status = WorkflowStatus::Cancelled;
                self.failure = Some(failure.clone());
            }
        }
    }

    /// The newest attempt of a step.
    #[must_use]
    pub fn latest(&self, step: &str) -> Option<&Step> {
        self.steps.iter().rev().find(|entry| entry.name == step)
    }

    /// The output of the newest attempt of a step, when that attempt is done.
    #[must_use]
    pub fn output(&self, step: &str) -> Option<&StepOutput> {
        self.latest(step).filter(|entry| entry.status == StepStatus::Done)?.output.as_ref()
    }

    /// Names of the steps that run now; none in a state where nothing runs.
    #[must_use]
    pub fn current_steps(&self) -> Vec<&str> {
        if self.status != WorkflowStatus::Running {
            return Vec::new();
        }
        let running = self.steps.iter().filter(|entry| entry.status == StepStatus::Running);
        running.map(|entry| entry.name.as_str()).collect()
    }

    /// The newest statement: what ran or would run, or what the composer proposed last.
    #[must_use]
    pub fn sql(&self) -> Option<&str> {
        if let Some(result) = &self.result {
            return Some(&result.sql);
        }
        let proposed = || {
            self.steps.iter().rev().find_map(|entry| match &entry.output {
                Some(StepOutput::Composer(output)) => Some(output.sql.as_str()),
                _ => None,
            })
        };
        self.checked_sql().or_else(proposed)
    }

    /// The statement that runs: the validator's correction where it made one, otherwise the composer's proposal.
    #[must_use]
    pub fn checked_sql(&self) -> Option<&str> {
        if let Some(StepOutput::Validator(verdict)) = self.output("validator")
            && let Some(refined) = &verdict.refined_sql
        {
            return Some(refined);
        }
        match self.output("composer")? {
            StepOutput::Composer(output) => Some(&output.sql),
            _ => None,
        }
    }

    /// The values of that statement's placeholders, in order.
    #[must_use]
    pub fn checked_parameters(&self) -> &[Value] {
        match self.output("composer") {
            Some(StepOutput::Composer(output)) => &output.parameters,
            _ => &[],
        }
    }

    /// What its model calls cost so far: the sum over its steps, and the time of the steps that asked a model.
    #[must_use]
    pub fn model_cost(&self) -> (Usage, Duration) {
        let mut sum = Usage::default();
        let mut time = Duration::ZERO;
        for (step, usage) in self.steps.iter().filter_map(|step| Some((step, step.usage.as_ref()?))) {
            sum = sum.and(usage.clone());
            let took = step.finish_time.map(|finish| finish.duration_since(step.start_time));
            time += took.and_then(|took| Duration::try_from(took).ok()).unwrap_or_default();
        }
        (sum, time)
    }

    /// A repeated start of the same attempt (after a crash) begins it anew instead of adding a second entry.
    fn start_step(&mut self, name: &str, attempt: u32, time: Timestamp) {
        let fresh = Step {
            name: name.to_owned(),
            attempt,
            status: StepStatus::Running,
            start_time: time,
            finish_time: None,
            output: None,
            summary: String::new(),
            failure: None,
            usage: None,
        };
        match self.step_mut(name, attempt) {
            Some(entry) => *entry = fresh,
            None => self.steps.push(fresh),
        }
    }

    fn step_mut(&mut self, name: &str, attempt: u32) -> Option<&mut Step> {
        self.steps.iter_mut().rev().find(|entry| entry.name == name && entry.attempt == attempt)
    }
}
