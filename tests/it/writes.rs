//! Writes on purpose: only where the connection and the call both say so, once per request id, and never more than rows
//! unless the connection says DDL.

use pulse::pb::v1::value::Kind;
use pulse::pb::v1::{AccessMode, ConnectionSpec, ExecuteQueryRequest, GetSchemaRequest, ValidateQueryRequest};
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::calls::assert_error;
use crate::support::databases::{cells, spec, sqlite, statement};
use crate::support::server::Server;
use crate::support::servers::{self, Database, OwnServer, READ_WRITE};

const STOCK: &str = "
CREATE TABLE stock (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, amount INTEGER NOT NULL DEFAULT 0);
CREATE TABLE moves (stock_id INTEGER NOT NULL REFERENCES stock, amount INTEGER CHECK (amount <> 0));
INSERT INTO stock VALUES (1, 'bolt', 10), (2, 'nut', 20);
";

/// A server with a connection to a little stock, of this access mode.
async fn stock(access_mode: AccessMode) -> (Server, String) {
    let mut server = Server::start().await;
    sqlite(&server.databases(), "stock.sqlite", STOCK);
    let spec = ConnectionSpec { access_mode: access_mode.into(), ..spec("stock", "stock.sqlite") };
    let id = server.create(spec).await.unwrap().id;
    (server, id)
}

fn write(id: &str, sql: &str) -> ExecuteQueryRequest {
    ExecuteQueryRequest { allow_write: true, ..statement(id, sql) }
}

async fn amounts(server: &mut Server, id: &str) -> Vec<Vec<Kind>> {
    cells(&server.execute(id, "SELECT amount FROM stock ORDER BY id").await.unwrap())
}

#[tokio::test]
async fn rows_are_written_and_counted() {
    let (mut server, id) = stock(AccessMode::ReadWrite).await;
    let update = write(&id, "UPDATE stock SET amount = amount + 1");
    let answer = server.queries.execute_query(update).await.unwrap().into_inner();
    assert_eq!((answer.affected_row_count, answer.row_count, answer.columns.len()), (Some(2), 0, 0));
    let insert = "INSERT INTO stock (name) VALUES ('washer') RETURNING id, amount";
    let answer = server.queries.execute_query(write(&id, insert)).await.unwrap().into_inner();
    assert_eq!(answer.affected_row_count, Some(1));
    assert_eq!(cells(&answer), [[Kind::Int64Value(3), Kind::Int64Value(0)]]);
    let nothing = write(&id, "DELETE FROM stock WHERE id > 100");
    assert_eq!(server.queries.execute_query(nothing).await.unwrap().into_inner().affected_row_count, Some(0));
    let read = server.queries.execute_query(write(&id, "SELECT count(*) FROM stock")).await.unwrap().into_inner();
    assert_eq!((cells(&read), read.affected_row_count), (vec![vec![Kind::Int64Value(3)]], None));
    // Rows that do not fit are left out; the write is whole.
    let capped = ExecuteQueryRequest { max_rows: 1, ..write(&id, "UPDATE stock SET amount = 7 RETURNING id") };
    let answer = server.queries.execute_query(capped).await.unwrap().into_inner();
    assert_eq!((answer.affected_row_count, answer.row_count, answer.truncated), (Some(3), 1, true));
    assert_eq!(amounts(&mut server, &id).await, vec![vec![Kind::Int64Value(7)]; 3]);
}

#[tokio::test]
async fn connection_and_call_must_both_say_so() {
    let (mut server, id) = stock(AccessMode::ReadWrite).await;
    let refused = server.execute(&id, "DELETE FROM stock").await.unwrap_err();
    assert_error(&refused, Code::PermissionDenied, "SQL_NOT_ALLOWED", &[]);
    assert!(refused.message().contains("allow_write"), "{refused}");
    let (mut reading, read_only) = stock(AccessMode::ReadOnly).await;
    for sql in ["DELETE FROM stock", "SELECT 1"] {
        let refused = reading.queries.execute_query(write(&read_only, sql)).await.unwrap_err();
        assert_error(&refused, Code::PermissionDenied, "SQL_NOT_ALLOWED", &[]);
        assert!(refused.message().contains("READ_WRITE"), "{refused}");
    }
    for sql in ["DROP TABLE moves", "CREATE TABLE t (a)", "ALTER TABLE stock ADD COLUMN b", "BEGIN", "ATTACH 'x' AS y"]
    {
        let refused = server.queries.execute_query(write(&id, sql)).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{sql}: {refused}");
    }
    assert_eq!(amounts(&mut server, &id).await, [[Kind::Int64Value(10)], [Kind::Int64Value(20)]]);
}

