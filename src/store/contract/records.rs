//! Connections and request ids.

use std::sync::Arc;

use uuid::Uuid;

use super::events::time;
use crate::domain::{
    AccessMode, Connection, ConnectionId, ConnectionLimits, DatabaseKind, Definitions, Example, ExampleId, PageRequest,
    TenantId, Tls,
};
use crate::store::record::{ConnectionRecord, KnowledgeRecord};
use crate::store::{Claim, Error, Store};

fn local() -> TenantId {
    TenantId::local()
}

fn other() -> TenantId {
    TenantId::parse("other").unwrap()
}

fn record(tenant: &TenantId, name: &str) -> ConnectionRecord {
    ConnectionRecord {
        min_reader: ConnectionRecord::VERSION,
        connection: Connection {
            id: ConnectionId::generate(),
            tenant: tenant.clone(),
            name: name.to_owned(),
            kind: DatabaseKind::Sqlite,
            host: String::new(),
            port: 0,
            database: "shop.sqlite".to_owned(),
            username: String::new(),
            tls: Tls::default(),
            access_mode: AccessMode::ReadOnly,
            allowed_functions: Vec::new(),
            excluded_columns: Vec::new(),
            limits: ConnectionLimits::default(),
            has_password: true,
            create_time: time(1),
            update_time: time(1),
            etag: "1".to_owned(),
        },
        sealed: Some("sealed".to_owned()),
    }
}

pub(crate) async fn connections_live(store: Arc<dyn Store>) {
    let mut shop = record(&local(), "Shop");
    let id = shop.connection.id;
    assert_eq!(store.get_connection(&local(), id).await.unwrap(), None);
    store.create_connection(shop.clone()).await.unwrap();
    assert_eq!(store.get_connection(&local(), id).await.unwrap().as_ref(), Some(&shop));

    shop.connection.name = "SHOP".to_owned();
    shop.connection.etag = "2".to_owned();
    shop.sealed = None;
    assert!(store.update_connection(shop.clone(), "1").await.unwrap(), "a name may change its case");
    assert_eq!(store.get_connection(&local(), id).await.unwrap(), Some(shop));

    assert!(store.delete_connection(&local(), id).await.unwrap());
    assert!(!store.delete_connection(&local(), id).await.unwrap());
    assert_eq!(store.get_connection(&local(), id).await.unwrap(), None);
}

pub(crate) async fn names_are_unique_ignoring_case(store: Arc<dyn Store>) {
    store.create_connection(record(&local(), "Straße Ä")).await.unwrap();
    let refused = store.create_connection(record(&local(), "STRAßE ä")).await;
    assert!(matches!(refused, Err(Error::NameTaken)), "{refused:?}");
    store.create_connection(record(&other(), "Straße Ä")).await.unwrap();
    let mut second = record(&local(), "second");
    store.create_connection(second.clone()).await.unwrap();
    let again = store.create_connection(second.clone()).await;
    assert!(matches!(again, Err(Error::NameTaken)), "{again:?}");
    second.connection.name = "straße ä".to_owned();
    let refused = store.update_connection(second, "1").await;
    assert!(matches!(refused, Err(Error::NameTaken)), "{refused:?}");
}

pub(crate) async fn stale_changes_are_refused(store: Arc<dyn Store>) {
    let mut shop = record(&local(), "shop");
    assert!(!store.update_connection(shop.clone(), "1").await.unwrap(), "there is none");
    store.create_connection(shop.clone()).await.unwrap();
    shop.connection.etag = "2".to_owned();
    let refused = store.update_connection(shop.clone(), "0").await;
    assert!(matches!(refused, Err(Error::EtagMismatch)), "{refused:?}");
    assert!(store.update_connection(shop.clone(), "1").await.unwrap());
    let refused = store.update_connection(shop, "1").await;
    assert!(matches!(refused, Err(Error::EtagMismatch)), "{refused:?}");
}

