//! What a person writes of a connection, and the checked form of it.

use std::net::Ipv6Addr;
use std::path::Path;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::url::{self, Parts};
use super::{names, pem};
use crate::domain::connection::ConnectionSecrets;
use crate::domain::{
    AccessMode, Connection, ConnectionId, ConnectionLimits, DatabaseKind, Failure, FieldViolation, TenantId, Tls,
    TlsMode,
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
    /// Host name or address, or the folder of a Unix socket; not for SQLite.
    pub host: String,
    /// Port; 0 for the usual one. Not for SQLite.
    pub port: u16,
    /// Database name; for SQLite the path of the file. PostgreSQL takes the user's name when it is left out, MySQL none.
    pub database: String,
    /// User name; required, but not for SQLite.
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
    /// Columns that agents do not see, as `schema.table.column` or `table.column`.
    pub excluded_columns: Vec<String>,
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
    pub(super) excluded_columns: Vec<String>,
    pub(super) limits: ConnectionLimits,
    pub(super) secrets: ConnectionSecrets,
}

impl Checked {
    /// The connection as it would be saved now, and its secrets.
    pub(super) fn into_connection(
        self,
        id: ConnectionId,
        tenant: TenantId,
        now: Timestamp,
    ) -> (Connection, ConnectionSecrets) {
        let connection = Connection {
            id,
            tenant,
            name: self.name,
            kind: self.kind,
            host: self.host,
            port: self.port,
            database: self.database,
            username: self.username,
            tls: self.tls,
            access_mode: self.access_mode,
            allowed_functions: self.allowed_functions,
            excluded_columns: self.excluded_columns,
            limits: self.limits,
            has_password: self.secrets.password.is_some(),
            create_time: now,
            update_time: now,
            etag: Uuid::now_v7().simple().to_string(),
        };
        (connection, self.secrets)
    }
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
            excluded_columns: connection.excluded_columns,
            limits: connection.limits,
        }
    }

    /// What is wrong with it, as far as that can be said without the database.
    #[must_use]
    pub fn problems(&self) -> Vec<FieldViolation> {
        self.clone().check().err().map(|failure| failure.violations).unwrap_or_default()
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
            Some(kind @ (DatabaseKind::Postgresql | DatabaseKind::Mysql)) => self.check_server(kind, &mut problems),
            None => {}
        }
        self.check_name(&mut problems);
        problems.extend("allowed_functions", names::functions_problem(&self.allowed_functions));
        problems.extend("excluded_columns", names::columns_problem(&self.excluded_columns));
        problems.finish()?;
        // Without a kind there was a problem.
        let kind = self.kind.unwrap_or(DatabaseKind::Sqlite);
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
            excluded_columns: self.excluded_columns,
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

    fn check_server(&mut self, kind: DatabaseKind, problems: &mut Problems) {
        if self.host.is_empty() {
            "localhost".clone_into(&mut self.host);
        }
        if self.port == 0 {
            self.port = if kind == DatabaseKind::Mysql { 3306 } else { 5432 };
        }
        if !is_host(&self.host) {
            problems.add(
                "host",
                "must be a host name, an address, or the absolute path of a folder with Unix sockets, \
                 without any of : @ # ? \\ , and spaces",
            );
        }
        if self.username.is_empty() {
            problems.add("username", "is required: the user to log in as");
        }
        if self.database.is_empty() && kind == DatabaseKind::Postgresql {
            self.database.clone_from(&self.username);
        }
        for (field, text) in [("database", &self.database), ("username", &self.username)] {
            if text.chars().any(char::is_control) {
                problems.add(field, "must not contain control characters");
            }
        }
        if self.password.as_ref().is_some_and(|password| password.expose_secret().contains('\0')) {
            problems.add("password", "must not contain NUL");
        }
        self.check_tls(problems);
    }

    fn check_tls(&self, problems: &mut Problems) {
        let Tls { mode: _, ca_pem, client_certificate_pem } = &self.tls;
        if let Some(problem) = ca_pem.as_deref().and_then(pem::authorities_problem) {
            problems.add("tls.ca_certificate", problem);
        }
        if let Some(problem) = client_certificate_pem.as_deref().and_then(pem::certificate_problem) {
            problems.add("tls.client_certificate", problem);
        }
        match (client_certificate_pem, &self.client_key_pem) {
            (Some(certificate), Some(key)) => {
                if let Some(problem) = pem::key_problem(key.expose_secret(), certificate) {
                    problems.add("tls.client_key", problem);
                }
            }
            (Some(_), None) => problems.add("tls.client_key", "is required with `tls.client_certificate`"),
            (None, Some(_)) => problems.add("tls.client_certificate", "is required with `tls.client_key`"),
            (None, None) => {}
        }
    }

    /// A missing name is the database's: `shop` for `shop.sqlite`; the host's when that is missing too.
    fn check_name(&mut self, problems: &mut Problems) {
        if self.name.trim().is_empty() {
            let name = match self.kind {
                Some(DatabaseKind::Sqlite) | None => {
                    Path::new(&self.database).file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default()
                }
                Some(_) if self.database.is_empty() => self.host.as_str().into(),
                Some(_) => self.database.as_str().into(),
            };
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

/// Whether a text can be nothing but a host: with other characters it could rewrite what follows it in a URL, or name
/// several hosts.
fn is_host(text: &str) -> bool {
    if text.starts_with('/') {
        let ends_host = |character: char| {
            matches!(character, ':' | '@' | '#' | '?' | '\\' | ',')
                || character.is_control()
                || character.is_whitespace()
        };
        return !text.contains(ends_host);
    }
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    text.parse::<Ipv6Addr>().is_ok() || text.bytes().all(of_name)
}

/// Bad fields, collected.
#[derive(Default)]
struct Problems(Vec<FieldViolation>);

impl Problems {
    fn add(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(FieldViolation { field: format!("connection.{field}"), description: description.into() });
    }

    fn extend(&mut self, field: &str, problem: Option<String>) {
        if let Some(problem) = problem {
            self.add(field, problem);
        }
    }

    fn finish(self) -> Result<(), Failure> {
        if self.0.is_empty() { Ok(()) } else { Err(Failure::fields(self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Reason;

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

    fn server(host: &str) -> Spec {
        Spec {
            kind: Some(DatabaseKind::Postgresql),
            host: host.to_owned(),
            database: "shop".to_owned(),
            username: "ann".to_owned(),
            ..Spec::default()
        }
    }

    #[test]
    fn hosts_cannot_rewrite_what_follows() {
        for host in [
            "a/b",
            "a:1",
            "u@a",
            "a#",
            "a?x",
            "a\\b",
            "a\nb",
            "a b",
            "a,b",
            "[::1]",
            "fe80::1%eth0",
            "h\u{f6}st",
            "/run x",
        ] {
            assert_eq!(bad_fields(server(host)), ["connection.host"], "{host:?}");
        }
        for host in ["db", "db.example.org.", "my_db-1", "10.0.0.1", "::1", "fd00::1", "/var/run/postgresql"] {
            assert_eq!(server(host).check().unwrap().host, host);
        }
    }

    #[test]
    fn a_server_is_given_by_url_or_by_fields() {
        let checked = by_url("postgres://ann:hunter2@db.example.org:6432/shop?sslmode=verify-full").check().unwrap();
        assert_eq!((checked.host.as_str(), checked.port, checked.database.as_str()), ("db.example.org", 6432, "shop"));
        assert_eq!((checked.name.as_str(), checked.username.as_str()), ("shop", "ann"));
        assert_eq!(checked.tls.mode, TlsMode::VerifyFull);
        assert_eq!(checked.secrets.password.unwrap().expose_secret(), "hunter2");

        let mixed = Spec {
            host: "other".to_owned(),
            port: 1234,
            password: Some("new".into()),
            ..by_url("mysql://ann:old@db/shop")
        };
        let checked = mixed.check().unwrap();
        assert_eq!((checked.kind, checked.host.as_str(), checked.port), (DatabaseKind::Mysql, "other", 1234));
        assert_eq!(checked.secrets.password.unwrap().expose_secret(), "new", "a field wins");

        let socket = by_url("postgresql://ann@%2Fvar%2Frun%2Fpostgresql/shop").check().unwrap();
        assert_eq!((socket.host.as_str(), socket.port), ("/var/run/postgresql", 5432));
    }

    #[test]
    fn what_is_left_out_of_a_server_is_the_usual() {
        let fields = Spec { host: String::new(), database: String::new(), ..server("") };
        let checked = fields.check().unwrap();
        assert_eq!((checked.host.as_str(), checked.port, checked.database.as_str()), ("localhost", 5432, "ann"));
        let checked = by_url("mariadb://ann@localhost").check().unwrap();
        assert_eq!((checked.kind, checked.port, checked.database.as_str()), (DatabaseKind::Mysql, 3306, ""));
        assert_eq!(checked.name, "localhost", "the database's name gives none");
        assert_eq!(bad_fields(by_url("mysql://db/shop")), ["connection.username"]);
        let versioned = Spec { database: "shop.v2".to_owned(), ..server("db") };
        assert_eq!(versioned.check().unwrap().name, "shop.v2");
    }

    #[test]
    fn control_characters_go_nowhere() {
        for url in ["postgres://a%0ann@db/shop", "postgres://ann@db/sh%00op", "postgres://ann:a%00b@db/shop"] {
            assert_eq!(by_url(url).check().unwrap_err().reason, Reason::FieldInvalid, "{url}");
        }
    }

    #[test]
    fn certificates_and_keys_are_read_before_a_server_is() {
        let keys = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&keys).unwrap().pem();
        let (key, other_key) = (keys.serialize_pem(), rcgen::KeyPair::generate().unwrap().serialize_pem());
        let (key, other_key) = (key.as_str(), other_key.as_str());
        let with = |ca: Option<&str>, certificate: Option<&str>, key: Option<&str>| Spec {
            tls: Tls {
                mode: TlsMode::VerifyFull,
                ca_pem: ca.map(str::to_owned),
                client_certificate_pem: certificate.map(str::to_owned),
            },
            client_key_pem: key.map(Into::into),
            ..server("db")
        };
        assert!(with(Some(&certificate), Some(&certificate), Some(key)).check().is_ok());
        let cut = &certificate[..certificate.len() / 2];
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (spec, field) in [
            (with(Some("no PEM"), None, None), "ca_certificate"),
            (with(Some(cut), None, None), "ca_certificate"),
            (with(Some(damaged), None, None), "ca_certificate"),
            (with(Some(key), None, None), "ca_certificate"),
            (with(None, Some(&certificate), None), "client_key"),
            (with(None, None, Some(key)), "client_certificate"),
            (with(None, Some("no PEM"), Some(key)), "client_certificate"),
            (with(None, Some(&certificate), Some("no PEM")), "client_key"),
            (with(None, Some(&certificate), Some(other_key)), "client_key"),
        ] {
            assert!(!format!("{:?}", spec.clone().check()).contains("PRIVATE KEY"));
            assert_eq!(bad_fields(spec), [format!("connection.tls.{field}")]);
        }
    }

    #[test]
    fn excluded_columns_name_a_table() {
        let excluding = |path: &str| Spec { excluded_columns: vec![path.to_owned()], ..server("db") };
        for path in ["email", "", ".email", "users."] {
            assert_eq!(bad_fields(excluding(path)), ["connection.excluded_columns"], "{path:?}");
        }
        assert!(excluding("users.email").check().is_ok() && excluding("public.users.email").check().is_ok());
    }
}
