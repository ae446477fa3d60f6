//! Sessions: read-only below the guard, set as promised, noticed when changed; errors told apart.

use std::time::Duration;

use pulse::domain::{AccessMode, DatabaseKind, Value};
use pulse::sql::guard::{self, Policy, Writes};
use pulse::sql::{Database, Error, GuardedSql, Limits, Options, Target};

use super::{calling, executed, guarded, one_connection, opened, patiently, streamed, target, value};
use crate::support::servers::{self, ADMIN, READ_WRITE};

#[tokio::test]
async fn what_gets_past_the_guard_still_cannot_write() {
    let home = servers::postgres().await.fresh_database("readonly").await;
    home.admin(
        "CREATE TABLE t (n int); CREATE SEQUENCE s; GRANT ALL ON t, s TO pulse_ro;
         CREATE FUNCTION writes() RETURNS int LANGUAGE plpgsql AS 'BEGIN INSERT INTO t VALUES (1); RETURN 1; END';
         CREATE FUNCTION counts() RETURNS bigint LANGUAGE sql AS 'SELECT nextval(''s'')';
         CREATE FUNCTION makes() RETURNS int LANGUAGE plpgsql AS 'BEGIN CREATE TABLE u (n int); RETURN 1; END';
         CREATE FUNCTION dares() RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM set_config(''transaction_read_only'', ''off'', false); INSERT INTO t VALUES (1); RETURN 1; END';
         CREATE FUNCTION opens() RETURNS text LANGUAGE sql AS 'SELECT set_config(''default_transaction_read_only'', ''off'', false)';",
    )
    .await;
    // Also for a user who may write, and when the connection itself may.
    for (user, access) in
        [(READ_WRITE, AccessMode::ReadOnly), (READ_WRITE, AccessMode::ReadWrite), (ADMIN, AccessMode::ReadOnly)]
    {
        let options = Options { access, ..one_connection() };
        let database = Database::new(Target::Postgresql(target(home.server, user, &home.name)), options);
        for name in ["writes", "counts", "makes"] {
            let sql = calling(&[name], &format!("SELECT {name}()"));
            for result in [executed(&database, &sql, &[]).await, streamed(&database, &sql, &[]).await] {
                assert!(
                    matches!(&result, Err(Error::ReadOnly(error)) if error.sqlstate == "25006"),
                    "{name}: {result:?}"
                );
            }
        }
        let sql = calling(&["dares"], "SELECT dares()");
        for result in [executed(&database, &sql, &[]).await, streamed(&database, &sql, &[]).await] {
            let error = result.unwrap_err();
            assert!(matches!(&error, Error::ReadOnly(_) | Error::Statement(_)), "{error}");
        }
        // One function opens the door, another goes through: not in the same session.
        for way in [
            executed(&database, &calling(&["opens"], "SELECT opens()"), &[]).await,
            streamed(&database, &calling(&["opens"], "SELECT opens()"), &[]).await,
        ] {
            way.unwrap();
            let result = executed(&database, &calling(&["writes"], "SELECT writes()"), &[]).await;
            assert!(matches!(&result, Err(Error::ReadOnly(_))), "{result:?}");
        }
        assert_eq!(value(&database, "SELECT count(*) FROM t").await, Value::Int64(0));
    }
}

