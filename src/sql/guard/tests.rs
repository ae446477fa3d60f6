//! The guard against its examples, and against the SQL of question sets.

use std::path::PathBuf;

use super::{Policy, RefusalKind, check};
use crate::domain::DatabaseKind;

/// `allow`, or the rule that refuses.
fn verdict(dialect: DatabaseKind, sql: &str) -> &'static str {
    check(sql, &Policy::read_only(dialect)).map_or_else(|refusal| refusal.rule, |_| "allow")
}

#[test]
fn reads_are_allowed() {
    for (dialect, sql) in [
        (DatabaseKind::Sqlite, "SELECT 1;"),
        (DatabaseKind::Sqlite, "SELECT \"update\" AS [delete] FROM audit_log -- DROP"),
        (
            DatabaseKind::Sqlite,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n",
        ),
        (DatabaseKind::Sqlite, "SELECT name, row_number() OVER (PARTITION BY city ORDER BY total DESC) FROM customers"),
        (DatabaseKind::Sqlite, "VALUES (1), (2)"),
        (DatabaseKind::Sqlite, "EXPLAIN QUERY PLAN SELECT 1"),
        (DatabaseKind::Sqlite, "PRAGMA table_info(t)"),
        (
            DatabaseKind::Sqlite,
            "SELECT strftime('%Y-%m', paid_at), printf('%.2f', sum(amount)) FROM payments GROUP BY 1",
        ),
        (DatabaseKind::Sqlite, "SELECT * FROM json_each('[1]')"),
        (DatabaseKind::Postgresql, "SELECT DISTINCT ON (a) a, b::text, c ->> 'x' FROM t WHERE d @> '{1}' ORDER BY a"),
        (DatabaseKind::Postgresql, "SELECT date_trunc('month', d), count(*) FILTER (WHERE x) FROM t GROUP BY 1"),
        (DatabaseKind::Mysql, "SELECT `order`.id FROM `order` WHERE name LIKE '%\\'x%' LIMIT 5, 10"),
    ] {
        assert_eq!(verdict(dialect, sql), "allow", "{sql}");
    }
}

#[test]
fn what_is_not_a_single_read_is_refused_by_its_rule() {
    for (dialect, sql, rule) in [
        (DatabaseKind::Sqlite, "", "empty"),
        (DatabaseKind::Sqlite, " ; -- nothing", "empty"),
        (DatabaseKind::Sqlite, "SELEC 1", "parse"),
        (DatabaseKind::Sqlite, "SELECT 1; SELECT 2", "one_statement"),
        (DatabaseKind::Sqlite, "SELECT 1; DROP TABLE t", "one_statement"),
        (DatabaseKind::Sqlite, "DELETE FROM t", "read_only"),
        (DatabaseKind::Sqlite, "CREATE TABLE t (n)", "read_only"),
        (DatabaseKind::Sqlite, "PRAGMA query_only = 0", "pragma"),
        (DatabaseKind::Sqlite, "PRAGMA journal_mode", "pragma"),
        (DatabaseKind::Sqlite, "SELECT load_extension('x')", "function"),
        (DatabaseKind::Sqlite, "SELECT zeroblob(2000000000)", "size"),
        (DatabaseKind::Sqlite, "SELECT printf('%.*c', 900000000, 'x')", "size"),
        (DatabaseKind::Sqlite, "SELECT * FROM pragma_journal_mode", "relation"),
        (DatabaseKind::Sqlite, "EXPLAIN DELETE FROM t", "read_only"),
        (DatabaseKind::Postgresql, "SELECT a.pg_ls_dir FROM lower('.') a", "attribute_call"),
        (DatabaseKind::Postgresql, "SELECT id FROM orders FOR UPDATE", "lock"),
        (DatabaseKind::Postgresql, "SELECT U&\"\\0061\" FROM t", "unicode_escape"),
        (DatabaseKind::Postgresql, "WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x", "read_only"),
        (DatabaseKind::Mysql, "SELECT 1 /*M! , SLEEP(1) */", "comment"),
        (DatabaseKind::Mysql, "SELECT '/*! text */', 1 /*!80000 + 1 */", "comment"),
        (DatabaseKind::Mysql, "SELECT SLEEP (1)", "function"),
    ] {
        assert_eq!(verdict(dialect, sql), rule, "{sql}");
    }
}

