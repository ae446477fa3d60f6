//! What Pulse promises about its own weight, measured on the real program over real gRPC: medians beside targets.
//!
//! Run it with `scripts/bench`. It is no test: a number over its target is marked, nothing fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a measurement that cannot go on ends")]
#![allow(missing_docs, reason = "a program")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pulse::domain::{DatabaseKind, Facts};
use pulse::engines::schema_index::SchemaIndex;
use pulse::pb::v1::connection_service_client::ConnectionServiceClient;
use pulse::pb::v1::run_workflow_request::Source;
use pulse::pb::v1::workflow_event::Event;
use pulse::pb::v1::workflow_service_client::WorkflowServiceClient;
use pulse::pb::v1::{Engine, ListConnectionsRequest, RunWorkflowRequest, Step};
use pulse::sql::guard::{Policy, check};
use pulse::sql::{SampleBounds, sqlite};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pulse");
const QUESTION: &str = "How many orders have been cancelled?";
const STARTS: usize = 20;
const WARM_UP: usize = 50;
const QUESTIONS: usize = 500;
const CHECKS: usize = 2_000;
const INDEXED_TABLES: usize = 1_000;

#[tokio::main]
async fn main() {
    println!("{:<44} {:>12} {:>12} {:>14}", "measure", "median", "p95", "target");
    guard();
    index();
    starts().await;
    let folder = TempDir::new().unwrap();
    // The first start makes the demo database; what it leaves in memory is not what an idle server holds.
    drop(Server::start(folder.path()).await);
    let server = Server::start(folder.path()).await;
    let idle = server.resident_bytes();
    questions(&server).await;
    row("memory, idle after the start", &[mebibytes(idle)], "MiB", Some(16.0));
    row(
        &format!("memory, after {} questions", WARM_UP + QUESTIONS),
        &[mebibytes(server.resident_bytes())],
        "MiB",
        None,
    );
    row("size of the program", &[std::fs::metadata(PROGRAM).unwrap().len() as f64 / 1e6], "MB", Some(30.0));
}

// --- The program ---------------------------------------------------------------------------------------------------

/// A running `pulse serve --demo`; dropping it kills it.
struct Server {
    child: Child,
    channel: Channel,
    took: Duration,
}

