//! Where things are. Each record belongs to a partition, and every key of a partition begins with the partition's tag,
//! `{pulse:07}` and the like, so that a Cluster keeps them on one node and one script may touch them all. Scripts make
//! the keys; here are the tags.
//!
//! | key, after the tag | holds |
//! |---|---|
//! | `:log:ID` | stream: the events of a workflow, entry `n-0` is event n |
//! | `:workflow:ID` | hash: whose it is, status, last sequence, connection, user's label, its worker's
//!   lease and how often workers were lost, what a person thinks of it |
//! | `:workflows:TENANT` | sorted set: ids of a tenant's workflows, by id |
//! | `:due:TENANT` | sorted set: ids of workflows that have not ended, by the time from which a worker may take them: a
//!   lease is that time in the future, and so is the end of the wait for a person |
//! | `:turns`, `:turn` | sorted set: tenants with work by their last turn; the number of that |
//! | `:dead` | sorted set: what cannot be worked on, by the time it was put aside |
//! | `:ended` | sorted set: ids of workflows that have, by the time of their end |
//! | `:ended-of` | hash: how many of each tenant's have ended |
//! | `:request:TENANT:RPC:REQUEST` | hash: what a request id stands for, and the answer |
//! | `:requests` | sorted set: request ids by the time of their claim |
//! | `:connection:TENANT:ID` | hash: a connection's record, etag, and name as compared |
//! | `:connections:TENANT` | sorted set: ids of a tenant's connections, by id |
//! | `:connection-names:TENANT` | hash: name as compared → id |
//!
//! The tag alone is the channel on which a partition's appends are told.

use sha2::{Digest, Sha256};

use crate::domain::{TenantId, WorkflowId};

/// Partitions of a store. Fixed for its life and recorded in its marker.
pub(super) const PARTITIONS: u8 = 64;

/// The keys of one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// The prefix unless another is configured.
    pub(super) const PREFIX: &str = "pulse";

    /// `None` when the prefix could be mistaken for part of a key.
    pub(super) fn new(prefix: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        ((1..=32).contains(&prefix.len()) && prefix.bytes().all(plain)).then(|| Self { prefix: prefix.to_owned() })
    }

    /// The record of the store itself.
    pub(super) fn marker(&self) -> String {
        format!("{{{}}}:store", self.prefix)
    }

    /// The tag of a workflow's partition.
    pub(super) fn of_workflow(&self, id: WorkflowId) -> String {
        self.tag(partition(id.as_bytes()))
    }

    /// The tag of the partition that holds a tenant's connections.
    pub(super) fn of_tenant(&self, tenant: &TenantId) -> String {
        self.tag(partition(tenant.as_str().as_bytes()))
    }

    /// The tag of a request's partition.
    pub(super) fn of_request(&self, request: &str) -> String {
        self.tag(partition(request.as_bytes()))
    }

    /// The number of a partition, from its tag.
    pub(super) fn number(&self, tag: &str) -> Option<u8> {
        let inside = tag.strip_prefix('{')?.strip_prefix(&self.prefix)?.strip_prefix(':')?;
        inside.strip_suffix('}')?.parse().ok().filter(|number| *number < PARTITIONS)
    }

    /// Every tag.
    pub(super) fn tags(&self) -> impl Iterator<Item = String> + '_ {
        (0..PARTITIONS).map(|number| self.tag(number))
    }

    /// The tag of a partition.
    pub(super) fn tag(&self, partition: u8) -> String {
        format!("{{{}:{partition:02}}}", self.prefix)
    }
}

/// The same on every machine and in every version.
fn partition(name: &[u8]) -> u8 {
    Sha256::digest(name)[0] % PARTITIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_never_move() {
        let keys = Keys::new("pulse").unwrap();
        let id: WorkflowId = "0197a3c4-5b1e-7c3d-8f00-123456789abc".parse().unwrap();
        assert_eq!(keys.of_workflow(id), "{pulse:06}");
        assert_eq!(keys.of_tenant(&TenantId::local()), "{pulse:37}");
        assert_eq!(keys.tags().count(), 64);
        assert_eq!(keys.tags().last().unwrap(), "{pulse:63}");
        assert_eq!(
            (keys.number("{pulse:63}"), keys.number("{other:63}"), keys.number("{pulse:64}")),
            (Some(63), None, None)
        );
    }
}
