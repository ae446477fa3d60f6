//! What the guard lets through changes nothing on real servers, even for a user who could: a fingerprint of the database
//! is the same before and after.

use std::time::Duration;

use pulse::domain::connection::ConnectionSecrets;
use pulse::domain::{DatabaseKind, Tls};
use pulse::sql::guard::{Policy, check};
use pulse::sql::{Database, Error, HostPolicy, Limits, Options, ServerTarget, Target};

use crate::support::servers::{self, HOST, READ_WRITE};
use crate::support::statements::statements;

const TABLES: &str = "
CREATE TABLE t (a int, b varchar(50), c int, meta text);
CREATE TABLE customers (id int PRIMARY KEY, name varchar(50), email varchar(50));
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, status varchar(20), total decimal(10,2));
INSERT INTO t VALUES (1, 'x', 2, '{}'), (2, 'y', NULL, NULL);
INSERT INTO customers VALUES (1, 'Ann', 'ann@example.com'), (2, 'Bob', NULL);
INSERT INTO orders VALUES (1, 1, 'open', 9.50), (2, 1, 'paid', 20), (3, 2, 'x', -2.5);
";

/// Rows, relations, sequences, functions, large objects, extensions, roles and settings of roles.
const POSTGRES_FINGERPRINT: &str = "
SELECT (SELECT string_agg(r::text, ';' ORDER BY r::text) FROM t r), (SELECT string_agg(r::text, ';' ORDER BY r::text) FROM customers r),
  (SELECT string_agg(r::text, ';' ORDER BY r::text) FROM orders r),
  (SELECT string_agg(nspname || '.' || relname || relkind::text || coalesce(relacl::text, ''), ';' ORDER BY c.oid)
     FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
  (SELECT last_value || is_called::text FROM counted), (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_largeobject_metadata),
  (SELECT string_agg(extname, ';') FROM pg_extension), (SELECT count(*) FROM pg_type), (SELECT count(*) FROM pg_trigger),
  (SELECT string_agg(rolname || rolsuper::text, ';' ORDER BY rolname) FROM pg_roles), (SELECT count(*) FROM pg_db_role_setting);";

const MARIADB_FINGERPRINT: &str = "
SELECT group_concat(concat_ws(',', a, b, c, meta) ORDER BY a SEPARATOR ';') FROM t;
SELECT group_concat(concat_ws(',', id, name, email) ORDER BY id SEPARATOR ';') FROM customers;
SELECT group_concat(concat_ws(',', id, customer_id, status, total) ORDER BY id SEPARATOR ';') FROM orders;
SELECT group_concat(table_name, table_type ORDER BY table_name SEPARATOR ';') FROM information_schema.tables WHERE table_schema = database();
SELECT count(*) FROM information_schema.routines WHERE routine_schema = database();
SELECT count(*) FROM information_schema.triggers WHERE trigger_schema = database();
SELECT group_concat(user, host ORDER BY user, host SEPARATOR ';') FROM mysql.user;
SELECT @@global.read_only, @@global.general_log, @@global.event_scheduler, @@global.sql_mode;";

const STATEMENTS: usize = 3_000;

fn target(database: &servers::Database<'_>) -> ServerTarget {
    ServerTarget {
        host: HOST.to_owned(),
        port: database.server.port,
        database: database.name.clone(),
        username: READ_WRITE.name.to_owned(),
        secrets: ConnectionSecrets { password: Some(READ_WRITE.password.into()), client_key_pem: None },
        tls: Tls::default(),
        hosts: HostPolicy::default(),
    }
}

/// Runs what passes, as the owner of the tables; how many the database ran.
async fn run_what_passes(kind: DatabaseKind, database: &Database, seed: u64) -> usize {
    let policy = Policy::reads(kind);
    let limits = Limits { max_rows: 100, timeout: Duration::from_secs(2), ..Limits::default() };
    let mut ran = 0;
    for sql in statements(kind, seed, STATEMENTS) {
        let Ok(guarded) = check(&sql, &policy) else { continue };
        match database.execute(&guarded, &[], limits).await {
            Ok(_) => ran += 1,
            // The session is the second wall: what it had to stop is a hole in the first.
            Err(Error::ReadOnly(error)) => panic!("the guard let a write through: {sql}: {error:?}"),
            Err(_) => {}
        }
    }
    ran
}

#[tokio::test]
async fn postgres_is_as_it_was() {
    let database = servers::postgres().await.fresh_database("guarded").await;
    database.run_as(READ_WRITE, &format!("{TABLES} CREATE SEQUENCE counted;")).await;
    let before = database.admin(POSTGRES_FINGERPRINT).await;
    let opened = Database::new(Target::Postgresql(target(&database)), Options::default());
    let seed = 20_261_128;
    let ran = run_what_passes(DatabaseKind::Postgresql, &opened, seed).await;
    assert!(ran > 100, "only {ran} statements ran, seed {seed}");
    assert_eq!(database.admin(POSTGRES_FINGERPRINT).await, before, "seed {seed}");
    opened.close().await;
    database.until_sessions(0).await;
}

#[tokio::test]
async fn mariadb_is_as_it_was() {
    let database = servers::mariadb().await.fresh_database("guarded").await;
    database.run_as(READ_WRITE, TABLES).await;
    let before = database.admin(MARIADB_FINGERPRINT).await;
    let opened = Database::new(Target::Mysql(target(&database)), Options::default());
    let seed = 20_261_128;
    let ran = run_what_passes(DatabaseKind::Mysql, &opened, seed).await;
    assert!(ran > 100, "only {ran} statements ran, seed {seed}");
    assert_eq!(database.admin(MARIADB_FINGERPRINT).await, before, "seed {seed}");
    opened.close().await;
    database.until_sessions(0).await;
}
