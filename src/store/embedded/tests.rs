//! The contract on a file and in memory, and what only a file can show.

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::{Embedded, OpenError, Options};
use crate::domain::{TenantId, WorkflowId};
use crate::store::contract::events::{log, step};
use crate::store::{Error, Lease, Store};

mod in_memory {
    use super::*;

    async fn open() -> ((), Arc<dyn Store>) {
        ((), Arc::new(Embedded::in_memory().await.unwrap()))
    }

    crate::store::contract::contract!(open());
}

mod on_disk {
    use super::*;

    async fn open() -> (tempfile::TempDir, Arc<dyn Store>) {
        let folder = tempfile::tempdir().unwrap();
        let store = super::open(&folder.path().join("store.db")).await;
        (folder, Arc::new(store))
    }

    crate::store::contract::contract!(open());
}

async fn open(path: &Path) -> Embedded {
    Embedded::open(path, Options::default()).await.unwrap()
}

/// Why opening was refused.
fn reason(outcome: Result<Embedded, Error>) -> String {
    let Err(Error::Unavailable(source)) = outcome else { panic!("opened") };
    assert!(source.downcast_ref::<OpenError>().is_some(), "{source:?}");
    source.to_string()
}

#[tokio::test]
async fn a_log_whose_beginning_nobody_heard_of_waits_for_a_worker() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store =
        Embedded::open(&path, Options { timeout: Duration::from_millis(50), ..Options::default() }).await.unwrap();
    let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let (tenant, id) = (TenantId::local(), WorkflowId::generate());
    let begun = store.append_on(&tenant, id, 0, &log(1), Some(Lease::new(id))).await;
    assert!(matches!(begun, Err(Error::Unavailable(_))), "{begun:?}");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    let work = loop {
        match store.take().await.unwrap() {
            Some(work) => break work,
            None => store.more_work().await,
        }
    };
    assert_eq!(work.lease.workflow, id);
    store.append_on(&tenant, id, 1, &[step(2)], Some(work.lease)).await.unwrap();
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/store.db");
    let (tenant, id) = (TenantId::local(), WorkflowId::generate());
    let store = open(&path).await;
    store.append(&tenant, id, 0, &log(5)).await.unwrap();
    let epoch = store.epoch();
    store.close().await;
    assert!(store.append(&tenant, id, 5, &[step(6)]).await.is_err(), "closed");

    let store = open(&path).await;
    assert_eq!(store.read(&tenant, id, 0, 100).await.unwrap(), log(5));
    assert_eq!(store.waiting().await.unwrap(), 1);
    assert!(store.epoch() > epoch);
    store.append(&tenant, id, 5, &[step(6)]).await.unwrap();
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_second_opening_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let first = open(&path).await;
    let refusal = reason(Embedded::open(&path, Options::default()).await);
    assert!(refusal.contains("in use by another Pulse"), "{refusal}");
    first.ping().await.unwrap();
    first.close().await;
    open(&path).await;
}

#[tokio::test]
async fn a_newer_file_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    open(&path).await.close().await;
    let mut file = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::query("PRAGMA user_version = 99").execute(&mut file).await.unwrap();
    file.close().await.unwrap();
    let refusal = reason(Embedded::open(&path, Options::default()).await);
    assert!(refusal.contains("format 99"), "{refusal}");
}

#[tokio::test]
async fn a_damaged_record_is_corrupt_and_its_text_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (tenant, id) = (TenantId::local(), WorkflowId::generate());
    let store = open(&path).await;
    store.append(&tenant, id, 0, &log(2)).await.unwrap();
    store.close().await;
    let mut file = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::query("UPDATE events SET event = '{\"sequence\":\"hunter2\"}' WHERE sequence = 2")
        .execute(&mut file)
        .await
        .unwrap();
    file.close().await.unwrap();
    let error = open(&path).await.read(&tenant, id, 0, 10).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
    assert!(!format!("{error} {error:?} {:?}", error.source()).contains("hunter2"));
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/store.db");
    let store = open(&path).await;
    store.append(&TenantId::local(), WorkflowId::generate(), 0, &log(1)).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}
