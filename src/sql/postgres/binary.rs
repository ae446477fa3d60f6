//! Cells in PostgreSQL's binary form (`src/backend/utils/adt`, the `*_send` functions).

use super::calendar::{self, Interval};
use super::types::{Form, Scalar};
use crate::domain::Value;
use crate::sql::Error;

/// The value of a cell.
pub(super) fn value(bytes: &[u8], form: &Form) -> Result<Value, Error> {
    let value = match form {
        Form::Scalar(kind) => scalar(bytes, *kind),
        Form::Array { element, .. } => array(bytes, *element),
    };
    value.ok_or_else(|| Error::Internal(format!("a {form:?} of {} bytes cannot be read", bytes.len())))
}

fn scalar(bytes: &[u8], kind: Scalar) -> Option<Value> {
    Some(match kind {
        Scalar::Bool => Value::Bool(*bytes.first()? != 0),
        Scalar::Bytes => Value::Bytes(bytes.to_vec()),
        Scalar::Int2 => Value::Int64(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        Scalar::Int4 => Value::Int64(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        Scalar::Int8 => Value::Int64(i64::from_be_bytes(bytes.try_into().ok()?)),
        Scalar::Oid => Value::Int64(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        Scalar::Float4 => Value::Double(widened(f32::from_be_bytes(bytes.try_into().ok()?))),
        Scalar::Float8 => Value::Double(f64::from_be_bytes(bytes.try_into().ok()?)),
        Scalar::Numeric => Value::Decimal(numeric(bytes)?),
        Scalar::Text => worded(bytes, Value::String),
        Scalar::Json => worded(bytes, Value::Json),
        // The first byte is the version of the form.
        Scalar::Jsonb => worded(bytes.get(1..)?, Value::Json),
        Scalar::Date => Value::Date(calendar::date(i32::from_be_bytes(bytes.try_into().ok()?))),
        Scalar::Time => Value::Time(calendar::time(i64::from_be_bytes(bytes.try_into().ok()?))),
        Scalar::TimeTz => {
            let (time, west) = bytes.split_first_chunk::<8>()?;
            let east = -i32::from_be_bytes(west.try_into().ok()?);
            Value::Time(calendar::time(i64::from_be_bytes(*time)) + &calendar::offset(east))
        }
        Scalar::Timestamp => Value::Timestamp(calendar::timestamp(i64::from_be_bytes(bytes.try_into().ok()?), "")),
        Scalar::TimestampTz => Value::TimestampTz(calendar::timestamp(i64::from_be_bytes(bytes.try_into().ok()?), "Z")),
        Scalar::Interval => {
            let (micros, rest) = bytes.split_first_chunk::<8>()?;
            let (days, months) = rest.split_first_chunk::<4>()?;
            let interval = Interval {
                micros: i64::from_be_bytes(*micros),
                days: i32::from_be_bytes(*days),
                months: i32::from_be_bytes(months.try_into().ok()?),
            };
            Value::Interval(interval.iso())
        }
        Scalar::Uuid => Value::Uuid(uuid::Uuid::from_slice(bytes).ok()?.hyphenated().to_string()),
        // Only a plan as XML comes here, whose binary form is its text.
        Scalar::Other => worded(bytes, Value::Other),
    })
}

/// Text, or bytes: a database without an encoding may hold anything.
fn worded(bytes: &[u8], of: impl FnOnce(String) -> Value) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => of(text.to_owned()),
        Err(_) => Value::Bytes(bytes.to_vec()),
    }
}

/// The double with the same shortest decimal text, so that 0.1 stays 0.1.
pub(super) fn widened(number: f32) -> f64 {
    if number.is_finite() { number.to_string().parse().unwrap_or_else(|_| number.into()) } else { number.into() }
}

/// Digits in base 10,000 with a weight, a sign and a count of decimals to show (`numeric_send`).
fn numeric(bytes: &[u8]) -> Option<String> {
    let (header, digits) = bytes.split_first_chunk::<8>()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (weight, sign, decimals) = (i32::from(word(2).cast_signed()), word(4), usize::from(word(6)));
    match sign {
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => {}
    }
    let digit = |index: i32| -> u16 {
        let pair = usize::try_from(index).ok().and_then(|index| digits.get(2 * index..2 * index + 2));
        pair.map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]))
    };
    let mut text = String::with_capacity(usize::from(word(0)) * 4 + decimals + 2);
    if sign == 0x4000 {
        text.push('-');
    }
    if weight < 0 {
        text.push('0');
    }
    for index in 0..=weight {
        let before = text.len();
        push_four(&mut text, digit(index));
        if index == 0 {
            let zeros = text[before..].bytes().take_while(|byte| *byte == b'0').count().min(3);
            text.replace_range(before..before + zeros, "");
        }
    }
    if decimals > 0 {
        text.push('.');
        let end = text.len() + decimals;
        let mut index = weight + 1;
        // Digits between the point and the first one that is stored are zeros.
        for _ in 0..(-1 - weight).max(0) {
            text.push_str("0000");
        }
        index = index.max(0);
        while text.len() < end {
            push_four(&mut text, digit(index));
            index += 1;
        }
        text.truncate(end);
    }
    Some(text)
}

