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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outputs::{
        Check, CheckKind, ComposerOutput, MapperOutput, ModelCall, PlannerOutput, Usage, ValidatorOutput, Verdict,
    };
    use crate::domain::{
        ConnectionId, DatabaseKind, Event, EventKind, Failure, Principal, Question, Reason, RunLimits, RunOptions,
        WorkflowId, WorkflowStarted,
    };

    fn log(options: RunOptions, engine: EngineName, kinds: Vec<EventKind>) -> Workflow {
        let source = Source::Connection(ConnectionId::generate());
        let started = WorkflowStarted {
            question: Question { text: "how many?".into(), source, options },
            principal: Principal::local(),
            engine,
            model: String::new(),
            prompt_version: String::new(),
            connection: None,
            previous: Vec::new(),
        };
        let kinds = std::iter::once(EventKind::WorkflowStarted(Box::new(started))).chain(kinds);
        let time = jiff::Timestamp::UNIX_EPOCH;
        let events: Vec<Event> =
            (1..).zip(kinds).map(|(sequence, kind)| Event { sequence, time, epoch: 1, kind }).collect();
        Workflow::fold(WorkflowId::generate(), &events).unwrap()
    }

    fn started(step: &str, candidate: u32) -> EventKind {
        EventKind::StepStarted { step: step.into(), attempt: 1, candidate }
    }

    fn done(step: &str, candidate: u32, output: StepOutput, usage: Option<Usage>) -> EventKind {
        let (output, summary) = (Box::new(output), String::new());
        EventKind::StepCompleted { step: step.into(), attempt: 1, candidate, output, summary, usage }
    }

    fn composed(candidate: u32) -> EventKind {
        let output = ComposerOutput {
            sql: format!("SELECT {candidate}"),
            dialect: DatabaseKind::Sqlite,
            parameters: Vec::new(),
            explanation: String::new(),
            assumptions: Vec::new(),
            confidence: 0.5,
        };
        done("composer", candidate, StepOutput::Composer(output), None)
    }

    fn valid(candidate: u32) -> [EventKind; 2] {
        let verdict = ValidatorOutput { is_valid: true, ..ValidatorOutput::default() };
        [started(VALIDATOR, candidate), done(VALIDATOR, candidate, StepOutput::Validator(verdict), None)]
    }

    /// A verdict that says no after so many checks.
    fn invalid(candidate: u32, passed: usize) -> [EventKind; 2] {
        let check = Check { kind: CheckKind::Parse, verdict: Verdict::Passed, detail: String::new() };
        let verdict = ValidatorOutput { checks: vec![check; passed], ..ValidatorOutput::default() };
        let failed = EventKind::StepFailed {
            step: VALIDATOR.into(),
            attempt: 1,
            candidate,
            failure: Failure::new(Reason::SqlFailed, format!("of {candidate}")),
            output: Some(Box::new(StepOutput::Validator(verdict))),
            usage: None,
        };
        [started(VALIDATOR, candidate), failed]
    }

    fn three(more: impl IntoIterator<Item = EventKind>) -> Workflow {
        let begun = (1..=3).map(|candidate| started("composer", candidate));
        log(RunOptions::default(), EngineName::Openai, begun.chain(more).collect())
    }

    #[test]
    fn the_plan_goes_on_when_all_are_checked_and_one_has_passed() {
        assert_eq!(standing(&three([])), Standing::Check(vec![]));
        assert_eq!(standing(&three([composed(2)])), Standing::Check(vec![2]));
        let checked: Vec<EventKind> =
            [composed(1), composed(2)].into_iter().chain(valid(2)).chain(invalid(1, 4)).collect();
        assert_eq!(standing(&three(checked.clone())), Standing::Check(vec![]), "the third is not composed yet");
        let failed = EventKind::StepFailed {
            step: "composer".into(),
            attempt: 1,
            candidate: 3,
            failure: Failure::new(Reason::ModelRefused, "no"),
            output: None,
            usage: None,
        };
        let workflow = three(checked.into_iter().chain([failed]));
        assert_eq!(standing(&workflow), Standing::GoOn);
        assert_eq!((workflow.lead(), workflow.checked_sql()), (2, Some("SELECT 2")));
        assert_eq!(passed(&workflow).map(|step| step.candidate).collect::<Vec<_>>(), [2]);
        assert_eq!(workflow.current_steps(), Vec::<&str>::new());
    }

    #[test]
    fn the_one_that_came_furthest_says_why() {
        let composed = (1..=3).map(composed);
        let workflow = three(composed.chain(invalid(1, 1)).chain(invalid(3, 3)).chain(invalid(2, 3)));
        let Standing::FellShort(failed) = standing(&workflow) else { panic!("{:?}", standing(&workflow)) };
        assert_eq!((failed.candidate, failed.summary.as_str()), (2, "of 2"));
        assert_eq!(workflow.checked_sql(), Some("SELECT 2"));
    }

    #[test]
    fn candidates_are_left_behind_by_the_next_attempt() {
        let composed = (1..=3).map(composed);
        let mut workflow = three(composed.chain(invalid(1, 1)).chain(invalid(2, 3)).chain(invalid(3, 3)));
        let mended = EventKind::StepStarted { step: "composer".into(), attempt: 2, candidate: 0 };
        let sequence = workflow.last_sequence + 1;
        workflow.apply(&Event { sequence, time: jiff::Timestamp::UNIX_EPOCH, epoch: 1, kind: mended });
        assert_eq!((workflow.lead(), workflow.candidates().len(), workflow.checked_sql()), (0, 0, None));
        assert_eq!(workflow.latest(VALIDATOR).unwrap().attempt, 1);
        assert_eq!(standing(&workflow), Standing::GoOn);
    }

    /// How many are composed of so many asked for, when the server allows so many calls, one of which was made and may go on.
    fn count(asked: u32, allowed: u32, goes_on: bool, change: impl FnOnce(&mut RunOptions, &mut PlannerOutput)) -> u32 {
        let mut plan = PlannerOutput::default();
        let limits = RunLimits { model_calls: Some(allowed), ..RunLimits::default() };
        let mut options = RunOptions { candidates: asked, limits, ..RunOptions::default() };
        change(&mut options, &mut plan);
        let delivery = (!goes_on).then(|| crate::domain::outputs::Delivery {
            structure: String::new(),
            attempts: 1,
            latency: std::time::Duration::ZERO,
            time_to_first_token: None,
        });
        let call = ModelCall {
            id: "planner-1-1".into(),
            model: String::new(),
            prompt_version: String::new(),
            prompt_tokens: 0,
            cached_prompt_tokens: 0,
            completion_tokens: 0,
            delivery,
        };
        let usage = Usage { calls: 1, served_by: vec![call], ..Usage::default() };
        let kinds = vec![
            started(PLANNER, 0),
            done(PLANNER, 0, StepOutput::Planner(plan), None),
            started(MAPPER, 0),
            done(MAPPER, 0, StepOutput::Mapper(MapperOutput::default()), Some(usage)),
        ];
        how_many(&log(options, EngineName::Openai, kinds))
    }

    #[test]
    fn calls_bound_how_many_are_composed() {
        let plain = |asked, allowed, goes_on| count(asked, allowed, goes_on, |_, _| {});
        assert_eq!((plain(5, 5, true), plain(5, 5, false), plain(3, 5, true)), (5, 4, 3));
        assert_eq!((plain(5, 2, true), plain(5, 1, true), plain(5, 1, false)), (2, 1, 1));
        assert_eq!((plain(1, 5, true), plain(0, 5, true)), (1, 1));
    }

    #[test]
    fn a_hard_question_gets_three_where_their_rows_can_be_compared() {
        let hard = |change: fn(&mut RunOptions)| {
            count(0, 5, true, |options, plan| {
                plan.difficulty = Some(Difficulty::Hard);
                change(options);
            })
        };
        assert_eq!(hard(|_| {}), WHEN_HARD);
        assert_eq!(hard(|options| options.execute = false), 1);
        assert_eq!(hard(|options| options.require_approval = true), 1);
        assert_eq!(hard(|options| options.candidates = 2), 2);
        let builtin = log(RunOptions { candidates: 5, ..RunOptions::default() }, EngineName::Builtin, Vec::new());
        assert_eq!(how_many(&builtin), 1);
    }
}
