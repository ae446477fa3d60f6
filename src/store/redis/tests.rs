//! The contract on a real Redis, and what only Redis can show.

use std::sync::Arc;
use std::time::Duration;

use redis::RedisServer;
use redis_ha::{Cluster, Sentinels};
use tokio::sync::OnceCell;

use super::link::Health;
use super::{Options, Redis, Settings};
use crate::domain::{TenantId, WorkflowId};
use crate::store::contract::events::{log, step};
use crate::store::{Error, Lease, Store};

#[expect(dead_code, reason = "the tests of the program use the rest")]
#[path = "../../../tests/it/support/servers/keeper.rs"]
mod keeper;
#[expect(dead_code, reason = "the tests of the program use the rest")]
#[path = "../../../tests/it/support/servers/redis.rs"]
mod redis;
#[expect(dead_code, reason = "the tests of the program use the rest")]
#[path = "../../../tests/it/support/servers/redis_ha.rs"]
mod redis_ha;

mod contract {
    use super::*;

    async fn open() -> (RedisServer, Arc<dyn Store>) {
        let server = RedisServer::start(&[]).await;
        let store = super::open(&server).await;
        (server, Arc::new(store))
    }

    crate::store::contract::contract!(open());
}

/// The oldest Redis that works.
mod contract_on_redis_6 {
    use super::*;

    async fn open() -> ((), Arc<dyn Store>) {
        static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
        ((), open_on(SERVER.get_or_init(|| RedisServer::start_as("redis-server-6.2", &[])).await).await)
    }

    crate::store::contract::contract!(open());
}

mod contract_on_valkey {
    use super::*;

    async fn open() -> ((), Arc<dyn Store>) {
        static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
        ((), open_on(SERVER.get_or_init(|| RedisServer::start_as("valkey-server", &[])).await).await)
    }

    crate::store::contract::contract!(open());
}

/// A store of its own on a server of several tests.
async fn open_on(server: &RedisServer) -> Arc<dyn Store> {
    let url = format!("{}?prefix={}", server.url(), WorkflowId::generate().uuid().simple());
    let store = Redis::open(Settings::parse(&url).unwrap(), Options::default()).await.unwrap();
    answers(&store).await;
    Arc::new(store)
}

mod contract_on_a_cluster {
    use super::*;

    /// A store of its own on the one Cluster of all tests.
    async fn open() -> ((), Arc<dyn Store>) {
        static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
        let cluster = CLUSTER.get_or_init(Cluster::start).await;
        let url = format!("{}&prefix={}", cluster.url(), WorkflowId::generate().uuid().simple());
        let store = Redis::open(Settings::parse(&url).unwrap(), Options::default()).await.unwrap();
        answers(&store).await;
        ((), Arc::new(store))
    }

    crate::store::contract::contract!(open());
}

async fn open(server: &RedisServer) -> Redis {
    Redis::open(Settings::parse(&server.url()).unwrap(), Options::default()).await.unwrap()
}

