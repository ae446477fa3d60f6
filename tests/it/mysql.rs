//! MariaDB as a target database, at the level of `sql::Database`, against a real server.

use std::time::Duration;

use futures::StreamExt as _;
use pulse::domain::connection::{ConnectionSecrets, TlsMode};
use pulse::domain::{AccessMode, ColumnPath, ColumnType, DatabaseKind, TableKind, Tls, Value};
use pulse::sql::guard::{self, Policy, Writes};
use pulse::sql::{
    Database, Error, GuardedSql, HostPolicy, Limits, Options, SampleBounds, ServerTarget, Target, Truncation,
    Unreachable,
};
use secrecy::SecretString;

use crate::support::proxy::{Proxy, Weather};
use crate::support::servers::{self, CERTIFICATE, CERTIFICATES, DatabaseServer, HOST, READ_ONLY, READ_WRITE, User};

/// More rows than any buffer between the server and a reader holds.
const MANY: &str = "SELECT seq AS i, repeat('x', 100) AS filler FROM seq_1_to_200000";
/// Runs for hours.
const ENDLESS: &str =
    "SELECT count(*) FROM seq_1_to_9000 a, seq_1_to_9000 b, seq_1_to_9000 c WHERE a.seq + b.seq + c.seq = 0";

fn target(server: &DatabaseServer, database: &str, user: User) -> ServerTarget {
    ServerTarget {
        host: "127.0.0.1".to_owned(),
        port: server.port,
        database: database.to_owned(),
        username: user.name.to_owned(),
        secrets: ConnectionSecrets { password: Some(SecretString::from(user.password)), client_key_pem: None },
        tls: Tls { mode: TlsMode::Disable, ..Tls::default() },
        hosts: HostPolicy { socket_folders: vec![server.socket_folder().to_owned()], ..HostPolicy::default() },
    }
}

fn opened(database: &servers::Database<'_>, options: Options) -> Database {
    Database::new(Target::Mysql(target(database.server, &database.name, READ_ONLY)), options)
}

fn guarded(sql: &str) -> GuardedSql {
    guard::check(sql, &Policy::reads(DatabaseKind::Mysql)).unwrap_or_else(|refusal| panic!("{sql}: {refusal:?}"))
}

fn one_connection() -> Options {
    Options { connections: 1, acquire_timeout: Duration::from_mins(1), ..Options::default() }
}

