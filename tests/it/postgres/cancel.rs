//! Cancelling: whatever is given up at whatever moment, nothing keeps running and nothing leaks.

use std::time::Duration;

use futures::future::join_all;
use pulse::sql::{Error, Limits, Options};

use super::{ENDLESS, guarded, opened, patient, patiently, without_limits};
use crate::support::servers::{self, Database};

const ROUNDS: u64 = 24;
const CONNECTIONS: usize = 3;

/// Statements that would run for an hour, waiting and computing, with and without rows, binary and through a cursor.
const HOURS: [&str; 4] = [
    "SELECT v FROM asleep",
    "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b",
    ENDLESS,
    "SELECT '10.0.0.1'::inet, v FROM asleep",
];

/// Delays that are the same in every run.
fn delays() -> impl Iterator<Item = Duration> {
    let mut state = 42_u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros((state >> 33) % 40_000)
    })
}

async fn home(prefix: &str) -> Database<'static> {
    let home = servers::postgres().await.fresh_database(prefix).await;
    home.admin("CREATE VIEW asleep AS SELECT pg_sleep(3600)::text AS v;").await;
    home
}

fn options() -> Options {
    Options { connections: CONNECTIONS, acquire_timeout: Duration::from_secs(30), ..patient() }
}

/// Waits until only unused sessions are left, of which there are never more than there may be.
async fn nothing_is_left(home: &Database<'_>) {
    let ended = async {
        loop {
            let sessions = home.sessions().await;
            assert!(sessions.len() <= CONNECTIONS + 1, "{sessions:#?}");
            if sessions.iter().all(|session| session.state.as_deref() == Some("idle")) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("what was given up ends");
}

#[tokio::test]
async fn dropped_statements_end() {
    let home = home("drop").await;
    let database = opened(&home, options());
    for (round, delay) in (0..ROUNDS).zip(delays()) {
        let sql = guarded(HOURS[usize::try_from(round).unwrap() % HOURS.len()]);
        let limits = without_limits();
        if round % 2 == 0 {
            tokio::time::timeout(delay, database.execute(&sql, &[], limits)).await.unwrap_err();
        } else {
            let _ = tokio::time::timeout(delay, async {
                let mut stream = database.stream(sql, Vec::new(), limits).await.unwrap();
                while stream.next().await.is_some() {}
            })
            .await
            .unwrap_err();
        }
        nothing_is_left(&home).await;
        database.execute(&guarded("SELECT 1"), &[], patiently()).await.unwrap();
    }
    database.close().await;
    home.until_sessions(0).await;
}

#[tokio::test]
async fn statements_whose_time_is_over_end() {
    let home = home("late").await;
    let database = opened(&home, options());
    for (round, timeout) in (0..ROUNDS).zip(delays()) {
        let sql = guarded(HOURS[usize::try_from(round).unwrap() % HOURS.len()]);
        let limits = Limits { timeout, ..without_limits() };
        let error = if round % 2 == 0 {
            database.execute(&sql, &[], limits).await.unwrap_err()
        } else {
            match database.stream(sql, Vec::new(), limits).await {
                Ok(mut stream) => {
                    while stream.next().await.is_some() {}
                    stream.finish().await.unwrap_err()
                }
                Err(error) => error,
            }
        };
        assert_eq!(error, Error::Timeout(timeout));
        nothing_is_left(&home).await;
        database.execute(&guarded("SELECT 1"), &[], patiently()).await.unwrap();
    }
    database.close().await;
    home.until_sessions(0).await;
}

/// Many at once, more than there are connections: sessions that only cancel are few, too.
#[tokio::test]
async fn many_dropped_at_once_leak_nothing() {
    let home = home("many").await;
    let database = opened(&home, options());
    for _ in 0..3 {
        let sql = guarded(HOURS[0]);
        let running = join_all((0..2 * CONNECTIONS).map(|_| database.execute(&sql, &[], without_limits())));
        let active = format!("database_name = '{}' AND state = 'active'", home.name);
        let all_run = home.server.until_sessions(&active, CONNECTIONS);
        tokio::select! {
            ended = running => panic!("{ended:?}"),
            () = all_run => {}
        }
        // While they are stopped there may be one session more.
        nothing_is_left(&home).await;
        database.execute(&guarded("SELECT 1"), &[], patiently()).await.unwrap();
    }
    drop(database);
    home.until_sessions(0).await;
}

/// A server may be told not to say what its sessions do.
#[tokio::test]
async fn statements_end_where_activity_is_not_tracked() {
    let server = servers::postgres_of_its_own(&["track_activities = off"]).await;
    let home = server.fresh_database("untracked").await;
    home.admin("CREATE VIEW asleep AS SELECT pg_sleep(3600)::text AS v;").await;
    let database = opened(&home, options());
    let limits = Limits { timeout: Duration::from_millis(300), ..without_limits() };
    let error = database.execute(&guarded("SELECT v FROM asleep"), &[], limits).await.unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error}");
    // The session that slept is gone; at most the one that stopped it is left.
    let all = format!("database_name = '{}'", home.name);
    let locks = "SELECT count(*) FROM pg_locks WHERE relation = 'asleep'::regclass;";
    let ended = async {
        while home.admin(locks).await != "0\n" || home.server.sessions(&all).await.len() > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the statement ends");
}
