//! `pulse.v1.ConnectionService`.

use prost::Message;
use tonic::{Request, Response, Status};

use super::identity::caller;
use super::{from_pb, to_pb};
use crate::connections::{Change, Directory, Saved, Tested};
use crate::domain::{Connection, ConnectionId, PageRequest, Principal, Scope, Table};
use crate::pb::v1 as pb;
use crate::pb::v1::connection_service_server as server;
use crate::workflow;

/// Most bytes of the items of one page; one larger item still goes alone.
pub(super) const MAX_PAGE_BYTES: usize = 3 << 20;

pub(super) struct ConnectionService {
    directory: Directory,
    workflows: workflow::Handle,
}

impl ConnectionService {
    pub(super) fn new(directory: Directory, workflows: workflow::Handle) -> Self {
        Self { directory, workflows }
    }
}

#[tonic::async_trait]
impl server::ConnectionService for ConnectionService {
    async fn create_connection(
        &self,
        request: Request<pb::CreateConnectionRequest>,
    ) -> Result<Response<pb::CreateConnectionResponse>, Status> {
        let who = caller(&request, Scope::Manage)?;
        let draft = from_pb::create_connection(request.into_inner());
        let (spec, options) = draft.finish(async |(spec, _)| spec.problems()).await?;
        let saved = !options.validate_only;
        let Saved { connection, warnings } = self.directory.create(&who, spec, options).await?;
        let connection = Some(to_pb::connection(connection, saved));
        Ok(Response::new(pb::CreateConnectionResponse { connection, warnings }))
    }

    async fn get_connection(
        &self,
        request: Request<pb::GetConnectionRequest>,
    ) -> Result<Response<pb::GetConnectionResponse>, Status> {
        let who = caller(&request, Scope::Read)?;
        let pb::GetConnectionRequest { id } = request.into_inner();
        let connection = self.directory.get(&who, from_pb::id(&id)?).await?;
        Ok(Response::new(pb::GetConnectionResponse { connection: Some(to_pb::connection(connection, true)) }))
    }

    async fn list_connections(
        &self,
        request: Request<pb::ListConnectionsRequest>,
    ) -> Result<Response<pb::ListConnectionsResponse>, Status> {
        let who = caller(&request, Scope::Read)?;
        let from_pb::ListConnections { list, page, name, kind } = from_pb::list_connections(request.into_inner())?;
        let name = name.map(|name| name.to_lowercase());
        let wanted = |connection: &Connection| {
            name.as_ref().is_none_or(|name| connection.name.to_lowercase() == *name)
                && kind.is_none_or(|kind| connection.kind == kind)
        };
        let (found, next) = self.matching(&who, page, wanted).await?;
        let connections: Vec<_> = found.into_iter().map(|connection| to_pb::connection(connection, true)).collect();
        let next_page_token = next.map(|id| list.token(id)).unwrap_or_default();
        Ok(Response::new(pb::ListConnectionsResponse { connections, next_page_token }))
    }

    async fn update_connection(
        &self,
        request: Request<pb::UpdateConnectionRequest>,
    ) -> Result<Response<pb::UpdateConnectionResponse>, Status> {
        let who = caller(&request, Scope::Manage)?;
        let draft = from_pb::update_connection(request.into_inner());
        let further =
            async |(id, change): &(_, Change)| self.directory.problems(&who, *id, &change.spec, &change.paths).await;
        let (id, change) = draft.finish(further).await?;
        let Saved { connection, warnings } = self.directory.update(&who, id, change).await?;
        let connection = Some(to_pb::connection(connection, true));
        Ok(Response::new(pb::UpdateConnectionResponse { connection, warnings }))
    }

    async fn delete_connection(
        &self,
        request: Request<pb::DeleteConnectionRequest>,
    ) -> Result<Response<pb::DeleteConnectionResponse>, Status> {
        let who = caller(&request, Scope::Manage)?;
        let pb::DeleteConnectionRequest { id, etag } = request.into_inner();
        let id = from_pb::id(&id)?;
        self.directory.delete(&who, id, Some(etag).filter(|etag| !etag.is_empty())).await?;
        self.workflows.cancel_for_connection(&who, id).await?;
        Ok(Response::new(pb::DeleteConnectionResponse {}))
    }

    async fn test_connection(
        &self,
        request: Request<pb::TestConnectionRequest>,
    ) -> Result<Response<pb::TestConnectionResponse>, Status> {
        let who = caller(&request, Scope::Manage)?;
        let further = async |tested: &Tested| match tested {
            Tested::Saved(_) => Vec::new(),
            Tested::Unsaved(spec) => spec.problems(),
            Tested::Changed { id, spec, paths } => self.directory.problems(&who, *id, spec, paths).await,
        };
        let tested = from_pb::test_connection(request.into_inner()).finish(further).await?;
        let report = self.directory.test(&who, tested).await?;
        Ok(Response::new(to_pb::tested(report)))
    }

