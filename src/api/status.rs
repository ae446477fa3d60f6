//! The only place where a failure becomes a status: canonical code, exactly one `ErrorInfo`, and what else helps
//! (AIP-193).

use std::time::Duration;

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb::{BadRequest, ErrorInfo, Help, RetryInfo, bad_request, help};

use super::{layers, to_pb};
use crate::domain::{Failure, Reason};

/// The domain of every `ErrorInfo`.
const DOMAIN: &str = "pulse";

/// Statuses travel as header fields, and stock clients refuse more than 8 KiB of those.
const MAX_TEXT_BYTES: usize = 1_024;
const MAX_VIOLATIONS: usize = 16;

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let failure = bland(failure);
        let code = code(failure.reason);
        let details = tonic_types::pb::Status {
            code: code.into(),
            message: clip(&failure.message).to_owned(),
            details: details(&failure),
        };
        Status::with_details(code, details.message.clone(), details.encode_to_vec().into())
    }
}

/// The canonical code of a reason.
fn code(reason: Reason) -> Code {
    use Reason as R;
    match reason {
        R::FieldInvalid | R::PageTokenInvalid | R::SqlNotUnderstood | R::SqlFailed | R::QuestionNotUnderstood => {
            Code::InvalidArgument
        }
        R::RequestIdReused | R::NameTaken => Code::AlreadyExists,
        R::Unauthenticated => Code::Unauthenticated,
        R::ScopeMissing | R::HostNotAllowed | R::FileOutsideFolder | R::SqlNotAllowed => Code::PermissionDenied,
        R::NotImplemented | R::MethodUnknown => Code::Unimplemented,
        R::DeadlineExceeded | R::StatementTimeout | R::StepTimeout | R::WorkflowTimeout | R::InputExpired => {
            Code::DeadlineExceeded
        }
        R::CallCancelled => Code::Cancelled,
        R::Overloaded
        | R::QuotaExceeded
        | R::StoreFull
        | R::TargetBusy
        | R::StatementTooExpensive
        | R::ResultTooLarge
        | R::WatcherTooSlow
        | R::ModelRateLimited
        | R::ModelBudgetExhausted => Code::ResourceExhausted,
        R::Draining | R::StoreUnavailable | R::TargetUnavailable | R::ModelUnavailable => Code::Unavailable,
        R::Internal | R::ModelOutputInvalid | R::WorkerLost => Code::Internal,
        R::StoreDataLost | R::LogRewound => Code::DataLoss,
        R::ConnectionNotFound | R::WorkflowNotFound | R::WorkflowExpired | R::ExampleNotFound => Code::NotFound,
        R::EtagMismatch | R::SqlConflict | R::SequenceMismatch => Code::Aborted,
        R::RecordTooNew
        | R::SecretUnreadable
        | R::FileNotFound
        | R::FileIsDirectory
        | R::FileNotADatabase
        | R::FileUnreadable
        | R::TargetAuthFailed
        | R::TargetTlsFailed
        | R::TargetDatabaseUnknown
        | R::TargetPrivilegeMissing
        | R::TargetProtocol
        | R::SqlConstraintViolated
        | R::WorkflowFinished
        | R::WorkflowNotFinished
        | R::WorkflowNotAwaiting
        | R::WorkflowWithoutSql
        | R::QuestionAmbiguous
        | R::SchemaEmpty
        | R::ModelNotConfigured
        | R::ModelAuth
        | R::ModelNotFound
        | R::ModelRequestRejected
        | R::ModelRefused
        | R::RetriesExhausted
        | R::ConnectionDeleted => Code::FailedPrecondition,
    }
}

/// The reason as `ErrorInfo` spells it.
pub(super) fn name(reason: Reason) -> &'static str {
    to_pb::reason(reason).as_str_name().trim_start_matches("ERROR_REASON_")
}

/// A bug keeps its cause in the log; outside there is only the id to find it by.
fn bland(failure: Failure) -> Failure {
    if failure.reason != Reason::Internal {
        return failure;
    }
    let request_id = layers::current_request_id();
    tracing::error!(request_id, cause = %failure.message, metadata = ?failure.metadata, "internal error");
    let message = format!("Pulse made a mistake; the server's log has the cause under request id {request_id}");
    Failure::new(Reason::Internal, message).with("request_id", request_id)
}

