//! What keeping state costs, on the embedded store and on Redis, measured on the real program over real gRPC.
//!
//! Run it with `scripts/bench store`. It is no test: a number beyond its target is marked, nothing fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a measurement that cannot go on ends")]
#![allow(missing_docs, reason = "a program")]

use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures::future::join_all;
use pulse::pb::v1::connection_service_client::ConnectionServiceClient;
use pulse::pb::v1::run_workflow_request::Source as RunSource;
use pulse::pb::v1::start_workflow_request::Source;
use pulse::pb::v1::workflow_event::Event;
use pulse::pb::v1::workflow_service_client::WorkflowServiceClient;
use pulse::pb::v1::{
    Engine, ListConnectionsRequest, RunWorkflowRequest, StartWorkflowRequest, WatchWorkflowRequest, WorkflowEvent,
};
use tempfile::TempDir;
use tokio::sync::Barrier;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pulse");
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const QUESTION: &str = "How many orders have been cancelled?";
const WARM_UP: usize = 50;
const ONE_BY_ONE: usize = 300;
const AT_ONCE: usize = 16;
const TOGETHER: usize = 3_000;
const CONNECTIONS: usize = 100;
const WATCHERS: usize = 10_000;
const FANNED_OUT: usize = 5_000;
const SLOW_QUESTIONS: usize = 200;
const MODEL_TIME: Duration = Duration::from_millis(100);

/// The model that answers the tests.
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/support"]
mod support {
    pub mod model_server;
    pub mod script;
    pub mod server;
}
use support::script;

#[tokio::main]
async fn main() {
    println!("{:<58} {:>12} {:>14}", "measure", "value", "target");
    let folder = TempDir::new().unwrap();
    {
        let server = Server::start(folder.path(), &[]).await;
        questions(&server, "embedded", 1.0, 800.0).await;
        one_watcher(&server, "embedded").await;
        watchers(&server, "embedded").await;
    }
    with_a_model(folder.path()).await;
    let redis = Redis::start(folder.path());
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let flags = ["--store", &url, "--encryption-key", KEY];
    let first = Server::start(folder.path(), &flags).await;
    questions(&first, "Redis", 2.0, 500.0).await;
    one_watcher(&first, "Redis").await;
    let second = Server::start(folder.path(), &flags).await;
    across(&first, &second).await;
    drop((first, second));
    replicas(folder.path(), &url).await;
}

/// One after the other, then as many at once.
async fn questions(server: &Server, store: &str, step_target: f64, rate_target: f64) {
    let mut client = WorkflowServiceClient::new(server.channel.clone());
    let mut overheads = Vec::new();
    for nth in 0..WARM_UP + ONE_BY_ONE {
        let asked = ask(&mut client, &server.demo, Engine::Builtin).await;
        if nth >= WARM_UP {
            overheads.push((asked.took - asked.statement) / asked.steps as f64);
        }
    }
    at_most(&format!("{store}: overhead of a step"), median(&mut overheads), "ms", step_target);
    let began = Instant::now();
    let left = Arc::new(AtomicUsize::new(TOGETHER));
    join_all((0..AT_ONCE).map(|_| {
        let (mut client, demo, left) = (client.clone(), server.demo.clone(), left.clone());
        tokio::spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                ask(&mut client, &demo, Engine::Builtin).await;
            }
        })
    }))
    .await;
    let rate = TOGETHER as f64 / began.elapsed().as_secs_f64();
    at_least(&format!("{store}: workflows a second, {AT_ONCE} at once"), rate, "/s", rate_target);
}

/// A question that was answered: what it took, and of that the statement and the model, in milliseconds.
#[derive(Default)]
struct Asked {
    took: f64,
    statement: f64,
    model: f64,
    steps: usize,
}

async fn ask(client: &mut WorkflowServiceClient<Channel>, demo: &str, engine: Engine) -> Asked {
    let request = RunWorkflowRequest {
        question: QUESTION.to_owned(),
        source: Some(RunSource::ConnectionId(demo.to_owned())),
        engine: engine.into(),
        ..RunWorkflowRequest::default()
    };
    let began = Instant::now();
    let mut stream = client.run_workflow(request).await.unwrap().into_inner();
    let (mut asked, mut calls) = (Asked::default(), HashMap::new());
    let time =
        |span: Option<prost_types::Duration>| span.map_or(0.0, |span| milliseconds(Duration::try_from(span).unwrap()));
    while let Some(response) = stream.message().await.unwrap() {
        match response.event.unwrap().event.unwrap() {
            Event::StepCompleted(completed) => {
                asked.steps += 1;
                // Several steps may come of one call; a step that was done before the call ended does not know its time.
                calls.extend(completed.step.unwrap().model_calls.into_iter().map(|call| (call.id, time(call.latency))));
            }
            Event::Result(result) => asked.statement = time(result.execution_time),
            Event::Failed(failed) => panic!("{failed:?}"),
            _ => {}
        }
    }
    asked.took = milliseconds(began.elapsed());
    asked.model = calls.into_values().sum();
    asked
}

