//! From a cell of the binary protocol to a typed value.

use std::fmt::Write as _;

use sqlx::mysql::{MySqlRow, MySqlValueRef};
use sqlx::{Decode, MySql, Row};

use super::geometry;
use super::types::Form;
use crate::domain::{Batch, TextKind, Value};
use crate::sql::digits::{four, two};

/// The bytes of a cell; `None` for NULL. sqlx itself takes zero dates for NULL, which they are not.
pub(super) fn stored(cell: MySqlValueRef<'_>) -> Option<&[u8]> {
    <&[u8] as Decode<MySql>>::decode(cell).ok()
}

/// A cell as text, which it is in the text protocol.
pub(super) fn text(row: &MySqlRow, index: usize) -> Option<String> {
    let bytes = stored(row.try_get_raw(index).ok()?)?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// The value of a cell.
pub(super) fn value(bytes: &[u8], form: Form) -> Value {
    Batch::single(|row| write(bytes, form, row))
}

/// Adds the cell to the row. What does not have the form it should have is handed over as its bytes.
pub(super) fn write(bytes: &[u8], form: Form, row: &mut Batch) {
    if typed(bytes, form, row).is_none() {
        row.bytes(bytes);
    }
}

fn typed(bytes: &[u8], form: Form, row: &mut Batch) -> Option<()> {
    match form {
        Form::Signed => row.int64(signed(bytes)?),
        Form::Unsigned => row.int64(i64::try_from(unsigned(bytes)?).ok()?),
        Form::UnsignedBig => row.uint64(unsigned(bytes)?),
        Form::Float => row.double(widened(f32::from_le_bytes(bytes.try_into().ok()?))),
        Form::Double => row.double(f64::from_le_bytes(bytes.try_into().ok()?)),
        Form::Decimal => row.text_or_bytes(TextKind::Decimal, bytes),
        Form::Text => row.text_or_bytes(TextKind::String, bytes),
        Form::Json => row.text_or_bytes(TextKind::Json, bytes),
        Form::Bytes => row.bytes(bytes),
        Form::Bits => row.text(TextKind::Other, &bits(bytes)?),
        Form::Date => {
            let date = Date::read(parts(bytes)?)?;
            row.write(TextKind::Date, |text| date.push(text));
        }
        Form::DateTime => {
            let moment = Moment::read(bytes)?;
            row.write(TextKind::Timestamp, |text| moment.push(text));
        }
        Form::Timestamp => {
            let moment = Moment::read(bytes)?;
            row.write(TextKind::TimestampTz, |text| {
                moment.push(text);
                text.push('Z');
            });
        }
        Form::Time => row.value(time(bytes)?),
        Form::Geometry => row.text(TextKind::Other, &geometry::text(bytes)?),
    }
    Some(())
}

fn signed(bytes: &[u8]) -> Option<i64> {
    Some(match bytes.len() {
        1 => i64::from(i8::from_le_bytes(bytes.try_into().ok()?)),
        2 => i64::from(i16::from_le_bytes(bytes.try_into().ok()?)),
        4 => i64::from(i32::from_le_bytes(bytes.try_into().ok()?)),
        8 => i64::from_le_bytes(bytes.try_into().ok()?),
        _ => return None,
    })
}

fn unsigned(bytes: &[u8]) -> Option<u64> {
    Some(match bytes.len() {
        1 => u64::from(bytes[0]),
        2 => u64::from(u16::from_le_bytes(bytes.try_into().ok()?)),
        4 => u64::from(u32::from_le_bytes(bytes.try_into().ok()?)),
        8 => u64::from_le_bytes(bytes.try_into().ok()?),
        _ => return None,
    })
}

/// The double with the same shortest decimal text, so that 0.1 stays 0.1.
fn widened(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// The digits of a bit string as `BIN()` gives them: without leading zeros, since the wire does not tell its width.
fn bits(bytes: &[u8]) -> Option<String> {
    if bytes.len() > 8 {
        return None;
    }
    let number = bytes.iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    Some(format!("{number:b}"))
}

/// The parts of a date or time come after one byte that counts them; those at the end that are zero are left out.
fn parts(bytes: &[u8]) -> Option<&[u8]> {
    let (&count, parts) = bytes.split_first()?;
    (parts.len() == usize::from(count)).then_some(parts)
}

#[derive(Clone, Copy)]
struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    fn read(parts: &[u8]) -> Option<Self> {
        match parts {
            [] => Some(Self { year: 0, month: 0, day: 0 }),
            [low, high, month, day, ..] => {
                Some(Self { year: u16::from_le_bytes([*low, *high]), month: *month, day: *day })
            }
            _ => None,
        }
    }

    fn push(self, text: &mut String) {
        text.push_str(four(self.year));
        for part in [self.month, self.day] {
            text.push('-');
            text.push_str(two(part.into()));
        }
    }
}

#[derive(Clone, Copy)]
struct Moment {
    date: Date,
    time: [u8; 3],
    microseconds: u32,
}

impl Moment {
    fn read(bytes: &[u8]) -> Option<Self> {
        let parts = parts(bytes)?;
        let (time, microseconds) = match parts {
            [] | [_, _, _, _] => ([0, 0, 0], 0),
            [_, _, _, _, hours, minutes, seconds] => ([*hours, *minutes, *seconds], 0),
            [_, _, _, _, hours, minutes, seconds, fraction @ ..] => {
                ([*hours, *minutes, *seconds], u32::from_le_bytes(fraction.try_into().ok()?))
            }
            _ => return None,
        };
        Some(Self { date: Date::read(parts)?, time, microseconds })
    }

    fn push(self, text: &mut String) {
        self.date.push(text);
        for (before, part) in ['T', ':', ':'].into_iter().zip(self.time) {
            text.push(before);
            text.push_str(two(part.into()));
        }
        push_fraction(text, self.microseconds);
    }
}

/// MySQL's TIME spans -838:59:59 to 838:59:59: a time of day where it can be one, else a span of time.
fn time(bytes: &[u8]) -> Option<Value> {
    let (negative, days, time, fraction) = match parts(bytes)? {
        [] => (false, 0, [0, 0, 0], 0),
        [sign, d0, d1, d2, d3, hours, minutes, seconds, fraction @ ..] => {
            let fraction = if fraction.is_empty() { 0 } else { u32::from_le_bytes(fraction.try_into().ok()?) };
            (*sign != 0, u32::from_le_bytes([*d0, *d1, *d2, *d3]), [*hours, *minutes, *seconds], fraction)
        }
        _ => return None,
    };
    let [hours, minutes, seconds] = time;
    let mut text = String::with_capacity(20);
    if !negative && days == 0 && hours < 24 {
        write!(text, "{hours:02}:{minutes:02}:{seconds:02}").ok()?;
        push_fraction(&mut text, fraction);
        return Some(Value::Time(text));
    }
    let sign = if negative { "-" } else { "" };
    write!(text, "{sign}PT{}H{minutes}M{seconds}", u64::from(days) * 24 + u64::from(hours)).ok()?;
    push_fraction(&mut text, fraction);
    text.push('S');
    Some(Value::Interval(text))
}

/// Appends microseconds, without zeros at the end.
fn push_fraction(text: &mut String, microseconds: u32) {
    if microseconds == 0 {
        return;
    }
    let digits = |part: u32| two(u16::try_from(part % 100).unwrap_or_default());
    text.push('.');
    for part in [microseconds / 10_000, microseconds / 100, microseconds] {
        text.push_str(digits(part));
    }
    text.truncate(text.trim_end_matches('0').len());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], form: Form, expected: &Value) {
        assert_eq!(&value(bytes, form), expected, "{bytes:?} as {form:?}");
    }

    #[test]
    fn numbers_are_exact() {
        check(&[0xff], Form::Signed, &Value::Int64(-1));
        check(&[0xff], Form::Unsigned, &Value::Int64(255));
        check(&i64::MIN.to_le_bytes(), Form::Signed, &Value::Int64(i64::MIN));
        check(&u64::MAX.to_le_bytes(), Form::UnsignedBig, &Value::Uint64(u64::MAX));
        check(&u32::MAX.to_le_bytes(), Form::Unsigned, &Value::Int64(4_294_967_295));
        check(&0.1_f32.to_le_bytes(), Form::Float, &Value::Double(0.1));
        check(&f32::MAX.to_le_bytes(), Form::Float, &Value::Double(3.402_823_5e38));
        check(b"12.30", Form::Decimal, &Value::Decimal("12.30".into()));
        check(&[0b101], Form::Bits, &Value::Other("101".into()));
        check(&[0, 0], Form::Bits, &Value::Other("0".into()));
        check(&[0xff; 8], Form::Bits, &Value::Other("1".repeat(64)));
    }

    #[test]
    fn dates_and_times_are_not_shifted() {
        let timestamp = |text: &str| Value::Timestamp(text.into());
        check(&[4, 0xe8, 7, 2, 29], Form::Date, &Value::Date("2024-02-29".into()));
        check(&[0], Form::Date, &Value::Date("0000-00-00".into()));
        check(&[4, 0xe8, 7, 2, 29], Form::DateTime, &timestamp("2024-02-29T00:00:00"));
        check(&[7, 0xe8, 7, 2, 29, 13, 45, 6], Form::DateTime, &timestamp("2024-02-29T13:45:06"));
        let micro = [11, 0xe8, 7, 2, 29, 13, 45, 6, 0x20, 0xa1, 7, 0];
        check(&micro, Form::DateTime, &timestamp("2024-02-29T13:45:06.5"));
        check(&micro, Form::Timestamp, &Value::TimestampTz("2024-02-29T13:45:06.5Z".into()));
        check(&[0], Form::DateTime, &timestamp("0000-00-00T00:00:00"));
        check(&[0], Form::Time, &Value::Time("00:00:00".into()));
        check(&[8, 0, 0, 0, 0, 0, 23, 59, 59], Form::Time, &Value::Time("23:59:59".into()));
        check(&[8, 1, 34, 0, 0, 0, 22, 59, 59], Form::Time, &Value::Interval("-PT838H59M59S".into()));
        check(&[12, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0], Form::Time, &Value::Interval("PT24H0M1.000001S".into()));
    }

    #[test]
    fn what_has_another_form_is_bytes() {
        check(&[0xff, 0xfe], Form::Text, &Value::Bytes(vec![0xff, 0xfe]));
        check(&[1, 2, 3], Form::Signed, &Value::Bytes(vec![1, 2, 3]));
        check(&[9, 1], Form::DateTime, &Value::Bytes(vec![9, 1]));
        check(&[], Form::Time, &Value::Bytes(Vec::new()));
    }
}
