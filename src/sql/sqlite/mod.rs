//! SQLite targets: blocking functions on a `rusqlite` connection. [`super::Database`] calls them on blocking threads.

mod catalog;
mod cell;
mod open;
mod run;
mod values;

pub use catalog::schema;
pub use open::{Interruption, Ticket, open};
pub use run::{Plan, explain, run};
pub use values::values;
