//! The address of a model endpoint.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

/// Base address of a chat-completions API, such as `https://api.openai.com/v1`.
///
/// Holds no credentials by construction: those belong in the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    base: String,
    /// Whether requests stay on this machine.
    loopback: bool,
    encrypted: bool,
}

/// The text is not the base address of an endpoint; says what is wrong with it without repeating it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    /// Not an absolute URL.
    #[error("OPENAI_BASE_URL is not a URL such as https://api.openai.com/v1")]
    NotUrl,
    /// Another scheme.
    #[error("OPENAI_BASE_URL must start with https:// or http://")]
    Scheme,
    /// User name or password inside.
    #[error("OPENAI_BASE_URL must not hold a user name or password: put the key in OPENAI_API_KEY")]
    Credentials,
    /// `?…` or `#…` inside.
    #[error("OPENAI_BASE_URL must not have a query or fragment")]
    Query,
}

impl Endpoint {
    /// The address without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.base
    }

    /// Whether requests stay on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// Whether the transport is TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }
}

/// With or without a trailing slash; an address without a path means its `/v1`.
impl FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        let url = Url::parse(text.trim()).map_err(|_| BadEndpoint::NotUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BadEndpoint::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadEndpoint::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BadEndpoint::Query);
        }
        let base = match url.path().trim_end_matches('/') {
            "" => format!("{}/v1", url.as_str().trim_end_matches('/')),
            _ => url.as_str().trim_end_matches('/').to_owned(),
        };
        Ok(Self { base, loopback: is_loopback(&url), encrypted: url.scheme() == "https" })
    }
}

/// `OpenAI` itself.
impl Default for Endpoint {
    fn default() -> Self {
        Self { base: "https://api.openai.com/v1".to_owned(), loopback: false, encrypted: true }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.base)
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_spelling_means_the_same_address() {
        for text in ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/", " http://h:1/v1// "] {
            assert_eq!(text.parse::<Endpoint>().unwrap().as_str(), "http://h:1/v1", "{text}");
        }
        let other: Endpoint = "https://h/v1beta/openai/".parse().unwrap();
        assert_eq!(other.as_str(), "https://h/v1beta/openai");
        assert!(other.is_encrypted() && !other.is_loopback());
        assert!("http://[::1]:1".parse::<Endpoint>().unwrap().is_loopback());
        assert!("http://127.0.0.1:1".parse::<Endpoint>().unwrap().is_loopback());
    }

    #[test]
    fn addresses_that_could_hold_a_secret_are_refused_without_repeating_it() {
        for text in
            ["https://user:canary@h/v1", "https://canary@h", "https://h/v1?key=canary", "canary", "ftp://canary"]
        {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{text}");
        }
    }
}
