//! Cells: SQLite types each value by itself; the declared type of the column only says how to read it.

use rusqlite::types::{ToSqlOutput, Value as Stored, ValueRef};

use crate::domain::{ColumnType, Value};

/// A stored cell as a typed value. Nothing is rounded: a value that does not have the form its column declares keeps
/// the type it is stored with.
pub(super) fn read(cell: ValueRef<'_>, kind: ColumnType) -> Value {
    match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => match (kind, number) {
            (ColumnType::Boolean, 0 | 1) => Value::Bool(number == 1),
            _ => Value::Int64(number),
        },
        ValueRef::Real(number) => Value::Double(number),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => read_text(text, kind),
            // Not UTF-8: the bytes are the truth.
            Err(_) => Value::Bytes(bytes.to_vec()),
        },
    }
}

fn read_text(text: &str, kind: ColumnType) -> Value {
    let owned = text.to_owned();
    match kind {
        ColumnType::Date if is_date(text) => Value::Date(owned),
        ColumnType::Time if is_time(text) => Value::Time(owned),
        ColumnType::Timestamp if is_timestamp(text) => Value::Timestamp(owned),
        ColumnType::TimestampTz if text.parse::<jiff::Timestamp>().is_ok() => Value::TimestampTz(owned),
        ColumnType::Decimal if is_decimal(text) => Value::Decimal(owned),
        ColumnType::Json if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => Value::Json(owned),
        ColumnType::Uuid if text.len() == 36 && uuid::Uuid::try_parse(text).is_ok() => Value::Uuid(owned),
        _ => Value::String(owned),
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

fn is_time(text: &str) -> bool {
    text.len() >= 5 && text.is_ascii() && text.parse::<jiff::civil::Time>().is_ok()
}

fn is_timestamp(text: &str) -> bool {
    let shaped = text.len() >= 16 && text.is_ascii() && matches!(text.as_bytes()[10], b' ' | b'T');
    let zoned = text.ends_with('Z') || text[10.min(text.len())..].contains(['+', '-']);
    shaped && !zoned && text.parse::<jiff::civil::DateTime>().is_ok()
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.bytes().filter(|byte| *byte == b'.').count() <= 1
        && digits.bytes().any(|byte| byte.is_ascii_digit())
}

/// A value to bind; `None` when SQLite has no form for it.
pub(super) fn bind(value: &Value) -> Option<ToSqlOutput<'static>> {
    Some(ToSqlOutput::Owned(match value {
        Value::Null => Stored::Null,
        Value::Bool(value) => Stored::Integer(i64::from(*value)),
        Value::Int64(number) => Stored::Integer(*number),
        Value::Uint64(number) => Stored::Integer(i64::try_from(*number).ok()?),
        Value::Double(number) => Stored::Real(*number),
        Value::Decimal(text) => match text.parse::<i64>() {
            Ok(number) => Stored::Integer(number),
            Err(_) => Stored::Real(text.parse().ok()?),
        },
        Value::Bytes(bytes) => Stored::Blob(bytes.clone()),
        Value::String(text)
        | Value::Date(text)
        | Value::Time(text)
        | Value::Timestamp(text)
        | Value::TimestampTz(text)
        | Value::Interval(text)
        | Value::Uuid(text)
        | Value::Json(text)
        | Value::Other(text) => Stored::Text(text.clone()),
        Value::Array(_) => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, kind: ColumnType, expected: fn(String) -> Value) {
        assert_eq!(read(ValueRef::Text(text.as_bytes()), kind), expected(text.to_owned()));
    }

    #[test]
    fn text_is_typed_only_when_it_has_the_form() {
        check("2024-02-29", ColumnType::Date, Value::Date);
        check("2023-02-29", ColumnType::Date, Value::String);
        check("2024-02-29 10:00:00", ColumnType::Timestamp, Value::Timestamp);
        check("2024-02-29T10:00:00.123456", ColumnType::Timestamp, Value::Timestamp);
        check("2024-02-29 10:00:00+02:00", ColumnType::Timestamp, Value::String);
        check("2024-02-29T10:00:00Z", ColumnType::TimestampTz, Value::TimestampTz);
        check("soon", ColumnType::Timestamp, Value::String);
        check("12.340", ColumnType::Decimal, Value::Decimal);
        check("1e3", ColumnType::Decimal, Value::String);
        check("{\"a\":1}", ColumnType::Json, Value::Json);
        check("{", ColumnType::Json, Value::String);
        check("2024-02-29", ColumnType::Text, Value::String);
    }

    #[test]
    fn stored_types_win_over_declared_ones() {
        assert_eq!(read(ValueRef::Integer(2), ColumnType::Boolean), Value::Int64(2));
        assert_eq!(read(ValueRef::Integer(1), ColumnType::Boolean), Value::Bool(true));
        assert_eq!(read(ValueRef::Real(0.1), ColumnType::Integer), Value::Double(0.1));
        assert_eq!(read(ValueRef::Text(&[0xff]), ColumnType::Text), Value::Bytes(vec![0xff]));
    }

    #[test]
    fn what_cannot_be_bound_is_said() {
        assert!(bind(&Value::Array(vec![])).is_none());
        assert!(bind(&Value::Uint64(u64::MAX)).is_none());
    }
}
