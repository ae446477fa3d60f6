//! An agent that a model plays: waits for its part of an answer, and has it corrected once where it does not hold.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::ask::{Asker, Known, Spent};
use super::call::{Call, Miss};
use super::failures;
use super::role::{Played, Role, Unusable};
use crate::agents::{Agent, AgentError, Outcome, Task};
use crate::domain::outputs::{PlannerOutput, StepOutput, Usage};
use crate::domain::{Failure, Reason};
use crate::llm::{ErrorKind, Structure};

/// Plays one role.
pub struct Player {
    pub role: Role,
    pub asker: Arc<Asker>,
}

#[async_trait]
impl Agent for Player {
    fn name(&self) -> &'static str {
        self.role.name()
    }

    fn requires(&self) -> &'static [&'static str] {
        self.role.requires()
    }

    /// Takes up the call that an earlier step began, or begins one. What comes after this role's part stays in the
    /// task for the next step. An answer that is cut, broken off, empty, not of the asked-for form, or wrong is said to
    /// the model, and the rest is asked for once more, if the workflow may still call it. A refusal is final.
    async fn run(&self, task: &Task) -> Result<Outcome, AgentError> {
        let missing = || Failure::new(Reason::Internal, "A step that a later one needs has no output.");
        let facts = task.facts.as_ref().ok_or_else(missing)?;
        let index = self.asker.indexes.of(facts).await;
        let known = Known { task, facts, index: &index };
        let mut spent = Spent { since: Instant::now(), usage: Usage::default() };
        let mut repaired = false;
        // The call that an earlier step began goes on for the first of several candidates.
        let carried = if task.candidate > 1 { None } else { task.carried.take::<Call>() };
        let carried = carried.filter(|call| call.serves(self.role));
        let mut call = match carried {
            Some(call) => call,
            None => self.asker.begin(&known, self.role, &spent, None)?,
        };
        loop {
            let miss = match self.play(&mut call, &known).await {
                Ok(played) => return self.end(played, call, task, spent.usage).await,
                Err(miss) => miss,
            };
            call.finish().await;
            spent.usage = spent.usage.and(call.cost(false));
            let repair = Some(&miss).filter(|miss| miss.finding.is_some() && !repaired);
            let next = repair.map(|miss| self.asker.begin(&known, self.role, &spent, Some(miss)));
            let Some(Ok(corrected)) = next else {
                // Why the answer is of no use says more than that there is no call left to repair it.
                let no_time = task.budget.after(&spent.usage, spent.since.elapsed()).time.is_zero();
                let failure = match miss.kind {
                    ErrorKind::Timeout(_) if no_time => failures::of_budget("PULSE_LLM_WORKFLOW_TIME"),
                    kind => failures::of_call(&kind),
                };
                let usage = Some(spent.usage).filter(|usage| usage.calls > 0 || !usage.served_by.is_empty());
                return Err(AgentError { failure, output: None, usage });
            };
            call = corrected;
            repaired = true;
        }
    }
}

impl Player {
    async fn play(&self, call: &mut Call, known: &Known<'_>) -> Result<Played, Miss> {
        let part = call.part(self.role).await?;
        match self.role.read(part, known) {
            Ok(played) => Ok(played),
            Err(Unusable { finding, is_form }) => {
                call.finish().await;
                Err(call.miss(self.role, finding, |structure| is_form && Structure::promises_form(structure)))
            }
        }
    }

    async fn end(&self, played: Played, mut call: Call, task: &Task, spent: Usage) -> Result<Outcome, AgentError> {
        match played {
            Played::Done(output, summary) => {
                let asks_back = matches!(&output, StepOutput::Planner(PlannerOutput { clarification: Some(_), .. }));
                if asks_back {
                    // The answer decides what follows.
                    call.finish().await;
                }
                let usage = Some(spent.and(call.cost(true)));
                if call.goes_on_after(self.role) && !asks_back {
                    task.carried.put(call);
                }
                Ok(Outcome { output, summary, usage })
            }
            Played::Abstained(failure, output) => {
                call.finish().await;
                Err(AgentError { failure, output, usage: Some(spent.and(call.cost(true))) })
            }
        }
    }
}
