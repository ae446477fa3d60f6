//! Where the rows of a statement go: held whole, or handed over in batches.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::consume_budget;

use super::result::{BATCH_BYTES, Meter};
use super::{Error, Limits, ResultSet, Summary, Truncation};
use crate::domain::{Batch, ResultColumn};

/// Takes columns and rows, within limits.
#[derive(Debug)]
pub(super) struct Output {
    pub meter: Meter,
    columns: Vec<ResultColumn>,
    batch: Batch,
    handed_over_bytes: u64,
    reader: Option<Reader>,
    keeps_what_fits: bool,
}

#[derive(Debug)]
struct Reader {
    header: Option<oneshot::Sender<Vec<ResultColumn>>>,
    batches: mpsc::Sender<Batch>,
}

impl Output {
    /// Holds everything until [`Self::whole`].
    pub fn held(limits: Limits) -> Self {
        Self {
            meter: Meter::new(limits),
            columns: Vec::new(),
            batch: Batch::default(),
            handed_over_bytes: 0,
            reader: None,
            keeps_what_fits: false,
        }
    }

    /// Sends columns and batches to a reader, and waits while it does not take them.
    pub fn streamed(limits: Limits, header: oneshot::Sender<Vec<ResultColumn>>, batches: mpsc::Sender<Batch>) -> Self {
        Self { reader: Some(Reader { header: Some(header), batches }), ..Self::held(limits) }
    }

    /// From here on rows that do not fit are left out, and the others wanted all the same: for a statement that writes,
    /// which must run to its end.
    pub fn keep_what_fits(&mut self) {
        self.keeps_what_fits = true;
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
        self.meter.cell(size_bytes, || name(&self.columns, column))
    }

    /// Where the cells of the next row are written.
    pub fn row(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// Takes the row that was written; `false` when it does not fit, so that no further one is wanted.
    pub fn take_row(&mut self) -> Result<bool, Error> {
        if self.meter.is_full() {
            self.batch.drop_row();
            return Ok(self.keeps_what_fits);
        }
        match self.meter.row(&mut self.batch, |column| name(&self.columns, column)) {
            Ok(fits) => Ok(fits || self.keeps_what_fits),
            Err(Error::ResultTooLarge { .. }) if self.keeps_what_fits => {
                self.meter.truncated = Some(Truncation::Bytes);
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// As [`Self::take_row`]; a full batch is handed over.
    pub async fn end_row(&mut self) -> Result<bool, Error> {
        // Rows that come faster than they are read would keep a thread of the runtime for long.
        consume_budget().await;
        let more = self.take_row()?;
        if self.is_due() {
            self.flush().await?;
        }
        Ok(more)
    }

    /// Whether a batch is full, and there is somebody to hand it to.
    pub fn is_due(&self) -> bool {
        self.reader.is_some() && self.meter.size_bytes - self.handed_over_bytes >= BATCH_BYTES
    }

    /// Hands over what waits, so that a reader has the last batch.
    pub async fn flush(&mut self) -> Result<(), Error> {
        let Some(reader) = &self.reader else { return Ok(()) };
        if self.batch.is_empty() {
            return Ok(());
        }
        self.handed_over_bytes = self.meter.size_bytes;
        reader.batches.send(self.batch.take()).await.map_err(|_gone| Error::Interrupted)
    }

    /// How a streamed result ended.
    pub fn summary(&self, execution_time: Duration) -> Summary {
        self.meter.summary(execution_time)
    }

    /// What was held.
    pub fn whole(self, execution_time: Duration) -> ResultSet {
        let rows = self.batch.to_rows();
        ResultSet { columns: self.columns, rows, truncated: self.meter.truncated, execution_time }
    }
}

fn name(columns: &[ResultColumn], column: usize) -> String {
    columns.get(column).map(|column| column.name.clone()).unwrap_or_default()
}
