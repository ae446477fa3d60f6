//! Facts per source, kept while the connection and its schema stay the same.

use std::sync::Arc;

use jiff::civil::Date;
use moka::future::Cache;

use crate::connections::{Directory, from_sql};
use crate::domain::{ConnectionId, Facts, Failure, Principal, Source, ValueIndex};
use crate::sql::SampleBounds;

/// Databases whose values are kept.
const MAX_KEPT: u64 = 64;

/// Connection, etag, fingerprint of its schema, and the day.
type Key = (ConnectionId, String, String, Date);

/// The facts of every source. Cheap to clone; two callers who need the same facts wait for one reading.
#[derive(Clone)]
pub struct Library {
    directory: Directory,
    kept: Cache<Key, Arc<Facts>>,
}

impl Library {
    /// A library over the connections of the directory.
    #[must_use]
    pub fn new(directory: Directory) -> Self {
        Self { directory, kept: Cache::new(MAX_KEPT) }
    }

    /// Schema and values of a source. The same facts are the same `Arc`, so that engines may keep what they made of them.
    /// `today` is the day that "last month" is counted from.
    pub async fn facts(&self, who: &Principal, source: &Source, today: Date) -> Result<Arc<Facts>, Failure> {
        match source {
            Source::InlineSchema(schema) => {
                let (schema, values) = (Arc::new(schema.clone()), Arc::new(ValueIndex::default()));
                Ok(Arc::new(Facts { schema, values, today }))
            }
            Source::Connection(id) => {
                let schema = self.directory.schema(who, *id, false).await?;
                let (connection, database) = self.directory.database(who, *id).await?;
                let key = (*id, connection.etag, schema.fingerprint.clone(), today);
                let read = async {
                    let values = database.values(schema.clone(), SampleBounds::default()).await.map_err(from_sql)?;
                    Ok(Arc::new(Facts { schema, values: Arc::new(values), today }))
                };
                self.kept.try_get_with(key, read).await.map_err(|failure: Arc<Failure>| Arc::unwrap_or_clone(failure))
            }
        }
    }
}
