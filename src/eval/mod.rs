//! Measures on suites of questions: what the built-in engine answers, one prediction a line, to be scored by its
//! results; and whether a model would be told what a question needs.

mod context;
mod run;
mod suite;

pub use context::{ContextOptions, ContextReport, measure_context};
pub use run::{Error, Options, Progress, Report, run};
