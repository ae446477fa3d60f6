//! What a caller says of a connection, and the checked form of it.

use secrecy::{ExposeSecret, SecretString};

use crate::domain::connection::ConnectionSecrets;
use crate::domain::{AccessMode, ConnectionLimits, DatabaseKind, Failure, FieldViolation, Reason, Tls};

/// Longest name in characters.
const MAX_NAME: usize = 128;
/// Longest path or database name in bytes.
const MAX_DATABASE: usize = 1_024;

/// A connection as a caller describes it: by URL or by fields. Nothing here has been checked.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    /// Name for people.
    pub name: String,
    /// `sqlite://path`, `postgres://…` or `mysql://…`; may hold a password.
    pub url: Option<SecretString>,
    /// Which system, when there is no URL.
    pub kind: Option<DatabaseKind>,
    /// Host name or address.
    pub host: String,
    /// Port; 0 is the system's usual one.
    pub port: u16,
    /// Database name; for SQLite the path of the file.
    pub database: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: Option<SecretString>,
    /// PEM of the TLS client key.
    pub client_key_pem: Option<SecretString>,
    /// TLS settings.
    pub tls: Tls,
    /// What statements it may run.
    pub access_mode: AccessMode,
    /// User functions that its statements may call.
    pub allowed_functions: Vec<String>,
    /// Its own limits.
    pub limits: ConnectionLimits,
}

/// A spec that can be tried out.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) name: String,
    pub(super) kind: DatabaseKind,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) username: String,
    pub(super) secrets: ConnectionSecrets,
    pub(super) tls: Tls,
    pub(super) access_mode: AccessMode,
    pub(super) allowed_functions: Vec<String>,
    pub(super) limits: ConnectionLimits,
}

impl Spec {
    /// Checks every field and names all that are wrong at once. A name is only needed to save.
    pub(super) fn check(self, needs_name: bool) -> Result<Checked, Failure> {
        let mut violations = Violations::default();
        let name = self.name.trim().to_owned();
        if needs_name {
            violations.name(&name);
        }
        let (kind, database) = match &self.url {
            Some(url) => {
                violations.none_beside_url(&self);
                read_url(url.expose_secret()).unwrap_or_else(|problem| {
                    violations.add("connection.url", problem);
                    (None, String::new())
                })
            }
            None => (self.kind, self.database.trim().to_owned()),
        };
        match kind {
            Some(DatabaseKind::Sqlite) => violations.sqlite(&self, &database),
            Some(_) => {}
            None if self.url.is_none() => violations.add("connection.kind", "say which system, or give a url"),
            None => {}
        }
        let functions = self.allowed_functions.iter().map(|name| name.trim());
        if functions.clone().any(|name| name.is_empty() || name.len() > 128 || name.chars().any(char::is_control)) {
            violations.add("connection.allowed_functions", "each must be the name of a function");
        }
        let Some(kind) = kind.filter(|_| violations.0.is_empty()) else {
            return Err(Failure::fields(violations.0));
        };
        if kind != DatabaseKind::Sqlite {
            let message = format!("{} connections are not there yet; this version opens SQLite files", kind.label());
            return Err(Failure::new(Reason::NotImplemented, message).with("kind", kind.label()));
        }
        let secrets = ConnectionSecrets { password: self.password, client_key_pem: self.client_key_pem };
        Ok(Checked {
            name,
            kind,
            host: self.host,
            port: self.port,
            database,
            username: self.username,
            secrets,
            tls: self.tls,
            access_mode: self.access_mode,
            allowed_functions: self.allowed_functions.iter().map(|name| name.trim().to_owned()).collect(),
            limits: self.limits,
        })
    }
}

/// Fields that are wrong, all of them.
#[derive(Default)]
struct Violations(Vec<FieldViolation>);

impl Violations {
    fn add(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(FieldViolation { field: field.to_owned(), description: description.into() });
    }

