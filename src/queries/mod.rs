//! Use case: guard, limit, run, record. The one door through which statements reach a target database.

pub mod arrow;
mod doubts;
mod evidence;
mod service;
#[cfg(test)]
mod tests;
mod types;
mod writes;

pub use doubts::doubts;
pub use evidence::{column_of, table_of, unmatched_literals};
pub use service::{Databases, Service, formula};
pub use types::{
    Intent, Options, Plan, QueryResult, QueryStream, RequestedLimits, Statement, StreamItem, StreamSummary, Truncation,
    Validation,
};
