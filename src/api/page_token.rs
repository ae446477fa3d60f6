//! Page tokens (AIP-158): opaque to clients, tied to one list with its filters.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::{Failure, Reason};

/// A list as the caller asked for it; its tokens fit no other.
pub(super) struct List {
    identity: String,
}

#[derive(Serialize, Deserialize)]
struct Token<K> {
    list: String,
    after: K,
}

impl List {
    /// The list of this name with these filters, whatever distinguishes one listing from another.
    pub(super) fn new(name: &str, filters: &impl Serialize) -> Self {
        // Filters are strings and numbers, which always have a JSON form; an empty one would still be tied to the name.
        let filters = serde_json::to_string(filters).unwrap_or_default();
        let hash = Sha256::digest(format!("{name}\n{filters}"));
        Self { identity: hex::encode(&hash[..12]) }
    }

    /// The token that continues after a key.
    pub(super) fn token<K: Serialize>(&self, after: K) -> String {
        let token = Token { list: self.identity.clone(), after };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    /// The key in a token, `None` for the empty token of the first page.
    pub(super) fn after<K: DeserializeOwned>(&self, token: &str) -> Result<Option<K>, Failure> {
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok();
        let token: Option<Token<K>> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match token {
            Some(token) if token.list == self.identity => Ok(Some(token.after)),
            _ => Err(Failure::new(
                Reason::PageTokenInvalid,
                "page_token: not given out by this list with these filters; start again without it",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_continues_its_own_list_only() {
        let list = List::new("ListConnections", &("", 0));
        let token = list.token("key");
        assert_eq!(list.after::<String>(&token).unwrap().as_deref(), Some("key"));
        assert_eq!(list.after::<String>("").unwrap(), None);
        for other in [List::new("ListConnections", &("shop", 0)), List::new("ListWorkflows", &("", 0))] {
            assert_eq!(other.after::<String>(&token).unwrap_err().reason, Reason::PageTokenInvalid);
        }
        for wrong in ["x", "????", "e30"] {
            assert_eq!(list.after::<String>(wrong).unwrap_err().reason, Reason::PageTokenInvalid, "{wrong}");
        }
    }
}
