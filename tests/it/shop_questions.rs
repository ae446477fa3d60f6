//! Questions a shop owner would ask, answered by the builtin engine: right when the rows are those of the checked SQL.
//!
//! Rows compare as multisets, in order only where the checked SQL orders them; numbers with a tolerance of 1e-6.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::path::Path;

use pulse::pb::v1::run_workflow_request::Source;
use pulse::pb::v1::value::Kind;
use pulse::pb::v1::workflow_event::Event;
use pulse::pb::v1::{Engine, RunWorkflowRequest, Value, WorkflowCompleted};
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde::Deserialize;

use crate::support::calls::connection_id;
use crate::support::follow::reason;
use crate::support::server::Server;

/// As many of the questions must be answered right.
const ENOUGH: usize = 32;

#[derive(Deserialize)]
struct Case {
    id: String,
    question: String,
    /// `None` when the shop's data cannot answer it.
    gold_sql: Option<String>,
    #[serde(default)]
    gold_alt: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
    Abstained,
}

fn cases() -> Vec<Case> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/questions/shop.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn enough_are_answered_right_and_none_wrong() {
    let mut server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let shop = Connection::open(server.databases().join("demo.sqlite")).unwrap();
    let (mut table, mut counts, mut misled) = (String::new(), [0; 3], Vec::new());
    for case in cases() {
        let answer = ask(&mut server, &demo, &case.question).await;
        let verdict = judge(&shop, &case, answer.as_ref().ok());
        let shown = match &answer {
            Ok(completed) => format!("{:.2}  {}", completed.confidence, completed.sql.replace('\n', " ")),
            Err(why) => format!("   -  {why}"),
        };
        let _ = writeln!(table, "{:10} {:9} {shown}", case.id, format!("{verdict:?}"));
        counts[verdict as usize] += 1;
        if verdict == Verdict::Wrong {
            misled.push(case.question);
        }
    }
    let [right, wrong, abstained] = counts;
    println!("{table}\nright {right}, wrong {wrong}, abstained {abstained}");
    assert_eq!(misled, Vec::<String>::new(), "answered wrong");
    assert!(right >= ENOUGH, "{right} right, {ENOUGH} are asked for");
}

/// The final SQL, or why there is none.
async fn ask(server: &mut Server, demo: &str, question: &str) -> Result<WorkflowCompleted, String> {
    let request = RunWorkflowRequest {
        question: question.to_owned(),
        source: Some(Source::ConnectionId(demo.to_owned())),
        engine: Engine::Builtin.into(),
        execute: Some(false),
        ..RunWorkflowRequest::default()
    };
    let mut stream = server.workflows.run_workflow(request).await.unwrap().into_inner();
    let mut last = None;
    while let Some(response) = stream.message().await.unwrap() {
        last = response.event.unwrap().event;
    }
    match last {
        Some(Event::Completed(completed)) => Ok(completed),
        Some(Event::Failed(failed)) => {
            let failure = failed.failure.unwrap();
            let abstained = matches!(reason(&failure), "QUESTION_NOT_UNDERSTOOD" | "QUESTION_AMBIGUOUS");
            assert!(abstained, "`{question}` ends with {failure:?}");
            Err(failure.message)
        }
        other => panic!("`{question}` ends with {other:?}"),
    }
}

fn judge(shop: &Connection, case: &Case, answer: Option<&WorkflowCompleted>) -> Verdict {
    let (Some(answer), gold) = (answer, case.gold_sql.iter().chain(&case.gold_alt)) else { return Verdict::Abstained };
    let Ok(rows) = rows(shop, &answer.sql, &answer.parameters) else { return Verdict::Wrong };
    let fits = |gold: &String| same(rows.clone(), self::rows(shop, gold, &[]).unwrap(), is_ordered(gold));
    if { gold }.any(fits) { Verdict::Right } else { Verdict::Wrong }
}

