//! Facts per source, kept while the connection and its schema stay the same.

use std::sync::Arc;

use jiff::civil::Date;
use moka::future::Cache;

use crate::connections::{Directory, from_sql};
use crate::domain::{ConnectionId, Facts, Failure, Principal, Source, ValueIndex};
use crate::sql::SampleBounds;

/// Databases whose values are kept.
const MAX_KEPT: u64 = 64;

/// The facts of every source. Cheap to clone; two callers who need the same facts wait for one reading.
#[derive(Clone)]
pub struct Library {
    directory: Directory,
    values: Cache<(ConnectionId, String, String), Arc<ValueIndex>>,
}

impl Library {
    /// A library over the connections of the directory.
    #[must_use]
    pub fn new(directory: Directory) -> Self {
        Self { directory, values: Cache::new(MAX_KEPT) }
    }

    /// Schema and values of a source. `today` is the day that "last month" is counted from.
    pub async fn facts(&self, who: &Principal, source: &Source, today: Date) -> Result<Arc<Facts>, Failure> {
        match source {
            Source::InlineSchema(schema) => {
                let (schema, values) = (Arc::new(schema.clone()), Arc::new(ValueIndex::default()));
                Ok(Arc::new(Facts { schema, values, today }))
            }
            Source::Connection(id) => {
                let schema = self.directory.schema(who, *id, false).await?;
                let (connection, database) = self.directory.database(who, *id).await?;
                let key = (*id, connection.etag, schema.fingerprint.clone());
                let read = async {
                    let index = database.values(schema.clone(), SampleBounds::default()).await;
                    index.map(Arc::new).map_err(from_sql)
                };
                let values = self.values.try_get_with(key, read).await.map_err(Arc::unwrap_or_clone)?;
                Ok(Arc::new(Facts { schema, values, today }))
            }
        }
    }
}
