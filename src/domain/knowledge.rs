//! What people know of a database that its schema does not say: definitions and verified examples as they write them, and
//! what of it holds for a schema.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{ExampleId, WorkflowId};
use super::schema::{ColumnPath, Schema, Table, TablePath};

/// Definitions as people write them; names are not looked up yet. The same shape is stored, imported and exported, and a
/// field that it does not have is refused rather than lost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Definitions {
    /// Conventions in plain language.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// What tables and their columns mean.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableMeaning>,
    /// Figures that have names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub measures: Vec<Measure>,
    /// Joins to prefer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<PreferredJoin>,
}

/// What a table means.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableMeaning {
    /// `orders` or `sales.orders`.
    pub table: String,
    /// What its rows are.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Other words for its rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub synonyms: Vec<String>,
    /// A condition on its rows that holds unless a question speaks of its columns.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub default_filter: String,
    /// What its columns mean.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnMeaning>,
}

/// What a column means.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnMeaning {
    /// Its name.
    pub column: String,
    /// What its values are.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Other words for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub synonyms: Vec<String>,
    /// Words for single values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<ValueAlias>,
}

/// A word for a value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValueAlias {
    /// What people say.
    pub alias: String,
    /// What the data says.
    pub value: String,
}

/// A figure that has a name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Measure {
    /// What people call it.
    pub name: String,
    /// Other words for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub synonyms: Vec<String>,
    /// Whose columns it reads.
    pub table: String,
    /// An aggregate of them.
    pub expression: String,
    /// What it says.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// Two columns by which tables join.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PreferredJoin {
    /// The referencing column with its table.
    pub left: String,
    /// The referenced column with its table.
    pub right: String,
    /// What the join says.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// A question with the SQL that answers it, verified by a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Its id.
    pub id: ExampleId,
    /// The question.
    pub question: String,
    /// One statement that reads.
    pub sql: String,
    /// The workflow it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<WorkflowId>,
    /// When it was saved.
    pub create_time: Timestamp,
    /// Fingerprint of the schema on which its SQL was accepted.
    pub fingerprint: String,
}

/// Definitions with their names looked up, as far as they hold for one schema.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Meaning {
    /// Conventions in plain language.
    pub notes: String,
    /// Other words for tables and columns.
    pub synonyms: Vec<Synonym>,
    /// Words for values.
    pub aliases: Vec<Alias>,
    /// Figures that have names.
    pub measures: Vec<NamedMeasure>,
    /// Conditions that hold unless a question speaks of their columns.
    pub filters: Vec<DefaultFilter>,
    /// Joins to prefer: referencing and referenced column.
    pub joins: Vec<(ColumnPath, ColumnPath)>,
}

impl Meaning {
    /// Whether nothing is defined.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Another word for a table or a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    /// What people say.
    pub words: String,
    /// The table.
    pub table: TablePath,
    /// The column; `None` for the table itself.
    pub column: Option<String>,
}

/// A word for a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// What people say.
    pub alias: String,
    /// Where the value is.
    pub column: ColumnPath,
    /// As the data spells it.
    pub value: String,
}

/// A figure that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedMeasure {
    /// What people call it.
    pub name: String,
    /// Other words for it.
    pub synonyms: Vec<String>,
    /// Whose columns it reads.
    pub table: TablePath,
    /// How it is computed.
    pub formula: Formula,
    /// What it says; may be empty.
    pub description: String,
}

/// A condition that holds unless a question speaks of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultFilter {
    /// Whose rows it is about.
    pub table: TablePath,
    /// What holds.
    pub formula: Formula,
}

/// An SQL expression over the columns of one table, apart at its columns, so that these can be qualified wherever it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Formula {
    /// In order.
    pub pieces: Vec<Piece>,
    /// Whether it aggregates.
    pub aggregates: bool,
}

/// A part of a formula.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// SQL as it stands.
    Text(String),
    /// The name of a column.
    Column {
        /// As the database spells it, once it was looked up.
        name: String,
        /// The table before the dot, as written.
        qualifier: Option<String>,
        /// As written, quotes included.
        written: String,
    },
}

impl Formula {
    /// Names of its columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Column { name, .. } => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The expression with its columns written by `column`.
    pub fn with_columns(&self, mut column: impl FnMut(&str) -> String) -> String {
        let written = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Column { name, .. } => column(name),
        });
        written.collect()
    }

    /// The expression as people read it: column names without qualifiers.
    #[must_use]
    pub fn plain(&self) -> String {
        self.with_columns(str::to_owned)
    }
}

/// A verified example that is like a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Precedent {
    /// Its question.
    pub question: String,
    /// The SQL that answers it.
    pub sql: String,
    /// The same with what is in the data left out: for engines that must not see values.
    pub masked_question: String,
    /// The SQL without its texts.
    pub masked_sql: String,
    /// How like it is, 0 to 1.
    pub similarity: f64,
    /// The SQL for the question at hand, where it differs from the example's in values at most.
    pub adapted_sql: Option<String>,
}

/// Why a name of a table or column could not be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFound {
    /// There is none.
    Missing,
    /// There are several.
    Ambiguous,
}

impl Schema {
    /// The one table that `table` or `schema.table` names, ignoring ASCII case.
    pub fn table_named(&self, path: &str) -> Result<&Table, NotFound> {
        let exact = |table: &&Table| table.name.eq_ignore_ascii_case(path);
        let qualified = |table: &&Table| format!("{}.{}", table.schema, table.name).eq_ignore_ascii_case(path);
        let mut named: Vec<&Table> = self.tables.iter().filter(qualified).collect();
        if named.is_empty() {
            named = self.tables.iter().filter(exact).collect();
        }
        match named[..] {
            [table] => Ok(table),
            [] => Err(NotFound::Missing),
            _ => Err(NotFound::Ambiguous),
        }
    }

    /// The one column that `table.column` or `schema.table.column` names, ignoring ASCII case.
    pub fn column_named(&self, path: &str) -> Result<ColumnPath, NotFound> {
        let found = self.tables.iter().filter_map(|table| {
            let column = table.column(table.named_by(path)?)?;
            Some(ColumnPath { schema: table.schema.clone(), table: table.name.clone(), column: column.name.clone() })
        });
        let found: Vec<ColumnPath> = found.collect();
        match &found[..] {
            [column] => Ok(column.clone()),
            [] => Err(NotFound::Missing),
            _ => Err(NotFound::Ambiguous),
        }
    }
}
