//! Pulse: chat with SQL databases over gRPC.

pub mod agents;
pub mod domain;
pub mod queries;
pub mod sql;
pub mod store;
pub mod workflow;
