//! Who is calling: API keys become a [`Principal`].

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tonic::Request;

use crate::domain::{Failure, Principal, Reason, Scope, TenantId};

/// The API keys of a server, known by their SHA-256 only.
///
/// Their file is a JSON array, one object a key:
///
/// ```json
/// [{"name": "reports", "tenant": "acme", "scopes": ["read", "run"], "sha256": "9f86d081…", "expires": "2027-01-01T00:00:00Z"}]
/// ```
///
/// `sha256` is the hash of the key's text in 64 hexadecimal digits (`printf %s "$KEY" | sha256sum`); scopes are `read`
/// (get, list, watch, schema), `run` (queries and workflows) and `manage` (connections); `expires` may be left out.
#[derive(Debug, Clone)]
pub struct ApiKeys {
    keys: Arc<[ApiKey]>,
}

#[derive(Debug)]
struct ApiKey {
    principal: Principal,
    digest: [u8; 32],
    expires: Option<Timestamp>,
}

/// A key as its file spells it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    tenant: String,
    scopes: Vec<Scope>,
    sha256: String,
    #[serde(default)]
    expires: Option<Timestamp>,
}

/// The file of API keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MalformedKeys(String);

impl ApiKeys {
    /// Reads the text of an API keys file.
    pub fn parse(text: &str) -> Result<Self, MalformedKeys> {
        let entries: Vec<Entry> =
            serde_json::from_str(text).map_err(|error| MalformedKeys(format!("not a JSON array of keys: {error}")))?;
        if entries.is_empty() {
            return Err(MalformedKeys("holds no key, so nobody could call".to_owned()));
        }
        let keys = entries.into_iter().map(ApiKey::from_entry).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// One principal for each tenant that has a key, allowed everything: the server acting on the tenant's behalf.
    #[must_use]
    pub fn tenants(&self) -> Vec<Principal> {
        let tenants: BTreeSet<&TenantId> = self.keys.iter().map(|key| &key.principal.tenant).collect();
        let principal = |tenant: &TenantId| Principal {
            name: "pulse".to_owned(),
            tenant: tenant.clone(),
            scopes: Principal::local().scopes,
        };
        tenants.into_iter().map(principal).collect()
    }

    /// Whose key this is, unless it is unknown or expired. Takes the same time for every key.
    fn find(&self, key: &str, now: Timestamp) -> Option<&Principal> {
        let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let mut found = None;
        for candidate in self.keys.iter() {
            let equal: Choice = candidate.digest.ct_eq(&digest);
            if bool::from(equal) {
                found = Some(candidate);
            }
        }
        found.filter(|key| key.expires.is_none_or(|expires| now < expires)).map(|key| &key.principal)
    }
}

impl ApiKey {
    fn from_entry(entry: Entry) -> Result<Self, MalformedKeys> {
        let Entry { name, tenant, scopes, sha256, expires } = entry;
        let bad = |what: &str| MalformedKeys(format!("key `{name}`: {what}"));
        if name.is_empty() {
            return Err(bad("`name` is empty"));
        }
        let tenant = TenantId::parse(&tenant).ok_or_else(|| bad("`tenant` must be 1 to 64 of a-z 0-9 - _"))?;
        if scopes.is_empty() {
            return Err(bad("`scopes` is empty; give read, run or manage"));
        }
        let mut digest = [0; 32];
        hex::decode_to_slice(&sha256, &mut digest).map_err(|_| bad("`sha256` must be 64 hexadecimal digits"))?;
        Ok(Self { principal: Principal { name, tenant, scopes }, digest, expires })
    }
}

/// The caller that an `authorization` header names. Without configured keys everybody is the local caller.
pub(super) fn authenticate(
    keys: Option<&ApiKeys>,
    header: Option<&http::HeaderValue>,
    now: Timestamp,
) -> Result<Principal, Failure> {
    let Some(keys) = keys else { return Ok(Principal::local()) };
    let refused = |message: &str| Failure::new(Reason::Unauthenticated, message);
    let header = header.ok_or_else(|| refused("no API key; send `authorization: Bearer KEY`"))?;
    let key = header.to_str().ok().and_then(|text| text.split_once(' '));
    let key = key.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, key)| key.trim());
    let key = key.ok_or_else(|| refused("the authorization header must read `Bearer KEY`"))?;
    keys.find(key, now).cloned().ok_or_else(|| refused("the API key is unknown or has expired"))
}

