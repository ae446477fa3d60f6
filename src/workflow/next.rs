//! What follows from the events so far. A pure function of the plan and the fold: retry, repair and give-up are
//! visible here and nowhere else.

use std::collections::HashSet;
use std::time::Duration;

use super::answer;
use super::candidates::{self, Standing};
use super::handle::cancelled;
use super::plan::Plan;
use super::steps::MAX_KEPT_ROWS;
use crate::agents::steps::{COMPOSER, EXECUTION, PLANNER, VALIDATOR};
use crate::domain::outputs::{Approval, Estimate, Feedback, RefusedEdit, StepOutput};
use crate::domain::workflow::Choice;
use crate::domain::{EngineName, EventKind, Failure, Need, Reason, Step, StepStatus, Workflow, WorkflowStatus};

/// How long a person is waited for, unless the log says otherwise.
const INPUT_TIMEOUT: Duration = Duration::from_hours(24);

/// Statements that persons may write for one workflow.
const MAX_EDITS: u32 = 20;

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
    if let Some(choice) = &workflow.choice {
        return carry_out(workflow, choice);
    }
    if let Some(clarified) = clarify(workflow) {
        return clarified;
    }
    match candidates::standing(workflow) {
        Standing::GoOn => {}
        Standing::Check(composed) => {
            return composed.into_iter().map(|candidate| check(workflow, candidate)).collect();
        }
        Standing::FellShort(failed) => return repair(workflow, failed),
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
    let ready: Vec<&str> = ready.collect();
    if ready.contains(&EXECUTION) && workflow.started.question.options.require_approval {
        return approval(workflow)
            .map(|approval| ask(workflow, Need::Approval(Box::new(approval))))
            .into_iter()
            .collect();
    }
    let starts: Vec<EventKind> = ready.into_iter().flat_map(|name| begin(workflow, name)).collect();
    if !starts.is_empty() || !running.is_empty() {
        return starts;
    }
    match look_again(workflow) {
        Some(feedback) => retry(workflow, feedback),
        None => finish(workflow),
    }
}

/// The newest attempt of a step, unless a step that it depends on has begun again since.
fn current<'a>(plan: &Plan, workflow: &'a Workflow, name: &str) -> Option<&'a Step> {
    let newest = workflow.latest(name)?;
    let place = workflow.steps.iter().rposition(|step| std::ptr::eq(step, newest))?;
    let stale = workflow.steps[place + 1..].iter().any(|later| plan.depends_on(name, &later.name));
    (!stale).then_some(newest)
}

fn start(workflow: &Workflow, name: &str) -> EventKind {
    let attempt = workflow.latest(name).map_or(1, |step| step.attempt + 1);
    EventKind::StepStarted { step: name.to_owned(), attempt, candidate: 0 }
}

/// The first attempt of a step as the plan has it: a composer proposes as many candidates as are wanted.
fn begin(workflow: &Workflow, name: &str) -> Vec<EventKind> {
    let candidates = if name == COMPOSER { candidates::how_many(workflow) } else { 1 };
    if candidates == 1 {
        return vec![start(workflow, name)];
    }
    let attempt = workflow.latest(name).map_or(1, |step| step.attempt + 1);
    (1..=candidates).map(|candidate| EventKind::StepStarted { step: name.to_owned(), attempt, candidate }).collect()
}

/// The validator of a candidate. All of one attempt of the composer have the same number.
fn check(workflow: &Workflow, candidate: u32) -> EventKind {
    let attempt = workflow.candidates().first().map_or(1, |composed| composed.attempt);
    EventKind::StepStarted { step: VALIDATOR.to_owned(), attempt, candidate }
}

/// What follows from a plan that asks back: the question goes to a person once nothing else runs; with their answer the
/// planner begins again.
fn clarify(workflow: &Workflow) -> Option<Vec<EventKind>> {
    let place = workflow.steps.iter().rposition(|step| step.name == PLANNER)?;
    let Step { status: StepStatus::Done, output: Some(StepOutput::Planner(plan)), .. } = &workflow.steps[place] else {
        return None;
    };
    let asked = plan.clarification.as_ref()?;
    let answered = workflow.clarified.last().is_some_and(|last| last.steps_before > place);
    Some(if answered {
        vec![start(workflow, PLANNER)]
    } else if workflow.steps.iter().any(|step| step.status == StepStatus::Running) {
        Vec::new()
    } else if workflow.may_ask_back() {
        vec![ask(workflow, Need::Clarification(asked.clone()))]
    } else {
        vec![EventKind::Failed(asked.failure())]
    })
}

