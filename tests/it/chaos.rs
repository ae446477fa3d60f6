//! Three replicas and a Redis, any of which dies, stops or freezes at random while questions are answered: in the end
//! every workflow has ended once, every log is whole, and no model call was made that its log does not show.
//!
//! `PULSE_TEST_SEED` repeats a run.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use pulse::pb::v1::workflow_event::Event;
use pulse::pb::v1::workflow_service_client::WorkflowServiceClient;
use pulse::pb::v1::{ListWorkflowsRequest, StartWorkflowRequest, WatchWorkflowRequest, WorkflowEvent};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::calls::{assert_whole_log, connection_id, kind, question, watch};
use crate::support::follow::{assert_same, names};
use crate::support::model_server::ModelServer;
use crate::support::process::Process;
use crate::support::script::{self, AGENTS, ANSWER};
use crate::support::server::Folder;
use crate::support::servers::{Cluster, ENCRYPTION_KEY, RedisServer, Sentinels};

const REPLICAS: usize = 3;

/// Longest that everything may take to be done once the faults are over.
const PATIENCE: Duration = Duration::from_mins(4);

/// What can happen to the store while questions are answered.
#[async_trait::async_trait(?Send)]
trait Shaken {
    fn url(&self) -> String;
    /// Takes it away, and gives it back.
    async fn shake(&self, random: &mut Random);
    /// Whether it may lose what it has just acknowledged, which watchers are then told.
    fn forgets(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn one_redis() {
    let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    survive(&redis, Calls::PerAgent, 200, 12).await;
}

/// A fault hits a call of which some steps are stored and others are not.
#[tokio::test]
async fn one_redis_and_calls_that_serve_three_steps() {
    let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    survive(&redis, Calls::Shared, 100, 8).await;
}

#[async_trait::async_trait(?Send)]
impl Shaken for RedisServer {
    fn url(&self) -> String {
        Self::url(self)
    }

    async fn shake(&self, random: &mut Random) {
        match random.below(3) {
            0 => self.stop().await,
            1 => self.kill().await,
            _ => {
                self.freeze().await;
                tokio::time::sleep(Duration::from_secs(3)).await;
                return self.thaw().await;
            }
        }
        self.restart().await;
    }
}

#[tokio::test]
async fn a_master_and_its_replica() {
    let servers = Sentinels::start().await;
    survive(&servers, Calls::PerAgent, 60, 6).await;
}

#[async_trait::async_trait(?Send)]
impl Shaken for Sentinels {
    fn url(&self) -> String {
        Self::url(self)
    }

    async fn shake(&self, _: &mut Random) {
        self.fail_over().await;
    }

    fn forgets(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_cluster() {
    let cluster = Cluster::start().await;
    survive(&cluster, Calls::PerAgent, 60, 6).await;
}

#[async_trait::async_trait(?Send)]
impl Shaken for Cluster {
    fn url(&self) -> String {
        Self::url(self)
    }

    async fn shake(&self, random: &mut Random) {
        let node = &self.nodes[random.below(3)];
        node.kill().await;
        node.restart().await;
        self.is_whole().await;
    }
}

/// How many agents a call serves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Calls {
    PerAgent,
    Shared,
}

async fn survive(store: &dyn Shaken, sharing: Calls, workflows: usize, rounds: usize) {
    let seed = std::env::var("PULSE_TEST_SEED")
        .map_or_else(|_| uuid::Uuid::now_v7().as_u64_pair().1, |seed| seed.parse().unwrap());
    println!("PULSE_TEST_SEED={seed}");
    let mut random = Random(seed);
    let folder = Folder::with_demo();
    let model = script::model(ANSWER, None).await;
    model.delay(Duration::from_millis(30));
    let url = store.url();
    let own = ["--store", &url, "--encryption-key", ENCRYPTION_KEY, "--lease", "2s", "--max-workflows", "16", "--demo"];
    let mut started = 0;
    let sharing_calls = match sharing {
        Calls::PerAgent => "per_agent",
        Calls::Shared => "shared",
    };
    // Each asks the model with a key of its own, which says who asked.
    let mut serve = async || {
        started += 1;
        let key = format!("process-{started}");
        let flags = ["--openai-base-url", model.url(), "--openai-api-key", &key, "--llm-calls", sharing_calls];
        Process::serve(folder.path(), &[&own[..], &flags].concat()).await
    };
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        replicas.push(serve().await);
    }
    let addresses: Addresses = Arc::new(Mutex::new(replicas.iter().map(|replica| replica.address).collect()));
    let demo = connection_id(&replicas[0].channel().await, "demo").await;

    let mut asked = Vec::new();
    for round in 0..rounds {
        // Every round has questions of its own, and its fault comes while they are answered.
        let before = model.requests().len();
        for number in asked.len()..workflows * (round + 1) / rounds {
            let random = Random(seed ^ number as u64);
            let client = Asker { addresses: addresses.clone(), random, forgets: store.forgets() };
            asked.push(tokio::spawn(client.ask_and_watch(demo.clone(), number)));
        }
        model.arrived(before + 1 + random.below(workflows / rounds)).await;
        let hit = random.below(REPLICAS);
        // The store has its turn in every run.
        match if round == rounds / 2 { 3 } else { random.below(4) } {
            0 => {
                println!("round {round}: kill -9 replica {hit}");
                replicas.remove(hit).kill().await;
                let fresh = serve().await;
                addresses.lock().unwrap()[hit] = fresh.address;
                replicas.insert(hit, fresh);
            }
            1 => {
                println!("round {round}: stop replica {hit}");
                let mut old = replicas.remove(hit);
                old.signal("TERM").await;
                assert_eq!(old.ended().await.code(), Some(0));
                let fresh = serve().await;
                addresses.lock().unwrap()[hit] = fresh.address;
                replicas.insert(hit, fresh);
            }
            2 => {
                println!("round {round}: freeze replica {hit}");
                replicas[hit].signal("STOP").await;
                // Twice the lease, so that others have taken its work.
                tokio::time::sleep(Duration::from_secs(4)).await;
                replicas[hit].signal("CONT").await;
            }
            _ => {
                println!("round {round}: the store");
                store.shake(&mut random).await;
            }
        }
    }

    let done = tokio::time::timeout(PATIENCE, futures::future::join_all(asked)).await;
    let logs: Vec<(String, Vec<WorkflowEvent>)> =
        done.expect("every workflow ends").into_iter().map(Result::unwrap).collect();
    let mut client = WorkflowServiceClient::new(replicas[0].channel().await);
    // A start that was repeated has made no second workflow.
    let list = ListWorkflowsRequest { page_size: 500, ..ListWorkflowsRequest::default() };
    let listed = client.list_workflows(list).await.unwrap().into_inner().workflows;
    let told: BTreeSet<&str> = logs.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(listed.iter().map(|workflow| workflow.id.as_str()).collect::<BTreeSet<_>>(), told);
    let mut calls = calls_of(&model);
    let mut repeated = 0;
    for (number, (id, seen)) in logs.iter().enumerate() {
        assert_whole_log(seen, 0);
        assert_eq!(kind(seen.last().unwrap()), "completed", "{:?}", names(seen));
        assert_same(&watch(&mut client, id, 0).await, seen);
        for agent in AGENTS {
            let told = |what: &str| names(seen).iter().filter(|name| **name == format!("{what} {agent}")).count();
            assert_eq!(told("step_completed"), 1, "{:?}", names(seen));
            // Each call belongs to a start in the log: more than one means that a worker was lost in between. A fault may
            // also break a call on its way, which its worker then repeats.
            let mut made = calls.remove(&(number, agent.to_owned())).unwrap_or_default();
            if store.forgets() {
                // What was asked before belongs to a log that was lost with the last moments of a master.
                let began = started_at(seen, agent);
                made.retain(|call| call.at >= began);
            }
            let makes_calls = sharing == Calls::PerAgent || agent == "planner";
            assert!(!made.is_empty() || !makes_calls, "{agent}: no call, {:?}", names(seen));
            let excess = made.len().saturating_sub(told("step_started"));
            if excess > 0 {
                let times: Vec<_> = seen.iter().map(|event| (&event.cursor, event.create_time)).collect();
                println!("run {number}: {agent} was asked at {made:?}; {:?}; {times:?}", names(seen));
            }
            repeated += excess;
        }
    }
    assert!(repeated <= rounds, "{repeated} calls were repeated in {rounds} rounds");
}

/// When the log says that a step first began.
fn started_at(log: &[WorkflowEvent], step: &str) -> SystemTime {
    let starts = |event: &&WorkflowEvent| matches!(&event.event, Some(Event::StepStarted(started)) if started.step.as_ref().is_some_and(|one| one.name == step));
    SystemTime::try_from(log.iter().find(starts).unwrap().create_time.unwrap()).unwrap()
}

/// A call of the model: which process made it, and when.
#[derive(Debug)]
struct Call {
    #[expect(dead_code, reason = "printed when there is one too many")]
    by: String,
    at: SystemTime,
}

/// The calls of the model by question and by the first agent that each served.
fn calls_of(model: &ModelServer) -> HashMap<(usize, String), Vec<Call>> {
    let mut calls: HashMap<(usize, String), Vec<Call>> = HashMap::new();
    for request in model.requests() {
        let prompt = request.prompt();
        let (_, rest) = prompt.split_once("in run ").expect("the question is in every prompt");
        let number = rest.split(|one: char| !one.is_ascii_digit()).next().unwrap().parse().unwrap();
        let by = request.headers["authorization"].to_str().unwrap().to_owned();
        // A call for several agents is made by the first of them.
        let caller = request.agents().next().unwrap().to_owned();
        calls.entry((number, caller)).or_default().push(Call { by, at: request.time });
    }
    calls
}

fn tells_of_loss(status: &Status) -> bool {
    let told = status.get_details_error_info();
    told.is_some_and(|info| ["LOG_REWOUND", "WORKFLOW_NOT_FOUND", "STORE_DATA_LOST"].contains(&info.reason.as_str()))
}

type Addresses = Arc<Mutex<Vec<SocketAddr>>>;

/// A client that goes on at another replica when one does not answer.
struct Asker {
    addresses: Addresses,
    random: Random,
    /// Whether the store may lose what it has just acknowledged.
    forgets: bool,
}

impl Asker {
    /// Asks once, however often it takes, and watches to the end; the workflow's id, and every event once.
    async fn ask_and_watch(mut self, connection: String, number: usize) -> (String, Vec<WorkflowEvent>) {
        let request = StartWorkflowRequest {
            request_id: format!("run-{number}"),
            ..question(&connection, &format!("How many customers do we have in run {number}?"))
        };
        let mut id = self.start(&request).await;
        let mut seen: Vec<WorkflowEvent> = Vec::new();
        loop {
            let Some(mut client) = self.client(None).await else { continue };
            let after_sequence = seen.last().map_or(0, |event| event.sequence);
            let watched = WatchWorkflowRequest { id: id.clone(), after_sequence, ..WatchWorkflowRequest::default() };
            match Self::follow(&mut client, watched, &mut seen).await {
                Ok(()) => return (id, seen),
                Err(status) if self.forgets && tells_of_loss(&status) => {
                    seen.clear();
                    id = self.start(&request).await;
                }
                Err(status) => self.pause(&status).await,
            }
        }
    }

    /// The workflow's id; however often it takes, it is started once.
    async fn start(&mut self, request: &StartWorkflowRequest) -> String {
        loop {
            let Some(mut client) = self.client(Some(Duration::from_secs(5))).await else { continue };
            match client.start_workflow(request.clone()).await {
                Ok(answer) => return answer.into_inner().workflow.unwrap().id,
                Err(status) => self.pause(&status).await,
            }
        }
    }

    async fn follow(
        client: &mut WorkflowServiceClient<Channel>,
        request: WatchWorkflowRequest,
        seen: &mut Vec<WorkflowEvent>,
    ) -> Result<(), Status> {
        let mut events = client.watch_workflow(request).await?.into_inner();
        while let Some(response) = events.message().await? {
            let event = response.event.unwrap();
            if !matches!(event.event, Some(Event::Heartbeat(_))) {
                seen.push(event);
            }
        }
        Ok(())
    }

    /// A client of some replica; `None` when it does not listen.
    async fn client(&mut self, timeout: Option<Duration>) -> Option<WorkflowServiceClient<Channel>> {
        let address = {
            let addresses = self.addresses.lock().unwrap();
            addresses[self.random.below(addresses.len())]
        };
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let endpoint = timeout.into_iter().fold(endpoint, Endpoint::timeout);
        let channel = endpoint.connect().await.ok();
        if channel.is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        channel.map(WorkflowServiceClient::new)
    }

    /// Waits as the refusal asks; only one that waiting cures is acceptable.
    async fn pause(&mut self, status: &Status) {
        // One without words of the server's is of the connection, which may break.
        let broken = std::error::Error::source(status).is_some();
        let passes = [Code::Unavailable, Code::ResourceExhausted, Code::DeadlineExceeded, Code::Cancelled];
        assert!(broken || passes.contains(&status.code()), "{status:?}");
        tokio::time::sleep(Duration::from_millis(50 + self.random.below(200) as u64)).await;
    }
}

/// The same numbers for the same seed (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}
