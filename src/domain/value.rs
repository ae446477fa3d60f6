//! Cells of a result, typed: nothing is rounded, shifted or turned into text silently.

use serde::{Deserialize, Serialize};

use super::batch::Cell;
use super::schema::ColumnType;

/// One cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// SQL NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// Signed 64-bit integer.
    Int64(i64),
    /// Unsigned 64-bit integer that may exceed `i64`.
    Uint64(u64),
    /// IEEE 754 double, NaN and infinities included.
    Double(#[serde(with = "double_text")] f64),
    /// Exact decimal as text, such as `-12.50`.
    Decimal(String),
    /// Text.
    String(String),
    /// Bytes.
    Bytes(#[serde(with = "hex_text")] Vec<u8>),
    /// ISO 8601 date, `2026-11-23`.
    Date(String),
    /// ISO 8601 time of day.
    Time(String),
    /// ISO 8601 date and time without zone.
    Timestamp(String),
    /// ISO 8601 instant with its offset.
    TimestampTz(String),
    /// ISO 8601 duration.
    Interval(String),
    /// UUID in hyphenated form.
    Uuid(String),
    /// JSON text exactly as stored.
    Json(String),
    /// Elements in order; may nest.
    Array(Vec<Value>),
    /// Exact text of a value whose type has no better form here; the column names the type.
    Other(String),
}

impl Value {
    /// How many bytes the cell takes on the wire; used for byte caps.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        Cell::from(self).size_bytes()
    }
}

/// One row, a cell per column.
pub type Row = Vec<Value>;

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultColumn {
    /// Name or alias, as the database reports it.
    pub name: String,
    /// The database's own name of the type; empty when it has none, as for SQLite expressions.
    pub database_type: String,
    /// The kind of values to expect. SQLite types each cell by itself: the cell decides.
    pub kind: ColumnType,
}

/// JSON has no NaN and no infinities: doubles are stored as text, in the shortest form that reads back the same.
mod double_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `with` passes a reference")]
    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:?}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Bytes are stored as hexadecimal digits.
mod hex_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cells_read_back_exactly() {
        for value in [
            Value::Double(f64::INFINITY),
            Value::Double(-0.0),
            Value::Double(0.1 + 0.2),
            Value::Bytes(vec![0, 255, 16]),
            Value::Array(vec![Value::Null, Value::Int64(i64::MIN)]),
            Value::Uint64(u64::MAX),
        ] {
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value, "{text}");
        }
        let text = serde_json::to_string(&Value::Double(f64::NAN)).unwrap();
        assert!(matches!(serde_json::from_str(&text).unwrap(), Value::Double(nan) if nan.is_nan()));
    }
}
