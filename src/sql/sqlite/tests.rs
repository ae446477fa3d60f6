//! What a user sees of a SQLite target: values, caps, time, cancellation.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use crate::domain::{ColumnType, DatabaseKind, Value};
use crate::sql::guard::{self, Policy};
use crate::sql::{Database, Error, GuardedSql, Limits, Options, Target, Truncation};

/// Never ends by itself.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
/// Gives 200,000 rows of about a hundred bytes.
const MANY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) \
                    SELECT i, 'a text that makes every row of this result about a hundred bytes long, more or less' FROM n";

fn guarded(sql: &str) -> GuardedSql {
    guard::check(sql, &Policy::reads(DatabaseKind::Sqlite)).unwrap()
}

fn database(folder: &Path, options: Options) -> Database {
    let path = folder.canonicalize().unwrap().join("shop.sqlite");
    let connection = Connection::open(&path).unwrap();
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, day DATE, paid BOOLEAN, price DECIMAL(10,2), name TEXT, photo BLOB);
               INSERT INTO t VALUES (1, '2024-02-29', 1, 9.5, 'Ann', x'00ff'), (2, 'soon', 7, 3, CAST(x'e9' AS TEXT), NULL);";
    connection.execute_batch(sql).unwrap();
    Database::new(Target::Sqlite { path }, options)
}

fn one_connection() -> Options {
    Options { connections: 1, ..Options::default() }
}

#[tokio::test]
async fn cells_are_typed_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path(), Options::default());
    let result = database.execute(&guarded("SELECT * FROM t ORDER BY id"), &[], Limits::default()).await.unwrap();
    let kinds: Vec<ColumnType> = result.columns.iter().map(|column| column.kind).collect();
    let expected = [
        ColumnType::Integer,
        ColumnType::Date,
        ColumnType::Boolean,
        ColumnType::Decimal,
        ColumnType::Text,
        ColumnType::Bytes,
    ];
    assert_eq!(kinds, expected);
    assert_eq!(result.columns[3].database_type, "DECIMAL(10,2)");
    let first = [
        Value::Int64(1),
        Value::Date("2024-02-29".into()),
        Value::Bool(true),
        Value::Double(9.5),
        Value::String("Ann".into()),
        Value::Bytes(vec![0, 255]),
    ];
    let second = [
        Value::Int64(2),
        Value::String("soon".into()),
        Value::Int64(7),
        Value::Int64(3),
        Value::Bytes(vec![0xe9]),
        Value::Null,
    ];
    assert_eq!(result.rows, [first.to_vec(), second.to_vec()]);
    assert_eq!(result.truncated, None);
}

#[tokio::test]
async fn parameters_are_bound_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path(), Options::default());
    let sql = guarded("SELECT id FROM t WHERE name = ? AND price > ?");
    let parameters = [Value::String("Ann".into()), Value::Decimal("9.49".into())];
    let result = database.execute(&sql, &parameters, Limits::default()).await.unwrap();
    assert_eq!(result.rows, [[Value::Int64(1)]]);
    let error = database.execute(&sql, &parameters[..1], Limits::default()).await.unwrap_err();
    assert_eq!(error, Error::ParameterCount { expected: 2, given: 1 });
    let array = [Value::Null, Value::Array(Vec::new())];
    let error = database.execute(&sql, &array, Limits::default()).await.unwrap_err();
    assert!(matches!(error, Error::ParameterKind { position: 2, .. }), "{error}");
}

#[tokio::test]
async fn the_database_says_where_it_stumbles() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path(), Options::default());
    for sql in ["SELECT id, nowhere FROM t", "SELECT id, nowhere FROM t WHERE id = 1"] {
        let Err(Error::Statement(error)) = database.execute(&guarded(sql), &[], Limits::default()).await else {
            panic!()
        };
        assert_eq!((error.position, error.message.as_str()), (12, "no such column: nowhere"));
        let Err(Error::Statement(error)) = database.explain(&guarded(sql), &[]).await else { panic!() };
        assert_eq!(error.position, 12);
    }
    let plan = database.explain(&guarded("SELECT * FROM t WHERE id = 1"), &[]).await.unwrap().text;
    assert!(plan.contains("SEARCH t USING INTEGER PRIMARY KEY"), "{plan}");
}