/// Declared type, literal, what has the client print it, type and kind of the column, value.
type Case = (&'static str, &'static str, &'static str, &'static str, ColumnType, Value);

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let text = |value: &str| Value::String(value.to_owned());
    let decimal = |value: &str| Value::Decimal(value.to_owned());
    let other = |value: &str| Value::Other(value.to_owned());
    let nines = "99999999999999999999999999999999999.999999999999999999999999999999";
    vec![
        ("TINYINT", "-128", "{}", "tinyint", ColumnType::Integer, Value::Int64(-128)),
        ("TINYINT UNSIGNED", "255", "{}", "tinyint unsigned", ColumnType::Integer, Value::Int64(255)),
        ("BOOLEAN", "TRUE", "{}", "tinyint", ColumnType::Integer, Value::Int64(1)),
        ("TINYINT(1) UNSIGNED", "200", "{}", "tinyint unsigned", ColumnType::Integer, Value::Int64(200)),
        ("SMALLINT", "-32768", "{}", "smallint", ColumnType::Integer, Value::Int64(-32_768)),
        ("SMALLINT UNSIGNED", "65535", "{}", "smallint unsigned", ColumnType::Integer, Value::Int64(65_535)),
        ("MEDIUMINT", "-8388608", "{}", "mediumint", ColumnType::Integer, Value::Int64(-8_388_608)),
        ("MEDIUMINT UNSIGNED", "16777215", "{}", "mediumint unsigned", ColumnType::Integer, Value::Int64(16_777_215)),
        ("INT", "-2147483648", "{}", "int", ColumnType::Integer, Value::Int64(-2_147_483_648)),
        ("INT UNSIGNED", "4294967295", "{}", "int unsigned", ColumnType::Integer, Value::Int64(4_294_967_295)),
        ("BIGINT", "-9223372036854775808", "{}", "bigint", ColumnType::Integer, Value::Int64(i64::MIN)),
        (
            "BIGINT UNSIGNED",
            "18446744073709551615",
            "{}",
            "bigint unsigned",
            ColumnType::Unsigned,
            Value::Uint64(u64::MAX),
        ),
        ("BIGINT UNSIGNED", "1", "{}", "bigint unsigned", ColumnType::Unsigned, Value::Uint64(1)),
        ("YEAR", "2024", "{}", "year", ColumnType::Integer, Value::Int64(2024)),
        ("DECIMAL(65,30)", nines, "{}", "decimal", ColumnType::Decimal, decimal(nines)),
        ("DECIMAL(10,2)", "-0.50", "{}", "decimal", ColumnType::Decimal, decimal("-0.50")),
        ("FLOAT", "0.1", "{}", "float", ColumnType::Float, Value::Double(0.1)),
        ("DOUBLE", "1.7976931348623157e308", "{}", "double", ColumnType::Float, Value::Double(f64::MAX)),
        ("DOUBLE", "0.1", "{}", "double", ColumnType::Float, Value::Double(0.1)),
        ("BIT(5)", "b'00101'", "BIN({})", "bit", ColumnType::Other, other("101")),
        ("BIT(64)", "18446744073709551615", "BIN({})", "bit", ColumnType::Other, other(&"1".repeat(64))),
        ("CHAR(5)", "'añ'", "{}", "char", ColumnType::Text, text("añ")),
        ("VARCHAR(20)", "'naïve 😀'", "{}", "varchar", ColumnType::Text, text("naïve 😀")),
        ("VARCHAR(20) CHARACTER SET latin1", "'naïve'", "{}", "varchar", ColumnType::Text, text("naïve")),
        ("VARCHAR(20) CHARACTER SET utf16", "'日本 😀'", "{}", "varchar", ColumnType::Text, text("日本 😀")),
        ("VARCHAR(20) COLLATE utf8mb4_bin", "'bin'", "{}", "varchar", ColumnType::Text, text("bin")),
        ("CHAR(5) CHARACTER SET ascii COLLATE ascii_bin", "'bin'", "{}", "char", ColumnType::Text, text("bin")),
        ("TINYTEXT", "'t'", "{}", "text", ColumnType::Text, text("t")),
        ("TEXT", "''", "{}", "text", ColumnType::Text, text("")),
        ("LONGTEXT", "REPEAT('é', 1000)", "{}", "text", ColumnType::Text, text(&"é".repeat(1000))),
        ("ENUM('x','it''s','a,b') COLLATE utf8mb4_bin", "'it''s'", "{}", "char", ColumnType::Text, text("it's")),
        ("ENUM('small','large')", "'large'", "{}", "enum", ColumnType::Text, text("large")),
        ("SET('a','b','c')", "'c,a'", "{}", "char", ColumnType::Text, text("a,c")),
        ("BINARY(3)", "x'00ff'", "HEX({})", "binary", ColumnType::Bytes, Value::Bytes(vec![0, 255, 0])),
        ("VARBINARY(3)", "x'00ff'", "HEX({})", "varbinary", ColumnType::Bytes, Value::Bytes(vec![0, 255])),
        ("BLOB", "x'c3'", "HEX({})", "blob", ColumnType::Bytes, Value::Bytes(vec![0xc3])),
        ("DATE", "'2024-02-29'", "{}", "date", ColumnType::Date, Value::Date("2024-02-29".into())),
        ("DATE", "'0000-00-00'", "{}", "date", ColumnType::Date, Value::Date("0000-00-00".into())),
        ("TIME", "'13:45:06'", "{}", "time", ColumnType::Time, Value::Time("13:45:06".into())),
        ("TIME(6)", "'13:45:06.123456'", "{}", "time", ColumnType::Time, Value::Time("13:45:06.123456".into())),
        ("TIME", "'-838:59:59'", "{}", "time", ColumnType::Time, Value::Interval("-PT838H59M59S".into())),
        (
            "DATETIME",
            "'2024-02-29 13:45:06'",
            "{}",
            "datetime",
            ColumnType::Timestamp,
            Value::Timestamp("2024-02-29T13:45:06".into()),
        ),
        (
            "DATETIME(6)",
            "'9999-12-31 23:59:59.999999'",
            "{}",
            "datetime",
            ColumnType::Timestamp,
            Value::Timestamp("9999-12-31T23:59:59.999999".into()),
        ),
        (
            "DATETIME",
            "'2024-02-29'",
            "{}",
            "datetime",
            ColumnType::Timestamp,
            Value::Timestamp("2024-02-29T00:00:00".into()),
        ),
        (
            "DATETIME",
            "'0000-00-00'",
            "{}",
            "datetime",
            ColumnType::Timestamp,
            Value::Timestamp("0000-00-00T00:00:00".into()),
        ),
        (
            "TIMESTAMP",
            "'2024-02-29 13:45:06'",
            "{}",
            "timestamp",
            ColumnType::TimestampTz,
            Value::TimestampTz("2024-02-29T13:45:06Z".into()),
        ),
        (
            "TIMESTAMP(3)",
            "'2024-07-01 00:00:00.125'",
            "{}",
            "timestamp",
            ColumnType::TimestampTz,
            Value::TimestampTz("2024-07-01T00:00:00.125Z".into()),
        ),
        ("JSON", "'{\"b\": 1, \"a\": [null]}'", "{}", "text", ColumnType::Text, text("{\"b\": 1, \"a\": [null]}")),
        (
            "UUID",
            "'123e4567-e89b-12d3-a456-426655440000'",
            "{}",
            "char",
            ColumnType::Text,
            text("123e4567-e89b-12d3-a456-426655440000"),
        ),
        ("INET6", "'2001:db8::ff00:42:8329'", "{}", "char", ColumnType::Text, text("2001:db8::ff00:42:8329")),
        (
            "POINT",
            "ST_GeomFromText('POINT(1 -2.5)')",
            "ST_AsText({})",
            "geometry",
            ColumnType::Other,
            other("POINT(1 -2.5)"),
        ),
        (
            "GEOMETRY",
            "ST_GeomFromText('LINESTRING(0 0,1 1,2.25 3)')",
            "ST_AsText({})",
            "geometry",
            ColumnType::Other,
            other("LINESTRING(0 0,1 1,2.25 3)"),
        ),
        (
            "GEOMETRY",
            "ST_GeomFromText('POLYGON((0 0,9 0,9 9,0 0),(1 1,2 1,2 2,1 1))')",
            "ST_AsText({})",
            "geometry",
            ColumnType::Other,
            other("POLYGON((0 0,9 0,9 9,0 0),(1 1,2 1,2 2,1 1))"),
        ),
        (
            "GEOMETRY",
            "ST_GeomFromText('MULTIPOINT(1 1,2 2)')",
            "ST_AsText({})",
            "geometry",
            ColumnType::Other,
            other("MULTIPOINT(1 1,2 2)"),
        ),
        (
            "GEOMETRY",
            "ST_GeomFromText('MULTILINESTRING((0 0,1 1),(2 2,3 3))')",
            "ST_AsText({})",
            "geometry",
            ColumnType::Other,
            other("MULTILINESTRING((0 0,1 1),(2 2,3 3))"),
        ),
        (
            "GEOMETRY",
            "ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))')",
            "ST_AsText({})",
            "geometry",
            ColumnType::Other,
            other("MULTIPOLYGON(((0 0,1 0,1 1,0 0)))"),
        ),
        (
            "GEOMETRY",
            "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))')",
            "ST_AsText({})",
            "geometry",
            ColumnType::Other,
            other("GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))"),
        ),
    ]
}