/// One that is not up yet or any more is waited for.
async fn answers(store: &Redis) {
    in_time("the store answers", async {
        while store.ping().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Waits until the store is known not to answer: then calls are refused at once.
async fn is_down(store: &Redis) {
    let mut health = store.link.health();
    in_time("trouble is noticed", health.wait_for(|health| matches!(health, Health::Down(_)))).await.unwrap();
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.unwrap_or_else(|_| panic!("{what} in time"))
}

fn unavailable<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Err(Error::Unavailable(why)) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn started(store: &Redis) -> WorkflowId {
    let id = WorkflowId::generate();
    store.append(&tenant(), id, 0, &log(2)).await.unwrap();
    id
}

fn tenant() -> TenantId {
    TenantId::local()
}

#[tokio::test]
async fn what_one_process_appends_another_hears() {
    let server = RedisServer::start(&[]).await;
    let [one, other] = [open(&server).await, open(&server).await];
    let id = started(&one).await;
    let mut tail = other.tail(&tenant(), id).await.unwrap();
    assert_eq!(*tail.borrow_and_update(), 2);
    one.append(&tenant(), id, 2, &[step(3)]).await.unwrap();
    assert_eq!(*in_time("a notice", tail.wait_for(|last| *last == 3)).await.unwrap(), 3);
    other.append(&tenant(), id, 3, &[step(4)]).await.unwrap();
    assert!(matches!(one.append(&tenant(), id, 3, &[step(4)]).await, Err(Error::OutOfSequence { last: 4 })));
    assert!(one.delete_workflow(&tenant(), id).await.unwrap());
    in_time("a notice", async { while tail.changed().await.is_ok() {} }).await;
    assert_eq!(other.last_sequence(&tenant(), id).await.unwrap(), None);
    assert_ne!(one.epoch(), other.epoch());
}

#[tokio::test]
async fn stores_of_other_prefixes_do_not_meet() {
    let server = RedisServer::start(&[]).await;
    let one = open(&server).await;
    let settings = Settings::parse(&format!("{}/0?prefix=other", server.url())).unwrap();
    let other = Redis::open(settings, Options::default()).await.unwrap();
    let id = started(&one).await;
    assert_eq!(other.last_sequence(&tenant(), id).await.unwrap(), None);
    assert_eq!(other.take().await.unwrap(), None);
    assert_ne!(one.ping().await.unwrap(), other.ping().await.unwrap());
}

#[tokio::test]
async fn it_starts_without_redis_and_goes_on_with_it() {
    let server = RedisServer::down(&[]).await;
    let store = open(&server).await;
    unavailable(store.ping().await);
    unavailable(store.append(&tenant(), WorkflowId::generate(), 0, &log(1)).await);
    server.restart().await;
    answers(&store).await;
    started(&store).await;
}

#[tokio::test]
async fn a_restart_is_survived_and_followers_look_again() {
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let store = open(&server).await;
    let id = started(&store).await;
    let (identity, epoch) = (store.ping().await.unwrap(), store.epoch());
    let mut tail = store.tail(&tenant(), id).await.unwrap();
    server.kill().await;
    is_down(&store).await;
    unavailable(store.read(&tenant(), id, 0, 10).await);
    server.restart().await;
    answers(&store).await;
    in_time("followers are told", async { while tail.changed().await.is_ok() {} }).await;
    assert_eq!(store.read(&tenant(), id, 0, 10).await.unwrap(), log(2));
    store.append(&tenant(), id, 2, &[step(3)]).await.unwrap();
    assert_eq!(store.ping().await.unwrap(), identity, "it is the same store");
    assert!(store.epoch() > epoch, "what was acknowledged may have been lost");
}

#[tokio::test]
async fn a_log_that_lost_its_tail_takes_no_event_past_the_hole() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server).await;
    let id = started(&store).await;
    server.cli(&["SAVE"]).await;
    store.append(&tenant(), id, 2, &[step(3), step(4)]).await.unwrap();
    server.kill().await;
    server.restart().await;
    answers(&store).await;
    let refused = store.append(&tenant(), id, 4, &[step(5)]).await;
    assert!(matches!(refused, Err(Error::OutOfSequence { last: 2 })), "{refused:?}");
    assert_eq!(store.read(&tenant(), id, 0, 10).await.unwrap(), log(2));
}

#[tokio::test]
async fn a_frozen_redis_holds_up_nobody_for_long() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server).await;
    let id = started(&store).await;
    server.freeze().await;
    let tenant = tenant();
    let calls = (0..100).map(|_| store.last_sequence(&tenant, id));
    for outcome in in_time("calls end", futures::future::join_all(calls)).await {
        unavailable(outcome);
    }
    is_down(&store).await;
    unavailable(store.ping().await);
    server.thaw().await;
    answers(&store).await;
    assert_eq!(store.last_sequence(&tenant, id).await.unwrap(), Some(2));
}

