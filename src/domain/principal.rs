//! Who is calling, and which part of the data is theirs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The owner of every record. Two tenants never see each other's connections, workflows or events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(String);

impl TenantId {
    /// The one tenant that a server without API keys serves.
    pub const LOCAL: &'static str = "local";

    /// Accepts 1 to 64 of `a-z 0-9 - _`, so that a tenant is safe inside keys and associated data.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        well_formed.then(|| Self(text.to_owned()))
    }

    /// The tenant of a server without API keys.
    #[must_use]
    pub fn local() -> Self {
        Self(Self::LOCAL.to_owned())
    }

    /// The tenant's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What an API key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Read connections, workflows and events.
    Read,
    /// Run queries and workflows.
    Run,
    /// Create, change and delete connections.
    Manage,
}

/// The authenticated caller of one RPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Name of the API key, or `local`.
    pub name: String,
    /// Whose records the caller works on.
    pub tenant: TenantId,
    /// What the caller may do.
    pub scopes: Vec<Scope>,
}

impl Principal {
    /// The caller of a server without API keys: everything is allowed, on loopback only.
    #[must_use]
    pub fn local() -> Self {
        Self {
            name: TenantId::LOCAL.to_owned(),
            tenant: TenantId::local(),
            scopes: vec![Scope::Read, Scope::Run, Scope::Manage],
        }
    }
}
