//! From a stored cell to a typed value.

use jiff::civil;
use rusqlite::types::ValueRef;

use crate::domain::{Batch, ColumnType, TextKind};

/// Adds a cell of a column of this kind to the row.
///
/// SQLite types each cell by itself, so the declared type only says more about a cell that really has its form: 0 and 1 in
/// a BOOLEAN column, ISO dates and times as text. Everything else keeps the type it is stored with; text that is not
/// UTF-8 is bytes.
pub(super) fn write(cell: ValueRef<'_>, kind: ColumnType, row: &mut Batch) {
    match cell {
        ValueRef::Null => row.null(),
        ValueRef::Integer(number @ (0 | 1)) if kind == ColumnType::Boolean => row.bool(number == 1),
        ValueRef::Integer(number) => row.int64(number),
        ValueRef::Real(number) => row.double(number),
        ValueRef::Blob(bytes) => row.bytes(bytes),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => write_text(text, kind, row),
            Err(_) => row.bytes(bytes),
        },
    }
}

/// About how many bytes the cell takes before it is copied.
pub(super) fn stored_bytes(cell: ValueRef<'_>) -> usize {
    match cell {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 8,
    }
}

fn write_text(text: &str, kind: ColumnType, row: &mut Batch) {
    match kind {
        ColumnType::Date | ColumnType::Timestamp | ColumnType::TimestampTz => write_moment(text, row),
        ColumnType::Time if is_time(text) => row.text(TextKind::Time, text),
        ColumnType::Uuid if text.len() == 36 && uuid::Uuid::try_parse(text).is_ok() => row.text(TextKind::Uuid, text),
        ColumnType::Json if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => {
            row.text(TextKind::Json, text);
        }
        _ => row.text(TextKind::String, text),
    }
}

/// `2024-02-29`, or a date and time with `T` or a space between them, perhaps with an offset; else it is just text.
fn write_moment(text: &str, row: &mut Batch) {
    match moment(text) {
        Some((kind, date, "")) => row.text(kind, date),
        Some((kind, date, time)) => row.write(kind, |out| {
            out.push_str(date);
            out.push('T');
            out.push_str(time);
        }),
        None => row.text(TextKind::String, text),
    }
}

/// What it is, its date, and what follows the date.
fn moment(text: &str) -> Option<(TextKind, &str, &str)> {
    let (date, rest) = text.split_at_checked(10).filter(|(date, _)| is_date(date))?;
    if rest.is_empty() {
        return Some((TextKind::Date, date, ""));
    }
    let rest = rest.strip_prefix([' ', 'T'])?;
    let (time, offset) = rest.split_at(rest.find(['Z', '+', '-']).unwrap_or(rest.len()));
    match offset {
        _ if !is_time(time) => None,
        "" => Some((TextKind::Timestamp, date, rest)),
        offset if is_offset(offset) => Some((TextKind::TimestampTz, date, rest)),
        _ => None,
    }
}

fn is_date(text: &str) -> bool {
    let number = |from: usize, to: usize| text[from..to].parse().ok();
    let date =
        || civil::Date::new(number(0, 4)?, i8::try_from(number(5, 7)?).ok()?, i8::try_from(number(8, 10)?).ok()?).ok();
    has_shape(text, b"0000-00-00") && date().is_some()
}

/// `13:45`, `13:45:00` or `13:45:00.123`.
fn is_time(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let shaped = has_shape(whole, b"00:00:00") || (whole.len() == text.len() && has_shape(whole, b"00:00"));
    let mut parts = whole.split(':').map(|part| part.parse::<u8>().ok());
    let in_range = |part: Option<Option<u8>>, end: u8| part.is_none_or(|part| part.is_some_and(|part| part < end));
    shaped
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
        && in_range(parts.next(), 24)
        && in_range(parts.next(), 60)
        && in_range(parts.next(), 60)
}

fn is_offset(text: &str) -> bool {
    text == "Z" || text.strip_prefix(['+', '-']).is_some_and(|text| has_shape(text, b"00:00"))
}

/// Whether the text has a digit wherever the shape has `0`, and is the shape elsewhere.
fn has_shape(text: &str, shape: &[u8]) -> bool {
    text.len() == shape.len()
        && text
            .bytes()
            .zip(shape)
            .all(|(byte, &wanted)| if wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Value;

    fn value(cell: ValueRef<'_>, kind: ColumnType) -> Value {
        Batch::single(|row| write(cell, kind, row))
    }

    fn check(text: &str, kind: ColumnType, expected: &Value) {
        assert_eq!(&value(ValueRef::Text(text.as_bytes()), kind), expected, "{text} as {kind:?}");
    }

    #[test]
    fn text_is_typed_only_when_it_really_has_the_form() {
        let string = |text: &str| Value::String(text.to_owned());
        check("2024-02-29", ColumnType::Date, &Value::Date("2024-02-29".into()));
        check("2024-02-30", ColumnType::Date, &string("2024-02-30"));
        check("29.02.2024", ColumnType::Date, &string("29.02.2024"));
        check("2024-02-29", ColumnType::Text, &string("2024-02-29"));
        check("2009-01-01 00:00:00", ColumnType::Timestamp, &Value::Timestamp("2009-01-01T00:00:00".into()));
        check("2009-01-01T10:20", ColumnType::Date, &Value::Timestamp("2009-01-01T10:20".into()));
        check("2009-01-01 10:20:30.25", ColumnType::Timestamp, &Value::Timestamp("2009-01-01T10:20:30.25".into()));
        check("2009-01-01 25:00:00", ColumnType::Timestamp, &string("2009-01-01 25:00:00"));
        check("2009-01-01 10:20:30Z", ColumnType::TimestampTz, &Value::TimestampTz("2009-01-01T10:20:30Z".into()));
        check("2009-01-01 10:20:30+02", ColumnType::TimestampTz, &string("2009-01-01 10:20:30+02"));
        check("2009-01-01é", ColumnType::Date, &string("2009-01-01é"));
        check("13:45", ColumnType::Time, &Value::Time("13:45".into()));
        check("13:45.5", ColumnType::Time, &string("13:45.5"));
        check("soon", ColumnType::Time, &string("soon"));
        check("{\"a\":1}", ColumnType::Json, &Value::Json("{\"a\":1}".into()));
        check("{a:1}", ColumnType::Json, &string("{a:1}"));
    }

    #[test]
    fn numbers_keep_their_stored_type() {
        assert_eq!(value(ValueRef::Integer(1), ColumnType::Boolean), Value::Bool(true));
        assert_eq!(value(ValueRef::Integer(2), ColumnType::Boolean), Value::Int64(2));
        assert_eq!(value(ValueRef::Integer(1), ColumnType::Integer), Value::Int64(1));
        assert_eq!(value(ValueRef::Real(9.99), ColumnType::Decimal), Value::Double(9.99));
        assert_eq!(value(ValueRef::Text(b"caf\xe9"), ColumnType::Text), Value::Bytes(b"caf\xe9".to_vec()));
    }
}
