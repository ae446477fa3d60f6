//! All knowledge of SQL and of the databases that speak it.
//!
//! Text becomes a [`GuardedSql`] through [`guard::check`], the only way to get one, and [`Database`] runs nothing else.
//! [`analyse`] says as plain data what such a statement reads. A [`Database`] stands for one target: opened lazily,
//! read-only, with bounds on connections, time, rows and bytes.

pub mod analyse;
mod database;
mod error;
mod failure;
pub mod guard;
mod result;
pub mod sqlite;

pub use database::{Database, Options, ServerInfo, Target};
pub use error::Error;
pub use guard::GuardedSql;
pub use result::{Limits, ResultSet, RowStream, Summary, Truncation};
pub use sqlite::SampleBounds;
