//! The guard against statements that must pass and statements that must not.

use std::path::PathBuf;

use serde_json::Value;

use super::{Policy, Refusal, check};
use crate::domain::DatabaseKind::{self, Mysql, Postgresql, Sqlite};

fn passes(kind: DatabaseKind, sql: &str) {
    if let Err(refusal) = check(sql, &Policy::reads(kind)) {
        panic!("refused ({}): {refusal}: {sql}", refusal.rule());
    }
}

fn refused(kind: DatabaseKind, rule: &str, sql: &str) -> Refusal {
    match check(sql, &Policy::reads(kind)) {
        Ok(_) => panic!("allowed: {sql}"),
        Err(refusal) => {
            assert_eq!(refusal.rule(), rule, "{refusal}: {sql}");
            refusal
        }
    }
}

#[test]
fn one_statement_that_reads() {
    for kind in [Sqlite, Postgresql, Mysql] {
        passes(kind, "SELECT 1");
        passes(kind, "SELECT 1 ; ");
        passes(kind, "WITH t AS (SELECT 1 AS a) SELECT count(*) FROM t WHERE a IN (SELECT 2) UNION SELECT 3");
        refused(kind, "parse", "");
        refused(kind, "parse", "-- nothing");
        refused(kind, "parse", "tell me everything");
        refused(kind, "one_statement", "SELECT 1; SELECT 2");
        refused(kind, "one_statement", "SELECT 1; what is this");
        refused(kind, "reads_only", "DELETE FROM t");
        refused(kind, "reads_only", "DROP TABLE t");
        refused(kind, "reads_only", "UPDATE t SET a = 1");
        refused(kind, "function_not_allowed", "SELECT no_such_function(1)");
    }
    refused(Postgresql, "reads_only", "EXPLAIN (ANALYZE) SELECT 1");
    refused(Postgresql, "reads_only", "EXPLAIN ANALYZE SELECT 1");
    refused(Postgresql, "reads_only", "WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x");
    refused(Postgresql, "parse", "TABLE pg_authid");
    refused(Postgresql, "relation_not_allowed", "SELECT * FROM a UNION TABLE pg_catalog.pg_shadow");
    refused(Mysql, "relation_not_allowed", "SHOW COLUMNS FROM mysql.user");
    refused(Mysql, "relation_not_allowed", "SELECT * FROM mysql.user");
    refused(Mysql, "construct_not_allowed", "SELECT @@global.secure_file_priv");
    passes(Mysql, "SHOW TABLES");
    passes(Mysql, "DESCRIBE customers");
    passes(Sqlite, "EXPLAIN QUERY PLAN SELECT 1");
    passes(Sqlite, "PRAGMA table_info('t')");
    passes(Sqlite, "SELECT name FROM pragma_table_info('t')");
    passes(Sqlite, "SELECT e.value FROM t, json_each(t.a) AS e");
    refused(Sqlite, "relation_not_allowed", "SELECT * FROM pragma_database_list");
    refused(Sqlite, "reads_only", "PRAGMA table_info = 1");
    refused(Sqlite, "function_not_allowed", "SELECT load_extension('x')");
    refused(Sqlite, "function_not_allowed", "SELECT 1 FROM t ORDER BY writefile('x', 'y')");
}

#[test]
fn attribute_notation_is_a_call() {
    refused(Postgresql, "function_not_allowed", "SELECT a.pg_ls_dir FROM lower('.') a");
    refused(Postgresql, "function_not_allowed", "SELECT (a).pg_ls_dir FROM lower('.') a");
    refused(Postgresql, "function_not_allowed", "SELECT 1 FROM lower('.') a ORDER BY a.\"pg_ls_dir\"");
    refused(Postgresql, "function_not_allowed", "SELECT \"LOWER\"('x')");
    refused(Postgresql, "function_not_allowed", "SELECT app.upper('x')");
    passes(Postgresql, "SELECT pg_catalog.upper(o.total::text) FROM orders o");
}

