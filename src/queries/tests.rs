//! The use case over a real database file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;

use super::{Databases, Intent, Options, RequestedLimits, Service, Statement, StreamItem, Truncation, evidence};
use crate::domain::evidence::{Evidence, PlannerVerdict};
use crate::domain::outputs::{CheckKind, ComposerOutput, Verdict};
use crate::domain::{
    AccessMode, Column, ColumnPath, ColumnType, ColumnValues, Connection, ConnectionId, ConnectionLimits, DatabaseKind,
    Facts, Failure, Principal, Reason, Schema, Source, Table, TableKind, TenantId, Tls, Value, ValueIndex,
};
use crate::sql::guard::{self, Policy};
use crate::sql::{Database, SampleBounds, Target, analyse, sqlite};
use crate::store::embedded::Embedded;

/// One connection to one file.
struct OneDatabase {
    connection: Connection,
    database: Database,
}

#[async_trait]
impl Databases for OneDatabase {
    async fn database(&self, _who: &Principal, _id: ConnectionId) -> Result<(Arc<Connection>, Database), Failure> {
        Ok((self.connection.clone().into(), self.database.clone()))
    }

    async fn schema(&self, _who: &Principal, _id: ConnectionId) -> Result<Arc<Schema>, Failure> {
        Ok(Arc::new(self.database.schema().await?))
    }
}

struct Fixture {
    service: Service,
    id: ConnectionId,
    database: Database,
    folder: tempfile::TempDir,
}

async fn fixture(limits: ConnectionLimits) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("music.sqlite");
    let sql = "CREATE TABLE artist(id INTEGER PRIMARY KEY, name TEXT);
               CREATE TABLE album(id INTEGER PRIMARY KEY, artist_id INTEGER REFERENCES artist, title TEXT);
               INSERT INTO artist VALUES (1, 'AC/DC'), (2, 'Accept'), (3, 'Aerosmith');
               INSERT INTO album VALUES (1, 1, 'Let There Be Rock'), (2, 2, 'Restless and Wild');";
    rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let database = Database::new(Target::Sqlite { path }, crate::sql::Options::default());
    let connection = connection(limits);
    let id = connection.id;
    let store = Arc::new(Embedded::in_memory().await.unwrap());
    let service = Service::new(OneDatabase { connection, database: database.clone() }, store, Options::default());
    Fixture { service, id, database, folder }
}

fn connection(limits: ConnectionLimits) -> Connection {
    Connection {
        id: ConnectionId::generate(),
        tenant: TenantId::local(),
        name: "music".into(),
        kind: DatabaseKind::Sqlite,
        host: String::new(),
        port: 0,
        database: "music.sqlite".into(),
        username: String::new(),
        tls: Tls::default(),
        access_mode: AccessMode::ReadOnly,
        allowed_functions: Vec::new(),
        excluded_columns: Vec::new(),
        limits,
        has_password: false,
        create_time: jiff::Timestamp::UNIX_EPOCH,
        update_time: jiff::Timestamp::UNIX_EPOCH,
        etag: String::new(),
    }
}

fn statement(sql: &str) -> Statement {
    Statement { sql: sql.to_owned(), parameters: Vec::new() }
}