#[tokio::test]
async fn paused_writes_are_noticed() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server).await;
    let id = started(&store).await;
    server.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]).await;
    unavailable(in_time("the call ends", store.append(&tenant(), id, 2, &[step(3)])).await);
    is_down(&store).await;
    server.cli(&["CLIENT", "UNPAUSE"]).await;
    answers(&store).await;
    // The call that was given up may have been done after all, once.
    let last = store.last_sequence(&tenant(), id).await.unwrap().unwrap();
    store.append(&tenant(), id, last, &[step(last + 1)]).await.unwrap();
    assert!(last <= 3);
}

#[tokio::test]
async fn a_full_redis_is_read_from() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server).await;
    let id = started(&store).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let refused = store.append(&tenant(), id, 2, &[step(3)]).await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    assert_eq!(store.read(&tenant(), id, 0, 10).await.unwrap(), log(2));
    store.ping().await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    store.append(&tenant(), id, 2, &[step(3)]).await.unwrap();
}

#[tokio::test]
async fn a_redis_that_drops_records_is_refused() {
    let server = RedisServer::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]).await;
    let refused = Redis::open(Settings::parse(&server.url()).unwrap(), Options::default()).await;
    let why = unavailable(refused.map(|_| ()));
    assert!(why.contains("allkeys-lru") && why.contains("noeviction"), "{why}");
}

#[tokio::test]
async fn a_replica_is_not_written_to() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server).await;
    let id = started(&store).await;
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]).await;
    unavailable(in_time("the call ends", store.append(&tenant(), id, 2, &[step(3)])).await);
    is_down(&store).await;
    server.cli(&["REPLICAOF", "NO", "ONE"]).await;
    answers(&store).await;
    store.append(&tenant(), id, 2, &[step(3)]).await.unwrap();
}

#[tokio::test]
async fn too_few_replicas_are_noticed() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server).await;
    server.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    unavailable(store.append(&tenant(), WorkflowId::generate(), 0, &log(1)).await);
    is_down(&store).await;
    server.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    answers(&store).await;
}

#[tokio::test]
async fn a_wrong_password_is_told_without_it() {
    let server = RedisServer::start(&["--requirepass", "right"]).await;
    let url = server.url().replace("://", "://:wrong-s3cret@");
    let store = Redis::open(Settings::parse(&url).unwrap(), Options::default()).await.unwrap();
    let why = unavailable(store.ping().await);
    assert!(why.contains("WRONGPASS") && !why.contains("s3cret"), "{why}");
    server.cli(&["-a", "right", "CONFIG", "SET", "requirepass", "wrong-s3cret"]).await;
    answers(&store).await;
}

#[tokio::test]
async fn a_user_and_a_database_of_ones_own_will_do() {
    let server = RedisServer::start(&[]).await;
    server.cli(&["ACL", "SETUSER", "pulse", "on", ">p:a/s@s", "~{pulse*", "&{pulse*", "+@all", "-@admin"]).await;
    let url = server.url().replace("://", "://pulse:p%3Aa%2Fs%40s@") + "/3";
    let store = Redis::open(Settings::parse(&url).unwrap(), Options::default()).await.unwrap();
    started(&store).await;
    assert_ne!(server.cli(&["-n", "3", "DBSIZE"]).await.trim(), "0");
    assert_eq!(server.cli(&["-n", "0", "DBSIZE"]).await.trim(), "0");
}

#[tokio::test]
async fn sentinels_and_their_servers_may_have_passwords() {
    let servers = Sentinels::start_with_passwords("of-sentinels", "of-servers").await;
    let url = servers.url().replace("://", "://:of-servers@") + "&sentinelPassword=of-sentinels";
    let store = Redis::open(Settings::parse(&url).unwrap(), Options::default()).await.unwrap();
    answers(&store).await;
    started(&store).await;
}

