//! Where records live: connections, request ids and the logs of workflows.
//!
//! [`Store`] is the seam; [`embedded`] is the store of a single process, Redis the store of many replicas.

#[cfg(test)]
mod contract;
pub mod embedded;
pub mod record;
mod store_trait;

pub use store_trait::{Claim, Error, ListFilter, Store, StoredWorkflow};
