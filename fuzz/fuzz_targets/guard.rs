//! The guard on arbitrary text: it does not panic, answers twice alike, and what it lets through it lets through again.
//! The first byte chooses the dialect and what may be written, the rest is the statement.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse::domain::DatabaseKind::{Mysql, Postgresql, Sqlite};
use pulse::sql::guard::{Effect, Policy, Writes, check};

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let kind = [Postgresql, Mysql, Sqlite][usize::from(choice % 3)];
    let writes = [Writes::No, Writes::Dml, Writes::Ddl][usize::from(choice / 3 % 3)];
    let policy = Policy { writes, ..Policy::reads(kind) };
    match (check(text, &policy), check(text, &policy)) {
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
        }
        (Err(first), Err(second)) => {
            assert_eq!(first, second);
            assert_ne!(first.error().message, "the statement could not be checked", "the parser panicked");
        }
        _ => panic!("two answers to one statement"),
    }
});
