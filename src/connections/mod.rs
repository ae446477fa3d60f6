//! Use case: register, test, describe and remove databases.
//!
//! A [`Spec`] is what a person writes. [`Directory`] checks it, tries it, saves it with its secrets sealed by the
//! [`Vault`], and hands out the open database behind it. SQLite files stay inside one folder, servers behind the policy
//! for hosts.

mod change;
mod directory;
mod failures;
mod folder;
mod names;
mod open;
mod pem;
mod spec;
mod target;
mod url;
pub mod vault;

#[cfg(test)]
mod tests;

pub use change::Change;
pub use directory::{CreateOptions, Description, Directory, Options, Saved, TestReport, Tested};
pub use failures::{from_store, from_target};
pub use spec::Spec;
pub use vault::Vault;