/// A person is asked, and waited for as long as the workflow's options say.
fn ask(workflow: &Workflow, need: Need) -> EventKind {
    let patience = workflow.started.question.options.limits.input_timeout.unwrap_or(INPUT_TIMEOUT);
    EventKind::Awaiting { need, patience }
}

/// What is put to a person before it runs.
fn approval(workflow: &Workflow) -> Option<Approval> {
    let explanation = match workflow.output(COMPOSER) {
        Some(StepOutput::Composer(output)) => output.explanation.clone(),
        _ => String::new(),
    };
    let estimate = match workflow.output(VALIDATOR) {
        Some(StepOutput::Validator(verdict)) => verdict.estimate.clone(),
        _ => Estimate::default(),
    };
    let (sql, parameters) = (workflow.checked_sql()?.to_owned(), workflow.checked_parameters().to_vec());
    Some(Approval { sql, parameters, explanation, estimate, refused: None })
}

/// What follows from a person's choice: what they wrote themselves is checked first; then it runs.
fn carry_out(workflow: &Workflow, choice: &Choice) -> Vec<EventKind> {
    let Some(last) = workflow.steps[choice.steps_before..].last() else {
        return vec![start(workflow, if choice.edited { VALIDATOR } else { EXECUTION })];
    };
    match last.status {
        StepStatus::Running => Vec::new(),
        StepStatus::Done if last.name == VALIDATOR => vec![start(workflow, EXECUTION)],
        StepStatus::Done => finish(workflow),
        StepStatus::Failed if choice.edited => refused(workflow, choice, last),
        StepStatus::Failed => repair(workflow, last),
    }
}

/// A statement of a person that cannot run: they are told why, and asked again. No model mends what a person wrote.
fn refused(workflow: &Workflow, choice: &Choice, failed: &Step) -> Vec<EventKind> {
    let Some(failure) = failed.failure.clone() else { return Vec::new() };
    match &workflow.offered {
        Some(offered) if is_of_statement(failed, &failure) && workflow.edits < MAX_EDITS => {
            let refused = Some(RefusedEdit { sql: choice.sql.clone(), failure });
            vec![ask(workflow, Need::Approval(Box::new(Approval { refused, ..offered.clone() })))]
        }
        _ => vec![EventKind::Failed(failure)],
    }
}

/// Whether another statement could do better.
fn is_of_statement(failed: &Step, failure: &Failure) -> bool {
    let verdict = matches!(failed.output, Some(StepOutput::Validator(_)));
    verdict
        || matches!(
            failure.reason,
            Reason::SqlNotUnderstood
                | Reason::SqlNotAllowed
                | Reason::SqlFailed
                | Reason::StatementTimeout
                | Reason::StatementTooExpensive
                | Reason::ResultTooLarge
                | Reason::TargetPrivilegeMissing
        )
}

/// A statement that falls short goes back to the composer as long as it may try again; anything else ends the workflow. Where the composer was only asked
/// to look again at a result, that result stands.
fn repair(workflow: &Workflow, failed: &Step) -> Vec<EventKind> {
    let Some(failure) = failed.failure.clone() else { return Vec::new() };
    if answer::result(workflow).is_some() {
        return finish(workflow);
    }
    match feedback(workflow, failed, &failure) {
        None => vec![EventKind::Failed(failure)],
        Some(feedback) if workflow.retries >= workflow.started.question.options.max_retries => {
            vec![EventKind::Failed(exhausted(workflow, feedback))]
        }
        // A composer that cannot ask would only say so, and nobody would learn what was wrong with the statement.
        Some(feedback) if !may_ask(workflow) => vec![EventKind::Failed(unaffordable(feedback))],
        Some(feedback) => retry(workflow, feedback),
    }
}

