//! From a question to an answer: the orchestrator.
//!
//! A workflow *is* its numbered events. [`Engine`] runs workflows, [`Handle`] is what the rest of the program sees.
//! Read in this order: `plan` (which step needs which), `next` (what follows from the events so far: a pure
//! function, with `candidates` and `vote` for statements beside each other), `journal` (events on their way to the store and back), `executor` (one step), `dispatcher` (one
//! running workflow), `engine` and `handle`, `watch`. The steps that need a database are in `steps`; they reach it
//! through `databases` only.

mod admission;
mod answer;
mod candidates;
mod conversation;
mod crew;
mod databases;
mod dispatcher;
mod engine;
mod executor;
mod handle;
mod journal;
mod live;
mod next;
pub mod plan;
mod running;
mod steps;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_waiting;
mod vote;
mod watch;

pub use crew::Teams;
pub use databases::{Databases, Rows};
pub use engine::{Engine, Options, Parts};
pub use handle::{Handle, ResumeOptions, StartOptions};

pub use crate::domain::event::Cursor;
pub use crate::store::ListFilter;
