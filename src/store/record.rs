//! Stored shapes: JSON with the version of the oldest reader that understands it. Every store keeps these texts.

use serde::{Deserialize, Serialize};

use super::Error;
use crate::domain::{Connection, ConnectionId, Definitions, Event, EventKind, Example, Rating, TenantId, WorkflowId};

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

    /// The stored text.
    pub(super) fn to_text(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|error| unreadable("a connection", &error))
    }

    /// Reads a stored text.
    pub(super) fn from_text(text: &str) -> Result<Self, Error> {
        let version = Version::of(text).map_err(|error| unreadable("a connection", &error))?;
        if version.min_reader > Self::VERSION {
            return Err(Error::Corrupt("a connection was written by a newer Pulse".to_owned()));
        }
        serde_json::from_str(text).map_err(|error| unreadable("a connection", &error))
    }
}

/// What is known of a connection's database, as stored. It lives as long as its connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnowledgeRecord {
    /// Oldest version of this shape that a reader must know; unknown fields are ignored, but for those of the definitions:
    /// they are written back as a whole, so a field added there raises the version.
    pub min_reader: u32,
    /// Whose it is.
    pub tenant: TenantId,
    /// The connection.
    pub connection: ConnectionId,
    /// Another with every change.
    pub etag: String,
    /// When it was changed last.
    pub update_time: jiff::Timestamp,
    /// What people defined.
    pub definitions: Definitions,
    /// Fingerprint of the schema on which the definitions were accepted.
    pub fingerprint: String,
    /// Verified examples, oldest first.
    pub examples: Vec<Example>,
}

impl KnowledgeRecord {
    /// The version this build writes and reads.
    pub const VERSION: u32 = 1;

    /// The stored text.
    pub(super) fn to_text(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|error| unreadable("knowledge of a connection", &error))
    }

    /// Reads a stored text.
    pub(super) fn from_text(text: &str) -> Result<Self, Error> {
        let version = Version::of(text).map_err(|error| unreadable("knowledge of a connection", &error))?;
        if version.min_reader > Self::VERSION {
            return Err(Error::Corrupt("knowledge of a connection was written by a newer Pulse".to_owned()));
        }
        serde_json::from_str(text).map_err(|error| unreadable("knowledge of a connection", &error))
    }
}

/// What a person thinks of a workflow, as stored beside it.
#[derive(Serialize, Deserialize)]
struct RatingRecord {
    min_reader: u32,
    rating: Rating,
}

/// The version of ratings that this build writes and reads.
const RATING_VERSION: u32 = 1;

/// The stored text of a rating.
pub(super) fn rating_text(rating: &Rating) -> Result<String, Error> {
    let record = RatingRecord { min_reader: RATING_VERSION, rating: rating.clone() };
    serde_json::to_string(&record).map_err(|error| unreadable("a rating", &error))
}

/// Reads the stored text of a rating.
pub(super) fn rating(text: &str) -> Result<Rating, Error> {
    let version = Version::of(text).map_err(|error| unreadable("a rating", &error))?;
    if version.min_reader > RATING_VERSION {
        return Err(Error::Corrupt("a rating was written by a newer Pulse".to_owned()));
    }
    let record: RatingRecord = serde_json::from_str(text).map_err(|error| unreadable("a rating", &error))?;
    Ok(record.rating)
}

/// The newest version of events that this build reads.
pub const EVENT_VERSION: i64 = 2;

/// The oldest version whose readers make of an event what it means. Those of version 1 do not tell candidates apart, and
/// would take the statement of one for that of another.
pub(super) fn event_version(event: &Event) -> i64 {
    let candidate = match event.kind {
        EventKind::StepStarted { candidate, .. }
        | EventKind::StepCompleted { candidate, .. }
        | EventKind::StepFailed { candidate, .. } => candidate,
        _ => 0,
    };
    if candidate == 0 { 1 } else { EVENT_VERSION }
}

/// The stored text of an event; its version is stored beside it.
pub(super) fn event_text(event: &Event) -> Result<String, Error> {
    serde_json::to_string(event).map_err(|error| unreadable("an event", &error))
}

/// Reads the stored text of an event.
pub(super) fn event(workflow: WorkflowId, sequence: u64, min_reader: i64, text: &str) -> Result<Event, Error> {
    let place = || format!("event {sequence} of {workflow}");
    if min_reader > EVENT_VERSION {
        return Err(Error::Corrupt(format!("{} was written by a newer Pulse", place())));
    }
    serde_json::from_str(text).map_err(|error| unreadable(&place(), &error))
}

/// A stored text that does not parse. Says where, never what: records may hold private text.
fn unreadable(what: &str, error: &serde_json::Error) -> Error {
    Error::Corrupt(format!("{what}: {:?} at column {}", error.classify(), error.column()))
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::events;

    /// A replica of before leaves workflows with candidates to others instead of mixing their statements up.
    #[test]
    fn candidates_are_for_readers_that_know_them() {
        let started = |candidate| {
            let kind = EventKind::StepStarted { step: "composer".to_owned(), attempt: 1, candidate };
            events::event(2, kind)
        };
        assert_eq!([0, 1, 3].map(|candidate| event_version(&started(candidate))), [1, 2, 2]);
        let text = event_text(&started(3)).unwrap();
        let id = WorkflowId::generate();
        assert_eq!(event(id, 2, EVENT_VERSION, &text).unwrap(), started(3));
        assert!(event(id, 2, EVENT_VERSION + 1, &text).unwrap_err().to_string().contains("newer Pulse"));
    }
}
