//! A statement for the mapped plan, or why there is none.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::echo::{prose, repeats_rules};
use super::fence::{Fence, clean, visible};
use super::role::Played;
use super::wire::{boolean, each, list, object, sentence, share, string, unit};
use crate::agents::Task;
use crate::domain::outputs::{ComposerOutput, Feedback, StepOutput};
use crate::domain::{DatabaseKind, Facts, Failure, Reason, Schema, SqlError};

/// The rules.
pub const PROMPT: &str = include_str!("prompts/composer.md");
/// How the dialects are written.
pub const SQLITE: &str = include_str!("prompts/dialect_sqlite.md");
/// See [`SQLITE`].
pub const POSTGRESQL: &str = include_str!("prompts/dialect_postgresql.md");
/// See [`SQLITE`].
pub const MYSQL: &str = include_str!("prompts/dialect_mysql.md");
/// Longest statement, as for every statement.
const MAX_SQL_BYTES: usize = 32 * 1024;
/// Longest explanation, in characters.
const MAX_EXPLANATION: usize = 1_000;
/// Longest feedback, in characters.
const MAX_FEEDBACK: usize = 4_000;

/// Reads the composer's part.
pub fn read(wire: WireStatement, facts: &Facts) -> Result<Played, String> {
    Ok(match wire.into_proposal(facts.schema.dialect)? {
        Proposal::Statement(output) => {
            let summary = output.explanation.clone();
            Played::Done(StepOutput::Composer(output), summary)
        }
        Proposal::Abstention(reason) => {
            let message = format!("The question cannot be answered from this database: {reason}");
            Played::Abstained(Failure::new(Reason::QuestionNotUnderstood, message).with("detail", reason), None)
        }
    })
}

/// What was wrong with the last statement, as the model is told it, when there was one.
pub fn feedback(task: &Task, facts: &Facts, fence: &Fence, share_values: bool) -> Option<String> {
    let told = told_feedback(task.feedback.as_ref()?, task, &facts.schema, share_values);
    Some(format!(
        "Your last statement was not accepted. Correct what the findings name and keep the rest.\n{}",
        fence.block("feedback", [told])
    ))
}

/// What is peculiar to a dialect, in the words that prevent the usual mistakes.
pub fn dialect(kind: DatabaseKind) -> &'static str {
    match kind {
        DatabaseKind::Sqlite => SQLITE,
        DatabaseKind::Postgresql => POSTGRESQL,
        DatabaseKind::Mysql => MYSQL,
    }
}

fn told_feedback(feedback: &Feedback, task: &Task, schema: &Schema, share_values: bool) -> Json {
    let Feedback { sql, message, sql_error } = feedback;
    if let (false, Some(error)) = (share_values, sql_error.as_ref().filter(|error| may_quote_cells(error))) {
        let findings = format!("the database could not compute it: {}", meaning(&error.sqlstate));
        let database_error = json!({ "code": error.sqlstate, "position": error.position });
        return json!({ "statement": visible(sql), "findings": findings, "database_error": database_error });
    }
    let withhold = |words: &str| {
        if share_values { words.to_owned() } else { without_values(words, &[sql, &task.question.text], schema) }
    };
    let mut told = json!({
        "statement": visible(sql),
        "findings": clean(&withhold(message), MAX_FEEDBACK),
    });
    if let Some(error) = sql_error {
        told["database_error"] = json!({
            "code": error.sqlstate,
            "message": clean(&withhold(&error.message), MAX_FEEDBACK),
            "position": error.position,
            "hint": clean(&withhold(&error.hint), MAX_FEEDBACK),
        });
    }
    told
}

/// Whether the database met this error in the data, whose values it then quotes as it likes. What it says of the
/// statement itself (class 42 of SQLSTATE) quotes only that, and so does SQLite, which has codes of its own.
fn may_quote_cells(error: &SqlError) -> bool {
    let of_statement = ["42", "SQLITE"].iter().any(|class| error.sqlstate.starts_with(class));
    !error.sqlstate.is_empty() && !of_statement
}

/// What a SQLSTATE is about (ISO/IEC 9075-2, 24.1), without the server's own words.
fn meaning(sqlstate: &str) -> &'static str {
    match sqlstate {
        "22012" => "a division by zero",
        "22003" => "a number out of range",
        "22007" | "22008" => "a text that is no date or time of the expected form",
        "22P02" | "22018" => "a text that cannot be cast to the type",
        "21000" => "a subquery that returns more than one row",
        _ if sqlstate.starts_with("22") => "a value that the expression does not take",
        _ => "an error while it ran",
    }
}

