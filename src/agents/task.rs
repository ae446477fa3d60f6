//! What an agent may know.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::outputs::{ComposerOutput, Feedback, MapperOutput, PlannerOutput, StepOutput, Usage};
use crate::domain::{Facts, Question, StepStatus, Workflow};

/// Everything one run of an agent is given.
#[derive(Debug, Clone)]
pub struct Task {
    /// The question and its options.
    pub question: Arc<Question>,
    /// The database's facts; there once `load_schema` is done.
    pub facts: Option<Arc<Facts>>,
    /// The workflow as it stands: outputs of the steps done so far.
    pub workflow: Arc<Workflow>,
    /// Which attempt of this step it is, from 1.
    pub attempt: u32,
    /// Which of several candidates it is about, from 1; 0 when there is one only.
    pub candidate: u32,
    /// For a composer that tries again: what was wrong with its last statement.
    pub feedback: Option<Feedback>,
    /// How long this run may take.
    pub timeout: Duration,
    /// What this workflow may still spend on a language model.
    pub budget: ModelBudget,
    /// What the step before left for this one.
    pub carried: Carried,
}

/// What may be spent on a language model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelBudget {
    /// Answered calls.
    pub calls: u32,
    /// Tokens, read and written.
    pub tokens: u64,
    /// Time in calls.
    pub time: Duration,
}

impl ModelBudget {
    /// Where no model is configured.
    pub const NONE: Self = Self { calls: 0, tokens: 0, time: Duration::ZERO };

    /// What is left after this was spent.
    #[must_use]
    pub fn after(self, spent: &Usage, time: Duration) -> Self {
        let tokens = spent.prompt_tokens.saturating_add(spent.completion_tokens);
        Self {
            calls: self.calls.saturating_sub(spent.calls),
            tokens: self.tokens.saturating_sub(tokens),
            time: self.time.saturating_sub(time),
        }
    }
}

/// What an engine keeps from one step of a workflow to the next, while one process works on it: an answer that is still
/// arriving. It is dropped with the work on the workflow and gone after a crash, so that nothing may depend on it: what
/// counts is in the log.
#[derive(Clone, Default)]
pub struct Carried(Arc<Mutex<Option<Box<dyn Any + Send>>>>);

impl Carried {
    /// Leaves something for the next step.
    pub fn put<T: Send + 'static>(&self, thing: T) {
        *self.lock() = Some(Box::new(thing));
    }

    /// Takes what the step before left, when it is of this type.
    #[must_use]
    pub fn take<T: 'static>(&self) -> Option<T> {
        let thing = self.lock().take()?;
        thing.downcast().ok().map(|thing| *thing)
    }

    /// A panic while the lock was held cannot leave it half changed.
    fn lock(&self) -> MutexGuard<'_, Option<Box<dyn Any + Send>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Carried {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Carried").field(&self.lock().is_some()).finish()
    }
}

impl Task {
    /// The planner's output, when it is done.
    #[must_use]
    pub fn planner(&self) -> Option<&PlannerOutput> {
        match self.workflow.output(super::steps::PLANNER) {
            Some(StepOutput::Planner(output)) => Some(output),
            _ => None,
        }
    }

    /// The mapper's output, when it is done.
    #[must_use]
    pub fn mapper(&self) -> Option<&MapperOutput> {
        match self.workflow.output(super::steps::MAPPER) {
            Some(StepOutput::Mapper(output)) => Some(output),
            _ => None,
        }
    }

    /// The composer's newest output, when it is done; of several candidates that of the one this is about.
    #[must_use]
    pub fn composer(&self) -> Option<&ComposerOutput> {
        let composed = self.workflow.of_candidate(super::steps::COMPOSER, self.candidate)?;
        match &composed.output {
            Some(StepOutput::Composer(output)) if composed.status == StepStatus::Done => Some(output),
            _ => None,
        }
    }
}