/// What `mariadb` prints for a value.
fn printed(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Int64(number) => number.to_string(),
        Value::Uint64(number) => number.to_string(),
        Value::Double(number) if number.abs() >= 1e15 => format!("{number:e}"),
        Value::Double(number) => number.to_string(),
        Value::Bytes(bytes) => hex::encode_upper(bytes),
        Value::Timestamp(text) => text.replace('T', " "),
        Value::TimestampTz(text) => text.replace('T', " ").trim_end_matches('Z').to_owned(),
        Value::Interval(text) if text == "-PT838H59M59S" => "-838:59:59".to_owned(),
        Value::Decimal(text)
        | Value::String(text)
        | Value::Date(text)
        | Value::Time(text)
        | Value::Json(text)
        | Value::Other(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_type_comes_as_the_client_prints_it() {
    let fresh = servers::mariadb().await.fresh_database("types").await;
    let cases = cases();
    let columns = |each: &dyn Fn(usize, &Case) -> String| {
        cases.iter().enumerate().map(|(index, case)| each(index, case)).collect::<Vec<_>>().join(", ")
    };
    let declared = columns(&|index, case| {
        let null = if case.0.starts_with("TIMESTAMP") { " NULL" } else { "" };
        format!("c{index} {}{null}", case.0)
    });
    let literals = columns(&|_, case| case.1.to_owned());
    let nulls = columns(&|_, _| "NULL".to_owned());
    fresh
        .admin(&format!(
            "SET sql_mode = 'NO_ENGINE_SUBSTITUTION'; CREATE TABLE t ({declared}); INSERT INTO t VALUES ({literals}), ({nulls});"
        ))
        .await;
    let printable = columns(&|index, case| case.2.replace("{}", &format!("c{index}")));
    let client = fresh.run_as(READ_ONLY, &format!("SELECT {printable} FROM t;")).await;
    let client: Vec<Vec<&str>> = client.lines().map(|line| line.split('\t').collect()).collect();

    let database = opened(&fresh, Options::default());
    let result = database.execute(&guarded("SELECT * FROM t"), &[], Limits::default()).await.unwrap();
    let names = columns(&|index, _| format!("c{index}"));
    let mut stream =
        database.stream(guarded(&format!("SELECT {names} FROM t")), Vec::new(), Limits::default()).await.unwrap();
    assert_eq!(stream.columns, result.columns);
    assert_eq!(stream.next().await.unwrap(), result.rows, "a stream gives the same values");
    let zero = database.execute(&guarded("SELECT * FROM t WHERE 1 = 0"), &[], Limits::default()).await.unwrap();
    assert_eq!(zero.columns, result.columns, "a result without rows has the same columns");
    for (index, (declared, literal, _, database_type, kind, value)) in cases.iter().enumerate() {
        let case = format!("{declared} {literal}");
        let column = &result.columns[index];
        assert_eq!((column.database_type.as_str(), column.kind), (*database_type, *kind), "{case}");
        assert_eq!(&result.rows.to_rows()[0][index], value, "{case}");
        assert_eq!(printed(&result.rows.to_rows()[0][index]), client[0][index], "{case}");
        assert_eq!((&result.rows.to_rows()[1][index], client[1][index]), (&Value::Null, "NULL"), "{case}");
    }
}

/// A value that was read finds its row again when it is bound.
#[tokio::test]
async fn values_go_back_as_they_came() {
    let fresh = servers::mariadb().await.fresh_database("parameters").await;
    let database = opened(&fresh, Options::default());
    for (index, (declared, literal, _, database_type, _, value)) in cases().into_iter().enumerate() {
        // Bits and geometries come as text that is not what they are compared with; a FLOAT is no double.
        if matches!(database_type, "bit" | "geometry" | "float") {
            continue;
        }
        fresh
            .admin(&format!(
                "SET sql_mode = ''; CREATE TABLE t{index} (c {declared}); INSERT INTO t{index} VALUES ({literal});"
            ))
            .await;
        let sql = guarded(&format!("SELECT count(*) FROM t{index} WHERE c = ?"));
        let result = database.execute(&sql, std::slice::from_ref(&value), Limits::default()).await;
        // MariaDB compares zero dates in strict mode like any other.
        assert_eq!(
            result.unwrap_or_else(|error| panic!("{declared} {literal}: {error}")).rows.to_rows(),
            [[Value::Int64(1)]],
            "{declared} {literal}"
        );
    }
}

#[tokio::test]
async fn parameters_are_exact_or_refused() {
    let fresh = servers::mariadb().await.fresh_database("exact").await;
    fresh
        .admin("CREATE TABLE t (d DECIMAL(40,10)); INSERT INTO t VALUES (123456789012345678901234567890.0000000001);")
        .await;
    let database = opened(&fresh, one_connection());
    let sql = guarded("SELECT count(*) FROM t WHERE d = ?");
    let count = async |value: &str| {
        let value = [Value::Decimal(value.to_owned())];
        database.execute(&sql, &value, Limits::default()).await.unwrap().rows.to_rows()[0][0].clone()
    };
    assert_eq!(count("123456789012345678901234567890.0000000001").await, Value::Int64(1));
    // As doubles they would be equal.
    assert_eq!(count("123456789012345678901234567890.0000000002").await, Value::Int64(0));

    let sql = guarded("SELECT ?, ?, ?");
    let values = [Value::Null, Value::Uint64(u64::MAX), Value::Bool(true)];
    let result = database.execute(&sql, &values, Limits::default()).await.unwrap();
    assert_eq!(result.rows.to_rows(), [[Value::Null, Value::Uint64(u64::MAX), Value::Int64(1)]]);
    for (values, expected) in [
        (&values[..2], Error::ParameterCount { expected: 3, given: 2 }),
        (&[], Error::ParameterCount { expected: 3, given: 0 }),
    ] {
        assert_eq!(database.execute(&sql, values, Limits::default()).await.unwrap_err(), expected);
    }
    for bad in [Value::Array(Vec::new()), Value::Double(f64::NAN), Value::Decimal("1e5".into())] {
        let values = [Value::Null, bad, Value::Null];
        let error = database.execute(&sql, &values, Limits::default()).await.unwrap_err();
        assert!(matches!(error, Error::ParameterKind { position: 2, .. }), "{error}");
    }
    // The one session went through all of that.
    database.probe().await.unwrap();
    fresh.until_sessions(1).await;
}

#[tokio::test]
async fn the_server_says_where_it_stumbles() {
    let fresh = servers::mariadb().await.fresh_database("errors").await;
    fresh.admin("CREATE TABLE t (id INT);").await;
    let database = opened(&fresh, Options::default());
    for (sql, sqlstate, position) in [
        ("SELECT id, nowhere FROM t", "42S22", 12),
        ("SELECT 'é', id FROM nothing", "42S02", 21),
        ("SELECT id FROM t ORDER BY id COLLATE", "42000", 0),
    ] {
        let Ok(sql) = guard::check(sql, &Policy::reads(DatabaseKind::Mysql)) else { continue };
        for error in [
            database.execute(&sql, &[], Limits::default()).await.unwrap_err(),
            database.stream(sql.clone(), Vec::new(), Limits::default()).await.unwrap_err(),
            database.explain(&sql, &[]).await.unwrap_err(),
        ] {
            let Error::Statement(error) = error else { panic!("{error:?}") };
            assert_eq!((error.sqlstate.as_str(), error.position), (sqlstate, position), "{}", error.message);
        }
    }
    let plan = database.explain(&guarded("SELECT * FROM t WHERE id = ?"), &[Value::Int64(1)]).await.unwrap().text;
    let lines: Vec<&str> = plan.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("id  select_type") && lines[1].contains("SIMPLE"), "{plan}");
    assert_eq!(database.explain(&guarded("SHOW TABLES"), &[]).await.unwrap().text, "");
    let shown = database.execute(&guarded("SHOW TABLES"), &[], Limits::default()).await.unwrap();
    assert_eq!(shown.rows.to_rows(), [[Value::String("t".into())]]);
    let described = database.execute(&guarded("DESCRIBE t"), &[], Limits::default()).await.unwrap();
    assert_eq!(described.rows.to_rows()[0][0], Value::String("id".into()));
}

/// The columns of a result without rows are those of now, also of a statement that the session knows from before.
#[tokio::test]
async fn a_changed_table_shows_its_new_columns() {
    let fresh = servers::mariadb().await.fresh_database("changed").await;
    fresh.admin("CREATE TABLE t (id INT); INSERT INTO t VALUES (1);").await;
    let database = opened(&fresh, one_connection());
    let sql = guarded("SELECT * FROM t");
    let names = async || {
        let result = database.execute(&sql, &[], Limits::default()).await.unwrap();
        result.columns.into_iter().map(|column| column.name).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["id"]);
    fresh.admin("ALTER TABLE t ADD COLUMN name TEXT;").await;
    assert_eq!(names().await, ["id", "name"]);
    fresh.admin("DELETE FROM t; ALTER TABLE t ADD COLUMN price INT;").await;
    assert_eq!(names().await, ["id", "name", "price"]);
}

#[tokio::test]
async fn results_are_cut_and_say_why() {
    let fresh = servers::mariadb().await.fresh_database("limits").await;
    let database = opened(&fresh, one_connection());
    let many = guarded(MANY);
    let rows = Limits { max_rows: 10, ..Limits::default() };
    let result = database.execute(&many, &[], rows).await.unwrap();
    assert_eq!((result.rows.row_count(), result.truncated), (10, Some(Truncation::Rows)));
    let bytes = Limits { max_bytes: 1_000, ..Limits::default() };
    let result = database.execute(&many, &[], bytes).await.unwrap();
    assert_eq!((result.rows.row_count(), result.truncated), (9, Some(Truncation::Bytes)));
    let cell = Limits { max_cell_bytes: 10, ..Limits::default() };
    let error = database.execute(&guarded("SELECT 'more than ten bytes' AS long_one"), &[], cell).await.unwrap_err();
    assert!(matches!(error, Error::ResultTooLarge { ref column, .. } if column == "long_one"), "{error}");
    // A result that just fits is whole.
    let two = guarded("SELECT 1 UNION ALL SELECT 2");
    let result = database.execute(&two, &[], Limits { max_rows: 2, ..rows }).await.unwrap();
    assert_eq!((result.rows.row_count(), result.truncated), (2, None));

    let mut stream = database.stream(many.clone(), Vec::new(), rows).await.unwrap();
    assert_eq!(stream.next().await.unwrap().row_count(), 10);
    assert!(stream.next().await.is_none());
    assert_eq!(stream.finish().await.unwrap().truncated, Some(Truncation::Rows));
    // Nothing of all this runs on.
    database.probe().await.unwrap();
    fresh.server.until_sessions(&format!("database_name = '{}' AND query IS NOT NULL", fresh.name), 0).await;
}

#[tokio::test]
async fn streams_hand_over_batches_as_they_are_read() {
    let fresh = servers::mariadb().await.fresh_database("streams").await;
    let database = opened(&fresh, one_connection());
    let limits =
        Limits { max_rows: 1_000_000, max_bytes: 1 << 30, timeout: Duration::from_mins(5), ..Limits::default() };
    let mut stream = database.stream(guarded(MANY), Vec::new(), limits).await.unwrap();
    let (mut rows, mut batches) = (0, 0);
    while let Some(batch) = stream.next().await {
        let size: usize = batch.to_rows().iter().flatten().map(Value::size_bytes).sum();
        assert!(size < 300 << 10, "{size}");
        assert_eq!(batch.to_rows()[0][0], Value::Uint64(rows + 1));
        rows += batch.row_count() as u64;
        batches += 1;
    }
    let summary = stream.finish().await.unwrap();
    assert_eq!((rows, summary.row_count, summary.truncated), (200_000, 200_000, None));
    assert!(batches > 50, "{batches}");
}

#[tokio::test]
async fn statements_are_stopped_in_the_server() {
    let fresh = servers::mariadb().await.fresh_database("stopped").await;
    let database = opened(&fresh, Options { connections: 2, ..one_connection() });
    let running = format!("database_name = '{}' AND query LIKE '%seq_1_to_%'", fresh.name);
    // A time limit.
    let limits = Limits { timeout: Duration::from_millis(200), ..Limits::default() };
    let error = database.execute(&guarded(ENDLESS), &[], limits).await.unwrap_err();
    assert_eq!(error, Error::Timeout(limits.timeout));
    assert_eq!(fresh.server.sessions(&running).await, []);

    // A caller that is gone.
    let forever =
        Limits { timeout: Duration::from_hours(1), max_rows: 1 << 40, max_bytes: 1 << 40, ..Limits::default() };
    let (endless, many) = (guarded(ENDLESS), guarded(MANY));
    let abandoned = database.execute(&endless, &[], forever);
    tokio::select! {
        result = abandoned => panic!("{result:?}"),
        () = fresh.server.until_sessions(&running, 1) => {}
    }
    fresh.server.until_sessions(&running, 0).await;

    // A stream whose reader is gone, and one that is told to finish early.
    let mut stream = database.stream(many.clone(), Vec::new(), forever).await.unwrap();
    stream.next().await.unwrap();
    assert_eq!(fresh.server.sessions(&running).await.len(), 1);
    drop(stream);
    fresh.server.until_sessions(&running, 0).await;
    let mut stream = database.stream(many, Vec::new(), forever).await.unwrap();
    stream.next().await.unwrap();
    assert_eq!(stream.finish().await.unwrap_err(), Error::Interrupted);
    fresh.server.until_sessions(&running, 0).await;
    database.probe().await.unwrap();
    database.close().await;
    fresh.until_sessions(0).await;
}

/// The server stops what Pulse itself should no longer be there to stop.
#[tokio::test]
async fn the_server_has_a_time_limit_of_its_own() {
    let fresh = servers::mariadb().await.fresh_database("backstop").await;
    let longest = Duration::from_millis(300);
    let database = opened(&fresh, Options { statement_timeout: longest, ..one_connection() });
    let forever = Limits { timeout: Duration::from_hours(1), ..Limits::default() };
    assert_eq!(database.execute(&guarded(ENDLESS), &[], forever).await.unwrap_err(), Error::Timeout(longest));
    database.probe().await.unwrap();
}

#[tokio::test]
async fn sessions_are_bounded_and_reused() {
    let fresh = servers::mariadb().await.fresh_database("pool").await;
    let database = opened(&fresh, Options { connections: 3, ..one_connection() });
    let sql = guarded("SELECT 1");
    let run = |_| async { database.execute(&sql, &[], Limits::default()).await.unwrap().rows.to_rows() };
    let all: Vec<_> = futures::stream::iter(0..60).map(run).buffer_unordered(20).collect().await;
    assert!(all.iter().all(|rows| rows == &[[Value::Int64(1)]]));
    assert!(fresh.sessions().await.len() <= 3);
    database.close().await;
    fresh.until_sessions(0).await;
    assert!(matches!(database.probe().await, Err(Error::Unavailable(_))));
}

/// The guard lets the function through because the connection allows it; the session is the second line.
#[tokio::test]
async fn a_session_for_reading_refuses_to_write() {
    let fresh = servers::mariadb().await.fresh_database("reads").await;
    let function =
        "CREATE FUNCTION sneak() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO t VALUES (1); RETURN 1; END";
    fresh.admin(&format!("CREATE TABLE t (id INT);\nDELIMITER $$\n{function}$$\n")).await;
    let server = target(fresh.server, &fresh.name, READ_WRITE);
    let database = Database::new(Target::Mysql(server), Options::default());
    let policy = Policy { allowed_functions: vec!["sneak".to_owned()], ..Policy::reads(DatabaseKind::Mysql) };
    let sql = guard::check("SELECT sneak()", &policy).unwrap();
    let error = database.execute(&sql, &[], Limits::default()).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly(_)), "{error:?}");
    let stream = database.stream(sql.clone(), Vec::new(), Limits::default()).await;
    assert!(matches!(stream, Err(Error::ReadOnly(_))), "{stream:?}");
    assert_eq!(fresh.admin("SELECT count(*) FROM t;").await, "0\n");
    assert_eq!(database.write(&sql, &[], Limits::default()).await, Err(Error::NotWritable));
    // TestConnection says that this user may do more.
    let warnings = database.probe().await.unwrap().warnings;
    assert!(matches!(&warnings[..], [only] if only.contains("ALL PRIVILEGES")), "{warnings:?}");
    let reader = opened(&fresh, Options::default());
    let info = reader.probe().await.unwrap();
    assert!(info.version.starts_with("MariaDB 1") && info.warnings.is_empty(), "{info:?}");
    let elsewhere = fresh.server.fresh_database("elsewhere").await;
    elsewhere.admin(&format!("CREATE TABLE t (id INT); REVOKE SELECT ON {}.* FROM pulse_ro;", elsewhere.name)).await;
    let sql = guarded(&format!("SELECT id FROM {}.t", elsewhere.name));
    let refused = reader.execute(&sql, &[], Limits::default()).await.unwrap_err();
    assert!(matches!(refused, Error::PrivilegeMissing(_)), "{refused:?}");
}

