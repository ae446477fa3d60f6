//! Chat with SQL databases over gRPC.

pub mod pb;
