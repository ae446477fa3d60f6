//! Use case: save, test, describe and remove database connections.
//!
//! [`Directory`] is what the rest of the program uses. [`Spec`] is what a caller says of a connection, unchecked;
//! [`Vault`] seals its secrets; the path of a SQLite file is checked each time it is opened.

mod directory;
mod failures;
mod spec;
mod sqlite_path;
mod vault;

pub use directory::{Change, CreateOptions, Directory, Options, TestReport, Tested};
pub use failures::{from_sql, from_store};
pub use spec::Spec;
pub use vault::Vault;