#[tokio::test]
async fn sessions_are_set_as_promised() {
    let home = servers::postgres().await.fresh_database("settings").await;
    home.admin("CREATE VIEW settings AS SELECT name, setting FROM pg_settings;").await;
    // What a database says by itself does not count.
    for setting in [
        "TimeZone = 'Asia/Tokyo'",
        "DateStyle = 'German'",
        "IntervalStyle = 'sql_standard'",
        "statement_timeout = '1ms'",
        "lock_timeout = '1ms'",
        "default_transaction_read_only = off",
        "bytea_output = 'escape'",
        "extra_float_digits = -5",
        "standard_conforming_strings = off",
        "client_encoding = 'LATIN1'",
    ] {
        home.server.admin(&format!("ALTER DATABASE {} SET {setting};", home.name)).await;
    }
    let options = Options {
        lock_timeout: Duration::from_millis(1_500),
        statement_timeout: Duration::from_secs(20),
        ..one_connection()
    };
    let database = opened(&home, options);
    for (name, expected) in [
        ("default_transaction_read_only", "on"),
        ("transaction_read_only", "on"),
        ("statement_timeout", "21000"),
        ("lock_timeout", "1500"),
        ("idle_in_transaction_session_timeout", "80000"),
        ("TimeZone", "UTC"),
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "postgres"),
        ("bytea_output", "hex"),
        ("standard_conforming_strings", "on"),
        ("client_encoding", "UTF8"),
        ("application_name", "pulse"),
    ] {
        let sql = guarded("SELECT setting FROM settings WHERE name = $1::text");
        let parameters = [Value::String(name.to_owned())];
        for result in [executed(&database, &sql, &parameters).await, streamed(&database, &sql, &parameters).await] {
            assert_eq!(result.unwrap().1, [[Value::String(expected.to_owned())]], "{name}");
        }
    }
    // Both ways print the same, whatever the database prefers.
    for sql in [
        "SELECT 0.1::float8 + 0.2::float8",
        "SELECT '1 year -2 days'::interval",
        "SELECT '2024-02-29 12:00:00'::timestamptz",
        "SELECT '\\x00ff'::bytea",
        "SELECT '1 year -2 days'::interval, '[2024-01-02,)'::daterange",
    ] {
        let sql = guarded(sql);
        assert_eq!(executed(&database, &sql, &[]).await.unwrap(), streamed(&database, &sql, &[]).await.unwrap());
    }
}

