//! What a person writes of a connection, and the checked form of it.

use std::net::Ipv6Addr;

use secrecy::{ExposeSecret, SecretString};

use super::url::{self, Parts};
use crate::domain::connection::ConnectionSecrets;
use crate::domain::{
    AccessMode, Connection, ConnectionLimits, DatabaseKind, Failure, FieldViolation, Reason, Tls, TlsMode,
};

/// Longest name, in characters.
const MAX_NAME_CHARS: usize = 100;

/// What a connection is made from: a URL, or fields, or both; a field wins over that part of the URL.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    /// Name for people; empty takes it from the database's name.
    pub name: String,
    /// `postgres://…`, `mysql://…` or `sqlite://…`.
    pub url: Option<SecretString>,
    /// Required unless the URL says it.
    pub kind: Option<DatabaseKind>,
    /// Host name or address; not for SQLite.
    pub host: String,
    /// Port; 0 for the usual one. Not for SQLite.
    pub port: u16,
    /// Database name; for SQLite the path of the file.
    pub database: String,
    /// User name; not for SQLite.
    pub username: String,
    /// Password; not for SQLite.
    pub password: Option<SecretString>,
    /// PEM of the TLS client key; ignored for SQLite.
    pub client_key_pem: Option<SecretString>,
    /// TLS settings; ignored for SQLite.
    pub tls: Tls,
    /// What statements it may run.
    pub access_mode: AccessMode,
    /// Names of user functions that its statements may call.
    pub allowed_functions: Vec<String>,
    /// Its own limits.
    pub limits: ConnectionLimits,
}

/// A spec whose every field holds together. Whether the database is there is another question.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) name: String,
    pub(super) kind: DatabaseKind,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) username: String,
    pub(super) tls: Tls,
    pub(super) access_mode: AccessMode,
    pub(super) allowed_functions: Vec<String>,
    pub(super) limits: ConnectionLimits,
    pub(super) secrets: ConnectionSecrets,
}

impl Spec {
    /// The spec that would make this connection.
    pub(super) fn of(connection: Connection, secrets: ConnectionSecrets) -> Self {
        Self {
            name: connection.name,
            url: None,
            kind: Some(connection.kind),
            host: connection.host,
            port: connection.port,
            database: connection.database,
            username: connection.username,
            password: secrets.password,
            client_key_pem: secrets.client_key_pem,
            tls: connection.tls,
            access_mode: connection.access_mode,
            allowed_functions: connection.allowed_functions,
            limits: connection.limits,
        }
    }

    /// Reads the URL and checks every field; names all bad ones at once.
    pub(super) fn check(mut self) -> Result<Checked, Failure> {
        let mut problems = Problems::default();
        if let Some(url) = self.url.take() {
            match url::parse(url.expose_secret()) {
                Ok(parts) => self.fill_from(parts, &mut problems),
                Err(problem) => problems.add("url", problem),
            }
        } else if self.kind.is_none() {
            problems.add("kind", "is required, unless `url` is given");
        }
        match self.kind {
            Some(DatabaseKind::Sqlite) => self.check_sqlite(&mut problems),
            Some(DatabaseKind::Postgresql | DatabaseKind::Mysql) => self.check_server(&mut problems),
            None => {}
        }
        self.check_name(&mut problems);
        for function in &self.allowed_functions {
            if function.trim().is_empty() || function.chars().any(char::is_control) {
                problems.add("allowed_functions", "must hold names of functions");
                break;
            }
        }
        problems.finish()?;
        // Without a kind there was a problem.
        let kind = self.kind.unwrap_or(DatabaseKind::Sqlite);
        if kind != DatabaseKind::Sqlite {
            let message = format!("{} connections arrive with a later version; SQLite works today", kind.label());
            return Err(Failure::new(Reason::NotImplemented, message).with("feature", kind.label()));
        }
        Ok(Checked {
            name: self.name.trim().to_owned(),
            kind,
            host: self.host,
            port: self.port,
            database: self.database,
            username: self.username,
            tls: self.tls,
            access_mode: self.access_mode,
            allowed_functions: self.allowed_functions,
            limits: self.limits,
            secrets: ConnectionSecrets { password: self.password, client_key_pem: self.client_key_pem },
        })
    }

    fn fill_from(&mut self, parts: Parts, problems: &mut Problems) {
        if self.kind.is_some_and(|kind| kind != parts.kind) {
            problems.add("kind", format!("contradicts the URL, which says {}", parts.kind.label()));
        }
        self.kind = Some(parts.kind);
        let fill = |own: &mut String, other: String| {
            if own.is_empty() {
                *own = other;
            }
        };
        fill(&mut self.host, parts.host);
        fill(&mut self.database, parts.database);
        fill(&mut self.username, parts.username);
        self.password = self.password.take().or(parts.password);
        if self.port == 0 {
            self.port = parts.port;
        }
        if let Some(mode) = parts.tls.filter(|_| self.tls.mode == TlsMode::default()) {
            self.tls.mode = mode;
        }
    }