#[tokio::test]
async fn functions_that_are_not_there_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path(), Options::default());
    let names = ["abs", "lower", "score", "main.abs"].map(str::to_owned);
    assert_eq!(database.missing_functions(&names).await.unwrap(), ["score", "main.abs"]);
}

/// A connection keeps statements prepared; the schema they are about may change.
#[tokio::test]
async fn a_changed_table_shows_its_new_columns() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path(), one_connection());
    let sql = guarded("SELECT * FROM t WHERE id = 1");
    let shown = async || {
        let result = database.execute(&sql, &[], Limits::default()).await.unwrap();
        let last = result.columns.last().unwrap().name.clone();
        (result.columns.len(), last, result.rows.iter().map(Vec::len).collect::<Vec<_>>())
    };
    assert_eq!(shown().await, (6, "photo".to_owned(), vec![6]));
    let other = Connection::open(folder.path().join("shop.sqlite")).unwrap();
    other.execute_batch("ALTER TABLE t ADD COLUMN note TEXT").unwrap();
    assert_eq!(shown().await, (7, "note".to_owned(), vec![7]));
    other
        .execute_batch("DELETE FROM t; ALTER TABLE t DROP COLUMN photo; ALTER TABLE t ADD COLUMN stock INTEGER")
        .unwrap();
    assert_eq!(shown().await, (7, "stock".to_owned(), Vec::new()));
}

#[tokio::test]
async fn results_are_cut_and_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path(), Options::default());
    let many = guarded(MANY);
    let rows = Limits { max_rows: 10, ..Limits::default() };
    let result = database.execute(&many, &[], rows).await.unwrap();
    assert_eq!((result.rows.len(), result.truncated), (10, Some(Truncation::Rows)));
    let bytes = Limits { max_bytes: 1_000, ..Limits::default() };
    let result = database.execute(&many, &[], bytes).await.unwrap();
    assert_eq!(result.truncated, Some(Truncation::Bytes));
    assert!((5..12).contains(&result.rows.len()), "{}", result.rows.len());
    // A result that just fits is whole.
    let whole = Limits { max_rows: 2, ..Limits::default() };
    assert_eq!(database.execute(&guarded("SELECT id FROM t"), &[], whole).await.unwrap().truncated, None);
    let error = database.execute(&guarded("SELECT 1, zeroblob(1000000) AS big"), &[], bytes).await.unwrap_err();
    assert!(matches!(error, Error::ResultTooLarge { ref column, .. } if column == "big"), "{error}");
    let cell = Limits { max_cell_bytes: 10, ..Limits::default() };
    let error = database.execute(&guarded("SELECT 'more than ten bytes' AS long"), &[], cell).await.unwrap_err();
    assert!(matches!(error, Error::ResultTooLarge { ref column, .. } if column == "long"), "{error}");
}

#[tokio::test]
async fn streams_hand_over_batches_within_their_limits() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path(), one_connection());
    let limits = Limits { max_rows: 1_000_000, max_bytes: 1 << 30, ..Limits::default() };
    let mut stream = database.stream(guarded(MANY), Vec::new(), limits).await.unwrap();
    assert_eq!(stream.columns.len(), 2);
    let (mut rows, mut batches) = (0, 0);
    while let Some(batch) = stream.next().await {
        let size: usize = batch.to_rows().iter().flatten().map(Value::size_bytes).sum();
        assert!(size < 300 << 10, "{size}");
        rows += batch.row_count() as u64;
        batches += 1;
    }
    let summary = stream.finish().await.unwrap();
    assert_eq!((rows, summary.row_count, summary.truncated), (200_000, 200_000, None));
    assert!(batches > 50, "{batches}");

    let few = Limits { max_rows: 5, ..limits };
    let mut stream = database.stream(guarded(MANY), Vec::new(), few).await.unwrap();
    assert_eq!(stream.next().await.unwrap().row_count(), 5);
    assert!(stream.next().await.is_none());
    assert_eq!(stream.finish().await.unwrap().truncated, Some(Truncation::Rows));

    let error = database.stream(guarded("SELECT x FROM t"), Vec::new(), limits).await.unwrap_err();
    assert!(matches!(error, Error::Statement(_)), "{error}");
}