#[tokio::test]
async fn every_failure_has_its_reason() {
    let fixture = fixture(ConnectionLimits::default()).await;
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let timeout = RequestedLimits { timeout: Some(Duration::from_millis(20)), ..RequestedLimits::default() };
    for (sql, reason) in [
        ("tell me everything", Reason::SqlNotUnderstood),
        ("DELETE FROM artist", Reason::SqlNotAllowed),
        ("SELECT 1; SELECT 2", Reason::SqlNotAllowed),
        ("SELECT nme FROM artist", Reason::SqlFailed),
        ("SELECT ?", Reason::FieldInvalid),
        ("SELECT zeroblob(1000000), zeroblob(1000000), zeroblob(1000000), zeroblob(1000000)", Reason::ResultTooLarge),
        (endless, Reason::StatementTimeout),
    ] {
        let who = Principal::local();
        let failure =
            fixture.service.execute(&who, fixture.id, statement(sql), timeout, Intent::Read).await.unwrap_err();
        assert_eq!(failure.reason, reason, "{sql}: {failure}");
        let of_sql = matches!(reason, Reason::SqlNotUnderstood | Reason::SqlNotAllowed | Reason::SqlFailed);
        assert_eq!(failure.sql.is_some(), of_sql, "{sql}");
    }
    std::fs::remove_file(fixture.folder.path().join("music.sqlite")).unwrap();
    let gone = fixture
        .service
        .execute(&Principal::local(), fixture.id, statement("SELECT 1"), timeout, Intent::Read)
        .await
        .unwrap_err();
    assert_eq!((gone.reason, gone.metadata["path"].as_str()), (Reason::FileNotFound, "music.sqlite"));
}

