//! Collects what is wrong with a request.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use prost::Message;
use sha2::{Digest, Sha256};

use crate::domain::{Failure, FieldViolation, RequestKey};

/// Bad fields of one request, so that one answer names them all.
#[derive(Default)]
pub(in crate::api) struct Fields {
    violations: Vec<FieldViolation>,
}

impl Fields {
    /// The parsed request, if nothing was wrong with it. A parser that answers `None` has said why before.
    pub(in crate::api) fn finish<T>(self, parsed: Option<T>) -> Result<T, Failure> {
        match parsed {
            Some(parsed) if self.violations.is_empty() => Ok(parsed),
            _ => Err(Failure::fields(self.violations)),
        }
    }

    /// The parsed request, of which the use case may know more that is wrong.
    pub(super) fn draft<T>(self, parsed: Option<T>) -> Draft<T> {
        Draft { parsed, fields: self }
    }

    /// Something is wrong with a field.
    pub(super) fn bad(&mut self, field: &str, description: impl Into<String>) {
        self.violations.push(FieldViolation { field: field.to_owned(), description: description.into() });
    }

    /// A required id.
    pub(super) fn id<T: FromStr>(&mut self, field: &str, text: &str) -> Option<T>
    where
        T::Err: Display,
    {
        match text.parse() {
            Ok(id) => Some(id),
            Err(_) if text.is_empty() => {
                self.bad(field, "is required");
                None
            }
            Err(error) => {
                self.bad(field, error.to_string());
                None
            }
        }
    }

    /// An id that may be left out.
    pub(super) fn optional_id<T: FromStr>(&mut self, field: &str, text: &str) -> Option<T>
    where
        T::Err: Display,
    {
        if text.is_empty() { None } else { self.id(field, text) }
    }

    /// Text within a number of bytes, without NUL.
    pub(super) fn text(&mut self, field: &str, text: String, max_bytes: usize) -> String {
        if text.len() > max_bytes {
            self.bad(field, format!("is {} bytes long; at most {max_bytes} are accepted", text.len()));
        } else if text.contains('\0') {
            self.bad(field, "contains NUL");
        }
        text
    }

    /// Text that says something, within a number of bytes.
    pub(super) fn words(&mut self, field: &str, text: String, max_bytes: usize) -> String {
        if text.trim().is_empty() {
            self.bad(field, "must not be blank");
        }
        self.text(field, text, max_bytes)
    }

    /// A limit: zero is `None`, a negative number is wrong.
    pub(super) fn limit(&mut self, field: &str, value: i64) -> Option<u32> {
        if value < 0 {
            self.bad(field, format!("is {value}; it must not be negative"));
        }
        // What is larger is lowered: limits may be lowered anyway.
        (value > 0).then(|| u32::try_from(value).unwrap_or(u32::MAX))
    }

    /// A page size: zero is the default, too large is lowered, a negative number is wrong.
    pub(super) fn page_size(&mut self, value: i32, default: usize, max: usize) -> usize {
        match usize::try_from(value) {
            Ok(0) => default,
            Ok(size) => size.min(max),
            Err(_) => {
                self.bad("page_size", format!("is {value}; it must not be negative"));
                default
            }
        }
    }

    /// A span of time; unset and zero are `None`.
    pub(super) fn duration(&mut self, field: &str, value: Option<prost_types::Duration>) -> Option<Duration> {
        let Ok(span) = Duration::try_from(value?) else {
            self.bad(field, "must not be negative");
            return None;
        };
        (!span.is_zero()).then_some(span)
    }

    /// An enum value that may be left out (`None`); numbers that the enum does not have are wrong.
    pub(super) fn choice<T: TryFrom<i32>>(&mut self, field: &str, number: i32) -> Option<T> {
        if number == 0 {
            return None;
        }
        let value = T::try_from(number).ok();
        if value.is_none() {
            self.bad(field, format!("has no value {number}"));
        }
        value
    }
}

/// A request whose fields are parsed one by one, but not yet held against each other.
pub(in crate::api) struct Draft<T> {
    parsed: Option<T>,
    fields: Fields,
}

impl<T> Draft<T> {
    /// The parsed request, if nothing was wrong with it. Else `further` is asked what more is wrong, so that one answer
    /// names it all; of a field that is named already it is not heard.
    pub(in crate::api) async fn finish(
        self,
        further: impl AsyncFnOnce(&T) -> Vec<FieldViolation>,
    ) -> Result<T, Failure> {
        let Self { parsed, mut fields } = self;
        if let (Some(parsed), false) = (&parsed, fields.violations.is_empty()) {
            for violation in further(parsed).await {
                if fields.violations.iter().all(|known| known.field != violation.field) {
                    fields.violations.push(violation);
                }
            }
        }
        fields.finish(parsed)
    }
}

/// An id that is all a request holds.
pub(in crate::api) fn id<T: FromStr>(text: &str) -> Result<T, Failure>
where
    T::Err: Display,
{
    let mut fields = Fields::default();
    let id = fields.id("id", text);
    fields.finish(id)
}

/// The key of a request that may be repeated (AIP-155): `request` is the request without its id.
pub(in crate::api) fn request_key(fields: &mut Fields, id: String, request: &impl Message) -> Option<RequestKey> {
    if id.is_empty() {
        return None;
    }
    if id.chars().count() > 64 {
        fields.bad("request_id", "must have 1 to 64 characters");
    }
    Some(RequestKey { id, body_hash: Sha256::digest(request.encode_to_vec()).into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ConnectionId;

    #[test]
    fn all_bad_fields_are_named_at_once() {
        let mut fields = Fields::default();
        let id = fields.id::<ConnectionId>("id", "7");
        fields.page_size(-1, 50, 500);
        fields.duration("timeout", Some(prost_types::Duration { seconds: -1, nanos: 0 }));
        fields.words("question", "  ".to_owned(), 10);
        let failure = fields.finish(id).unwrap_err();
        let names: Vec<_> = failure.violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(names, ["id", "page_size", "timeout", "question"]);
    }

    #[test]
    fn page_sizes_default_and_are_lowered() {
        let mut fields = Fields::default();
        assert_eq!(fields.page_size(0, 50, 500), 50);
        assert_eq!(fields.page_size(7, 50, 500), 7);
        assert_eq!(fields.page_size(10_000, 50, 500), 500);
        assert_eq!(fields.finish(Some(())), Ok(()));
    }
}
