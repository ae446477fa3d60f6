//! The `pulse` program: what a person at a shell can do. Everything but `serve`, `eval`, `model` and `guard` talks gRPC, like any client.

mod answer;
mod ask;
mod client;
mod command;
mod demo;
mod descriptors;
mod eval;
mod figures;
mod guard;
mod health;
mod json;
mod knowledge;
mod model;
mod output;
mod progress;
mod serve;
mod table;

pub use command::{Program, run};