    fn check_sqlite(&mut self, problems: &mut Problems) {
        let needless = [
            ("host", !self.host.is_empty()),
            ("port", self.port != 0),
            ("username", !self.username.is_empty()),
            ("password", self.password.is_some()),
        ];
        for (field, _) in needless.into_iter().filter(|(_, given)| *given) {
            problems.add(field, "must be empty for SQLite");
        }
        self.tls = Tls::default();
        self.client_key_pem = None;
        if self.database.is_empty() {
            problems.add("database", "must be the path of a SQLite file");
        } else if self.database.chars().any(char::is_control) {
            problems.add("database", "must not contain control characters");
        } else if self.database.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("file:")) {
            problems.add("database", "must be a path, not a file: URI");
        }
    }

    fn check_server(&mut self, problems: &mut Problems) {
        if self.host.is_empty() {
            "localhost".clone_into(&mut self.host);
        }
        // These end the host in a URL: with them a host could rewrite the rest of it.
        let splits = |character: char| {
            matches!(character, '/' | ':' | '@' | '#' | '?' | '\\')
                || character.is_control()
                || character.is_whitespace()
        };
        if self.host.contains(splits) && self.host.parse::<Ipv6Addr>().is_err() {
            problems.add("host", "must be a host name or an address, without any of / : @ # ? \\ and spaces");
        }
        for (field, text) in [("database", &self.database), ("username", &self.username)] {
            if text.chars().any(char::is_control) {
                problems.add(field, "must not contain control characters");
            }
        }
    }

    /// A missing name is the database's: `shop` for `shop.sqlite`.
    fn check_name(&mut self, problems: &mut Problems) {
        if self.name.trim().is_empty() {
            let file = std::path::Path::new(&self.database);
            let name = file.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
            self.name = name.trim().chars().take(MAX_NAME_CHARS).collect();
        }
        let length = self.name.trim().chars().count();
        if self.name.chars().any(char::is_control) {
            problems.add("name", "must not contain control characters");
        } else if length > MAX_NAME_CHARS {
            problems.add("name", format!("must have at most {MAX_NAME_CHARS} characters"));
        } else if length == 0 && !self.database.is_empty() {
            problems.add("name", "is required, for the database's name gives none");
        }
    }
}

/// Bad fields, collected.
#[derive(Default)]
struct Problems(Vec<FieldViolation>);

impl Problems {
    fn add(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(FieldViolation { field: format!("connection.{field}"), description: description.into() });
    }

    fn finish(self) -> Result<(), Failure> {
        if self.0.is_empty() { Ok(()) } else { Err(Failure::fields(self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad_fields(spec: Spec) -> Vec<String> {
        let failure = spec.check().unwrap_err();
        assert_eq!(failure.reason, Reason::FieldInvalid, "{failure}");
        failure.violations.into_iter().map(|violation| violation.field).collect()
    }

    fn sqlite(database: &str) -> Spec {
        Spec { kind: Some(DatabaseKind::Sqlite), database: database.to_owned(), ..Spec::default() }
    }

    fn by_url(url: &str) -> Spec {
        Spec { url: Some(url.into()), ..Spec::default() }
    }

    #[test]
    fn a_path_or_a_url_is_enough() {
        let checked = sqlite("sub/shop.sqlite").check().unwrap();
        assert_eq!((checked.name.as_str(), checked.database.as_str()), ("shop", "sub/shop.sqlite"));
        let checked = by_url("sqlite:///data/shop.db").check().unwrap();
        assert_eq!((checked.name.as_str(), checked.database.as_str()), ("shop", "/data/shop.db"));
        let both = Spec { database: "other.db".to_owned(), ..by_url("sqlite://shop.db") };
        assert_eq!(both.check().unwrap().database, "other.db", "a field wins");
        let named = Spec { name: " Shop ".to_owned(), ..sqlite("a") };
        assert_eq!(named.check().unwrap().name, "Shop");
    }

    #[test]
    fn all_bad_fields_are_named_at_once() {
        let wrong = Spec {
            name: "a\u{7}".to_owned(),
            host: "db".to_owned(),
            port: 1,
            password: Some("hunter2".into()),
            ..sqlite("")
        };
        assert!(!wrong.clone().check().unwrap_err().message.contains("hunter2"));
        let fields = ["host", "port", "password", "database", "name"].map(|field| format!("connection.{field}"));
        assert_eq!(bad_fields(wrong), fields);
        assert_eq!(bad_fields(Spec::default()), ["connection.kind"]);
        assert_eq!(bad_fields(by_url("http://x")), ["connection.url"]);
        let contradiction = Spec { kind: Some(DatabaseKind::Mysql), ..by_url("sqlite://a") };
        assert_eq!(bad_fields(contradiction), ["connection.kind"]);
        assert_eq!(bad_fields(Spec { name: "x".repeat(101), ..sqlite("a") }), ["connection.name"]);
        assert_eq!(bad_fields(sqlite("file:a?mode=rwc")), ["connection.database"]);
        assert_eq!(bad_fields(sqlite("a\0b")), ["connection.database", "connection.name"]);
    }

    #[test]
    fn hosts_cannot_rewrite_what_follows() {
        for host in ["a/b", "a:1", "u@a", "a#", "a?x", "a\\b", "a\nb", "a b"] {
            let spec = Spec {
                kind: Some(DatabaseKind::Postgresql),
                host: host.to_owned(),
                database: "d".into(),
                ..Spec::default()
            };
            assert_eq!(bad_fields(spec), ["connection.host"], "{host:?}");
        }
    }

    #[test]
    fn servers_arrive_later() {
        for url in ["postgres://ann:hunter2@db/shop", "mysql://ann:hunter2@[::1]/shop"] {
            let failure = by_url(url).check().unwrap_err();
            assert_eq!(failure.reason, Reason::NotImplemented, "{failure}");
            assert!(!format!("{failure:?}").contains("hunter2"));
        }
    }
}
