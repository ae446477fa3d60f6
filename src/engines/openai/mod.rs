//! The agents as played by a language model: planner, mapper and composer over [`crate::llm::ChatModel`].
//!
//! One call answers all three by default, each in its own part of one JSON object; every agent is done as soon as its
//! part has arrived, and the call goes on behind it: `call`, `player`. After a crash or a bad answer only the rest is
//! asked for. What the model is told of the database is the `card`, as data inside a `fence`; its rules are the files in
//! `prompts/`. Names are given to the model as they are, not as aliases, so its SQL goes through the guard like anybody's.

mod approaches;
mod ask;
mod call;
mod card;
mod composer;
mod echo;
mod failures;
mod fence;
mod fields;
mod mapper;
mod meaning;
mod names;
mod planner;
mod player;
mod reviewer;
mod role;
mod team;
mod tokens;
mod wire;

pub use card::{Context, context};
pub use fence::without_nonces;
pub use team::{Calls, Models, Options, Temperatures, prompt_version, team};
