//! What a question that follows another one up needs to know of it.

use jiff::tz::TimeZone;

use crate::agents::steps::PLANNER;
use crate::domain::outputs::StepOutput;
use crate::domain::workflow::Clarified;
use crate::domain::{AskedBack, Turn, Workflow};

/// Longest conversation that is kept; the oldest questions are forgotten first.
const MAX_BYTES: usize = 64 << 10;

/// The conversation up to the end of this workflow, oldest question first; `None` when it made no statement.
pub(super) fn after(workflow: Workflow) -> Option<Vec<Turn>> {
    let last = turn(&workflow)?;
    let earlier = workflow.started.previous.into_iter().map(|turn| Turn { sql: String::new(), ..turn });
    let mut turns: Vec<Turn> = earlier.chain([last]).collect();
    while turns.len() > 1 && turns.iter().map(size).sum::<usize>() > MAX_BYTES {
        turns.remove(0);
    }
    Some(turns)
}

fn turn(workflow: &Workflow) -> Option<Turn> {
    let sql = workflow.sql()?.to_owned();
    let intent = workflow.steps.iter().rev().find_map(|step| match &step.output {
        Some(StepOutput::Planner(plan)) if step.name == PLANNER => Some(plan.intent.clone()),
        _ => None,
    });
    let asked_back = workflow.clarified.iter().map(|Clarified { clarification, answer, .. }| AskedBack {
        question: clarification.question.clone(),
        answer: answer.clone(),
    });
    Some(Turn {
        question: workflow.started.question.text.clone(),
        asked_back: asked_back.collect(),
        today: workflow.create_time.to_zoned_datetime(TimeZone::UTC).date(),
        engine: workflow.started.engine,
        intent: intent.unwrap_or_default(),
        sql,
    })
}

fn size(turn: &Turn) -> usize {
    let answers = turn.asked_back.iter().map(|back| back.question.len() + back.answer.len());
    turn.question.len() + turn.intent.len() + turn.sql.len() + answers.sum::<usize>()
}