#[test]
fn sizes_are_bounded() {
    refused(Sqlite, "too_large", "SELECT zeroblob(1000001)");
    refused(Sqlite, "too_large", "SELECT printf('%.*c', 9, 'x')");
    refused(Sqlite, "too_large", "SELECT printf('%9999999d', 1)");
    refused(Sqlite, "too_large", "SELECT printf(a) FROM t");
    passes(Sqlite, "SELECT printf('%05.2f%% %*', 1.5), zeroblob(10), printf('100%%')".replace("%*", "%s").as_str());
    refused(Postgresql, "too_large", "SELECT repeat('x', 900000000)");
    refused(Postgresql, "too_large", "SELECT * FROM generate_series(1, 1000000000)");
    passes(Postgresql, "SELECT * FROM generate_series(1, 1000)");
    let long = format!("SELECT '{}'", "x".repeat(33_000));
    refused(Sqlite, "too_large", &long);
    refused(Sqlite, "too_large", &format!("SELECT {}1", "1+".repeat(5_000)));
    refused(Sqlite, "too_large", &format!("SELECT {}1{}", "(".repeat(500), ")".repeat(500)));
    // The longest chain that is let through is walked and dropped without trouble.
    for kind in [Sqlite, Postgresql, Mysql] {
        passes(kind, &format!("SELECT {}1", "1+".repeat(4_000)));
        passes(kind, &format!("SELECT 1 WHERE {}1=1", "1=1 OR ".repeat(2_000)));
    }
}

#[test]
fn refusals_say_where_and_what_helps() {
    let refusal = refused(Sqlite, "parse", "SELECT name\nFROM WHERE x = ");
    assert!(refusal.error().position > 0, "{refusal:?}");
    assert!(!refusal.error().hint.is_empty());
    let refusal = refused(Sqlite, "function_not_allowed", "SELECT 'é', evil(1)");
    assert_eq!(refusal.error().position, 13);
    let refusal = refused(Sqlite, "one_statement", "SELECT 1; DROP TABLE t");
    assert_eq!(refusal.error().position, 11);
    assert_eq!(refused(Sqlite, "reads_only", "/* a */ DROP TABLE t").error().position, 9);
}

#[test]
fn a_connection_may_allow_functions_of_its_own() {
    let policy = Policy { allowed_functions: vec!["app.score".into()], ..Policy::reads(Postgresql) };
    assert!(check("SELECT app.score(1)", &policy).is_ok());
    assert!(check("SELECT app.other(1)", &policy).is_err());
    assert!(check("SELECT score(1)", &policy).is_err());
}

/// The folder of shared examples: `PULSE_SHARED`, or `shared` beside the checkout.
fn shared(file: &str) -> Option<String> {
    let folder = std::env::var_os("PULSE_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let text = std::fs::read_to_string(folder.join(file)).ok();
    if text.is_none() {
        eprintln!("not run: {file} is not in {}; set PULSE_SHARED to the folder that has it", folder.display());
    }
    text
}

#[test]
fn every_shared_example_comes_out_right() {
    let Some(text) = shared("sql_guard_examples.jsonl") else { return };
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in text.lines() {
        let example: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| example[name].as_str().unwrap();
        let kind = match field("dialect") {
            "postgres" => Postgresql,
            "mysql" => Mysql,
            _ => Sqlite,
        };
        let result = check(field("sql"), &Policy::reads(kind));
        count += 1;
        if result.is_ok() != (field("expect") == "allow") {
            wrong.push(format!("{} {:?}: {}", field("id"), result.err(), field("sql")));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 40, "only {count} examples");
}

#[test]
fn the_gold_statements_of_the_question_suites_pass() {
    let suites = ["bird_mini", "chinook", "defog_advanced", "defog_basic", "defog_classic", "geoquery", "spider_dev"];
    let (mut count, mut wrong) = (0, Vec::new());
    for suite in suites.into_iter().chain(["spider_syn", "spider_train"]) {
        let Some(text) = shared(&format!("eval/suites/{suite}.jsonl")) else { return };
        for line in text.lines() {
            let question: Value = serde_json::from_str(line).unwrap();
            let Some(sql) = question["gold_sql"].as_str() else { continue };
            count += 1;
            if let Err(refusal) = check(sql, &Policy::reads(Sqlite)) {
                wrong.push(format!("{} ({}) {refusal}: {sql}", question["id"], refusal.rule()));
            }
        }
    }
    println!("{} of {count} refused:\n{}", wrong.len(), wrong.join("\n"));
    assert!(wrong.len() * 100 <= count, "{} of {count} refused:\n{}", wrong.len(), wrong.join("\n"));
}