/// Whether a composer may still ask a model, where it has to.
fn may_ask(workflow: &Workflow) -> bool {
    let allowed = workflow.started.question.options.limits.model_calls;
    workflow.started.engine != EngineName::Openai || allowed.is_none_or(|calls| calls > workflow.model_cost().0.calls)
}

fn retry(workflow: &Workflow, feedback: Feedback) -> Vec<EventKind> {
    vec![EventKind::Retrying { retry: workflow.retries + 1, feedback }, start(workflow, COMPOSER)]
}

/// What is odd about a result, so that a model looks at its statement once more: no row where the question has a condition,
/// or far more rows than it asks for. Only once, and not where others came to the same rows: who proposes the same again
/// means it.
fn look_again(workflow: &Workflow) -> Option<Feedback> {
    let options = &workflow.started.question.options;
    let may = workflow.started.engine == EngineName::Openai && workflow.retries < options.max_retries.min(1);
    let agreed = workflow.agreement().is_some_and(|agreement| agreement.votes() > 1);
    let (Some(StepOutput::Execution(executed)), Some(StepOutput::Planner(plan))) =
        (workflow.output(EXECUTION), workflow.output(PLANNER))
    else {
        return None;
    };
    let finding = match (executed.row_count, plan.limit) {
        (0, _) if !plan.filters.is_empty() => {
            "it returned no row: a condition may compare with what is not in the data, or a join may find no partner"
                .to_owned()
        }
        (rows, Some(limit)) if limit <= MAX_KEPT_ROWS.into() && rows > MAX_KEPT_ROWS.into() => {
            format!("it returned {rows} rows, and the plan asks for {limit}")
        }
        _ => return None,
    };
    let message = format!("{finding}. If the statement says what is meant all the same, give it again.");
    (may && may_ask(workflow) && !agreed).then(|| Feedback {
        sql: executed.result.sql.clone(),
        message,
        sql_error: None,
    })
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
        _ if failed.name == EXECUTION && is_finding(workflow, failure) => {
            Some(Feedback { sql, message: failure.message.clone(), sql_error: failure.sql.clone() })
        }
        _ => None,
    }
}

/// Whether the composer can mend what the database says to a statement that runs. That it took too long, or returned too much,
/// a model can; the built-in engine's next reading would not be cheaper.
fn is_finding(workflow: &Workflow, failure: &Failure) -> bool {
    match failure.reason {
        Reason::SqlFailed => true,
        Reason::StatementTimeout | Reason::StatementTooExpensive | Reason::ResultTooLarge => {
            workflow.started.engine == EngineName::Openai
        }
        _ => false,
    }
}

fn exhausted(workflow: &Workflow, last: Feedback) -> Failure {
    let attempts = workflow.retries + 1;
    let noun = if attempts == 1 { "attempt" } else { "attempts" };
    let why = format!("no statement passed the checks after {attempts} {noun}");
    with_findings(Reason::RetriesExhausted, &why, last).with("attempts", attempts)
}

/// A statement fell short, and there is no call left to have it mended.
fn unaffordable(last: Feedback) -> Failure {
    const SETTING: &str = "PULSE_LLM_MAX_CALLS";
    let why = format!(
        "no statement passed the checks, and the language model has been called as often as one question may; raise \
         {SETTING} to allow more"
    );
    with_findings(Reason::ModelBudgetExhausted, &why, last).with("setting", SETTING)
}

/// A failure that says what was wrong with the last statement.
fn with_findings(reason: Reason, why: &str, last: Feedback) -> Failure {
    let findings: String = last.message.chars().take(MAX_FINDINGS_CHARS).collect();
    let message = format!("{why}; the last findings: {findings}");
    let failure = Failure::new(reason, message).with("findings", findings).with("sql", last.sql);
    match last.sql_error {
        Some(error) => failure.with_sql(error),
        None => failure,
    }
}

fn finish(workflow: &Workflow) -> Vec<EventKind> {
    let result = answer::result(workflow).map(|result| EventKind::Result(Box::new(result)));
    result.into_iter().chain([EventKind::Completed]).collect()
}
