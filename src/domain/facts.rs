//! What the agents may know of a database: handed in, so that nothing a language model writes can fetch more.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil::Date;

use super::knowledge::{Meaning, Precedent};
use super::schema::{ColumnPath, Schema};

/// Everything measured about a database that a question can be read against.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Tables, columns and keys.
    pub schema: Arc<Schema>,
    /// Distinct text values, for recognising what a question names. Empty with an inline schema.
    pub values: Arc<ValueIndex>,
    /// The day that "today" and "last month" are counted from.
    pub today: Date,
    /// What people defined, as far as it holds for the schema. What they say of tables and columns stands in the schema's
    /// comments.
    pub meaning: Arc<Meaning>,
    /// Verified examples that are like the question, the likest first.
    pub examples: Vec<Precedent>,
}

impl Facts {
    /// What was measured, of a database that nobody has said anything of.
    #[must_use]
    pub fn new(schema: Arc<Schema>, values: Arc<ValueIndex>, today: Date) -> Self {
        Self { schema, values, today, meaning: Arc::default(), examples: Vec::new() }
    }
}

/// Distinct values of the text-like columns of one database.
#[derive(Debug, Clone, Default)]
pub struct ValueIndex {
    columns: Vec<(ColumnPath, ColumnValues)>,
    positions: HashMap<ColumnPath, usize>,
}

/// Values found in one column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnValues {
    /// Distinct non-NULL values as the database spells them.
    pub distinct: Vec<String>,
    /// Whether `distinct` holds every value of the column, so that absence means something.
    pub complete: bool,
}

impl ValueIndex {
    /// An index over the given columns.
    #[must_use]
    pub fn new(columns: HashMap<ColumnPath, ColumnValues>) -> Self {
        let columns: Vec<(ColumnPath, ColumnValues)> = columns.into_iter().collect();
        let positions = columns.iter().enumerate().map(|(position, (path, _))| (path.clone(), position)).collect();
        Self { columns, positions }
    }

    /// The values of one column, if it was indexed.
    #[must_use]
    pub fn column(&self, path: &ColumnPath) -> Option<&ColumnValues> {
        self.position(path).map(|position| self.at(position))
    }

    /// Where a column is found again without its name.
    #[must_use]
    pub fn position(&self, path: &ColumnPath) -> Option<usize> {
        self.positions.get(path).copied()
    }

    /// The values of the column at a [`position`](Self::position) of this index.
    #[must_use]
    pub fn at(&self, position: usize) -> &ColumnValues {
        &self.columns[position].1
    }

    /// Every indexed column, in no particular order.
    pub fn columns(&self) -> impl Iterator<Item = (&ColumnPath, &ColumnValues)> {
        self.columns.iter().map(|(path, values)| (path, values))
    }
}
