//! What is known of the databases that questions are asked of: their schema and the values in them.
//!
//! [`Library::facts`] hands it to the workflow; agents get nothing else.

mod library;
mod secrets;

pub use library::{Library, Options};
