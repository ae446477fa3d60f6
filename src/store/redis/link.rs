//! Calls to Redis: each with a deadline, and none while Redis is known not to answer, so that nothing piles up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fred::clients::{Client, WithOptions};
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::config::{
    ConnectionConfig, Options, PerformanceConfig, ReconnectError, ReconnectPolicy, TcpConfig, UnresponsiveConfig,
};
use fred::types::scripts::Script;
use fred::types::{Builder, CustomCommand, FromValue, InfoKind, SetOptions, Value};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Settings;
use super::keys::{Keys, PARTITIONS};
use crate::domain::{Clock, SystemClock};
use crate::store::Error;

/// Longest that the question whether Redis answers may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Silence after which a connection with calls under way is held to be dead.
const DEAD_AFTER: Duration = Duration::from_secs(4);

/// Calls on their way to the connection; more are refused.
const QUEUE: usize = 10_000;

/// How often a call is sent before it fails.
const SENDS: u32 = 3;

/// Notices and events that a slow reader may be behind.
const BROADCASTS: usize = 16_384;

/// The oldest Redis with what the scripts need.
const OLDEST: (u32, u32) = (6, 2);

/// Whether Redis answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Health {
    /// It does, writes included.
    Up,
    /// It does not.
    Down(String),
    /// It does, but must not be used.
    Unfit(String),
}

/// The record of a store: which one it is, and what is fixed for its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    min_reader: u32,
    /// Random: an emptied Redis gets another.
    identity: u64,
    partitions: u8,
}

impl Marker {
    const VERSION: u32 = 1;
}

/// One connection (to a Cluster: one a node), shared by all calls, which are pipelined on it.
pub(super) struct Link {
    pub(super) keys: Keys,
    pub(super) client: Client,
    /// Hears the notices of appends, on a connection of its own.
    pub(super) listener: Client,
    /// Set while the listener hears every partition.
    pub(super) listens: AtomicBool,
    health: watch::Sender<Health>,
    /// When Redis last answered again, having answered before.
    returned: Mutex<Option<Instant>>,
    /// Scripts called so far: each call has a name of its own.
    calls: AtomicU64,
    identity: AtomicU64,
    epoch: AtomicU64,
}

impl Link {
    /// A link that connects once [`super::keeper`] runs.
    pub(super) fn new(settings: Settings, timeout: Duration) -> Result<Self, Error> {
        let connection = ConnectionConfig {
            connection_timeout: timeout,
            internal_command_timeout: timeout,
            max_command_buffer_len: QUEUE,
            // What is under way when a connection breaks is sent again, where that is harmless.
            max_command_attempts: SENDS,
            reconnect_errors: vec![
                ReconnectError::ClusterDown,
                ReconnectError::Loading,
                ReconnectError::MasterDown,
                ReconnectError::ReadOnly,
            ],
            tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
            unresponsive: UnresponsiveConfig { max_timeout: Some(DEAD_AFTER), interval: Duration::from_secs(1) },
            ..ConnectionConfig::default()
        };
        let performance = PerformanceConfig {
            default_command_timeout: timeout,
            broadcast_channel_capacity: BROADCASTS,
            ..PerformanceConfig::default()
        };
        let mut builder = Builder::from_config(settings.config);
        builder.set_connection_config(connection);
        builder.set_performance_config(performance);
        builder.set_policy(ReconnectPolicy::new_exponential(0, 50, 1_000, 2));
        let client = || builder.build().map_err(|error| refused(&error));
        Ok(Self {
            keys: settings.keys,
            client: client()?,
            listener: client()?,
            listens: AtomicBool::new(false),
            health: watch::Sender::new(Health::Down("it has not been reached yet".to_owned())),
            returned: Mutex::new(None),
            calls: AtomicU64::new(0),
            identity: AtomicU64::new(0),
            epoch: AtomicU64::new(fresh_epoch()),
        })
    }

    /// Runs a script that may run twice: when a connection breaks it is sent again.
    pub(super) async fn run<T: FromValue>(
        &self,
        script: &Script,
        tag: String,
        arguments: Vec<Value>,
    ) -> Result<T, Error> {
        self.call(SENDS, script, tag, arguments).await
    }

    /// Runs a script at most once.
    pub(super) async fn run_once<T: FromValue>(
        &self,
        script: &Script,
        tag: String,
        arguments: Vec<Value>,
    ) -> Result<T, Error> {
        self.call(1, script, tag, arguments).await
    }

