//! Changes of a saved connection by field-mask paths (AIP-134).

use super::spec::Spec;
use crate::domain::Failure;

/// What to change.
#[derive(Debug, Clone)]
pub struct Change {
    /// Holds the new values of the named fields; the others are ignored.
    pub spec: Spec,
    /// Field-mask paths such as `name`, `password` or `limits.max_rows`. A named field without a value is cleared.
    pub paths: Vec<String>,
    /// Refuses the change unless the connection still has this etag.
    pub etag: Option<String>,
    /// Saves without trying the database.
    pub skip_test: bool,
    /// Checks and tries, but saves nothing.
    pub validate_only: bool,
}

/// The spec after the change. A URL comes first: it replaces everything that a URL can say, a password included, so
/// that no saved password travels to another server; then the named fields win over it. For the same reason a change of host
/// or port that does not name the password too leaves none.
pub(super) fn apply(before: Spec, change: &Spec, paths: &[String]) -> Result<Spec, Failure> {
    let mut spec = before;
    if paths.iter().any(|path| path == "url") {
        spec = Spec {
            url: change.url.clone(),
            name: spec.name,
            client_key_pem: spec.client_key_pem,
            tls: spec.tls,
            access_mode: spec.access_mode,
            allowed_functions: spec.allowed_functions,
            excluded_columns: spec.excluded_columns,
            limits: spec.limits,
            ..Spec::default()
        };
    }
    let mut moved = false;
    for path in paths {
        match path.as_str() {
            "url" => {}
            "name" => spec.name.clone_from(&change.name),
            "kind" => spec.kind = change.kind,
            "host" | "port" => {
                if path == "host" {
                    spec.host.clone_from(&change.host);
                } else {
                    spec.port = change.port;
                }
                moved = true;
            }
            "database" => spec.database.clone_from(&change.database),
            "username" => spec.username.clone_from(&change.username),
            "password" => {}
            "tls" => {
                spec.tls.clone_from(&change.tls);
                spec.client_key_pem.clone_from(&change.client_key_pem);
            }
            "tls.mode" => spec.tls.mode = change.tls.mode,
            "tls.ca_certificate" => spec.tls.ca_pem.clone_from(&change.tls.ca_pem),
            "tls.client_certificate" => {
                spec.tls.client_certificate_pem.clone_from(&change.tls.client_certificate_pem);
            }
            "tls.client_key" => spec.client_key_pem.clone_from(&change.client_key_pem),
            "access_mode" => spec.access_mode = change.access_mode,
            "allowed_functions" => spec.allowed_functions.clone_from(&change.allowed_functions),
            "excluded_columns" => spec.excluded_columns.clone_from(&change.excluded_columns),
            "limits" => spec.limits = change.limits,
            "limits.max_rows" => spec.limits.max_rows = change.limits.max_rows,
            "limits.max_bytes" => spec.limits.max_bytes = change.limits.max_bytes,
            "limits.statement_timeout" => spec.limits.statement_timeout = change.limits.statement_timeout,
            "limits.max_pool_size" => spec.limits.max_pool_size = change.limits.max_pool_size,
            unknown => {
                return Err(Failure::field("update_mask", format!("`{unknown}` is no field of a connection")));
            }
        }
    }
    // Whoever may name a host could have the saved password sent to his own.
    if paths.iter().any(|path| path == "password") {
        spec.password.clone_from(&change.password);
    } else if moved {
        spec.password = None;
    }
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_password_is_for_the_saved_server() {
        let saved = || Spec { host: "db".to_owned(), port: 5432, password: Some("secret".into()), ..Spec::default() };
        let change = Spec { host: "elsewhere".to_owned(), port: 1, name: "n".to_owned(), ..Spec::default() };
        let has_password = |paths: &[&str], change: &Spec| {
            let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
            apply(saved(), change, &paths).unwrap().password.is_some()
        };
        assert!(has_password(&["name", "database"], &change));
        assert!(!has_password(&["host"], &change));
        assert!(!has_password(&["name", "port"], &change));
        assert!(!has_password(&["password"], &change));
        let with_password = Spec { password: Some("other".into()), ..change };
        assert!(!has_password(&["host"], &with_password), "what the mask does not name is ignored");
        assert!(has_password(&["host", "password"], &with_password));
    }
}