#[tokio::test]
async fn a_session_that_somebody_changed_is_not_used_again() {
    let home = servers::postgres().await.fresh_database("changed").await;
    let settings = [
        ("TimeZone", "Asia/Tokyo"),
        ("DateStyle", "German"),
        ("IntervalStyle", "sql_standard"),
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("search_path", "pg_catalog"),
        ("default_transaction_read_only", "off"),
        ("bytea_output", "escape"),
        ("client_encoding", "LATIN1"),
        ("extra_float_digits", "-10"),
        ("idle_in_transaction_session_timeout", "0"),
        ("row_security", "off"),
    ];
    home.admin("CREATE VIEW settings AS SELECT name, setting FROM pg_settings;").await;
    for (number, (name, changed)) in settings.iter().enumerate() {
        home.admin(&format!("CREATE FUNCTION change{number}() RETURNS text LANGUAGE sql AS 'SELECT set_config(''{name}'', ''{changed}'', false)';")).await;
    }
    let database = opened(&home, one_connection());
    for (number, (name, changed)) in settings.iter().enumerate() {
        let function = format!("change{number}");
        let change = calling(&[&function], &format!("SELECT {function}()"));
        for way in [executed(&database, &change, &[]).await, streamed(&database, &change, &[]).await] {
            way.unwrap();
            let now = executed(
                &database,
                &guarded("SELECT setting FROM public.settings WHERE name = $1::text"),
                &[Value::String((*name).to_owned())],
            )
            .await
            .unwrap();
            assert_ne!(now.1, [[Value::String((*changed).to_owned())]], "{name} stayed changed");
        }
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let home = servers::postgres().await.fresh_database("refusals").await;
    home.admin(
        "CREATE TABLE t (n int, \"größe\" int); CREATE TABLE secret (n int); REVOKE ALL ON secret FROM pulse_ro;",
    )
    .await;
    let database = opened(&home, one_connection());
    for (sql, position, code) in [
        ("SELECT n, nowhere FROM t", 11, "42703"),
        ("SELECT größe, nowhere FROM t", 15, "42703"),
        ("SELECT n, nowhere, '10.0.0.1'::inet FROM t", 11, "42703"),
        ("SELECT * FROM missing", 15, "42P01"),
        ("SELECT 'x'::int", 8, "22P02"),
    ] {
        let sql = guarded(sql);
        let explained = database.explain(&sql, &[]).await.map(|_| Default::default());
        for result in [executed(&database, &sql, &[]).await, streamed(&database, &sql, &[]).await, explained] {
            let Err(Error::Statement(error)) = result else { panic!("{}: {result:?}", sql.text()) };
            assert_eq!((error.position, error.sqlstate.as_str()), (position, code), "{}", sql.text());
        }
    }
    // At run time, before and after the first rows.
    for sql in
        ["SELECT 1 / n FROM (VALUES (1), (0)) AS v(n)", "SELECT 1 / n, '10.0.0.1'::inet FROM (VALUES (1), (0)) AS v(n)"]
    {
        for result in [executed(&database, &guarded(sql), &[]).await, streamed(&database, &guarded(sql), &[]).await] {
            assert!(matches!(&result, Err(Error::Statement(error)) if error.sqlstate == "22012"), "{result:?}");
        }
    }
    let secret = executed(&database, &guarded("SELECT * FROM secret"), &[]).await;
    assert!(matches!(&secret, Err(Error::PrivilegeMissing(words)) if words.contains("secret")), "{secret:?}");
    assert!(matches!(database.write(&guarded("SELECT 1"), &[], Limits::default()).await, Err(Error::NotWritable)));
    executed(&database, &guarded("SELECT * FROM t"), &[]).await.unwrap();
    assert_eq!(home.sessions().await.len(), 1);
}

#[tokio::test]
async fn a_lock_that_somebody_holds_is_a_conflict() {
    let home = servers::postgres().await.fresh_database("locked").await;
    home.admin("CREATE TABLE t (n int);").await;
    let options = Options { lock_timeout: Duration::from_millis(50), ..one_connection() };
    let database = opened(&home, options);
    executed(&database, &guarded("SELECT * FROM t"), &[]).await.unwrap();
    let holder = home.run_as(ADMIN, "BEGIN; LOCK TABLE t; SELECT pg_sleep(3600);");
    let meanwhile = async {
        home.server
            .until_sessions(
                &format!("database_name = '{}' AND query LIKE '%pg_sleep%' AND state = 'active'", home.name),
                1,
            )
            .await;
        for result in [
            executed(&database, &guarded("SELECT * FROM t"), &[]).await,
            streamed(&database, &guarded("SELECT * FROM t"), &[]).await,
        ] {
            assert!(matches!(&result, Err(Error::Conflict(error)) if error.sqlstate == "55P03"), "{result:?}");
        }
    };
    tokio::select! {
        printed = holder => panic!("{printed}"),
        () = meanwhile => {}
    }
}

#[tokio::test]
async fn users_who_may_more_than_read_are_warned_of() {
    let home = servers::postgres().await.fresh_database("probe").await;
    let database = |user| Database::new(Target::Postgresql(target(home.server, user, &home.name)), one_connection());
    let info = database(servers::READ_ONLY).probe().await.unwrap();
    assert!(info.version.starts_with("PostgreSQL 1"), "{}", info.version);
    assert_eq!(info.warnings, Vec::<String>::new());
    let warned = database(ADMIN).probe().await.unwrap().warnings;
    assert!(warned.iter().any(|warning| warning.contains("superuser")), "{warned:?}");
    home.run_as(READ_WRITE, "CREATE TABLE own (n int);").await;
    let warned = database(READ_WRITE).probe().await.unwrap().warnings;
    assert!(warned.iter().any(|warning| warning.contains("owns tables")), "{warned:?}");
}

fn writing(sql: &str) -> GuardedSql {
    let policy = Policy { writes: Writes::Dml, ..Policy::reads(DatabaseKind::Postgresql) };
    guard::check(sql, &policy).unwrap_or_else(|refusal| panic!("{sql}: {refusal:?}"))
}

#[tokio::test]
async fn writes_say_what_they_did() {
    let home = servers::postgres().await.fresh_database("writes").await;
    home.run_as(READ_WRITE, "CREATE TABLE t (n int PRIMARY KEY, a text CHECK (a <> 'bad'), i inet);").await;
    let connect = |access| {
        let options = Options { access, ..one_connection() };
        Database::new(Target::Postgresql(target(home.server, READ_WRITE, &home.name)), options)
    };
    let database = connect(AccessMode::ReadWrite);
    let insert = writing("INSERT INTO t SELECT n, 'a' || n FROM generate_series(1, $1::int) n");
    let written = database.write(&insert, &[Value::Int64(300)], patiently()).await.unwrap();
    assert_eq!((written.affected_rows, written.returned.columns.len()), (300, 0));
    // What does not fit into the answer is written all the same.
    let update = writing("UPDATE t SET a = 'b' WHERE n <= 200 RETURNING n, a");
    let written = database.write(&update, &[], Limits { max_rows: 2, ..patiently() }).await.unwrap();
    assert_eq!((written.affected_rows, written.returned.rows.len()), (200, 2));
    assert!(written.returned.truncated.is_some());
    assert_eq!(value(&database, "SELECT count(*) FROM t WHERE a = 'b'").await, Value::Int64(200));
    for sql in ["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1000, 'bad')"] {
        let error = database.write(&writing(sql), &[], patiently()).await.unwrap_err();
        assert!(matches!(&error, Error::Constraint(error) if error.sqlstate.starts_with("23")), "{error:?}");
    }
    let error = database.write(&writing("DELETE FROM t RETURNING i"), &[], patiently()).await.unwrap_err();
    assert!(matches!(error, Error::Statement(_)), "{error:?}");
    // A table that changes under a prepared write.
    let all = writing("DELETE FROM t WHERE n = $1::int RETURNING *");
    home.run_as(READ_WRITE, "ALTER TABLE t DROP COLUMN i;").await;
    assert_eq!(database.write(&all, &[Value::Int64(300)], patiently()).await.unwrap().returned.columns.len(), 2);
    home.run_as(READ_WRITE, "ALTER TABLE t ADD COLUMN c int;").await;
    assert_eq!(database.write(&all, &[Value::Int64(299)], patiently()).await.unwrap().returned.columns.len(), 3);
    // A session for reads refuses it, and a connection that only reads has no other.
    let error = database.execute(&insert, &[Value::Int64(1)], patiently()).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly(_)), "{error:?}");
    let reads = connect(AccessMode::ReadOnly);
    assert_eq!(reads.write(&insert, &[Value::Int64(1)], patiently()).await.unwrap_err(), Error::NotWritable);
    assert_eq!(value(&database, "SELECT count(*) FROM t").await, Value::Int64(298));
}

