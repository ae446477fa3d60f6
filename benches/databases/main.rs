//! What Pulse costs on top of a driver: unary queries and streams of a million rows on PostgreSQL, MariaDB and SQLite,
//! beside a bare gRPC server with the same queries and the databases' own clients, in one run.
//!
//! Run it with `scripts/bench databases`, or with the names of some: `scripts/bench databases postgresql`. Every figure is the median of pairs measured one after the other, and the
//! ratio is what counts: machines are shared and noisy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a measurement that cannot go on ends")]
#![allow(missing_docs, dead_code, unused_imports, reason = "a program that shares the tests' servers")]

mod bare;
#[path = "../../tests/it/support/servers/mod.rs"]
mod servers;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use prost::Message;
use pulse::pb::v1 as pb;
use pulse::pb::v1::connection_service_client::ConnectionServiceClient;
use pulse::pb::v1::query_service_client::QueryServiceClient;
use pulse::pb::v1::stream_query_request::Source;
use pulse::pb::v1::stream_query_response::Part;
use servers::{Database, READ_WRITE};
use tempfile::TempDir;
use tonic::transport::Channel;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pulse");
const USERS: &str = "SELECT * FROM users LIMIT 10";
const EVENTS: &str = "SELECT * FROM events";
const EVENT_COUNT: u64 = 1_000_000;
const PAIRS: usize = 5;
const REQUESTS: usize = 10_000;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("bare") {
        return bare::serve(&arguments.next().unwrap()).await;
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("databases/bench.sqlite");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let postgres = servers::postgres_of_its_own(&["shared_buffers = 512MB"]).await;
    let mariadb = servers::mariadb_of_its_own(&["innodb_buffer_pool_size = 512M"]).await;
    let postgres_database = postgres.fresh_database("bench").await;
    let mariadb_database = mariadb.fresh_database("bench").await;
    fill_postgres(&postgres_database).await;
    fill_mariadb(&mariadb_database).await;
    fill_sqlite(&file);

    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |kind: &str| named.is_empty() || named.iter().any(|name| name.eq_ignore_ascii_case(kind));
    println!("{:<58} {:>12} {:>12} {:>9} {:>12}", "measure (medians of pairs)", "Pulse", "other", "ratio", "target");
    let quiet = |mut command: Command| {
        command.stdout(Stdio::null());
        command
    };
    let copy = || quiet(client(&postgres_database, &["-c", "COPY (SELECT * FROM events) TO STDOUT"]));
    let fetch = || quiet(client(&mariadb_database, &["--quick", "-e", EVENTS]));
    let dump = || {
        let mut command = Command::new("sqlite3");
        command.arg(&file).arg(EVENTS);
        quiet(command)
    };
    if wanted("PostgreSQL") {
        measure("PostgreSQL", folder.path(), &postgres_database.url(READ_WRITE), ("psql COPY", &copy, 1.9)).await;
    }
    if wanted("MariaDB") {
        measure("MariaDB", folder.path(), &mariadb_database.url(READ_WRITE), ("mariadb --quick", &fetch, 2.2)).await;
    }
    if wanted("SQLite") {
        measure("SQLite", folder.path(), file.to_str().unwrap(), ("sqlite3", &dump, 2.0)).await;
    }
}

