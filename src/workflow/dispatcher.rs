//! One running workflow: owns its state, puts its events in one order, starts its steps.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, OptionFuture};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::databases::Databases;
use super::executor::{Attempt, FactsCell};
use super::journal::{self, Journal, Start, Written};
use super::next::next;
use super::plan::Plan;
use crate::agents::steps::COMPOSER;
use crate::agents::{Carried, ModelBudget, Task};
use crate::domain::{EventKind, Failure, Question, Reason, Step, StepStatus, Workflow};
use crate::store::Error;

/// How often a step is started before its workflow is held to kill its worker.
pub(super) const MAX_DELIVERIES: usize = 5;

/// What every workflow of an engine is held to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) step_timeout: Duration,
    pub(super) model_budget: ModelBudget,
    pub(super) pace: Pace,
}

/// When a step begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// When its start, and with it all that it builds on, is durable: for steps that ask a model, so that no answer is
    /// paid for twice.
    Stored,
    /// At once, while what it builds on is being written: for steps that take less time than a write and give the same
    /// answer when they run again after a crash. Watchers see nothing that is not durable either way.
    Ahead,
}

/// Where a workflow comes from when it is taken up.
pub(super) enum Origin {
    /// This process has just stored it: steps that are begun in its log wait to be run.
    Fresh,
    /// Its log: these steps ran when their process ended; each as its start and how often it was started.
    Log(Vec<(EventKind, usize)>),
}

/// One running workflow.
pub(super) struct Dispatcher {
    plan: Arc<Plan>,
    limits: Limits,
    journal: Journal,
    question: Arc<Question>,
    facts: Arc<FactsCell>,
    /// What one step leaves for the next; dropped with this, and with it a call to a model that goes on.
    carried: Carried,
    steps: JoinSet<EventKind>,
    /// Whether the lease is sure enough to begin something on it.
    holds: Box<dyn Fn() -> bool + Send + Sync>,
    /// Steps that would have begun ahead of the store; they begin when their start is stored.
    deferred: Vec<Start>,
}

impl Dispatcher {
    pub(super) fn new(
        plan: Arc<Plan>,
        limits: Limits,
        journal: Journal,
        databases: Arc<dyn Databases>,
        holds: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let question = Arc::new(journal.workflow().started.question.clone());
        let facts = Arc::new(FactsCell::new(databases));
        let (carried, steps, holds, deferred) = (Carried::default(), JoinSet::new(), Box::new(holds), Vec::new());
        Self { plan, limits, journal, question, facts, carried, steps, holds, deferred }
    }

    /// Runs the workflow to its terminal event, or until a person is waited for, or until the shutdown: then its steps are
    /// dropped, nothing is written, and the next process goes on. `tail` tells that the log grew, `left` is what remains of
    /// the workflow's time. Returns the workflow as it stands then; `None` after a shutdown.
    pub(super) async fn run(
        mut self,
        origin: Origin,
        tail: watch::Receiver<u64>,
        left: Duration,
        shutdown: &CancellationToken,
    ) -> Result<Option<Arc<Workflow>>, Error> {
        let result = tokio::select! {
            biased;
            () = shutdown.cancelled() => Ok(false),
            result = self.drive(origin, tail, left) => result.map(|()| true),
        };
        self.steps.shutdown().await;
        Ok(result?.then(|| self.journal.workflow().clone()))
    }

    async fn drive(&mut self, origin: Origin, mut tail: watch::Receiver<u64>, left: Duration) -> Result<(), Error> {
        let deadline = tokio::time::sleep(left);
        tokio::pin!(deadline);
        let mut write: OptionFuture<BoxFuture<'static, Result<Written, Error>>> = None.into();
        if *tail.borrow_and_update() > self.journal.workflow().last_sequence {
            self.journal.catch_up().await?;
        }
        let first = self.first(origin, left);
        self.record(first);
        let mut writing = false;
        loop {
            if !writing && let Some(next) = self.journal.write() {
                (write, writing) = (Some(next.run().boxed()).into(), true);
            }
            let (last, status) = (self.journal.workflow().last_sequence, self.journal.workflow().status);
            let ended = status.is_terminal() || status.is_awaiting();
            if ended && !writing {
                return Ok(());
            }
            if !writing && *tail.borrow_and_update() > last {
                self.journal.catch_up().await?;
                self.record(Vec::new());
                continue;
            }
            tokio::select! {
                biased;
                Some(written) = &mut write, if writing => {
                    writing = false;
                    self.written(written?).await?;
                }
                Some(step) = self.steps.join_next(), if !ended => {
                    self.record(vec![step.unwrap_or_else(|error| lost(&error))]);
                }
                changed = tail.changed() => if changed.is_err() { tail = self.journal.follow().await? },
                () = &mut deadline, if !ended => self.record(vec![EventKind::Failed(timed_out(&self.question))]),
            }
        }
    }

