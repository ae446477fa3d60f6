//! The answer in a sentence, made from columns and rows by fixed rules: the same rows always give the same words, and
//! no row goes to a model.

use crate::agents::steps::EXECUTION;
use crate::domain::outputs::{StepOutput, WorkflowResult};
use crate::domain::{ResultColumn, Row, Value, Workflow};

/// Longest answer text.
const MAX_CHARS: usize = 300;
/// Longest cell in an answer text.
const MAX_CELL_CHARS: usize = 60;
/// Rows that are named one by one.
const MAX_LISTED: usize = 5;

/// The newest result of a workflow; `None` when none of its statements has run, or was to.
pub(super) fn result(workflow: &Workflow) -> Option<WorkflowResult> {
    workflow.steps.iter().rev().find_map(|step| match &step.output {
        Some(StepOutput::Execution(output)) if step.name == EXECUTION => Some(output.result.clone()),
        _ => None,
    })
}

/// The rows in a sentence of at most 300 characters. `row_count` is what the statement returned, up to the cap at
/// which it was stopped; `capped` says that it was.
pub(super) fn text(columns: &[ResultColumn], rows: &[Row], row_count: u64, capped: bool) -> String {
    let name = |index: usize| columns.get(index).map_or("", |column| column.name.as_str());
    let sentence = match rows {
        [] => "No rows.".to_owned(),
        [row] => {
            let cells = row.iter().enumerate().map(|(index, cell)| format!("{}: {}", label(name(index)), show(cell)));
            cells.collect::<Vec<_>>().join(", ")
        }
        rows => {
            let more = if capped { "at least " } else { "" };
            let listed: Vec<String> = rows.iter().take(MAX_LISTED).map(line).collect();
            let rest = if row_count > listed.len() as u64 { ", …" } else { "" };
            format!("{more}{row_count} rows: {}{rest}", listed.join(", "))
        }
    };
    cut(&sentence, MAX_CHARS)
}

/// `name`, or `name (count)` and the like: the first cell with the others behind it.
fn line(row: &Row) -> String {
    match row.as_slice() {
        [] => String::new(),
        [only] => show(only),
        [first, rest @ ..] => {
            format!("{} ({})", show(first), rest.iter().map(show).collect::<Vec<_>>().join(", "))
        }
    }
}

fn label(name: &str) -> String {
    if name.is_empty() { "value".to_owned() } else { cut(name, MAX_CELL_CHARS) }
}

fn show(value: &Value) -> String {
    let text = match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int64(value) => value.to_string(),
        Value::Uint64(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::Array(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Decimal(text)
        | Value::String(text)
        | Value::Date(text)
        | Value::Time(text)
        | Value::Timestamp(text)
        | Value::TimestampTz(text)
        | Value::Interval(text)
        | Value::Uuid(text)
        | Value::Json(text)
        | Value::Other(text) => text.clone(),
    };
    cut(&text, MAX_CELL_CHARS)
}

/// At most `max` characters on one line.
fn cut(text: &str, max: usize) -> String {
    let mut characters = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let head: String = characters.by_ref().take(max).collect();
    if characters.next().is_none() {
        return head;
    }
    head.chars().take(max - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ColumnType;

    fn columns(names: &[&str]) -> Vec<ResultColumn> {
        let column = |name: &&str| ResultColumn {
            name: (*name).to_owned(),
            database_type: String::new(),
            kind: ColumnType::Text,
        };
        names.iter().map(column).collect()
    }

    #[test]
    fn rows_become_a_sentence() {
        let one = |value| vec![vec![value]];
        assert_eq!(text(&columns(&["order_count"]), &one(Value::Int64(42)), 1, false), "order_count: 42");
        assert_eq!(text(&columns(&["name"]), &[], 0, false), "No rows.");
        let pair = |name: &str, count| vec![Value::String(name.into()), Value::Int64(count)];
        let two = [pair("Ada", 3), pair("Grace", 2)];
        assert_eq!(text(&columns(&["name", "orders"]), &two, 2, false), "2 rows: Ada (3), Grace (2)");
        assert_eq!(text(&columns(&["name", "orders"]), &two, 900, true), "at least 900 rows: Ada (3), Grace (2), …");
        assert_eq!(text(&columns(&["name", "orders"]), &two[..1], 1, false), "name: Ada, orders: 3");
    }

    #[test]
    fn it_stays_short_and_on_one_line() {
        let long = vec![vec![Value::String("two\nlines ".repeat(100))]; 9];
        let answer = text(&columns(&["note"]), &long, 9, false);
        assert!(answer.chars().count() <= 300 && !answer.contains('\n'), "{answer}");
        assert!(answer.starts_with("9 rows: two lines"));
    }
}
