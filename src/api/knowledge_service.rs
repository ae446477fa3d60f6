//! `pulse.v1.KnowledgeService`.

use tonic::{Request, Response, Status};

use super::identity::caller;
use super::workflow_service::fitting;
use super::{from_pb, to_pb};
use crate::domain::{ConnectionId, Failure, Principal, Scope, Source, WorkflowId};
use crate::knowledge::{NewExample, Service};
use crate::pb::v1 as pb;
use crate::pb::v1::knowledge_service_server as server;
use crate::workflow;

pub(super) struct KnowledgeService {
    knowledge: Service,
    workflows: workflow::Handle,
}

impl KnowledgeService {
    pub(super) fn new(knowledge: Service, workflows: workflow::Handle) -> Self {
        Self { knowledge, workflows }
    }
}

#[tonic::async_trait]
impl server::KnowledgeService for KnowledgeService {
    async fn get_knowledge(
        &self,
        request: Request<pb::GetKnowledgeRequest>,
    ) -> Result<Response<pb::GetKnowledgeResponse>, Status> {
        let who = caller(&request, Scope::Read)?;
        let pb::GetKnowledgeRequest { connection_id } = request.into_inner();
        let id = from_pb::connection_id(&connection_id)?;
        let knowledge = Some(to_pb::knowledge(id, self.knowledge.get(&who, id).await?));
        Ok(Response::new(pb::GetKnowledgeResponse { knowledge }))
    }

    async fn update_knowledge(
        &self,
        request: Request<pb::UpdateKnowledgeRequest>,
    ) -> Result<Response<pb::UpdateKnowledgeResponse>, Status> {
        let who = caller(&request, Scope::Manage)?;
        let (id, change) = from_pb::update_knowledge(request.into_inner())?;
        let knowledge = Some(to_pb::knowledge(id, self.knowledge.update(&who, id, change).await?));
        Ok(Response::new(pb::UpdateKnowledgeResponse { knowledge }))
    }

    async fn export_knowledge(
        &self,
        request: Request<pb::ExportKnowledgeRequest>,
    ) -> Result<Response<pb::ExportKnowledgeResponse>, Status> {
        let who = caller(&request, Scope::Read)?;
        let pb::ExportKnowledgeRequest { connection_id } = request.into_inner();
        let (yaml, etag) = self.knowledge.export(&who, from_pb::connection_id(&connection_id)?).await?;
        Ok(Response::new(pb::ExportKnowledgeResponse { yaml, etag }))
    }

    async fn import_knowledge(
        &self,
        request: Request<pb::ImportKnowledgeRequest>,
    ) -> Result<Response<pb::ImportKnowledgeResponse>, Status> {
        let who = caller(&request, Scope::Manage)?;
        let from_pb::ImportKnowledge { connection, yaml, etag, validate_only } =
            from_pb::import_knowledge(request.into_inner())?;
        let known = self.knowledge.import(&who, connection, &yaml, etag, validate_only).await?;
        let knowledge = Some(to_pb::knowledge(connection, known));
        Ok(Response::new(pb::ImportKnowledgeResponse { knowledge }))
    }

    async fn create_example(
        &self,
        request: Request<pb::CreateExampleRequest>,
    ) -> Result<Response<pb::CreateExampleResponse>, Status> {
        let who = caller(&request, Scope::Manage)?;
        let from_pb::CreateExample { connection, question, sql, workflow, request, validate_only } =
            from_pb::create_example(request.into_inner())?;
        let (asked, found) = match workflow {
            Some(id) => self.answered(&who, connection, id, sql.is_none()).await?,
            None => Default::default(),
        };
        let sql = sql.unwrap_or(found);
        let new = NewExample { question: question.unwrap_or(asked), sql, workflow, request, validate_only };
        let saved = self.knowledge.create_example(&who, connection, new).await?;
        let example = Some(to_pb::example(saved, !validate_only));
        Ok(Response::new(pb::CreateExampleResponse { example }))
    }

    async fn list_examples(
        &self,
        request: Request<pb::ListExamplesRequest>,
    ) -> Result<Response<pb::ListExamplesResponse>, Status> {
        let who = caller(&request, Scope::Read)?;
        let from_pb::ListExamples { connection, list, after, limit, state } =
            from_pb::list_examples(request.into_inner())?;
        let mut all = self.knowledge.examples(&who, connection).await?;
        // Ids are in the order in which examples were made; the one a page ended with may be gone.
        all.sort_by_key(|one| one.example.id);
        let wanted: Vec<_> = all
            .into_iter()
            .filter(|one| after.is_none_or(|after| one.example.id > after))
            .filter(|one| state.is_none_or(|state| to_pb::example_state(&one.state) == state))
            .collect();
        let ids: Vec<_> = wanted.iter().map(|one| one.example.id).collect();
        let examples = fitting(wanted.into_iter().take(limit).map(|one| to_pb::example(one, true)));
        let last = examples.len().checked_sub(1).filter(|_| examples.len() < ids.len()).map(|last| ids[last]);
        let next_page_token = last.map(|id| list.token(id)).unwrap_or_default();
        Ok(Response::new(pb::ListExamplesResponse { examples, next_page_token }))
    }

    async fn delete_example(
        &self,
        request: Request<pb::DeleteExampleRequest>,
    ) -> Result<Response<pb::DeleteExampleResponse>, Status> {
        let who = caller(&request, Scope::Manage)?;
        let (connection, example) = from_pb::delete_example(request.into_inner())?;
        self.knowledge.delete_example(&who, connection, example).await?;
        Ok(Response::new(pb::DeleteExampleResponse {}))
    }
}

impl KnowledgeService {
    /// What a workflow on this connection asked and, where it is `wanted`, the SQL that it completed with.
    async fn answered(
        &self,
        who: &Principal,
        connection: ConnectionId,
        id: WorkflowId,
        wanted: bool,
    ) -> Result<(String, String), Failure> {
        let workflow = self.workflows.get(who, id).await?;
        let question = &workflow.started.question;
        if !matches!(&question.source, Source::Connection(own) if *own == connection) {
            return Err(Failure::field("workflow_id", "is a workflow on another source; name its own connection"));
        }
        let sql = if wanted { self.workflows.statement(who, id).await?.1.sql } else { String::new() };
        Ok((question.text.clone(), sql))
    }
}
