//! `pulse.v1.KnowledgeService`.

use tonic::{Request, Response, Status};

use super::identity::caller;
use super::status;
use crate::domain::Scope;
use crate::pb::v1 as pb;
use crate::pb::v1::knowledge_service_server as server;

pub(super) struct KnowledgeService;

#[tonic::async_trait]
impl server::KnowledgeService for KnowledgeService {
    async fn get_knowledge(
        &self,
        request: Request<pb::GetKnowledgeRequest>,
    ) -> Result<Response<pb::GetKnowledgeResponse>, Status> {
        caller(&request, Scope::Read)?;
        Err(status::not_implemented("GetKnowledge").into())
    }

    async fn update_knowledge(
        &self,
        request: Request<pb::UpdateKnowledgeRequest>,
    ) -> Result<Response<pb::UpdateKnowledgeResponse>, Status> {
        caller(&request, Scope::Manage)?;
        Err(status::not_implemented("UpdateKnowledge").into())
    }

    async fn export_knowledge(
        &self,
        request: Request<pb::ExportKnowledgeRequest>,
    ) -> Result<Response<pb::ExportKnowledgeResponse>, Status> {
        caller(&request, Scope::Read)?;
        Err(status::not_implemented("ExportKnowledge").into())
    }

    async fn import_knowledge(
        &self,
        request: Request<pb::ImportKnowledgeRequest>,
    ) -> Result<Response<pb::ImportKnowledgeResponse>, Status> {
        caller(&request, Scope::Manage)?;
        Err(status::not_implemented("ImportKnowledge").into())
    }

    async fn create_example(
        &self,
        request: Request<pb::CreateExampleRequest>,
    ) -> Result<Response<pb::CreateExampleResponse>, Status> {
        caller(&request, Scope::Manage)?;
        Err(status::not_implemented("CreateExample").into())
    }

    async fn list_examples(
        &self,
        request: Request<pb::ListExamplesRequest>,
    ) -> Result<Response<pb::ListExamplesResponse>, Status> {
        caller(&request, Scope::Read)?;
        Err(status::not_implemented("ListExamples").into())
    }

    async fn delete_example(
        &self,
        request: Request<pb::DeleteExampleRequest>,
    ) -> Result<Response<pb::DeleteExampleResponse>, Status> {
        caller(&request, Scope::Manage)?;
        Err(status::not_implemented("DeleteExample").into())
    }
}
