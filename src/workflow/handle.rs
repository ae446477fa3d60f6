//! What the rest of the program sees of workflows. Every call acts for `who`: a workflow of another tenant does not
//! exist.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::sync::mpsc::error::TrySendError;
use uuid::Uuid;

use super::engine::{Job, Shared};
use super::next::next;
use super::plan::Plan;
use super::{Cursor, admission, conversation, journal, watch};
use crate::domain::{
    Connection, ConnectionId, Event, EventKind, Failure, Need, Page, PageRequest, PinnedConnection, Principal,
    Question, Rating, Reason, RequestKey, ResumeInput, RunOptions, Source, Turn, Verdict, Workflow, WorkflowId,
    WorkflowStarted, WorkflowStatus,
};
use crate::queries::Statement;
use crate::store::{Claim, Error, Lease, ListFilter, StoredWorkflow};

/// How a workflow is started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StartOptions {
    /// Makes a repeat return the first workflow (AIP-155).
    pub request: Option<RequestKey>,
    /// Checks everything and stores nothing (AIP-163).
    pub validate_only: bool,
}

/// How a waiting workflow is answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResumeOptions {
    /// Makes a repeat return what the first call did (AIP-155).
    pub request: Option<RequestKey>,
    /// The answer counts only while this is the workflow's last sequence.
    pub expected_sequence: Option<u64>,
}

