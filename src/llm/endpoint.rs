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
    /// Azure's deployments want the version of the API in every address.
    api_version: Option<String>,
    azure: bool,
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
    #[error("OPENAI_BASE_URL must not have a query or fragment, except Azure's ?api-version=…")]
    Query,
}

impl Endpoint {
    /// The address without a trailing slash and query.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.base
    }

    /// The address of a path below it, such as `/models`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        match &self.api_version {
            Some(version) => format!("{}{path}?api-version={version}", self.base),
            None => format!("{}{path}", self.base),
        }
    }

    /// Whether it is Azure's, which reads the key from the header `api-key`.
    #[must_use]
    pub fn is_azure(&self) -> bool {
        self.azure
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
        let mut url = Url::parse(text.trim()).map_err(|_| BadEndpoint::NotUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BadEndpoint::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadEndpoint::Credentials);
        }
        let api_version = api_version(&url)?;
        let azure = api_version.is_some() || url.host_str().is_some_and(|host| host.ends_with(".azure.com"));
        url.set_query(None);
        let base = match url.path().trim_end_matches('/') {
            "" => format!("{}/v1", url.as_str().trim_end_matches('/')),
            _ => url.as_str().trim_end_matches('/').to_owned(),
        };
        Ok(Self { base, api_version, azure, loopback: is_loopback(&url), encrypted: url.scheme() == "https" })
    }
}

/// `OpenAI` itself.
impl Default for Endpoint {
    fn default() -> Self {
        let base = "https://api.openai.com/v1".to_owned();
        Self { base, api_version: None, azure: false, loopback: false, encrypted: true }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.base)
    }
}

/// The only query that is no place for a secret: `api-version=2024-10-21` and the like.
fn api_version(url: &Url) -> Result<Option<String>, BadEndpoint> {
    let plain =
        |version: &str| version.len() <= 40 && version.chars().all(|one| one.is_ascii_alphanumeric() || one == '-');
    match (url.query(), url.fragment()) {
        (None, None) => Ok(None),
        (Some(query), None) => match query.strip_prefix("api-version=") {
            Some(version) if plain(version) => Ok(Some(version.to_owned())),
            _ => Err(BadEndpoint::Query),
        },
        _ => Err(BadEndpoint::Query),
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
    fn azure_is_known_by_its_host_or_by_the_version_of_its_api() {
        let classic: Endpoint = "https://h/openai/deployments/d/?api-version=2024-10-21".parse().unwrap();
        assert_eq!(classic.url("/models"), "https://h/openai/deployments/d/models?api-version=2024-10-21");
        let newer: Endpoint = "https://mine.openai.azure.com/openai/v1/".parse().unwrap();
        assert_eq!(newer.url("/models"), "https://mine.openai.azure.com/openai/v1/models");
        assert!(classic.is_azure() && newer.is_azure() && !Endpoint::default().is_azure());
        for text in ["https://h/v1?api-version=1&key=canary", "https://h/v1?api-version=a%2Fb", "https://h/v1#x"] {
            assert_eq!(text.parse::<Endpoint>(), Err(BadEndpoint::Query), "{text}");
        }
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