/// What an allowed function does to its session, the next statement does not see.
#[tokio::test]
async fn a_function_does_not_change_the_session_for_others() {
    let fresh = servers::mariadb().await.fresh_database("settings").await;
    let function = "CREATE FUNCTION loosen() RETURNS INT READS SQL DATA \
        BEGIN SET SESSION group_concat_max_len = 4; RETURN 1; END";
    fresh.admin(&format!("DELIMITER $$\n{function}$$\n")).await;
    let server = target(fresh.server, &fresh.name, READ_WRITE);
    let database = Database::new(Target::Mysql(server), one_connection());
    let policy = Policy { allowed_functions: vec!["loosen".to_owned()], ..Policy::reads(DatabaseKind::Mysql) };
    let loosen = guard::check("SELECT loosen()", &policy).unwrap();
    let joined = guarded("SELECT group_concat(seq) FROM seq_1_to_5");
    for _ in 0..3 {
        database.execute(&loosen, &[], Limits::default()).await.unwrap();
        let result = database.execute(&joined, &[], Limits::default()).await.unwrap();
        assert_eq!(result.rows.to_rows(), [[Value::String("1,2,3,4,5".into())]]);
    }
}

/// Servers have bounds of their own, at which they cut and only warn.
#[tokio::test]
async fn joined_texts_are_whole_or_refused() {
    let fresh = servers::mariadb().await.fresh_database("joined").await;
    fresh
        .admin(
            "CREATE TABLE t (id INT, word MEDIUMTEXT); INSERT INTO t SELECT seq, repeat('x', 300000) FROM seq_1_to_5;",
        )
        .await;
    let database = opened(&fresh, one_connection());
    let joined = |words: u32| guarded(&format!("SELECT group_concat(word SEPARATOR '') FROM t WHERE id <= {words}"));
    let result = database.execute(&joined(3), &[], Limits::default()).await.unwrap();
    let [row] = &result.rows.to_rows()[..] else { panic!() };
    assert!(matches!(&row[0], Value::String(text) if text.len() == 900_000));
    let error = database.execute(&joined(5), &[], Limits::default()).await.unwrap_err();
    assert!(matches!(error, Error::ResultTooLarge { size_bytes: 1_500_000, .. }), "{error:?}");
}

