//! Measures on suites of questions: what an engine answers and how much of it is right; whether a model would be told
//! what a question needs; and what the validator says of correct statements.
//!
//! [`run`] reads with the built-in engine, [`ask`] runs workflows that a model plays; [`score`] runs what either wrote.

mod context;
mod gold;
mod run;
mod score;
mod spread;
mod suite;
mod workflows;

pub use context::{ContextOptions, ContextReport, measure_context};
pub use gold::{GoldReport, check_gold};
pub use run::{Answer, Error, Options, Progress, run};
pub use score::{Figures, MAX_ROWS, ScoreOptions, TIMEOUT, Verdict, score};
pub use suite::{Item, Suite};
pub use workflows::{ask, is_invalid};