/// A write that nobody waits for any more is taken back, and two that wait for each other are told apart from errors.
#[tokio::test]
async fn writes_in_each_others_way_conflict() {
    let home = servers::postgres().await.fresh_database("conflict").await;
    home.run_as(READ_WRITE, "CREATE TABLE t AS SELECT n, 0 AS v FROM generate_series(1, 2) n;").await;
    let options =
        Options { access: AccessMode::ReadWrite, lock_timeout: Duration::from_millis(100), ..one_connection() };
    let database = Database::new(Target::Postgresql(target(home.server, READ_WRITE, &home.name)), options);
    let update = writing("UPDATE t SET v = v + 1 WHERE n = 1");
    let holder = home.run_as(READ_WRITE, "BEGIN; UPDATE t SET v = 9; SELECT pg_sleep(3600);");
    let meanwhile = async {
        let asleep = format!("database_name = '{}' AND query LIKE '%pg_sleep%' AND state = 'active'", home.name);
        home.server.until_sessions(&asleep, 1).await;
        let error = database.write(&update, &[], patiently()).await.unwrap_err();
        assert!(matches!(&error, Error::Conflict(error) if error.sqlstate == "55P03"), "{error:?}");
    };
    tokio::select! {
        printed = holder => panic!("{printed}"),
        () = meanwhile => {}
    }
    home.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3600)%' AND datname = current_database() AND pid <> pg_backend_pid();").await;
    let slow =
        writing("UPDATE t SET v = (SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b)");
    let timeout = Duration::from_millis(300);
    let error = database.write(&slow, &[], Limits { timeout, ..Limits::default() }).await.unwrap_err();
    assert_eq!(error, Error::Timeout(timeout));
    assert_eq!(value(&database, "SELECT sum(v)::int FROM t").await, Value::Int64(0));
    assert_eq!(database.write(&update, &[], patiently()).await.unwrap().affected_rows, 1);
}

