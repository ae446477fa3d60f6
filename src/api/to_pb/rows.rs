//! Rows straight from a packed batch to the bytes of the wire.

use prost::encoding::{WireType, encode_key, encode_varint};

use super::value::values;
use crate::domain::{Batch, Cell, TextKind};
use crate::pb::RowBatch;
use crate::pb::v1 as pb;

/// Bytes that the frame of a cell takes at most, for one whose content is short.
const FRAME_BYTES: usize = 6;

/// The batch as it is sent.
pub(super) fn encoded(batch: &Batch) -> RowBatch {
    let cells: usize = batch.rows().next().map_or(0, Iterator::count) * batch.row_count();
    let mut out = Vec::with_capacity(batch.content_bytes() + FRAME_BYTES * cells);
    let mut body = Vec::new();
    for row in batch.rows() {
        body.clear();
        for cell in row {
            put_length(1, cell.body_bytes(), &mut body);
            put_kind(cell, &mut body);
        }
        put_bytes(1, &body, &mut out);
    }
    RowBatch::from_encoded(out.into())
}

/// The one field of `pulse.v1.Value` that a cell is.
fn put_kind(cell: Cell<'_>, out: &mut Vec<u8>) {
    match cell {
        Cell::Null => put_number(1, 0, out),
        Cell::Bool(value) => put_number(2, value.into(), out),
        Cell::Int64(number) => put_number(3, number.cast_unsigned(), out),
        Cell::Uint64(number) => put_number(4, number, out),
        Cell::Double(number) => {
            encode_key(5, WireType::SixtyFourBit, out);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Cell::Text(kind, text) => put_bytes(field(kind), text.as_bytes(), out),
        Cell::Bytes(bytes) => put_bytes(8, bytes, out),
        Cell::Array(items) => {
            let array = pb::ArrayValue { values: values(items.to_vec()) };
            prost::encoding::message::encode(16, &array, out);
        }
    }
}

fn field(kind: TextKind) -> u32 {
    match kind {
        TextKind::Decimal => 6,
        TextKind::String => 7,
        TextKind::Date => 9,
        TextKind::Time => 10,
        TextKind::Timestamp => 11,
        TextKind::TimestampTz => 12,
        TextKind::Interval => 13,
        TextKind::Uuid => 14,
        TextKind::Json => 15,
        TextKind::Other => 17,
    }
}

fn put_number(field: u32, number: u64, out: &mut Vec<u8>) {
    encode_key(field, WireType::Varint, out);
    encode_varint(number, out);
}

fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_length(field, bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn put_length(field: u32, length: usize, out: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::api::to_pb::value::rows;
    use crate::domain::{Row, Value};

    fn every_kind() -> Row {
        let text = |kind: TextKind| kind.value("é".repeat(100));
        let mut row = vec![
            Value::Null,
            Value::Bool(false),
            Value::Bool(true),
            Value::Double(f64::NEG_INFINITY),
            Value::Bytes(vec![0; 300]),
            Value::Array(vec![Value::Null, Value::Other("x".into()), Value::Array(vec![Value::Int64(-1)])]),
        ];
        row.extend([0, 1, -1, 127, 128, i64::MIN, i64::MAX].map(Value::Int64));
        row.extend([0, 1 << 63, u64::MAX].map(Value::Uint64));
        row.extend([TextKind::Decimal, TextKind::String, TextKind::Date, TextKind::Time].map(text));
        row.extend([TextKind::Timestamp, TextKind::TimestampTz, TextKind::Interval].map(text));
        row.extend([TextKind::Uuid, TextKind::Json, TextKind::Other].map(text));
        row
    }

    #[test]
    fn the_bytes_are_those_of_the_messages() {
        let given = vec![every_kind(), every_kind()];
        let encoded = encoded(&given.clone().into()).encode_to_vec();
        let messages = rows(given);
        assert_eq!(RowBatch::decode(encoded.as_slice()).unwrap().rows, messages);
        assert_eq!(encoded, RowBatch::from(messages).encode_to_vec());
    }

    #[test]
    fn sizes_are_those_of_the_wire() {
        let mut batch = Batch::default();
        for cell in every_kind() {
            let sent = pb::Row { values: values(vec![cell.clone()]) };
            assert_eq!(cell.size_bytes(), sent.encoded_len(), "{cell:?}");
            batch.value(cell);
        }
        let sent = RowBatch::from(rows(vec![every_kind()]));
        assert_eq!(batch.open_row_bytes(), sent.encoded_len());
    }
}
