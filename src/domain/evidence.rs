//! What was measured about a proposed statement, for the validator to judge: plain facts, no opinion.

use super::failure::SqlError;

/// Measurements in the order they were made; later ones are absent when an earlier one makes them pointless.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evidence {
    /// What the guard said.
    pub guard: GuardFinding,
    /// Tables and columns that the schema does not have.
    pub unknown_names: Vec<UnknownName>,
    /// What the database's planner said.
    pub planner: PlannerFinding,
    /// Text literals that stand in no row of the column they are compared with.
    pub missing_literals: Vec<MissingLiteral>,
    /// Columns of the result, when they can be counted.
    pub result_columns: Option<usize>,
}

/// The guard's answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum GuardFinding {
    /// One read-only statement.
    #[default]
    Passed,
    /// It cannot be read in its dialect.
    NotUnderstood(SqlError),
    /// Policy forbids it.
    NotAllowed(SqlError),
}

/// A name that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// As written.
    pub name: String,
    /// Whether it stands where a table stands; otherwise it is a column.
    pub is_table: bool,
    /// Real names that look like it, nearest first.
    pub nearest: Vec<String>,
}

/// The planner's answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum PlannerFinding {
    /// It was not asked, and why.
    #[default]
    NotAsked,
    /// There is no database behind the schema.
    NoDatabase,
    /// It has a plan.
    Accepted,
    /// It refuses the statement.
    Refused(SqlError),
}

/// A literal that is not in the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingLiteral {
    /// The column, as `table.column`.
    pub column: String,
    /// The literal.
    pub text: String,
    /// Values of the column that look like it, nearest first.
    pub nearest: Vec<String>,
}