fn details(failure: &Failure) -> Vec<Any> {
    let mut metadata: std::collections::HashMap<String, String> =
        failure.metadata.iter().map(|(key, value)| (key.clone(), clip(value).to_owned())).collect();
    if let Some(first) = failure.violations.first() {
        metadata.entry("field".to_owned()).or_insert_with(|| first.field.clone());
    }
    let name = name(failure.reason);
    let mut details =
        vec![any("google.rpc.ErrorInfo", &ErrorInfo { reason: name.to_owned(), domain: DOMAIN.to_owned(), metadata })];
    if !failure.violations.is_empty() {
        let field_violations =
            failure.violations.iter().take(MAX_VIOLATIONS).map(|violation| bad_request::FieldViolation {
                field: clip(&violation.field).to_owned(),
                description: clip(&violation.description).to_owned(),
                ..Default::default()
            });
        details.push(any("google.rpc.BadRequest", &BadRequest { field_violations: field_violations.collect() }));
    }
    if let Some(wait) = failure.retry_after {
        details.push(any("google.rpc.RetryInfo", &RetryInfo { retry_delay: Some(to_pb::duration(wait)) }));
    }
    if let Some(error) = &failure.sql {
        let mut detail = to_pb::sql_error(error, failure.metadata.get("rule").map_or("", String::as_str));
        detail.message = clip(&detail.message).to_owned();
        detail.hint = clip(&detail.hint).to_owned();
        details.push(any("pulse.v1.SqlErrorDetail", &detail));
    }
    let link = help::Link {
        description: "What to do about it".to_owned(),
        url: format!("docs/errors.md#{}", name.to_ascii_lowercase()),
    };
    details.push(any("google.rpc.Help", &Help { links: vec![link] }));
    details
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

/// The text, or as much of it as a header field should carry.
fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

/// The server is stopping; another replica, or this one in a moment, can go on.
pub(super) fn draining() -> Failure {
    Failure::new(Reason::Draining, "the server is stopping; connect again").retry_after(Duration::from_secs(1))
}

/// What this server does not offer yet.
pub(super) fn not_implemented(feature: &str) -> Failure {
    Failure::new(Reason::NotImplemented, format!("{feature} is not there yet; leave it out")).with("feature", feature)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tonic_types::StatusExt;

    use super::*;
    use crate::domain::{FieldViolation, SqlError};
    use crate::pb::v1 as pb;

    fn reasons_of_the_contract() -> Vec<pb::ErrorReason> {
        let known = (1..1_000).filter_map(|number| pb::ErrorReason::try_from(number).ok());
        known.collect()
    }

    #[test]
    fn domain_and_contract_have_the_same_reasons() {
        let contract = reasons_of_the_contract();
        assert!(contract.len() > 60);
        for value in contract {
            let spelled = value.as_str_name().trim_start_matches("ERROR_REASON_");
            let reason: Reason = serde_json::from_value(spelled.into()).unwrap_or_else(|_| panic!("{spelled}"));
            assert_eq!(name(reason), spelled);
            assert_eq!(to_pb::reason(reason), value);
        }
    }

    #[test]
    fn every_reason_has_a_section_that_names_its_code() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md")).unwrap();
        let mut sections = BTreeSet::new();
        for section in text.split("\n## ").skip(1) {
            let (title, body) = section.split_once('\n').unwrap();
            let reason: Reason = serde_json::from_value(title.into()).unwrap_or_else(|_| panic!("no reason {title}"));
            let spelled = format!("{:?}", code(reason));
            let first = body.trim_start().trim_start_matches('`').split('`').next().unwrap().replace('_', "");
            assert!(first.eq_ignore_ascii_case(&spelled), "{title}: documented {first}, answered {spelled}");
            sections.insert(title.to_owned());
        }
        for value in reasons_of_the_contract() {
            let spelled = value.as_str_name().trim_start_matches("ERROR_REASON_");
            assert!(sections.contains(spelled), "docs/errors.md says nothing of {spelled}");
        }
    }

    #[test]
    fn a_status_carries_everything_a_client_needs() {
        let violations = ["id", "page_size"]
            .map(|field| FieldViolation { field: field.to_owned(), description: "is wrong".to_owned() });
        let status = Status::from(Failure::fields(violations.to_vec()).retry_after(Duration::from_secs(2)));
        let details = status.get_error_details();
        assert_eq!(status.code(), Code::InvalidArgument);
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("FIELD_INVALID", "pulse"));
        assert_eq!(info.metadata["field"], "id");
        assert_eq!(details.bad_request().unwrap().field_violations.len(), 2);
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(2)));
        assert_eq!(details.help().unwrap().links[0].url, "docs/errors.md#field_invalid");
    }

    #[test]
    fn the_databases_words_travel_beside() {
        let error = SqlError { sqlstate: "42703".into(), message: "no column".into(), position: 8, hint: "x".into() };
        let status = Status::from(Failure::new(Reason::SqlFailed, "no column").with_sql(error));
        let details = tonic_types::pb::Status::decode(status.details()).unwrap().details;
        let found = details.iter().find(|any| any.type_url.ends_with("/pulse.v1.SqlErrorDetail")).unwrap();
        let detail = pb::SqlErrorDetail::decode(found.value.as_slice()).unwrap();
        assert_eq!((detail.sqlstate.as_str(), detail.position), ("42703", 8));
        assert_eq!(details.iter().filter(|any| any.type_url.ends_with("ErrorInfo")).count(), 1);
    }

    #[test]
    fn a_bug_keeps_its_cause_inside() {
        let status = Status::from(Failure::new(Reason::Internal, "secret table missing").with("table", "secret"));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("secret"));
        assert!(!String::from_utf8_lossy(status.details()).contains("secret"));
    }

    #[test]
    fn long_texts_are_cut_to_what_headers_carry() {
        let message = "é".repeat(10_000);
        let error = SqlError { message: message.clone(), hint: message.clone(), ..SqlError::default() };
        let status = Status::from(Failure::new(Reason::SqlFailed, message).with_sql(error));
        assert!(status.details().len() + status.message().len() < 6_000);
    }
}