/// MariaDB's own bound ends a recursion early and only warns; MySQL's refuses it.
#[tokio::test]
async fn a_recursion_goes_as_deep_as_it_must() {
    let fresh = servers::mariadb().await.fresh_database("recursion").await;
    let database = opened(&fresh, one_connection());
    let deep = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT max(i) FROM n";
    let result = database.execute(&guarded(deep), &[], Limits::default()).await.unwrap();
    assert_eq!(result.rows.to_rows(), [[Value::Int64(20_000)]]);
}

#[tokio::test]
async fn a_lock_that_another_holds_is_a_conflict() {
    let fresh = servers::mariadb().await.fresh_database("locks").await;
    fresh.admin("CREATE TABLE t (id INT);").await;
    let options = Options { lock_timeout: Duration::from_secs(1), ..one_connection() };
    let database = opened(&fresh, options);
    database.probe().await.unwrap();
    let holder = fresh.attempt(READ_WRITE, "LOCK TABLES t WRITE; SELECT sleep(100);");
    let locked = async {
        let sleeping = format!("database_name = '{}' AND query LIKE '%sleep%'", fresh.name);
        fresh.server.until_sessions(&sleeping, 1).await;
        let error = database.execute(&guarded("SELECT * FROM t"), &[], Limits::default()).await.unwrap_err();
        assert!(matches!(error, Error::Conflict(_)), "{error:?}");
        let holder = &fresh.server.sessions(&sleeping).await[0];
        fresh.admin(&format!("KILL {};", holder.id)).await;
    };
    let (holder, ()) = tokio::join!(holder, locked);
    holder.unwrap_err();
    database.execute(&guarded("SELECT * FROM t"), &[], Limits::default()).await.unwrap();
}

