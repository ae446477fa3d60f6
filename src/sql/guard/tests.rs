//! The guard against statements that must pass and statements that must not.

use std::path::PathBuf;

use serde_json::Value;

use super::{Effect, Policy, Refusal, Writes, check};
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
    refused(Postgresql, "relation_not_allowed", "TABLE pg_authid");
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

#[test]
fn so_many_tables_are_joined_and_no_more() {
    for kind in [Postgresql, Mysql, Sqlite] {
        let joined = |others: usize| {
            check(&format!("SELECT 1 FROM t{}", " JOIN t ON a = b".repeat(others)), &Policy::reads(kind))
        };
        let listed = |others: usize| check(&format!("SELECT 1 FROM t{}", ", t".repeat(others)), &Policy::reads(kind));
        assert!(joined(127).is_ok() && listed(127).is_ok());
        assert_eq!(joined(128).unwrap_err().rule(), "too_large");
        assert_eq!(listed(128).unwrap_err().rule(), "too_large");
    }
}

/// One statement a line, behind what the guard says: the least policy that admits it, or the rule that refuses it always.
const CORPORA: [(DatabaseKind, &str); 3] = [
    (Postgresql, include_str!("../../../tests/guard/postgres.tsv")),
    (Mysql, include_str!("../../../tests/guard/mysql.tsv")),
    (Sqlite, include_str!("../../../tests/guard/sqlite.tsv")),
];

fn corpus() -> impl Iterator<Item = (DatabaseKind, &'static str, &'static str)> {
    CORPORA.into_iter().flat_map(|(kind, text)| {
        text.lines().map(move |line| {
            let (verdict, sql) = line.split_once('\t').unwrap();
            (kind, verdict, sql)
        })
    })
}

