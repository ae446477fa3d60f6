//! Rows packed together: cells in one place, their text in another. A cell costs no memory of its own, so that a large
//! result moves from the database's driver to the wire without an allocation a cell.

use serde::{Deserialize, Serialize};

use super::value::{Row, Value};

/// Rows with the same number of cells, written cell by cell and read as [`Cell`]s.
///
/// Cells are added to an open row, which [`Self::end_row`] ends and [`Self::drop_row`] takes back; only ended rows are
/// read.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(into = "Vec<Row>", from = "Vec<Row>")]
pub struct Batch {
    slots: Vec<Slot>,
    text: String,
    bytes: Vec<u8>,
    row_count: usize,
    /// What the last ended row ends at.
    ended: Mark,
    open_bytes: usize,
}

/// One cell, borrowed from where it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// SQL NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// Signed 64-bit integer.
    Int64(i64),
    /// Unsigned 64-bit integer.
    Uint64(u64),
    /// IEEE 754 double.
    Double(f64),
    /// Everything whose exact form is text.
    Text(TextKind, &'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Elements in order; may nest.
    Array(&'a [Value]),
}

/// What the text of a cell is; the variants of [`Value`] that hold text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// [`Value::Decimal`].
    Decimal,
    /// [`Value::String`].
    String,
    /// [`Value::Date`].
    Date,
    /// [`Value::Time`].
    Time,
    /// [`Value::Timestamp`].
    Timestamp,
    /// [`Value::TimestampTz`].
    TimestampTz,
    /// [`Value::Interval`].
    Interval,
    /// [`Value::Uuid`].
    Uuid,
    /// [`Value::Json`].
    Json,
    /// [`Value::Other`].
    Other,
}

/// A cell as it is kept, in 16 bytes: numbers in place, places of everything else.
#[expect(clippy::box_collection, reason = "a slice in a box would take half as much again for every cell")]
#[derive(Debug, Clone, PartialEq)]
enum Slot {
    Null,
    Bool(bool),
    Int64(i64),
    Uint64(u64),
    Double(f64),
    /// A part of the text of all cells.
    Text(TextKind, Span),
    Bytes(Span),
    Array(Box<Vec<Value>>),
}

/// Where in a text or in bytes. A batch is cut long before it has 4 GiB: no cell is that large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Mark {
    slots: usize,
    text: usize,
    bytes: usize,
}

impl Batch {
    /// Adds a NULL.
    pub fn null(&mut self) {
        self.add(Slot::Null, Cell::Null.size_bytes());
    }

    /// Adds a truth value.
    pub fn bool(&mut self, value: bool) {
        self.add(Slot::Bool(value), Cell::Bool(value).size_bytes());
    }

    /// Adds a signed integer.
    pub fn int64(&mut self, number: i64) {
        self.add(Slot::Int64(number), Cell::Int64(number).size_bytes());
    }

    /// Adds an unsigned integer.
    pub fn uint64(&mut self, number: u64) {
        self.add(Slot::Uint64(number), Cell::Uint64(number).size_bytes());
    }

    /// Adds a double.
    pub fn double(&mut self, number: f64) {
        self.add(Slot::Double(number), Cell::Double(number).size_bytes());
    }

    /// Adds text.
    pub fn text(&mut self, kind: TextKind, text: &str) {
        self.write(kind, |out| out.push_str(text));
    }

    /// Adds the text that `write` appends.
    pub fn write(&mut self, kind: TextKind, write: impl FnOnce(&mut String)) {
        let start = self.text.len();
        write(&mut self.text);
        let size_bytes = Cell::Text(kind, &self.text[start..]).size_bytes();
        self.add(Slot::Text(kind, Span::new(start, self.text.len())), size_bytes);
    }

