//! Stored shapes: JSON with the version of the oldest reader that understands it.

use serde::{Deserialize, Serialize};

use crate::domain::Connection;

/// A connection as stored, its secrets sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionRecord {
    /// Oldest version of this shape that a reader must know; unknown fields are ignored.
    pub min_reader: u32,
    /// Everything but the secrets.
    pub connection: Connection,
    /// The secrets in the vault's envelope; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

impl ConnectionRecord {
    /// The version this build writes and reads.
    pub const VERSION: u32 = 1;
}

/// The version of events that this build writes and reads.
pub const EVENT_VERSION: i64 = 1;

/// Just the version of a stored text, readable whatever the rest has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// Oldest reader that understands the rest.
    pub min_reader: u32,
}

impl Version {
    /// The version of a stored text.
    pub fn of(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}
