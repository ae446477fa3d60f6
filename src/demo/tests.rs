//! What the rest of the product, its example questions and its documentation rely on.

use std::collections::HashSet;
use std::fs;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::create::{SEED, fill};
use super::schema::TABLES;
use super::*;

/// One line of `tests/questions/shop.jsonl`.
#[expect(clippy::struct_field_names, reason = "the names of the file's fields")]
#[derive(Deserialize)]
struct Question {
    id: String,
    db: String,
    question: String,
    /// Nothing when the database cannot answer.
    gold_sql: Option<String>,
    #[serde(default)]
    gold_alt: Vec<String>,
    difficulty: String,
    kind: String,
}

fn questions() -> Vec<Question> {
    let lines = include_str!("../../tests/questions/shop.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))).collect()
}

fn shop(seed: u64) -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    fill(&mut connection, seed).unwrap();
    connection
}

/// Every row of a query, each as one text.
fn rows(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{error} in {sql}"));
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut texts = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let values: Vec<String> = (0..columns)
            .map(|column| match row.get_ref(column).unwrap() {
                ValueRef::Null => "NULL".to_owned(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => number.to_string(),
                ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                ValueRef::Blob(_) => panic!("the shop has no binary columns"),
            })
            .collect();
        texts.push(values.join("\t"));
    }
    texts
}

fn number(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{error} in {sql}"))
}

fn digest(connection: &Connection) -> String {
    let mut hasher = Sha256::new();
    for table in TABLES {
        for row in rows(connection, &format!("SELECT * FROM {table} ORDER BY 1, 2")) {
            hasher.update(row);
            hasher.update("\n");
        }
    }
    hex::encode(hasher.finalize())
}

#[test]
fn same_seed_gives_same_rows_and_another_seed_others() {
    let first = digest(&shop(SEED));
    assert_eq!(first, digest(&shop(SEED)));
    assert_ne!(first, digest(&shop(SEED + 1)));
}

#[test]
fn rows_are_those_the_example_answers_were_read_from() {
    // When this changes on purpose, look at the answers in tests/questions/ again.
    assert_eq!(digest(&shop(SEED)), "6619141792929aade4eb212d4b56f27b257145fe33eaece93238758f5f08a7ef");
}

#[test]
fn every_table_is_filled_and_counted() {
    let mut connection = Connection::open_in_memory().unwrap();
    let reported = fill(&mut connection, SEED).unwrap();
    let counts: Vec<i64> =
        TABLES.iter().map(|table| number(&connection, &format!("SELECT COUNT(*) FROM {table}"))).collect();
    assert!(counts.iter().all(|&count| count >= 18), "{counts:?}");
    assert_eq!(counts.iter().sum::<i64>(), reported as i64);
    assert!(reported >= 30_000, "{reported}");
    let tables = "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    assert_eq!(number(&connection, tables), TABLES.len() as i64);
}

#[test]
fn foreign_keys_and_pages_are_sound() {
    let connection = shop(SEED);
    assert_eq!(rows(&connection, "PRAGMA foreign_key_check"), [""; 0]);
    assert_eq!(rows(&connection, "PRAGMA integrity_check"), ["ok"]);
}

#[test]
fn every_foreign_key_is_indexed() {
    let connection = shop(SEED);
    for table in TABLES {
        let leading = format!(
            "SELECT (SELECT name FROM pragma_index_info(list.name) WHERE seqno = 0) \
             FROM pragma_index_list('{table}') AS list"
        );
        let indexed: HashSet<String> = rows(&connection, &leading).into_iter().collect();
        for column in rows(&connection, &format!("SELECT \"from\" FROM pragma_foreign_key_list('{table}')")) {
            assert!(indexed.contains(&column), "{table}.{column}");
        }
    }
}