    fn name(&mut self, name: &str) {
        if name.is_empty() {
            self.add("connection.name", "give the connection a name");
        } else if name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            self.add("connection.name", format!("must be at most {MAX_NAME} characters on one line"));
        }
    }

    fn none_beside_url(&mut self, spec: &Spec) {
        let given = [
            ("connection.host", !spec.host.is_empty()),
            ("connection.port", spec.port != 0),
            ("connection.database", !spec.database.is_empty()),
        ];
        for (field, _) in given.into_iter().filter(|(_, given)| *given) {
            self.add(field, "give either a url or fields, not both");
        }
    }

    fn sqlite(&mut self, spec: &Spec, database: &str) {
        let field = if spec.url.is_some() { "connection.url" } else { "connection.database" };
        if database.is_empty() {
            self.add(field, "give the path of the SQLite file");
        } else if database.len() > MAX_DATABASE || database.chars().any(char::is_control) {
            self.add(field, format!("must be a path of at most {MAX_DATABASE} bytes without control characters"));
        } else if database.to_ascii_lowercase().starts_with("file:") {
            self.add(field, "give a plain path; file: URIs are not accepted");
        }
        for (field, given) in [("connection.host", !spec.host.is_empty()), ("connection.port", spec.port != 0)] {
            if given && spec.url.is_none() {
                self.add(field, "a SQLite connection has no host and no port");
            }
        }
    }
}

/// Kind and database of a URL. Says what is wrong without repeating the URL: it may hold a password.
fn read_url(url: &str) -> Result<(Option<DatabaseKind>, String), String> {
    let (scheme, rest) = url.split_once(':').ok_or("not a URL such as sqlite://shop.sqlite")?;
    match scheme.to_ascii_lowercase().as_str() {
        "sqlite" | "sqlite3" => {
            // sqlite:path, sqlite://path and sqlite:///absolute/path
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.contains(['?', '#']) {
                return Err("a SQLite URL takes no parameters".to_owned());
            }
            Ok((Some(DatabaseKind::Sqlite), path.to_owned()))
        }
        "postgres" | "postgresql" => Ok((Some(DatabaseKind::Postgresql), String::new())),
        "mysql" | "mariadb" => Ok((Some(DatabaseKind::Mysql), String::new())),
        _ => Err("the URL must start with sqlite:, postgres: or mysql:".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: Spec, expected: &[&str]) {
        let fields: Vec<String> = match spec.check(true) {
            Ok(_) => Vec::new(),
            Err(failure) => failure.violations.into_iter().map(|violation| violation.field).collect(),
        };
        assert_eq!(fields, expected);
    }

    fn sqlite(database: &str) -> Spec {
        let (name, kind) = ("shop".to_owned(), Some(DatabaseKind::Sqlite));
        Spec { name, kind, database: database.to_owned(), ..Spec::default() }
    }

    fn by_url(url: &str) -> Spec {
        Spec { name: "shop".to_owned(), url: Some(url.to_owned().into()), ..Spec::default() }
    }

    #[test]
    fn all_bad_fields_are_named_at_once() {
        check(sqlite("shop.sqlite"), &[]);
        check(Spec::default(), &["connection.name", "connection.kind"]);
        check(
            Spec { name: "  ".into(), host: "h".into(), ..sqlite("") },
            &["connection.name", "connection.database", "connection.host"],
        );
        check(sqlite("file:x?mode=rw"), &["connection.database"]);
        check(by_url("sqlite://shop.sqlite"), &[]);
        check(by_url("sqlite:///data/shop.sqlite"), &[]);
        check(by_url("sqlite://shop.sqlite?mode=rw"), &["connection.url"]);
        check(by_url("oracle://x"), &["connection.url"]);
        check(Spec { database: "x".into(), ..by_url("sqlite://y") }, &["connection.database"]);
    }

    #[test]
    fn a_url_is_never_repeated() {
        let failure = by_url("oracle://user:canary@host/db").check(true).unwrap_err();
        assert!(!format!("{failure:?}").contains("canary"));
        let failure = by_url("postgres://user:canary@host/db").check(true).unwrap_err();
        assert_eq!(failure.reason, Reason::NotImplemented);
        assert!(!format!("{failure:?}").contains("canary"));
    }
}
