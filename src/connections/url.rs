//! Connection URLs, taken apart. Nothing here repeats the URL in an error: it may hold a password.

use secrecy::SecretString;

use crate::domain::{DatabaseKind, TlsMode};

/// What a URL says. Empty and `None` where it says nothing.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) kind: DatabaseKind,
    pub(super) host: String,
    pub(super) port: u16,
    /// For SQLite the path.
    pub(super) database: String,
    pub(super) username: String,
    pub(super) password: Option<SecretString>,
    pub(super) tls: Option<TlsMode>,
}

/// Takes a URL apart; the error says what is wrong and what would be right.
pub(super) fn parse(text: &str) -> Result<Parts, String> {
    let text = text.trim();
    // What takes URLs apart would drop some of these without a word.
    if text.contains(char::is_control) {
        return Err("must not contain control characters, such as line breaks".to_owned());
    }
    let Some((scheme, rest)) = text.split_once(':') else { return Err(wrong_scheme()) };
    match scheme.to_ascii_lowercase().as_str() {
        "sqlite" | "sqlite3" => sqlite(rest),
        "postgres" | "postgresql" => server(DatabaseKind::Postgresql, text),
        "mysql" | "mariadb" => server(DatabaseKind::Mysql, text),
        _ => Err(wrong_scheme()),
    }
}

fn wrong_scheme() -> String {
    "must begin with postgres://, mysql://, mariadb:// or sqlite://".to_owned()
}

/// `sqlite:///absolute/path`, `sqlite://relative/path` or `sqlite:path`. No parameters: how a file is opened is not the
/// caller's choice.
fn sqlite(rest: &str) -> Result<Parts, String> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.contains('?') {
        return Err("must not have parameters for SQLite".to_owned());
    }
    if path.contains('#') {
        return Err("must not have a fragment; write %23 for # in a path".to_owned());
    }
    let database = decoded(path)?;
    if database.is_empty() {
        return Err("must name a file, as in sqlite://shop.sqlite".to_owned());
    }
    Ok(Parts {
        kind: DatabaseKind::Sqlite,
        host: String::new(),
        port: 0,
        database,
        username: String::new(),
        password: None,
        tls: None,
    })
}

/// `scheme://user:password@host:port/database?sslmode=…`.
fn server(kind: DatabaseKind, text: &str) -> Result<Parts, String> {
    if text.contains(char::is_whitespace) {
        return Err("must not contain spaces; write %20 for a space".to_owned());
    }
    let Some((_, rest)) = text.split_once("://") else { return Err("must have // after the scheme".to_owned()) };
    if let Some(problem) = unescaped(rest) {
        return Err(problem);
    }
    let url = ::url::Url::parse(text).map_err(in_words)?;
    if url.fragment().is_some() {
        return Err("must not have a fragment; write %23 for # in a name or password".to_owned());
    }
    let mut tls = None;
    for (name, value) in url.query_pairs() {
        // Anything else may name a file or a command on the server; such things are no caller's choice.
        if !matches!(&*name, "sslmode" | "ssl-mode" | "ssl_mode") {
            return Err(format!("has the parameter `{}`, which is not supported", name.escape_debug()));
        }
        if tls.is_some() {
            return Err(format!("has the parameter `{name}` twice"));
        }
        tls = Some(tls_mode(&value).ok_or_else(|| format!("has an unknown value of `{name}`"))?);
    }
    Ok(Parts {
        kind,
        // In a URL an IPv6 address has brackets, in a field it has none.
        host: decoded(url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']'))?,
        port: url.port().unwrap_or_default(),
        database: decoded(url.path().trim_start_matches('/'))?,
        username: decoded(url.username())?,
        password: url.password().map(decoded).transpose()?.map(SecretString::from),
        tls,
    })
}

/// User and password end at the last `@`; a character in them that ends the host, or another `@`, is meant as text.
fn unescaped(rest: &str) -> Option<String> {
    let (user_and_password, _) = rest.rsplit_once('@')?;
    let (found, escaped) = [('/', "%2F"), ('?', "%3F"), ('#', "%23"), ('@', "%40")]
        .into_iter()
        .find(|(sign, _)| user_and_password.contains(*sign))?;
    Some(format!(
        "has {found} before the last @, where user and password stand; write {escaped} for it (percent-encoding), or give the \
         password in its own field"
    ))
}

fn in_words(error: ::url::ParseError) -> String {
    use ::url::ParseError;
    match error {
        ParseError::EmptyHost => "must name a host, as in postgres://user:password@host:5432/database",
        ParseError::InvalidPort => {
            "has a port that is no number from 1 to 65535; if it is part of a password, write the password's \
             / ? # @ as %2F %3F %23 %40 and end it with @"
        }
        ParseError::InvalidIpv4Address | ParseError::InvalidIpv6Address => {
            "has an address that is none; an IPv6 address stands in brackets"
        }
        _ => "must have the form postgres://user:password@host:port/database",
    }
    .to_owned()
}

