//! Cells, columns, rows, and the small types that everything holds.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::{ColumnType, ResultColumn, Row, Value};
use crate::pb::v1 as pb;
use crate::pb::v1::value::Kind;

pub(in crate::api) fn duration(span: Duration) -> prost_types::Duration {
    // Both parts are in range: no span of ours is longer than the seconds of an i64.
    let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: span.subsec_nanos().cast_signed() }
}

pub(in crate::api) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    // Protobuf counts nanoseconds forward from the second, also before 1970.
    let nanos = time.as_nanosecond();
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or_default();
    prost_types::Timestamp { seconds, nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or_default() }
}

/// A count; what exceeds the wire's type, which no limit of ours allows, is lowered to its largest number.
pub(super) fn count<N: TryInto<i32>>(number: N) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

/// A count that may be large.
pub(super) fn long_count<N: TryInto<i64>>(number: N) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

pub(super) fn value(value: Value) -> pb::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Int64(value) => Kind::Int64Value(value),
        Value::Uint64(value) => Kind::Uint64Value(value),
        Value::Double(value) => Kind::DoubleValue(value),
        Value::Decimal(text) => Kind::DecimalValue(text),
        Value::String(text) => Kind::StringValue(text),
        Value::Bytes(bytes) => Kind::BytesValue(bytes.into()),
        Value::Date(text) => Kind::DateValue(text),
        Value::Time(text) => Kind::TimeValue(text),
        Value::Timestamp(text) => Kind::TimestampValue(text),
        Value::TimestampTz(text) => Kind::ZonedTimestampValue(text),
        Value::Interval(text) => Kind::IntervalValue(text),
        Value::Uuid(text) => Kind::UuidValue(text),
        Value::Json(text) => Kind::JsonValue(text),
        Value::Array(items) => Kind::ArrayValue(pb::ArrayValue { values: values(items) }),
        Value::Other(text) => Kind::OtherValue(text),
    };
    pb::Value { kind: Some(kind) }
}

pub(super) fn values(cells: Vec<Value>) -> Vec<pb::Value> {
    cells.into_iter().map(value).collect()
}

pub(super) fn rows(rows: Vec<Row>) -> Vec<crate::pb::Row> {
    rows.into_iter().map(|row| values(row).into()).collect()
}

pub(super) fn columns(columns: Vec<ResultColumn>) -> Vec<pb::Column> {
    let column = |column| {
        let ResultColumn { name, database_type, kind } = column;
        pb::Column { name, database_type, r#type: data_type(kind).into(), nullable: None }
    };
    columns.into_iter().map(column).collect()
}

pub(super) fn data_type(kind: ColumnType) -> pb::DataType {
    match kind {
        ColumnType::Boolean => pb::DataType::Bool,
        ColumnType::Integer => pb::DataType::Int64,
        ColumnType::Unsigned => pb::DataType::Uint64,
        ColumnType::Decimal => pb::DataType::Decimal,
        ColumnType::Float => pb::DataType::Double,
        ColumnType::Text => pb::DataType::String,
        ColumnType::Bytes => pb::DataType::Bytes,
        ColumnType::Date => pb::DataType::Date,
        ColumnType::Time => pb::DataType::Time,
        ColumnType::Timestamp => pb::DataType::Timestamp,
        ColumnType::TimestampTz => pb::DataType::ZonedTimestamp,
        ColumnType::Interval => pb::DataType::Interval,
        ColumnType::Uuid => pb::DataType::Uuid,
        ColumnType::Json => pb::DataType::Json,
        ColumnType::Array => pb::DataType::Array,
        ColumnType::Other => pb::DataType::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_count_forward() {
        let time = "1969-12-31T23:59:59.25Z".parse().unwrap();
        assert_eq!(timestamp(time), prost_types::Timestamp { seconds: -1, nanos: 250_000_000 });
    }

    #[test]
    fn cells_keep_their_kind() {
        let cell = Value::Array(vec![Value::Null, Value::Uint64(u64::MAX), Value::Decimal("12.30".into())]);
        let Some(Kind::ArrayValue(array)) = value(cell).kind else { panic!("no array") };
        let kinds: Vec<_> = array.values.into_iter().map(|value| value.kind.unwrap()).collect();
        assert_eq!(kinds, [Kind::NullValue(0), Kind::Uint64Value(u64::MAX), Kind::DecimalValue("12.30".into())]);
    }
}
