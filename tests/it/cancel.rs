//! Cancelling reaches the database: whoever leaves, runs out of time or is cancelled leaves nothing running on a real server.

use std::time::Duration;

use pulse::pb::v1::{CancelWorkflowRequest, ConnectionSpec, StreamQueryRequest};
use tonic::{Code, Request, Status};

use crate::support::calls::{question, start};
use crate::support::databases::{statement, stream_of};
use crate::support::follow::Follower;
use crate::support::script::{self, ENDLESS, QUESTION};
use crate::support::server::Server;
use crate::support::servers::{self, Database, DatabaseServer, READ_ONLY};

/// What the scripted model speaks of; a join of `order_items` with itself has no end in this life.
const SHOP: &str = "
CREATE TABLE customers (id int PRIMARY KEY, name varchar(20));
CREATE TABLE order_items (id int PRIMARY KEY, quantity int);
INSERT INTO order_items
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT i, 1 FROM n;
";

async fn both() -> [&'static DatabaseServer; 2] {
    [servers::postgres().await, servers::mariadb().await]
}

/// A new shop on this server, and a connection to it.
async fn shop<'a>(server: &mut Server, on: &'a DatabaseServer) -> (Database<'a>, String) {
    let database = on.fresh_database("cancel").await;
    database.admin(SHOP).await;
    let spec =
        ConnectionSpec { name: database.name.clone(), url: database.url(READ_ONLY), ..ConnectionSpec::default() };
    let id = server.create(spec).await.unwrap().id;
    (database, id)
}

/// Waits until so many sessions with the database are at work.
async fn running(database: &Database<'_>, count: usize) {
    let condition = format!("database_name = '{}' AND state IN ('active', 'Query', 'Execute')", database.name);
    database.server.until_sessions(&condition, count).await;
}

#[tokio::test]
async fn a_caller_that_leaves_takes_its_statement_along() {
    let mut server = Server::start().await;
    for on in both().await {
        let (database, id) = shop(&mut server, on).await;
        let mut queries = server.queries.clone();
        let endless = statement(&id, ENDLESS);
        let call = tokio::spawn(async move { queries.execute_query(endless).await });
        running(&database, 1).await;
        call.abort();
        running(&database, 0).await;

        let mut queries = server.queries.clone();
        let endless = stream_of(&id, ENDLESS);
        let call = tokio::spawn(async move { queries.stream_query(endless).await });
        running(&database, 1).await;
        call.abort();
        running(&database, 0).await;
        // What comes next finds a clean session.
        assert_eq!(server.execute(&id, "SELECT count(*) FROM order_items").await.unwrap().row_count, 1);
    }
}

#[tokio::test]
async fn a_deadline_ends_the_statement() {
    let mut server = Server::start().await;
    for on in both().await {
        let (database, id) = shop(&mut server, on).await;
        let mut unary = Request::new(statement(&id, ENDLESS));
        unary.metadata_mut().insert("grpc-timeout", "300m".parse().unwrap());
        let ended = server.queries.execute_query(unary).await.unwrap_err();
        assert!(is_over(&ended), "{ended}");
        running(&database, 0).await;

        let mut stream = Request::new(StreamQueryRequest { ..stream_of(&id, ENDLESS) });
        stream.metadata_mut().insert("grpc-timeout", "300m".parse().unwrap());
        let ended = match server.queries.stream_query(stream).await {
            Ok(answer) => {
                let mut parts = answer.into_inner();
                loop {
                    match parts.message().await {
                        Ok(part) => assert!(part.is_some(), "the stream ended well"),
                        Err(ended) => break ended,
                    }
                }
            }
            Err(ended) => ended,
        };
        assert!(is_over(&ended), "{ended}");
        running(&database, 0).await;
    }
}

/// The client's library watches the same deadline, and says that it cancelled when it is first.
fn is_over(ended: &Status) -> bool {
    matches!(ended.code(), Code::DeadlineExceeded | Code::Cancelled)
}

#[tokio::test]
async fn a_cancelled_workflow_stops_its_statement() {
    let model = script::model(ENDLESS, None).await;
    let mut server = script::server(&model, &["--statement-timeout", "5m"]).await;
    for on in both().await {
        let (database, connection) = shop(&mut server, on).await;
        let id = start(&mut server.workflows, question(&connection, QUESTION)).await;
        let mut follower = Follower::new(&mut server.workflows, &id, 0).await;
        follower.until("step_started execution").await;
        running(&database, 1).await;
        let cancel = CancelWorkflowRequest { id, reason: "changed my mind".to_owned() };
        server.workflows.cancel_workflow(cancel).await.unwrap();
        tokio::time::timeout(Duration::from_mins(1), running(&database, 0)).await.expect("the statement ends");
    }
}