#[tokio::test]
async fn a_user_that_may_not_subscribe_is_told() {
    let server = RedisServer::start(&[]).await;
    server.cli(&["ACL", "SETUSER", "pulse", "on", ">p", "~*", "+@all", "resetchannels"]).await;
    let url = server.url().replace("://", "://pulse:p@");
    let store = Redis::open(Settings::parse(&url).unwrap(), Options::default()).await.unwrap();
    let why = unavailable(store.ping().await);
    assert!(why.contains("subscribe"), "{why}");
    server.cli(&["ACL", "SETUSER", "pulse", "allchannels"]).await;
    answers(&store).await;
}

#[tokio::test]
async fn an_emptied_redis_is_another_store() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server).await;
    let id = started(&store).await;
    let (identity, epoch) = (store.ping().await.unwrap(), store.epoch());
    let mut tail = store.tail(&tenant(), id).await.unwrap();
    server.cli(&["FLUSHALL"]).await;
    in_time("followers are told", async { while tail.changed().await.is_ok() {} }).await;
    assert_ne!(store.ping().await.unwrap(), identity);
    assert!(store.epoch() > epoch);
    assert_eq!(store.last_sequence(&tenant(), id).await.unwrap(), None);
    let refused = store.append(&tenant(), id, 2, &[step(3)]).await;
    assert!(matches!(refused, Err(Error::OutOfSequence { last: 0 })), "{refused:?}");
    started(&store).await;
}

#[tokio::test]
async fn forgotten_scripts_are_sent_again() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server).await;
    let id = started(&store).await;
    server.cli(&["SCRIPT", "FLUSH"]).await;
    store.append(&tenant(), id, 2, &[step(3)]).await.unwrap();
}

#[tokio::test]
async fn records_of_a_newer_version_are_left_alone() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server).await;
    let id = started(&store).await;
    let key = format!("{}:log:{id}", store.link.keys.of_workflow(id));
    server.cli(&["XADD", &key, "3-0", "v", "99", "e", "{}"]).await;
    let refused = store.read(&tenant(), id, 0, 10).await;
    assert!(matches!(&refused, Err(Error::Corrupt(what)) if what.contains("newer")), "{refused:?}");

    let key = store.link.keys.marker();
    server.cli(&["SET", &key, r#"{"min_reader":99,"identity":1,"partitions":64}"#]).await;
    let refused = Redis::open(Settings::parse(&server.url()).unwrap(), Options::default()).await;
    let why = unavailable(refused.map(|_| ()));
    assert!(why.contains("newer Pulse"), "{why}");
}

#[tokio::test]
async fn a_closed_store_refuses() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server).await;
    in_time("it closes", store.close()).await;
    unavailable(store.ping().await);
}

#[tokio::test]
async fn what_a_lost_worker_held_is_taken_by_another() {
    let server = RedisServer::start(&[]).await;
    let options = Options { lease: Duration::from_millis(200), ..Options::default() };
    let [one, other] =
        [options.clone(), options].map(|options| Redis::open(Settings::parse(&server.url()).unwrap(), options));
    let (one, other) = (one.await.unwrap(), other.await.unwrap());
    let lease = Lease::new(WorkflowId::generate());
    one.append_on(&tenant(), lease.workflow, 0, &log(2), Some(lease)).await.unwrap();
    let work = in_time("the lease runs out", async {
        loop {
            other.more_work().await;
            if let Some(work) = other.take().await.unwrap() {
                return work;
            }
        }
    })
    .await;
    assert_eq!((work.lease.workflow, work.lost), (lease.workflow, 1));
    // The first one, late, can neither write nor keep it nor give it away.
    let refused = one.append_on(&tenant(), lease.workflow, 2, &[step(3)], Some(lease)).await;
    assert!(matches!(refused, Err(Error::LeaseLost)), "{refused:?}");
    assert_eq!(one.renew(&[(tenant(), lease)]).await.unwrap(), [lease]);
    one.release(&tenant(), lease).await.unwrap();
    other.append_on(&tenant(), lease.workflow, 2, &[step(3)], Some(work.lease)).await.unwrap();
}

