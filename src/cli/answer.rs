//! What a workflow asks a person, at a terminal: shown in words, answered with a line.

use std::fmt::Write as _;
use std::io::{BufRead, Write as _};

use super::command::Error;
use crate::pb::v1::awaiting::Need;
use crate::pb::v1::resume_workflow_request::Action;
use crate::pb::v1::{Approval, Approve, Awaiting, Clarification, Reject};

/// Asks until a line is an answer.
pub(super) async fn ask(awaiting: &Awaiting) -> Result<Action, Error> {
    let need = awaiting.need.clone().ok_or_else(|| Error::Call("the workflow waits for nothing".to_owned()))?;
    loop {
        let shown = format!("\n{}", prompt(&need));
        // Reading a terminal blocks.
        let read = tokio::task::spawn_blocking(move || {
            print!("{shown}");
            std::io::stdout().flush()?;
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map(|length| (length > 0).then_some(line))
        });
        let line = read.await.map_err(|_| Error::Call("the answer cannot be read".to_owned()))?;
        let line = line.map_err(|error| Error::Call(format!("the answer cannot be read: {error}")))?;
        let line = line.ok_or_else(|| Error::Call("there is no answer; the workflow is cancelled".to_owned()))?;
        if let Some(action) = understood(&need, line.trim()) {
            return Ok(action);
        }
    }
}

/// How to answer a workflow from elsewhere.
pub(super) fn how_to(id: &str, awaiting: &Awaiting) -> String {
    let Some(need) = &awaiting.need else { return String::new() };
    let ways = match need {
        Need::Clarification(_) => format!("pulse resume {id} --answer ANSWER"),
        Need::Approval(_) => format!("pulse resume {id} --approve    (or --reject REASON, --sql SQL)"),
    };
    format!("\n{}  It waits for an answer:\n\n  {ways}", told(need))
}

/// What is asked, and how to answer here.
fn prompt(need: &Need) -> String {
    let how = match need {
        Need::Clarification(Clarification { options, .. }) if options.is_empty() => "  Your answer: ",
        Need::Clarification(_) => "  A number, or your own words: ",
        Need::Approval(_) => "  Run it? yes, no, or SQL to run instead: ",
    };
    format!("{}{how}", told(need))
}

fn told(need: &Need) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    match need {
        Need::Clarification(Clarification { question, options }) => {
            let _ = writeln!(text, "  {}", one_line(question));
            for (number, option) in (1..).zip(options) {
                let more = if option.description.is_empty() { "" } else { ": " };
                let _ =
                    writeln!(text, "    {number}. {}{more}{}", one_line(&option.answer), one_line(&option.description));
            }
        }
        Need::Approval(Approval { sql, tables, estimated_row_count, estimated_cost, refusal, .. }) => {
            if let Some(refusal) = refusal {
                let _ = writeln!(text, "  That did not run: {}\n", one_line(&refusal.message));
            }
            let _ = writeln!(text, "  {}\n", clean(sql.trim()).replace('\n', "\n  "));
            let tables: Vec<String> = tables.iter().map(|table| one_line(&table.table)).collect();
            let rows = estimated_row_count.map(|rows| format!(", about {rows} rows")).unwrap_or_default();
            let cost = estimated_cost.map(|cost| format!(", cost {cost}")).unwrap_or_default();
            let tables = if tables.is_empty() { "no table".to_owned() } else { tables.join(", ") };
            let _ = writeln!(text, "  Reads {tables}{rows}{cost}.");
        }
    }
    text
}

/// What a line says; `None` when it says nothing.
fn understood(need: &Need, line: &str) -> Option<Action> {
    if line.is_empty() {
        return None;
    }
    Some(match need {
        Need::Clarification(Clarification { options, .. }) => {
            let number = line.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            let option = number.and_then(|place| options.get(place));
            Action::Answer(option.map_or_else(|| line.to_owned(), |option| option.answer.clone()))
        }
        Need::Approval(_) => match line.to_lowercase().as_str() {
            "y" | "yes" => Action::Approve(Approve {}),
            "n" | "no" => Action::Reject(Reject::default()),
            // A word is no statement.
            _ if line.split_whitespace().nth(1).is_none() => return None,
            _ => Action::EditedSql(line.to_owned()),
        },
    })
}

fn one_line(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

/// Text of the database or a model, without what would steer the terminal.
fn clean(text: &str) -> String {
    text.chars().filter(|one| *one == '\n' || !one.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::v1::{ClarificationOption, TableRef};

    fn asked() -> Need {
        let option = |answer: &str| ClarificationOption { answer: answer.to_owned(), description: String::new() };
        let options = vec![option("by customers"), option("by\u{1b}[2J products")];
        Need::Clarification(Clarification { question: "Which name?".to_owned(), options })
    }

    fn approval() -> Need {
        let tables = vec![TableRef { schema: "main".to_owned(), table: "t".to_owned() }];
        Need::Approval(Approval { sql: "SELECT a\nFROM t".to_owned(), tables, ..Approval::default() })
    }

    #[test]
    fn a_line_is_an_option_or_an_answer_of_its_own() {
        let answer = |line: &str| understood(&asked(), line);
        assert_eq!(answer("1"), Some(Action::Answer("by customers".to_owned())));
        assert_eq!(answer("3"), Some(Action::Answer("3".to_owned())));
        assert_eq!(answer("both of them"), Some(Action::Answer("both of them".to_owned())));
        assert_eq!(answer(""), None);
        assert!(prompt(&asked()).contains("1. by customers\n    2. by [2J products\n"), "{}", prompt(&asked()));
    }

    #[test]
    fn a_line_approves_rejects_or_is_other_sql() {
        let answer = |line: &str| understood(&approval(), line);
        assert_eq!(answer("YES"), Some(Action::Approve(Approve {})));
        assert_eq!(answer("n"), Some(Action::Reject(Reject::default())));
        assert_eq!(answer("SELECT 1"), Some(Action::EditedSql("SELECT 1".to_owned())));
        assert_eq!((answer("maybe"), answer("")), (None, None));
        assert!(prompt(&approval()).contains("  SELECT a\n  FROM t\n\n  Reads t.\n"), "{}", prompt(&approval()));
    }
}
