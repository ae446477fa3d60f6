//! A result as an aligned table.

use comfy_table::{Cell, CellAlignment, Table, presets};

use crate::pb::Row;
use crate::pb::v1::value::Kind;
use crate::pb::v1::{Value, WorkflowResult};

/// Rows of a terminal table; more are counted, not shown.
const SHOWN_ROWS: usize = 25;
/// Characters of a cell; longer text is cut with an ellipsis.
const SHOWN_CHARACTERS: usize = 48;

/// The result with its header, numbers to the right, and a line for what is not shown.
pub(super) fn render(result: &WorkflowResult) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(result.columns.iter().map(|column| column.name.as_str()));
    for row in result.rows.iter().take(SHOWN_ROWS) {
        table.add_row(cells(row));
    }
    let shown = result.rows.len().min(SHOWN_ROWS);
    let total = usize::try_from(result.row_count).unwrap_or(shown).max(shown);
    match total - shown {
        // The answer says how many there are: what is kept with the workflow need not be all.
        _ if result.truncated => format!("{table}\n(shown: the first {shown})"),
        0 => table.to_string(),
        _ => format!("{table}\n({shown} of {total} rows)"),
    }
}

fn cells(row: &Row) -> Vec<Cell> {
    row.values
        .iter()
        .map(|value| match &value.kind {
            Some(Kind::Int64Value(_) | Kind::Uint64Value(_) | Kind::DoubleValue(_) | Kind::DecimalValue(_)) => {
                Cell::new(text(value)).set_alignment(CellAlignment::Right)
            }
            _ => Cell::new(text(value)),
        })
        .collect()
}

/// A cell's text on one line. Control characters become spaces: a cell must not steer the terminal.
fn text(value: &Value) -> String {
    let text = match &value.kind {
        None | Some(Kind::NullValue(_)) => "NULL".to_owned(),
        Some(Kind::BoolValue(value)) => value.to_string(),
        Some(Kind::Int64Value(value)) => value.to_string(),
        Some(Kind::Uint64Value(value)) => value.to_string(),
        Some(Kind::DoubleValue(value)) => value.to_string(),
        Some(Kind::BytesValue(bytes)) => format!("\\x{}", hex::encode(bytes)),
        Some(Kind::ArrayValue(array)) => {
            let items: Vec<String> = array.values.iter().map(self::text).collect();
            format!("[{}]", items.join(", "))
        }
        Some(
            Kind::DecimalValue(text)
            | Kind::StringValue(text)
            | Kind::DateValue(text)
            | Kind::TimeValue(text)
            | Kind::TimestampValue(text)
            | Kind::ZonedTimestampValue(text)
            | Kind::IntervalValue(text)
            | Kind::UuidValue(text)
            | Kind::JsonValue(text)
            | Kind::OtherValue(text),
        ) => text.clone(),
    };
    let mut line: String = text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
    if line.chars().count() > SHOWN_CHARACTERS {
        line = line.chars().take(SHOWN_CHARACTERS - 1).chain(std::iter::once('…')).collect();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::v1::Column;

    fn result(rows: &[(&str, i64)], row_count: i32, truncated: bool) -> WorkflowResult {
        let column = |name: &str| Column { name: name.to_owned(), ..Column::default() };
        let value = |kind| Value { kind: Some(kind) };
        let row = |(name, count): &(&str, i64)| {
            Row::from(vec![value(Kind::StringValue((*name).to_owned())), value(Kind::Int64Value(*count))])
        };
        WorkflowResult {
            columns: vec![column("city"), column("orders")],
            rows: rows.iter().map(row).collect(),
            row_count,
            truncated,
            ..WorkflowResult::default()
        }
    }

    #[test]
    fn columns_are_aligned_and_numbers_stand_right() {
        let text = render(&result(&[("Paris", 7), ("Rio de Janeiro", 1200)], 2, false));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()), "{text}");
        assert!(lines.iter().any(|line| line.contains("Paris") && line.contains("     7 ")), "{text}");
    }

    #[test]
    fn what_is_left_out_is_said() {
        assert!(render(&result(&[("a", 1)], 40, false)).ends_with("(1 of 40 rows)"));
        assert!(render(&result(&[("a", 1)], 200, true)).ends_with("(shown: the first 1)"));
    }

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        assert!(!render(&result(&[("\u{1b}[2Jgone", 1)], 1, false)).contains('\u{1b}'));
    }
}
