//! What follows from the events so far. A pure function of the plan and the fold: retry, repair and give-up are
//! visible here and nowhere else.

use std::collections::HashSet;

use super::answer;
use super::handle::cancelled;
use super::plan::Plan;
use crate::agents::steps::{COMPOSER, EXECUTION};
use crate::domain::outputs::{Feedback, StepOutput};
use crate::domain::{EventKind, Failure, Reason, Step, StepStatus, Workflow, WorkflowStatus};

/// Findings in a failure are cut here; the verdict in the step holds them all.
const MAX_FINDINGS_CHARS: usize = 1_000;

/// Events that continue the workflow: starts of steps, a retry, or its end. Empty while running steps must be awaited.
pub(super) fn next(plan: &Plan, workflow: &Workflow) -> Vec<EventKind> {
    if let Some(reason) = &workflow.cancel_requested
        && !workflow.status.is_terminal()
    {
        return vec![EventKind::Cancelled(cancelled(reason))];
    }
    match workflow.status {
        WorkflowStatus::Completed | WorkflowStatus::Failed | WorkflowStatus::Cancelled
        // A person continues these, not a step.
        | WorkflowStatus::AwaitingInput | WorkflowStatus::AwaitingApproval => return Vec::new(),
        WorkflowStatus::Retrying => return vec![start(workflow, COMPOSER)],
        WorkflowStatus::Pending | WorkflowStatus::Running => {}
    }
    let current: Vec<&Step> = plan.steps().filter_map(|name| current(plan, workflow, name)).collect();
    if let Some(failed) = current.iter().find(|step| step.status == StepStatus::Failed) {
        return repair(workflow, failed);
    }
    let with_status = |status| -> HashSet<&str> {
        current.iter().filter(|step| step.status == status).map(|step| step.name.as_str()).collect()
    };
    let (finished, running) = (with_status(StepStatus::Done), with_status(StepStatus::Running));
    let ready = plan.ready(&finished).into_iter().filter(|name| !running.contains(name));
    let starts: Vec<EventKind> = ready.map(|name| start(workflow, name)).collect();
    if starts.is_empty() && running.is_empty() { finish(workflow) } else { starts }
}

/// The newest attempt of a step, unless a step that it depends on has begun again since.
fn current<'a>(plan: &Plan, workflow: &'a Workflow, name: &str) -> Option<&'a Step> {
    let newest = workflow.steps.iter().rposition(|step| step.name == name)?;
    let stale = workflow.steps[newest + 1..].iter().any(|later| plan.depends_on(name, &later.name));
    (!stale).then(|| &workflow.steps[newest])
}

fn start(workflow: &Workflow, name: &str) -> EventKind {
    let attempt = workflow.latest(name).map_or(1, |step| step.attempt + 1);
    EventKind::StepStarted { step: name.to_owned(), attempt }
}

/// A statement that falls short goes back to the composer; anything else ends the workflow.
fn repair(workflow: &Workflow, failed: &Step) -> Vec<EventKind> {
    let Some(failure) = failed.failure.clone() else { return Vec::new() };
    match feedback(workflow, failed, &failure) {
        None => vec![EventKind::Failed(failure)],
        Some(feedback) if workflow.retries < workflow.started.question.options.max_retries => {
            vec![EventKind::Retrying { retry: workflow.retries + 1, feedback }, start(workflow, COMPOSER)]
        }
        Some(feedback) => vec![EventKind::Failed(exhausted(workflow, feedback))],
    }
}

/// What the composer can learn from this failure; `None` when it is not about the statement.
fn feedback(workflow: &Workflow, failed: &Step, failure: &Failure) -> Option<Feedback> {
    let sql = workflow.checked_sql()?.to_owned();
    match &failed.output {
        Some(StepOutput::Validator(verdict)) => {
            let told = !verdict.feedback.is_empty();
            let message = if told { verdict.feedback.clone() } else { verdict.errors.join(" ") };
            Some(Feedback { sql, message, sql_error: verdict.sql_error.clone() })
        }
        _ if failed.name == EXECUTION && failure.reason == Reason::SqlFailed => {
            Some(Feedback { sql, message: failure.message.clone(), sql_error: failure.sql.clone() })
        }
        _ => None,
    }
}

fn exhausted(workflow: &Workflow, last: Feedback) -> Failure {
    let attempts = workflow.retries + 1;
    let findings: String = last.message.chars().take(MAX_FINDINGS_CHARS).collect();
    let noun = if attempts == 1 { "attempt" } else { "attempts" };
    let message = format!("no statement passed the checks after {attempts} {noun}; the last findings: {findings}");
    let failure = Failure::new(Reason::RetriesExhausted, message).with("attempts", attempts).with("findings", findings);
    match last.sql_error {
        Some(error) => failure.with_sql(error),
        None => failure,
    }
}

fn finish(workflow: &Workflow) -> Vec<EventKind> {
    let result = answer::result(workflow).map(|result| EventKind::Result(Box::new(result)));
    result.into_iter().chain([EventKind::Completed]).collect()
}
