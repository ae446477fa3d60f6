//! Bad input: each kind has its own clear error, and all bad fields of a request are named at once.

use prost_reflect::{Kind, Value};
use pulse::pb::v1::start_workflow_request::Source;
use pulse::pb::v1::{
    ConnectionLimits, ConnectionSpec, CreateConnectionRequest, DatabaseKind, ExecuteQueryRequest, InlineSchema,
    StartWorkflowRequest, TestConnectionRequest, UpdateConnectionRequest,
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::calls::{assert_error, bad_fields, question, reason};
use crate::support::contract::{self, dotted, fields, is_id, methods};
use crate::support::databases::{spec, sqlite, statement};
use crate::support::server::Server;

const ONE_TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY);";
const NOBODYS: &str = "0198c0de-0000-7000-8000-000000000000";

async fn with_table() -> (Server, String) {
    let mut server = Server::start().await;
    let id = server.database("t", ONE_TABLE).await;
    (server, id)
}

async fn refused(server: &mut Server, request: StartWorkflowRequest) -> Status {
    server.workflows.start_workflow(request).await.unwrap_err()
}

#[tokio::test]
async fn questions_have_a_length() {
    let (mut server, id) = with_table().await;
    for bad in ["", "  \n", &"x".repeat(4 * 1024 + 1)] {
        let status = refused(&mut server, question(&id, bad)).await;
        assert_error(&status, Code::InvalidArgument, "FIELD_INVALID", &["question"]);
    }
    let longest = question(&id, &"x".repeat(4 * 1024));
    server.workflows.start_workflow(longest).await.unwrap();
}

#[tokio::test]
async fn a_question_needs_a_source() {
    let (mut server, _) = with_table().await;
    let none = StartWorkflowRequest { question: "How many?".to_owned(), ..StartWorkflowRequest::default() };
    assert_error(&refused(&mut server, none.clone()).await, Code::InvalidArgument, "FIELD_INVALID", &["source"]);
    let empty = StartWorkflowRequest { source: Some(Source::InlineSchema(InlineSchema::default())), ..none };
    assert_error(&refused(&mut server, empty).await, Code::InvalidArgument, "FIELD_INVALID", &["inline_schema.tables"]);
}

