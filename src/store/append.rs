//! Events on their way into a log, as every store writes them.

use jiff::Timestamp;

use super::{Error, record};
use crate::domain::{Event, EventKind, Need, Source, TenantId, WorkflowId, WorkflowStatus};

/// Events turned into rows, with what they change beside the log, before the store's writer is asked.
pub(super) struct Append {
    pub(super) tenant: TenantId,
    pub(super) workflow: WorkflowId,
    pub(super) expected_last: u64,
    pub(super) rows: Vec<(u64, String)>,
    /// What a reader of the events must know at least.
    pub(super) min_reader: i64,
    /// What the events make of the status; `None` leaves it.
    pub(super) status: Option<WorkflowStatus>,
    /// Set when the log begins here: the connection and the user's label.
    pub(super) begins: Option<(Option<String>, String)>,
    /// Who is to do something about the workflow from now on.
    pub(super) turn: Turn,
    pub(super) first_time: Timestamp,
    pub(super) last_time: Timestamp,
}

impl Append {
    /// `None` when there is nothing to append.
    pub(super) fn new(
        tenant: &TenantId,
        workflow: WorkflowId,
        expected_last: u64,
        events: &[Event],
    ) -> Result<Option<Self>, Error> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(None) };
        let begins = match &first.kind {
            EventKind::WorkflowStarted(started) => {
                let connection = match &started.question.source {
                    Source::Connection(id) => Some(id.to_string()),
                    Source::InlineSchema(_) => None,
                };
                Some((connection, started.question.options.user_id.clone()))
            }
            _ => None,
        };
        let row = |event: &Event| Ok((event.sequence, record::event_text(event)?));
        Ok(Some(Self {
            tenant: tenant.clone(),
            workflow,
            expected_last,
            rows: events.iter().map(row).collect::<Result<_, Error>>()?,
            min_reader: events.iter().map(record::event_version).max().unwrap_or_default(),
            status: events.iter().rev().find_map(|event| status_set_by(&event.kind)),
            begins,
            turn: Turn::after(events),
            first_time: first.time,
            last_time: last.time,
        }))
    }

    pub(super) fn is_gapless(&self) -> bool {
        self.rows.iter().zip(1..).all(|((sequence, _), step)| *sequence == self.expected_last + step)
    }

    pub(super) fn last_sequence(&self) -> u64 {
        self.expected_last + self.rows.len() as u64
    }
}

/// Who is to do something about a workflow after an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Whoever was before.
    Same,
    /// A worker: who appends, or else the next that is free. The workflow begins, or a person has answered.
    Worker,
    /// A person, until an instant; from then on a worker, to end the wait.
    Person(Timestamp),
    /// Nobody: it has ended.
    Nobody,
}

impl Turn {
    pub(crate) fn after(events: &[Event]) -> Self {
        let turn = |event: &Event| match &event.kind {
            EventKind::WorkflowStarted(_) | EventKind::Resumed { .. } => Some(Self::Worker),
            EventKind::Awaiting { patience, .. } => {
                Some(Self::Person(event.time.checked_add(*patience).unwrap_or(Timestamp::MAX)))
            }
            kind => kind.is_terminal().then_some(Self::Nobody),
        };
        events.iter().rev().find_map(turn).unwrap_or(Self::Same)
    }
}

/// What an event makes of its workflow's status, as [`crate::domain::Workflow::apply`] says; a test compares the two.
fn status_set_by(kind: &EventKind) -> Option<WorkflowStatus> {
    match kind {
        EventKind::WorkflowStarted(_) => Some(WorkflowStatus::Pending),
        EventKind::StepStarted { .. } | EventKind::Resumed { .. } => Some(WorkflowStatus::Running),
        EventKind::Retrying { .. } => Some(WorkflowStatus::Retrying),
        EventKind::Awaiting { need: Need::Clarification(_), .. } => Some(WorkflowStatus::AwaitingInput),
        EventKind::Awaiting { need: Need::Approval(_), .. } => Some(WorkflowStatus::AwaitingApproval),
        EventKind::Completed => Some(WorkflowStatus::Completed),
        EventKind::Failed(_) => Some(WorkflowStatus::Failed),
        EventKind::Cancelled(_) => Some(WorkflowStatus::Cancelled),
        EventKind::StepCompleted { .. }
        | EventKind::StepFailed { .. }
        | EventKind::CancelRequested { .. }
        | EventKind::Result(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Workflow;
    use crate::store::contract::events;

    #[test]
    fn the_listed_status_is_the_folded_one() {
        let log = events::one_of_each_kind();
        for end in 1..=log.len() {
            let folded = Workflow::fold(WorkflowId::generate(), &log[..end]).unwrap().status;
            let listed = log[..end].iter().rev().find_map(|event| status_set_by(&event.kind));
            assert_eq!(listed, Some(folded), "after {:?}", log[end - 1].kind);
        }
    }
}
