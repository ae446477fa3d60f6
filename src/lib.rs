//! Pulse: chat with SQL databases over gRPC.

pub mod agents;
pub mod config;
pub mod demo;
pub mod domain;
pub mod lifecycle;
pub mod pb;
pub mod engines;
pub mod llm;
pub mod store;
pub mod telemetry;