fn tls_mode(value: &str) -> Option<TlsMode> {
    match value.to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" => Some(TlsMode::Disable),
        "prefer" | "preferred" => Some(TlsMode::Prefer),
        "require" | "required" => Some(TlsMode::Require),
        "verify-ca" => Some(TlsMode::VerifyCa),
        "verify-full" | "verify-identity" => Some(TlsMode::VerifyFull),
        _ => None,
    }
}

/// The text with `%XX` read as bytes of UTF-8 (RFC 3986, 2.1).
fn decoded(text: &str) -> Result<String, String> {
    let malformed = || "has a % that is not followed by two hexadecimal digits of UTF-8; write %25 for %".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut pieces = text.split('%');
    bytes.extend(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or_else(malformed)?;
        bytes.extend(hex::decode(digits).map_err(|_| malformed())?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn sqlite_paths() {
        for (url, path) in [
            ("sqlite:///data/shop.sqlite", "/data/shop.sqlite"),
            ("sqlite://shop.sqlite", "shop.sqlite"),
            ("sqlite://Sub/Shop.sqlite", "Sub/Shop.sqlite"),
            ("sqlite:shop.sqlite", "shop.sqlite"),
            ("SQLite://a%20b%23.db", "a b#.db"),
        ] {
            let parts = parse(url).unwrap();
            assert_eq!((parts.kind, parts.database.as_str()), (DatabaseKind::Sqlite, path));
        }
        for url in ["sqlite://", "sqlite:", "sqlite://a?mode=rwc", "sqlite://a#b", "sqlite://a%zz", "sqlite://%ff"] {
            assert!(parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn server_urls() {
        let parts = parse("postgresql://an%40n:p%23w%25@db.example:6432/shop%20x?sslmode=verify-full").unwrap();
        assert_eq!(parts.kind, DatabaseKind::Postgresql);
        assert_eq!((parts.host.as_str(), parts.port), ("db.example", 6432));
        assert_eq!((parts.database.as_str(), parts.username.as_str()), ("shop x", "an@n"));
        assert_eq!(parts.password.unwrap().expose_secret(), "p#w%");
        assert_eq!(parts.tls, Some(TlsMode::VerifyFull));
        let parts = parse("mysql://localhost").unwrap();
        assert_eq!((parts.kind, parts.port, parts.database.as_str()), (DatabaseKind::Mysql, 0, ""));
    }

    #[test]
    fn a_password_that_is_not_escaped_is_told_the_remedy() {
        for (sign, escaped) in [('#', "%23"), ('/', "%2F"), ('?', "%3F"), ('@', "%40")] {
            for scheme in ["postgres", "mysql"] {
                let url = |sign: &str| format!("{scheme}://ann:1{sign}2@db.example:5432/shop?sslmode=require");
                let problem = parse(&url(&sign.to_string())).unwrap_err();
                assert!(problem.contains(escaped), "{sign}: {problem}");
                assert_eq!(parse(&url(escaped)).unwrap().password.unwrap().expose_secret(), &format!("1{sign}2"));
            }
        }
        // Without the @ behind it, it looks like a port.
        assert!(parse("postgres://ann:p#w").unwrap_err().contains("%23"));
    }

    #[test]
    fn nothing_in_a_url_is_dropped_silently() {
        for url in [
            "postgres://ann@db/sh\top",
            "postgres://ann@d\nb/shop",
            "postgres://ann:p w@db/shop",
            "mysql://ann@db/my shop",
            "mysql://ann@db/my\u{a0}shop",
            "post\rgres://ann@db/shop",
            "sqlite://sh\nop.sqlite",
            "postgres://ann@db/shop\u{7}",
        ] {
            assert!(parse(url).is_err(), "{url:?}");
        }
        assert_eq!(parse(" postgres://ann@db/shop\n").unwrap().database, "shop", "around it there is nothing to lose");
        assert_eq!(parse("sqlite://my shop.sqlite").unwrap().database, "my shop.sqlite");
    }

    #[test]
    fn refusals_never_repeat_the_password() {
        for url in [
            "postgres://ann:hunter2@db/shop?sslkey=/etc/passwd",
            "postgres://ann:hunter2@db/shop?options=-c",
            "postgres://ann:hunter2@db/shop#x",
            "postgres://ann:hunter2@db:port/shop",
            "postgres://ann:hunter2%@db/shop",
            "postgres:ann:hunter2",
            "http://ann:hunter2@db",
            "mysql://ann:hunter2@db/shop?socket=/run/x",
            "postgres://ann:hunter2@db/shop?sslrootcert=/etc/x",
            "postgres://ann:hunter2@db/shop?passfile=/etc/x",
            "postgres://ann:hunter2@db/shop?service=x",
            "postgres://ann:hunter2@db/shop?host=/run",
            "postgres://ann:hunter2@db/shop?sslmode=disable&sslmode=require",
            "postgres://ann:hunter2@db/shop?sslmode=perhaps",
            "postgres://ann:hunter2@db:1,db:2/shop",
            "ann:hunter2@db",
            "postgres://ann:hunter2#x@db/shop",
            "postgres://ann:hun\nter2@db/shop",
            "postgres://ann:hunter2@db\\:1/shop",
        ] {
            let problem = parse(url).unwrap_err();
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
