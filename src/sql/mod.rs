//! All knowledge of SQL: what may run, what a statement refers to, and the databases it runs on.
//!
//! Read [`guard`] first: it turns text into a [`GuardedSql`], the only thing that [`Database`] executes. [`analyse`]
//! turns one into plain facts. [`sqlite`] holds what is special to SQLite: opening files, catalog, values, cells.

pub mod analyse;
mod column_type;
mod database;
mod error;
pub mod guard;
pub mod sqlite;

pub use database::{
    Batch, Database, Limits, Options, ResultSet, RowStream, SampleBounds, ServerInfo, Summary, Target, Truncation,
};
pub use error::Error;
pub use guard::GuardedSql;
pub use sqlite::Plan;