#[tokio::test]
async fn tables_change_only_where_ddl_is_admitted() {
    let (mut server, id) = stock(AccessMode::Ddl).await;
    for sql in [
        "CREATE TABLE colours (name TEXT)",
        "ALTER TABLE colours ADD COLUMN code TEXT",
        "INSERT INTO colours VALUES ('red', 'r')",
    ] {
        server.queries.execute_query(write(&id, sql)).await.unwrap();
    }
    assert_eq!(server.execute(&id, "SELECT * FROM colours").await.unwrap().columns.len(), 2);
    server.queries.execute_query(write(&id, "DROP TABLE colours")).await.unwrap();
    let refused = server.queries.execute_query(write(&id, "PRAGMA journal_mode = DELETE")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
}

#[tokio::test]
async fn a_table_made_through_a_connection_is_in_its_schema_at_once() {
    let (mut server, id) = stock(AccessMode::Ddl).await;
    let tables = async |server: &mut Server| {
        let request = GetSchemaRequest { id: id.clone(), ..GetSchemaRequest::default() };
        server.connections.get_schema(request).await.unwrap().into_inner().table_count
    };
    assert_eq!(tables(&mut server).await, 2);
    server.queries.execute_query(write(&id, "CREATE TABLE extra (n INTEGER)")).await.unwrap();
    assert_eq!(tables(&mut server).await, 3);
}

#[tokio::test]
async fn a_request_id_writes_once() {
    let (mut server, id) = stock(AccessMode::ReadWrite).await;
    let with = |request_id: &str, sql: &str| ExecuteQueryRequest { request_id: request_id.into(), ..write(&id, sql) };
    let insert = with("one", "INSERT INTO stock (name, amount) VALUES ('washer', 1) RETURNING id");
    let first = server.queries.execute_query(insert.clone()).await.unwrap().into_inner();
    let again = server.queries.execute_query(insert).await.unwrap().into_inner();
    assert_eq!(first, again);
    assert_eq!(amounts(&mut server, &id).await.len(), 3);

    let other = with("one", "DELETE FROM stock");
    let refused = server.queries.execute_query(other).await.unwrap_err();
    assert_error(&refused, Code::AlreadyExists, "REQUEST_ID_REUSED", &[]);

    let broken = with("two", "INSERT INTO stock (name) VALUES ('bolt')");
    let first = server.queries.execute_query(broken.clone()).await.unwrap_err();
    assert_error(&first, Code::FailedPrecondition, "SQL_CONSTRAINT_VIOLATED", &[]);
    // What did not happen may be sent again, and then it happens once.
    server.queries.execute_query(write(&id, "DELETE FROM stock WHERE name = 'bolt'")).await.unwrap();
    let before = amounts(&mut server, &id).await.len();
    for _ in 0..2 {
        let written = server.queries.execute_query(broken.clone()).await.unwrap().into_inner();
        assert_eq!(written.affected_row_count, Some(1));
    }
    assert_eq!(amounts(&mut server, &id).await.len(), before + 1);
}

#[tokio::test]
async fn a_write_that_was_stopped_for_certain_leaves_its_request_id_free() {
    let (mut server, id) = stock(AccessMode::ReadWrite).await;
    let endless = "UPDATE stock SET amount = (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) \
                   SELECT count(*) FROM c)";
    let timeout = Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 });
    let request = ExecuteQueryRequest { request_id: "slow".into(), timeout, ..write(&id, endless) };
    for _ in 0..2 {
        let stopped = server.queries.execute_query(request.clone()).await.unwrap_err();
        assert_error(&stopped, Code::DeadlineExceeded, "STATEMENT_TIMEOUT", &[]);
        assert!(!stopped.get_details_error_info().unwrap().metadata.contains_key("outcome"), "{stopped:?}");
    }
    let instead = ExecuteQueryRequest { request_id: "slow".into(), ..write(&id, "DELETE FROM stock WHERE id = 1") };
    assert_eq!(server.queries.execute_query(instead).await.unwrap().into_inner().affected_row_count, Some(1));
}

/// A connection to a table `stock` of one row.
async fn stock_on(server: &mut Server, database: &Database<'_>) -> String {
    let table = "CREATE TABLE stock (id int primary key, amount int); INSERT INTO stock VALUES (1, 10);";
    database.run_as(READ_WRITE, table).await;
    let access_mode = AccessMode::ReadWrite.into();
    let spec = ConnectionSpec { url: database.url(READ_WRITE), access_mode, ..ConnectionSpec::default() };
    server.create(spec).await.unwrap().id
}

