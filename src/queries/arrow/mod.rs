//! A result as one Apache Arrow IPC stream: schema, a record batch for each batch of rows, end of stream.
//!
//! Exactness first: nothing is rounded, shifted, or silently cut or NULL. The schema goes out before the first row, and
//! not every column keeps what its type promises (SQLite types each cell by itself; a DATE may be `infinity`), so each
//! column takes the first Arrow type that holds every cell of the **first batch**, its own first (`shape`). A later
//! cell that does not fit ends the stream with an error that names column and row. `docs/arrow.md` has the table.

mod array;
mod encoder;
mod moment;
mod shape;
#[cfg(test)]
mod tests;

pub use encoder::Encoder;