fn guarded_write(sql: &str) -> GuardedSql {
    let policy = Policy { writes: Writes::Ddl, ..Policy::reads(DatabaseKind::Mysql) };
    guard::check(sql, &policy).unwrap_or_else(|refusal| panic!("{sql}: {refusal:?}"))
}

/// With one session, so that whatever a failed write left behind would be in the way of the next one.
fn opened_for_writing(database: &servers::Database<'_>) -> Database {
    let options = Options { access: AccessMode::Ddl, lock_timeout: Duration::from_secs(1), ..one_connection() };
    Database::new(Target::Mysql(target(database.server, &database.name, READ_WRITE)), options)
}

#[tokio::test]
async fn writes_say_what_they_did_or_do_nothing() {
    let fresh = servers::mariadb().await.fresh_database("writes").await;
    let database = opened_for_writing(&fresh);
    let write = async |sql: &str, parameters: &[Value], limits: Limits| {
        database.write(&guarded_write(sql), parameters, limits).await
    };
    let all = Limits::default();
    write("CREATE TABLE parent (id INT PRIMARY KEY)", &[], all).await.unwrap();
    write(
        "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(5) NOT NULL, n INT CHECK (n > 0), parent INT, \
         FOREIGN KEY (parent) REFERENCES parent (id))",
        &[],
        all,
    )
    .await
    .unwrap();
    let values = [Value::Int64(1), Value::String("é".into())];
    let written = write("INSERT INTO t (id, name) VALUES (?, ?), (2, 'b')", &values, all).await.unwrap();
    assert_eq!((written.affected_rows, written.returned.columns.len()), (2, 0));
    let written =
        write("INSERT INTO t (id, name) VALUES (3, 'c'), (4, 'd') RETURNING id, name", &[], all).await.unwrap();
    assert_eq!((written.affected_rows, written.returned.rows.row_count(), written.returned.truncated), (2, 2, None));
    assert_eq!(written.returned.rows.to_rows()[1], [Value::Int64(4), Value::String("d".into())]);
    // What does not fit is left out of the answer, and written all the same.
    let one = Limits { max_rows: 1, ..all };
    let written = write("DELETE FROM t WHERE id > 2 RETURNING id", &[], one).await.unwrap();
    assert_eq!((written.affected_rows, written.returned.rows.row_count()), (2, 1));
    assert_eq!(written.returned.truncated, Some(Truncation::Rows));
    assert_eq!(fresh.admin("SELECT group_concat(id) FROM t;").await, "1,2\n");
    // The server counts rows that its condition found, changed or not.
    assert_eq!(write("UPDATE t SET n = 5", &[], all).await.unwrap().affected_rows, 2);
    assert_eq!(write("UPDATE t SET n = 5", &[], all).await.unwrap().affected_rows, 2);

    for (sql, sqlstate) in [
        ("INSERT INTO t (id, name) VALUES (9, 'x'), (1, 'again')", "23000"),
        ("INSERT INTO t (id, name) VALUES (9, NULL)", "23000"),
        ("INSERT INTO t (id) VALUES (9)", "HY000"),
        ("INSERT INTO t (id, name, n) VALUES (9, 'x', 0)", "23000"),
        ("INSERT INTO t (id, name, parent) VALUES (9, 'x', 7)", "23000"),
    ] {
        let error = write(sql, &[], all).await.unwrap_err();
        let Error::Constraint(error) = error else { panic!("{sql}: {error:?}") };
        assert_eq!(error.sqlstate, sqlstate, "{sql}");
    }
    // Nothing is cut to fit.
    let error = write("INSERT INTO t (id, name) VALUES (9, 'too long')", &[], all).await.unwrap_err();
    assert!(matches!(error, Error::Statement(ref error) if error.sqlstate == "22001"), "{error:?}");
    assert_eq!(fresh.admin("SELECT group_concat(id) FROM t;").await, "1,2\n");
    fresh.until_sessions(1).await;
}

#[tokio::test]
async fn a_write_that_is_stopped_or_in_conflict_is_undone() {
    let fresh = servers::mariadb().await.fresh_database("undone").await;
    fresh.admin("CREATE TABLE t (id BIGINT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 0);").await;
    let database = opened_for_writing(&fresh);
    let limits = Limits { timeout: Duration::from_millis(300), ..Limits::default() };
    let endless =
        guarded_write("INSERT INTO t SELECT a.seq * 100000 + b.seq, 1 FROM seq_1_to_90000 a, seq_1_to_90000 b");
    assert_eq!(database.write(&endless, &[], limits).await.unwrap_err(), Error::Timeout(limits.timeout));
    assert_eq!(fresh.admin("SELECT count(*) FROM t;").await, "1\n");

    let holder = fresh.attempt(READ_WRITE, "BEGIN; UPDATE t SET n = 1; SELECT sleep(100);");
    let update = guarded_write("UPDATE t SET n = 2");
    let locked = async {
        let sleeping = format!("database_name = '{}' AND query LIKE '%sleep%'", fresh.name);
        fresh.server.until_sessions(&sleeping, 1).await;
        let error = database.write(&update, &[], Limits::default()).await.unwrap_err();
        assert!(matches!(error, Error::Conflict(_)), "{error:?}");
        let holder = &fresh.server.sessions(&sleeping).await[0];
        fresh.admin(&format!("KILL {};", holder.id)).await;
    };
    let (holder, ()) = tokio::join!(holder, locked);
    holder.unwrap_err();
    assert_eq!(database.write(&update, &[], Limits::default()).await.unwrap().affected_rows, 1);
    assert_eq!(fresh.admin("SELECT n FROM t;").await, "2\n");
}

