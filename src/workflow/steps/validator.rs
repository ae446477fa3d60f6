//! `validator`: measures the proposed statement and judges it. A verdict that says no is a failed step whose output
//! the composer learns from.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;

use super::{counted, facts, missing};
use crate::agents::steps::{COMPOSER, LOAD_SCHEMA, VALIDATOR};
use crate::agents::validator::insist;
use crate::agents::{Agent, AgentError, Outcome, Task};
use crate::domain::outputs::{CheckKind, ComposerOutput, StepOutput, Usage, ValidatorOutput, Verdict};
use crate::domain::workflow::Choice;
use crate::domain::{EngineName, Failure, Reason};
use crate::workflow::Databases;

pub(in crate::workflow) struct Validator {
    pub(in crate::workflow) databases: Arc<dyn Databases>,
    pub(in crate::workflow) reviewer: Option<Arc<dyn Agent>>,
}

#[async_trait]
impl Agent for Validator {
    fn name(&self) -> &'static str {
        VALIDATOR
    }

    fn requires(&self) -> &'static [&'static str] {
        &[LOAD_SCHEMA, COMPOSER]
    }

    async fn run(&self, task: &Task) -> Result<Outcome, AgentError> {
        let facts = facts(task)?;
        let proposal = proposal(task).ok_or_else(|| missing("a proposed statement"))?;
        let who = &task.workflow.started.principal;
        let verdict = self.databases.judge(who, &task.question.source, facts, &proposal, task.planner()).await?;
        let composed = matches!(proposal, Cow::Borrowed(_));
        let (verdict, usage) =
            if composed && learns(task) { self.insist(verdict, task).await } else { (verdict, None) };
        if !verdict.is_valid {
            let failure = refusal(&verdict);
            return Err(AgentError { failure, output: Some(StepOutput::Validator(verdict)), usage });
        }
        let summary = summary(&verdict);
        Ok(Outcome { output: StepOutput::Validator(verdict), summary, usage })
    }
}

impl Validator {
    /// Makes findings of doubts; where there are none, of what the model says against the statement, if it is asked.
    async fn insist(&self, verdict: ValidatorOutput, task: &Task) -> (ValidatorOutput, Option<Usage>) {
        let mut verdict = insist(verdict);
        // Candidates judge each other by their rows.
        let reviewer = self.reviewer.as_ref().filter(|_| verdict.is_valid && task.candidate == 0);
        let Some(reviewer) = reviewer else { return (verdict, None) };
        let (said, usage) = match reviewer.run(task).await {
            Ok(Outcome { output: StepOutput::Validator(opinion), usage, .. }) => (Ok(opinion.doubts), usage),
            Ok(Outcome { usage, .. }) => (Ok(Vec::new()), usage),
            Err(AgentError { failure, usage, .. }) => (Err(failure.message), usage),
        };
        let detail = match &said {
            Ok(doubts) if doubts.is_empty() => "the model finds it right".to_owned(),
            Ok(doubts) => format!("the model objects: {}", doubts.join("; ")),
            // An opinion is never worth a failed workflow.
            Err(why) => format!("the model has no opinion: {why}"),
        };
        for check in verdict.checks.iter_mut().filter(|check| check.kind == CheckKind::Semantics) {
            check.detail = format!("{}; {detail}", check.detail);
        }
        verdict.doubts = said.unwrap_or_default();
        (insist(verdict), usage)
    }
}

/// What the composer proposed, or what a person wrote instead.
fn proposal(task: &Task) -> Option<Cow<'_, ComposerOutput>> {
    let composed = task.composer()?;
    match &task.workflow.choice {
        Some(Choice { sql, parameters, edited: true, .. }) => {
            let (sql, parameters) = (sql.clone(), parameters.clone());
            Some(Cow::Owned(ComposerOutput { sql, parameters, ..composed.clone() }))
        }
        _ => Some(Cow::Borrowed(composed)),
    }
}

/// Whether the composer can make something of a doubt: a model can, once, and if it may still be asked.
fn learns(task: &Task) -> bool {
    let options = &task.question.options;
    task.workflow.started.engine == EngineName::Openai
        && task.workflow.retries == 0
        && options.max_retries > 0
        && task.budget.calls > 0
        && task.budget.tokens > 0
}

fn summary(verdict: &ValidatorOutput) -> String {
    let count = |wanted| verdict.checks.iter().filter(|check| check.verdict == wanted).count() as u64;
    let warnings = match count(Verdict::Warning) {
        0 => String::new(),
        some => format!(", {}", counted(some, "warning")),
    };
    let refined = if verdict.refined_sql.is_some() { "; the statement was corrected" } else { "" };
    format!("Passed {}{warnings}{refined}.", counted(count(Verdict::Passed), "check"))
}

/// The reason is that of the first check that failed.
fn refusal(verdict: &ValidatorOutput) -> Failure {
    let failed = verdict.checks.iter().find(|check| check.verdict == Verdict::Failed);
    let reason = match failed.map(|check| check.kind) {
        Some(CheckKind::Parse) => Reason::SqlNotUnderstood,
        Some(CheckKind::ReadOnly) => Reason::SqlNotAllowed,
        Some(CheckKind::Schema | CheckKind::Planner | CheckKind::Semantics) | None => Reason::SqlFailed,
    };
    let message = match (verdict.errors.first(), failed) {
        (Some(error), _) => error.clone(),
        (None, Some(check)) => check.detail.clone(),
        (None, None) => "the statement did not pass the checks".to_owned(),
    };
    let failure = Failure::new(reason, message);
    match &verdict.sql_error {
        Some(error) => failure.with_sql(error.clone()),
        None => failure,
    }
}
