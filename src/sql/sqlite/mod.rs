//! SQLite targets, through rusqlite on blocking threads.
//!
//! [`schema`], [`values`] and [`execute`] are synchronous and work on a plain `rusqlite::Connection`: `pulse eval` and tests
//! use them directly, everything else goes through [`crate::sql::Database`], which uses the pool.

mod bind;
mod catalog;
mod cell;
mod declared;
mod open;
mod pool;
mod run;
mod sample;
#[cfg(test)]
mod tests;
mod threads;
mod watch;

pub use catalog::schema;
pub use declared::column_type;
pub use open::open;
pub(super) use pool::Pool;
pub use run::execute;
pub use sample::{SampleBounds, values};