/// Servers that a test may stop, and how a session of each falls asleep.
async fn own_servers() -> [(OwnServer, &'static str); 2] {
    [
        (servers::postgres_of_its_own(&[]).await, "SELECT pg_sleep(60)"),
        (servers::mariadb_of_its_own(&[]).await, "SELECT sleep(60)"),
    ]
}

#[tokio::test]
async fn a_write_that_never_reached_its_server_leaves_its_request_id_free() {
    let mut server = Server::start().await;
    for (databases, _) in own_servers().await {
        let id = stock_on(&mut server, &databases.fresh_database("down").await).await;
        let request_id = format!("down-{id}");
        let insert = ExecuteQueryRequest { request_id, ..write(&id, "INSERT INTO stock VALUES (2, 20)") };
        databases.stop().await;
        // The session that was open notices first.
        let _ = server.execute(&id, "SELECT 1").await.unwrap_err();
        let down = server.queries.execute_query(insert.clone()).await.unwrap_err();
        assert_error(&down, Code::Unavailable, "TARGET_UNAVAILABLE", &[]);
        let metadata = down.get_details_error_info().unwrap().metadata;
        assert!(metadata["failure"] == "REFUSED" && !metadata.contains_key("outcome"), "{down:?}");
        assert!(down.get_details_retry_info().is_some(), "{down:?}");
        databases.start().await;
        for _ in 0..2 {
            let written = server.queries.execute_query(insert.clone()).await.unwrap().into_inner();
            assert_eq!(written.affected_row_count, Some(1));
        }
        assert_eq!(server.execute(&id, "SELECT id FROM stock").await.unwrap().row_count, 2);
    }
}

#[tokio::test]
async fn a_write_whose_end_was_lost_says_so_and_is_not_run_again() {
    let mut server = Server::start().await;
    for (databases, sleep) in own_servers().await {
        let database = databases.fresh_database("lost").await;
        let id = stock_on(&mut server, &database).await;
        let update = |request_id: &str| ExecuteQueryRequest {
            request_id: format!("{request_id}-{id}"),
            ..write(&id, "UPDATE stock SET amount = amount + 1 WHERE id = 1")
        };
        let hold = format!("BEGIN; UPDATE stock SET amount = 10; {sleep};");
        let mut client = server.queries.clone();
        let killed = async {
            databases.until_sessions(&format!("query LIKE '{sleep}%'"), 1).await;
            let write = client.execute_query(update("lost"));
            let kill = async {
                databases.until_sessions("query LIKE 'UPDATE stock SET amount = amount +%'", 1).await;
                databases.kill().await;
            };
            tokio::join!(write, kill).0
        };
        let (_, lost) = tokio::join!(database.attempt(READ_WRITE, &hold), killed);
        let lost = lost.unwrap_err();
        assert_error(&lost, Code::Unavailable, "TARGET_UNAVAILABLE", &[]);
        assert_eq!(lost.get_details_error_info().unwrap().metadata["outcome"], "unknown");
        assert!(lost.message().contains("not known") && lost.get_details_retry_info().is_none(), "{lost:?}");
        databases.start().await;
        let repeated = server.queries.execute_query(update("lost")).await.unwrap_err();
        assert_error(&repeated, Code::Aborted, "SQL_CONFLICT", &[]);
        let metadata = repeated.get_details_error_info().unwrap().metadata;
        assert_eq!((metadata["outcome"].as_str(), metadata["request_id"].clone()), ("unknown", format!("lost-{id}")));
        assert!(repeated.message().contains("new request id"), "{repeated:?}");
        let written = server.queries.execute_query(update("anew")).await.unwrap().into_inner();
        assert_eq!(written.affected_row_count, Some(1));
    }
}

#[tokio::test]
async fn constraints_say_which_kind_was_broken() {
    let (mut server, id) = stock(AccessMode::ReadWrite).await;
    for (sql, sqlstate) in [
        ("INSERT INTO stock (name) VALUES ('nut')", "SQLITE_CONSTRAINT_UNIQUE"),
        ("INSERT INTO stock (id, name) VALUES (1, 'x')", "SQLITE_CONSTRAINT_PRIMARYKEY"),
        ("INSERT INTO stock (name) VALUES (NULL)", "SQLITE_CONSTRAINT_NOTNULL"),
        ("INSERT INTO moves VALUES (1, 0)", "SQLITE_CONSTRAINT_CHECK"),
        ("INSERT INTO moves VALUES (99, 1)", "SQLITE_CONSTRAINT_FOREIGNKEY"),
    ] {
        let refused = server.queries.execute_query(write(&id, sql)).await.unwrap_err();
        assert_error(&refused, Code::FailedPrecondition, "SQL_CONSTRAINT_VIOLATED", &[]);
        assert_eq!(refused.get_details_error_info().unwrap().metadata["sqlstate"], sqlstate, "{sql}");
    }
}

#[tokio::test]
async fn a_write_is_judged_without_running() {
    let (mut server, id) = stock(AccessMode::ReadWrite).await;
    let request = |sql: &str, allow_write| ValidateQueryRequest {
        connection_id: id.clone(),
        sql: sql.into(),
        allow_write,
        ..Default::default()
    };
    for (sql, allow_write, valid) in [
        ("DELETE FROM stock", true, true),
        ("DELETE FROM stock", false, false),
        ("DELETE FROM stocks", true, false),
        ("DROP TABLE stock", true, false),
    ] {
        let answer = server.queries.validate_query(request(sql, allow_write)).await.unwrap().into_inner();
        assert_eq!(answer.valid, valid, "{sql}: {answer:?}");
    }
    let only = ExecuteQueryRequest { validate_only: true, ..write(&id, "DELETE FROM stock") };
    server.queries.execute_query(only).await.unwrap();
    assert_eq!(amounts(&mut server, &id).await.len(), 2);
}
