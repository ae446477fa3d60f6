//! Use case: register, test, describe and remove databases.
//!
//! A [`Spec`] is what a person writes. [`Directory`] checks it, tries it, saves it with its secrets sealed by the
//! [`Vault`], and hands out the open database behind it. SQLite files stay inside one folder.

mod change;
mod directory;
mod failures;
mod folder;
mod spec;
mod url;
pub mod vault;

#[cfg(test)]
mod tests;

pub use change::Change;
pub use directory::{CreateOptions, Directory, Options, TestReport, Tested};
pub use spec::Spec;
pub use vault::Vault;