/// The caller of an RPC, if its key has the scope that the RPC needs.
pub(super) fn caller<T>(request: &Request<T>, needed: Scope) -> Result<Principal, Failure> {
    let who = request.extensions().get::<Principal>();
    let who = who.ok_or_else(|| Failure::new(Reason::Unauthenticated, "the call was not authenticated"))?;
    if who.scopes.contains(&needed) {
        return Ok(who.clone());
    }
    let scope = match needed {
        Scope::Read => "read",
        Scope::Run => "run",
        Scope::Manage => "manage",
    };
    Err(Failure::new(Reason::ScopeMissing, format!("the API key `{}` lacks the scope `{scope}`", who.name))
        .with("scope", scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "correct horse";

    fn keys(extra: &str) -> ApiKeys {
        let hash = hex::encode(Sha256::digest(SECRET));
        ApiKeys::parse(&format!(r#"[{{"name":"ci","tenant":"acme","scopes":["read"],"sha256":"{hash}"{extra}}}]"#))
            .unwrap()
    }

    fn reason(keys: &ApiKeys, header: Option<&str>) -> Result<String, Reason> {
        let header = header.map(|text| text.parse().unwrap());
        let now = "2026-11-23T00:00:00Z".parse().unwrap();
        authenticate(Some(keys), header.as_ref(), now).map(|who| who.name).map_err(|failure| failure.reason)
    }

    #[test]
    fn a_known_key_is_its_principal_and_nothing_else_is() {
        let keys = keys("");
        assert_eq!(reason(&keys, Some("Bearer correct horse")), Ok("ci".to_owned()));
        assert_eq!(reason(&keys, Some("bearer correct horse")), Ok("ci".to_owned()));
        for header in [None, Some("Bearer wrong"), Some("Basic correct horse"), Some("correct")] {
            assert_eq!(reason(&keys, header), Err(Reason::Unauthenticated), "{header:?}");
        }
    }

    #[test]
    fn an_expired_key_is_unknown() {
        let expires = |time: &str| keys(&format!(r#","expires":"{time}""#));
        let header = Some("Bearer correct horse");
        assert_eq!(reason(&expires("2026-11-22T00:00:00Z"), header), Err(Reason::Unauthenticated));
        assert_eq!(reason(&expires("2027-01-01T00:00:00Z"), header), Ok("ci".to_owned()));
    }

    #[test]
    fn without_keys_everybody_is_local() {
        assert_eq!(authenticate(None, None, Timestamp::UNIX_EPOCH), Ok(Principal::local()));
    }

    #[test]
    fn a_missing_scope_is_named() {
        let mut request = Request::new(());
        assert_eq!(caller(&request, Scope::Read).unwrap_err().reason, Reason::Unauthenticated);
        request.extensions_mut().insert(Principal { scopes: vec![Scope::Read], ..Principal::local() });
        assert!(caller(&request, Scope::Read).is_ok());
        let failure = caller(&request, Scope::Manage).unwrap_err();
        assert_eq!((failure.reason, failure.metadata["scope"].as_str()), (Reason::ScopeMissing, "manage"));
    }

    #[test]
    fn files_that_cannot_be_meant_are_refused() {
        let hash = "0".repeat(64);
        for text in [
            "",
            "[]",
            "{}",
            r#"[{"name":"a","tenant":"T","scopes":["read"],"sha256":"00"}]"#,
            &format!(r#"[{{"name":"a","tenant":"A B","scopes":["read"],"sha256":"{hash}"}}]"#),
            &format!(r#"[{{"name":"a","tenant":"a","scopes":[],"sha256":"{hash}"}}]"#),
            &format!(r#"[{{"name":"a","tenant":"a","scopes":["admin"],"sha256":"{hash}"}}]"#),
            &format!(r#"[{{"name":"a","tenant":"a","scopes":["read"],"sha256":"{hash}","key":"x"}}]"#),
        ] {
            assert!(ApiKeys::parse(text).is_err(), "{text}");
        }
    }
}
