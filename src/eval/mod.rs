//! Measures on suites of questions: what the built-in engine answers, one prediction a line, to be scored by its
//! results; whether a model would be told what a question needs; and what the validator says of correct statements.

mod context;
mod gold;
mod run;
mod suite;

pub use context::{ContextOptions, ContextReport, measure_context};
pub use gold::{GoldReport, check_gold};
pub use run::{Error, Options, Progress, Report, run};