    async fn get_schema(
        &self,
        request: Request<pb::GetSchemaRequest>,
    ) -> Result<Response<pb::GetSchemaResponse>, Status> {
        let who = caller(&request, Scope::Read)?;
        let wanted = from_pb::get_schema(request.into_inner())?;
        let found = self.directory.describe(&who, wanted.id, wanted.refresh).await?;
        let read_time = Some(to_pb::timestamp(found.read_time));
        Ok(Response::new(pb::GetSchemaResponse { read_time, ..schema_page(&found.schema, &wanted) }))
    }
}

impl ConnectionService {
    /// A page of the connections that are wanted, and where the next one starts.
    async fn matching(
        &self,
        who: &Principal,
        page: PageRequest<ConnectionId>,
        wanted: impl Fn(&Connection) -> bool,
    ) -> Result<(Vec<Connection>, Option<ConnectionId>), Status> {
        let PageRequest { mut after, limit } = page;
        let mut found = Vec::new();
        loop {
            let page = self.directory.list(who, PageRequest { after, limit: limit - found.len() }).await?;
            found.extend(page.items.into_iter().filter(|connection| wanted(connection)));
            after = page.next;
            if after.is_none() || found.len() == limit {
                return Ok((found, after));
            }
        }
    }
}

fn schema_page(schema: &crate::domain::Schema, wanted: &from_pb::GetSchema) -> pb::GetSchemaResponse {
    let matches = |table: &&Table| {
        wanted.schema.as_ref().is_none_or(|name| table.schema == *name)
            && wanted.table.as_ref().is_none_or(|name| table.name == *name)
    };
    let key = |table: &Table| (table.schema.clone(), table.name.clone());
    let table_count = schema.tables.iter().filter(matches).count();
    let rest = schema
        .tables
        .iter()
        .filter(matches)
        .filter(|table| wanted.after.as_ref().is_none_or(|after| key(table) > *after));
    let (mut tables, mut bytes, mut next) = (Vec::new(), 0, None);
    let mut last = None;
    for table in rest {
        let told = if wanted.names_only { to_pb::without_columns(table) } else { to_pb::table(table) };
        bytes += told.encoded_len();
        if tables.len() == wanted.limit || (bytes > MAX_PAGE_BYTES && !tables.is_empty()) {
            next = last;
            break;
        }
        last = Some(key(table));
        tables.push(told);
    }
    pb::GetSchemaResponse {
        tables,
        next_page_token: next.map(|key| wanted.list.token(key)).unwrap_or_default(),
        fingerprint: schema.fingerprint.clone(),
        read_time: None,
        table_count: i32::try_from(table_count).unwrap_or(i32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DatabaseKind, Schema, TableKind};

    fn schema(tables: usize, comment: &str) -> Schema {
        let table = |number: usize| Table {
            schema: "main".into(),
            name: format!("t{number:04}"),
            kind: TableKind::Table,
            columns: Vec::new(),
            primary_key: Vec::new(),
            unique_keys: Vec::new(),
            foreign_keys: Vec::new(),
            comment: Some(comment.to_owned()),
            row_count: None,
        };
        Schema { dialect: DatabaseKind::Sqlite, tables: (0..tables).map(table).collect(), fingerprint: "f".into() }
    }

    /// Names of the tables on each page.
    fn pages(schema: &Schema, page_size: i32) -> Vec<usize> {
        let id = ConnectionId::generate().to_string();
        let (mut sizes, mut names, mut page_token) = (Vec::new(), Vec::new(), String::new());
        loop {
            let request = pb::GetSchemaRequest { id: id.clone(), page_size, page_token, ..Default::default() };
            let page = schema_page(schema, &from_pb::get_schema(request).unwrap());
            assert!(page.encoded_len() < 3_500_000);
            assert_eq!(usize::try_from(page.table_count).unwrap(), schema.tables.len());
            sizes.push(page.tables.len());
            names.extend(page.tables.into_iter().map(|table| table.name));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                let all: Vec<_> = schema.tables.iter().map(|table| table.name.clone()).collect();
                assert_eq!(names, all);
                return sizes;
            }
        }
    }

    #[test]
    fn pages_of_a_schema_hold_every_table_once() {
        assert_eq!(pages(&schema(5, ""), 2), [2, 2, 1]);
        assert_eq!(pages(&schema(4, ""), 2), [2, 2]);
        assert_eq!(pages(&schema(0, ""), 2), [0]);
    }

    #[test]
    fn a_page_is_shorter_when_its_tables_are_large() {
        let sizes = pages(&schema(10, &"x".repeat(1 << 20)), 10);
        assert!(sizes.iter().all(|size| (1..=3).contains(size)), "{sizes:?}");
    }
}