    /// Adds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.add(Slot::Bytes(Span::new(start, self.bytes.len())), Cell::Bytes(bytes).size_bytes());
    }

    /// Adds text, or bytes where it is not UTF-8.
    pub fn text_or_bytes(&mut self, kind: TextKind, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(kind, text),
            Err(_) => self.bytes(bytes),
        }
    }

    /// Adds a value of any kind.
    pub fn value(&mut self, value: Value) {
        match Cell::from(&value) {
            Cell::Null => self.null(),
            Cell::Bool(value) => self.bool(value),
            Cell::Int64(number) => self.int64(number),
            Cell::Uint64(number) => self.uint64(number),
            Cell::Double(number) => self.double(number),
            Cell::Text(kind, text) => self.text(kind, text),
            Cell::Bytes(bytes) => self.bytes(bytes),
            array @ Cell::Array(_) => {
                let size_bytes = array.size_bytes();
                if let Value::Array(items) = value {
                    self.add(Slot::Array(Box::new(items)), size_bytes);
                }
            }
        }
    }

    /// The value of the one cell that `write` adds.
    pub fn single(write: impl FnOnce(&mut Self)) -> Value {
        let mut batch = Self::default();
        write(&mut batch);
        batch.open_row().next().map_or(Value::Null, Value::from)
    }

    /// Takes the ended rows out; what is written next has a little more room than they had, because a batch of about
    /// their size that outgrew it would be copied once more.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let roomy = |count: usize| count + count / 8;
        let Mark { slots, text, bytes } = self.ended;
        let empty = Self {
            slots: Vec::with_capacity(roomy(slots)),
            text: String::with_capacity(roomy(text)),
            bytes: Vec::with_capacity(roomy(bytes)),
            ..Self::default()
        };
        std::mem::replace(self, empty)
    }

    /// Ends the row that was written.
    pub fn end_row(&mut self) {
        self.ended = Mark { slots: self.slots.len(), text: self.text.len(), bytes: self.bytes.len() };
        self.open_bytes = 0;
        self.row_count += 1;
    }

    /// Takes back the cells since the last ended row.
    pub fn drop_row(&mut self) {
        self.slots.truncate(self.ended.slots);
        self.text.truncate(self.ended.text);
        self.bytes.truncate(self.ended.bytes);
        self.open_bytes = 0;
    }

    /// How many bytes the open row takes on the wire.
    #[must_use]
    pub fn open_row_bytes(&self) -> usize {
        framed(self.open_bytes)
    }

    /// The cells of the open row.
    pub fn open_row(&self) -> impl Iterator<Item = Cell<'_>> {
        self.slots[self.ended.slots..].iter().map(|slot| self.cell_of(slot))
    }

    /// Ended rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.row_count
    }

    /// Whether there is no ended row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.row_count == 0
    }

    /// Bytes of all text and bytes in it.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        self.ended.text + self.ended.bytes
    }

    /// The ended rows, each as its cells.
    pub fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = Cell<'_>>> {
        let width = self.width();
        (0..self.row_count).map(move |row| self.slots[row * width..][..width].iter().map(|slot| self.cell_of(slot)))
    }

    /// The cells of a column, one for each ended row. A column that the rows do not have is empty.
    pub fn column(&self, column: usize) -> impl Iterator<Item = Cell<'_>> {
        let width = self.width();
        let from = if column < width { column } else { self.ended.slots };
        self.slots[from..self.ended.slots].iter().step_by(width.max(1)).map(|slot| self.cell_of(slot))
    }

    /// The ended rows as values.
    #[must_use]
    pub fn to_rows(&self) -> Vec<Row> {
        self.rows().map(|row| row.map(Value::from).collect()).collect()
    }

    fn width(&self) -> usize {
        self.ended.slots / self.row_count.max(1)
    }

    fn add(&mut self, slot: Slot, size_bytes: usize) {
        self.slots.push(slot);
        self.open_bytes += size_bytes;
    }

    #[inline]
    fn cell_of<'a>(&'a self, slot: &'a Slot) -> Cell<'a> {
        match slot {
            Slot::Null => Cell::Null,
            Slot::Bool(value) => Cell::Bool(*value),
            Slot::Int64(number) => Cell::Int64(*number),
            Slot::Uint64(number) => Cell::Uint64(*number),
            Slot::Double(number) => Cell::Double(*number),
            Slot::Text(kind, span) => Cell::Text(*kind, &self.text[span.range()]),
            Slot::Bytes(span) => Cell::Bytes(&self.bytes[span.range()]),
            Slot::Array(items) => Cell::Array(items),
        }
    }
}

impl From<Batch> for Vec<Row> {
    fn from(batch: Batch) -> Self {
        batch.to_rows()
    }
}

impl From<Vec<Row>> for Batch {
    fn from(rows: Vec<Row>) -> Self {
        let mut batch = Self::default();
        for row in rows {
            for cell in row {
                batch.value(cell);
            }
            batch.end_row();
        }
        batch
    }
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: place(start), end: place(end) }
    }

    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Cell<'_> {
    /// How many bytes the cell takes on the wire: a field of a message `pulse.v1.Value`
    /// (<https://protobuf.dev/programming-guides/encoding/>).
    #[must_use]
    pub fn size_bytes(self) -> usize {
        framed(self.body_bytes())
    }

    /// How many bytes the message itself takes.
    #[must_use]
    pub fn body_bytes(self) -> usize {
        /// Fields from the sixteenth on have a tag of two bytes.
        const LATE: usize = 1;
        match self {
            Self::Null | Self::Bool(_) => 2,
            Self::Int64(number) => 1 + varint_bytes(number.cast_unsigned()),
            Self::Uint64(number) => 1 + varint_bytes(number),
            Self::Double(_) => 9,
            Self::Text(TextKind::Other, text) => LATE + framed(text.len()),
            Self::Text(_, text) => framed(text.len()),
            Self::Bytes(bytes) => framed(bytes.len()),
            Self::Array(items) => LATE + framed(items.iter().map(Value::size_bytes).sum()),
        }
    }
}