#[test]
fn positions_count_characters() {
    let refusal = check("SELECT 'é';\nSELECT 2", &Policy::read_only(DatabaseKind::Sqlite)).unwrap_err();
    assert_eq!((refusal.kind, refusal.position), (RefusalKind::NotAllowed, 13));
    let refusal = check("SELECT a FROM t ORDER", &Policy::read_only(DatabaseKind::Sqlite)).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::NotUnderstood);
    assert!(refusal.position > 0, "{refusal:?}");
}

#[test]
fn no_text_is_too_much_for_it() {
    let sum = format!("SELECT 1{}", "+1".repeat(4_000));
    assert_eq!(verdict(DatabaseKind::Sqlite, &sum), "allow");
    assert_eq!(verdict(DatabaseKind::Sqlite, &format!("SELECT 1{}", "+1".repeat(10_000))), "size");
    assert_eq!(verdict(DatabaseKind::Sqlite, &format!("SELECT {}1{}", "(".repeat(500), ")".repeat(500))), "depth");
    assert_eq!(verdict(DatabaseKind::Sqlite, &"x".repeat(40_000)), "size");
    for noise in ["'", "\"", "[", "/*", "--", "$$", "$a$", "\\", "e'\\", "/*!", "U&\"", "`", "#", "\u{0}", "\u{feff}"] {
        for dialect in [DatabaseKind::Sqlite, DatabaseKind::Postgresql, DatabaseKind::Mysql] {
            verdict(dialect, &format!("SELECT {noise}"));
            verdict(dialect, noise);
        }
    }
}

#[test]
fn every_shared_example_comes_out_as_expected() {
    let text = shared("sql_guard_examples.jsonl");
    let mut wrong = Vec::new();
    for line in text.lines() {
        let example: serde_json::Value = serde_json::from_str(line).unwrap();
        let dialect = match example["dialect"].as_str().unwrap() {
            "postgres" => DatabaseKind::Postgresql,
            "mysql" => DatabaseKind::Mysql,
            _ => DatabaseKind::Sqlite,
        };
        let sql = example["sql"].as_str().unwrap();
        let found = verdict(dialect, sql);
        if (found == "allow") != (example["expect"] == "allow") {
            wrong.push(format!("{} {found}: {sql}", example["id"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_sql_of_question_sets_passes() {
    let (mut passed, mut refused) = (0, Vec::new());
    for suite in [
        "spider_dev",
        "spider_train",
        "chinook",
        "geoquery",
        "bird_mini",
        "defog_classic",
        "defog_basic",
        "defog_advanced",
    ] {
        for line in shared(&format!("eval/suites/{suite}.jsonl")).lines() {
            let item: serde_json::Value = serde_json::from_str(line).unwrap();
            let Some(sql) = item["gold_sql"].as_str() else { continue };
            match check(sql, &Policy::read_only(DatabaseKind::Sqlite)) {
                Ok(_) => passed += 1,
                Err(refusal) => refused.push(format!("{} {}: {sql}", refusal.rule, refusal.message)),
            }
        }
    }
    assert!(
        refused.len() * 100 <= passed,
        "{} of {} refused:\n{}",
        refused.len(),
        passed + refused.len(),
        refused.join("\n")
    );
}

/// A file of the examples that stand beside the checkout (or in `PULSE_SHARED`).
fn shared(file: &str) -> String {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
    let folder = std::env::var_os("PULSE_SHARED").map_or(beside, PathBuf::from);
    std::fs::read_to_string(folder.join(file)).unwrap_or_else(|error| {
        panic!("{file} is needed beside the checkout in ../shared, or in the folder PULSE_SHARED names: {error}")
    })
}
