//! Pulse: chat with SQL databases over gRPC.

pub mod agents;
pub mod connections;
pub mod domain;
pub mod engines;
pub mod eval;
pub mod knowledge;
pub mod queries;
pub mod sql;
pub mod store;
