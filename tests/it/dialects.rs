//! The same question about the same data gives the same rows on PostgreSQL, MariaDB and SQLite.
//!
//! Rows compare in order where the statement orders them, else as multisets; numbers with a tolerance of 1e-6, whatever
//! their type, for SQLite keeps decimals as floating-point numbers.

use std::path::Path;

use pulse::pb::v1::run_workflow_request::Source;
use pulse::pb::v1::value::Kind;
use pulse::pb::v1::workflow_event::Event;
use pulse::pb::v1::{ConnectionSpec, Engine, ExecuteQueryRequest, RunWorkflowRequest};

use crate::support::databases::{cells, spec, statement};
use crate::support::follow::reason;
use crate::support::server::Server;
use crate::support::servers::{self, READ_ONLY, READ_WRITE};

/// About Chinook, beside those of the shared question suite: dates, order, and what is looked for in any case.
const QUESTIONS: &[&str] = &[
    "How many invoices were there in each year?",
    "What is the sum of the totals of invoices for each year?",
    "How many invoices were issued in March 2024?",
    "How many invoices were issued after 2024?",
    "Show the names of tracks whose name contains 'LOVE'.",
    "Show the names of artists whose name contains 'Á'.",
    "List the last names of customers ordered by company.",
    "List the names of tracks ordered by composer.",
    "What are the 10 longest tracks?",
    "How many invoices were there in each month?",
    "Show the 5 invoices with the highest total.",
    "What is the average milliseconds of tracks?",
    "Show the ids of invoices with a total above the average.",
    "Which employee was hired first?",
    "Which employee was hired last?",
    "How many employees were hired in 2003?",
    "How many different composers are there?",
    "Which country has the most customers?",
    "Show the first names of all customers in alphabetical order.",
];

/// What is NULL, what differs only in case, what is true; in words that every dialect reads.
const PEOPLE: &str = "
CREATE TABLE people (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL, city VARCHAR(40), age INTEGER,
                     active BOOLEAN NOT NULL, born DATE);
INSERT INTO people VALUES
  (1, 'Zoe', 'Paris', 41, TRUE, '1985-03-01'), (2, 'anna', 'paris', NULL, FALSE, '1990-12-31'),
  (3, 'Joanna', 'Lyon', 29, TRUE, NULL), (4, 'Émile', 'Paris', 41, TRUE, '1991-01-01'),
  (5, 'Bob_5', NULL, 7, FALSE, '1985-11-30'), (6, 'Bob15', 'LYON', 0, FALSE, '1990-01-01');";

/// Questions about them, and the rows that are the answer.
const ABOUT_PEOPLE: &[(&str, &[&[&str]])] = &[
    (
        "List the names of people ordered by age.",
        &[&["anna"], &["Bob15"], &["Bob_5"], &["Joanna"], &["Zoe"], &["Émile"]],
    ),
    (
        "List the names of people in descending order of age.",
        &[&["Zoe"], &["Émile"], &["Joanna"], &["Bob_5"], &["Bob15"], &["anna"]],
    ),
    (
        "Show the names of people ordered by name.",
        &[&["Bob15"], &["Bob_5"], &["Joanna"], &["Zoe"], &["anna"], &["Émile"]],
    ),
    ("What is the name of the oldest person?", &[&["Zoe"]]),
    (
        "How many people are there in each city?",
        &[&["1", "LYON"], &["1", "Lyon"], &["1", "NULL"], &["1", "paris"], &["2", "Paris"]],
    ),
    ("How many different cities are there?", &[&["4"]]),
    ("List the different cities of people.", &[&["LYON"], &["Lyon"], &["NULL"], &["Paris"], &["paris"]]),
    ("How many people live in Paris?", &[&["2"]]),
    ("Show the names of people whose name contains 'ANN'.", &[&["Joanna"], &["anna"]]),
    ("Show the names of people whose name starts with 'é'.", &[&["Émile"]]),
    ("Show the names of people whose name contains 'b_5'.", &[&["Bob_5"]]),
    ("How many people are active?", &[&["3"]]),
    ("How many people are not active?", &[&["3"]]),
    ("What is the average age of people?", &[&["23.6"]]),
    ("How many people have born in 1990?", &[&["2"]]),
];

/// What is so or not, and when something was done.
const MEMBERS: &str = "
CREATE TABLE members (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL, vip BOOLEAN NOT NULL, signed_up DATE,
                      checked_out_at TIMESTAMP NULL);
