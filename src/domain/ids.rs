//! Typed identifiers: UUIDv7 (RFC 9562), so that ids sort by creation time and one kind never passes for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id that sorts after every id made before it in this process.
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id that a store kept as a plain UUID.
            #[must_use]
            pub fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The plain UUID.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }

            /// The 16 bytes in network order.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(formatter)
            }
        }

        /// Accepts the hyphenated form only, in either case.
        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                let id = Uuid::try_parse(text).map_err(|_| MalformedId)?;
                if text.len() == 36 { Ok(Self(id)) } else { Err(MalformedId) }
            }
        }
    };
}

uuid_newtype! {
    /// Names a saved database connection.
    ConnectionId
}
uuid_newtype! {
    /// Names a workflow: one question and everything that was done to answer it.
    WorkflowId
}
uuid_newtype! {
    /// Names a verified example of a connection.
    ExampleId
}

/// The text is not a UUID such as `0197a3c4-5b1e-7c3d-8f00-123456789abc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID in the form 0197a3c4-5b1e-7c3d-8f00-123456789abc")]
pub struct MalformedId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_sort_by_time() {
        let first = WorkflowId::generate();
        let second = WorkflowId::generate();
        assert!(first < second);
        assert_eq!(first.to_string().parse(), Ok(first));
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in ["", "7", "0197a3c45b1e7c3d8f00123456789abc", "{0197a3c4-5b1e-7c3d-8f00-123456789abc}"] {
            assert_eq!(text.parse::<ConnectionId>(), Err(MalformedId), "{text}");
        }
    }
}
