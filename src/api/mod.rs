//! The gRPC edge: parse, call, convert.
//!
//! [`serve`] puts everything together; [`connection_service`], [`knowledge_service`], [`query_service`] and
//! [`workflow_service`] hold one short handler per RPC. `from_pb` and `to_pb` are the only places where wire types meet ours, `status` is the only place
//! where a failure becomes a gRPC status.

mod connection_service;
mod corked;
mod from_pb;
mod identity;
mod knowledge_service;
mod layers;
mod listener;
mod page_token;
mod pages;
mod query_service;
mod server;
mod status;
mod to_pb;
mod watch;
mod workflow_service;

pub use identity::{ApiKeys, MalformedKeys};
pub use listener::Limits;
pub use server::{Options, Parts, serve};