#[tokio::test]
async fn every_malformed_id_is_named() {
    let (server, own) = with_table().await;
    let mut checked = 0;
    for method in methods() {
        for path in fields(&method, is_id) {
            for bad in ["not-a-uuid", "0198c0de-0000-7000-8000-00000000000", "{}"] {
                let request = contract::request(&method, &own, &path, Value::String(bad.to_owned()));
                let Err(status) = contract::call(&server.channel, None, &method, &request).await else {
                    panic!("{}: {} = {bad} is taken", method.name(), dotted(&path));
                };
                assert_error(&status, Code::InvalidArgument, "FIELD_INVALID", &[&dotted(&path)]);
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "{checked}");
}

#[tokio::test]
async fn every_unknown_id_is_not_found() {
    let (server, own) = with_table().await;
    for method in methods() {
        for path in fields(&method, is_id) {
            if method.name() == "ListWorkflows" {
                continue; // A filter that matches nothing is no error.
            }
            let request = contract::request(&method, &own, &path, Value::String(NOBODYS.to_owned()));
            let Err(status) = contract::call(&server.channel, None, &method, &request).await else {
                panic!("{}: an unknown {} is taken", method.name(), dotted(&path));
            };
            let reason = reason(&status);
            assert_eq!(status.code(), Code::NotFound, "{}: {}: {status:?}", method.name(), dotted(&path));
            assert!(
                matches!(reason.as_str(), "CONNECTION_NOT_FOUND" | "WORKFLOW_NOT_FOUND" | "EXAMPLE_NOT_FOUND"),
                "{reason}"
            );
        }
    }
}

#[tokio::test]
async fn every_list_refuses_a_negative_page_size_and_a_made_up_token() {
    let (server, own) = with_table().await;
    let mut lists = 0;
    for method in methods() {
        for path in fields(&method, |field| field.name() == "page_size") {
            lists += 1;
            let request = contract::request(&method, &own, &path, Value::I32(-1));
            let status = contract::call(&server.channel, None, &method, &request).await.unwrap_err();
            assert_error(&status, Code::InvalidArgument, "FIELD_INVALID", &["page_size"]);
        }
        for path in fields(&method, |field| field.name() == "page_token") {
            for made_up in ["x", "AAAA", "🦀", &"A".repeat(5_000)] {
                let request = contract::request(&method, &own, &path, Value::String(made_up.to_owned()));
                let status = contract::call(&server.channel, None, &method, &request).await.unwrap_err();
                assert_error(&status, Code::InvalidArgument, "PAGE_TOKEN_INVALID", &[]);
            }
        }
    }
    assert!(lists >= 4, "{lists}");
}

#[tokio::test]
async fn every_negative_limit_is_named() {
    let (server, own) = with_table().await;
    let mut checked = 0;
    for method in methods() {
        for path in fields(&method, |field| matches!(field.name(), "max_rows" | "max_bytes")) {
            let negative = match path.last().unwrap().kind() {
                Kind::Int32 => Value::I32(-1),
                _ => Value::I64(-1),
            };
            let request = contract::request(&method, &own, &path, negative);
            let status = contract::call(&server.channel, None, &method, &request).await.unwrap_err();
            assert_error(&status, Code::InvalidArgument, "FIELD_INVALID", &[&dotted(&path)]);
            checked += 1;
        }
    }
    assert!(checked >= 8, "{checked}");
}

#[tokio::test]
async fn all_bad_fields_are_named_at_once() {
    let (mut server, _) = with_table().await;
    let bad = StartWorkflowRequest {
        user_id: "u".repeat(129),
        max_retries: Some(11),
        candidates: 6,
        max_rows: -1,
        max_bytes: -1,
        request_id: "r".repeat(65),
        engine: 99,
        ..question("not-a-uuid", "")
    };
    let status = refused(&mut server, bad).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "FIELD_INVALID"));
    let expected = [
        "candidates",
        "connection_id",
        "engine",
        "max_bytes",
        "max_retries",
        "max_rows",
        "question",
        "request_id",
        "user_id",
    ];
    assert_eq!(bad_fields(&status), expected);
    let described = status.get_details_bad_request().unwrap().field_violations;
    assert!(described.iter().all(|violation| !violation.description.is_empty()), "{described:?}");

    let bad = ConnectionSpec { port: 70_000, ..spec(&"n".repeat(101), "") };
    let status = server.create(bad).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "FIELD_INVALID"));
    assert_eq!(bad_fields(&status), ["connection.database", "connection.name", "connection.port"]);

    // Some of these show when a field is read, some only when the fields are held against each other.
    let bad = || ConnectionSpec {
        port: 70_000,
        kind: DatabaseKind::Postgresql.into(),
        host: "a b".to_owned(),
        limits: Some(ConnectionLimits { max_rows: -1, ..ConnectionLimits::default() }),
        allowed_functions: vec!["f()".to_owned()],
        excluded_columns: vec!["email".to_owned()],
        ..ConnectionSpec::default()
    };
    let all = [
        "connection.allowed_functions",
        "connection.excluded_columns",
        "connection.host",
        "connection.limits.max_rows",
        "connection.port",
        "connection.username",
    ];
    assert_eq!(bad_fields(&server.create(bad()).await.unwrap_err()), all);
    let test = TestConnectionRequest { connection: Some(bad()), ..TestConnectionRequest::default() };
    assert_eq!(bad_fields(&server.connections.test_connection(test).await.unwrap_err()), all);
    let bad_url = ConnectionSpec { url: "postgres://a/b@c".to_owned(), port: 70_000, ..ConnectionSpec::default() };
    assert_eq!(bad_fields(&server.create(bad_url).await.unwrap_err()), ["connection.port", "connection.url"]);
    let id = server.database("saved", ONE_TABLE).await;
    let changes = ConnectionSpec {
        host: "db".to_owned(),
        name: "n".repeat(101),
        allowed_functions: vec!["f()".to_owned()],
        ..ConnectionSpec::default()
    };
    let named = ["connection.allowed_functions", "connection.host", "connection.name"];
    let update = UpdateConnectionRequest {
        id: id.clone(),
        connection: Some(changes.clone()),
        ..UpdateConnectionRequest::default()
    };
    assert_eq!(bad_fields(&server.connections.update_connection(update).await.unwrap_err()), named);
    let test = TestConnectionRequest { id, connection: Some(changes) };
    assert_eq!(bad_fields(&server.connections.test_connection(test).await.unwrap_err()), named);

    let bad = ExecuteQueryRequest { max_rows: -1, max_bytes: -1, ..statement("x", "") };
    let status = server.queries.execute_query(bad).await.unwrap_err();
    assert_eq!(bad_fields(&status), ["connection_id", "max_bytes", "max_rows", "sql"]);
}

