//! Failures as data, and the reasons of the contract.

use crate::domain::{Failure, Reason, SqlError};
use crate::pb::v1 as pb;

use super::value::count;

pub(super) fn failure(failure: Failure) -> pb::Failure {
    let retryable = failure.retry_after.is_some() || is_passing(failure.reason);
    let Failure { reason: why, message, metadata, violations: _, sql, retry_after: _ } = failure;
    let rule = metadata.get("rule").map_or("", String::as_str);
    pb::Failure {
        reason: reason(why).into(),
        message,
        hint: sql.as_ref().map(|error| error.hint.clone()).unwrap_or_default(),
        retryable,
        cause: None,
        sql_error: sql.as_ref().map(|error| sql_error(error, rule)),
        metadata,
    }
}

/// Whether the same question may succeed when asked again unchanged.
fn is_passing(reason: Reason) -> bool {
    use Reason as R;
    matches!(
        reason,
        R::Draining
            | R::Overloaded
            | R::StoreUnavailable
            | R::TargetUnavailable
            | R::TargetBusy
            | R::SqlConflict
            | R::ModelUnavailable
            | R::ModelRateLimited
            | R::ModelOutputInvalid
    )
}

pub(in crate::api) fn sql_error(error: &SqlError, rule: &str) -> pb::SqlErrorDetail {
    let SqlError { sqlstate, message, position, hint } = error;
    pb::SqlErrorDetail {
        sqlstate: sqlstate.clone(),
        message: message.clone(),
        position: count(*position),
        hint: hint.clone(),
        rule: rule.to_owned(),
    }
}

/// The same value in the contract's words.
pub(in crate::api) fn reason(reason: Reason) -> pb::ErrorReason {
    use Reason as R;
    use pb::ErrorReason as P;
    match reason {
        R::FieldInvalid => P::FieldInvalid,
        R::PageTokenInvalid => P::PageTokenInvalid,
        R::RequestIdReused => P::RequestIdReused,
        R::Unauthenticated => P::Unauthenticated,
        R::ScopeMissing => P::ScopeMissing,
        R::NotImplemented => P::NotImplemented,
        R::MethodUnknown => P::MethodUnknown,
        R::DeadlineExceeded => P::DeadlineExceeded,
        R::CallCancelled => P::CallCancelled,
        R::Overloaded => P::Overloaded,
        R::QuotaExceeded => P::QuotaExceeded,
        R::Draining => P::Draining,
        R::Internal => P::Internal,
        R::StoreUnavailable => P::StoreUnavailable,
        R::StoreFull => P::StoreFull,
        R::StoreDataLost => P::StoreDataLost,
        R::LogRewound => P::LogRewound,
        R::RecordTooNew => P::RecordTooNew,
        R::SecretUnreadable => P::SecretUnreadable,
        R::ConnectionNotFound => P::ConnectionNotFound,
        R::NameTaken => P::NameTaken,
        R::EtagMismatch => P::EtagMismatch,
        R::HostNotAllowed => P::HostNotAllowed,
        R::FileNotFound => P::FileNotFound,
        R::FileIsDirectory => P::FileIsDirectory,
        R::FileNotADatabase => P::FileNotADatabase,
        R::FileOutsideFolder => P::FileOutsideFolder,
        R::FileUnreadable => P::FileUnreadable,
        R::TargetUnavailable => P::TargetUnavailable,
        R::TargetAuthFailed => P::TargetAuthFailed,
        R::TargetTlsFailed => P::TargetTlsFailed,
        R::TargetDatabaseUnknown => P::TargetDatabaseUnknown,
        R::TargetPrivilegeMissing => P::TargetPrivilegeMissing,
        R::TargetProtocol => P::TargetProtocol,
        R::TargetBusy => P::TargetBusy,
        R::SqlNotUnderstood => P::SqlNotUnderstood,
        R::SqlNotAllowed => P::SqlNotAllowed,
        R::SqlFailed => P::SqlFailed,
        R::SqlConstraintViolated => P::SqlConstraintViolated,
        R::SqlConflict => P::SqlConflict,
        R::StatementTimeout => P::StatementTimeout,
        R::StatementTooExpensive => P::StatementTooExpensive,
        R::ResultTooLarge => P::ResultTooLarge,
        R::WorkflowNotFound => P::WorkflowNotFound,
        R::WorkflowExpired => P::WorkflowExpired,
        R::WorkflowFinished => P::WorkflowFinished,
        R::WorkflowNotFinished => P::WorkflowNotFinished,
        R::WorkflowNotAwaiting => P::WorkflowNotAwaiting,
        R::WorkflowWithoutSql => P::WorkflowWithoutSql,
        R::SequenceMismatch => P::SequenceMismatch,
        R::WatcherTooSlow => P::WatcherTooSlow,
        R::QuestionNotUnderstood => P::QuestionNotUnderstood,
        R::QuestionAmbiguous => P::QuestionAmbiguous,
        R::SchemaEmpty => P::SchemaEmpty,
        R::ModelNotConfigured => P::ModelNotConfigured,
        R::ModelUnavailable => P::ModelUnavailable,
        R::ModelAuth => P::ModelAuth,
        R::ModelNotFound => P::ModelNotFound,
        R::ModelRateLimited => P::ModelRateLimited,
        R::ModelRequestRejected => P::ModelRequestRejected,
        R::ModelRefused => P::ModelRefused,
        R::ModelOutputInvalid => P::ModelOutputInvalid,
        R::ModelBudgetExhausted => P::ModelBudgetExhausted,
        R::RetriesExhausted => P::RetriesExhausted,
        R::StepTimeout => P::StepTimeout,
        R::WorkflowTimeout => P::WorkflowTimeout,
        R::ConnectionDeleted => P::ConnectionDeleted,
        R::InputExpired => P::InputExpired,
        R::WorkerLost => P::WorkerLost,
        R::ExampleNotFound => P::ExampleNotFound,
    }
}
