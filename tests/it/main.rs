//! Tests over real gRPC, HTTP and processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, helpers included"
)]

mod architecture;
mod bad_input;
mod cli;
mod connections;
mod contract;
mod edge;
mod identity;
mod python_client;
mod queries;
mod schema;
mod support;
