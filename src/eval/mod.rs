//! Measures the built-in engine on a suite of questions: one prediction a line, to be scored by its results.

mod run;
mod suite;

pub use run::{Error, Options, Progress, Report, run};
