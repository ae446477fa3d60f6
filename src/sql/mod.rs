//! All knowledge of SQL and of the databases that speak it.

mod error;
pub mod sqlite;

pub use error::Error;