/// What a workflow takes beside its model, which answers at once, and its statement.
async fn with_a_model(folder: &Path) {
    let model = script::model(script::ANSWER, None).await;
    let server = Server::start(folder, &script::shared_flags(&model, &[])).await;
    let mut client = WorkflowServiceClient::new(server.channel.clone());
    let mut own = Vec::new();
    for nth in 0..WARM_UP + ONE_BY_ONE {
        let asked = ask(&mut client, &server.demo, Engine::Openai).await;
        if nth >= WARM_UP {
            own.push(asked.took - asked.statement - asked.model);
        }
    }
    assert!(model.requests().len() >= WARM_UP + ONE_BY_ONE, "the model was asked");
    at_most("embedded: a workflow beside its model and statement", median(&mut own), "ms", 10.0);
}

/// Many watchers of a workflow that has ended but for its last event are idle; here they wait for one that is to come.
async fn watchers(server: &Server, store: &str) {
    let stalled = Stalled::start(server).await;
    let before = server.resident_bytes();
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = WorkflowServiceClient::new(server.connect().await);
        for _ in 0..WATCHERS / CONNECTIONS {
            let request = WatchWorkflowRequest { id: stalled.id.clone(), ..WatchWorkflowRequest::default() };
            let mut stream = client.watch_workflow(request).await.unwrap().into_inner();
            while name(&stream.message().await.unwrap().unwrap().event.unwrap()) != "step_started" {}
            streams.push(stream);
        }
    }
    at_most(&format!("{store}: memory with {WATCHERS} watchers"), mebibytes(server.resident_bytes()), "MiB", 120.0);
    at_most(
        &format!("{store}: memory of a watcher"),
        (server.resident_bytes() - before) as f64 / WATCHERS as f64 / 1024.0,
        "KiB",
        20.0,
    );
    streams.truncate(FANNED_OUT);
    let ready = Arc::new(Barrier::new(FANNED_OUT + 1));
    let seen: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            let ready = ready.clone();
            tokio::spawn(async move {
                ready.wait().await;
                loop {
                    let event = stream.message().await.unwrap().unwrap().event.unwrap();
                    if name(&event) == "cancel_requested" {
                        return since(&event);
                    }
                }
            })
        })
        .collect();
    ready.wait().await;
    stalled.cancel(server).await;
    let mut delays: Vec<f64> = join_all(seen).await.into_iter().map(Result::unwrap).collect();
    delays.sort_by(f64::total_cmp);
    at_most(&format!("{store}: an event reaches {FANNED_OUT} watchers in"), *delays.last().unwrap(), "ms", 100.0);
}

/// How long after it was made an event is with the only watcher.
async fn one_watcher(server: &Server, store: &str) {
    let mut delays = Vec::new();
    for _ in 0..ONE_BY_ONE {
        let stalled = Stalled::start(server).await;
        let seen = stalled.watch(server).await;
        stalled.cancel(server).await;
        delays.push(seen.await.unwrap());
    }
    delays.sort_by(f64::total_cmp);
    at_most(&format!("{store}: an event reaches a watcher in, p99"), delays[delays.len() * 99 / 100], "ms", 10.0);
}

/// Many questions at once, first for one replica and then for two that share a store; a replica works on so many as its
/// limit says, and the model takes its time.
async fn replicas(folder: &Path, url: &str) {
    let model = script::model(script::ANSWER, None).await;
    model.delay(MODEL_TIME);
    let flags = script::flags(&model, &["--store", url, "--encryption-key", KEY, "--max-workflows", "8"]);
    let first = Server::start(folder, &flags).await;
    let alone = rate(&[&first]).await;
    let second = Server::start(folder, &flags).await;
    let both = rate(&[&first, &second]).await;
    at_least("Redis: what two replicas do of one's work", both / alone, "x", 1.8);
}

/// Workflows a second.
async fn rate(servers: &[&Server]) -> f64 {
    let began = Instant::now();
    let runs = (0..SLOW_QUESTIONS).map(|nth| {
        let server = servers[nth % servers.len()];
        let (mut client, demo) = (WorkflowServiceClient::new(server.channel.clone()), server.demo.clone());
        tokio::spawn(async move { ask(&mut client, &demo, Engine::Openai).await })
    });
    for run in join_all(runs).await {
        run.unwrap();
    }
    SLOW_QUESTIONS as f64 / began.elapsed().as_secs_f64()
}

/// How much later a watcher at another replica hears of an event.
async fn across(first: &Server, second: &Server) {
    let mut delays = Vec::new();
    for _ in 0..ONE_BY_ONE {
        let stalled = Stalled::start(first).await;
        let (here, there) = (stalled.watch(first).await, stalled.watch(second).await);
        stalled.cancel(first).await;
        delays.push(there.await.unwrap() - here.await.unwrap());
    }
    at_most("Redis: added delay to a watcher at another replica", median(&mut delays), "ms", 5.0);
}

