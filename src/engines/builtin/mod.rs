//! The engine without a model: reads a question against names, values and keys of the schema, deterministically.
//!
//! Read in this order: [`words`] (tokens), [`idioms`] (turns of phrase), [`names`] and [`values`] (what words may mean),
//! [`cues`] (words that carry shape), [`chunks`], [`parse`] (a [`draft`] with open slots), [`resolve`] (targets for the
//! slots), [`joins`], [`build`] (the query [`tree`]), [`print`] (in the schema's [`dialect`]). [`interpret`] runs them all. Every word must be
//! explained, otherwise the engine says what it did not understand: it never guesses. Readings that are equally good are
//! [`ambiguity`], which is asked about; a [`conversation`] reads each question after the one before it, a [`followup`] with its help.

mod ambiguity;
mod build;
mod chunks;
mod conversation;
mod cues;
mod dates;
mod defined;
mod dialect;
mod draft;
mod explain;
mod followup;
mod idioms;
pub(super) mod joins;
pub(super) mod names;
mod outputs;
mod parse;
mod print;
mod reading;
mod resolve;
pub(super) mod synonyms;
mod team;
#[cfg(test)]
mod tests;
mod tree;
pub(super) mod values;
pub(super) mod words;

pub use reading::{Abstention, Lexicon, Reading, interpret};
pub use team::team;
