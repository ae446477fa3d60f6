//! The cells of a column as an Arrow array: straight from the rows, each copied once.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType, UInt64Type,
};

use super::moment;
use super::shape::Shape;
use crate::domain::{Batch, Cell, TextKind, Value};

/// One column of some rows.
#[derive(Clone, Copy)]
pub(super) struct Cells<'a> {
    pub(super) batch: &'a Batch,
    pub(super) column: usize,
}

impl<'a> Cells<'a> {
    /// Whether no cell says of what type it is.
    pub(super) fn are_null(self) -> bool {
        self.iter().all(|cell| cell == Cell::Null)
    }

    /// The cell of a row, if there is such a row.
    pub(super) fn get(self, row: usize) -> Option<Cell<'a>> {
        self.iter().nth(row)
    }

    fn iter(self) -> impl Iterator<Item = Cell<'a>> {
        self.batch.column(self.column)
    }

    fn count(self) -> usize {
        self.batch.row_count()
    }

    /// How many bytes the cells take, but for numbers among texts. Room for more would be fetched from the system and given
    /// back with every batch.
    fn text_bytes(self) -> usize {
        let bytes = |cell| match cell {
            Cell::Text(_, text) => text.len(),
            Cell::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        self.iter().map(bytes).sum()
    }
}

impl Shape {
    /// The cells in this shape, or the index of the first one that it cannot hold exactly.
    pub(super) fn array(self, cells: Cells<'_>) -> Result<ArrayRef, usize> {
        match self {
            Self::Boolean => booleans(cells),
            Self::Int64 => primitives::<Int64Type>(self, cells, int64),
            Self::UInt64 => primitives::<UInt64Type>(self, cells, uint64),
            Self::Float64 => primitives::<Float64Type>(self, cells, float64),
            Self::Decimal { precision, scale } => primitives::<Decimal128Type>(self, cells, |cell| match cell {
                Cell::Text(TextKind::Decimal, text) => decimal128(text, precision, scale),
                _ => None,
            }),
            Self::Date => primitives::<Date32Type>(self, cells, |cell| match cell {
                Cell::Text(TextKind::Date, text) => moment::date(text),
                _ => None,
            }),
            Self::Time => primitives::<Time64MicrosecondType>(self, cells, |cell| match cell {
                Cell::Text(TextKind::Time, text) => moment::time(text),
                _ => None,
            }),
            Self::Timestamp => primitives::<TimestampMicrosecondType>(self, cells, |cell| match cell {
                Cell::Text(TextKind::Timestamp, text) => moment::timestamp(text),
                _ => None,
            }),
            Self::Instant => primitives::<TimestampMicrosecondType>(self, cells, |cell| match cell {
                Cell::Text(TextKind::TimestampTz, text) => moment::instant(text),
                _ => None,
            }),
            Self::Uuid => uuids(cells),
            Self::Json => texts(cells, |kind| kind == TextKind::Json, json),
            Self::Text => texts(cells, |_| true, text),
            Self::Binary => binaries(cells),
        }
    }
}

