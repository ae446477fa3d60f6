//! What Pulse knows of each database: its schema and its values, read once and handed to the agents as facts.

mod library;

pub use library::Library;
