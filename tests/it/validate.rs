//! `ValidateQuery` on the three systems: what guard and planner say, and that nothing happens meanwhile.

use pulse::pb::v1::value::Kind;
use pulse::pb::v1::{
    AccessMode, CheckKind, CheckVerdict, ConnectionSpec, DatabaseKind, ExecuteQueryRequest, ValidateQueryRequest,
    ValidateQueryResponse, Value,
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::calls::assert_error;
use crate::support::databases::{cells, spec, sqlite, statement, value};
use crate::support::server::Server;
use crate::support::servers::{self, READ_WRITE};

const STOCK: &str = "
CREATE TABLE stock (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL, amount INTEGER NOT NULL);
CREATE TABLE moves (stock_id INTEGER NOT NULL, amount INTEGER NOT NULL);
INSERT INTO stock VALUES (1, 'bolt', 10), (2, 'nut', 20);
INSERT INTO moves VALUES (1, 5);
";

/// A connection of each system to a little stock, and its kind.
async fn everywhere(server: &mut Server, access_mode: AccessMode) -> Vec<(DatabaseKind, String)> {
    let access_mode = access_mode.into();
    sqlite(&server.databases(), "stock.sqlite", STOCK);
    let file = ConnectionSpec { access_mode, ..spec("stock", "stock.sqlite") };
    let mut connections = vec![(DatabaseKind::Sqlite, server.create(file).await.unwrap().id)];
    for (kind, databases) in
        [(DatabaseKind::Postgresql, servers::postgres().await), (DatabaseKind::Mysql, servers::mariadb().await)]
    {
        let database = databases.fresh_database("validated").await;
        database.run_as(READ_WRITE, STOCK).await;
        let url = ConnectionSpec { url: database.url(READ_WRITE), access_mode, ..ConnectionSpec::default() };
        connections.push((kind, server.create(url).await.unwrap().id));
    }
    connections
}

fn request(id: &str, sql: &str, allow_write: bool) -> ValidateQueryRequest {
    ValidateQueryRequest { connection_id: id.into(), sql: sql.into(), allow_write, ..Default::default() }
}

async fn validate(server: &mut Server, id: &str, sql: &str, allow_write: bool) -> ValidateQueryResponse {
    server.queries.validate_query(request(id, sql, allow_write)).await.unwrap().into_inner()
}

/// The verdict of a check.
fn verdict(answer: &ValidateQueryResponse, kind: CheckKind) -> CheckVerdict {
    answer.checks.iter().find(|check| check.kind() == kind).unwrap().verdict()
}

#[tokio::test]
async fn a_planner_says_what_it_expects() {
    let mut server = Server::start().await;
    for (kind, id) in everywhere(&mut server, AccessMode::ReadOnly).await {
        let sql = "SELECT s.name FROM stock s JOIN moves m ON m.stock_id = s.id WHERE s.id = 1";
        let answer = validate(&mut server, &id, sql, false).await;
        assert!(answer.valid && answer.error.is_none() && !answer.plan.is_empty(), "{answer:?}");
        let tables: Vec<&str> = answer.tables.iter().filter_map(|table| table.rsplit('.').next()).collect();
        assert_eq!(tables, ["moves", "stock"], "{kind:?}");
        let told = answer.estimated_row_count.is_some() && answer.estimated_cost.is_some_and(|cost| cost > 0.0);
        assert_eq!(told, kind == DatabaseKind::Postgresql, "{answer:?}");
    }
}

#[tokio::test]
async fn a_write_is_judged_with_its_tables_and_does_not_happen() {
    let mut server = Server::start().await;
    let judged = everywhere(&mut server, AccessMode::ReadWrite).await.into_iter();
    for (kind, id) in judged.filter(|(kind, _)| *kind != DatabaseKind::Mysql) {
        for (sql, tables) in [
            ("UPDATE stock SET amount = 0 WHERE id IN (SELECT stock_id FROM moves)", &["moves", "stock"][..]),
            ("DELETE FROM stock WHERE name = 'bolt'", &["stock"]),
            ("INSERT INTO moves (stock_id, amount) SELECT id, amount FROM stock", &["moves", "stock"]),
            ("INSERT INTO moves VALUES (2, 1)", &["moves"]),
        ] {
            let answer = validate(&mut server, &id, sql, true).await;
            assert!(answer.valid, "{kind:?} {sql}: {answer:?}");
            let told: Vec<&str> = answer.tables.iter().filter_map(|table| table.rsplit('.').next()).collect();
            assert_eq!(told, tables, "{kind:?} {sql}");
            assert!(answer.tables.iter().all(|table| table.contains('.')), "{kind:?}: {:?}", answer.tables);
            assert_eq!(verdict(&answer, CheckKind::Schema), CheckVerdict::Passed, "{kind:?} {sql}: {answer:?}");
        }
        let unknown = validate(&mut server, &id, "UPDATE stock SET amount = 0 WHERE naem = 'bolt'", true).await;
        assert!(!unknown.valid && unknown.error.is_some(), "{unknown:?}");
        assert_eq!(verdict(&unknown, CheckKind::Schema), CheckVerdict::Failed, "{unknown:?}");
        let amounts = "SELECT (SELECT sum(amount) FROM stock) + (SELECT sum(amount) FROM moves) = 35";
        let kept = cells(&server.execute(&id, amounts).await.unwrap());
        assert!(matches!(kept[0][0], Kind::BoolValue(true) | Kind::Int64Value(1)), "{kind:?}: {kept:?}");
    }
}

#[tokio::test]
async fn a_connection_that_only_reads_says_so_as_an_answer() {
    let mut server = Server::start().await;
    for (_, id) in everywhere(&mut server, AccessMode::ReadOnly).await {
        let answer = validate(&mut server, &id, "DELETE FROM stock", true).await;
        let error = answer.error.as_ref().unwrap();
        assert_eq!((answer.valid, error.rule.as_str()), (false, "connection_reads_only"), "{answer:?}");
        assert!(error.hint.contains("READ_WRITE") && error.hint.contains("allow_write"), "{error:?}");
        assert_eq!(verdict(&answer, CheckKind::ReadOnly), CheckVerdict::Failed);
        for validate_only in [false, true] {
            let run = ExecuteQueryRequest { allow_write: true, validate_only, ..statement(&id, "DELETE FROM stock") };
            let refused = server.queries.execute_query(run).await.unwrap_err();
            assert_error(&refused, Code::PermissionDenied, "SQL_NOT_ALLOWED", &[]);
            assert_eq!(refused.get_details_error_info().unwrap().metadata["rule"], "connection_reads_only");
        }
    }
}

#[tokio::test]
async fn a_refusal_of_the_guard_names_its_rule() {
    let mut server = Server::start().await;
    for (kind, id) in everywhere(&mut server, AccessMode::ReadWrite).await {
        let forbidden = match kind {
            DatabaseKind::Postgresql => "SELECT pg_sleep(1)",
            DatabaseKind::Mysql => "SELECT sleep(1)",
            _ => "SELECT load_extension('x')",
        };
        for (sql, rule) in [
            (forbidden, "function_not_allowed"),
            ("DELETE FROM stock", "reads_only"),
            ("SELECT 1; SELECT 2", "one_statement"),
            ("SELEC 1", "parse"),
        ] {
            let answer = validate(&mut server, &id, sql, false).await;
            let error = answer.error.clone().unwrap();
            assert_eq!((answer.valid, error.rule.as_str()), (false, rule), "{sql}: {answer:?}");
            let failed = answer.checks.iter().find(|check| check.verdict() == CheckVerdict::Failed).unwrap();
            assert_eq!(failed.sql_error.as_ref().unwrap(), &error);
            // Running it says the same, and so does pretending to.
            for validate_only in [false, true] {
                let run = ExecuteQueryRequest { validate_only, ..statement(&id, sql) };
                let refused = server.queries.execute_query(run).await.unwrap_err();
                assert_eq!(refused.get_details_error_info().unwrap().metadata["rule"], rule, "{sql}: {refused:?}");
            }
        }
        let failed = validate(&mut server, &id, "SELECT nothing FROM stock", false).await;
        assert_eq!(failed.error.unwrap().rule, "", "the database refuses it, no rule of the guard");
    }
}

#[tokio::test]
async fn values_that_do_not_fit_the_placeholders_are_a_bad_field_everywhere() {
    let mut server = Server::start().await;
    for (kind, id) in everywhere(&mut server, AccessMode::ReadWrite).await {
        let places = if kind == DatabaseKind::Postgresql { ["$1", "$2"] } else { ["?", "?"] };
        let [first, second] = places;
        let read = format!("SELECT name FROM stock WHERE id = {first} AND amount = {second}");
        let write = format!("UPDATE stock SET amount = {first} WHERE id = {second}");
        for (sql, allow_write) in [(read, false), (write, true)] {
            if allow_write && kind == DatabaseKind::Mysql {
                continue;
            }
            for count in [0, 1, 3] {
                let parameters: Vec<Value> = vec![value(Kind::Int64Value(1)); count];
                let mut refusals: Vec<Status> = Vec::new();
                let asked = ValidateQueryRequest { parameters: parameters.clone(), ..request(&id, &sql, allow_write) };
                refusals.push(server.queries.validate_query(asked).await.unwrap_err());
                for validate_only in [false, true] {
                    let parameters = parameters.clone();
                    let run = ExecuteQueryRequest { parameters, allow_write, validate_only, ..statement(&id, &sql) };
                    refusals.push(server.queries.execute_query(run).await.unwrap_err());
                }
                for refused in &refusals {
                    assert_error(refused, Code::InvalidArgument, "FIELD_INVALID", &["parameters"]);
                    assert_eq!(refused.message(), refusals[0].message(), "{kind:?}");
                }
            }
        }
    }
}
