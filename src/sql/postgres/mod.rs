//! PostgreSQL targets, through sqlx.
//!
//! A session is read-only from its first moment. Statements run over the extended protocol and come back binary; results
//! with types whose binary form only PostgreSQL itself can print are read through a cursor as text. Both give the same values.

mod binary;
mod bind;
mod calendar;
mod catalog;
mod error;
mod hidden_calls;
mod run;
mod sample;
mod session;
mod target;
mod text;
mod types;

pub(super) use target::Postgres;