#[tokio::test]
async fn after_an_outage_holders_prolong_before_others_take_over() {
    let server = RedisServer::start(&[]).await;
    // Long enough for a slow machine to be within the time that holders have.
    let options = Options { lease: Duration::from_mins(1), ..Options::default() };
    let [one, other] =
        [options.clone(), options].map(|options| Redis::open(Settings::parse(&server.url()).unwrap(), options));
    let (one, other) = (one.await.unwrap(), other.await.unwrap());
    let lease = Lease::new(WorkflowId::generate());
    one.append_on(&tenant(), lease.workflow, 0, &log(2), Some(lease)).await.unwrap();
    server.freeze().await;
    tokio::join!(is_down(&one), is_down(&other));
    server.thaw().await;
    tokio::join!(answers(&one), answers(&other));
    // As if the outage had taken longer than the lease.
    let due = format!("{}:due:{}", one.link.keys.of_workflow(lease.workflow), tenant());
    server.cli(&["ZADD", &due, "XX", "1", &lease.workflow.to_string()]).await;
    assert!(other.take().await.unwrap().is_none(), "its holder lives");
    let free = started(&one).await;
    let work = in_time("what nobody held is given out", async {
        loop {
            other.more_work().await;
            if let Some(work) = other.take().await.unwrap() {
                return work;
            }
        }
    })
    .await;
    assert_eq!(work.lease.workflow, free);
    assert_eq!(one.renew(&[(tenant(), lease)]).await.unwrap(), []);
}

#[tokio::test]
async fn a_lease_that_is_prolonged_is_not_lost() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server).await;
    let lease = Lease::new(WorkflowId::generate());
    store.append_on(&tenant(), lease.workflow, 0, &log(2), Some(lease)).await.unwrap();
    let due = format!("{}:due:{}", store.link.keys.of_workflow(lease.workflow), tenant());
    let until = async || server.cli(&["ZSCORE", &due, &lease.workflow.to_string()]).await;
    server.cli(&["ZADD", &due, "1", &lease.workflow.to_string()]).await;
    assert_eq!(store.renew(&[(tenant(), lease)]).await.unwrap(), []);
    assert!(until().await.trim().parse::<f64>().unwrap() > 1e12);
    assert!(store.is_held(&tenant(), lease.workflow).await.unwrap());
}

#[tokio::test]
async fn what_is_no_workflow_is_put_aside() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server).await;
    let id = WorkflowId::generate();
    store.append(&tenant(), id, 0, &log(1)).await.unwrap();
    let tag = store.link.keys.of_workflow(id);
    server.cli(&["ZADD", &format!("{tag}:due:local"), "-1", "junk"]).await;
    let work = in_time("the workflow behind it is taken", async {
        loop {
            if let Some(work) = store.take().await.unwrap() {
                return work;
            }
        }
    })
    .await;
    assert_eq!(work.lease.workflow, id);
    assert_eq!(server.cli(&["ZRANGE", &format!("{tag}:dead"), "0", "-1"]).await.trim(), "local junk");
}

#[tokio::test]
async fn a_notice_of_work_wakes_other_processes() {
    let server = RedisServer::start(&[]).await;
    let [one, other] = [open(&server).await, open(&server).await];
    // Nothing waits: what it has heard of is asked in vain.
    while other.take().await.unwrap().is_some() {}
    let id = WorkflowId::generate();
    one.append(&tenant(), id, 0, &log(1)).await.unwrap();
    in_time("a notice", other.more_work()).await;
    assert_eq!(other.take().await.unwrap().unwrap().lease.workflow, id);
}
