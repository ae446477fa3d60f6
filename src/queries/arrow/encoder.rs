//! The stream itself.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_buffer::Buffer;
use arrow_ipc::writer::StreamEncoder;
use arrow_schema::{ArrowError, Schema, SchemaRef};
use prost::bytes::{Bytes, BytesMut};

use super::array::Cells;
use super::shape::Shape;
use crate::domain::{Batch, Cell, DatabaseKind, Failure, Reason, ResultColumn, TextKind};

/// Most bytes of one piece: what is longer is cut, anywhere.
const MAX_PIECE_BYTES: usize = 1 << 20;

/// Turns the batches of one result into the bytes of one Arrow IPC stream, uncompressed. All pieces, joined, are the
/// stream; it holds no rows between calls.
///
/// The pieces of one call lie in one buffer. Once they are dropped, those of the next call take its place.
pub struct Encoder {
    database: DatabaseKind,
    columns: Vec<ResultColumn>,
    /// Known from the first batch on.
    stream: Option<Stream>,
    row_count: u64,
    buffer: BytesMut,
}

struct Stream {
    shapes: Vec<Shape>,
    schema: SchemaRef,
    encoder: StreamEncoder,
}

impl Encoder {
    /// An encoder for a result of a database of this kind with these columns.
    #[must_use]
    pub fn new(database: DatabaseKind, columns: Vec<ResultColumn>) -> Self {
        Self { database, columns, stream: None, row_count: 0, buffer: BytesMut::new() }
    }

    /// The next bytes: one record batch, before the first one the schema. `FIELD_INVALID` of `format` when a cell does
    /// not fit the type that its column got from the first batch.
    pub fn encode(&mut self, batch: &Batch) -> Result<Vec<Bytes>, Failure> {
        let (stream, arrays) = if let Some(stream) = &mut self.stream {
            let arrays = arrays(&stream.shapes, &self.columns, batch, self.row_count)?;
            (stream, arrays)
        } else {
            let (shapes, arrays) = choose(self.database, &self.columns, batch)?;
            (self.stream.insert(Stream::open(&self.columns, shapes)?), arrays)
        };
        self.row_count += batch.row_count() as u64;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.row_count()));
        let record = RecordBatch::try_new_with_options(stream.schema.clone(), arrays, &options).map_err(internal)?;
        Ok(pieces(&stream.encoder.encode(&record).map_err(internal)?, &mut self.buffer))
    }

    /// The last bytes: the end of the stream, and its schema when there were no rows.
    pub fn finish(&mut self) -> Result<Vec<Bytes>, Failure> {
        let stream = if let Some(stream) = self.stream.take() {
            stream
        } else {
            let (shapes, _) = choose(self.database, &self.columns, &Batch::default())?;
            Stream::open(&self.columns, shapes)?
        };
        Ok(pieces(&stream.encoder.finish().map_err(internal)?, &mut self.buffer))
    }
}

impl Stream {
    fn open(columns: &[ResultColumn], shapes: Vec<Shape>) -> Result<Self, Failure> {
        let fields: Vec<_> = columns.iter().zip(&shapes).map(|(column, shape)| shape.field(column)).collect();
        let schema = Schema::new(fields);
        let encoder = StreamEncoder::try_new(&schema).map_err(internal)?;
        Ok(Self { shapes, schema: Arc::new(schema), encoder })
    }
}

/// For each column the first shape that holds all its cells, and the cells in it.
fn choose(
    database: DatabaseKind,
    columns: &[ResultColumn],
    batch: &Batch,
) -> Result<(Vec<Shape>, Vec<ArrayRef>), Failure> {
    let mut chosen = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let cells = Cells { batch, column: index };
        let mut fitting = Err((Shape::Binary, 0));
        for shape in Shape::candidates(database, column, cells.are_null()) {
            fitting = shape.array(cells).map(|array| (shape, array)).map_err(|row| (shape, row));
            if fitting.is_ok() {
                break;
            }
        }
        chosen.push(fitting.map_err(|(shape, row)| misfit(columns, shape, cells, row, 0))?);
    }
    Ok(chosen.into_iter().unzip())
}

/// The cells of each column in its shape; `before` is how many rows came earlier.
fn arrays(shapes: &[Shape], columns: &[ResultColumn], batch: &Batch, before: u64) -> Result<Vec<ArrayRef>, Failure> {
    let array = |(index, shape): (usize, &Shape)| {
        let cells = Cells { batch, column: index };
        shape.array(cells).map_err(|row| misfit(columns, *shape, cells, row, before))
    };
    shapes.iter().enumerate().map(array).collect()
}

/// Says of a cell where it is, and never what it holds.
fn misfit(columns: &[ResultColumn], shape: Shape, cells: Cells<'_>, row: usize, before: u64) -> Failure {
    let name = &columns[cells.column].name;
    let (ordinal, number) = (cells.column + 1, before + row as u64 + 1);
    let (announced, found) = (shape.data_type(), noun(cells.get(row).unwrap_or(Cell::Null)));
    let problem = format!(
        "column {ordinal} `{name}` was announced to Arrow as {announced}, and row {number} holds {found} that does not \
         fit it; CAST the column to one type in the SQL, such as text, or ask for ROWS"
    );
    Failure::field("format", problem).with("column", name).with("row", number)
}

fn noun(cell: Cell<'_>) -> &'static str {
    match cell {
        Cell::Null => "a NULL",
        Cell::Bool(_) => "a boolean",
        Cell::Int64(_) | Cell::Uint64(_) => "an integer",
        Cell::Double(_) => "a floating point number",
        Cell::Bytes(_) => "bytes",
        Cell::Array(_) => "an array",
        Cell::Text(kind, _) => match kind {
            TextKind::Decimal => "a decimal",
            TextKind::String | TextKind::Other => "a text",
            TextKind::Date => "a date",
            TextKind::Time => "a time",
            TextKind::Timestamp => "a date and time",
            TextKind::TimestampTz => "an instant",
            TextKind::Interval => "an interval",
            TextKind::Uuid => "a UUID",
            TextKind::Json => "JSON",
        },
    }
}

/// The parts one after the other, cut where a piece is full.
fn pieces(parts: &[Buffer], buffer: &mut BytesMut) -> Vec<Bytes> {
    buffer.reserve(parts.iter().map(Buffer::len).sum());
    for part in parts {
        buffer.extend_from_slice(part);
    }
    let mut pieces = Vec::with_capacity(buffer.len().div_ceil(MAX_PIECE_BYTES));
    while !buffer.is_empty() {
        pieces.push(buffer.split_to(buffer.len().min(MAX_PIECE_BYTES)).freeze());
    }
    pieces
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` hands over")]
fn internal(error: ArrowError) -> Failure {
    tracing::error!(cause = %error, "query.arrow");
    Failure::new(Reason::Internal, "The result could not be written as Arrow because of a fault in Pulse.")
}