fn booleans(cells: Cells<'_>) -> Result<ArrayRef, usize> {
    let mut builder = BooleanBuilder::with_capacity(cells.count());
    for (row, cell) in cells.iter().enumerate() {
        match cell {
            Cell::Null => builder.append_null(),
            Cell::Bool(value) => builder.append_value(value),
            _ => return Err(row),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn primitives<T: ArrowPrimitiveType>(
    shape: Shape,
    cells: Cells<'_>,
    convert: impl Fn(Cell<'_>) -> Option<T::Native>,
) -> Result<ArrayRef, usize> {
    // Zone, precision and scale are the shape's; `T` is the Rust type of the same shape, so the two always agree.
    let mut builder = PrimitiveBuilder::<T>::with_capacity(cells.count()).with_data_type(shape.data_type());
    for (row, cell) in cells.iter().enumerate() {
        match cell {
            Cell::Null => builder.append_null(),
            cell => builder.append_value(convert(cell).ok_or(row)?),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn uuids(cells: Cells<'_>) -> Result<ArrayRef, usize> {
    const BYTES: i32 = 16;
    let mut builder = FixedSizeBinaryBuilder::with_capacity(cells.count(), BYTES);
    for (row, cell) in cells.iter().enumerate() {
        match cell {
            Cell::Null => builder.append_null(),
            Cell::Text(TextKind::Uuid, text) => {
                builder.append_value(uuid(text).ok_or(row)?.as_bytes()).map_err(|_| row)?;
            }
            _ => return Err(row),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// Cells whose text is of a kind that `is_ready` go as they are; the others are converted.
fn texts<'a>(
    cells: Cells<'a>,
    is_ready: impl Fn(TextKind) -> bool,
    convert: impl Fn(Cell<'a>) -> Option<Cow<'a, str>>,
) -> Result<ArrayRef, usize> {
    let mut builder = StringBuilder::with_capacity(cells.count(), cells.text_bytes());
    for (row, cell) in cells.iter().enumerate() {
        match cell {
            Cell::Null => builder.append_null(),
            Cell::Text(kind, text) if is_ready(kind) => builder.append_value(text),
            cell => builder.append_value(convert(cell).ok_or(row)?),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn binaries(cells: Cells<'_>) -> Result<ArrayRef, usize> {
    let mut builder = BinaryBuilder::with_capacity(cells.count(), cells.text_bytes());
    for (row, cell) in cells.iter().enumerate() {
        match cell {
            Cell::Null => builder.append_null(),
            Cell::Bytes(bytes) => builder.append_value(bytes),
            cell => builder.append_value(text(cell).ok_or(row)?.as_bytes()),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn int64(cell: Cell<'_>) -> Option<i64> {
    match cell {
        Cell::Int64(number) => Some(number),
        Cell::Uint64(number) => i64::try_from(number).ok(),
        // A column of truth values that also holds other numbers.
        Cell::Bool(value) => Some(value.into()),
        _ => None,
    }
}

fn uint64(cell: Cell<'_>) -> Option<u64> {
    match cell {
        Cell::Uint64(number) => Some(number),
        Cell::Int64(number) => u64::try_from(number).ok(),
        _ => None,
    }
}

/// Integers too, as far as a double counts them one by one.
fn float64(cell: Cell<'_>) -> Option<f64> {
    const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
    match cell {
        Cell::Double(number) => Some(number),
        Cell::Int64(number) if number.unsigned_abs() <= EXACT => Some(number as f64),
        Cell::Uint64(number) if number <= EXACT => Some(number as f64),
        _ => None,
    }
}

/// The digits of a decimal in plain notation, its point moved to `scale`; `None` when there are more of them.
fn decimal128(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let missing = usize::from(scale).checked_sub(fraction.len())?;
    if whole.is_empty() {
        return None;
    }
    let value = append_digits(append_digits(0, whole)?, fraction)?;
    let value = value.checked_mul(10_i128.checked_pow(u32::try_from(missing).ok()?)?)?;
    (value < 10_i128.pow(precision.into())).then_some(if negative { -value } else { value })
}

/// The number with these digits at its end.
fn append_digits(number: i128, digits: &str) -> Option<i128> {
    /// So many digits fit a machine word, in which counting is several times faster.
    const WORD: usize = 18;
    digits.as_bytes().chunks(WORD).try_fold(number, |number, digits| {
        let (mut word, mut factor) = (0_i64, 1_i64);
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            word = word * 10 + i64::from(digit - b'0');
            factor *= 10;
        }
        number.checked_mul(factor.into())?.checked_add(word.into())
    })
}

/// Only in the one form that 16 bytes read back as.
fn uuid(text: &str) -> Option<uuid::Uuid> {
    let uuid = uuid::Uuid::try_parse(text).ok()?;
    (uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()) == text).then_some(uuid)
}

/// Any cell as text but bytes: as ROWS spells it, numbers as short as they read back the same, arrays as JSON.
fn text(cell: Cell<'_>) -> Option<Cow<'_, str>> {
    Some(match cell {
        Cell::Text(_, text) => Cow::Borrowed(text),
        Cell::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
        Cell::Int64(number) => Cow::Owned(number.to_string()),
        Cell::Uint64(number) => Cow::Owned(number.to_string()),
        Cell::Double(number) => Cow::Owned(double_text(number)),
        Cell::Array(_) => return json(cell),
        Cell::Bytes(_) | Cell::Null => return None,
    })
}

/// JSON, and what SQLite makes of JSON that is a mere number; arrays element by element.
fn json(cell: Cell<'_>) -> Option<Cow<'_, str>> {
    match cell {
        Cell::Text(TextKind::Json, text) => Some(Cow::Borrowed(text)),
        Cell::Double(number) if !number.is_finite() => None,
        Cell::Bool(_) | Cell::Int64(_) | Cell::Uint64(_) | Cell::Double(_) => text(cell),
        Cell::Array(items) => {
            let mut array = String::new();
            write_array(&mut array, items);
            Some(Cow::Owned(array))
        }
        _ => None,
    }
}

/// Numbers stay numbers; what JSON has no type for is a string, decimals too, so that no reader rounds them.
fn write_array(out: &mut String, items: &[Value]) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match Cell::from(item) {
            Cell::Null => out.push_str("null"),
            Cell::Array(items) => write_array(out, items),
            Cell::Bytes(bytes) => write_string(out, &hex::encode(bytes)),
            item => match json(item) {
                Some(json) => out.push_str(&json),
                None => write_string(out, &text(item).unwrap_or_default()),
            },
        }
    }
    out.push(']');
}

fn write_string(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn double_text(number: f64) -> String {
    match number {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        number => format!("{number:?}"),
    }
}