/// Everything about one database, with a server that has seen no other: what it holds is of this one. `peer` is the
/// database's own client: name, command, most times its time.
async fn measure(kind: &str, data_dir: &Path, url: &str, peer: (&str, &dyn Fn() -> Command, f64)) {
    let (pulse, bare) = (&Server::pulse(data_dir), Server::bare(url));
    let channel = pulse.channel().await;
    let connection_id = create(&channel, kind, url).await;
    let unary =
        pb::ExecuteQueryRequest { connection_id: connection_id.clone(), sql: USERS.into(), ..Default::default() };
    for clients in [16, 64] {
        let load = |server: &Server| server.load("ExecuteQuery", &unary, REQUESTS, clients);
        // A first round of each warms up.
        let pairs = paired(|| load(pulse), || load(&bare));
        figures(&format!("{kind}: ten rows, {clients} clients, requests/s, bare server"), &pairs, Bound::AtLeast(0.85));
    }
    let stream = |format: pb::StreamFormat| pb::StreamQueryRequest {
        source: Some(Source::Statement(pb::StreamStatement {
            connection_id: connection_id.clone(),
            sql: EVENTS.into(),
            parameters: Vec::new(),
        })),
        format: format.into(),
        timeout: Some(prost_types::Duration { seconds: 300, nanos: 0 }),
        ..Default::default()
    };
    let (rows, arrow) = (stream(pb::StreamFormat::Rows), stream(pb::StreamFormat::Arrow));
    let first_batch = first_batch(&channel, &rows).await;
    pulse.forget_peak();
    let seconds = |server: &Server, request: &pb::StreamQueryRequest| 1.0 / server.load("StreamQuery", request, 1, 1);
    let (name, command, most) = peer;
    let run = || timed(command());
    figures(&format!("{kind}: 1M rows, seconds, {name}"), &paired(|| seconds(pulse, &rows), run), Bound::AtMost(most));
    figures(
        &format!("{kind}: 1M rows, seconds, bare server"),
        &paired(|| seconds(pulse, &rows), || seconds(&bare, &rows)),
        Bound::None,
    );
    let arrow = paired(|| seconds(pulse, &arrow), || seconds(pulse, &rows));
    figures(&format!("{kind}: 1M rows, seconds, ARROW beside ROWS"), &arrow, Bound::AtMost(1.0));
    figure(&format!("{kind}: peak memory of the server during these"), pulse.peak_mebibytes(), "MiB", 32.0);
    figure(&format!("{kind}: first batch of 1M rows"), first_batch, "ms", 25.0);
    let p99 = small_calls_meanwhile(pulse, &channel, &connection_id, &rows);
    figure(&format!("{kind}: small calls during 1M rows, p99"), p99, "ms", 10.0);
}

// --- Data ----------------------------------------------------------------------------------------------------------

async fn fill_postgres(database: &Database<'_>) {
    let sql = "CREATE TABLE users (id bigint PRIMARY KEY, name text, email text, age int, balance numeric(12,2), created timestamp);
        INSERT INTO users SELECT i, 'user ' || i, 'user' || i || '@example.com', 18 + i % 60, i * 1.25, '2024-01-01'::timestamp + i * interval '1 hour'
          FROM generate_series(1, 1000) i;
        CREATE TABLE events (id bigint PRIMARY KEY, user_id int, kind text, amount numeric(12,2), note text, at timestamp);
        INSERT INTO events SELECT i, i % 1000, 'kind ' || i % 10, i * 0.01, lpad(i::text, 40, 'x'), '2020-01-01'::timestamp + i * interval '1 minute'
          FROM generate_series(1, 1000000) i;
        VACUUM ANALYZE users; VACUUM ANALYZE events;";
    database.run_as(READ_WRITE, sql).await;
}

async fn fill_mariadb(database: &Database<'_>) {
    let sql = "CREATE TABLE users (id bigint PRIMARY KEY, name varchar(100), email varchar(100), age int, balance decimal(12,2), created datetime);
        INSERT INTO users SELECT seq, concat('user ', seq), concat('user', seq, '@example.com'), 18 + seq % 60, seq * 1.25,
          '2024-01-01' + INTERVAL seq HOUR FROM seq_1_to_1000;
        CREATE TABLE events (id bigint PRIMARY KEY, user_id int, kind varchar(20), amount decimal(12,2), note varchar(40), at datetime);
        INSERT INTO events SELECT seq, seq % 1000, concat('kind ', seq % 10), seq * 0.01, lpad(seq, 40, 'x'),
          '2020-01-01' + INTERVAL seq MINUTE FROM seq_1_to_1000000;
        ANALYZE TABLE users, events;";
    database.run_as(READ_WRITE, sql).await;
}