/// A workflow whose model never answers.
struct Stalled {
    id: String,
}

impl Stalled {
    async fn start(server: &Server) -> Self {
        let mut client = WorkflowServiceClient::new(server.channel.clone());
        let request = StartWorkflowRequest {
            question: QUESTION.to_owned(),
            source: Some(Source::ConnectionId(server.demo.clone())),
            engine: Engine::Openai.into(),
            ..StartWorkflowRequest::default()
        };
        let id = client.start_workflow(request).await.unwrap().into_inner().workflow.unwrap().id;
        Self { id }
    }

    /// Follows it, and says how long after it was made the request to cancel has arrived, in milliseconds. Returns once
    /// the watcher waits for it.
    async fn watch(&self, server: &Server) -> JoinHandle<f64> {
        let mut client = WorkflowServiceClient::new(server.channel.clone());
        let request = WatchWorkflowRequest { id: self.id.clone(), ..WatchWorkflowRequest::default() };
        let mut stream = client.watch_workflow(request).await.unwrap().into_inner();
        // The planner starts last before the model is waited for.
        let mut starts = 0;
        while starts < 2 {
            starts += usize::from(name(&stream.message().await.unwrap().unwrap().event.unwrap()) == "step_started");
        }
        tokio::spawn(async move {
            loop {
                let event = stream.message().await.unwrap().unwrap().event.unwrap();
                if name(&event) == "cancel_requested" {
                    return since(&event);
                }
            }
        })
    }

    async fn cancel(&self, server: &Server) {
        let request = pulse::pb::v1::CancelWorkflowRequest { id: self.id.clone(), reason: String::new() };
        WorkflowServiceClient::new(server.channel.clone()).cancel_workflow(request).await.unwrap();
    }
}

fn name(event: &WorkflowEvent) -> &'static str {
    match event.event {
        Some(Event::StepStarted(_)) => "step_started",
        Some(Event::CancelRequested(_)) => "cancel_requested",
        _ => "other",
    }
}

/// Milliseconds since an event was made.
fn since(event: &WorkflowEvent) -> f64 {
    let made = SystemTime::try_from(event.create_time.unwrap()).unwrap();
    made.elapsed().map_or(0.0, milliseconds)
}

// --- The programs --------------------------------------------------------------------------------------------------

const MODEL: &str = "--openai-base-url";

/// A running `pulse serve --demo`; dropping it kills it.
struct Server {
    child: Child,
    address: String,
    channel: Channel,
    demo: String,
    /// Takes calls of a model and never answers, where the flags name no other.
    _model: TcpListener,
}

impl Server {
    async fn start(data_dir: &Path, flags: &[&str]) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let model = TcpListener::bind("127.0.0.1:0").unwrap();
        let model_url = format!("http://{}/v1", model.local_addr().unwrap());
        let own_model = [MODEL, &model_url];
        let child = Command::new(PROGRAM)
            .args(["serve", "--demo", "--listen", &address.to_string(), "--data-dir"])
            .arg(data_dir)
            .args(if flags.contains(&MODEL) { &[][..] } else { &own_model })
            // A model that never answers is waited for.
            .args([
                "--step-timeout",
                "1h",
                "--workflow-timeout",
                "1h",
                "--llm-timeout",
                "1h",
                "--llm-total-timeout",
                "1h",
            ])
            .args(flags)
            .env_clear()
            .current_dir(data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        reached(&address.to_string());
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let mut connections = ConnectionServiceClient::new(channel.clone());
        let list = connections.list_connections(ListConnectionsRequest::default()).await.unwrap().into_inner();
        let demo = list.connections.into_iter().find(|connection| connection.name == "demo").unwrap().id;
        Self { child, address: address.to_string(), channel, demo, _model: model }
    }

    async fn connect(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Redis that keeps what it acknowledges, a second at a time; dropping it kills it.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    fn start(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--appendonly", "yes", "--dir"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is there: scripts/test installs it");
        reached(&format!("127.0.0.1:{port}"));
        Self { child, port }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn reached(address: &str) {
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(began.elapsed() < Duration::from_secs(30), "{address} does not listen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

// --- Figures -------------------------------------------------------------------------------------------------------

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn at_most(what: &str, value: f64, unit: &str, limit: f64) {
    let mark = if value > limit { "  OVER" } else { "" };
    println!("{what:<58} {:>12} {:>14}", format!("{value:.2} {unit}"), format!("≤ {limit} {unit}{mark}"));
}

fn at_least(what: &str, value: f64, unit: &str, limit: f64) {
    let mark = if value < limit { "  UNDER" } else { "" };
    println!("{what:<58} {:>12} {:>14}", format!("{value:.1} {unit}"), format!("≥ {limit} {unit}{mark}"));
}
