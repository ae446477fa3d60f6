//! The `pulse` program: what a person at a shell can do. Everything but `serve` and `eval` talks gRPC, like any client.

mod ask;
mod client;
mod command;
mod demo;
mod descriptors;
mod eval;
mod guard;
mod health;
mod json;
mod progress;
mod serve;
mod table;

pub use command::{Program, run};