fn rows(shop: &Connection, sql: &str, parameters: &[Value]) -> rusqlite::Result<Vec<Vec<Cell>>> {
    let mut statement = shop.prepare(sql)?;
    let width = statement.column_count();
    let parameters = rusqlite::params_from_iter(parameters.iter().map(cell));
    let rows = statement.query_map(parameters, |row| (0..width).map(|column| row.get(column)).collect())?;
    rows.collect()
}

fn cell(value: &Value) -> Cell {
    match value.kind.as_ref().unwrap() {
        Kind::NullValue(_) => Cell::Null,
        Kind::BoolValue(truth) => Cell::Integer((*truth).into()),
        Kind::Int64Value(number) => Cell::Integer(*number),
        Kind::DoubleValue(number) => Cell::Real(*number),
        Kind::StringValue(text) | Kind::DecimalValue(text) | Kind::DateValue(text) | Kind::TimestampValue(text) => {
            Cell::Text(text.clone())
        }
        other => panic!("a parameter of an unexpected kind: {other:?}"),
    }
}

/// Whether the outermost query is ordered: what stands in parentheses does not count.
fn is_ordered(sql: &str) -> bool {
    let mut depth = 0;
    let outside: String = sql
        .chars()
        .filter(|letter| {
            depth += i32::from(*letter == '(') - i32::from(*letter == ')');
            depth == 0
        })
        .collect();
    outside.to_uppercase().contains("ORDER BY")
}

fn same(mut ours: Vec<Vec<Cell>>, mut gold: Vec<Vec<Cell>>, ordered: bool) -> bool {
    if !ordered {
        ours.sort_by(|left, right| compare_rows(left, right));
        gold.sort_by(|left, right| compare_rows(left, right));
    }
    let equal = |left: &Vec<Cell>, right: &Vec<Cell>| {
        left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_cell(left, right))
    };
    ours.len() == gold.len() && ours.iter().zip(&gold).all(|(left, right)| equal(left, right))
}

fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Integer(number) => Some(*number as f64),
        Cell::Real(number) => Some(*number),
        _ => None,
    }
}

fn same_cell(left: &Cell, right: &Cell) -> bool {
    match (number(left), number(right)) {
        (Some(left), Some(right)) => (left - right).abs() <= 1e-6 * left.abs().max(right.abs()),
        (None, None) => left == right,
        _ => false,
    }
}

fn compare_rows(left: &[Cell], right: &[Cell]) -> Ordering {
    let cells = left.iter().zip(right).map(|(left, right)| compare_cells(left, right));
    cells.fold(Ordering::Equal, Ordering::then).then(left.len().cmp(&right.len()))
}

fn compare_cells(left: &Cell, right: &Cell) -> Ordering {
    match (left, right) {
        (Cell::Text(left), Cell::Text(right)) => left.cmp(right),
        _ => number(left).partial_cmp(&number(right)).unwrap_or(Ordering::Equal),
    }
}

#[test]
fn rows_are_compared_as_people_would() {
    let shop = Connection::open_in_memory().unwrap();
    let same = |ours: &str, gold: &str| {
        same(rows(&shop, ours, &[]).unwrap(), rows(&shop, gold, &[]).unwrap(), is_ordered(gold))
    };
    assert!(same("VALUES (1, 'a'), (2, 'b')", "VALUES (2, 'b'), (1, 'a')"));
    assert!(!same("VALUES (1), (2), (2)", "VALUES (1), (1), (2)"));
    assert!(!same("VALUES (2), (1)", "SELECT column1 FROM (VALUES (1), (2)) ORDER BY column1"));
    assert!(same("VALUES (2), (1)", "SELECT column1 FROM (SELECT column1 FROM (VALUES (1), (2)) ORDER BY column1)"));
    assert!(same("SELECT 0.1 + 0.2", "SELECT 0.3"));
    assert!(same("SELECT 1", "SELECT 1.0"));
    assert!(!same("SELECT 1", "SELECT '1'"));
    assert!(!same("SELECT NULL", "SELECT 0"));
    assert!(!same("SELECT 1, 2", "SELECT 1"));
}
