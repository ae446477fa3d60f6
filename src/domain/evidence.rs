//! What was measured about a proposed statement before anyone judges it.

use serde::{Deserialize, Serialize};

use super::failure::SqlError;
use super::outputs::Estimate;
use super::schema::ColumnPath;

/// Findings about one statement, gathered by the guard, against the schema, by the database's planner and in the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The statement.
    pub sql: String,
    /// Whether the guard lets it through.
    pub guard: GuardVerdict,
    /// Tables and columns that do not exist.
    pub unknown_names: Vec<UnknownName>,
    /// What the database's planner says.
    pub planner: PlannerVerdict,
    /// Texts that columns are compared with but do not hold.
    pub unmatched_literals: Vec<UnmatchedLiteral>,
    /// What it reads and may cost.
    pub estimate: Estimate,
    /// What the statement says that it may not mean.
    #[serde(default)]
    pub doubts: Vec<Doubt>,
    /// Whether the result is one row (`false`: one for each group); `None` where the text does not say.
    #[serde(default)]
    pub one_row: Option<bool>,
}

/// Something that runs but may not be what was meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// What it is about.
    pub kind: DoubtKind,
    /// What is odd and how it is usually written, in words.
    pub message: String,
    /// Character in the statement, from 1; 0 when unknown.
    pub position: u32,
}

/// What a doubt is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoubtKind {
    /// Tables joined otherwise than along the key between them.
    Join,
    /// Tables that no condition connects: every row of one with every row of the other.
    Product,
    /// A column that is neither grouped nor aggregated.
    Grouping,
    /// A comparison or a sum of values of other kinds.
    Kind,
}

/// The guard's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardVerdict {
    /// It reads, and only reads.
    Allowed,
    /// It is not one statement of the dialect.
    NotUnderstood(SqlError),
    /// Policy forbids it.
    NotAllowed {
        /// Name of the broken rule.
        rule: String,
        /// Message, position, hint.
        error: SqlError,
    },
}

/// A name in the statement that the schema does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownName {
    /// As written, with its table or alias for a column.
    pub name: String,
    /// Table or column.
    pub kind: NameKind,
    /// Character in the statement, from 1; 0 when unknown.
    pub position: u32,
    /// Real names that are close, closest first: `table` or `table.column`.
    pub nearest: Vec<String>,
}

/// What a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameKind {
    /// A table or view.
    Table,
    /// A column.
    Column,
}

/// The planner's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannerVerdict {
    /// It has a plan.
    Accepted {
        /// The plan as text; empty for statements that have none.
        plan: String,
    },
    /// The database refuses the statement, in its own words.
    Refused(SqlError),
    /// It was not asked, and why.
    Skipped(String),
}

/// A text that a column is compared with although it does not hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmatchedLiteral {
    /// The column.
    pub column: ColumnPath,
    /// The text in the statement.
    pub literal: String,
    /// Values of the column that are close, closest first.
    pub nearest: Vec<String>,
    /// Other columns that hold it, whatever the case.
    #[serde(default)]
    pub elsewhere: Vec<ColumnPath>,
}
