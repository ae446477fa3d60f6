//! What an agent is, and a team of them.

use std::sync::Arc;

use async_trait::async_trait;

use super::task::Task;
use crate::domain::outputs::{StepOutput, Usage};
use crate::domain::{EngineName, Failure};

/// One role of a workflow.
#[async_trait]
pub trait Agent: Send + Sync {
    /// The step's name, unique in a plan; see [`super::steps`].
    fn name(&self) -> &'static str;

    /// Steps that must be done before this one starts. The plan is built from this.
    fn requires(&self) -> &'static [&'static str];

    /// Does the work once. Dropping the future stops it: a model call is aborted, nothing is left running.
    async fn run(&self, task: &Task) -> Result<Outcome, AgentError>;
}

/// What an agent hands back when it succeeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Its typed output.
    pub output: StepOutput,
    /// One line for people: what it understood or did.
    pub summary: String,
    /// Tokens and calls, when a model was asked.
    pub usage: Option<Usage>,
}

/// Why an agent has nothing to hand back.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentError {
    /// The reason; `QUESTION_NOT_UNDERSTOOD` and `AMBIGUOUS` are abstentions.
    pub failure: Failure,
    /// What it produced all the same, such as the verdict of a validator that says no.
    pub output: Option<StepOutput>,
    /// Tokens and calls that were spent.
    pub usage: Option<Usage>,
}

impl From<Failure> for AgentError {
    fn from(failure: Failure) -> Self {
        Self { failure, output: None, usage: None }
    }
}

/// The agents that one engine plays: planner, mapper and composer, and any that it adds.
#[derive(Clone)]
pub struct Team {
    /// Which engine.
    pub engine: EngineName,
    /// The model, empty for builtin.
    pub model: String,
    /// Version of the prompts or of the built-in grammar.
    pub prompt_version: String,
    /// Its agents, in no particular order: the plan orders them.
    pub agents: Vec<Arc<dyn Agent>>,
    /// Gives an opinion on a statement that passed every check, as a validator's output with doubts; where one is asked for.
    pub reviewer: Option<Arc<dyn Agent>>,
}
