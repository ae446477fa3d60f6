//! From typed values to bound parameters, in the binary form of the type that PostgreSQL inferred for each place.

use jiff::civil;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo, Postgres};
use sqlx::{Arguments, Type};

use super::calendar::{Interval, parse_date, parse_offset};
use super::types::{Form, Scalar, behind_domains, form, label};
use crate::domain::Value;
use crate::sql::Error;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The values as arguments for a statement with these parameters; there must be as many.
pub(super) fn arguments(values: &[Value], types: &[PgTypeInfo]) -> Result<PgArguments, Error> {
    if values.len() != types.len() {
        return Err(Error::ParameterCount { expected: types.len(), given: values.len() });
    }
    let mut arguments = PgArguments::default();
    for (position, (value, kind)) in (1..).zip(values.iter().zip(types)) {
        let bytes = encoded(value, kind).map_err(|reason| Error::ParameterKind { position, reason })?;
        let added = arguments.add(Parameter { bytes, kind: kind.clone() });
        added.map_err(|error| Error::ParameterKind { position, reason: error.to_string() })?;
    }
    Ok(arguments)
}

/// An encoded value; `None` is NULL.
struct Parameter {
    bytes: Option<Vec<u8>>,
    kind: PgTypeInfo,
}

impl Encode<'_, Postgres> for Parameter {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match &self.bytes {
            Some(bytes) => {
                buffer.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.kind.clone())
    }
}

impl Type<Postgres> for Parameter {
    fn type_info() -> PgTypeInfo {
        <[u8] as Type<Postgres>>::type_info()
    }
}

fn encoded(value: &Value, kind: &PgTypeInfo) -> Result<Option<Vec<u8>>, String> {
    let encoded = match (value, form(kind)) {
        (Value::Null, _) => return Ok(None),
        (Value::Array(items), Form::Array { element, .. }) => array(items, element, kind),
        (value, Form::Scalar(scalar)) => cell(value, scalar),
        _ => None,
    };
    let named = label(kind);
    let mismatch = || match form(kind) {
        Form::Scalar(Scalar::Other) | Form::Array { element: Scalar::Other, .. } => cannot_be_bound(&named),
        _ => format!("PostgreSQL expects {named} here; give a value of that kind, or cast the placeholder in the SQL"),
    };
    encoded.map(Some).ok_or_else(mismatch)
}

/// Why a place for this type takes no value, and what to do about it.
pub(super) fn cannot_be_bound(named: &str) -> String {
    format!("PostgreSQL expects {named} here, which cannot be bound; bind text and cast it: $n::text::{named}")
}

/// The binary form of a value in a place of this type; `None` when it does not fit without loss.
fn cell(value: &Value, kind: Scalar) -> Option<Vec<u8>> {
    Some(match kind {
        Scalar::Bool => match value {
            Value::Bool(truth) => vec![u8::from(*truth)],
            _ => return None,
        },
        Scalar::Bytes => match value {
            Value::Bytes(bytes) => bytes.clone(),
            _ => return None,
        },
        Scalar::Int2 => i16::try_from(whole(value)?).ok()?.to_be_bytes().to_vec(),
        Scalar::Int4 => i32::try_from(whole(value)?).ok()?.to_be_bytes().to_vec(),
        Scalar::Int8 => whole(value)?.to_be_bytes().to_vec(),
        Scalar::Oid => u32::try_from(whole(value)?).ok()?.to_be_bytes().to_vec(),
        #[expect(clippy::cast_possible_truncation, reason = "a real is what the place holds")]
        Scalar::Float4 => (number(value)? as f32).to_be_bytes().to_vec(),
        Scalar::Float8 => number(value)?.to_be_bytes().to_vec(),
        Scalar::Numeric => numeric(&digits(value)?)?,
        Scalar::Text => text(value)?.as_bytes().to_vec(),
        Scalar::Json => text(value)?.as_bytes().to_vec(),
        Scalar::Jsonb => [&[1], text(value)?.as_bytes()].concat(),
        Scalar::Date => parse_date(text(value)?)?.to_be_bytes().to_vec(),
        Scalar::Time => time_of_day(text(value)?)?.to_be_bytes().to_vec(),
        Scalar::TimeTz => zoned_time(text(value)?)?,
        Scalar::Timestamp => moment(text(value)?)?.to_be_bytes().to_vec(),
        Scalar::TimestampTz => instant(text(value)?)?.to_be_bytes().to_vec(),
        Scalar::Interval => interval(text(value)?)?,
        Scalar::Uuid => uuid::Uuid::try_parse(text(value)?).ok()?.into_bytes().to_vec(),
        Scalar::Other => return None,
    })
}

/// The words of a value that is given as text. PostgreSQL reads any of them where it expects text.
fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text)
        | Value::Date(text)
        | Value::Time(text)
        | Value::Timestamp(text)
        | Value::TimestampTz(text)
        | Value::Interval(text)
        | Value::Uuid(text)
        | Value::Json(text)
        | Value::Other(text) => Some(text),
        _ => None,
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Int64(number) => Some(*number),
        Value::Uint64(number) => i64::try_from(*number).ok(),
        Value::Decimal(text) | Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Double(number) => Some(*number),
        Value::Decimal(text) | Value::String(text) => text.parse().ok(),
        value => whole(value).map(|whole| whole as f64),
    }
}