#[tokio::test]
async fn tables_columns_and_keys() {
    let fresh = servers::mariadb().await.fresh_database("catalog").await;
    fresh
        .admin(
            "CREATE TABLE artist (id INT PRIMARY KEY, name VARCHAR(120) NOT NULL UNIQUE COMMENT 'as printed') COMMENT 'who plays';
             CREATE TABLE album (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, artist INT, price DECIMAL(10,2) NOT NULL DEFAULT 9.99,
               kind ENUM('lp','it''s','a,b') DEFAULT 'lp', live BOOLEAN, twice DECIMAL(10,2) AS (price * 2),
               made DATETIME DEFAULT current_timestamp(), spot POINT,
               CONSTRAINT by_artist FOREIGN KEY (artist) REFERENCES artist (id));
             CREATE TABLE pair (a INT, b INT, c INT, PRIMARY KEY (b, a), UNIQUE KEY both_ways (c, a));
             CREATE TABLE child (x INT, y INT, FOREIGN KEY (x, y) REFERENCES pair (b, a));
             CREATE VIEW cheap AS SELECT id, price FROM album;
             CREATE TABLE gone (a INT); CREATE VIEW broken AS SELECT a FROM gone; DROP TABLE gone;
             CREATE SEQUENCE counter; INSERT INTO artist VALUES (1, 'AC/DC');",
        )
        .await;
    let database = opened(&fresh, Options::default());
    let schema = database.schema().await.unwrap();
    let names: Vec<&str> = schema.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["album", "artist", "cheap", "child", "pair"]);
    assert!(schema.tables.iter().all(|table| table.schema == fresh.name));

    let artist = schema.table(None, "artist").unwrap();
    assert_eq!((artist.comment.as_deref(), artist.row_count), (Some("who plays"), Some(1)));
    assert_eq!(
        (&artist.primary_key[..], &artist.unique_keys[..]),
        (&["id".to_owned()][..], &[vec!["name".to_owned()]][..])
    );
    let name = artist.column("name").unwrap();
    assert_eq!((name.nullable, name.comment.as_deref(), name.kind), (false, Some("as printed"), ColumnType::Text));

    let album = schema.table(None, "album").unwrap();
    assert_eq!(album.column("id").unwrap().kind, ColumnType::Unsigned);
    assert_eq!(album.column("price").unwrap().default.as_deref(), Some("9.99"));
    assert_eq!(album.column("artist").unwrap().default, None);
    assert_eq!(album.column("kind").unwrap().enum_labels, ["lp", "it's", "a,b"]);
    assert_eq!(album.column("kind").unwrap().default.as_deref(), Some("'lp'"));
    assert_eq!(album.column("live").unwrap().kind, ColumnType::Boolean);
    assert!(album.column("twice").unwrap().generated && !album.column("made").unwrap().generated);
    assert_eq!(album.column("made").unwrap().default.as_deref(), Some("current_timestamp()"));
    assert_eq!(album.column("spot").unwrap().declared_type, "point");
    let key = &album.foreign_keys[0];
    assert_eq!((key.name.as_deref(), &key.columns[..]), (Some("by_artist"), &["artist".to_owned()][..]));
    assert_eq!((key.referenced_schema.as_str(), key.referenced_table.as_str()), (fresh.name.as_str(), "artist"));
    assert_eq!(schema.table(None, "pair").unwrap().primary_key, ["b", "a"]);
    assert_eq!(schema.table(None, "pair").unwrap().unique_keys, [["c", "a"]]);
    assert_eq!(schema.table(None, "child").unwrap().foreign_keys[0].referenced_columns, ["b", "a"]);
    assert_eq!(schema.table(None, "cheap").unwrap().kind, TableKind::View);
    assert_eq!(schema.table(None, "cheap").unwrap().comment, None);

    // Without a database, all of those that the user may read, and none of the server's own.
    let everything = Database::new(Target::Mysql(target(fresh.server, "", READ_ONLY)), Options::default());
    let schema = everything.schema().await.unwrap();
    assert!(schema.table(Some(&fresh.name), "artist").is_some());
    assert!(schema.tables.iter().all(|table| table.schema != "mysql" && table.schema != "information_schema"));
}

#[tokio::test]
async fn distinct_values_and_whether_they_are_all() {
    let fresh = servers::mariadb().await.fresh_database("values").await;
    fresh
        .admin(
            "CREATE TABLE t (n INT, name VARCHAR(200), `a``b` TEXT CHARACTER SET latin1, size ENUM('s','m'), tags SET('x','y'));
             INSERT INTO t VALUES (1,'Ann','é','s','x,y'), (2,'ann','','s',''), (3,NULL,NULL,NULL,NULL), (4,'Bob ','ü','s','x');",
        )
        .await;
    let database = opened(&fresh, Options::default());
    let schema = database.schema().await.unwrap();
    let sampled = async |column: &str, bounds: SampleBounds| {
        let index = database.values(&schema, bounds).await.unwrap();
        let path = ColumnPath { schema: fresh.name.clone(), table: "t".into(), column: column.into() };
        let mut values = index.column(&path).cloned().unwrap_or_default();
        values.distinct.sort();
        (values.distinct, values.complete)
    };
    let all = SampleBounds::default();
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(sampled("name", all).await, (texts(&["Ann", "Bob ", "ann"]), true));
    assert_eq!(sampled("a`b", all).await, (texts(&["é", "ü"]), true));
    assert_eq!(sampled("size", all).await, (texts(&["m", "s"]), true));
    assert_eq!(sampled("tags", all).await, (texts(&["x", "x,y"]), true));
    assert_eq!(sampled("n", all).await, (Vec::new(), false));
    assert_eq!(sampled("name", SampleBounds { value_chars: 3, ..all }).await, (texts(&["Ann", "ann"]), false));
    let one = sampled("name", SampleBounds { values_per_column: 1, ..all }).await;
    assert_eq!((one.0.len(), one.1), (1, false));
    assert!(!sampled("name", SampleBounds { rows_per_table: 2, ..all }).await.1);
    assert!(sampled("name", SampleBounds { rows_per_table: 4, ..all }).await.1);
    assert_eq!(sampled("name", SampleBounds { time: Duration::ZERO, ..all }).await, (Vec::new(), false));
}

#[tokio::test]
async fn logins_fail_for_a_reason() {
    let fresh = servers::mariadb().await.fresh_database("logins").await;
    let right = target(fresh.server, &fresh.name, READ_ONLY);
    let probe = async |target: ServerTarget| {
        let error = Database::new(Target::Mysql(target), Options::default()).probe().await.unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        error
    };
    let password = Some(SecretString::from("canary-secret"));
    let secrets = ConnectionSecrets { password, client_key_pem: None };
    assert!(matches!(probe(ServerTarget { secrets, ..right.clone() }).await, Error::AuthFailed(_)));
    let nobody = ServerTarget { username: "nobody".into(), ..right.clone() };
    assert!(matches!(probe(nobody).await, Error::AuthFailed(_)));
    let forbidden = ServerTarget { database: "mysql".into(), ..right.clone() };
    assert!(matches!(probe(forbidden).await, Error::PrivilegeMissing(_)));
    let unknown = ServerTarget { database: "nowhere".into(), ..target(fresh.server, "", servers::ADMIN) };
    assert_eq!(probe(unknown).await, Error::DatabaseUnknown("nowhere".to_owned()));
    let refused = ServerTarget { port: servers::free_port(), ..right.clone() };
    assert_eq!(probe(refused).await, Error::Unreachable(Unreachable::Refused));
    let dns = ServerTarget { host: "no-such-host.invalid".into(), ..right.clone() };
    assert_eq!(probe(dns).await, Error::Unreachable(Unreachable::Dns));

    let proxy = Proxy::to(fresh.server.port).await;
    proxy.set(Weather::BlackHole).await;
    let silent = Database::new(
        Target::Mysql(ServerTarget { port: proxy.port, ..right }),
        Options { connect_timeout: Duration::from_millis(200), ..Options::default() },
    );
    assert_eq!(silent.probe().await, Err(Error::Unreachable(Unreachable::Timeout)));
}

