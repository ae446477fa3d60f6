//! The store of a single process: one SQLite file, nothing to install.
//!
//! What is acknowledged is on the disk, power cuts included: WAL with `synchronous=FULL`. One writer puts all writes
//! that wait into one transaction (group commit), so that many workflows share the cost of a sync. Another process on
//! the same file is refused.

mod connections;
mod error;
mod file;
mod handle;
mod knowledge;
mod migrations;
mod requests;
#[cfg(test)]
mod tests;
mod workflows;
mod writer;

pub use error::OpenError;
pub use handle::{Embedded, Options};
