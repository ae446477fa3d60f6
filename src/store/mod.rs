//! Where records live: connections, request ids and the logs of workflows.
//!
//! [`Store`] is the seam; [`embedded`] is the store of a single process, [`redis`] the store of many replicas.

mod append;
#[cfg(test)]
mod contract;
pub mod embedded;
mod queue;
pub mod record;
pub mod redis;
mod search;
mod store_trait;
mod tails;

#[cfg(test)]
pub(crate) use append::Turn;
#[cfg(test)]
pub(crate) use queue::Queue;
pub use store_trait::{Claim, Error, Events, Lease, ListFilter, Store, StoredWorkflow, Work};
