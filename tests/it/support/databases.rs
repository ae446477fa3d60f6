//! SQLite files that tests make for themselves, and connections to them.

use std::path::{Path, PathBuf};

use pulse::pb::v1::{
    Connection, ConnectionSpec, CreateConnectionRequest, DatabaseKind, ExecuteQueryRequest, ExecuteQueryResponse,
    StreamQueryRequest, StreamStatement, Value, stream_query_request::Source, value::Kind,
};
use tonic::Status;

use super::server::Server;

/// A database file in `folder`, made by these statements.
pub fn sqlite(folder: &Path, file: &str, statements: &str) -> PathBuf {
    let path = folder.join(file);
    let database = rusqlite::Connection::open(&path).unwrap();
    // Tests build these in bulk and throw them away: what a power cut would do does not matter.
    database.pragma_update(None, "synchronous", "OFF").unwrap();
    database.execute_batch(statements).unwrap();
    database.close().unwrap();
    path
}

/// What a connection to a file in the server's folder is made from.
pub fn spec(name: &str, file: &str) -> ConnectionSpec {
    ConnectionSpec {
        name: name.to_owned(),
        kind: DatabaseKind::Sqlite.into(),
        database: file.to_owned(),
        ..ConnectionSpec::default()
    }
}

/// A request to save `spec`, everything else at its default.
pub fn creation(spec: ConnectionSpec) -> CreateConnectionRequest {
    CreateConnectionRequest { connection: Some(spec), ..CreateConnectionRequest::default() }
}

/// A statement on a saved connection, everything else at its default.
pub fn statement(connection_id: &str, sql: &str) -> ExecuteQueryRequest {
    ExecuteQueryRequest {
        connection_id: connection_id.to_owned(),
        sql: sql.to_owned(),
        ..ExecuteQueryRequest::default()
    }
}

/// A statement whose result is streamed, everything else at its default.
pub fn stream_of(connection_id: &str, sql: &str) -> StreamQueryRequest {
    let (connection_id, sql) = (connection_id.to_owned(), sql.to_owned());
    let statement = StreamStatement { connection_id, sql, parameters: Vec::new() };
    StreamQueryRequest { source: Some(Source::Statement(statement)), ..StreamQueryRequest::default() }
}

impl Server {
    /// Saves a connection.
    pub async fn create(&mut self, spec: ConnectionSpec) -> Result<Connection, Status> {
        let response = self.connections.create_connection(creation(spec)).await?.into_inner();
        Ok(response.connection.unwrap())
    }

    /// Makes `NAME.sqlite` from these statements and saves a connection of that name to it; returns the id.
    pub async fn database(&mut self, name: &str, statements: &str) -> String {
        let file = format!("{name}.sqlite");
        sqlite(&self.databases(), &file, statements);
        self.create(spec(name, &file)).await.unwrap().id
    }

    /// Runs a statement.
    pub async fn execute(&mut self, connection_id: &str, sql: &str) -> Result<ExecuteQueryResponse, Status> {
        Ok(self.queries.execute_query(statement(connection_id, sql)).await?.into_inner())
    }
}

/// A value of this kind.
pub fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

/// The cells of a result, row by row.
pub fn cells(result: &ExecuteQueryResponse) -> Vec<Vec<Kind>> {
    let kinds = |row: &pulse::pb::Row| row.values.iter().map(|value| value.kind.clone().unwrap()).collect();
    result.rows.iter().map(kinds).collect()
}