#[test]
fn the_corpus_comes_out_right_under_every_policy() {
    let mut wrong = Vec::new();
    for (kind, expected, sql) in corpus() {
        let verdict = |writes| match check(sql, &Policy { writes, ..Policy::reads(kind) }) {
            Ok(guarded) => match guarded.effect() {
                Effect::Read => "read",
                Effect::Write => "write",
                Effect::Ddl => "ddl",
            },
            Err(refusal) => refusal.rule(),
        };
        let (reads, rows, all) = (verdict(Writes::No), verdict(Writes::Dml), verdict(Writes::Ddl));
        let right = match expected {
            "read" => (reads, rows, all) == ("read", "read", "read"),
            "write" => (reads, rows, all) == ("reads_only", "write", "write"),
            "ddl" => (reads, rows, all) == ("reads_only", "reads_only", "ddl"),
            rule => all == rule && ![reads, rows].iter().any(|verdict| ["read", "write", "ddl"].contains(verdict)),
        };
        if !right {
            wrong.push(format!("{kind:?} {expected}, is {reads}, {rows}, {all}: {sql}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(corpus().count() > 2_500, "only {} statements", corpus().count());
}

#[test]
fn every_refusal_of_the_corpus_has_words_a_hint_and_a_place() {
    for (kind, _, sql) in corpus() {
        for writes in [Writes::No, Writes::Dml, Writes::Ddl] {
            let Err(refusal) = check(sql, &Policy { writes, ..Policy::reads(kind) }) else { continue };
            let error = refusal.error();
            assert!(!error.message.is_empty() && !error.hint.is_empty(), "{refusal:?}: {sql}");
            assert!((1..=sql.chars().count() + 1).contains(&(error.position as usize)), "{refusal:?}: {sql}");
        }
    }
}

/// The position is that of the word or symbol that offends, which stands here between two marks.
#[test]
fn refusals_point_at_what_offends() {
    for (kind, rule, marked) in [
        (Postgresql, "construct_not_allowed", "SELECT substring(a FROM 1 FOR 2) FROM t «FOR» UPDATE"),
        (Postgresql, "construct_not_allowed", "SELECT 1 FROM (SELECT * FROM t «FOR» SHARE) x"),
        (Postgresql, "reads_only", "SELECT a, b «INTO» c FROM t"),
        (Postgresql, "reads_only", "EXPLAIN (VERBOSE, «ANALYZE») SELECT 1"),
        (Postgresql, "reads_only", "EXPLAIN «DELETE» FROM t"),
        (Postgresql, "reads_only", "WITH x AS (SELECT 1), y AS («UPDATE» t SET a = 1 RETURNING *) SELECT 1"),
        (Postgresql, "relation_not_allowed", "SELECT * FROM a UNION «TABLE» pg_authid"),
        (Postgresql, "relation_not_allowed", "SELECT 1,\n2 FROM a JOIN «pg_authid» ON true"),
        (Postgresql, "function_not_allowed", "SELECT 1 FROM t ORDER BY a, «evil»(1)"),
        (Postgresql, "function_not_allowed", "SELECT t.«pg_ls_dir» FROM t"),
        (Postgresql, "construct_not_allowed", "SELECT 1 «<%%>» 2"),
        (Postgresql, "too_large", "SELECT lower(«repeat»('x', (SELECT 900000000)))"),
        (Postgresql, "one_statement", "SELECT 1; «DROP» TABLE t"),
        (Postgresql, "hidden_text", "SELECT a, «U»&\"b\""),
        (Mysql, "construct_not_allowed", "SELECT 1 FROM (SELECT «SQL_CALC_FOUND_ROWS» b FROM t) x"),
        (Mysql, "construct_not_allowed", "SELECT 1 + «@»x"),
        (Mysql, "hidden_text", "SELECT 1 «/*»! x */"),
        (Mysql, "relation_not_allowed", "SELECT * FROM a, «mysql».user"),
        (Sqlite, "function_not_allowed", "SELECT a FROM t WHERE «load_extension»('x')"),
        (Sqlite, "too_large", "SELECT a, «zeroblob»(1 << 29)"),
        (Sqlite, "reads_only", "/* a */ «PRAGMA» user_version"),
    ] {
        let sql = marked.replace(['«', '»'], "");
        let Err(refusal) = check(&sql, &Policy::reads(kind)) else { panic!("allowed: {sql}") };
        let expected = marked.chars().position(|character| character == '«').unwrap() + 1;
        // A name in the form U&"…" is told by its second character.
        let slack = usize::from(marked.contains("«U»"));
        assert_eq!(refusal.rule(), rule, "{refusal:?}: {sql}");
        assert_eq!(refusal.error().position as usize, expected + slack, "{refusal:?}: {sql}");
    }
}

#[test]
fn what_a_call_makes_is_bounded_by_the_statement() {
    for sql in [
        "SELECT repeat('*', (total / 100)::int), repeat('-', count(*)::int), lpad(id::text, 5) FROM orders",
        "SELECT rpad(name, (SELECT max(length(name)) FROM customers) + 2) FROM customers",
        "SELECT repeat('x', least(n, 1000)) FROM (SELECT 900000000 AS n) q",
        "SELECT repeat('x', CASE WHEN true THEN 3 ELSE 5 END), repeat('x', greatest(2, length(name))) FROM customers",
        "SELECT replace(replace(replace(replace(replace(a, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), 'x', '&#1;'), 'y', 'zz') FROM t",
    ] {
        passes(Postgresql, sql);
    }
    for sql in [
        "SELECT repeat('x', n) FROM (SELECT 900000000 AS n) q",
        "WITH q AS (SELECT total * 1 AS n FROM orders) SELECT repeat('x', q.n) FROM q",
        "SELECT repeat('x', id * 10000000) FROM orders",
        "SELECT repeat('x', $1)",
        "SELECT repeat('x', sum(total)::int) FROM orders",
        "SELECT repeat(a, 900) FROM (SELECT repeat('x', 1000000) AS a) q",
        "SELECT repeat(c, 100) FROM (SELECT repeat(b, 100) AS c FROM (SELECT repeat(a, 100) AS b FROM t) u) v",
    ] {
        let refusal = refused(Postgresql, "too_large", sql);
        assert!(!refusal.error().hint.is_empty());
    }
}

/// Mutations of the corpus from a fixed seed: the guard neither panics nor hangs, says the same twice, and what it lets through
/// is what it was given. The fuzz target does the same with more time.
#[test]
fn mutated_statements_are_answered_and_answered_alike() {
    let statements: Vec<_> = corpus().collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).unwrap()
    };
    for _ in 0..6_000 {
        let (kind, _, sql) = statements[random(statements.len())];
        let mut characters: Vec<char> = sql.chars().collect();
        for _ in 0..=random(3) {
            let at = random(characters.len() + 1);
            match random(4) {
                0 if at < characters.len() => drop(characters.remove(at)),
                1 => characters.insert(at, random_character(random(64))),
                2 => {
                    let other: Vec<char> = statements[random(statements.len())].2.chars().collect();
                    let from = random(other.len());
                    let to = (from + random(20)).min(other.len());
                    characters.splice(at..at, other[from..to].iter().copied());
                }
                _ => characters.truncate(at),
            }
        }
        let text: String = characters.into_iter().collect();
        for writes in [Writes::No, Writes::Ddl] {
            let policy = Policy { writes, ..Policy::reads(kind) };
            let (first, second) = (check(&text, &policy), check(&text, &policy));
            match (first, second) {
                (Ok(first), Ok(second)) => {
                    assert_eq!((first.text(), first.effect()), (second.text(), second.effect()));
                    assert!(check(first.text(), &policy).is_ok(), "{text}");
                    assert!(writes != Writes::No || first.effect() == Effect::Read, "{text}");
                }
                (Err(first), Err(second)) => {
                    assert_eq!(first, second);
                    assert_ne!(first.error().message, "the statement could not be checked", "{text}");
                }
                _ => panic!("two answers: {text}"),
            }
        }
    }
}

fn random_character(number: usize) -> char {
    const CHARACTERS: &str = "'\"`$\\/*-#;()[]{}.,:@!?&|<>=~^%+ \n\r\t\0eExXbBnNuU_09aéß\u{a0}\u{200b}\u{2028}";
    CHARACTERS.chars().nth(number % CHARACTERS.chars().count()).unwrap()
}

#[test]
fn what_two_lexers_read_differently_is_refused() {
    refused(Postgresql, "hidden_text", "SELECT 1 AS a$x$, b.U&\"pg\\005fls_dir\" FROM lower('.') b -- $x$");
    refused(Postgresql, "hidden_text", "SELECT 1 --\r; DROP TABLE t");
    refused(Postgresql, "hidden_text", "SELECT b\"x\" FROM t");
    refused(Mysql, "hidden_text", "SELECT 1 --\u{a0}, sleep(1)");
    for kind in [Sqlite, Postgresql, Mysql] {
        refused(kind, "hidden_text", "SELECT a\u{a0}b FROM t");
        refused(kind, "hidden_text", "SELECT a\u{200b} FROM t");
        refused(kind, "hidden_text", "SELECT\u{2028}1");
        passes(kind, "SELECT 'a\u{a0}b'");
    }
}

#[test]
fn a_cte_that_writes_is_told_where_writes_belong() {
    let sql = "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone";
    let refusal = check(sql, &Policy { writes: Writes::Dml, ..Policy::reads(Postgresql) }).unwrap_err();
    assert_eq!(refusal.rule(), "reads_only");
    assert!(refusal.error().hint.contains("outer statement"), "{refusal:?}");
    assert_eq!(refusal.error().position, 15);
}

/// A file of the shared examples: `PULSE_SHARED`, or `shared` beside the checkout.
fn shared(file: &str) -> String {
    let folder = std::env::var_os("PULSE_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    std::fs::read_to_string(folder.join(file)).unwrap_or_else(|error| {
        panic!("not run: {file} is not in {} ({error}); set PULSE_SHARED to the folder that has it", folder.display())
    })
}

#[test]
fn every_shared_example_comes_out_right() {
    let text = shared("sql_guard_examples.jsonl");
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
    let everywhere =
        ["bird_mini", "chinook", "defog_advanced", "defog_basic", "defog_classic", "geoquery", "spider_dev"];
    let sqlite_only = ["spider_syn", "spider_train"];
    for (kind, folder) in [(Sqlite, "suites"), (Postgresql, "server/postgres"), (Mysql, "server/mysql")] {
        let more: &[&str] = if kind == Sqlite { &sqlite_only } else { &[] };
        let (mut count, mut wrong) = (0, Vec::new());
        for suite in everywhere.iter().chain(more) {
            for line in shared(&format!("eval/{folder}/{suite}.jsonl")).lines() {
                let question: Value = serde_json::from_str(line).unwrap();
                let Some(sql) = question["gold_sql"].as_str() else { continue };
                count += 1;
                if let Err(refusal) = check(sql, &Policy::reads(kind)) {
                    wrong.push(format!("{} ({}) {refusal}: {sql}", question["id"], refusal.rule()));
                }
            }
        }
        assert!(wrong.len() * 100 <= count, "{kind:?}: {} of {count} refused:\n{}", wrong.len(), wrong.join("\n"));
        assert!(count > 1_000, "{kind:?}: only {count} statements");
    }
}

#[test]
fn line_comments_may_stand_anywhere() {
    for kind in [DatabaseKind::Postgresql, DatabaseKind::Mysql, DatabaseKind::Sqlite] {
        for sql in [
            "-- lead\nSELECT 1",
            "SELECT 1 -- c\n, 2",
            "SELECT 1\n-- it's\n",
            "SELECT 1 --x\r\n, 2 -- y\r\n",
            "SELECT 1 -- last",
            "/* a */ SELECT 1 /* b\n c */\n-- d\n\n-- e\nFROM (SELECT 2) AS t -- f\n",
            "SELECT '-- no comment\n', 2 -- one",
        ] {
            // In MySQL two dashes need white space behind them.
            let sql = if kind == DatabaseKind::Mysql { sql.replace("--x", "-- x") } else { sql.to_owned() };
            check(&sql, &Policy::reads(kind)).unwrap_or_else(|refusal| panic!("{kind:?} {sql:?}: {refusal:?}"));
        }
        for sql in ["SELECT 1 -- c\n; DROP TABLE t", "-- lead\nDROP TABLE t", "SELECT 1 -- a\rDROP TABLE t"] {
            assert!(check(sql, &Policy::reads(kind)).is_err(), "{kind:?} {sql:?}");
        }
    }
    check("# c\nSELECT 1 # d\n", &Policy::reads(DatabaseKind::Mysql)).unwrap();
}
