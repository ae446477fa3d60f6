//! `pulse.v1.WorkflowService`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status};

use super::connection_service::MAX_PAGE_BYTES;
use super::identity::caller;
use super::layers::overloaded;
use super::server::Options;
use super::watch::{Events, OnDisconnect, Tellers, Watch};
use super::{from_pb, to_pb};
use crate::domain::{Failure, Principal, Reason, Scope, Workflow, WorkflowId};
use crate::lifecycle::Lifecycle;
use crate::pb::v1 as pb;
use crate::pb::v1::workflow_service_server as server;
use crate::workflow::{Cursor, Handle};

pub(super) struct WorkflowService {
    workflows: Handle,
    heartbeat: Duration,
    longest: Duration,
    watchers: Arc<Semaphore>,
    max_watchers: usize,
    tellers: Tellers,
    lifecycle: Lifecycle,
}

impl WorkflowService {
    pub(super) fn new(workflows: Handle, options: &Options, lifecycle: Lifecycle) -> Self {
        Self {
            workflows,
            heartbeat: options.heartbeat,
            longest: options.workflow_timeout,
            watchers: Arc::new(Semaphore::new(options.max_watchers)),
            max_watchers: options.max_watchers,
            tellers: Tellers::default(),
            lifecycle,
        }
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl server::WorkflowService for WorkflowService {
    async fn start_workflow(
        &self,
        request: Request<pb::StartWorkflowRequest>,
    ) -> Result<Response<pb::StartWorkflowResponse>, Status> {
        let who = caller(&request, Scope::Run)?;
        let (question, options) = from_pb::start_workflow(request.into_inner(), self.longest)?;
        let saved = !options.validate_only;
        let workflow = self.workflows.start(&who, question, options).await?;
        Ok(Response::new(pb::StartWorkflowResponse { workflow: Some(to_pb::workflow(&workflow, saved)) }))
    }

    type WatchWorkflowStream = Answers<pb::WatchWorkflowResponse>;

    async fn watch_workflow(
        &self,
        request: Request<pb::WatchWorkflowRequest>,
    ) -> Result<Response<Self::WatchWorkflowStream>, Status> {
        let who = caller(&request, Scope::Read)?;
        let from_pb::WatchWorkflow { id, after_sequence, after_cursor } =
            from_pb::watch_workflow(request.into_inner())?;
        let place = self.place()?;
        let workflow = self.workflows.get(&who, id).await?;
        if after_sequence > workflow.last_sequence {
            return Err(beyond_the_log(&workflow).into());
        }
        let events = self.watch(&who, workflow, after_sequence, after_cursor, place, None);
        Ok(Response::new(events.map(|event| event.map(pb::WatchWorkflowResponse::from_encoded)).boxed()))
    }

    type RunWorkflowStream = Answers<pb::RunWorkflowResponse>;

    async fn run_workflow(
        &self,
        request: Request<pb::RunWorkflowRequest>,
    ) -> Result<Response<Self::RunWorkflowStream>, Status> {
        let who = caller(&request, Scope::Run)?;
        let from_pb::RunWorkflow { question, options } = from_pb::run_workflow(request.into_inner(), self.longest)?;
        let place = self.place()?;
        let (attached, validate_only) = (question.options.cancel_on_disconnect, options.validate_only);
        let workflow = self.workflows.start(&who, question, options).await?;
        if validate_only {
            return Ok(Response::new(stream::empty().boxed()));
        }
        let on_disconnect = attached.then(|| self.cancel_when_gone(who.clone(), workflow.id));
        let events = self.watch(&who, workflow, 0, None, place, on_disconnect);
        Ok(Response::new(events.map(|event| event.map(pb::RunWorkflowResponse::from_encoded)).boxed()))
    }

    async fn get_workflow(
        &self,
        request: Request<pb::GetWorkflowRequest>,
    ) -> Result<Response<pb::GetWorkflowResponse>, Status> {
        let who = caller(&request, Scope::Read)?;
        let pb::GetWorkflowRequest { id } = request.into_inner();
        let workflow = self.workflows.get(&who, from_pb::id(&id)?).await?;
        Ok(Response::new(pb::GetWorkflowResponse { workflow: Some(to_pb::workflow(&workflow, true)) }))
    }

    async fn list_workflow_steps(
        &self,
        request: Request<pb::ListWorkflowStepsRequest>,
    ) -> Result<Response<pb::ListWorkflowStepsResponse>, Status> {
        let who = caller(&request, Scope::Read)?;
        let from_pb::ListSteps { id, list, skip, limit } = from_pb::list_steps(request.into_inner())?;
        let workflow = self.workflows.get(&who, id).await?;
        let all = to_pb::steps(&workflow);
        let total = all.len();
        let steps = fitting(all.into_iter().skip(skip).take(limit));
        let shown = skip.saturating_add(steps.len());
        let next_page_token = if shown < total { list.token(shown) } else { String::new() };
        Ok(Response::new(pb::ListWorkflowStepsResponse { steps, next_page_token }))
    }

    async fn list_workflows(
        &self,
        request: Request<pb::ListWorkflowsRequest>,
    ) -> Result<Response<pb::ListWorkflowsResponse>, Status> {
        let who = caller(&request, Scope::Read)?;
        let from_pb::ListWorkflows { list, page, filter, text } = from_pb::list_workflows(request.into_inner())?;
        let page = if text.is_empty() {
            self.workflows.list(&who, filter, page).await?
        } else {
            self.workflows.search(&who, filter, &text, page).await?
        };
        let workflows = fitting(page.items.iter().map(to_pb::workflow_without_rows));
        let last_shown = page.items.get(workflows.len().saturating_sub(1)).map(|workflow| workflow.id);
        let next = if workflows.len() < page.items.len() { last_shown } else { page.next };
        let next_page_token = next.map(|id| list.token(id)).unwrap_or_default();
        Ok(Response::new(pb::ListWorkflowsResponse { workflows, next_page_token }))
    }

    async fn cancel_workflow(
        &self,
        request: Request<pb::CancelWorkflowRequest>,
    ) -> Result<Response<pb::CancelWorkflowResponse>, Status> {
        let who = caller(&request, Scope::Run)?;
        let (id, reason) = from_pb::cancel_workflow(request.into_inner())?;
        let workflow = self.workflows.cancel(&who, id, reason).await?;
        Ok(Response::new(pb::CancelWorkflowResponse { workflow: Some(to_pb::workflow(&workflow, true)) }))
    }

    async fn resume_workflow(
        &self,
        request: Request<pb::ResumeWorkflowRequest>,
    ) -> Result<Response<pb::ResumeWorkflowResponse>, Status> {
        let who = caller(&request, Scope::Run)?;
        let from_pb::Resume { id, input, options } = from_pb::resume_workflow(request.into_inner())?;
        let workflow = self.workflows.resume(&who, id, input, options).await?;
        Ok(Response::new(pb::ResumeWorkflowResponse { workflow: Some(to_pb::workflow(&workflow, true)) }))
    }

    async fn rate_workflow(
        &self,
        request: Request<pb::RateWorkflowRequest>,
    ) -> Result<Response<pb::RateWorkflowResponse>, Status> {
        let who = caller(&request, Scope::Run)?;
        let from_pb::Rate { id, verdict, comment } = from_pb::rate_workflow(request.into_inner())?;
        let workflow = self.workflows.rate(&who, id, verdict, comment).await?;
        Ok(Response::new(pb::RateWorkflowResponse { workflow: Some(to_pb::workflow(&workflow, true)) }))
    }

    async fn delete_workflow(
        &self,
        request: Request<pb::DeleteWorkflowRequest>,
    ) -> Result<Response<pb::DeleteWorkflowResponse>, Status> {
        let who = caller(&request, Scope::Run)?;
        let pb::DeleteWorkflowRequest { id } = request.into_inner();
        self.workflows.delete(&who, from_pb::id(&id)?).await?;
        Ok(Response::new(pb::DeleteWorkflowResponse {}))
    }
}

impl WorkflowService {
    fn watch(
        &self,
        who: &Principal,
        workflow: Workflow,
        after_sequence: u64,
        after_cursor: Option<Cursor>,
        place: OwnedSemaphorePermit,
        on_disconnect: Option<OnDisconnect>,
    ) -> Events {
        let feed = self.workflows.watch(who, workflow.id, after_sequence, after_cursor).boxed();
        let teller = self.tellers.of(workflow, self.workflows.epoch());
        let soft = self.lifecycle.soft.clone();
        Watch { feed, teller, heartbeat: self.heartbeat, soft, place, on_disconnect }.events()
    }

    /// A place among the watchers, if there is one.
    fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let place = self.watchers.clone().try_acquire_owned();
        place.map_err(|_| overloaded("watchers", self.max_watchers))
    }

    /// Cancels the workflow when the call that started it is gone, unless the server is stopping: then it is resumed.
    fn cancel_when_gone(&self, who: Principal, id: WorkflowId) -> OnDisconnect {
        let (workflows, lifecycle) = (self.workflows.clone(), self.lifecycle.clone());
        // The log says that nobody asked for it: Pulse noticed.
        let who = Principal { name: "pulse".to_owned(), ..who };
        OnDisconnect::new(move || {
            if lifecycle.soft.is_cancelled() {
                return;
            }
            lifecycle.tasks.spawn(async move {
                let reason = "the call that started it is gone".to_owned();
                match workflows.cancel(&who, id, reason).await {
                    Ok(_) | Err(Failure { reason: Reason::WorkflowFinished, .. }) => {}
                    Err(failure) => {
                        tracing::warn!(workflow_id = %id, %failure, "cancelling an abandoned workflow failed");
                    }
                }
            });
        })
    }
}

/// As many of the first items as a response should hold; one at least.
pub(super) fn fitting<T: Message>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut bytes = 0;
    let mut fitting = Vec::new();
    for item in items {
        bytes += item.encoded_len();
        if bytes > MAX_PAGE_BYTES && !fitting.is_empty() {
            break;
        }
        fitting.push(item);
    }
    fitting
}

fn beyond_the_log(workflow: &Workflow) -> Failure {
    let last = workflow.last_sequence;
    Failure::new(Reason::LogRewound, format!("the log ends at {last}, before the sequence this watcher has seen"))
        .with("last_sequence", last)
        .with("workflow_id", workflow.id)
}
