//! Safe repeats (AIP-155): the same request id with the same body means the same thing was asked for.

/// The caller's request id and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// As the caller gave it: 1 to 64 characters.
    pub id: String,
    /// SHA-256 of the request's encoded body without its request id.
    pub body_hash: [u8; 32],
}