    async fn call<T: FromValue>(
        &self,
        sends: u32,
        script: &Script,
        tag: String,
        arguments: Vec<Value>,
    ) -> Result<T, Error> {
        self.admit()?;
        let client = self.client.with_options(&Options { max_attempts: Some(sends), ..Options::default() });
        let call = format!("{tag}:{}", self.calls.fetch_add(1, Ordering::Relaxed));
        let with = |script: Value| {
            let keys = [script, 2.into(), tag.clone().into(), call.clone().into()];
            keys.into_iter().chain(arguments.clone()).collect()
        };
        // A Cluster's node is found by the one key.
        let command = |name| CustomCommand::new_static(name, tag.as_str(), false);
        let by_name: Vec<Value> = with(script.sha1().clone().into());
        let answer = match client.custom(command("EVALSHA"), by_name).await {
            // Redis forgets scripts when it restarts; sending the text makes it remember.
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                let by_text: Vec<Value> = with(script.lua().cloned().unwrap_or_default().into());
                client.custom(command("EVAL"), by_text).await
            }
            answer => answer,
        };
        let answer: Vec<Value> = answer.map_err(|error| refused(&error))?;
        let mut answer = answer.into_iter();
        if answer.next().and_then(Value::into_string) != Some(call) {
            // What happened to this call is unknown, as if its answer were lost.
            tracing::error!("Redis gave the answer of another call");
            return Err(Error::Unavailable("Redis gave the answer of another call".into()));
        }
        let answer = answer.next().unwrap_or(Value::Null);
        answer.convert().map_err(|_| Error::Corrupt("an answer of Redis has another form than expected".to_owned()))
    }

    /// Which store this is: another number means that what it held is gone.
    pub(super) async fn identity(&self) -> Result<u64, Error> {
        self.admit()?;
        let text: Option<String> = self.client.get(self.keys.marker()).await.map_err(|error| refused(&error))?;
        Ok(text.and_then(|text| serde_json::from_str::<Marker>(&text).ok()).map_or(0, |marker| marker.identity))
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// From now on events are of another epoch: those before it may be lost.
    pub(super) fn renew_epoch(&self) {
        let fresh = fresh_epoch();
        let later = |epoch: u64| Some(fresh.max(epoch + 1));
        // The closure never declines.
        let _ = self.epoch.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }

    /// Whether Redis was away until so short a time ago.
    pub(super) fn returned_within(&self, span: Duration) -> bool {
        let returned = *self.returned.lock().unwrap_or_else(PoisonError::into_inner);
        returned.is_some_and(|when| when.elapsed() < span)
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Refuses every later call.
    pub(super) fn close(&self) {
        self.health.send_replace(Health::Down("the store is closed".to_owned()));
    }

    /// Refuses a call at once while Redis is known not to answer.
    fn admit(&self) -> Result<(), Error> {
        match &*self.health.borrow() {
            Health::Up => Ok(()),
            Health::Down(why) | Health::Unfit(why) => Err(Error::Unavailable(why.clone().into())),
        }
    }

    /// Asks Redis whether it answers. `trouble` is what the connection last complained about. Returns the health before
    /// and now, and whether this is another store than before.
    pub(super) async fn probe(&self, trouble: &str) -> (Health, Health, bool) {
        let before = self.health.borrow().clone();
        let answered_once = self.identity.load(Ordering::Relaxed) != 0;
        let (now, emptied) = if self.client.is_connected() {
            match self.contact(&before).await {
                Ok((health, emptied)) => (health, emptied),
                Err(error) => (Health::Down(error.to_string()), false),
            }
        } else {
            (Health::Down(trouble.to_owned()), false)
        };
        if answered_once && before != Health::Up && now == Health::Up {
            *self.returned.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        self.health.send_replace(now.clone());
        (before, now, emptied)
    }

    async fn contact(&self, before: &Health) -> Result<(Health, bool), fred::error::Error> {
        let options = Options { timeout: Some(PROBE_TIMEOUT), max_attempts: Some(1), ..Options::default() };
        let client = self.client.with_options(&options);
        if *before != Health::Up
            && let Some(problem) = unfit(&client.info::<String>(None::<InfoKind>).await?)
        {
            return Ok((Health::Unfit(problem), false));
        }
        // A write that changes nothing: a replica, a paused server and one without its replicas refuse it, one that is
        // full does not, so that it can still be read from.
        let key = self.keys.marker();
        let _: i64 = client.persist(key.clone()).await?;
        let marker = match client.get::<Option<String>, _>(key.clone()).await? {
            Some(text) => text,
            None => create_marker(&client, &key).await?,
        };
        let Ok(Marker { min_reader: ..=Marker::VERSION, identity, partitions: PARTITIONS }) =
            serde_json::from_str(&marker)
        else {
            let problem = format!("the store was made by a newer Pulse, or `{key}` is not Pulse's: use another prefix");
            return Ok((Health::Unfit(problem), false));
        };
        let known = self.identity.swap(identity, Ordering::Relaxed);
        let emptied = known != 0 && known != identity;
        if !self.listens.load(Ordering::Relaxed) {
            return Ok((Health::Down("it does not let Pulse subscribe to its channels".to_owned()), emptied));
        }
        Ok((Health::Up, emptied))
    }
}

async fn create_marker(client: &WithOptions<Client>, key: &str) -> Result<String, fred::error::Error> {
    let marker = Marker { min_reader: Marker::VERSION, identity: random().max(1), partitions: PARTITIONS };
    // Numbers always have a JSON form.
    let text = serde_json::to_string(&marker).unwrap_or_default();
    // Another replica may be faster: what is stored counts.
    let _: Option<String> = client.set(key, text, None, Some(SetOptions::NX), false).await?;
    client.get(key).await
}

/// Why a server must not hold a store, from what it says of itself.
fn unfit(info: &str) -> Option<String> {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let version = field("redis_version").unwrap_or_default();
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < OLDEST {
        return Some(format!("Redis {version} is too old; 6.2 is the oldest that works"));
    }
    let policy = field("maxmemory_policy").unwrap_or_default();
    if policy.starts_with("allkeys-") {
        return Some(format!("its maxmemory-policy is {policy}, which would drop records; set it to noeviction"));
    }
    None
}

/// What a caller of the store is told. The client's texts hold no arguments and no credentials.
pub(super) fn refused(error: &fred::error::Error) -> Error {
    if error.details().contains("OOM command not allowed") {
        return Error::Full;
    }
    Error::Unavailable(error.to_string().into())
}

/// Later than every epoch given out before, and not given out twice: milliseconds since 1970 and 20 random bits.
fn fresh_epoch() -> u64 {
    let milliseconds = SystemClock.now().as_millisecond().unsigned_abs();
    (milliseconds << 20) | (random() & 0xf_ffff)
}

/// Zero on a system without randomness, where nothing else works either.
fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}
