//! The databases of a running server: connections, knowledge and queries behind the one seam.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::civil::Date;

use super::{Databases, Rows};
use crate::agents::validator;
use crate::connections::Directory;
use crate::domain::outputs::{ComposerOutput, PlannerOutput, ValidatorOutput};
use crate::domain::{Connection, ConnectionId, Facts, Failure, Principal, Source, Value};
use crate::knowledge::Library;
use crate::queries::{self, Intent, QueryResult, RequestedLimits, Statement};

pub(super) struct Live {
    pub(super) directory: Directory,
    pub(super) library: Library,
    pub(super) queries: queries::Service,
}

#[async_trait]
impl Databases for Live {
    async fn connection(&self, who: &Principal, id: ConnectionId) -> Result<Connection, Failure> {
        self.directory.get(who, id).await
    }

    async fn facts(
        &self,
        who: &Principal,
        source: &Source,
        question: &str,
        today: Date,
    ) -> Result<Arc<Facts>, Failure> {
        self.library.facts(who, source, question, today).await
    }

    async fn judge(
        &self,
        who: &Principal,
        source: &Source,
        facts: &Facts,
        proposal: &ComposerOutput,
        plan: Option<&PlannerOutput>,
    ) -> Result<ValidatorOutput, Failure> {
        let evidence = self.queries.evidence(who, source, facts, proposal).await?;
        Ok(validator::judge(&evidence, facts, plan))
    }

    async fn execute(
        &self,
        who: &Principal,
        connection: ConnectionId,
        sql: &str,
        parameters: &[Value],
        timeout: Option<Duration>,
    ) -> Result<Rows, Failure> {
        let statement = Statement { sql: sql.to_owned(), parameters: parameters.to_vec() };
        let limits = RequestedLimits { timeout, ..RequestedLimits::default() };
        let result = self.queries.execute(who, connection, statement, limits, Intent::Read).await?;
        // A workflow never writes.
        let QueryResult { columns, rows, row_count, truncated, execution_time, affected_rows: _ } = result;
        Ok(Rows { columns, rows: rows.to_rows(), row_count, capped: truncated.is_some(), execution_time })
    }
}
