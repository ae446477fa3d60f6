//! The guard on arbitrary text: it does not panic, is never slow, answers twice alike, what it lets through it lets through
//! again, and what it lets through as a read SQLite takes for one statement that reads.
//!
//! The first byte chooses what may be written, the rest is the statement. `GUARD_DIALECT` names the dialect; without it the
//! first byte chooses that too.

#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use pulse::domain::DatabaseKind::{self, Mysql, Postgresql, Sqlite};
use pulse::sql::guard::{Effect, GuardedSql, Policy, Refusal, Writes, check};
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection};

/// Longest check: several times what an optimized build without instrumentation may take.
const LONGEST: Duration = Duration::from_millis(100);
/// A check that took too long is repeated: the machine may have been busy.
const REPETITIONS: usize = 5;

static DIALECT: LazyLock<Option<DatabaseKind>> = LazyLock::new(|| match std::env::var("GUARD_DIALECT").as_deref() {
    Ok("postgres") => Some(Postgresql),
    Ok("mysql") => Some(Mysql),
    Ok("sqlite") => Some(Sqlite),
    Ok(other) => panic!("GUARD_DIALECT is postgres, mysql or sqlite, not {other}"),
    Err(_) => None,
});

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let kind = DIALECT.unwrap_or([Postgresql, Mysql, Sqlite][usize::from(choice % 3)]);
    let writes = [Writes::No, Writes::Dml, Writes::Ddl][usize::from(choice / 3 % 3)];
    let policy = Policy { writes, ..Policy::reads(kind) };
    match (timely(text, &policy), check(text, &policy)) {
        (Ok(first), Ok(second)) => {
            assert_eq!((first.text(), first.effect()), (second.text(), second.effect()));
            let admitted = match first.effect() {
                Effect::Read => true,
                Effect::Write => writes != Writes::No,
                Effect::Ddl => writes == Writes::Ddl,
            };
            assert!(admitted, "more than the policy admits");
            let again = check(first.text(), &policy).expect("what was let through is let through again");
            assert_eq!(again.effect(), first.effect());
            if kind == Sqlite && first.effect() == Effect::Read {
                only_reads(first.text());
            }
        }
        (Err(first), Err(second)) => {
            assert_eq!(first, second);
            let error = first.error();
            assert_ne!(error.message, "the statement could not be checked", "the parser panicked");
            assert!(!error.hint.is_empty() && error.position > 0, "{error:?}");
            assert!(error.position as usize <= text.chars().count() + 1, "{error:?}");
        }
        _ => panic!("two answers to one statement"),
    }
});

/// Checks a statement, which must not take long.
fn timely(text: &str, policy: &Policy) -> Result<GuardedSql, Refusal> {
    let mut shortest = Duration::MAX;
    for _ in 0..REPETITIONS {
        let began = Instant::now();
        let answer = check(text, policy);
        shortest = shortest.min(began.elapsed());
        if shortest <= LONGEST {
            return answer;
        }
    }
    panic!("the check of {} bytes takes {shortest:?}", text.len());
}

/// SQLite, asked itself: the text is one statement, which reads.
fn only_reads(text: &str) {
    thread_local! {
        static CONNECTION: Connection = {
            let connection = Connection::open_in_memory().expect("SQLite opens a database in memory");
            let schema = "CREATE TABLE t (a, b, c, meta); CREATE TABLE customers (id, name, email, city);
                CREATE TABLE orders (id, customer_id, status, total, created_at, meta); CREATE TABLE u (a, b);";
            connection.execute_batch(schema).expect("the schema is right");
            connection
        };
    }
    CONNECTION.with(|connection| {
        let mut statements = Batch::new(connection, text);
        // Names that the schema lacks are no finding.
        let Ok(Some(statement)) = statements.next() else { return };
        assert!(statement.readonly(), "SQLite would write");
        assert!(!matches!(statements.next(), Ok(Some(_))), "SQLite sees a second statement");
    });
}
