//! From typed values to bound parameters.

use jiff::{SignedDuration, Timestamp};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::mysql::{MySqlArguments, MySqlTypeInfo};
use sqlx::{Arguments, Encode, MySql, Type};

use crate::domain::Value;
use crate::sql::Error;

/// Most digits of a DECIMAL, and most of them after the point.
const DECIMAL_DIGITS: usize = 65;
const DECIMAL_SCALE: usize = 30;

/// The values as arguments, in order; there must be `expected`. `decimal` is the wire's type of exact decimals.
pub(super) fn bind(expected: usize, parameters: &[Value], decimal: &MySqlTypeInfo) -> Result<MySqlArguments, Error> {
    // The driver must not find out: it would leave the session waiting for an answer to what it never sent.
    if expected != parameters.len() {
        return Err(Error::ParameterCount { expected, given: parameters.len() });
    }
    let mut arguments = MySqlArguments::default();
    for (position, value) in (1..).zip(parameters) {
        add(&mut arguments, value, decimal).map_err(|reason| Error::ParameterKind { position, reason })?;
    }
    Ok(arguments)
}

fn add(arguments: &mut MySqlArguments, value: &Value, decimal: &MySqlTypeInfo) -> Result<(), String> {
    let added = match value {
        Value::Null => arguments.add(None::<&str>),
        Value::Bool(truth) => arguments.add(*truth),
        Value::Int64(number) => arguments.add(*number),
        Value::Uint64(number) => arguments.add(*number),
        Value::Double(number) if !number.is_finite() => return Err("MySQL has no NaN and no infinities".to_owned()),
        Value::Double(number) => arguments.add(*number),
        Value::Decimal(text) => {
            check_decimal(text)?;
            arguments.add(DecimalText { text, wire_type: decimal })
        }
        Value::Bytes(bytes) => arguments.add(bytes.as_slice()),
        Value::Timestamp(text) => {
            check_fraction(text)?;
            arguments.add(text.replacen('T', " ", 1))
        }
        Value::TimestampTz(text) => arguments.add(in_utc(text)?),
        Value::Time(text) => {
            check_fraction(text)?;
            arguments.add(text.as_str())
        }
        Value::Interval(text) => arguments.add(span(text)?),
        Value::Array(_) => return Err("MySQL has no arrays".to_owned()),
        Value::String(text) | Value::Date(text) | Value::Uuid(text) | Value::Json(text) | Value::Other(text) => {
            arguments.add(text.as_str())
        }
    };
    added.map_err(|error| error.to_string())
}

/// The server takes anything for a decimal and rounds it; what it would not keep exactly is refused.
fn check_decimal(text: &str) -> Result<(), String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !are_digits(whole) || !are_digits(fraction) {
        return Err("not a decimal number in plain notation".to_owned());
    }
    let scale = fraction.trim_end_matches('0').len();
    if whole.trim_start_matches('0').len() + scale > DECIMAL_DIGITS || scale > DECIMAL_SCALE {
        return Err(format!(
            "MySQL's decimals have at most {DECIMAL_DIGITS} digits, {DECIMAL_SCALE} of them after the point"
        ));
    }
    Ok(())
}

/// MySQL rounds what is finer than a microsecond.
fn check_fraction(text: &str) -> Result<(), String> {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    let digits = fraction.split(|character: char| !character.is_ascii_digit()).next().unwrap_or_default();
    if digits.trim_end_matches('0').len() > 6 {
        return Err("MySQL's times are exact to the microsecond".to_owned());
    }
    Ok(())
}

/// An instant in the time zone of the session, which is UTC.
fn in_utc(text: &str) -> Result<String, String> {
    check_fraction(text)?;
    let instant: Timestamp = text.parse().map_err(|_| "not an RFC 3339 date and time with its offset".to_owned())?;
    Ok(instant.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string())
}

/// A span of time as MySQL's TIME writes it: `-838:59:59`.
fn span(text: &str) -> Result<String, String> {
    check_fraction(text)?;
    let span: SignedDuration =
        text.parse().map_err(|_| "not an ISO 8601 duration of hours, minutes and seconds".to_owned())?;
    let sign = if span.is_negative() { "-" } else { "" };
    let (seconds, fraction) = (span.unsigned_abs().as_secs(), span.unsigned_abs().subsec_micros());
    Ok(format!("{sign}{:02}:{:02}:{:02}.{fraction:06}", seconds / 3600, seconds / 60 % 60, seconds % 60))
}

/// A decimal in digits, which the server takes for exactly that number and not for a text or a double.
struct DecimalText<'a> {
    text: &'a str,
    wire_type: &'a MySqlTypeInfo,
}

impl Type<MySql> for DecimalText<'_> {
    fn type_info() -> MySqlTypeInfo {
        <str as Type<MySql>>::type_info()
    }
}

impl Encode<'_, MySql> for DecimalText<'_> {
    fn encode_by_ref(&self, buffer: &mut Vec<u8>) -> Result<IsNull, BoxDynError> {
        <&str as Encode<MySql>>::encode_by_ref(&self.text, buffer)
    }

    fn produces(&self) -> Option<MySqlTypeInfo> {
        Some(self.wire_type.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_exact_is_bound() {
        for good in ["0", "-12.30", "+.5", "7.", &"9".repeat(65), &format!("0.{}", "1".repeat(30)), "1.0000000000"] {
            assert_eq!(check_decimal(good), Ok(()), "{good}");
        }
        for bad in ["", "-", ".", "1e5", "NaN", "1,5", "1.2.3", &"9".repeat(66), &format!("0.{}", "1".repeat(31))] {
            assert!(check_decimal(bad).is_err(), "{bad}");
        }
        assert_eq!(check_fraction("2024-02-29T13:45:00.1234560"), Ok(()));
        assert!(check_fraction("13:45:00.1234567").is_err());
    }

    #[test]
    fn instants_and_spans_in_the_words_of_the_server() {
        assert_eq!(in_utc("2024-02-29T13:45:00.5+02:00").unwrap(), "2024-02-29 11:45:00.500000");
        assert_eq!(in_utc("2024-02-29T13:45:00Z").unwrap(), "2024-02-29 13:45:00.000000");
        assert!(in_utc("2024-02-29T13:45:00").is_err());
        assert_eq!(span("-PT838H59M59S").unwrap(), "-838:59:59.000000");
        assert_eq!(span("PT24H0M1.000001S").unwrap(), "24:00:01.000001");
        assert!(span("P1Y").is_err());
    }

    #[test]
    fn the_count_is_checked_before_anything_is_sent() {
        let decimal = <str as Type<MySql>>::type_info();
        let error = bind(2, &[Value::Null], &decimal).unwrap_err();
        assert_eq!(error, Error::ParameterCount { expected: 2, given: 1 });
        let error = bind(2, &[Value::Null, Value::Array(Vec::new())], &decimal).unwrap_err();
        assert!(matches!(error, Error::ParameterKind { position: 2, .. }), "{error}");
    }
}