#[tokio::test]
async fn limits_are_the_least_of_caller_connection_and_server() {
    let own = ConnectionLimits { max_rows: Some(2), ..ConnectionLimits::default() };
    for (limits, asked, expected) in [
        (own, None, 2),
        (own, Some(1), 1),
        (own, Some(9), 2),
        (ConnectionLimits::default(), None, 1_000),
        (ConnectionLimits::default(), Some(20_000), 10_000),
    ] {
        let fixture = fixture(limits).await;
        let requested = RequestedLimits { max_rows: asked, ..RequestedLimits::default() };
        let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n";
        let result = fixture
            .service
            .execute(&Principal::local(), fixture.id, statement(many), requested, Intent::Read)
            .await
            .unwrap();
        assert_eq!((result.row_count, result.truncated), (expected, Some(Truncation::Rows)), "{asked:?}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_summary() {
    let fixture = fixture(ConnectionLimits::default()).await;
    let sql = statement("SELECT name FROM artist ORDER BY name");
    let stream =
        fixture.service.stream(&Principal::local(), fixture.id, sql, RequestedLimits::default()).await.unwrap();
    assert_eq!(stream.columns[0].name, "name");
    let items: Vec<StreamItem> = stream.items.map(Result::unwrap).collect().await;
    let [StreamItem::Rows(rows), StreamItem::Summary(summary)] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!(rows.to_rows()[0], [Value::String("AC/DC".into())]);
    assert_eq!((summary.row_count, summary.truncated), (3, None));
}

#[tokio::test]
async fn a_refusal_is_an_answer_of_validate() {
    let fixture = fixture(ConnectionLimits::default()).await;
    for (sql, failed) in [
        ("SELECT name FROM artist", None),
        ("tell me everything", Some(CheckKind::Parse)),
        ("DROP TABLE artist", Some(CheckKind::ReadOnly)),
        ("SELECT nme FROM artist", Some(CheckKind::Schema)),
        ("SELECT max(name, ) FROM artist", Some(CheckKind::Parse)),
        ("SELECT abs(1, 2) FROM artist", Some(CheckKind::Planner)),
    ] {
        let validation =
            fixture.service.validate(&Principal::local(), fixture.id, statement(sql), Intent::Read).await.unwrap();
        let first = validation.checks.iter().find(|check| check.verdict == Verdict::Failed).map(|check| check.kind);
        assert_eq!((first, validation.refusal.is_some()), (failed, failed.is_some()), "{sql}");
    }
    let joined = statement("SELECT 1 FROM Artist a JOIN album b ON b.artist_id = a.id JOIN artist c");
    let validation = fixture.service.validate(&Principal::local(), fixture.id, joined, Intent::Read).await.unwrap();
    assert_eq!(validation.tables, ["main.album", "main.artist"]);
    assert!(validation.plan.text.contains("SCAN"), "{:?}", validation.plan);
}

async fn gathered(fixture: &Fixture, source: &Source, facts: &Facts, sql: &str) -> Evidence {
    let composer = ComposerOutput {
        sql: sql.to_owned(),
        dialect: DatabaseKind::Sqlite,
        parameters: Vec::new(),
        explanation: String::new(),
        assumptions: Vec::new(),
        confidence: 1.0,
    };
    fixture.service.evidence(&Principal::local(), source, facts, &composer).await.unwrap()
}

#[tokio::test]
async fn evidence_names_what_is_not_there_and_what_is_close() {
    let fixture = fixture(ConnectionLimits::default()).await;
    let schema = fixture.database.schema().await.unwrap();
    let values = fixture.database.values(&schema, SampleBounds::default()).await.unwrap();
    let facts = Facts::new(Arc::new(schema.clone()), Arc::new(values), jiff::civil::date(2026, 11, 23));
    let saved = Source::Connection(fixture.id);
    for (sql, unknown, unmatched) in [
        ("SELECT title FROM album JOIN artist ON artist_id = artist.id WHERE name = 'Accept'", "", ""),
        ("SELECT name AS n FROM artist ORDER BY n", "", ""),
        ("WITH a AS (SELECT name AS n FROM artist) SELECT n FROM a WHERE n <> 'x'", "", ""),
        ("SELECT rowid, \"a text\" FROM artist", "", ""),
        ("SELECT name FROM artist WHERE name IN ('AC/DC', 'accept')", "", "accept > Accept"),
        ("SELECT name FROM artist WHERE name = 'accept' COLLATE NOCASE", "", ""),
        ("SELECT a.nme FROM artist a", "a.nme > artist.name", ""),
        ("SELECT name FROM artists", "artists > artist", ""),
        ("SELECT x.name FROM artist a", "x.name > artist.name", ""),
        ("WITH a AS (SELECT name AS n FROM artist) SELECT a.name FROM a", "a.name > artist.name", ""),
        (
            "SELECT (SELECT count(*) FROM album WHERE artist_id = b.id AND titl = '') FROM artist b",
            "titl > album.title",
            "",
        ),
    ] {
        let evidence = gathered(&fixture, &saved, &facts, sql).await;
        let names: Vec<String> =
            evidence.unknown_names.iter().map(|name| format!("{} > {}", name.name, name.nearest.join(" "))).collect();
        let literals: Vec<String> = evidence
            .unmatched_literals
            .iter()
            .map(|literal| format!("{} > {}", literal.literal, literal.nearest.join(" ")))
            .collect();
        assert_eq!((names.join(", ").as_str(), literals.join(", ").as_str()), (unknown, unmatched), "{sql}");
        let accepted = matches!(evidence.planner, PlannerVerdict::Accepted { .. });
        assert_eq!(accepted, unknown.is_empty(), "{sql}");
    }
    let inline = gathered(&fixture, &Source::InlineSchema(schema), &facts, "SELECT name FROM artist").await;
    assert_eq!(inline.planner, PlannerVerdict::Skipped("an inline schema has no database to ask".to_owned()));
}

/// What is unknown or unmatched in statements of the servers' dialects.
#[test]
fn names_of_servers_are_found_in_their_namespaces() {
    let column = |name: &str, kind: ColumnType| Column {
        name: name.to_owned(),
        declared_type: String::new(),
        kind,
        nullable: true,
        default: None,
        comment: None,
        enum_labels: Vec::new(),
        generated: false,
    };
    let table = |schema: &str, name: &str, text: &str| Table {
        schema: schema.to_owned(),
        name: name.to_owned(),
        kind: TableKind::Table,
        columns: vec![column("id", ColumnType::Integer), column(text, ColumnType::Text)],
        primary_key: vec!["id".to_owned()],
        unique_keys: Vec::new(),
        foreign_keys: Vec::new(),
        comment: None,
        row_count: None,
    };
    let check = |dialect, sql: &str, expected: &str| {
        let tables = vec![table("archive", "orders", "reason"), table("public", "orders", "Status")];
        let schema = Schema { dialect, tables, fingerprint: String::new() };
        let path = ColumnPath { schema: "public".to_owned(), table: "orders".to_owned(), column: "Status".to_owned() };
        let known = ColumnValues { distinct: vec!["shipped".to_owned()], complete: true };
        let values = ValueIndex::new(HashMap::from([(path, known)]));
        let sql = guard::check(sql, &Policy::reads(dialect)).unwrap();
        let analysis = analyse::analyse(&sql);
        let unknown = evidence::unknown_names(analysis, &schema).into_iter().map(|name| name.name);
        let unmatched = evidence::unmatched_literals(analysis, &schema, &values).into_iter().map(|one| one.literal);
        assert_eq!(unknown.chain(unmatched).collect::<Vec<_>>().join(" "), expected, "{}", sql.text());
    };
    let postgres = |sql, expected| check(DatabaseKind::Postgresql, sql, expected);
    postgres("SELECT id FROM orders WHERE \"Status\" = 'shipped'", "");
    postgres("SELECT id FROM orders WHERE \"Status\" = 'Shipped'", "Shipped");
    postgres("SELECT reason FROM orders", "reason");
    postgres("SELECT public.orders.id, archive.orders.reason FROM public.orders, archive.orders", "");
    postgres("SELECT reason, xmax FROM archive.orders", "");
    postgres("SELECT id FROM sales.orders", "orders");
    let mysql = |sql, expected| check(DatabaseKind::Mysql, sql, expected);
    mysql("SELECT id FROM public.orders WHERE `status` = 'SHIPPED'", "");
    mysql("SELECT id FROM public.orders WHERE status = 'SHIPPED' COLLATE utf8mb4_bin", "SHIPPED");
    mysql("SELECT id FROM public.orders WHERE status = 'shipped' COLLATE utf8mb4_bin", "");
    mysql("SELECT archive.orders.reason FROM archive.orders ORDER BY CAST(archive.orders.reason AS BINARY)", "");
}

/// Right statements over many schemas: none of their names may be called unknown.
#[test]
fn the_gold_statements_have_no_unknown_names() {
    let shared = std::env::var_os("PULSE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    // Databases are opened without following links, so a linked folder is followed here.
    let shared = shared.canonicalize().unwrap_or(shared);
    let mut schemas: HashMap<String, Option<Schema>> = HashMap::new();
    let (mut count, mut wrong) = (0, Vec::new());
    for suite in [
        "bird_mini",
        "chinook",
        "defog_advanced",
        "defog_basic",
        "defog_classic",
        "geoquery",
        "spider_dev",
        "spider_syn",
        "spider_train",
    ] {
        let Ok(text) = std::fs::read_to_string(shared.join(format!("eval/suites/{suite}.jsonl"))) else {
            eprintln!(
                "not run: no question suites in {}; set PULSE_SHARED to the folder that has them",
                shared.display()
            );
            return;
        };
        for line in text.lines() {
            let question: serde_json::Value = serde_json::from_str(line).unwrap();
            let (Some(sql), Some(name)) = (question["gold_sql"].as_str(), question["db"].as_str()) else { continue };
            let schema = schemas.entry(name.to_owned()).or_insert_with(|| {
                let path = shared.join(format!("eval/databases/{name}.sqlite"));
                sqlite::schema(&sqlite::open(&path, Duration::ZERO).ok()?).ok()
            });
            let Some(schema) = schema else { continue };
            let Ok(sql) = guard::check(sql, &Policy::reads(DatabaseKind::Sqlite)) else { continue };
            count += 1;
            let unknown = evidence::unknown_names(analyse::analyse(&sql), schema);
            if !unknown.is_empty() {
                wrong.push(format!("{}: {unknown:?}: {}", question["id"], sql.text()));
            }
        }
    }
    assert!(count > 1_000, "only {count} statements could be checked");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
