//! The product's own demo database: a small online shop, so that a first question can be asked
//! before any database is connected.
//!
//! Everything in it is made by this module from word lists and a fixed seed, so every installation
//! sees the same rows: about forty thousand of them in eleven tables, over the three years
//! 2023-01-01 to 2025-12-31. All people, firms and events are invented.
//!
//! ```text
//! create.rs      the file: written beside its final name, then moved into place
//! schema.rs      tables and indexes, as SQL text
//! generate.rs    the conductor, and what the shop starts with: catalogue, staff, customers
//! sales.rs       what then happens: orders, their items, payments, shipments, reviews
//! calendar.rs    days of the three years and how busy each one is
//! random.rs      the deterministic generator
//! words.rs       names, places, products, comments
//! ```
//!
//! All of this is blocking code: call it from a blocking thread.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "indexes into lists of a few dozen entries, and amounts of a small shop in cents"
)]

mod calendar;
mod create;
mod generate;
mod random;
mod sales;
mod schema;
mod words;

#[cfg(test)]
mod tests;

pub use create::{Created, Error, create_if_absent};

/// The file's name inside the data directory.
pub const DATABASE_FILE: &str = "demo.sqlite";

/// Questions to offer a newcomer: a count with a filter, a top list over a join, a sum per month.
pub const QUESTIONS: [&str; 3] = [
    "How many customers signed up in 2025?",
    "Which 5 products have sold the most units?",
    "What is the total payment amount per month in 2025?",
];
