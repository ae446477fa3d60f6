//! MySQL and MariaDB targets, through sqlx.
//!
//! Statements of callers go through the binary protocol's prepared statements only, where the server itself sees to it
//! that there is one; Pulse's own go through the text protocol, whose answers are all text. Reads run in sessions that
//! the server holds to reading; writes have sessions of their own, which exist only when the connection admits writes.

mod bind;
mod catalog;
mod cell;
mod error;
mod geometry;
mod grants;
mod run;
mod sample;
mod session;
mod target;
mod types;

pub(super) use target::Mysql;
