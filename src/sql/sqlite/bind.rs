//! From typed values to bound parameters.

use rusqlite::Statement;
use rusqlite::types::Value as Stored;

use crate::domain::Value;
use crate::sql::Error;

/// Binds the values to the statement's placeholders in order; there must be as many.
pub(super) fn bind(statement: &mut Statement<'_>, parameters: &[Value]) -> Result<(), Error> {
    let expected = statement.parameter_count();
    if expected != parameters.len() {
        return Err(Error::ParameterCount { expected, given: parameters.len() });
    }
    for (position, value) in (1..).zip(parameters) {
        let stored = stored(value).map_err(|reason| Error::ParameterKind { position, reason: reason.to_owned() })?;
        statement.raw_bind_parameter(position, stored)?;
    }
    Ok(())
}

/// What SQLite stores for a value. It has no exact decimals: they become a number, as they do in a DECIMAL column.
fn stored(value: &Value) -> Result<Stored, &'static str> {
    Ok(match value {
        Value::Null => Stored::Null,
        Value::Bool(truth) => Stored::Integer(i64::from(*truth)),
        Value::Int64(number) => Stored::Integer(*number),
        Value::Uint64(number) => {
            Stored::Integer(i64::try_from(*number).map_err(|_| "SQLite has no integer above 9223372036854775807")?)
        }
        Value::Double(number) if number.is_nan() => return Err("SQLite has no NaN"),
        Value::Double(number) => Stored::Real(*number),
        Value::Decimal(text) => match (text.parse(), text.parse()) {
            (Ok(whole), _) => Stored::Integer(whole),
            (_, Ok(number)) => Stored::Real(number),
            _ => return Err("not a decimal number"),
        },
        Value::Bytes(bytes) => Stored::Blob(bytes.clone()),
        Value::Array(_) => return Err("SQLite has no arrays"),
        Value::String(text)
        | Value::Date(text)
        | Value::Time(text)
        | Value::Timestamp(text)
        | Value::TimestampTz(text)
        | Value::Interval(text)
        | Value::Uuid(text)
        | Value::Json(text)
        | Value::Other(text) => Stored::Text(text.clone()),
    })
}
