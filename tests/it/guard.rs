//! `pulse guard`, and what statements that pass do to a real database.

use std::collections::BTreeMap;
use std::process::Stdio;

use pulse::domain::DatabaseKind;
use pulse::sql::guard::{Effect, Policy, check};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};
use tokio::io::AsyncWriteExt;

use crate::support::databases::sqlite;
use crate::support::process::pulse;
use crate::support::server::Folder;
use crate::support::statements::statements;

/// Answers of `pulse guard` to these lines of input.
async fn answers(dialect: &str, lines: &str) -> Vec<String> {
    let mut program =
        pulse().args(["guard", "--dialect", dialect]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = program.stdin.take().unwrap();
    let lines = lines.to_owned();
    let writing = tokio::spawn(async move { input.write_all(lines.as_bytes()).await });
    let output = program.wait_with_output().await.unwrap();
    writing.await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn each_line_is_answered_with_one_line() {
    let lines = "\"SELECT 1\"\n\"DROP TABLE t\"\nnot json\n\"SELECT sleep(1)\"\n\"SELECT \\\"a\\tb\\nc\\\"(1)\"\n42\n\n\"SELECT FROM WHERE\"";
    let answers = answers("mysql", lines).await;
    let parts: Vec<Vec<&str>> = answers.iter().map(|answer| answer.split('\t').collect()).collect();
    let rules: Vec<&str> = parts.iter().map(|parts| if parts.len() == 1 { parts[0] } else { parts[1] }).collect();
    assert_eq!(
        rules,
        ["allow", "reads_only", "input", "function_not_allowed", "parse", "input", "input", "parse"],
        "{answers:?}"
    );
    for parts in parts.iter().filter(|parts| parts[0] != "allow") {
        assert_eq!((parts[0], parts.len()), ("deny", 4), "{parts:?}");
        assert!(!parts[2].is_empty() && parts[3].parse::<u32>().is_ok(), "{parts:?}");
    }
    assert_eq!(parts[3][3], "8");
}

#[tokio::test]
async fn dialects_differ_and_thousands_of_lines_are_no_trouble() {
    let line = "\"SELECT replace(name, 'a', 'b'), count(*) FROM customers GROUP BY 1\"\n";
    assert_eq!(answers("sqlite", &line.repeat(3_000)).await, vec!["allow"; 3_000]);
    let sql = "\"SELECT a ->> 'x' FROM t WHERE a @> '{}'::jsonb\"";
    assert_eq!(answers("postgres", sql).await, ["allow"]);
    assert!(answers("mysql", sql).await[0].starts_with("deny\t"));
}

#[tokio::test]
async fn the_help_says_what_comes_out() {
    let output = pulse().args(["guard", "--help"]).output().await.unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for word in ["postgres", "mysql", "sqlite", "JSON string", "allow", "deny", "input"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

/// Everything a database file holds: schema, rows and header settings.
fn fingerprint(connection: &Connection) -> BTreeMap<String, Vec<Vec<Value>>> {
    let rows = |sql: &str| -> Vec<Vec<Value>> {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect()).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let mut found = BTreeMap::from([("schema".to_owned(), rows("SELECT * FROM sqlite_schema"))]);
    for pragma in ["user_version", "application_id", "journal_mode", "schema_version", "database_list", "query_only"] {
        found.insert(pragma.to_owned(), rows(&format!("PRAGMA {pragma}")));
    }
    for table in rows("SELECT name FROM sqlite_schema WHERE type = 'table'") {
        let Value::Text(table) = &table[0] else { panic!("a table without a name") };
        found.insert(table.clone(), rows(&format!("SELECT * FROM \"{table}\"")));
    }
    found
}

/// The connection may write here: only the guard stands between the statements and the rows.
#[test]
fn what_the_guard_lets_through_changes_nothing() {
    let folder = Folder::new();
    let schema = "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c REAL, meta TEXT);
                  CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT, email TEXT);
                  CREATE TABLE orders(id INTEGER PRIMARY KEY, customer_id INT, status TEXT, total REAL);
                  INSERT INTO t VALUES (1, 'x', 1.5, '{\"a\":1}'), (2, 'y', NULL, '[]');
                  INSERT INTO customers VALUES (1, 'Ann', 'a@example.org');
                  INSERT INTO orders VALUES (1, 1, 'open', 9.5);";
    let path = sqlite(folder.path(), "property.sqlite", schema);
    let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    connection.progress_handler(100_000, Some(|| true)).unwrap();
    let before = fingerprint(&connection);
    let (mut passed, mut ran) = (0, 0);
    for sql in statements(DatabaseKind::Sqlite, 7, 3_000) {
        let Ok(guarded) = check(&sql, &Policy::reads(DatabaseKind::Sqlite)) else { continue };
        passed += 1;
        assert_eq!(guarded.effect(), Effect::Read, "{sql}");
        // Many do not fit the tables; what matters is what those that run do.
        let Ok(mut statement) = connection.prepare(guarded.text()) else { continue };
        assert!(statement.readonly(), "{sql}");
        let mut rows = statement.raw_query();
        let mut read = 0;
        while read < 1_000 && matches!(rows.next(), Ok(Some(_))) {
            read += 1;
        }
        ran += 1;
    }
    assert_eq!(fingerprint(&connection), before);
    assert!(passed > 300 && ran > 100, "{passed} passed, {ran} ran");
}
