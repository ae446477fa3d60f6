//! What is known of the databases that questions are asked of: their schema, the values in them, what people defined and
//! the examples that they verified.
//!
//! [`Service`] keeps definitions and examples, checked when they are saved and again when the schema changes.
//! [`Library::facts`] hands what is known, as far as it holds and concerns the question, to the workflow; agents get nothing else.

mod check;
mod complaint;
mod document;
mod library;
mod likeness;
mod limits;
mod secrets;
mod service;

pub use document::MAX_BYTES as MAX_DOCUMENT_BYTES;
pub use library::{Library, Options};
pub use service::{Change, Known, NewExample, Service, State, Verified};