#[tokio::test]
async fn endless_statements_end_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path(), one_connection());
    let timeout = Duration::from_millis(50);
    let limits = Limits { timeout, ..Limits::default() };
    let error = database.execute(&guarded(ENDLESS), &[], limits).await.unwrap_err();
    assert_eq!(error, Error::Timeout(timeout));
    // A stream whose reader does not read is bounded by the same time.
    let mut stream = database.stream(guarded(MANY), Vec::new(), limits).await.unwrap();
    assert!(stream.next().await.is_some());
    database.probe().await.unwrap();
    while stream.next().await.is_some() {}
    assert_eq!(stream.finish().await.unwrap_err(), Error::Timeout(timeout));
}

/// With one connection, the next statement runs only when the abandoned one has really ended.
#[tokio::test]
async fn dropping_a_future_or_a_stream_stops_the_statement() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { acquire_timeout: Duration::from_secs(30), ..one_connection() };
    let database = database(folder.path(), options);
    let forever = Limits { timeout: Duration::from_hours(1), ..Limits::default() };
    let sql = guarded(ENDLESS);
    {
        let mut running = Box::pin(database.execute(&sql, &[], forever));
        assert!(futures::poll!(&mut running).is_pending());
        tokio::task::yield_now().await;
        assert!(futures::poll!(&mut running).is_pending());
    }
    database.probe().await.unwrap();

    let mut stream = database.stream(guarded(MANY), Vec::new(), forever).await.unwrap();
    stream.next().await.unwrap();
    drop(stream);
    database.probe().await.unwrap();

    let mut stream = database.stream(guarded(MANY), Vec::new(), forever).await.unwrap();
    stream.next().await.unwrap();
    assert_eq!(stream.finish().await.unwrap_err(), Error::Interrupted);
    database.probe().await.unwrap();
}

#[tokio::test]
async fn a_pool_is_bounded_and_can_be_closed() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { acquire_timeout: Duration::from_millis(10), ..one_connection() };
    let database = database(folder.path(), options);
    let forever = Limits { timeout: Duration::from_hours(1), ..Limits::default() };
    let stream = database.stream(guarded(MANY), Vec::new(), forever).await.unwrap();
    assert!(matches!(database.probe().await, Err(Error::Busy(_))));
    drop(stream);
    database.close().await;
    assert!(matches!(database.probe().await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn a_file_that_is_replaced_or_gone_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path(), one_connection());
    assert_eq!(database.schema().await.unwrap().tables[0].name, "t");
    let other = folder.path().join("other.sqlite");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE u(a)").unwrap();
    std::fs::rename(&other, folder.path().join("shop.sqlite")).unwrap();
    assert_eq!(database.schema().await.unwrap().tables[0].name, "u");
    std::fs::remove_file(folder.path().join("shop.sqlite")).unwrap();
    assert_eq!(database.probe().await, Err(Error::FileMissing));
}

#[tokio::test]
async fn a_locked_database_is_busy() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { lock_timeout: Duration::ZERO, ..one_connection() };
    let database = database(folder.path(), options);
    database.probe().await.unwrap();
    let writer = Connection::open(folder.path().join("shop.sqlite")).unwrap();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = database.execute(&guarded("SELECT * FROM t"), &[], Limits::default()).await.unwrap_err();
    assert!(matches!(error, Error::Busy(_)), "{error}");
    writer.execute_batch("COMMIT").unwrap();
    database.execute(&guarded("SELECT * FROM t"), &[], Limits::default()).await.unwrap();
}

/// Whatever the guard lets through leaves the file as it was.
#[tokio::test]
async fn allowed_statements_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path(), Options::default());
    let path = folder.path().join("shop.sqlite");
    let before = std::fs::read(&path).unwrap();
    for sql in [
        "SELECT * FROM t",
        "PRAGMA table_info(t)",
        "EXPLAIN SELECT 1",
        "VALUES (1), (2)",
        "SELECT value FROM json_each('[1]')",
        "SELECT random(), datetime('now'), printf('%d', 1)",
        "SELECT name FROM sqlite_schema",
    ] {
        database.execute(&guarded(sql), &[], Limits::default()).await.unwrap();
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