/// The words with every quoted piece withheld that is neither in the known texts nor a name of the schema: validators
/// and databases quote values of the data. A quote within a piece is doubled, as SQL has it; what stands behind a quote
/// that does not close is withheld too.
fn without_values(words: &str, known: &[&str], schema: &Schema) -> String {
    const WITHHELD: &str = "(a value that is not shared)";
    let is_name = |piece: &str| {
        let named = |name: &str| name.eq_ignore_ascii_case(piece);
        schema.tables.iter().any(|table| named(&table.name) || table.columns.iter().any(|column| named(&column.name)))
    };
    let mut shown = String::with_capacity(words.len());
    let mut rest = words;
    while let Some(start) = opening(rest) {
        shown.push_str(&rest[..start]);
        let quoted = &rest[start..];
        let quote = quoted.chars().next().unwrap_or('\'');
        let Some(length) = closed(quoted, quote) else { return shown + WITHHELD };
        let end = length - closing(quote).len_utf8();
        let piece = quoted[quote.len_utf8()..end].replace("''", "'");
        let told = known.iter().any(|text| text.contains(&piece) || text.contains(&quoted[quote.len_utf8()..end]));
        shown.push_str(if told || is_name(&piece) { &quoted[..length] } else { WITHHELD });
        rest = &quoted[length..];
    }
    shown + rest
}

/// Where the next quoted piece begins; an apostrophe within a word is none.
fn opening(text: &str) -> Option<usize> {
    let is_quote = |letter: char| matches!(letter, '\'' | '"' | '`' | '“' | '‘');
    let mut before = ' ';
    text.char_indices().find_map(|(at, letter)| {
        let within = letter == '\'' && before.is_alphanumeric();
        before = letter;
        (is_quote(letter) && !within).then_some(at)
    })
}

fn closing(quote: char) -> char {
    match quote {
        '“' => '”',
        '‘' => '’',
        same => same,
    }
}

/// How long a quoted piece is, with its quotes.
fn closed(quoted: &str, quote: char) -> Option<usize> {
    let closing = closing(quote);
    let mut letters = quoted.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != closing {
            continue;
        }
        // Doubled, or within a word that somebody quoted without doubling: it goes on.
        match letters.peek() {
            Some((_, next)) if *next == closing => {
                letters.next();
            }
            Some((_, next)) if closing == '\'' && next.is_alphanumeric() => {}
            _ => return Some(at + closing.len_utf8()),
        }
    }
    None
}

/// The form of the composer's part.
pub fn schema() -> Json {
    object([
        ("intent", string()),
        ("columns", list(string())),
        ("sql", string()),
        ("explanation", string()),
        ("assumptions", list(string())),
        ("answerable", boolean()),
        ("reason", string()),
        ("confidence", share()),
    ])
}

/// The composer's part as the model writes it. `intent` and `columns` are there so that the model thinks of them before the statement; nobody reads them.
#[derive(Deserialize)]
pub struct WireStatement {
    #[serde(default)]
    sql: String,
    #[serde(default)]
    explanation: String,
    #[serde(default)]
    assumptions: Vec<String>,
    answerable: bool,
    #[serde(default)]
    reason: String,
    confidence: f64,
}

enum Proposal {
    Statement(ComposerOutput),
    Abstention(String),
}

impl WireStatement {
    fn into_proposal(self, dialect: DatabaseKind) -> Result<Proposal, String> {
        let Self { sql, explanation, assumptions, answerable, reason, confidence } = self;
        if !answerable {
            let reason = sentence(&reason);
            let reason = if reason.is_empty() { "the model gave no reason".to_owned() } else { reason };
            return Ok(Proposal::Abstention(reason));
        }
        let sql = sql.trim().trim_end_matches(';').trim_end();
        if sql.is_empty() {
            return Err("answerable is true but sql is empty".to_owned());
        }
        if sql.len() > MAX_SQL_BYTES {
            return Err("sql is longer than 32 KiB".to_owned());
        }
        if repeats_rules(sql) {
            return Err(
                "sql repeats your instructions; it is a statement that reads the tables of the schema".to_owned()
            );
        }
        Ok(Proposal::Statement(ComposerOutput {
            sql: sql.to_owned(),
            dialect,
            parameters: Vec::new(),
            explanation: prose(&explanation, MAX_EXPLANATION),
            assumptions: each("assumptions", assumptions, |assumption| Ok(sentence(&assumption)))?,
            confidence: unit(confidence),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_values_that_nobody_named_are_withheld() {
        let schema = Schema { dialect: DatabaseKind::Sqlite, tables: Vec::new(), fingerprint: String::new() };
        let known = ["SELECT 1 FROM t WHERE country = 'Brasil'", "who is from Brasil?"];
        let words = "'Brasil' is no value of \"country\"; did you mean 'Brazil'? It's";
        let shown = without_values(words, &known, &schema);
        assert_eq!(shown, "'Brasil' is no value of \"country\"; did you mean (a value that is not shared)? It's");
    }

    #[test]
    fn quotes_within_values_do_not_let_them_out() {
        let schema = Schema { dialect: DatabaseKind::Mysql, tables: Vec::new(), fingerprint: String::new() };
        for words in [
            "perhaps 'Mar''Quellen' or 'x'",
            "bad value: 'Mar'Quellen'",
            "bad value: 'Mar Quellen",
            "bad value: \"Mar 'Quellen' x\"",
            "bad value: ‘Mar Quellen’",
        ] {
            let shown = without_values(words, &[], &schema);
            assert!(!shown.contains("Mar") && !shown.contains("Quellen"), "{words}: {shown}");
        }
    }
}
