//! Use case: run SQL on a saved connection. The one door to execution: guard, limits, and a record of what ran.

mod evidence;
mod failures;
mod service;

pub use failures::from_refusal;
pub use service::{Options, QueryResult, QueryStream, RequestedLimits, Service, Statement, Validation};

pub use crate::sql::{Summary, Truncation};