#[tokio::test]
async fn tls_and_sockets() {
    let fresh = servers::mariadb().await.fresh_database("tls").await;
    let plain = target(fresh.server, &fresh.name, READ_ONLY);
    let encrypted = guarded("SHOW TABLES");
    let connect = async |host: &str, user: User, mode: TlsMode, authority: Option<&str>, client: bool| {
        let tls = Tls {
            mode,
            ca_pem: authority.map(ToOwned::to_owned),
            client_certificate_pem: client.then(|| CERTIFICATES.client.clone()),
        };
        let client_key_pem = client.then(|| SecretString::from(CERTIFICATES.client_key.clone()));
        let secrets = ConnectionSecrets { password: Some(SecretString::from(user.password)), client_key_pem };
        let username = user.name.to_owned();
        let server = ServerTarget { host: host.to_owned(), username, tls, secrets, ..plain.clone() };
        let database = Database::new(Target::Mysql(server), Options::default());
        database.execute(&encrypted, &[], Limits::default()).await.map(drop)
    };
    let (ours, strangers) = (Some(CERTIFICATES.authority.as_str()), Some(CERTIFICATES.other_authority.as_str()));
    for mode in [TlsMode::Disable, TlsMode::Prefer, TlsMode::Require] {
        assert_eq!(connect("127.0.0.1", READ_ONLY, mode, None, false).await, Ok(()), "{mode:?}");
    }
    assert_eq!(connect("127.0.0.1", READ_ONLY, TlsMode::VerifyCa, ours, false).await, Ok(()));
    assert_eq!(connect(HOST, READ_ONLY, TlsMode::VerifyFull, ours, false).await, Ok(()));
    for (host, mode, authority) in [
        ("127.0.0.1", TlsMode::VerifyFull, ours),
        (HOST, TlsMode::VerifyFull, strangers),
        ("127.0.0.1", TlsMode::VerifyCa, strangers),
        (HOST, TlsMode::VerifyCa, None),
        (HOST, TlsMode::VerifyCa, Some("not a certificate")),
    ] {
        let error = connect(host, READ_ONLY, mode, authority, false).await.unwrap_err();
        assert!(matches!(error, Error::TlsFailed(_)), "{host} {mode:?}: {error:?}");
    }
    assert_eq!(connect(HOST, CERTIFICATE, TlsMode::VerifyFull, ours, true).await, Ok(()));
    let error = connect(HOST, CERTIFICATE, TlsMode::VerifyFull, ours, false).await.unwrap_err();
    assert!(matches!(error, Error::AuthFailed(_)), "{error:?}");

    for host in [fresh.server.socket_folder().to_owned(), fresh.server.socket()] {
        let host = host.to_str().unwrap();
        assert_eq!(connect(host, READ_ONLY, TlsMode::Disable, None, false).await, Ok(()), "{host}");
    }
}

#[tokio::test]
async fn a_server_that_dies_and_comes_back() {
    let server = servers::mariadb_of_its_own(&[]).await;
    let fresh = server.fresh_database("weather").await;
    let database = opened(&fresh, Options { connections: 2, ..one_connection() });
    let (sql, endless) = (guarded("SELECT 1"), guarded(ENDLESS));
    database.execute(&sql, &[], Limits::default()).await.unwrap();

    let running = format!("database_name = '{}' AND query LIKE '%seq_1_to_%'", fresh.name);
    let dying = async {
        server.until_sessions(&running, 1).await;
        server.kill().await;
    };
    let (error, ()) = tokio::join!(database.execute(&endless, &[], Limits::default()), dying);
    assert!(matches!(error, Err(Error::Unavailable(_))), "{error:?}");
    let down = database.execute(&sql, &[], Limits::default()).await.unwrap_err();
    assert_eq!(down, Error::Unreachable(Unreachable::Refused));
    server.start().await;
    database.execute(&sql, &[], Limits::default()).await.unwrap();

    // Stopped between two statements. Whoever meets the session that was kept finds it gone, and clears the way.
    server.stop().await;
    server.start().await;
    if let Err(error) = database.execute(&sql, &[], Limits::default()).await {
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    }
    database.execute(&sql, &[], Limits::default()).await.unwrap();
    fresh.until_sessions(1).await;
}

#[tokio::test]
async fn a_connection_that_breaks_ends_the_stream() {
    let fresh = servers::mariadb().await.fresh_database("cut").await;
    let proxy = Proxy::to(fresh.server.port).await;
    let through = ServerTarget { port: proxy.port, ..target(fresh.server, &fresh.name, READ_ONLY) };
    let database = Database::new(Target::Mysql(through), one_connection());
    let limits = Limits { max_rows: 1 << 40, max_bytes: 1 << 40, ..Limits::default() };
    let mut stream = database.stream(guarded(MANY), Vec::new(), limits).await.unwrap();
    stream.next().await.unwrap();
    proxy.set(Weather::Refused).await;
    while stream.next().await.is_some() {}
    assert!(matches!(stream.finish().await, Err(Error::Unavailable(_))));
    assert_eq!(database.probe().await, Err(Error::Unreachable(Unreachable::Refused)));
    proxy.set(Weather::Fair).await;
    database.probe().await.unwrap();
    // What the broken connection left on the server ends by itself.
    fresh.until_sessions(1).await;
}

#[tokio::test]
async fn a_server_without_room_is_busy() {
    let server = servers::mariadb_of_its_own(&["max_connections = 10", "extra_max_connections = 1"]).await;
    let fresh = server.fresh_database("room").await;
    let database = opened(&fresh, Options { connections: 30, ..one_connection() });
    let endless = guarded(ENDLESS);
    let limits = Limits { timeout: Duration::from_secs(20), ..Limits::default() };
    let mut running: futures::stream::FuturesUnordered<_> =
        (0..20).map(|_| database.execute(&endless, &[], limits)).collect();
    let first = running.next().await.unwrap();
    assert!(matches!(first, Err(Error::Busy(_))), "{first:?}");
}