INSERT INTO members VALUES
  (1, 'Ann', TRUE, '2025-01-01', '2025-12-31 23:59:59'), (2, 'Ben', FALSE, '2025-12-31', '2026-01-01 00:00:00'),
  (3, 'Cid', TRUE, '2026-01-01', '2025-03-31 12:00:00'), (4, 'Dan', FALSE, NULL, NULL);";

const ABOUT_MEMBERS: &[(&str, &[&[&str]])] = &[
    ("How many VIP members are there?", &[&["2"]]),
    ("Show the names of all VIP members.", &[&["Ann"], &["Cid"]]),
    ("How many members are not VIP?", &[&["2"]]),
    ("How many members signed up in 2025?", &[&["2"]]),
    ("Show the names of members who signed up in December 2025.", &[&["Ben"]]),
    ("How many VIP members signed up in 2025?", &[&["1"]]),
    ("How many members checked out in 2025?", &[&["2"]]),
    ("How many members checked out in March 2025?", &[&["1"]]),
    ("How many members checked out after 2025?", &[&["1"]]),
    ("Show the names of members who checked out after 2025.", &[&["Ben"]]),
];

/// More than any answer has.
const MOST_ROWS: i32 = 100_000;

/// A server with the same data in three databases: connection ids of SQLite, PostgreSQL and MariaDB.
struct Three {
    server: Server,
    ids: [String; 3],
}

impl Three {
    async fn chinook() -> Self {
        let mut server = Server::start().await;
        std::fs::copy(servers::chinook_sqlite(), server.databases().join("chinook.sqlite")).unwrap();
        let sqlite = server.create(spec("sqlite", "chinook.sqlite")).await.unwrap().id;
        let postgres = save(&mut server, "postgres", servers::chinook_postgres().await.url(READ_ONLY)).await;
        let mariadb = save(&mut server, "mariadb", servers::chinook_mariadb().await.url(READ_ONLY)).await;
        Self { server, ids: [sqlite, postgres, mariadb] }
    }

    async fn with(tables: &str) -> Self {
        let mut server = Server::start().await;
        let sqlite = server.database("three", tables).await;
        let on_postgres = servers::postgres().await.fresh_database("three").await;
        on_postgres.run_as(READ_WRITE, tables).await;
        let on_mariadb = servers::mariadb().await.fresh_database("three").await;
        on_mariadb.run_as(READ_WRITE, tables).await;
        let postgres = save(&mut server, "postgres", on_postgres.url(READ_ONLY)).await;
        let mariadb = save(&mut server, "mariadb", on_mariadb.url(READ_ONLY)).await;
        Self { server, ids: [sqlite, postgres, mariadb] }
    }

    /// The statement and its rows in each database; `None` where the question is not understood.
    async fn ask(&mut self, question: &str) -> [Option<Answer>; 3] {
        let [sqlite, postgres, mariadb] = self.ids.clone();
        [
            answer(&mut self.server, &sqlite, question).await,
            answer(&mut self.server, &postgres, question).await,
            answer(&mut self.server, &mariadb, question).await,
        ]
    }
}

#[derive(Debug)]
struct Answer {
    sql: String,
    rows: Vec<Vec<Cell>>,
}

/// A value as people compare it.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Null,
    Number(f64),
    Text(String),
}

async fn save(server: &mut Server, name: &str, url: String) -> String {
    let spec = ConnectionSpec { name: name.to_owned(), url, ..ConnectionSpec::default() };
    server.create(spec).await.unwrap().id
}

async fn answer(server: &mut Server, connection: &str, question: &str) -> Option<Answer> {
    let request = RunWorkflowRequest {
        question: question.to_owned(),
        source: Some(Source::ConnectionId(connection.to_owned())),
        engine: Engine::Builtin.into(),
        execute: Some(false),
        ..RunWorkflowRequest::default()
    };
    let mut stream = server.workflows.run_workflow(request).await.unwrap().into_inner();
    let mut last = None;
    while let Some(response) = stream.message().await.unwrap() {
        last = response.event.unwrap().event;
    }
    let completed = match last {
        Some(Event::Completed(completed)) => completed,
        Some(Event::Failed(failed)) if reason(failed.failure.as_ref().unwrap()) == "QUESTION_NOT_UNDERSTOOD" => {
            return None;
        }
        other => panic!("`{question}` ends with {other:?}"),
    };
    let request = ExecuteQueryRequest { max_rows: MOST_ROWS, ..statement(connection, &completed.sql) };
    let result = match server.queries.execute_query(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => panic!("`{question}` became `{}`, which fails with {status:?}", completed.sql),
    };
    assert!(!result.truncated, "`{question}` has too many rows");
    let rows = cells(&result).into_iter().map(|row| row.into_iter().map(cell).collect()).collect();
    Some(Answer { sql: completed.sql, rows })
}

