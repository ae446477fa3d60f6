//! Several candidates beside each other: how many are composed, and what follows from how they fare. As pure as `next`,
//! which asks here.

use crate::agents::steps::{MAPPER, PLANNER, VALIDATOR};
use crate::domain::outputs::{Difficulty, StepOutput};
use crate::domain::{EngineName, Source, Step, StepStatus, Workflow};

/// Candidates of a question that the planner calls hard, where the caller leaves their number open.
const WHEN_HARD: u32 = 3;

/// How many statements the composer proposes at once, from 1: as many as asked for, but no more than model calls are left.
///
/// The built-in engine reads a question in one way. Where nothing is executed before a person or a caller has said so,
/// candidates cannot be compared by their rows, and nobody pays for more than were asked for.
pub(super) fn how_many(workflow: &Workflow) -> u32 {
    if workflow.started.engine == EngineName::Builtin {
        return 1;
    }
    let wanted = wanted(workflow);
    let spent = workflow.model_cost().0.calls;
    let allowed = workflow.started.question.options.limits.model_calls;
    let left = allowed.map_or(u32::MAX, |calls| calls.saturating_sub(spent));
    wanted.min(left.saturating_add(u32::from(is_answering(workflow)))).max(1)
}

/// How many statements are wanted, whatever they cost.
pub(super) fn wanted(workflow: &Workflow) -> u32 {
    let question = &workflow.started.question;
    let options = &question.options;
    let executes = options.execute && !options.require_approval && matches!(question.source, Source::Connection(_));
    let is_hard = || match workflow.output(PLANNER) {
        Some(StepOutput::Planner(plan)) => plan.difficulty == Some(Difficulty::Hard),
        _ => false,
    };
    match options.candidates {
        0 if executes && is_hard() => WHEN_HARD,
        0 => 1,
        asked => asked,
    }
}

/// Whether the call that served the mapper still goes on, so that the first candidate costs none of its own.
fn is_answering(workflow: &Workflow) -> bool {
    let usage = workflow.latest(MAPPER).and_then(|step| step.usage.as_ref());
    usage.and_then(|usage| usage.served_by.last()).is_some_and(|call| call.delivery.is_none())
}

/// What candidates want next.
#[derive(Debug, PartialEq)]
pub(super) enum Standing<'a> {
    /// There are none, or one at least has passed and all have been checked: the plan goes on.
    GoOn,
    /// These are composed and not checked yet; with none of them, something runs.
    Check(Vec<u32>),
    /// None has passed: the step that says why, of the one that came furthest.
    FellShort(&'a Step),
}

/// How the candidates of a workflow stand.
pub(super) fn standing(workflow: &Workflow) -> Standing<'_> {
    let candidates = workflow.candidates();
    let (mut unchecked, mut runs, mut passed) = (Vec::new(), false, candidates.is_empty());
    for composed in candidates {
        let verdict = verdict(workflow, composed.candidate).map(|step| step.status);
        match (composed.status, verdict) {
            (StepStatus::Running, _) | (_, Some(StepStatus::Running)) => runs = true,
            (StepStatus::Done, None) => unchecked.push(composed.candidate),
            (StepStatus::Done, Some(StepStatus::Done)) => passed = true,
            (StepStatus::Failed, _) | (StepStatus::Done, Some(StepStatus::Failed)) => {}
        }
    }
    if runs || !unchecked.is_empty() {
        return Standing::Check(unchecked);
    }
    let lead = workflow.lead();
    let failed = verdict(workflow, lead).or_else(|| candidates.iter().find(|step| step.candidate == lead));
    match failed {
        Some(failed) if !passed => Standing::FellShort(failed),
        _ => Standing::GoOn,
    }
}

/// The candidates that passed every check, each with its statement as it was composed and checked.
pub(super) fn passed(workflow: &Workflow) -> impl Iterator<Item = &Step> {
    let is_valid = |step: &&Step| verdict(workflow, step.candidate).is_some_and(|step| step.status == StepStatus::Done);
    workflow.candidates().iter().filter(is_valid)
}

/// The validator's step for a candidate.
pub(super) fn verdict(workflow: &Workflow, candidate: u32) -> Option<&Step> {
    workflow.steps.iter().rfind(|step| step.name == VALIDATOR && step.candidate == candidate)
}
