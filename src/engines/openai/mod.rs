//! The agents as played by a language model: planner, mapper and composer over [`crate::llm::ChatModel`].
//!
//! Each agent asks once, for one JSON object, and may ask once more when the answer does not hold: `ask`. What the
//! model is told of the database is the `card`, as data inside a `fence`; its rules are the files in `prompts/`.
//! Names are given to the model as they are, not as aliases, so its SQL goes through the guard like anybody's.

mod ask;
mod card;
mod composer;
mod failures;
mod fence;
mod mapper;
mod names;
mod planner;
mod team;
mod wire;

pub use team::{Models, Options, prompt_version, team};