pub(crate) async fn connections_are_pages(store: Arc<dyn Store>) {
    let records: Vec<_> = (0..5).map(|number| record(&local(), &format!("number {number}"))).collect();
    for record in records.iter().rev() {
        store.create_connection(record.clone()).await.unwrap();
    }
    let first = store.list_connections(&local(), PageRequest { after: None, limit: 3 }).await.unwrap();
    assert_eq!(first.items, records[..3]);
    assert_eq!(first.next, Some(records[2].connection.id));
    let second = store.list_connections(&local(), PageRequest { after: first.next, limit: 3 }).await.unwrap();
    assert_eq!(second.items, records[3..]);
    assert_eq!(second.next, None);
}

pub(crate) async fn connections_are_of_one_tenant(store: Arc<dyn Store>) {
    let mut shop = record(&local(), "shop");
    let id = shop.connection.id;
    store.create_connection(shop.clone()).await.unwrap();
    assert_eq!(store.get_connection(&other(), id).await.unwrap(), None);
    assert!(!store.delete_connection(&other(), id).await.unwrap());
    shop.connection.tenant = other();
    assert!(!store.update_connection(shop, "1").await.unwrap());
    let listed = store.list_connections(&other(), PageRequest { after: None, limit: 10 }).await.unwrap();
    assert_eq!(listed.items, []);
}

fn knowledge(tenant: &TenantId, connection: ConnectionId, etag: &str) -> KnowledgeRecord {
    let example = Example {
        id: ExampleId::generate(),
        question: "How many “é” are there?".to_owned(),
        sql: "SELECT count(*)\nFROM t".to_owned(),
        workflow: None,
        create_time: time(3),
        fingerprint: "f".to_owned(),
    };
    KnowledgeRecord {
        min_reader: KnowledgeRecord::VERSION,
        tenant: tenant.clone(),
        connection,
        etag: etag.to_owned(),
        update_time: time(2),
        definitions: Definitions { notes: etag.to_owned(), ..Definitions::default() },
        fingerprint: "f".to_owned(),
        examples: vec![example],
    }
}

pub(crate) async fn knowledge_lives_with_its_connection(store: Arc<dyn Store>) {
    let shop = record(&local(), "shop");
    let id = shop.connection.id;
    let first = knowledge(&local(), id, "1");
    assert!(!store.put_knowledge(first.clone(), None).await.unwrap(), "there is no connection");
    store.create_connection(shop.clone()).await.unwrap();
    assert_eq!(store.get_knowledge(&local(), id).await.unwrap(), None);
    assert!(store.put_knowledge(first.clone(), None).await.unwrap());
    assert_eq!(store.get_knowledge(&local(), id).await.unwrap(), Some(first));
    let second = knowledge(&local(), id, "2");
    assert!(store.put_knowledge(second.clone(), Some("1")).await.unwrap());
    assert_eq!(store.get_knowledge(&local(), id).await.unwrap(), Some(second));
    assert!(store.delete_connection(&local(), id).await.unwrap());
    assert_eq!(store.get_knowledge(&local(), id).await.unwrap(), None);
    store.create_connection(shop).await.unwrap();
    assert_eq!(store.get_knowledge(&local(), id).await.unwrap(), None, "it went with its connection");
}

pub(crate) async fn stale_knowledge_is_refused(store: Arc<dyn Store>) {
    let shop = record(&local(), "shop");
    let id = shop.connection.id;
    store.create_connection(shop).await.unwrap();
    let put = async |etag: &str, expected: Option<&str>| {
        let put = store.put_knowledge(knowledge(&local(), id, etag), expected).await;
        put.map_err(|error| assert!(matches!(error, Error::EtagMismatch), "{error:?}"))
    };
    assert_eq!(put("1", Some("0")).await, Err(()));
    assert_eq!(put("1", None).await, Ok(true));
    assert_eq!(put("2", None).await, Err(()));
    assert_eq!(put("2", Some("0")).await, Err(()));
    assert_eq!(put("2", Some("1")).await, Ok(true));
    assert_eq!(store.get_knowledge(&local(), id).await.unwrap().unwrap().etag, "2");
}

