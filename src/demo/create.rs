//! Puts the demo database on disk: whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use uuid::Uuid;

use super::{generate, schema};

/// The seed every installation uses; the example questions and their answers belong to it.
pub(super) const SEED: u64 = 2_023;

/// What [`create_if_absent`] found or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The database was written by this call, with this many tables and rows.
    New {
        /// Tables.
        tables: usize,
        /// Rows of all of them.
        rows: usize,
    },
    /// There was a file already; it was not opened.
    Existing,
}

/// Why there is no demo database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be looked up, written out or moved into place.
    #[error("the demo database file {} cannot be written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite refused a statement, for example because the disk is full.
    #[error("the demo database cannot be filled")]
    Database(#[from] rusqlite::Error),
}

/// Makes sure the demo database is at `path`, whose directory must exist. Blocking.
///
/// A file that is already there is left alone and not even opened. Otherwise the database is
/// written under another name in the same directory, flushed to disk and renamed, so a reader or a
/// crash never meets half of it. Callers that race each write a file of equal content, and the
/// last rename wins.
///
/// # Errors
///
/// [`Error::File`] when the directory is missing or not writable, [`Error::Database`] when SQLite
/// cannot write. Neither leaves a file behind.
pub fn create_if_absent(path: &Path) -> Result<Created, Error> {
    let file_error = |source| Error::File { path: path.to_owned(), source };
    if path.try_exists().map_err(file_error)? {
        return Ok(Created::Existing);
    }
    let draft = Draft::beside(path).map_err(file_error)?;
    let rows = write(&draft.0)?;
    draft.publish(path).map_err(file_error)?;
    Ok(Created::New { tables: schema::TABLES.len(), rows })
}

/// Writes the whole database to `path` and returns its number of rows.
fn write(path: &Path) -> Result<usize, rusqlite::Error> {
    let mut connection = Connection::open(path)?;
    // A draft that fails is thrown away, so it needs neither a rollback journal nor flushes.
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
    let rows = fill(&mut connection, SEED)?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(rows)
}

/// Makes tables, rows and indexes in one transaction and returns the number of rows.
pub(super) fn fill(connection: &mut Connection, seed: u64) -> Result<usize, rusqlite::Error> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(schema::CREATE_TABLES)?;
    let rows = generate::rows(&transaction, seed)?;
    // Building an index over finished rows is cheaper than keeping it up to date.
    transaction.execute_batch(schema::CREATE_INDEXES)?;
    // Statistics let SQLite choose the right index from the first question on.
    transaction.execute_batch("ANALYZE")?;
    transaction.commit()?;
    Ok(rows)
}

/// A file that disappears with its owner unless it is published.
struct Draft(PathBuf);

impl Draft {
    /// Reserves a fresh name in the directory of `path`: a rename is atomic only within one file
    /// system.
    fn beside(path: &Path) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        // A process id would not do: two containers that share a directory may have the same one.
        name.push(format!(".{}.draft", Uuid::now_v7().simple()));
        let draft = path.with_file_name(name);
        File::create_new(&draft)?;
        Ok(Self(draft))
    }

    /// Flushes the file and gives it its final name.
    fn publish(self, path: &Path) -> io::Result<()> {
        File::options().write(true).open(&self.0)?.sync_all()?;
        fs::rename(&self.0, path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing left under this name, which is what we want.
        let _ = fs::remove_file(&self.0);
    }
}
