//! From a stored cell to a typed value.

use jiff::civil;
use rusqlite::types::ValueRef;

use crate::domain::{ColumnType, Value};

/// The value of a cell in a column of this kind.
///
/// SQLite types each cell by itself, so the declared type only says more about a cell that really has its form: 0 and 1 in
/// a BOOLEAN column, ISO dates and times as text. Everything else keeps the type it is stored with; text that is not
/// UTF-8 is bytes.
pub(super) fn value(cell: ValueRef<'_>, kind: ColumnType) -> Value {
    match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number @ (0 | 1)) if kind == ColumnType::Boolean => Value::Bool(number == 1),
        ValueRef::Integer(number) => Value::Int64(number),
        ValueRef::Real(number) => Value::Double(number),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text_value(text, kind),
            Err(_) => Value::Bytes(bytes.to_vec()),
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

fn text_value(text: &str, kind: ColumnType) -> Value {
    let typed = match kind {
        ColumnType::Date | ColumnType::Timestamp | ColumnType::TimestampTz => moment(text),
        ColumnType::Time if is_time(text) => Some(Value::Time(text.to_owned())),
        ColumnType::Uuid if text.len() == 36 && uuid::Uuid::try_parse(text).is_ok() => {
            Some(Value::Uuid(text.to_owned()))
        }
        ColumnType::Json if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => {
            Some(Value::Json(text.to_owned()))
        }
        _ => None,
    };
    typed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// `2024-02-29`, or a date and time with `T` or a space between them, perhaps with an offset.
fn moment(text: &str) -> Option<Value> {
    let date = text.get(..10).filter(|date| is_date(date))?;
    if date.len() == text.len() {
        return Some(Value::Date(text.to_owned()));
    }
    let time = text[10..].strip_prefix([' ', 'T'])?;
    let offset_at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (time, offset) = time.split_at(offset_at);
    if !is_time(time) {
        return None;
    }
    match offset {
        "" => Some(Value::Timestamp(format!("{date}T{time}"))),
        offset if is_offset(offset) => Some(Value::TimestampTz(format!("{date}T{time}{offset}"))),
        _ => None,
    }
}

fn is_date(text: &str) -> bool {
    has_shape(text, b"0000-00-00") && text.parse::<civil::Date>().is_ok()
}

/// `13:45`, `13:45:00` or `13:45:00.123`.
fn is_time(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let shaped = has_shape(whole, b"00:00:00") || (whole.len() == text.len() && has_shape(whole, b"00:00"));
    shaped
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
        && whole.parse::<civil::Time>().is_ok()
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
