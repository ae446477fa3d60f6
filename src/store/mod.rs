//! Where records live: connections, request ids and the logs of workflows.
//!
//! [`Store`] is the seam; [`embedded`] is the store of a single process, [`redis`] the store of many replicas.

mod append;
#[cfg(test)]
mod contract;
pub mod embedded;
pub mod record;
pub mod redis;
mod store_trait;
mod tails;

pub use store_trait::{Claim, Error, ListFilter, Store, StoredWorkflow};