fn cell(kind: Kind) -> Cell {
    match kind {
        Kind::NullValue(_) => Cell::Null,
        Kind::BoolValue(truth) => Cell::Number(f64::from(u8::from(truth))),
        Kind::Int64Value(number) => Cell::Number(number as f64),
        Kind::DoubleValue(number) => Cell::Number(number),
        Kind::DecimalValue(number) => Cell::Number(number.parse().unwrap()),
        Kind::StringValue(text) | Kind::DateValue(text) | Kind::TimestampValue(text) => Cell::Text(text),
        other => panic!("a value of an unexpected kind: {other:?}"),
    }
}

fn same(left: &Answer, right: &Answer) -> bool {
    let (mut one, mut other) = (left.rows.clone(), right.rows.clone());
    if !left.sql.contains(" ORDER BY ") {
        one.sort_by_cached_key(|row| format!("{row:?}"));
        other.sort_by_cached_key(|row| format!("{row:?}"));
    }
    one.len() == other.len()
        && one.iter().zip(&other).all(|(one, other)| {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_cell(one, other))
        })
}

fn same_cell(left: &Cell, right: &Cell) -> bool {
    match (left, right) {
        (Cell::Number(left), Cell::Number(right)) => (left - right).abs() <= 1e-6 * left.abs().max(right.abs()),
        _ => left == right,
    }
}

/// What three answers differ in, if they do.
fn differences(question: &str, answers: &[Option<Answer>; 3]) -> Option<String> {
    let alike = match answers {
        [None, None, None] => true,
        [Some(sqlite), Some(postgres), Some(mariadb)] => same(sqlite, postgres) && same(sqlite, mariadb),
        _ => false,
    };
    let shown = answers.iter().map(|answer| match answer {
        Some(Answer { sql, rows }) => format!("  {sql}\n    {} rows: {:?}", rows.len(), &rows[..rows.len().min(5)]),
        None => "  not understood".to_owned(),
    });
    (!alike).then(|| format!("{question}\n{}", shown.collect::<Vec<_>>().join("\n")))
}

/// The questions of the shared suite about Chinook.
fn suite() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/eval/suites/chinook.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}: the tests need the folder `shared` beside the repository", path.display())
    });
    let question = |line: &str| {
        let item: serde_json::Value = serde_json::from_str(line).unwrap();
        item["question"].as_str().unwrap().to_owned()
    };
    text.lines().map(question).collect()
}

#[tokio::test]
async fn chinook_answers_alike_everywhere() {
    let mut three = Three::chinook().await;
    let (mut answered, mut differing) = (0, Vec::new());
    for question in suite() {
        let answers = three.ask(&question).await;
        answered += usize::from(answers[0].is_some());
        differing.extend(differences(&question, &answers));
    }
    for question in QUESTIONS {
        let answers = three.ask(question).await;
        assert!(answers[0].as_ref().is_some_and(|answer| !answer.rows.is_empty()), "`{question}` compares nothing");
        differing.extend(differences(question, &answers));
    }
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    assert!(answered >= 100, "only {answered} questions of the suite are answered");
}

#[tokio::test]
async fn nulls_case_and_flags_mean_the_same_everywhere() {
    answers_are(PEOPLE, ABOUT_PEOPLE).await;
}

#[tokio::test]
async fn what_is_so_and_when_it_was_done_restrict_everywhere() {
    answers_are(MEMBERS, ABOUT_MEMBERS).await;
}

async fn answers_are(tables: &str, questions: &[(&str, &[&[&str]])]) {
    let mut three = Three::with(tables).await;
    let mut wrong = Vec::new();
    for (question, expected) in questions {
        let answers = three.ask(question).await;
        wrong.extend(differences(question, &answers));
        let [Some(answer), ..] = &answers else { panic!("`{question}` is not understood") };
        let mut rows: Vec<Vec<String>> = answer.rows.iter().map(|row| row.iter().map(told).collect()).collect();
        if !answer.sql.contains(" ORDER BY ") {
            rows.sort();
        }
        if rows != *expected {
            wrong.push(format!("{question}\n  {}\n    {rows:?}", answer.sql));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn told(cell: &Cell) -> String {
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Number(number) => number.to_string(),
        Cell::Text(text) => text.clone(),
    }
}
