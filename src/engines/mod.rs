//! Who plays the agents' roles. Facts are handed in; nothing in here reaches a database.

pub mod builtin;
pub mod openai;
pub mod schema_index;
