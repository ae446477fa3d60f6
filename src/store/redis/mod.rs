//! The store of many processes: one Redis (or Valkey), single, behind Sentinel, or a Cluster.
//!
//! Every change is one script, so that what belongs together is written together and a refusal leaves nothing behind.
//! Read in this order: `keys` (where things are), `scripts` (what is atomic with what), `link` (calls with a deadline,
//! and whether Redis answers), `keeper` (the tasks that watch over it), then the records: `connections`, `requests`,
//! `workflows`, and `queue` (who works on what).

mod connections;
mod handle;
mod keeper;
mod keys;
mod knowledge;
mod link;
mod queue;
mod requests;
mod scripts;
mod settings;
#[cfg(test)]
mod tests;
mod workflows;

pub use handle::{Options, Redis};
pub use settings::Settings;
