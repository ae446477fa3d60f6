//! SQLite targets, through rusqlite on blocking threads.
//!
//! The functions named here are synchronous and work on a plain `rusqlite::Connection`: `pulse eval` and tests use them
//! directly, everything else goes through [`crate::sql::Database`].

mod catalog;
mod declared;
mod sample;

pub use catalog::schema;
pub use declared::column_type;
pub use sample::{SampleBounds, values};
