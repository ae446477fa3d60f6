//! Turns text into [`GuardedSql`], the only thing that is ever run.
//!
//! The order, in which each step can only refuse: size and characters, what the dialect hides in comments and names,
//! parsing, one statement, an allow-list over the syntax tree, relations, functions, sizes written as literals. The
//! database itself is told to refuse writes too; neither layer replaces the other.

mod check;
mod definitions;
mod expression;
mod formula;
mod functions;
mod grammar;
mod lexical;
mod pragma;
mod query;
mod range;
mod refusal;
mod relations;
mod settings;
mod show;
mod sizes;
mod statement;
#[cfg(test)]
mod tests;
mod tree;
mod workers;
mod writes;

pub use check::{Effect, GuardedSql, Policy, Writes, check};
pub use formula::formula;
pub(super) use refusal::Lines;
pub use refusal::{Refusal, Rule};
