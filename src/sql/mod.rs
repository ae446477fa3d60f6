//! All knowledge of SQL and of the databases that speak it.
//!
//! Text becomes a [`GuardedSql`] through [`guard::check`], the only way to get one, and [`Database`] runs nothing else.
//! [`analyse`] says as plain data what such a statement reads. A [`Database`] stands for one target: opened lazily,
//! read-only, with bounds on connections, time, rows and bytes. `sqlite`, `postgres` and `mysql` each know one system;
//! what the two servers have in common (hosts, sessions, cancelling) is in `server`.

pub mod analyse;
mod catalog;
mod database;
mod digits;
mod error;
mod failure;
pub mod guard;
mod mysql;
mod output;
mod permits;
mod plan;
mod postgres;
mod result;
mod routines;
pub mod server;
pub mod sqlite;

pub use database::{Database, Options, ServerInfo, Target};
pub use error::{Error, Unreachable};
pub use guard::GuardedSql;
pub use plan::Plan;
pub use result::{Limits, ResultSet, RowStream, Summary, Truncation, Written};
pub use server::{HostList, HostPolicy, ServerTarget};
pub use sqlite::SampleBounds;
