//! Measures on suites of questions: what an engine answers and how much of it is right; whether a model would be told
//! what a question needs; and what the validator says of correct statements.
//!
//! [`run`] reads with the built-in engine, [`ask`] runs workflows, on SQLite files or on a server; [`score`] runs what either
//! wrote.

mod context;
mod gold;
mod rows;
mod run;
mod score;
mod spread;
mod states;
mod suite;
mod workflows;

pub use context::{ContextOptions, ContextReport, measure_context};
pub use gold::{GoldReport, check_gold};
pub use run::{Answer, Error, Options, Progress, run};
pub use score::{BadGold, Figures, Scored, Tried, Verdict, score};
pub use states::{MAX_ROWS, TIMEOUT};
pub use suite::{Item, Predictions, Suite, without_second_state};
pub use workflows::{Connected, Databases, ServerUrl, ask, is_invalid};
