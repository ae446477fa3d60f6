//! Pulse: chat with SQL databases over gRPC.

pub mod agents;
pub mod domain;
pub mod store;
//! Chat with SQL databases over gRPC.

pub mod pb;
