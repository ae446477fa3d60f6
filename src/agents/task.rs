//! What an agent may know.

use std::sync::Arc;

use crate::domain::outputs::{ComposerOutput, Feedback, MapperOutput, PlannerOutput, StepOutput};
use crate::domain::{Facts, Question, Workflow};

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
    /// For a composer that tries again: what was wrong with its last statement.
    pub feedback: Option<Feedback>,
    /// Model calls that this workflow may still make.
    pub model_calls_left: u32,
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

    /// The composer's newest output, when it is done.
    #[must_use]
    pub fn composer(&self) -> Option<&ComposerOutput> {
        match self.workflow.output(super::steps::COMPOSER) {
            Some(StepOutput::Composer(output)) => Some(output),
            _ => None,
        }
    }
}
