//! Streams: as fast as they are read, in little memory, cut where they should be.

use std::process::Stdio;
use std::time::Duration;

use pulse::domain::Value;
use pulse::sql::{Database, Error, Limits, Target, Truncation};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::{ENDLESS, guarded, one_connection, opened, patient, patiently, without_limits};
use crate::support::servers::{self, READ_ONLY};

const MILLION: &str = "SELECT n, 'a text that makes every row of this result about a hundred bytes long, more or less' AS t \
                       FROM (SELECT generate_series(1, 1000000) AS n) AS s";

/// The body of the test below, in a process of its own: others' memory is not counted.
#[tokio::test]
#[ignore = "a part of a_million_rows_need_little_memory"]
async fn a_slow_reader_of_a_million_rows() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let (port, name) = line.trim().split_once(' ').unwrap();
    let target = pulse::sql::ServerTarget {
        host: servers::HOST.to_owned(),
        port: port.parse().unwrap(),
        database: name.to_owned(),
        username: READ_ONLY.name.to_owned(),
        secrets: pulse::domain::connection::ConnectionSecrets {
            password: Some(READ_ONLY.password.into()),
            client_key_pem: None,
        },
        tls: pulse::domain::Tls::default(),
        hosts: pulse::sql::HostPolicy::default(),
    };
    let database = Database::new(Target::Postgresql(target), patient());
    database.probe().await.unwrap();
    let before = resident_kib();
    let mut most = before;
    let mut stream = database.stream(guarded(MILLION), Vec::new(), without_limits()).await.unwrap();
    let (mut rows, mut batches, mut largest) = (0, 0, 0);
    while let Some(batch) = stream.next().await {
        rows += batch.row_count();
        batches += 1;
        largest = largest.max(batch.to_rows().iter().flatten().map(Value::size_bytes).sum());
        // The reader is slower than the server.
        tokio::time::sleep(Duration::from_millis(2)).await;
        most = most.max(resident_kib());
    }
    assert_eq!(stream.finish().await.unwrap().row_count, 1_000_000);
    println!("million {rows} {batches} {largest} {}", most - before);
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_million_rows_need_little_memory() {
    let home = servers::postgres().await.fresh_database("million").await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "postgres::streams::a_slow_reader_of_a_million_rows", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{} {}\n", home.server.port, home.name).as_bytes()).await.unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = loop {
        let line = lines.next_line().await.unwrap().expect("the child tells what it read");
        // The first line may follow the name of the test.
        if let Some((_, told)) = line.split_once("million ")
            && told.starts_with(char::is_numeric)
        {
            break told.split(' ').map(|number| number.parse().unwrap()).collect::<Vec<u64>>();
        }
    };
    let [rows, batches, largest, grown_kib] = told[..] else { panic!("{told:?}") };
    assert_eq!(rows, 1_000_000);
    assert!((200..1_000).contains(&batches), "{batches} batches");
    assert!(largest < 300 << 10, "a batch of {largest} bytes");
    assert!(grown_kib < 32 << 10, "the process grew by {grown_kib} KiB");
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn the_first_rows_come_before_the_last_are_made() {
    let home = servers::postgres().await.fresh_database("first").await;
    let database = opened(&home, one_connection());
    let sql = guarded("SELECT n, 100 / (500000 - n) AS q FROM (SELECT generate_series(1, 600000) AS n) AS s");
    let mut stream = database.stream(sql, Vec::new(), without_limits()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().to_rows()[0], [Value::Int64(1), Value::Int64(0)]);
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += batch.row_count();
    }
    assert!(rows > 400_000, "{rows}");
    let Err(Error::Statement(error)) = stream.finish().await else { panic!("the division by zero is told") };
    assert_eq!(error.sqlstate, "22012");
    database.probe().await.unwrap();
}

