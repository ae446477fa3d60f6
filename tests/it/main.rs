//! Tests over real gRPC, HTTP and processes: through the doors that users have.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod api_docs;
mod approval;
mod architecture;
mod arrow;
mod bad_input;
mod browser;
mod cancel;
mod chaos;
mod cli;
mod connections;
mod containers;
mod contract;
mod conversation;
mod crash;
mod dialects;
mod edge;
mod eval;
mod feedback;
mod gateway;
mod grpc_web;
mod guard;
mod guard_on_servers;
mod identity;
mod injection;
mod llm;
mod model_check;
mod mysql;
mod openai_engine;
mod postgres;
mod python_client;
mod queries;
mod redis;
mod replicas;
mod schema;
mod server_connections;
mod servers;
mod shared_calls;
mod shop_questions;
mod stopping;
mod support;
mod validate;
mod watch;
mod workflow;
mod writes;