fn fill_sqlite(file: &Path) {
    let sql = "PRAGMA journal_mode = WAL;
        CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, email TEXT, age INTEGER, balance DECIMAL(12,2), created DATETIME);
        WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 1000)
        INSERT INTO users SELECT i, 'user ' || i, 'user' || i || '@example.com', 18 + i % 60, i * 1.25, datetime('2024-01-01', i || ' hours') FROM s;
        CREATE TABLE events (id INTEGER PRIMARY KEY, user_id INTEGER, kind TEXT, amount DECIMAL(12,2), note TEXT, at DATETIME);
        WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 1000000)
        INSERT INTO events SELECT i, i % 1000, 'kind ' || i % 10, i * 0.01, substr('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' || i, -40),
          datetime('2020-01-01', i || ' minutes') FROM s;";
    rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap();
}

/// The database's own client with these arguments.
fn client(database: &Database<'_>, arguments: &[&str]) -> Command {
    let mut command = database.server.client(READ_WRITE, &database.name).into_std();
    command.args(arguments);
    command
}

// --- Servers -------------------------------------------------------------------------------------------------------

/// A server under measurement; dropping it kills it.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// `pulse serve`, on embedded defaults.
    fn pulse(data_dir: &Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--listen", &address.to_string(), "--data-dir"]).arg(data_dir);
        command.env_clear().env("PULSE_LOG", "warn").env("PULSE_POOL_SIZE", "16").current_dir(data_dir);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the server does not start");
            std::thread::sleep(Duration::from_millis(1));
        }
        Self { child, address: address.to_string() }
    }

    /// This program again, as the bare server.
    fn bare(url: &str) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new(program).args(["bare", url]).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().to_owned() }
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    /// Sends the request again and again over one connection with as many streams; how many a second were answered.
    fn load(&self, method: &str, request: &impl Message, count: usize, clients: usize) -> f64 {
        let mut frame = tempfile::NamedTempFile::new().unwrap();
        let body = request.encode_to_vec();
        // gRPC's frame: not compressed, length, message.
        frame.write_all(&[0]).unwrap();
        frame.write_all(&u32::try_from(body.len()).unwrap().to_be_bytes()).unwrap();
        frame.write_all(&body).unwrap();
        let output = Command::new("h2load")
            .args(["-t", "1", "-c", "1", "-w", "24", "-W", "24"])
            .args(["-n", &count.to_string(), "-m", &clients.to_string(), "-d"])
            .arg(frame.path())
            .args(["-H", "content-type: application/grpc", "-H", "te: trailers"])
            .arg(format!("http://{}/pulse.v1.QueryService/{method}", self.address))
            .output()
            .expect("h2load (package nghttp2-client) is needed");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("{count} succeeded")), "{text}");
        let finished = text.lines().find_map(|line| line.strip_prefix("finished in ")).unwrap();
        let time = finished.split(',').next().unwrap();
        count as f64 / seconds(time)
    }

    fn status(&self, field: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    fn peak_mebibytes(&self) -> f64 {
        self.status("VmHWM")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `1.23s`, `45.60ms`, `789us` as h2load writes them.
fn seconds(text: &str) -> f64 {
    for (unit, factor) in [("ms", 1e-3), ("us", 1e-6), ("s", 1.0)] {
        if let Some(number) = text.trim().strip_suffix(unit) {
            return number.parse::<f64>().unwrap() * factor;
        }
    }
    panic!("no time: {text}")
}

async fn create(channel: &Channel, name: &str, url: &str) -> String {
    let url = if url.contains("://") { url.to_owned() } else { format!("sqlite://{url}") };
    let spec = pb::ConnectionSpec { name: name.to_owned(), url, ..Default::default() };
    let request = pb::CreateConnectionRequest { connection: Some(spec), ..Default::default() };
    let created = ConnectionServiceClient::new(channel.clone()).create_connection(request).await.unwrap();
    created.into_inner().connection.unwrap().id
}

// --- Single measures -----------------------------------------------------------------------------------------------

/// Milliseconds to the first batch; reads to the end, and every row must be there.
async fn first_batch(channel: &Channel, request: &pb::StreamQueryRequest) -> f64 {
    let mut client = QueryServiceClient::new(channel.clone()).max_decoding_message_size(16 << 20);
    let mut firsts = Vec::new();
    for _ in 0..PAIRS {
        let began = Instant::now();
        let mut stream = client.stream_query(request.clone()).await.unwrap().into_inner();
        let mut first = None;
        let mut summary = None;
        while let Some(message) = stream.message().await.unwrap() {
            match message.part.unwrap() {
                Part::Batch(_) => _ = first.get_or_insert_with(|| began.elapsed()),
                Part::Summary(last) => summary = Some(last),
                Part::Header(_) => {}
            }
        }
        assert_eq!(u64::try_from(summary.unwrap().row_count).unwrap(), EVENT_COUNT);
        firsts.push(first.unwrap().as_secs_f64() * 1e3);
    }
    median(firsts)
}

/// The 99th percentile of small calls, in milliseconds, one after the other while a stream runs.
fn small_calls_meanwhile(
    server: &Server,
    channel: &Channel,
    connection_id: &str,
    stream: &pb::StreamQueryRequest,
) -> f64 {
    let mut client = QueryServiceClient::new(channel.clone());
    let small = pb::ExecuteQueryRequest {
        connection_id: connection_id.to_owned(),
        sql: "SELECT 1".into(),
        ..Default::default()
    };
    let mut took = Vec::new();
    std::thread::scope(|scope| {
        let streaming = scope.spawn(|| server.load("StreamQuery", stream, 3, 1));
        while !streaming.is_finished() {
            let began = Instant::now();
            let call = client.execute_query(small.clone());
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(call)).unwrap();
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
    });
    took.sort_by(f64::total_cmp);
    took[took.len() * 99 / 100]
}

fn timed(mut command: Command) -> f64 {
    let began = Instant::now();
    assert!(command.status().unwrap().success());
    began.elapsed().as_secs_f64()
}

// --- Figures -------------------------------------------------------------------------------------------------------

/// Measured one after the other, so that both meet the same machine.
fn paired(mut ours: impl FnMut() -> f64, mut other: impl FnMut() -> f64) -> Vec<(f64, f64)> {
    let _warm_up = (ours(), other());
    (0..PAIRS).map(|_| (ours(), other())).collect()
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
    None,
}

fn figures(what: &str, pairs: &[(f64, f64)], bound: Bound) {
    let ratio = median(pairs.iter().map(|(ours, other)| ours / other).collect());
    let (ours, other) =
        (median(pairs.iter().map(|pair| pair.0).collect()), median(pairs.iter().map(|pair| pair.1).collect()));
    let target = match bound {
        Bound::AtLeast(least) => format!("≥ {least}{}", if ratio < least { " UNDER" } else { "" }),
        Bound::AtMost(most) => format!("≤ {most}{}", if ratio > most { " OVER" } else { "" }),
        Bound::None => String::new(),
    };
    println!("{what:<58} {ours:>12.2} {other:>12.2} {ratio:>9.2} {target:>12}");
}

fn figure(what: &str, value: f64, unit: &str, most: f64) {
    let over = if value > most { " OVER" } else { "" };
    println!(
        "{what:<58} {:>12} {:>12} {:>9} {:>12}",
        format!("{value:.1} {unit}"),
        "",
        "",
        format!("≤ {most} {unit}{over}")
    );
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