#[tokio::test]
async fn results_are_cut_exactly_where_they_should_be() {
    let home = servers::postgres().await.fresh_database("cut").await;
    home.admin("CREATE VIEW v AS SELECT n, '10.0.0.1'::inet AS i FROM generate_series(1, 20000) AS n;").await;
    let database = opened(&home, one_connection());
    // Once the binary way and once through a cursor, around the sizes of its fetches.
    for list in ["n", "n, i"] {
        for rows in [0, 1, 99, 100, 101, 2_500, 10_099, 10_100, 10_101] {
            for (max_rows, truncated) in [(rows, None), (rows + 1, None), (rows.max(1) - 1, Some(Truncation::Rows))] {
                let truncated = truncated.filter(|_| rows > 0);
                let sql = guarded(&format!("SELECT {list} FROM v LIMIT {rows}"));
                let limits = Limits { max_rows, ..without_limits() };
                let whole = database.execute(&sql, &[], limits).await.unwrap();
                let expected = rows.min(max_rows);
                assert_eq!(
                    (whole.rows.len() as u64, whole.truncated),
                    (expected, truncated),
                    "{} {max_rows}",
                    sql.text()
                );
                let mut stream = database.stream(sql, Vec::new(), limits).await.unwrap();
                let mut streamed = 0;
                while let Some(batch) = stream.next().await {
                    streamed += batch.row_count() as u64;
                }
                let summary = stream.finish().await.unwrap();
                assert_eq!((streamed, summary.row_count, summary.truncated), (expected, expected, truncated));
            }
        }
        let sql = guarded(&format!("SELECT {list} FROM v"));
        let size = database
            .execute(&sql, &[], without_limits())
            .await
            .unwrap()
            .rows
            .iter()
            .flatten()
            .map(Value::size_bytes)
            .sum::<usize>() as u64;
        for (max_bytes, truncated) in [(size, None), (size - 1, Some(Truncation::Bytes))] {
            let limits = Limits { max_bytes, ..without_limits() };
            assert_eq!(database.execute(&sql, &[], limits).await.unwrap().truncated, truncated, "{list}");
            let mut stream = database.stream(sql.clone(), Vec::new(), limits).await.unwrap();
            while stream.next().await.is_some() {}
            assert_eq!(stream.finish().await.unwrap().truncated, truncated, "{list}");
        }
    }
    let cell = Limits { max_cell_bytes: 10, ..without_limits() };
    let sql = guarded("SELECT 1, 'more than ten bytes' AS long");
    let error = database.execute(&sql, &[], cell).await.unwrap_err();
    assert!(matches!(&error, Error::ResultTooLarge { column, .. } if column == "long"), "{error}");
    let stream = database.stream(sql, Vec::new(), cell).await.unwrap();
    let error = stream.finish().await.unwrap_err();
    assert!(matches!(&error, Error::ResultTooLarge { column, .. } if column == "long"), "{error}");
}

/// A session whose rows nobody wants goes on: opening one costs more than most statements.
#[tokio::test]
async fn a_cut_result_costs_no_session() {
    let home = servers::postgres().await.fresh_database("kept").await;
    home.admin("CREATE VIEW who AS SELECT pg_backend_pid() AS pid;").await;
    let database = opened(&home, one_connection());
    let sql = guarded("SELECT generate_series(1, 3000000)");
    let few = Limits { max_rows: 5, ..patiently() };
    database.execute(&sql, &[], few).await.unwrap();
    let sessions = home.sessions().await;
    for _ in 0..5 {
        assert_eq!(database.execute(&sql, &[], few).await.unwrap().truncated, Some(Truncation::Rows));
    }
    let ids = |sessions: &[servers::Session]| sessions.iter().map(|session| session.id).collect::<Vec<_>>();
    assert_eq!(ids(&home.sessions().await), ids(&sessions));
}

#[tokio::test]
async fn a_dropped_stream_ends_its_statement() {
    let home = servers::postgres().await.fresh_database("dropped").await;
    let database = opened(&home, one_connection());
    let endless = guarded(ENDLESS);
    let mut stream = database.stream(endless.clone(), Vec::new(), without_limits()).await.unwrap();
    stream.next().await.unwrap();
    drop(stream);
    database.probe().await.unwrap();
    let stream = database.stream(endless.clone(), Vec::new(), without_limits()).await.unwrap();
    assert_eq!(stream.finish().await, Err(Error::Interrupted));
    database.probe().await.unwrap();
    nothing_runs(&home).await;

    let timeout = Duration::from_millis(200);
    let limits = Limits { timeout, ..without_limits() };
    let mut stream = database.stream(endless, Vec::new(), limits).await.unwrap();
    while stream.next().await.is_some() {}
    assert_eq!(stream.finish().await, Err(Error::Timeout(timeout)));
    database.probe().await.unwrap();
    nothing_runs(&home).await;
}

async fn nothing_runs(home: &servers::Database<'_>) {
    home.server.until_sessions(&format!("database_name = '{}' AND state <> 'idle'", home.name), 0).await;
}