#[test]
fn dates_are_iso_and_within_the_three_years() {
    let connection = shop(SEED);
    for table in TABLES {
        let columns =
            format!("SELECT name, type FROM pragma_table_info('{table}') WHERE type IN ('DATE', 'TIMESTAMP')");
        for column in rows(&connection, &columns) {
            let (name, declared) = column.split_once('\t').unwrap();
            let form = if declared == "DATE" { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M:%S" };
            let malformed = format!("SELECT COUNT(*) FROM {table} WHERE {name} <> strftime('{form}', {name})");
            assert_eq!(number(&connection, &malformed), 0, "{table}.{name}");
            let outside =
                format!("SELECT COUNT(*) FROM {table} WHERE date({name}) NOT BETWEEN '2023-01-01' AND '2025-12-31'");
            // People were born, and some hired, before the shop opened.
            if name != "birth_date" && name != "hire_date" {
                assert_eq!(number(&connection, &outside), 0, "{table}.{name}");
            }
        }
    }
}

#[test]
fn the_shop_makes_sense() {
    let connection = shop(SEED);
    let impossible = [
        "SELECT COUNT(*) FROM orders JOIN customers ON customers.id = customer_id WHERE order_date < signup_date",
        "SELECT COUNT(*) FROM order_items JOIN orders ON orders.id = order_id
         JOIN products ON products.id = product_id WHERE order_date < launch_date",
        "SELECT COUNT(*) FROM orders JOIN addresses ON addresses.id = shipping_address_id
         WHERE addresses.customer_id <> orders.customer_id",
        "SELECT COUNT(*) FROM shipments WHERE delivered_at < shipped_at",
        "SELECT COUNT(*) FROM payments WHERE amount <= 0 OR amount <> ROUND(amount, 2)",
        "SELECT COUNT(*) FROM products WHERE price <= 0 OR price <> ROUND(price, 2) OR stock < 0 OR weight_kg <= 0",
        "SELECT COUNT(*) FROM orders WHERE id NOT IN (SELECT order_id FROM order_items)",
        "SELECT COUNT(*) FROM orders WHERE (status = 'delivered') >
         (id IN (SELECT order_id FROM shipments WHERE delivered_at IS NOT NULL))",
        "SELECT COUNT(*) FROM employees JOIN employees AS managers ON managers.id = employees.manager_id
         WHERE employees.hire_date < managers.hire_date",
        "SELECT COUNT(*) FROM customers WHERE email GLOB '*[^a-z0-9.@]*'",
        "SELECT COUNT(*) FROM (SELECT order_id, SUM(amount) AS paid FROM payments GROUP BY order_id) AS sums
         JOIN (SELECT order_id, SUM(quantity * unit_price * (1 - discount)) AS due, COUNT(*) AS lines
         FROM order_items GROUP BY order_id) AS totals USING (order_id) WHERE ABS(paid - due) > 0.006 * lines",
    ];
    for sql in impossible {
        assert_eq!(number(&connection, sql), 0, "{sql}");
    }
}

#[test]
fn file_is_created_once_and_then_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(DATABASE_FILE);
    let Created::New { tables, rows: written } = create_if_absent(&path).unwrap() else { panic!("nothing was there") };
    assert_eq!(tables, TABLES.len());
    assert!(written >= 30_000);
    let before = fs::read(&path).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();

    assert_eq!(create_if_absent(&path).unwrap(), Created::Existing);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified);
    assert!(fs::read(&path).unwrap() == before);
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [DATABASE_FILE]);

    let connection = Connection::open(&path).unwrap();
    assert_eq!(rows(&connection, "PRAGMA integrity_check"), ["ok"]);
    assert_eq!(digest(&connection), digest(&shop(SEED)));
}

#[test]
fn a_file_of_someone_else_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(DATABASE_FILE);
    fs::write(&path, "not a database").unwrap();
    assert_eq!(create_if_absent(&path).unwrap(), Created::Existing);
    assert_eq!(fs::read_to_string(&path).unwrap(), "not a database");
}

#[test]
fn callers_that_race_end_with_one_whole_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(DATABASE_FILE);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| create_if_absent(&path).unwrap());
        }
    });
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    assert_eq!(rows(&Connection::open(&path).unwrap(), "PRAGMA integrity_check"), ["ok"]);
}

#[test]
fn a_missing_directory_is_an_error_that_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join(DATABASE_FILE);
    let error = create_if_absent(&path).unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error:?}");
    assert!(error.to_string().contains(DATABASE_FILE), "{error}");
}

#[test]
fn every_question_has_an_answer_or_says_that_there_is_none() {
    let connection = shop(SEED);
    let questions = questions();
    let mut seen = HashSet::new();
    for Question { id, db, question, gold_sql, gold_alt, difficulty, kind } in &questions {
        assert!(seen.insert(id.clone()) && seen.insert(question.clone()), "{id} is there twice");
        assert_eq!(db, "demo", "{id}");
        assert!(["easy", "medium", "hard", "extra"].contains(&difficulty.as_str()), "{id}: {difficulty}");
        assert_eq!(gold_sql.is_none(), kind == "unanswerable", "{id}: {kind}");
        for sql in gold_sql.iter().chain(gold_alt) {
            let answer = rows(&connection, sql);
            assert!(answer.iter().any(|row| row.split('\t').any(|value| value != "NULL")), "{id}: {sql}");
        }
    }
    assert!(questions.iter().filter(|question| question.gold_sql.is_some()).count() >= 48);
    assert!(questions.iter().filter(|question| question.gold_sql.is_none()).count() >= 6);
}

#[test]
fn questions_offered_to_newcomers_can_be_answered() {
    let questions = questions();
    for offered in QUESTIONS {
        let known = questions.iter().find(|known| known.question == offered);
        assert!(known.is_some_and(|known| known.gold_sql.is_some()), "{offered}");
    }
}
