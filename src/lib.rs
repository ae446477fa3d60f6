//! Pulse: chat with SQL databases over gRPC. `ARCHITECTURE.md` is the map; the modules in reading order:

#![forbid(unsafe_code)]

pub mod agents;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod connections;
pub mod demo;
pub mod domain;
pub mod engines;
pub mod eval;
pub mod knowledge;
pub mod lifecycle;
pub mod llm;
pub mod pb;
pub mod queries;
pub mod sql;
pub mod store;
pub mod telemetry;
pub mod workflow;