/// Starts, reads, follows, cancels and removes workflows. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// The names under which request ids are claimed.
    const START: &str = "workflow.start";
    const RESUME: &str = "workflow.resume";
    /// Tries of an append that others keep overtaking.
    const MAX_TRIES: usize = 32;

    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Stores a workflow and hands it to the engine; returns at once. AUTO is resolved here, once. Refuses a question
    /// that cannot be asked, an unknown connection, an engine without a model, and
    /// anything beyond the engine's queue with `OVERLOADED`.
    pub async fn start(&self, who: &Principal, question: Question, options: StartOptions) -> Result<Workflow, Failure> {
        let shared = &self.shared;
        admission::check(&question, &shared.options)?;
        let crew = shared.crews.resolve(question.options.engine)?;
        let mut id = WorkflowId::generate();
        if let Some(key) = options.request.filter(|_| !options.validate_only) {
            let fresh = id.uuid();
            let claim = shared.store.claim_request(&who.tenant, Self::START, &key.id, &key.body_hash, fresh).await;
            match claim.map_err(|error| journal::failure(&error))? {
                Claim::New => {}
                Claim::Reused => return Err(reused(&key.id)),
                Claim::Repeat(first) => {
                    id = WorkflowId::from_uuid(first);
                    if let Some(workflow) = self.find(who, id).await? {
                        return Ok(workflow);
                    }
                }
            }
        }
        let connection = match question.source {
            Source::Connection(id) => {
                let Connection { name, etag, .. } = shared.databases.connection(who, id).await?;
                Some(PinnedConnection { id, name, etag })
            }
            Source::InlineSchema(_) => None,
        };
        let previous = self.conversation(who, &question).await?;
        let limits = shared.options.lowered(question.options.limits);
        let question = Question { options: RunOptions { limits, ..question.options }, ..question };
        let started = WorkflowStarted {
            question,
            principal: who.clone(),
            engine: crew.engine,
            model: crew.model.clone(),
            prompt_version: crew.prompt_version.clone(),
            connection,
            previous,
        };
        let kind = EventKind::WorkflowStarted(Box::new(started));
        let first = Event { sequence: 1, time: shared.clock.now(), epoch: shared.store.epoch(), kind };
        let workflow = Workflow::fold(id, std::slice::from_ref(&first));
        let workflow = workflow.ok_or_else(|| internal("a log begins with its start"))?;
        if options.validate_only {
            return Ok(workflow);
        }
        let plan = crew.plan(&workflow.started.question);
        self.store_new(who, &plan, workflow, first).await
    }

    /// What went before a question that follows another one up.
    async fn conversation(&self, who: &Principal, question: &Question) -> Result<Vec<Turn>, Failure> {
        let Some(id) = question.options.previous_workflow_id else { return Ok(Vec::new()) };
        let before = self.get(who, id).await?;
        if before.started.question.source != question.source {
            let asked_elsewhere =
                "is of another connection or schema; ask a follow-up where the first question was asked";
            return Err(Failure::field("previous_workflow_id", asked_elsewhere));
        }
        conversation::after(before).ok_or_else(|| {
            Failure::field("previous_workflow_id", "has no SQL that could be built on; ask the whole question")
        })
    }

    /// The workflow as its events tell it, or `WORKFLOW_NOT_FOUND`.
    pub async fn get(&self, who: &Principal, id: WorkflowId) -> Result<Workflow, Failure> {
        self.find(who, id).await?.ok_or_else(|| not_found(id))
    }

    /// What a completed workflow ran, or would have run, and where; `WORKFLOW_NOT_FINISHED` before its end, and
    /// `WORKFLOW_WITHOUT_SQL` when there is no checked statement on a connection.
    pub async fn statement(&self, who: &Principal, id: WorkflowId) -> Result<(ConnectionId, Statement), Failure> {
        let workflow = self.get(who, id).await?;
        if !workflow.status.is_terminal() {
            return Err(not_finished(id, workflow.status, "wait for its end"));
        }
        match (&workflow.started.question.source, workflow.checked_sql()) {
            (Source::Connection(connection), Some(sql)) if workflow.status == WorkflowStatus::Completed => {
                let parameters = workflow.checked_parameters().to_vec();
                Ok((*connection, Statement { sql: sql.to_owned(), parameters }))
            }
            (source, _) => {
                let why = match source {
                    Source::InlineSchema(_) => "it was asked of an inline schema, which has no rows",
                    Source::Connection(_) => "it did not complete",
                };
                let message = format!("workflow {id} has no SQL that could be run again: {why}");
                Err(Failure::new(Reason::WorkflowWithoutSql, message).with("workflow_id", id))
            }
        }
    }

    /// Workflows of the caller's tenant, newest first.
    pub async fn list(
        &self,
        who: &Principal,
        filter: ListFilter,
        page: PageRequest<WorkflowId>,
    ) -> Result<Page<Workflow, WorkflowId>, Failure> {
        self.told(who, self.shared.store.list_workflows(&who.tenant, &filter, page).await).await
    }

    /// Those of them whose question contains a text, whatever the case. A call looks at so many workflows at most: its
    /// page may be short, or empty, and still have a next.
    pub async fn search(
        &self,
        who: &Principal,
        filter: ListFilter,
        text: &str,
        page: PageRequest<WorkflowId>,
    ) -> Result<Page<Workflow, WorkflowId>, Failure> {
        self.told(who, self.shared.store.search_workflows(&who.tenant, &filter, text, page).await).await
    }

    async fn told(
        &self,
        who: &Principal,
        stored: Result<Page<StoredWorkflow, WorkflowId>, Error>,
    ) -> Result<Page<Workflow, WorkflowId>, Failure> {
        let Page { items: stored, next } = stored.map_err(|error| journal::failure(&error))?;
        let mut items = Vec::with_capacity(stored.len());
        for one in stored {
            items.extend(self.find(who, one.id).await?);
        }
        Ok(Page { items, next })
    }

    /// Replays the events after `after_sequence`, then follows; ends after the terminal event. Every event comes once
    /// and in order, none before it is stored. Ends in `WORKFLOW_NOT_FOUND`, or in `LOG_REWOUND` (with `last_sequence`)
    /// when the log does not hold what the caller has seen. Memory is bounded by a page; dropping the stream frees all.
    pub fn watch(
        &self,
        who: &Principal,
        id: WorkflowId,
        after_sequence: u64,
        after_cursor: Option<Cursor>,
    ) -> impl Stream<Item = Result<Arc<Event>, Failure>> + Send + 'static + use<> {
        watch::watch(self.shared.pages.clone(), who.tenant.clone(), id, after_sequence, after_cursor)
    }

    /// Changes whenever the store may have lost what it acknowledged: a log that is read later may go on otherwise.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shared.store.epoch()
    }

    /// Asks to cancel; the running steps stop and `cancelled` is written soon after. Repeating it changes nothing;
    /// `WORKFLOW_FINISHED` when it has ended otherwise.
    pub async fn cancel(&self, who: &Principal, id: WorkflowId, reason: String) -> Result<Workflow, Failure> {
        // Where no worker is, its end is written here. One that comes meanwhile is overtaken, or finds the request.
        let held = self.shared.store.is_held(&who.tenant, id).await.map_err(|error| journal::failure(&error))?;
        self.append(who, id, |workflow| {
            if workflow.status == WorkflowStatus::Cancelled {
                return Ok(Vec::new());
            }
            if workflow.status.is_terminal() {
                let message = format!("workflow {id} has ended; it can no longer be cancelled");
                return Err(Failure::new(Reason::WorkflowFinished, message).with("workflow_id", id));
            }
            let mut kinds = Vec::new();
            if workflow.cancel_requested.is_none() {
                kinds.push(EventKind::CancelRequested { by: who.clone(), reason: reason.clone() });
            }
            if !held {
                let reason = workflow.cancel_requested.as_deref().unwrap_or(&reason);
                kinds.push(EventKind::Cancelled(cancelled(reason)));
            }
            Ok(kinds)
        })
        .await
    }

    /// Gives a waiting workflow what it waits for; a worker goes on with it soon after, or it ends by rejection. Of two
    /// answers at once the first counts. `WORKFLOW_NOT_AWAITING` when it waits for nothing, or for something else;
    /// `SEQUENCE_MISMATCH` when it is not where the caller saw it.
    pub async fn resume(
        &self,
        who: &Principal,
        id: WorkflowId,
        input: ResumeInput,
        options: ResumeOptions,
    ) -> Result<Workflow, Failure> {
        let ResumeOptions { request, expected_sequence } = options;
        let call = self.claim_resume(who, request).await?;
        self.append(who, id, |workflow| {
            if call.is_some_and(|call| workflow.resumed_by.contains(&call)) {
                return Ok(Vec::new());
            }
            if let Some(expected) = expected_sequence.filter(|expected| *expected != workflow.last_sequence) {
                return Err(moved_on(workflow, expected));
            }
            let rejected = match (workflow.awaiting.as_ref().map(|awaiting| &awaiting.need), &input) {
                (Some(Need::Clarification(_)), ResumeInput::Answer(_))
                | (Some(Need::Approval(_)), ResumeInput::Approve | ResumeInput::EditedSql(_)) => None,
                (Some(Need::Approval(_)), ResumeInput::Reject(reason)) => Some(reason),
                _ => return Err(not_awaiting(workflow, &input)),
            };
            let resumed = EventKind::Resumed { by: who.clone(), input: input.clone(), call };
            let end = rejected.map(|reason| EventKind::Cancelled(self::rejected(reason)));
            Ok(std::iter::once(resumed).chain(end).collect())
        })
        .await
    }

    /// The name of an answer that may be repeated: the same for every repeat.
    async fn claim_resume(&self, who: &Principal, request: Option<RequestKey>) -> Result<Option<Uuid>, Failure> {
        let Some(key) = request else { return Ok(None) };
        let fresh = Uuid::now_v7();
        let claim = self.shared.store.claim_request(&who.tenant, Self::RESUME, &key.id, &key.body_hash, fresh).await;
        match claim.map_err(|error| journal::failure(&error))? {
            Claim::New => Ok(Some(fresh)),
            Claim::Repeat(first) => Ok(Some(first)),
            Claim::Reused => Err(reused(&key.id)),
        }
    }

    /// Keeps what a person thinks of a workflow that has ended, in place of what was said before;
    /// `WORKFLOW_NOT_FINISHED` before its end. Its log stays as it is.
    pub async fn rate(
        &self,
        who: &Principal,
        id: WorkflowId,
        verdict: Verdict,
        comment: String,
    ) -> Result<Workflow, Failure> {
        let workflow = self.get(who, id).await?;
        if !workflow.status.is_terminal() {
            return Err(not_finished(id, workflow.status, "rate it once it has ended"));
        }
        let rating = Rating { verdict, comment, update_time: self.shared.clock.now() };
        let kept = self.shared.store.put_rating(&who.tenant, id, &rating).await;
        if !kept.map_err(|error| journal::failure(&error))? {
            return Err(not_found(id));
        }
        Ok(Workflow { rating: Some(rating), ..workflow })
    }

    /// Removes a workflow that has ended, with its log; `WORKFLOW_NOT_FINISHED` before that.
    pub async fn delete(&self, who: &Principal, id: WorkflowId) -> Result<(), Failure> {
        let status = self.get(who, id).await?.status;
        if !status.is_terminal() {
            return Err(not_finished(id, status, "cancel it first"));
        }
        let deleted = self.shared.store.delete_workflow(&who.tenant, id).await;
        if deleted.map_err(|error| journal::failure(&error))? { Ok(()) } else { Err(not_found(id)) }
    }

    /// Cancels every unfinished workflow of a connection that is being deleted, with `CONNECTION_DELETED`. Their
    /// terminal event is written here: a worker that is overtaken by it stops.
    pub async fn cancel_for_connection(&self, who: &Principal, connection: ConnectionId) -> Result<(), Failure> {
        use WorkflowStatus::{AwaitingApproval, AwaitingInput, Pending, Retrying, Running};
        let statuses = vec![Pending, Running, Retrying, AwaitingInput, AwaitingApproval];
        let filter = ListFilter { statuses, connection: Some(connection), user_id: None };
        let mut after = None;
        loop {
            let page = PageRequest { after, limit: journal::PAGE };
            let stored = self.shared.store.list_workflows(&who.tenant, &filter, page).await;
            let Page { items, next } = stored.map_err(|error| journal::failure(&error))?;
            for one in items {
                self.append(who, one.id, |workflow| {
                    if workflow.status.is_terminal() {
                        return Ok(Vec::new());
                    }
                    let failure = Failure::new(Reason::ConnectionDeleted, "its connection was deleted");
                    Ok(vec![EventKind::Cancelled(failure.with("connection_id", connection))])
                })
                .await?;
            }
            match next {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    /// Stores the first event. Where this process has room, it takes the workflow with the same write, which then holds
    /// the starts of the first steps as well; else it waits in the store for whoever has. A caller that leaves meanwhile
    /// does not part the two, and what a store that answers badly may have stored all the same, a worker finds.
    async fn store_new(
        &self,
        who: &Principal,
        plan: &Plan,
        mut workflow: Workflow,
        first: Event,
    ) -> Result<Workflow, Failure> {
        let (shared, tenant, id) = (self.shared.clone(), who.tenant.clone(), workflow.id);
        let (time, epoch) = (first.time, first.epoch);
        let mut events = vec![first];
        let place = match (shared.slots.clone().try_acquire_owned(), shared.hand_over.clone().try_reserve_owned()) {
            (_, Err(TrySendError::Closed(_))) => return Err(draining()),
            (Ok(slot), Ok(place)) => Some((slot, place, Lease::new(id))),
            _ => None,
        };
        if place.is_some() {
            let starts = next(plan, &workflow);
            events.extend(journal::apply(&mut workflow, starts, time, epoch));
        } else if !shared.may_wait().await.map_err(|error| journal::failure(&error))? {
            return Err(overloaded());
        }
        let stored = tokio::spawn(async move {
            let lease = place.as_ref().map(|(_, _, lease)| *lease);
            let result = shared.store.append_on(&tenant, id, 0, &events, lease).await;
            let elsewhere = matches!(result, Err(Error::OutOfSequence { .. } | Error::LeaseLost));
            if let Some((slot, place, lease)) = place.filter(|_| !elsewhere) {
                let known = result.is_ok().then(|| workflow.clone());
                place.send(Job { tenant, lease, lost: 0, workflow: known, slot });
            }
            result.map(|()| workflow)
        });
        match stored.await {
            Ok(Ok(workflow)) => Ok(workflow),
            // A repeat of the same request got there first.
            Ok(Err(Error::OutOfSequence { .. } | Error::LeaseLost)) => self.get(who, id).await,
            Ok(Err(error)) => Err(journal::failure(&error)),
            Err(error) => Err(internal(&format!("a workflow could not be stored: {error}"))),
        }
    }

    async fn find(&self, who: &Principal, id: WorkflowId) -> Result<Option<Workflow>, Failure> {
        let store = &*self.shared.store;
        let log = journal::load(store, &who.tenant, id).await.map_err(|error| journal::failure(&error))?;
        let Some(mut workflow) = log.map(|log| log.workflow) else { return Ok(None) };
        if workflow.status.is_terminal() {
            let rating = store.get_rating(&who.tenant, id).await;
            workflow.rating = rating.map_err(|error| journal::failure(&error))?;
        }
        Ok(Some(workflow))
    }

    /// Appends what `decide` makes of the workflow as it stands, again when a worker wrote in between.
    async fn append(
        &self,
        who: &Principal,
        id: WorkflowId,
        decide: impl Fn(&Workflow) -> Result<Vec<EventKind>, Failure>,
    ) -> Result<Workflow, Failure> {
        let shared = &self.shared;
        for _ in 0..Self::MAX_TRIES {
            let mut workflow = self.get(who, id).await?;
            let last = workflow.last_sequence;
            let kinds = decide(&workflow)?;
            let events = journal::apply(&mut workflow, kinds, shared.clock.now(), shared.store.epoch());
            if events.is_empty() {
                return Ok(workflow);
            }
            match shared.store.append(&who.tenant, id, last, &events).await {
                Ok(()) => return Ok(workflow),
                Err(Error::OutOfSequence { .. }) => {}
                Err(error) => return Err(journal::failure(&error)),
            }
        }
        let message = format!("workflow {id} moves too fast to be changed; try again");
        Err(Failure::new(Reason::Overloaded, message).retry_after(Duration::from_millis(100)))
    }
}

/// How a workflow that was asked to stop ends.
pub(super) fn cancelled(reason: &str) -> Failure {
    let message = if reason.is_empty() { "cancelled".to_owned() } else { format!("cancelled: {reason}") };
    Failure::new(Reason::CallCancelled, message).with("reason", reason)
}

/// How a workflow ends whose statement a person does not want.
fn rejected(reason: &str) -> Failure {
    let message = if reason.is_empty() { "rejected".to_owned() } else { format!("rejected: {reason}") };
    Failure::new(Reason::CallCancelled, message).with("reason", reason)
}

fn not_awaiting(workflow: &Workflow, input: &ResumeInput) -> Failure {
    let (id, status) = (workflow.id, workflow.status.as_str());
    let given = match input {
        ResumeInput::Answer(_) => "an answer",
        ResumeInput::Approve => "approval",
        ResumeInput::Reject(_) => "a rejection",
        ResumeInput::EditedSql(_) => "other SQL",
    };
    let remedy = match workflow.status {
        WorkflowStatus::AwaitingInput => "give it an `answer`",
        WorkflowStatus::AwaitingApproval => "give it `approve`, `reject` or `edited_sql`",
        _ => "look at it again",
    };
    let message = format!("workflow {id} is {status} and does not wait for {given}; {remedy}");
    Failure::new(Reason::WorkflowNotAwaiting, message).with("workflow_id", id).with("status", status)
}

fn moved_on(workflow: &Workflow, expected: u64) -> Failure {
    let Workflow { id, last_sequence, .. } = workflow;
    let message = format!("workflow {id} went on from sequence {expected} to {last_sequence}; look at it again");
    let failure = Failure::new(Reason::SequenceMismatch, message).with("workflow_id", id);
    failure.with("expected_sequence", expected).with("last_sequence", last_sequence)
}

pub(super) fn not_found(id: WorkflowId) -> Failure {
    let message = format!("there is no workflow {id}; those that ended long ago are removed");
    Failure::new(Reason::WorkflowNotFound, message).with("workflow_id", id)
}

fn not_finished(id: WorkflowId, status: WorkflowStatus, remedy: &str) -> Failure {
    let status = status.as_str();
    let failure = Failure::new(Reason::WorkflowNotFinished, format!("workflow {id} is {status}; {remedy}"));
    failure.with("workflow_id", id).with("status", status)
}

fn reused(id: &str) -> Failure {
    let message = format!("request id `{id}` was used with another body; give each request an id of its own");
    Failure::new(Reason::RequestIdReused, message).with("request_id", id)
}

fn overloaded() -> Failure {
    Failure::new(Reason::Overloaded, "too many workflows wait for their turn").retry_after(Duration::from_secs(1))
}

fn draining() -> Failure {
    Failure::new(Reason::Draining, "the server is stopping").retry_after(Duration::from_secs(1))
}

fn internal(message: &str) -> Failure {
    Failure::new(Reason::Internal, message)
}