fn digits(value: &Value) -> Option<String> {
    match value {
        Value::Decimal(text) | Value::String(text) => Some(text.clone()),
        Value::Int64(number) => Some(number.to_string()),
        Value::Uint64(number) => Some(number.to_string()),
        Value::Double(number) if number.is_nan() => Some("NaN".to_owned()),
        Value::Double(number) if number.is_infinite() => {
            Some(if *number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned())
        }
        Value::Double(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Groups of four decimal digits with a weight, a sign and a count of decimals (`numeric_recv`).
fn numeric(text: &str) -> Option<Vec<u8>> {
    let special = match text {
        "NaN" => Some(0xC000_u16),
        "Infinity" => Some(0xD000),
        "-Infinity" => Some(0xF000),
        _ => None,
    };
    if let Some(sign) = special {
        return Some([0, 0, sign, 0].iter().flat_map(|word: &u16| word.to_be_bytes()).collect());
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) {
        return None;
    }
    let groups_before = whole.len().div_ceil(4);
    let padded = format!(
        "{whole:0>before$}{fraction:0<after$}",
        before = groups_before * 4,
        after = fraction.len().div_ceil(4) * 4
    );
    let groups: Vec<u16> = padded
        .as_bytes()
        .chunks(4)
        .map(|four| four.iter().fold(0, |sum, byte| sum * 10 + u16::from(byte - b'0')))
        .collect();
    let weight = i16::try_from(groups_before).ok()? - 1;
    let sign = if negative { 0x4000 } else { 0 };
    let header = [u16::try_from(groups.len()).ok()?, weight.cast_unsigned(), sign, u16::try_from(fraction.len()).ok()?];
    Some(header.iter().chain(&groups).flat_map(|word| word.to_be_bytes()).collect())
}

fn time_of_day(text: &str) -> Option<i64> {
    if text == "24:00:00" {
        return Some(MICROS_PER_DAY);
    }
    // An offset here would be lost.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
    let time: civil::Time = text.parse().ok().filter(|_| plain)?;
    let seconds = i64::from(time.hour()) * 3_600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    let nanos = time.subsec_nanosecond();
    (nanos % 1_000 == 0).then_some(seconds * 1_000_000 + i64::from(nanos / 1_000))
}

fn zoned_time(text: &str) -> Option<Vec<u8>> {
    let (time, offset) = text.split_at(text.rfind(['Z', 'z', '+', '-'])?);
    Some([time_of_day(time)?.to_be_bytes().as_slice(), &(-parse_offset(offset)?).to_be_bytes()].concat())
}

/// Microseconds after 2000-01-01 of a date with or without a time, each before its ` BC`.
fn moment(text: &str) -> Option<i64> {
    match text {
        "infinity" => Some(i64::MAX),
        "-infinity" => Some(i64::MIN),
        text => {
            let (text, era) = text.strip_suffix(" BC").map_or((text, ""), |text| (text, " BC"));
            let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
            let days = parse_date(&format!("{date}{era}"))?;
            i64::from(days).checked_mul(MICROS_PER_DAY)?.checked_add(time_of_day(time)?)
        }
    }
}

/// A point in time needs its offset: without one nobody knows which it is.
fn instant(text: &str) -> Option<i64> {
    if text.ends_with("infinity") {
        return moment(text);
    }
    let (text, era) = text.strip_suffix(" BC").map_or((text, ""), |text| (text, " BC"));
    let time = text.find(['T', ' '])?;
    let (local, offset) = text.split_at(time + text[time..].rfind(['Z', 'z', '+', '-'])?);
    let micros = moment(&format!("{local}{era}"))?;
    micros.checked_sub(i64::from(parse_offset(offset)?) * 1_000_000)
}

fn interval(text: &str) -> Option<Vec<u8>> {
    let Interval { months, days, micros } = Interval::parse_iso(text).or_else(|| Interval::parse(text))?;
    Some([micros.to_be_bytes().as_slice(), &days.to_be_bytes(), &months.to_be_bytes()].concat())
}

/// Dimensions with lower bound 1, then the elements row by row (`array_recv`); `None` when rows differ in length.
fn array(items: &[Value], element: Scalar, kind: &PgTypeInfo) -> Option<Vec<u8>> {
    let mut lengths = Vec::new();
    let mut level = items;
    while !level.is_empty() {
        lengths.push(i32::try_from(level.len()).ok()?);
        let Value::Array(inner) = &level[0] else { break };
        level = inner;
    }
    let sqlx::postgres::PgTypeKind::Array(element_type) = behind_domains(kind).kind() else { return None };
    let mut bytes = Vec::new();
    bytes.extend(i32::try_from(lengths.len()).ok()?.to_be_bytes());
    bytes.extend(1_i32.to_be_bytes());
    bytes.extend(element_type.oid()?.0.to_be_bytes());
    for length in &lengths {
        bytes.extend(length.to_be_bytes());
        bytes.extend(1_i32.to_be_bytes());
    }
    elements(items, &lengths, element, &mut bytes)?;
    Some(bytes)
}

fn elements(items: &[Value], lengths: &[i32], element: Scalar, bytes: &mut Vec<u8>) -> Option<()> {
    let Some((&length, inner)) = lengths.split_first() else { return items.is_empty().then_some(()) };
    if i32::try_from(items.len()).ok()? != length {
        return None;
    }
    for item in items {
        match item {
            Value::Array(nested) if !inner.is_empty() => elements(nested, inner, element, bytes)?,
            _ if !inner.is_empty() => return None,
            Value::Null => bytes.extend((-1_i32).to_be_bytes()),
            item => {
                let cell = cell(item, element)?;
                bytes.extend(i32::try_from(cell.len()).ok()?.to_be_bytes());
                bytes.extend(cell);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::binary;
    use super::*;
    use crate::domain::Batch;

    /// What is bound reads back as the same value.
    #[test]
    fn values_survive_the_way_there_and_back() {
        for (value, kind) in [
            (Value::Bool(true), Scalar::Bool),
            (Value::Int64(i64::MIN), Scalar::Int8),
            (Value::Int64(-32_768), Scalar::Int2),
            (Value::Double(f64::NEG_INFINITY), Scalar::Float8),
            (Value::Double(0.1), Scalar::Float4),
            (Value::Decimal("12.30".into()), Scalar::Numeric),
            (Value::Decimal("-0.00001".into()), Scalar::Numeric),
            (Value::Decimal("123456789012345678901234567890.5".into()), Scalar::Numeric),
            (Value::Decimal("NaN".into()), Scalar::Numeric),
            (Value::String("é".into()), Scalar::Text),
            (Value::Json("{\"a\": 1}".into()), Scalar::Jsonb),
            (Value::Date("1969-12-31".into()), Scalar::Date),
            (Value::Date("infinity".into()), Scalar::Date),
            (Value::Time("24:00:00".into()), Scalar::Time),
            (Value::Time("13:45:00.5-05:30".into()), Scalar::TimeTz),
            (Value::Timestamp("1999-12-31T23:59:59.999999".into()), Scalar::Timestamp),
            (Value::TimestampTz("2024-02-29T13:45:00Z".into()), Scalar::TimestampTz),
            (Value::Interval("P1Y2M3DT4H5M6.789S".into()), Scalar::Interval),
            (Value::Interval("P-1Y2DT-0.5S".into()), Scalar::Interval),
            (Value::Timestamp("0044-03-15T12:00:00 BC".into()), Scalar::Timestamp),
            (Value::TimestampTz("0044-03-15T12:00:00Z BC".into()), Scalar::TimestampTz),
            (Value::Date("5874897-12-31".into()), Scalar::Date),
            (Value::Uuid("0198c0de-0000-7000-8000-000000000000".into()), Scalar::Uuid),
        ] {
            let bytes = cell(&value, kind).unwrap_or_else(|| panic!("{value:?} is not bound"));
            let back = Batch::single(|row| binary::write(&bytes, &Form::Scalar(kind), row).unwrap());
            if !matches!(value, Value::Double(number) if number.is_nan()) {
                assert_eq!(back, value);
            }
        }
        let offset = cell(&Value::TimestampTz("2024-02-29T15:45:00+02:00".into()), Scalar::TimestampTz).unwrap();
        let back = Batch::single(|row| binary::write(&offset, &Form::Scalar(Scalar::TimestampTz), row).unwrap());
        assert_eq!(back, Value::TimestampTz("2024-02-29T13:45:00Z".into()));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (value, kind) in [
            (Value::Int64(40_000), Scalar::Int2),
            (Value::Uint64(u64::MAX), Scalar::Int8),
            (Value::String("x".into()), Scalar::Int4),
            (Value::Decimal("1.5".into()), Scalar::Int8),
            (Value::Int64(1), Scalar::Bool),
            (Value::Timestamp("2024-02-29T13:45:00".into()), Scalar::TimestampTz),
            (Value::Date("2024-02-30".into()), Scalar::Date),
            (Value::Time("10:00:00.1234567".into()), Scalar::Time),
            (Value::String("2024-02-29T13:45:00".into()), Scalar::Date),
            (Value::String("2024-02-29T13:45:00+05:00".into()), Scalar::Timestamp),
            (Value::String("2024-02-29T13:45:00Z".into()), Scalar::Timestamp),
            (Value::String("2024-02-29".into()), Scalar::TimestampTz),
            (Value::Interval(String::new()), Scalar::Interval),
            (Value::Int64(1), Scalar::Text),
            (Value::String("10.0.0.1".into()), Scalar::Other),
        ] {
            assert_eq!(cell(&value, kind), None, "{value:?} as {kind:?}");
        }
    }
}
