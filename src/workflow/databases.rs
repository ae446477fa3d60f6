//! What a workflow needs of databases: the one seam between the orchestrator and everything that runs SQL, so that
//! whole workflows can be tested with scripted databases.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::civil::Date;

use crate::domain::outputs::{ComposerOutput, PlannerOutput, ValidatorOutput};
use crate::domain::{Connection, ConnectionId, Facts, Failure, Principal, ResultColumn, Row, Source, Value};

/// Facts, verdicts and rows. Every call acts for `who`; dropping a call stops what it runs.
#[async_trait]
pub trait Databases: Send + Sync {
    /// The connection, or `CONNECTION_NOT_FOUND`.
    async fn connection(&self, who: &Principal, id: ConnectionId) -> Result<Connection, Failure>;

    /// Schema, values, and what people know that concerns the question; `today` is the day that relative dates are counted
    /// from.
    async fn facts(&self, who: &Principal, source: &Source, question: &str, today: Date)
    -> Result<Arc<Facts>, Failure>;

    /// Measures a proposed statement and judges it, also against the plan where there is one.
    async fn judge(
        &self,
        who: &Principal,
        source: &Source,
        facts: &Facts,
        proposal: &ComposerOutput,
        plan: Option<&PlannerOutput>,
    ) -> Result<ValidatorOutput, Failure>;

    /// Runs one statement, read-only whatever the connection allows, up to the cap of executions. `timeout` bounds it where
    /// it is shorter than what server and connection allow.
    async fn execute(
        &self,
        who: &Principal,
        connection: ConnectionId,
        sql: &str,
        parameters: &[Value],
        timeout: Option<Duration>,
    ) -> Result<Rows, Failure>;
}

/// What a statement returned, up to the execution's own cap.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Its columns.
    pub columns: Vec<ResultColumn>,
    /// Its rows.
    pub rows: Vec<Row>,
    /// How many rows it returned, up to the cap.
    pub row_count: u64,
    /// Whether it had more than the cap.
    pub capped: bool,
    /// Time in the database.
    pub execution_time: Duration,
}