fn push_four(text: &mut String, digits: u16) {
    for divisor in [1_000, 100, 10, 1] {
        let digit = u8::try_from(digits / divisor % 10).unwrap_or_default();
        text.push(char::from(b'0' + digit));
    }
}

/// Dimensions with their bounds, then the elements row by row (`array_send`).
fn array(bytes: &[u8], element: Scalar) -> Option<Value> {
    let mut cursor = bytes;
    let dimensions = usize::try_from(take_i32(&mut cursor)?).ok()?;
    let (_has_nulls, _element_type) = (take_i32(&mut cursor)?, take_i32(&mut cursor)?);
    let mut lengths = Vec::new();
    for _ in 0..dimensions {
        lengths.push(usize::try_from(take_i32(&mut cursor)?).ok()?);
        let _lower_bound = take_i32(&mut cursor)?;
    }
    if lengths.is_empty() {
        return Some(Value::Array(Vec::new()));
    }
    level(&mut cursor, &lengths, element)
}

fn level(cursor: &mut &[u8], lengths: &[usize], element: Scalar) -> Option<Value> {
    let Some((length, inner)) = lengths.split_first() else {
        let Ok(size) = usize::try_from(take_i32(cursor)?) else { return Some(Value::Null) };
        let (bytes, rest) = cursor.split_at_checked(size)?;
        *cursor = rest;
        return scalar(bytes, element);
    };
    (0..*length).map(|_| level(cursor, inner, element)).collect::<Option<_>>().map(Value::Array)
}

fn take_i32(cursor: &mut &[u8]) -> Option<i32> {
    let (number, rest) = cursor.split_first_chunk::<4>()?;
    *cursor = rest;
    Some(i32::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(weight: i16, sign: u16, decimals: u16, digits: &[u16]) -> Vec<u8> {
        let count = u16::try_from(digits.len()).unwrap();
        let words = [count, weight.cast_unsigned(), sign, decimals];
        words.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn decimals_keep_scale_and_every_digit() {
        for (weight, sign, decimals, digits, expected) in [
            (0, 0, 0, [].as_slice(), "0"),
            (0, 0, 2, &[], "0.00"),
            (0, 0, 2, &[12, 3_000], "12.30"),
            (0, 0x4000, 2, &[12, 3_000], "-12.30"),
            (1, 0, 0, &[1, 0], "10000"),
            (2, 0, 3, &[1, 2, 3, 4_560], "100020003.456"),
            (-1, 0, 4, &[1], "0.0001"),
            (-2, 0, 10, &[1_234], "0.0000123400"),
            (3, 0, 0, &[5], "5000000000000"),
            (0, 0xC000, 0, &[], "NaN"),
            (0, 0xF000, 0, &[], "-Infinity"),
        ] {
            assert_eq!(numeric(&stored(weight, sign, decimals, digits)).as_deref(), Some(expected));
        }
    }

    #[test]
    fn short_cells_are_errors_not_panics() {
        for kind in [Scalar::Int8, Scalar::Numeric, Scalar::TimeTz, Scalar::Interval, Scalar::Uuid, Scalar::Jsonb] {
            assert!(value(&[], &Form::Scalar(kind)).is_err(), "{kind:?}");
        }
        assert!(value(&[0, 0, 0, 1], &Form::Array { element: Scalar::Int4, delimiter: b',' }).is_err());
    }

    #[test]
    fn narrow_floats_keep_their_text() {
        assert_eq!(widened(0.1).to_string(), "0.1");
        assert!(widened(f32::NAN).is_nan());
    }
}
