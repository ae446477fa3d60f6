//! Where the rows of a server's statement go: held whole, or handed over in batches.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::domain::{ResultColumn, Row};
use crate::sql::result::{BATCH_BYTES, Meter};
use crate::sql::{Error, Limits, ResultSet, Summary, Truncation};

/// Takes columns and rows, within limits.
#[derive(Debug)]
pub(in crate::sql) struct Output {
    pub(in crate::sql) meter: Meter,
    columns: Vec<ResultColumn>,
    rows: Vec<Row>,
    waiting_bytes: u64,
    reader: Option<Reader>,
    keeps_what_fits: bool,
}

#[derive(Debug)]
struct Reader {
    header: Option<oneshot::Sender<Vec<ResultColumn>>>,
    batches: mpsc::Sender<Vec<Row>>,
}

impl Output {
    /// Holds everything until [`Self::whole`].
    pub fn held(limits: Limits) -> Self {
        Self {
            meter: Meter::new(limits),
            columns: Vec::new(),
            rows: Vec::new(),
            waiting_bytes: 0,
            reader: None,
            keeps_what_fits: false,
        }
    }

    /// From here on rows that do not fit are left out, and the others wanted all the same: for a statement that writes,
    /// which must run to its end.
    pub fn keep_what_fits(&mut self) {
        self.keeps_what_fits = true;
    }

    /// Sends columns and batches to a reader, and waits while it does not take them.
    pub fn streamed(
        limits: Limits,
        header: oneshot::Sender<Vec<ResultColumn>>,
        batches: mpsc::Sender<Vec<Row>>,
    ) -> Self {
        Self { reader: Some(Reader { header: Some(header), batches }), ..Self::held(limits) }
    }

    /// The columns; called once, before any row.
    pub fn columns(&mut self, columns: Vec<ResultColumn>) -> Result<(), Error> {
        self.columns = columns;
        match self.reader.as_mut().and_then(|reader| reader.header.take()) {
            Some(header) => header.send(self.columns.clone()).map_err(|_gone| Error::Interrupted),
            None => Ok(()),
        }
    }

    /// An error when a cell of this size is too large for any result; asked before the cell is copied.
    pub fn admit(&self, size_bytes: usize, column: usize) -> Result<(), Error> {
        if self.keeps_what_fits {
            return Ok(());
        }
        self.meter.cell(size_bytes, || self.columns.get(column).map(|column| column.name.clone()).unwrap_or_default())
    }

    /// The next row; `false` when it does not fit, so that no further one is wanted.
    pub async fn row(&mut self, row: Row) -> Result<bool, Error> {
        if self.meter.is_full() {
            return Ok(self.keeps_what_fits);
        }
        let columns = &self.columns;
        let name = |index: usize| columns.get(index).map(|column| column.name.clone()).unwrap_or_default();
        let size_bytes = match self.meter.row(&row, name) {
            Ok(Some(size_bytes)) => size_bytes,
            Ok(None) => return Ok(self.keeps_what_fits),
            Err(Error::ResultTooLarge { .. }) if self.keeps_what_fits => {
                self.meter.truncated = Some(Truncation::Bytes);
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        self.rows.push(row);
        self.waiting_bytes += size_bytes;
        if self.reader.is_some() && self.waiting_bytes >= BATCH_BYTES {
            self.flush().await?;
        }
        Ok(true)
    }

    /// Hands over what waits, so that a reader has the last batch.
    pub async fn flush(&mut self) -> Result<(), Error> {
        let Some(reader) = &self.reader else { return Ok(()) };
        if self.rows.is_empty() {
            return Ok(());
        }
        self.waiting_bytes = 0;
        let batch = std::mem::take(&mut self.rows);
        reader.batches.send(batch).await.map_err(|_gone| Error::Interrupted)
    }

    /// How a streamed result ended.
    pub fn summary(&self, execution_time: Duration) -> Summary {
        self.meter.summary(execution_time)
    }

    /// What was held.
    pub fn whole(self, execution_time: Duration) -> ResultSet {
        ResultSet { columns: self.columns, rows: self.rows, truncated: self.meter.truncated, execution_time }
    }
}
