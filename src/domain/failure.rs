//! Failure as data: the same value ends a workflow, answers an RPC and is stored.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why something did not work: a reason for programs, a message for people, and what helps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What programs match on.
    pub reason: Reason,
    /// One or two sentences: what happened and what to do. Never a secret, a path of this server or a stack.
    pub message: String,
    /// Every variable of the message, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// All bad fields of a request at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<FieldViolation>,
    /// The database's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<SqlError>,
    /// How long to wait before trying again, when waiting helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
}

/// A field of a request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldViolation {
    /// Path of the field as in the proto, such as `connection.port`.
    pub field: String,
    /// What is wrong and what would be right.
    pub description: String,
}

/// What a database says of a statement it refuses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SqlError {
    /// SQLSTATE, or SQLite's result code name; empty when there is none.
    pub sqlstate: String,
    /// The database's message.
    pub message: String,
    /// Character in the statement, counted from 1; 0 when unknown.
    pub position: u32,
    /// The database's or the guard's hint; empty when there is none.
    pub hint: String,
}

/// Reasons: the values of `pulse.v1.ErrorReason`, in its order; a test of the API compares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Reason {
    /// A field of the request is missing or wrong.
    FieldInvalid,
    /// A page token that this list did not give out.
    PageTokenInvalid,
    /// The request id was used with another body.
    RequestIdReused,
    /// No or unknown credentials.
    Unauthenticated,
    /// The key lacks a scope.
    ScopeMissing,
    /// Not there yet.
    NotImplemented,
    /// There is no such service or RPC.
    MethodUnknown,
    /// The call's deadline passed.
    DeadlineExceeded,
    /// Somebody cancelled: the client its call, or a person the workflow.
    CallCancelled,
    /// Too much at once.
    Overloaded,
    /// The caller's tenant has as much of something as it may have.
    QuotaExceeded,
    /// The server is shutting down.
    Draining,
    /// A bug.
    Internal,
    /// The store cannot be reached in time.
    StoreUnavailable,
    /// The store has no room.
    StoreFull,
    /// A record of the store cannot be read.
    StoreDataLost,
    /// The log no longer holds what the cursor names.
    LogRewound,
    /// The record was written by a newer version of Pulse.
    RecordTooNew,
    /// The stored password cannot be opened with the configured keys.
    SecretUnreadable,
    /// No such connection for this tenant.
    ConnectionNotFound,
    /// Another connection has this name.
    NameTaken,
    /// The record changed since it was read.
    EtagMismatch,
    /// Policy forbids connecting to this host or port.
    HostNotAllowed,
    /// There is no file at the SQLite path.
    FileNotFound,
    /// The SQLite path is a directory.
    FileIsDirectory,
    /// The file is not a SQLite database.
    FileNotADatabase,
    /// The path lies outside the allowed folder.
    FileOutsideFolder,
    /// The server may not read the SQLite file, or it is no regular file.
    FileUnreadable,
    /// The target database cannot be reached or opened.
    TargetUnavailable,
    /// The target database refuses the credentials.
    TargetAuthFailed,
    /// The TLS handshake with the database failed, or it does not offer what the TLS mode demands.
    TargetTlsFailed,
    /// The target server has no such database.
    TargetDatabaseUnknown,
    /// The database's user may not do what is needed.
    TargetPrivilegeMissing,
    /// What answers at host and port is not this kind of database, or a version that is not supported.
    TargetProtocol,
    /// The target database has no free connection or is locked.
    TargetBusy,
    /// The guard cannot parse the statement.
    SqlNotUnderstood,
    /// The guard refuses the statement.
    SqlNotAllowed,
    /// The database refuses the statement.
    SqlFailed,
    /// A constraint of the database refuses the change.
    SqlConstraintViolated,
    /// A deadlock, a serialisation failure or a lock held by another session.
    SqlConflict,
    /// The statement took too long.
    StatementTimeout,
    /// The statement needs more memory or temporary space than it may have.
    StatementTooExpensive,
    /// The result has a cell or row over a limit.
    ResultTooLarge,
    /// No such workflow for this tenant.
    WorkflowNotFound,
    /// The workflow ended long ago and its record was removed.
    WorkflowExpired,
    /// The workflow has ended, so it can no longer be cancelled.
    WorkflowFinished,
    /// The workflow has not ended, so it cannot be deleted or serve as a source of rows.
    WorkflowNotFinished,
    /// The workflow does not wait for this kind of input.
    WorkflowNotAwaiting,
    /// The workflow has no SQL on a connection that could be run again.
    WorkflowWithoutSql,
    /// The workflow went on since the sequence the call expected.
    SequenceMismatch,
    /// The watcher reads too slowly.
    WatcherTooSlow,
    /// The question could not be explained from the schema and the data.
    QuestionNotUnderstood,
    /// The question has several readings.
    QuestionAmbiguous,
    /// The database has no table that its user may read.
    SchemaEmpty,
    /// Engine OPENAI was asked for, but the server has no model.
    ModelNotConfigured,
    /// The model cannot be reached or keeps failing.
    ModelUnavailable,
    /// The model endpoint refuses the key.
    ModelAuth,
    /// The model's endpoint does not know the model.
    ModelNotFound,
    /// The model's endpoint asks to wait longer than the workflow may.
    ModelRateLimited,
    /// The model's endpoint refuses the request as such.
    ModelRequestRejected,
    /// The model refused to answer.
    ModelRefused,
    /// The model's answer does not have the asked-for form.
    ModelOutputInvalid,
    /// The model has been called as often as allowed.
    ModelBudgetExhausted,
    /// The composer's attempts are used up.
    RetriesExhausted,
    /// A step took too long.
    StepTimeout,
    /// The workflow took too long.
    WorkflowTimeout,
    /// The workflow's connection was deleted.
    ConnectionDeleted,
    /// Nobody answered or approved within 24 hours.
    InputExpired,
    /// The worker crashed on this workflow too often.
    WorkerLost,
    /// The connection has no example of this id.
    ExampleNotFound,
}

impl Failure {
    /// A failure with a reason and a message.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            sql: None,
            retry_after: None,
        }
    }

    /// A request field that is wrong.
    #[must_use]
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::fields(vec![FieldViolation { field: field.into(), description: description.into() }])
    }

    /// Several request fields that are wrong. `violations` must not be empty.
    #[must_use]
    pub fn fields(violations: Vec<FieldViolation>) -> Self {
        let message = violations
            .iter()
            .map(|violation| format!("{}: {}", violation.field, violation.description))
            .collect::<Vec<_>>()
            .join("; ");
        Self { violations, ..Self::new(Reason::FieldInvalid, message) }
    }

    /// The same failure with a variable of its message named.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// The same failure with the database's own words.
    #[must_use]
    pub fn with_sql(mut self, error: SqlError) -> Self {
        self.sql = Some(error);
        self
    }

    /// The same failure, worth trying again after a wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