/// `x.f` is a call of `f` where there is no column of that name, and users may overload what PostgreSQL has: only the
/// catalog tells, for reads and for writes.
#[tokio::test]
async fn nothing_calls_a_users_function_unseen() {
    let home = servers::postgres().await.fresh_database("hidden").await;
    home.run_as(
        READ_WRITE,
        "CREATE TABLE t (a int, b int, name text); INSERT INTO t VALUES (1, 2, 'x');
         CREATE TABLE other (n int); INSERT INTO other VALUES (1);
         CREATE FUNCTION wipe(t) RETURNS int LANGUAGE sql AS 'DELETE FROM other; SELECT 1';
         CREATE FUNCTION shout(text, int DEFAULT 1) RETURNS text LANGUAGE sql AS 'DELETE FROM other; SELECT $1';
         CREATE FUNCTION name(text) RETURNS text LANGUAGE sql AS 'DELETE FROM other; SELECT $1';
         CREATE FUNCTION lower(int) RETURNS text LANGUAGE sql AS 'DELETE FROM other; SELECT NULL::text';
         CREATE FUNCTION adds(text, text) RETURNS int LANGUAGE sql AS 'DELETE FROM other; SELECT 1';
         CREATE OPERATOR + (leftarg = text, rightarg = text, function = adds);
         CREATE FUNCTION same(int, text) RETURNS boolean LANGUAGE sql AS 'DELETE FROM other; SELECT true';
         CREATE OPERATOR = (leftarg = int, rightarg = text, function = same);
         CREATE FUNCTION counts(int) RETURNS boolean LANGUAGE sql AS 'DELETE FROM other; SELECT true';
         CREATE DOMAIN counted AS int CHECK (counts(VALUE)); CREATE DOMAIN small AS int CHECK (VALUE < 10);
         CREATE TYPE pair AS (a int, b int);
         CREATE FUNCTION paired(int) RETURNS pair LANGUAGE sql AS 'DELETE FROM other; SELECT NULL::pair';
         CREATE CAST (int AS pair) WITH FUNCTION paired(int);",
    )
    .await;
    let options = Options { access: AccessMode::ReadWrite, ..one_connection() };
    let database = Database::new(Target::Postgresql(target(home.server, READ_WRITE, &home.name)), options);
    for (sql, position) in [
        ("SELECT t.wipe FROM t", 10),
        ("SELECT (t).WIPE FROM t", 12),
        ("SELECT x.shout FROM lower('.') x", 10),
        ("SELECT x.name FROM (SELECT 'a'::text) x", 10),
        ("SELECT public.t.wipe FROM t", 17),
        ("SELECT lower(1)", 8),
        ("SELECT 'a'::text + 'b'::text", 18),
        ("SELECT count(*) FROM t WHERE a = name", 32),
        ("SELECT a IN (name) FROM t", 10),
        ("SELECT 1::counted", 11),
        ("SELECT CAST(1 AS public.counted)", 25),
        ("SELECT counted '1'", 8),
        ("SELECT 1::pair", 11),
        ("UPDATE t SET a = 1 RETURNING t.wipe", 32),
        ("UPDATE t SET a = (t).wipe", 22),
        ("DELETE FROM t WHERE public.t.wipe IS NULL", 30),
        ("UPDATE t SET b = name + name", 23),
        ("INSERT INTO t (name) VALUES (lower(5))", 30),
    ] {
        let refused = if sql.starts_with("SELECT") {
            let explained = database.explain(&guarded(sql), &[]).await.unwrap_err();
            assert!(matches!(explained, Error::NotAllowed(_)), "{sql}: {explained:?}");
            executed(&database, &guarded(sql), &[]).await.unwrap_err()
        } else {
            database.write(&writing(sql), &[], patiently()).await.unwrap_err()
        };
        let Error::NotAllowed(error) = refused else { panic!("{sql}: {refused:?}") };
        assert!(!error.hint.is_empty(), "{sql}: {error:?}");
        // `=` stands in UPDATE … SET too.
        if !sql.contains("SET") {
            assert_eq!(error.position, position, "{sql}: {error:?}");
        }
    }
    assert_eq!(home.admin("SELECT count(*) FROM other").await.trim(), "1");
    // Columns of tables are columns, whatever functions there are; PostgreSQL's own can be asked for.
    for sql in [
        "SELECT t.name, t.a FROM t WHERE t.b - 1 > 0",
        "SELECT pg_catalog.lower(name), 1 OPERATOR(pg_catalog.+) 1 FROM t WHERE a OPERATOR(pg_catalog.=) 1",
        "SELECT 1::small, '(1,2)'::text",
        "SELECT upper(t.name) FROM t WHERE t.name LIKE 'x%'",
    ] {
        executed(&database, &guarded(sql), &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    executed(&database, &calling(&["public.same"], "SELECT a FROM t WHERE a = 1"), &[]).await.unwrap();
    let refused = executed(&database, &calling(&["wipe"], "SELECT t.wipe FROM t"), &[]).await.unwrap_err();
    assert!(matches!(refused, Error::ReadOnly(_)), "{refused:?}");
    home.run_as(READ_WRITE, "DROP OPERATOR = (int, text);").await;
    let write = writing("UPDATE t SET a = t.b RETURNING t.a");
    let written = database.write(&write, &[], patiently()).await.unwrap();
    assert_eq!((written.affected_rows, written.returned.rows), (1, vec![vec![Value::Int64(2)]]));
}
