//! Tests over real gRPC, HTTP and processes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod crash;
mod feedback;
mod llm;
mod openai_engine;
mod shop_questions;
mod stopping;
mod support;
mod watch;
mod workflow;