/// Bytes of a field that holds so many: its tag, their number, they themselves.
fn framed(body_bytes: usize) -> usize {
    1 + varint_bytes(body_bytes as u64) + body_bytes
}

/// Seven bits a byte.
fn varint_bytes(number: u64) -> usize {
    let bits = u64::BITS - (number | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

impl<'a> From<&'a Value> for Cell<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int64(number) => Self::Int64(*number),
            Value::Uint64(number) => Self::Uint64(*number),
            Value::Double(number) => Self::Double(*number),
            Value::Decimal(text) => Self::Text(TextKind::Decimal, text),
            Value::String(text) => Self::Text(TextKind::String, text),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::Date(text) => Self::Text(TextKind::Date, text),
            Value::Time(text) => Self::Text(TextKind::Time, text),
            Value::Timestamp(text) => Self::Text(TextKind::Timestamp, text),
            Value::TimestampTz(text) => Self::Text(TextKind::TimestampTz, text),
            Value::Interval(text) => Self::Text(TextKind::Interval, text),
            Value::Uuid(text) => Self::Text(TextKind::Uuid, text),
            Value::Json(text) => Self::Text(TextKind::Json, text),
            Value::Array(items) => Self::Array(items),
            Value::Other(text) => Self::Text(TextKind::Other, text),
        }
    }
}

impl From<Cell<'_>> for Value {
    fn from(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Bool(value) => Self::Bool(value),
            Cell::Int64(number) => Self::Int64(number),
            Cell::Uint64(number) => Self::Uint64(number),
            Cell::Double(number) => Self::Double(number),
            Cell::Text(kind, text) => kind.value(text.to_owned()),
            Cell::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            Cell::Array(items) => Self::Array(items.to_vec()),
        }
    }
}

impl TextKind {
    /// The value that this text is.
    #[must_use]
    pub fn value(self, text: String) -> Value {
        match self {
            Self::Decimal => Value::Decimal(text),
            Self::String => Value::String(text),
            Self::Date => Value::Date(text),
            Self::Time => Value::Time(text),
            Self::Timestamp => Value::Timestamp(text),
            Self::TimestampTz => Value::TimestampTz(text),
            Self::Interval => Value::Interval(text),
            Self::Uuid => Value::Uuid(text),
            Self::Json => Value::Json(text),
            Self::Other => Value::Other(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_every_kind() -> Row {
        let text = || "é".repeat(70);
        vec![
            Value::Null,
            Value::Bool(true),
            Value::Int64(-1),
            Value::Uint64(u64::MAX),
            Value::Double(0.5),
            Value::Decimal("-12.30".into()),
            Value::String(String::new()),
            Value::Bytes(vec![0, 255]),
            Value::Date("2024-02-29".into()),
            Value::Time("13:45:00".into()),
            Value::Timestamp("2024-02-29T13:45:00".into()),
            Value::TimestampTz("2024-02-29T13:45:00Z".into()),
            Value::Interval("P1D".into()),
            Value::Uuid("00000000-0000-0000-0000-000000000000".into()),
            Value::Json("{}".into()),
            Value::Array(vec![Value::Null, Value::Array(vec![Value::Int64(7)])]),
            Value::Other(text()),
        ]
    }

    #[test]
    fn rows_come_back_as_they_were_written() {
        let rows = vec![of_every_kind(), of_every_kind().into_iter().rev().collect()];
        let batch = Batch::from(rows.clone());
        assert_eq!((batch.row_count(), batch.to_rows()), (2, rows.clone()));
        let last: Vec<Value> = batch.column(16).map(Value::from).collect();
        assert_eq!(last, [rows[0][16].clone(), rows[1][16].clone()]);
        assert_eq!(batch.column(17).count(), 0);
    }

    #[test]
    fn a_row_that_is_taken_back_leaves_nothing() {
        let mut batch = Batch::from(vec![of_every_kind()]);
        let before = batch.clone();
        for cell in of_every_kind() {
            batch.value(cell);
        }
        assert_eq!(batch.open_row().count(), 17);
        assert!(batch.open_row_bytes() > 100);
        batch.drop_row();
        assert_eq!(batch, before);
    }

    #[test]
    fn rows_may_have_no_cells() {
        let batch = Batch::from(vec![Vec::new(), Vec::new()]);
        assert_eq!((batch.row_count(), batch.to_rows()), (2, vec![Vec::new(), Vec::new()]));
        assert_eq!(batch.column(0).count(), 0);
    }
}
