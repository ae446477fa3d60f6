//! From text to [`GuardedSql`]: the only statements that ever run.
//!
//! Each step may only refuse: bounded text ([`lexical`](self)), parse, exactly one statement, an allow-list over the
//! syntax tree with exhaustive matches, relations, functions and dotted names, literal bounds. What cannot be parsed is
//! "not understood"; what is understood and refused is "not allowed". The database's own read-only session stands
//! below this, never instead of it.

mod check;
mod functions;
mod lexical;
mod tree;

#[cfg(test)]
mod tests;

pub use check::{GuardedSql, Policy, Refusal, RefusalKind, check};
