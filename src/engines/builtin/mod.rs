//! The engine without a model: reads a question against names, values and keys of the schema, deterministically.
//!
//! Read in this order: [`words`] (tokens), [`idioms`] (turns of phrase), [`names`] and [`values`] (what words may mean),
//! [`cues`] (words that carry shape), [`chunks`], [`parse`] (a [`draft`] with open slots), [`resolve`] (targets for the
//! slots), [`joins`], [`build`] (the query [`tree`]), [`print`] (in the schema's [`dialect`]). [`interpret`] runs them all. Every word must be
//! explained, otherwise the engine says what it did not understand: it never guesses.

mod build;
mod chunks;
mod cues;
mod dates;
mod defined;
mod dialect;
mod draft;
mod explain;
mod idioms;
mod joins;
mod names;
mod outputs;
mod parse;
mod print;
mod reading;
mod resolve;
mod synonyms;
mod team;
#[cfg(test)]
mod tests;
mod tree;
mod values;
mod words;

pub use reading::{Abstention, Lexicon, Reading, interpret};
pub use team::team;
