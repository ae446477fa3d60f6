//! Plain data that every module speaks: no I/O, no stored formats, no protobuf.
//!
//! Read in this order: [`ids`], [`connection`], [`schema`], [`value`], [`batch`], [`question`], [`knowledge`] (what
//! people know of a database), [`outputs`] (what the agents propose), [`event`] (the log that *is* a workflow), [`workflow`]
//! (the fold over that log), [`rating`] (what a person thinks of its answer), [`failure`].

pub mod batch;
pub mod clock;
pub mod comparable;
pub mod connection;
pub mod event;
pub mod evidence;
pub mod facts;
pub mod failure;
pub mod ids;
pub mod knowledge;
pub mod outputs;
pub mod page;
pub mod principal;
pub mod question;
pub mod rating;
pub mod request_key;
pub mod schema;
#[cfg(test)]
pub(crate) mod testing;
pub mod value;
pub mod workflow;

pub use batch::{Batch, Cell, TextKind};
pub use clock::{Clock, ShiftedClock, SystemClock};
pub use comparable::{Comparable, Plain};
pub use connection::{AccessMode, Connection, ConnectionLimits, DatabaseKind, Tls, TlsMode};
pub use event::{Event, EventKind, Need, PinnedConnection, ResumeInput, WorkflowStarted};
pub use evidence::Evidence;
pub use facts::{ColumnValues, Facts, ValueIndex};
pub use failure::{Failure, FieldViolation, Reason, SqlError};
pub use ids::{ConnectionId, ExampleId, WorkflowId};
pub use knowledge::{Definitions, Example, Formula, Meaning, Precedent};
pub use page::{Page, PageRequest};
pub use principal::{Principal, Scope, TenantId};
pub use question::{AskedBack, EngineChoice, EngineName, Question, RunLimits, RunOptions, Source, Turn};
pub use rating::{Rating, Verdict};
pub use request_key::RequestKey;
pub use schema::{Column, ColumnPath, ColumnType, ForeignKey, Schema, Table, TableKind, TablePath};
pub use value::{ResultColumn, Row, Value};
pub use workflow::{Step, StepStatus, Workflow, WorkflowStatus};
