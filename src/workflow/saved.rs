//! The databases of saved connections, behind the seam that the orchestrator knows.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::civil::Date;

use super::databases::{Databases, Rows};
use crate::agents::validator;
use crate::connections::Directory;
use crate::domain::outputs::{ComposerOutput, ValidatorOutput};
use crate::domain::{Connection, ConnectionId, Facts, Failure, Principal, Source, Value};
use crate::knowledge::Library;
use crate::queries::{RequestedLimits, Service, Statement};

/// Facts from the library, verdicts and rows through queries: a workflow has no other way to a database.
pub struct Saved {
    directory: Directory,
    library: Library,
    queries: Service,
}

impl Saved {
    /// Over the three use cases that workflows stand on.
    #[must_use]
    pub fn new(directory: Directory, library: Library, queries: Service) -> Self {
        Self { directory, library, queries }
    }
}

#[async_trait]
impl Databases for Saved {
    async fn connection(&self, who: &Principal, id: ConnectionId) -> Result<Connection, Failure> {
        self.directory.get(who, id).await
    }

    async fn facts(&self, who: &Principal, source: &Source, today: Date) -> Result<Arc<Facts>, Failure> {
        self.library.facts(who, source, today).await
    }

    async fn judge(
        &self,
        who: &Principal,
        source: &Source,
        facts: &Facts,
        proposal: &ComposerOutput,
    ) -> Result<ValidatorOutput, Failure> {
        let evidence = self.queries.evidence(who, source, facts, proposal).await?;
        Ok(validator::judge(&evidence, facts))
    }

    async fn execute(
        &self,
        who: &Principal,
        connection: ConnectionId,
        sql: &str,
        parameters: &[Value],
    ) -> Result<Rows, Failure> {
        let statement = Statement { sql: sql.to_owned(), parameters: parameters.to_vec() };
        let result = self.queries.execute(who, connection, statement, RequestedLimits::default()).await?;
        Ok(Rows {
            row_count: result.row_count,
            columns: result.columns,
            rows: result.rows,
            capped: result.truncated.is_some(),
            execution_time: result.execution_time,
        })
    }
}