#[tokio::test]
async fn a_connection_needs_a_kind() {
    let mut server = Server::start().await;
    let none = ConnectionSpec { kind: DatabaseKind::Unspecified.into(), ..spec("x", "x.sqlite") };
    let status = server.create(none).await.unwrap_err();
    assert_error(&status, Code::InvalidArgument, "FIELD_INVALID", &["connection.kind"]);
    for url in ["oracle://host/db", "postgres//", "sqlite://t.sqlite?mode=rwc", "not a url"] {
        let status =
            server.create(ConnectionSpec { url: url.to_owned(), ..ConnectionSpec::default() }).await.unwrap_err();
        assert_error(&status, Code::InvalidArgument, "FIELD_INVALID", &["connection.url"]);
    }
    let status = server.connections.create_connection(CreateConnectionRequest::default()).await.unwrap_err();
    assert_error(&status, Code::InvalidArgument, "FIELD_INVALID", &["connection"]);
}

#[tokio::test]
async fn one_read_statement_at_a_time() {
    let (mut server, id) = with_table().await;
    let two = server.execute(&id, "SELECT 1; SELECT 2").await.unwrap_err();
    assert_error(&two, Code::PermissionDenied, "SQL_NOT_ALLOWED", &[]);
    let hidden = server.execute(&id, "SELECT 1; DROP TABLE t; --").await.unwrap_err();
    assert_error(&hidden, Code::PermissionDenied, "SQL_NOT_ALLOWED", &[]);
    let write = server.execute(&id, "INSERT INTO t VALUES (1)").await.unwrap_err();
    assert_error(&write, Code::PermissionDenied, "SQL_NOT_ALLOWED", &[]);
    assert_eq!(server.execute(&id, "SELECT count(*) FROM t;").await.unwrap().row_count, 1);
}

#[tokio::test]
async fn sql_has_a_length() {
    let (mut server, id) = with_table().await;
    for bad in ["", " ", &format!("SELECT '{}'", "x".repeat(32 * 1024))] {
        let status = server.execute(&id, bad).await.unwrap_err();
        assert_error(&status, Code::InvalidArgument, "FIELD_INVALID", &["sql"]);
    }
    let status = server.execute(&id, "-- nothing").await.unwrap_err();
    assert_error(&status, Code::InvalidArgument, "SQL_NOT_UNDERSTOOD", &[]);
    let status = server.execute(&id, "SELECT '\0'").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

#[tokio::test]
async fn a_sqlite_path_must_lead_to_a_database_in_the_folder() {
    let mut server = Server::start().await;
    let folder = server.databases();
    let outside = sqlite(server.data_dir(), "outside.sqlite", ONE_TABLE);
    std::fs::create_dir(folder.join("archive")).unwrap();
    std::fs::write(folder.join("notes.txt"), "plain text, plain text, plain text\n".repeat(20)).unwrap();
    std::os::unix::fs::symlink(&outside, folder.join("link.sqlite")).unwrap();
    for (file, code, reason) in [
        ("missing.sqlite", Code::FailedPrecondition, "FILE_NOT_FOUND"),
        ("archive", Code::FailedPrecondition, "FILE_IS_DIRECTORY"),
        ("notes.txt", Code::FailedPrecondition, "FILE_NOT_A_DATABASE"),
        ("../outside.sqlite", Code::PermissionDenied, "FILE_OUTSIDE_FOLDER"),
        ("link.sqlite", Code::PermissionDenied, "FILE_OUTSIDE_FOLDER"),
        (outside.to_str().unwrap(), Code::PermissionDenied, "FILE_OUTSIDE_FOLDER"),
        ("/etc/passwd", Code::PermissionDenied, "FILE_OUTSIDE_FOLDER"),
        ("/no/such/file", Code::PermissionDenied, "FILE_OUTSIDE_FOLDER"),
    ] {
        let status = server.create(spec("bad", file)).await.unwrap_err();
        assert_error(&status, code, reason, &[]);
        if reason == "FILE_OUTSIDE_FOLDER" {
            assert!(status.message().contains("PULSE_SQLITE_DIR"), "{status:?}");
        }
    }
    let nul = server.create(spec("bad", "a\0b")).await.unwrap_err();
    assert_error(&nul, Code::InvalidArgument, "FIELD_INVALID", &["connection.database"]);
}

#[tokio::test]
async fn a_mask_names_fields_that_exist() {
    let (mut server, id) = with_table().await;
    let mut update = async |path: &str| {
        let update_mask = Some(prost_types::FieldMask { paths: vec![path.to_owned()] });
        let connection = Some(ConnectionSpec::default());
        let request = UpdateConnectionRequest { id: id.clone(), connection, update_mask, ..Default::default() };
        server.connections.update_connection(request).await.unwrap_err()
    };
    for path in ["nonsense", "id", "limits.nonsense", ""] {
        assert_error(&update(path).await, Code::InvalidArgument, "FIELD_INVALID", &["update_mask"]);
    }
}
