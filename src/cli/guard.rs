//! `pulse guard`: what the guard says to a list of statements, so that anybody can test it.

use std::io::{BufRead, Write};

use super::command::{Dialect, Error, GuardArguments, Outcome};
use crate::sql::guard::{Policy, Refusal, check};

/// Answers each line of standard input with one line.
pub(super) fn run(arguments: &GuardArguments) -> Result<Outcome, Error> {
    let policy = Policy::reads(arguments.dialect.into());
    let failed = |error: std::io::Error| Error::Call(error.to_string());
    let mut input = std::io::stdin().lock();
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
        let written = writeln!(output, "{}", answer(&line, &policy)).and_then(|()| output.flush());
        match written {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => break,
            written => written.map_err(failed)?,
        }
    }
    Ok(Outcome::Done)
}

fn answer(line: &[u8], policy: &Policy) -> String {
    match serde_json::from_slice::<String>(line) {
        Ok(sql) => check(&sql, policy).map_or_else(|refusal| deny(&refusal), |_| "allow".to_owned()),
        Err(error) => format!("deny\tinput\t{}\t0", one_line(&format!("the line is not a JSON string: {error}"))),
    }
}

fn deny(refusal: &Refusal) -> String {
    format!("deny\t{}\t{}\t{}", refusal.rule(), one_line(&refusal.error().message), refusal.error().position)
}

/// Names of the statement appear in reasons, and may hold anything.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

impl From<Dialect> for crate::domain::DatabaseKind {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Postgres => Self::Postgresql,
            Dialect::Mysql => Self::Mysql,
            Dialect::Sqlite => Self::Sqlite,
        }
    }
}
