//! The state of a workflow: a fold over its events, never stored as the truth.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::{Event, EventKind, Need, ResumeInput, WorkflowStarted};
use super::failure::Failure;
use super::ids::WorkflowId;
use super::outputs::{Agreement, Approval, Check, Clarification, Feedback, StepOutput, Usage, Verdict, WorkflowResult};
use super::rating::Rating;
use super::value::Value;

/// How often a workflow asks back: who has answered that often is not asked again.
const MOST_QUESTIONS_BACK: usize = 3;

/// The steps whose outputs say where a workflow stands; `agents::steps` names them for everybody else.
const COMPOSER: &str = "composer";
const VALIDATOR: &str = "validator";
const EXECUTION: &str = "execution";

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

    /// Whether a person is waited for.
    #[must_use]
    pub fn is_awaiting(self) -> bool {
        matches!(self, Self::AwaitingInput | Self::AwaitingApproval)
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
    /// Which of several composed together, from 1; 0 when there is one only.
    pub candidate: u32,
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

impl Step {
    /// How many checks of a validator its statement passed; more than there are when it passed as a whole.
    #[must_use]
    pub fn passed_checks(&self) -> usize {
        match (&self.output, self.status) {
            (Some(StepOutput::Validator(_)), StepStatus::Done) => usize::MAX,
            (Some(StepOutput::Validator(verdict)), _) => {
                let passed = |check: &&Check| matches!(check.verdict, Verdict::Passed | Verdict::Warning);
                verdict.checks.iter().filter(passed).count()
            }
            _ => 0,
        }
    }
}

/// What a workflow waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Awaiting {
    /// What a person is asked for.
    pub need: Need,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub expire_time: Timestamp,
}

/// A statement that a person wants to be run: the one that was put to them, or one of their own.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The statement.
    pub sql: String,
    /// Values of its placeholders.
    pub parameters: Vec<Value>,
    /// Whether they wrote it themselves.
    pub edited: bool,
    /// How many attempts had begun by then; those behind are about this statement.
    pub steps_before: usize,
}