impl Server {
    /// Starts the program and waits until it says over gRPC that it serves.
    async fn start(data_dir: &Path) -> Self {
        // Free a moment ago, and nobody else asks for it meanwhile.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let began = Instant::now();
        let child = Command::new(PROGRAM)
            .args(["serve", "--demo", "--listen", &address.to_string(), "--data-dir"])
            .arg(data_dir)
            .env_clear()
            .current_dir(data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the server does not start");
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
        Self { child, channel, took: began.elapsed() }
    }

    fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// --- What is measured ----------------------------------------------------------------------------------------------

/// What the guard takes: statements of the question suites as CTEs of one of 4 and of 32 KiB, and shapes that are hard to
/// parse.
fn guard() {
    for (dialect, kind) in
        [("postgres", DatabaseKind::Postgresql), ("mysql", DatabaseKind::Mysql), ("sqlite", DatabaseKind::Sqlite)]
    {
        let gold = gold(dialect);
        for (size_bytes, limit) in [(4 << 10, 1.0), (32 << 10, 20.0)] {
            let statements = joined(&gold, size_bytes);
            let took = checks(&statements, kind);
            let what = format!("guard, {dialect}, {} KiB", size_bytes >> 10);
            row(&what, &took, "ms", None);
            row("  99th percentile", &[percentile(&took, 99)], "ms", Some(limit));
        }
        let took = checks(&hard_shapes(), kind);
        row(&format!("guard, {dialect}, slowest hard shape"), &[percentile(&took, 100)], "ms", Some(20.0));
    }
}

/// The statements of the question suites that `PULSE_SHARED` has, or what must pass in the guard's own corpus.
fn gold(dialect: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = std::env::var_os("PULSE_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let suites = if dialect == "sqlite" { "eval/suites".to_owned() } else { format!("eval/server/{dialect}") };
    let mut gold = Vec::new();
    for file in std::fs::read_dir(shared.join(suites)).into_iter().flatten().flatten() {
        if file.path().extension().is_some_and(|ending| ending == "jsonl") {
            for line in std::fs::read_to_string(file.path()).unwrap().lines() {
                let question: serde_json::Value = serde_json::from_str(line).unwrap();
                gold.extend(question["gold_sql"].as_str().map(str::to_owned));
            }
        }
    }
    if gold.is_empty() {
        let corpus = std::fs::read_to_string(root.join(format!("tests/guard/{dialect}.tsv"))).unwrap();
        let reads = corpus.lines().filter_map(|line| line.strip_prefix("read\t"));
        gold.extend(reads.filter(|sql| sql.starts_with("SELECT") && !sql.contains([';', '#'])).map(str::to_owned));
    }
    gold.retain(|sql| !sql.contains("--") && !sql.trim_end().ends_with(';'));
    gold
}

/// Statements of about this size, each of other parts.
fn joined(parts: &[String], size_bytes: usize) -> Vec<String> {
    let mut parts = parts.iter().cycle();
    let statement = |_| {
        let mut sql = "WITH q AS (SELECT 1)".to_owned();
        while let Some(part) = parts.next().filter(|part| sql.len() + part.len() + 40 < size_bytes) {
            let number = sql.len();
            write!(sql, ", q{number} AS ({part})").unwrap();
        }
        sql + " SELECT * FROM q"
    };
    (0..CHECKS).map(statement).collect()
}

/// Statements of the greatest size that is checked at all, built to be slow.
fn hard_shapes() -> Vec<String> {
    let nested = |open: &str, close: &str| format!("SELECT {}1{}", open.repeat(45), close.repeat(45));
    vec![
        format!("SELECT {}1", "1+".repeat(4_000)),
        format!("SELECT 1 WHERE {}1=1", "a=1 OR ".repeat(2_000)),
        format!("SELECT 1 WHERE a IN ({}1)", "1,".repeat(4_000)),
        format!("SELECT {}a", "t.a,".repeat(2_000)),
        format!("SELECT 1 FROM {}t", "t,".repeat(4_000)),
        format!("SELECT 1 FROM t{}", " JOIN t ON a=b".repeat(1_300)),
        format!("SELECT '{}'", "x".repeat(32_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(2_000)),
        format!("SELECT {}", "f(".repeat(8_000)),
        nested("(", ")"),
        nested("(SELECT ", ")"),
        nested("CASE WHEN 1 THEN ", " END"),
        nested("coalesce(", ")"),
        format!("SELECT 1 FROM {}t{}", "(".repeat(45), ")".repeat(45)),
        format!("SELECT 1 FROM {}SELECT 1{}", "(".repeat(45), ") x".repeat(45)),
    ]
}

/// What each check takes, in milliseconds.
fn checks(statements: &[String], kind: DatabaseKind) -> Vec<f64> {
    let policy = Policy::reads(kind);
    let timed = |sql: &String| {
        let began = Instant::now();
        let verdict = check(sql, &policy);
        let took = milliseconds(began.elapsed());
        std::hint::black_box(&verdict);
        took
    };
    // The first ones only warm up.
    let warm_up = statements.len().min(WARM_UP);
    statements[..warm_up].iter().chain(statements).map(timed).skip(warm_up).collect()
}

/// What the index of a schema of 1,000 tables with 20 columns takes, values included: those of the ten columns with text, a
/// hundred rows each.
fn index() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("large.sqlite");
    let database = rusqlite::Connection::open(&file).unwrap();
    database.execute_batch("PRAGMA synchronous = OFF; BEGIN").unwrap();
    for table in 0..INDEXED_TABLES {
        let columns = (1..20)
            .map(|column| if column % 2 == 0 { format!("amount_{column} INT") } else { format!("name_{column} TEXT") });
        let columns = columns.collect::<Vec<_>>().join(", ");
        let cells = (1..20)
            .map(|column| if column % 2 == 0 { "i".to_owned() } else { format!("'value {table} {column} ' || i") });
        let cells = cells.collect::<Vec<_>>().join(", ");
        let parent = table / 7;
        let sql = format!(
            "CREATE TABLE ledger_{table} (id INTEGER PRIMARY KEY REFERENCES ledger_{parent}, {columns}); \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) \
             INSERT INTO ledger_{table} SELECT i, {cells} FROM n"
        );
        database.execute_batch(&sql).unwrap();
    }
    database.execute_batch("COMMIT").unwrap();
    drop(database);
    let connection = sqlite::open(&file, Duration::ZERO).unwrap();
    let schema = sqlite::schema(&connection).unwrap();
    let values = sqlite::values(&connection, &schema, SampleBounds::default()).unwrap();
    let facts = Facts::new(schema.into(), values.into(), jiff::civil::date(2026, 11, 23));
    let build = |_| {
        let began = Instant::now();
        std::hint::black_box(&SchemaIndex::new(&facts));
        began.elapsed().as_secs_f64()
    };
    let took: Vec<f64> = (0..5).map(build).collect();
    row(&format!("schema index, {INDEXED_TABLES} tables of 20 columns"), &took, "s", Some(2.0));
}

async fn starts() {
    let folder = TempDir::new().unwrap();
    let first = Server::start(folder.path()).await.took;
    let mut again = Vec::new();
    for _ in 0..STARTS {
        again.push(milliseconds(Server::start(folder.path()).await.took));
    }
    row("cold start to serving", &again, "ms", Some(40.0));
    row("first start, demo database made", &[milliseconds(first)], "ms", None);
}

/// What one question took, in milliseconds.
struct Question {
    first_event: f64,
    total: f64,
    /// From sending the statement to the last row.
    statement: f64,
    /// Each step by name; execution without its statement.
    steps: Vec<(String, f64)>,
}

async fn questions(server: &Server) {
    let mut connections = ConnectionServiceClient::new(server.channel.clone());
    let list = connections.list_connections(ListConnectionsRequest::default()).await.unwrap().into_inner();
    let demo = list.connections.into_iter().find(|connection| connection.name == "demo").unwrap().id;
    let mut client = WorkflowServiceClient::new(server.channel.clone());
    let mut all = Vec::new();
    for nth in 0..WARM_UP + QUESTIONS {
        let question = ask(&mut client, &demo).await;
        if nth >= WARM_UP {
            all.push(question);
        }
    }
    let column = |of: fn(&Question) -> f64| all.iter().map(of).collect::<Vec<f64>>();
    row("question, start to end", &column(|one| one.total), "ms", None);
    row("  of it the statement", &column(|one| one.statement), "ms", None);
    row("  overhead: all but the statement", &column(|one| one.total - one.statement), "ms", Some(4.0));
    row("first event after the call", &column(|one| one.first_event), "ms", Some(5.0));
    let mut steps: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, took) in all.iter().flat_map(|one| &one.steps) {
        steps.entry(name).or_default().push(*took);
    }
    for (name, took) in steps {
        let name = if name == "execution" { "execution, without the statement" } else { name };
        row(&format!("step {name}"), &took, "ms", Some(1.0));
    }
}

async fn ask(client: &mut WorkflowServiceClient<Channel>, demo: &str) -> Question {
    let request = RunWorkflowRequest {
        question: QUESTION.to_owned(),
        source: Some(Source::ConnectionId(demo.to_owned())),
        engine: Engine::Builtin.into(),
        ..RunWorkflowRequest::default()
    };
    let began = Instant::now();
    let mut stream = client.run_workflow(request).await.unwrap().into_inner();
    let (mut first_event, mut statement, mut steps) = (None, None, Vec::new());
    loop {
        let event = stream.message().await.unwrap().expect("a terminal event").event.unwrap().event.unwrap();
        first_event.get_or_insert(milliseconds(began.elapsed()));
        match event {
            Event::StepCompleted(completed) => steps.push(duration(&completed.step.unwrap())),
            Event::Result(result) => {
                statement = result.execution_time.map(|time| milliseconds(Duration::try_from(time).unwrap()));
            }
            Event::Completed(_) => break,
            Event::Failed(failed) => panic!("{failed:?}"),
            _ => {}
        }
    }
    let total = milliseconds(began.elapsed());
    let statement = statement.unwrap();
    for (name, took) in &mut steps {
        if name == "execution" {
            *took -= statement;
        }
    }
    Question { first_event: first_event.unwrap(), total, statement, steps }
}

fn duration(step: &Step) -> (String, f64) {
    let (start, finish) = (step.start_time.unwrap(), step.finish_time.unwrap());
    let seconds = (finish.seconds - start.seconds) as f64 + f64::from(finish.nanos - start.nanos) / 1e9;
    (step.name.clone(), seconds * 1e3)
}

// --- Figures -------------------------------------------------------------------------------------------------------

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn percentile(samples: &[f64], share: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * share / 100).min(sorted.len() - 1)]
}

/// One line: the median of the samples, their 95th percentile, and the most the median should be.
fn row(what: &str, samples: &[f64], unit: &str, target: Option<f64>) {
    let (median, high) = (percentile(samples, 50), percentile(samples, 95));
    let target = match target {
        Some(limit) if median > limit => format!("≤ {limit} {unit}  OVER"),
        Some(limit) => format!("≤ {limit} {unit}"),
        None => String::new(),
    };
    let high = if samples.len() > 1 { format!("{high:.2} {unit}") } else { String::new() };
    println!("{what:<44} {:>12} {high:>12} {target:>14}", format!("{median:.2} {unit}"));
}
