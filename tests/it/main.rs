//! Tests over real gRPC, HTTP and processes.
