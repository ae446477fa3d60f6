//! Tests over real gRPC, HTTP and processes.
//! Tests through the doors that users have.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod llm;
mod openai_engine;
mod support;