/// A question back that was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Clarified {
    /// What was asked.
    pub clarification: Clarification,
    /// What was answered.
    pub answer: String,
    /// How many attempts had begun by then.
    pub steps_before: usize,
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
    /// What it waits for, while it does.
    pub awaiting: Option<Awaiting>,
    /// What was put to a person last.
    pub offered: Option<Approval>,
    /// What a person wants to be run; it stands until it fails.
    pub choice: Option<Choice>,
    /// How many statements of their own persons gave.
    pub edits: u32,
    /// What persons were asked and answered.
    pub clarified: Vec<Clarified>,
    /// The calls by which persons answered, as far as they may be repeated.
    pub resumed_by: Vec<Uuid>,
    /// Time spent waiting for persons, up to the last answer.
    pub waited: Duration,
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
    /// What a person thinks of it. No event tells it: it is kept beside the log.
    pub rating: Option<Rating>,
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
            awaiting: None,
            offered: None,
            choice: None,
            edits: 0,
            clarified: Vec::new(),
            resumed_by: Vec::new(),
            waited: Duration::ZERO,
            result: None,
            failure: None,
            cancel_requested: None,
            create_time: first.time,
            update_time: first.time,
            last_sequence: first.sequence,
            last_epoch: first.epoch,
            rating: None,
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
            EventKind::StepStarted { step, attempt, candidate } => {
                self.status = WorkflowStatus::Running;
                self.start_step(step, *attempt, *candidate, event.time);
            }
            EventKind::StepCompleted { step, attempt, candidate, output, summary, usage } => {
                if let Some(entry) = self.step_mut(step, *attempt, *candidate) {
                    entry.status = StepStatus::Done;
                    entry.finish_time = Some(event.time);
                    entry.output = Some((**output).clone());
                    entry.summary.clone_from(summary);
                    entry.usage.clone_from(usage);
                }
            }
            EventKind::StepFailed { step, attempt, candidate, failure, output, usage } => {
                if let Some(entry) = self.step_mut(step, *attempt, *candidate) {
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
                self.choice = None;
            }
            EventKind::Awaiting { need, patience } => self.wait(need, *patience, event.time),
            EventKind::CancelRequested { reason, .. } => self.cancel_requested = Some(reason.clone()),
            EventKind::Resumed { input, call, .. } => {
                self.resumed_by.extend(*call);
                self.resume(input, event.time);
            }
            EventKind::Result(result) => self.result = Some((**result).clone()),
            EventKind::Completed => self.end(WorkflowStatus::Completed, None, event.time),
            EventKind::Failed(failure) => self.end(WorkflowStatus::Failed, Some(failure), event.time),
            EventKind::Cancelled(failure) => self.end(WorkflowStatus::Cancelled, Some(failure), event.time),
        }
    }

    fn wait(&mut self, need: &Need, patience: Duration, since: Timestamp) {
        self.status = match need {
            Need::Clarification(_) => WorkflowStatus::AwaitingInput,
            Need::Approval(approval) => {
                self.offered = Some((**approval).clone());
                WorkflowStatus::AwaitingApproval
            }
        };
        self.choice = None;
        self.awaiting = Some(Awaiting { need: need.clone(), since, expire_time: after(since, patience) });
    }

    fn resume(&mut self, input: &ResumeInput, time: Timestamp) {
        self.status = WorkflowStatus::Running;
        let steps_before = self.steps.len();
        match (input, self.stop_waiting(time)) {
            (ResumeInput::Answer(answer), Some(Need::Clarification(clarification))) => {
                self.clarified.push(Clarified { clarification, answer: answer.clone(), steps_before });
            }
            (ResumeInput::Approve, Some(Need::Approval(approval))) => {
                let Approval { sql, parameters, .. } = *approval;
                self.choice = Some(Choice { sql, parameters, edited: false, steps_before });
            }
            (ResumeInput::EditedSql(sql), Some(Need::Approval(_))) => {
                self.edits += 1;
                let (sql, parameters) = (sql.clone(), Vec::new());
                self.choice = Some(Choice { sql, parameters, edited: true, steps_before });
            }
            // Of a rejection the end follows; nothing else is let into a log.
            _ => {}
        }
    }

    fn end(&mut self, status: WorkflowStatus, failure: Option<&Failure>, time: Timestamp) {
        self.stop_waiting(time);
        self.status = status;
        self.failure = failure.cloned();
    }

    fn stop_waiting(&mut self, time: Timestamp) -> Option<Need> {
        let Awaiting { need, since, .. } = self.awaiting.take()?;
        self.waited += Duration::try_from(time.duration_since(since)).unwrap_or_default();
        Some(need)
    }

    /// Whether a planner may ask back (once more).
    #[must_use]
    pub fn may_ask_back(&self) -> bool {
        self.started.question.options.allow_clarification && self.clarified.len() < MOST_QUESTIONS_BACK
    }

    /// The newest attempt of a step; of several candidates that of the one which stands for them.
    #[must_use]
    pub fn latest(&self, step: &str) -> Option<&Step> {
        let newest = self.steps.iter().rev().find(|entry| entry.name == step)?;
        let lead = if newest.candidate == 0 { 0 } else { self.lead() };
        let of_lead = || self.steps.iter().rev().find(|entry| entry.name == step && entry.candidate == lead);
        // Candidates of an attempt that the composer has left behind have nobody who stands for them.
        if lead == 0 { Some(newest) } else { of_lead().or(Some(newest)) }
    }

    /// The newest attempt of a step for one of several candidates; [`Self::latest`] for 0.
    #[must_use]
    pub fn of_candidate(&self, step: &str, candidate: u32) -> Option<&Step> {
        match candidate {
            0 => self.latest(step),
            _ => self.steps.iter().rev().find(|entry| entry.name == step && entry.candidate == candidate),
        }
    }

    /// The composer's newest attempts, where they are several candidates; nothing where it composes one statement.
    #[must_use]
    pub fn candidates(&self) -> &[Step] {
        let Some(last) = self.steps.iter().rposition(|step| step.name == COMPOSER) else { return &[] };
        let Step { attempt, candidate, .. } = self.steps[last];
        if candidate == 0 {
            return &[];
        }
        // All begin in one append, so that they stand together.
        let is_one = |step: &Step| step.name == COMPOSER && step.attempt == attempt;
        let first = self.steps.iter().position(is_one).unwrap_or(last);
        &self.steps[first..=last]
    }

    /// Which of several candidates stands for them: the one that was chosen by its rows; before that, the first that passed
    /// the checks, or else the one that came furthest. 0 when there is one statement only.
    #[must_use]
    pub fn lead(&self) -> u32 {
        let candidates = self.candidates();
        let Some(first) = candidates.first() else { return 0 };
        if let Some(agreement) = self.agreement() {
            return agreement.candidate;
        }
        let came = |step: &&Step| {
            let verdict = self.steps.iter().rfind(|one| one.name == VALIDATOR && one.candidate == step.candidate);
            let checks = verdict.map_or(0, Step::passed_checks);
            (step.status == StepStatus::Done, checks, std::cmp::Reverse(step.candidate))
        };
        candidates.iter().max_by_key(came).unwrap_or(first).candidate
    }

    /// How far its candidates agree, once they were executed.
    #[must_use]
    pub fn agreement(&self) -> Option<&Agreement> {
        match self.output(EXECUTION)? {
            StepOutput::Execution(output) => output.agreement.as_ref(),
            _ => None,
        }
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
        let mut names: Vec<&str> = running.map(|entry| entry.name.as_str()).collect();
        // Candidates run side by side under one name.
        names.dedup();
        names
    }

    /// The newest statement: what ran or would run, or what the composer proposed last.
    #[must_use]
    pub fn sql(&self) -> Option<&str> {
        let proposed = || {
            self.steps.iter().rev().find_map(|entry| match &entry.output {
                Some(StepOutput::Composer(output)) => Some(output.sql.as_str()),
                _ => None,
            })
        };
        self.checked_sql().or_else(proposed)
    }

    /// The statement that ran or will: what a person chose, else the validator's correction where it made one, otherwise the
    /// composer's proposal.
    #[must_use]
    pub fn checked_sql(&self) -> Option<&str> {
        if let Some(result) = &self.result {
            return Some(&result.sql);
        }
        if let Some(choice) = &self.choice {
            return Some(&choice.sql);
        }
        if let Some(StepOutput::Validator(verdict)) = self.output(VALIDATOR)
            && let Some(refined) = &verdict.refined_sql
        {
            return Some(refined);
        }
        match self.output(COMPOSER)? {
            StepOutput::Composer(output) => Some(&output.sql),
            _ => None,
        }
    }

    /// The values of that statement's placeholders, in order.
    #[must_use]
    pub fn checked_parameters(&self) -> &[Value] {
        if let Some(choice) = &self.choice {
            return &choice.parameters;
        }
        match self.output(COMPOSER) {
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
    fn start_step(&mut self, name: &str, attempt: u32, candidate: u32, time: Timestamp) {
        let fresh = Step {
            name: name.to_owned(),
            attempt,
            candidate,
            status: StepStatus::Running,
            start_time: time,
            finish_time: None,
            output: None,
            summary: String::new(),
            failure: None,
            usage: None,
        };
        match self.step_mut(name, attempt, candidate) {
            Some(entry) => *entry = fresh,
            None => self.steps.push(fresh),
        }
    }

    fn step_mut(&mut self, name: &str, attempt: u32, candidate: u32) -> Option<&mut Step> {
        let is_it = |entry: &&mut Step| (entry.attempt, entry.candidate) == (attempt, candidate) && entry.name == name;
        self.steps.iter_mut().rev().find(is_it)
    }
}

/// An instant and a span behind it; far beyond any calendar it is the last instant there is.
fn after(time: Timestamp, span: Duration) -> Timestamp {
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}
