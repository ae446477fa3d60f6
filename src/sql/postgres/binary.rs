//! Cells in PostgreSQL's binary form (`src/backend/utils/adt`, the `*_send` functions).

use super::calendar::{self, Interval};
use super::types::{Form, Scalar};
use crate::domain::{Batch, TextKind, Value};
use crate::sql::Error;
use crate::sql::digits::four;

/// Adds the cell to the row.
pub(super) fn write(bytes: &[u8], form: &Form, row: &mut Batch) -> Result<(), Error> {
    let written = match form {
        Form::Scalar(kind) => scalar(bytes, *kind, row),
        Form::Array { element, .. } => array(bytes, *element).map(|array| row.value(array)),
    };
    written.ok_or_else(|| Error::Internal(format!("a {form:?} of {} bytes cannot be read", bytes.len())))
}

fn scalar(bytes: &[u8], kind: Scalar, row: &mut Batch) -> Option<()> {
    match kind {
        Scalar::Bool => row.bool(*bytes.first()? != 0),
        Scalar::Bytes => row.bytes(bytes),
        Scalar::Int2 => row.int64(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        Scalar::Int4 => row.int64(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        Scalar::Int8 => row.int64(i64::from_be_bytes(bytes.try_into().ok()?)),
        Scalar::Oid => row.int64(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        Scalar::Float4 => row.double(widened(f32::from_be_bytes(bytes.try_into().ok()?))),
        Scalar::Float8 => row.double(f64::from_be_bytes(bytes.try_into().ok()?)),
        Scalar::Numeric => {
            let number = Numeric::read(bytes)?;
            row.write(TextKind::Decimal, |out| number.push(out));
        }
        Scalar::Text => row.text_or_bytes(TextKind::String, bytes),
        Scalar::Json => row.text_or_bytes(TextKind::Json, bytes),
        // The first byte is the version of the form.
        Scalar::Jsonb => row.text_or_bytes(TextKind::Json, bytes.get(1..)?),
        Scalar::Date => {
            let days = i32::from_be_bytes(bytes.try_into().ok()?);
            row.write(TextKind::Date, |out| calendar::push_date(out, days));
        }
        Scalar::Time => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?);
            row.write(TextKind::Time, |out| calendar::push_time(out, micros));
        }
        Scalar::TimeTz => {
            let (time, west) = bytes.split_first_chunk::<8>()?;
            let east = -i32::from_be_bytes(west.try_into().ok()?);
            row.write(TextKind::Time, |out| {
                calendar::push_time(out, i64::from_be_bytes(*time));
                out.push_str(&calendar::offset(east));
            });
        }
        Scalar::Timestamp => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?);
            row.write(TextKind::Timestamp, |out| calendar::push_timestamp(out, micros, ""));
        }
        Scalar::TimestampTz => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?);
            row.write(TextKind::TimestampTz, |out| calendar::push_timestamp(out, micros, "Z"));
        }
        Scalar::Interval => {
            let (micros, rest) = bytes.split_first_chunk::<8>()?;
            let (days, months) = rest.split_first_chunk::<4>()?;
            let interval = Interval {
                micros: i64::from_be_bytes(*micros),
                days: i32::from_be_bytes(*days),
                months: i32::from_be_bytes(months.try_into().ok()?),
            };
            row.text(TextKind::Interval, &interval.iso());
        }
        Scalar::Uuid => {
            let uuid = uuid::Uuid::from_slice(bytes).ok()?;
            row.text(TextKind::Uuid, uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
        }
        // Only a plan as XML comes here, whose binary form is its text.
        Scalar::Other => row.text_or_bytes(TextKind::Other, bytes),
    }
    Some(())
}

/// The double with the same shortest decimal text, so that 0.1 stays 0.1.
pub(super) fn widened(number: f32) -> f64 {
    if number.is_finite() { number.to_string().parse().unwrap_or_else(|_| number.into()) } else { number.into() }
}

/// Digits in base 10,000 with a weight, a sign and a count of decimals to show (`numeric_send`).
#[derive(Clone, Copy)]
struct Numeric<'a> {
    weight: i32,
    sign: u16,
    decimals: usize,
    digits: &'a [u8],
}

impl<'a> Numeric<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, digits) = bytes.split_first_chunk::<8>()?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        Some(Self { weight: word(2).cast_signed().into(), sign: word(4), decimals: word(6).into(), digits })
    }

    fn push(self, text: &mut String) {
        match self.sign {
            0xC000 => return text.push_str("NaN"),
            0xD000 => return text.push_str("Infinity"),
            0xF000 => return text.push_str("-Infinity"),
            0x4000 => text.push('-'),
            _ => {}
        }
        if self.weight < 0 {
            text.push('0');
        }
        for index in 0..=self.weight {
            let digits = four(self.digit(index));
            let zeros = if index == 0 { digits.bytes().take_while(|byte| *byte == b'0').count().min(3) } else { 0 };
            text.push_str(&digits[zeros..]);
        }
        if self.decimals > 0 {
            text.push('.');
            self.push_decimals(text);
        }
    }

    fn push_decimals(self, text: &mut String) {
        let end = text.len() + self.decimals;
        // Digits between the point and the first one that is stored are zeros.
        for _ in 0..(-1 - self.weight).max(0) {
            text.push_str("0000");
        }
        let mut index = (self.weight + 1).max(0);
        while text.len() < end {
            text.push_str(four(self.digit(index)));
            index += 1;
        }
        text.truncate(end);
    }

    /// Four decimal digits as a number; those that are not stored are zeros.
    fn digit(self, index: i32) -> u16 {
        let pair = usize::try_from(index).ok().and_then(|index| self.digits.get(2 * index..2 * index + 2));
        pair.map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]))
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
        let mut readable = None;
        let value = Batch::single(|row| readable = scalar(bytes, element, row));
        return readable.map(|()| value);
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
            let mut text = String::new();
            Numeric::read(&stored(weight, sign, decimals, digits)).unwrap().push(&mut text);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn short_cells_are_errors_not_panics() {
        for kind in [Scalar::Int8, Scalar::Numeric, Scalar::TimeTz, Scalar::Interval, Scalar::Uuid, Scalar::Jsonb] {
            assert!(write(&[], &Form::Scalar(kind), &mut Batch::default()).is_err(), "{kind:?}");
        }
        let array = Form::Array { element: Scalar::Int4, delimiter: b',' };
        assert!(write(&[0, 0, 0, 1], &array, &mut Batch::default()).is_err());
    }

    #[test]
    fn narrow_floats_keep_their_text() {
        assert_eq!(widened(0.1).to_string(), "0.1");
        assert!(widened(f32::NAN).is_nan());
    }
}