    /// What happened before anything runs.
    fn first(&mut self, origin: Origin, left: Duration) -> Vec<EventKind> {
        let workflow = self.journal.workflow().clone();
        if workflow.cancel_requested.is_some() || workflow.status.is_terminal() {
            return Vec::new();
        }
        if left.is_zero() {
            return vec![EventKind::Failed(timed_out(&self.question))];
        }
        match origin {
            Origin::Log(interrupted) => again(interrupted),
            Origin::Fresh => {
                for Step { name, attempt, candidate, .. } in &workflow.steps {
                    self.start(&Start { step: name.clone(), attempt: *attempt, candidate: *candidate });
                }
                Vec::new()
            }
        }
    }

    /// Notes what happened with what follows from it.
    fn record(&mut self, happened: Vec<EventKind>) {
        let plan = &self.plan;
        let starts = self.journal.record(happened, |workflow| next(plan, workflow));
        match self.limits.pace {
            Pace::Ahead if (self.holds)() => self.start_all(starts),
            Pace::Ahead => self.deferred.extend(starts),
            Pace::Stored => {}
        }
    }

    async fn written(&mut self, written: Written) -> Result<(), Error> {
        let plan = &self.plan;
        let (starts, pace) = match written {
            Written::Stored(events) => (journal::starts(&events), Pace::Stored),
            Written::Overtaken(events) => {
                (self.journal.rebase(events, |workflow| next(plan, workflow)).await?, Pace::Ahead)
            }
        };
        // What is stored was written on a lease that holds.
        let mut ready = std::mem::take(&mut self.deferred);
        if self.limits.pace == pace {
            ready.extend(starts);
        }
        self.start_all(ready);
        Ok(())
    }

    fn start_all(&mut self, starts: Vec<Start>) {
        if !self.journal.workflow().status.is_terminal() {
            for start in starts {
                self.start(&start);
            }
        }
    }

    fn start(&mut self, start: &Start) {
        let &Start { ref step, attempt, candidate } = start;
        let workflow = self.journal.workflow().clone();
        let Some(agent) = self.plan.agent(step) else {
            // A log of another version may know steps that this plan does not have.
            self.steps.spawn(std::future::ready(unknown(step)));
            return;
        };
        let most = self.limits.step_timeout;
        let task = Task {
            question: self.question.clone(),
            facts: None,
            attempt,
            candidate,
            feedback: workflow.feedback.clone().filter(|_| step == COMPOSER),
            timeout: self.question.options.limits.step_timeout.map_or(most, |asked| asked.min(most)),
            budget: budget(self.limits.model_budget, &workflow, start),
            carried: self.carried.clone(),
            workflow,
        };
        let facts = FactsCell::concerns(&self.plan, step).then(|| self.facts.clone());
        let attempt = Attempt { agent, task, facts };
        self.steps.spawn(attempt.run());
    }
}

/// What a step may spend on a model: what is left, without the call that is kept for each candidate beside the first while it
/// is composed. Those share the tokens too, so that together they keep to the bound.
fn budget(whole: ModelBudget, workflow: &Workflow, start: &Start) -> ModelBudget {
    let (cost, time) = workflow.model_cost();
    let left = whole.after(&cost, time);
    let is_composed = |step: &&Step| step.name == COMPOSER && step.status == StepStatus::Running;
    let composed = || workflow.candidates().iter().filter(is_composed);
    let beside = u32::try_from(composed().filter(|step| step.candidate > 1).count()).unwrap_or(u32::MAX);
    let calls = match start.candidate {
        2.. if start.step == COMPOSER => left.calls.min(1),
        _ => left.calls.saturating_sub(beside),
    };
    ModelBudget { calls, tokens: left.tokens / (composed().count().max(1) as u64), ..left }
}

/// Interrupted steps are started again with the same attempt, unless they were too often.
fn again(interrupted: Vec<(EventKind, usize)>) -> Vec<EventKind> {
    if interrupted.iter().any(|(_, times)| *times >= MAX_DELIVERIES) {
        return vec![EventKind::Failed(worker_lost())];
    }
    interrupted.into_iter().map(|(start, _)| start).collect()
}

/// Why a workflow ends that its workers do not survive.
pub(super) fn worker_lost() -> Failure {
    let message = format!("its worker ended {MAX_DELIVERIES} times without getting any further");
    Failure::new(Reason::WorkerLost, message).with("deliveries", MAX_DELIVERIES)
}

fn lost(error: &tokio::task::JoinError) -> EventKind {
    tracing::error!(%error, "a step's task ended without an answer");
    EventKind::Failed(Failure::new(Reason::Internal, "a step broke off; this is a bug of the server"))
}

fn unknown(step: &str) -> EventKind {
    let message = format!("step `{step}` is not played by this version of the server");
    EventKind::Failed(Failure::new(Reason::Internal, message).with("step", step))
}

fn timed_out(question: &Question) -> Failure {
    let seconds = question.options.workflow_timeout.as_secs_f64();
    let message = format!("the workflow took longer than {seconds} s");
    Failure::new(Reason::WorkflowTimeout, message).with("seconds", seconds)
}