pub(crate) async fn knowledge_is_of_one_tenant(store: Arc<dyn Store>) {
    let shop = record(&local(), "shop");
    let id = shop.connection.id;
    store.create_connection(shop).await.unwrap();
    let own = knowledge(&local(), id, "1");
    assert!(store.put_knowledge(own.clone(), None).await.unwrap());
    assert_eq!(store.get_knowledge(&other(), id).await.unwrap(), None);
    assert!(!store.put_knowledge(knowledge(&other(), id, "2"), Some("1")).await.unwrap());
    assert!(!store.delete_connection(&other(), id).await.unwrap());
    assert_eq!(store.get_knowledge(&local(), id).await.unwrap(), Some(own));
}

pub(crate) async fn request_ids_are_claimed_once(store: Arc<dyn Store>) {
    let (id, hash) = (Uuid::now_v7(), [7; 32]);
    let claim = async |tenant: &TenantId, rpc: &str, hash: &[u8; 32], id: Uuid| {
        store.claim_request(tenant, rpc, "request", hash, id).await.unwrap()
    };
    assert_eq!(claim(&local(), "Create", &hash, id).await, Claim::New);
    assert_eq!(claim(&local(), "Create", &hash, Uuid::now_v7()).await, Claim::Repeat(id));
    assert_eq!(claim(&local(), "Create", &[8; 32], Uuid::now_v7()).await, Claim::Reused);
    assert_eq!(claim(&local(), "Start", &hash, Uuid::now_v7()).await, Claim::New);
    assert_eq!(claim(&other(), "Create", &hash, Uuid::now_v7()).await, Claim::New);
}

pub(crate) async fn request_ids_expire(store: Arc<dyn Store>) {
    let (first, second, hash) = (Uuid::now_v7(), Uuid::now_v7(), [7; 32]);
    store.claim_request(&local(), "Create", "request", &hash, first).await.unwrap();
    store.expire(time(0), 10, time(0)).await.unwrap();
    let repeat = store.claim_request(&local(), "Create", "request", &hash, second).await.unwrap();
    assert_eq!(repeat, Claim::Repeat(first));
    let future = jiff::Timestamp::MAX;
    store.expire(time(0), 10, future).await.unwrap();
    let anew = store.claim_request(&local(), "Create", "request", &hash, second).await.unwrap();
    assert_eq!(anew, Claim::New);
}

pub(crate) async fn request_ids_are_released_by_who_claimed_them(store: Arc<dyn Store>) {
    let (first, second, hash) = (Uuid::now_v7(), Uuid::now_v7(), [7; 32]);
    let claim = async |id, hash| store.claim_request(&local(), "Execute", "request", &hash, id).await.unwrap();
    let release = async |tenant: &TenantId, id| store.release_request(tenant, "Execute", "request", id).await.unwrap();
    assert_eq!(claim(first, hash).await, Claim::New);
    store.keep_answer(&local(), "Execute", "request", "old").await.unwrap();
    release(&local(), second).await;
    release(&other(), first).await;
    assert_eq!(claim(second, hash).await, Claim::Repeat(first), "it is another's");
    release(&local(), first).await;
    assert_eq!(claim(second, [8; 32]).await, Claim::New);
    assert_eq!(store.answer(&local(), "Execute", "request").await.unwrap(), None);
}

pub(crate) async fn answers_go_with_their_claim(store: Arc<dyn Store>) {
    let claim = async |tenant: &TenantId| {
        store.claim_request(tenant, "Execute", "request", &[7; 32], Uuid::now_v7()).await.unwrap();
    };
    store.keep_answer(&local(), "Execute", "request", "lost").await.unwrap();
    assert_eq!(store.answer(&local(), "Execute", "request").await.unwrap(), None, "nobody claimed it");
    claim(&local()).await;
    claim(&other()).await;
    assert_eq!(store.answer(&local(), "Execute", "request").await.unwrap(), None);
    store.keep_answer(&local(), "Execute", "request", "{\"rows\": 1}").await.unwrap();
    assert_eq!(store.answer(&local(), "Execute", "request").await.unwrap().as_deref(), Some("{\"rows\": 1}"));
    assert_eq!(store.answer(&other(), "Execute", "request").await.unwrap(), None);
    assert_eq!(store.answer(&local(), "Start", "request").await.unwrap(), None);
    store.expire(time(0), 10, jiff::Timestamp::MAX).await.unwrap();
    assert_eq!(store.answer(&local(), "Execute", "request").await.unwrap(), None);
}
