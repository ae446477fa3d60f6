//! What a guarded statement reads and writes, as plain data: tables, columns, and texts that columns are compared with.
//!
//! It is found without a schema, so a name that may be several things says so: [`ColumnUse::scopes`] lists every table that
//! may own the column, nearest first, and [`ColumnUse::may_be_other`] that it may be something else altogether.

mod scope;
mod shape;
mod walk;

use sqlparser::ast::Statement;

use super::GuardedSql;
use crate::domain::DatabaseKind;

/// What a statement reads and writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Analysis {
    /// Every mention of a table or view, read or written, in no order; CTEs are resolved away, and what the statement
    /// creates is not there yet.
    pub tables: Vec<TableUse>,
    /// Every mention of a column.
    pub columns: Vec<ColumnUse>,
    /// Every name behind a dot: in PostgreSQL it may be a column or a function.
    pub attributes: Vec<NameUse>,
    /// Every function that is called without its schema.
    pub calls: Vec<NameUse>,
    /// Every operator of PostgreSQL, as its server parts them.
    pub operators: Vec<NameUse>,
    /// Every word, for PostgreSQL: among them are all types that it names.
    pub words: Vec<NameUse>,
    /// Columns compared with literal texts.
    pub comparisons: Vec<Comparison>,
    /// Every select.
    pub selects: Vec<SelectUse>,
    /// Columns compared with each other by `=`.
    pub equalities: Vec<(ColumnUse, ColumnUse)>,
    /// Columns compared with literal texts in any way, by `<` and BETWEEN too.
    pub texts: Vec<(ColumnUse, String)>,
    /// Columns that are added up or averaged.
    pub sums: Vec<ColumnUse>,
    /// Columns of the result; `None` when a `*` hides how many.
    pub output_columns: Option<usize>,
    /// Whether the result is one row (`false`: one for each group); `None` where the text does not say.
    pub one_row: Option<bool>,
}

/// A select: what it reads, and how that is put together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectUse {
    /// Indexes into [`Analysis::tables`] of the tables in its FROM.
    pub tables: Vec<usize>,
    /// Whether it reads other things too, or puts tables together otherwise than by conditions.
    pub joins_otherwise: bool,
    /// The columns of each condition that every row must meet.
    pub conditions: Vec<Vec<ColumnUse>>,
    /// How it groups, when it does.
    pub grouping: Option<Grouping>,
}

/// How a select groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grouping {
    /// Columns that it groups by.
    pub keys: Vec<ColumnUse>,
    /// Columns that it selects although they are neither grouped nor aggregated.
    pub loose: Vec<ColumnUse>,
    /// Whether it also takes a minimum or maximum, which in SQLite says of which row these columns are.
    pub extreme: bool,
}

/// A mention of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableUse {
    /// Its namespace where one is written.
    pub schema: Option<String>,
    /// Its name as written.
    pub name: String,
    /// Character in the statement, from 1; 0 when unknown.
    pub position: u32,
}

/// A mention of a name that means what the database's catalog says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameUse {
    /// The name as the database reads it: in PostgreSQL without capitals, unless it is quoted.
    pub name: String,
    /// Whether it stands behind the name of a table, and not behind anything that the statement computes.
    pub of_table: bool,
    /// Character in the statement, from 1; 0 when unknown.
    pub position: u32,
}

/// A mention of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnUse {
    /// The table or alias before the dot.
    pub qualifier: Option<String>,
    /// Its name as written.
    pub name: String,
    /// Whether it stands in double quotes; SQLite reads that as a text when there is no such column.
    pub quoted: bool,
    /// Indexes into [`Analysis::tables`] of the tables that may own it: the innermost query first, then those around it.
    pub scopes: Vec<Vec<usize>>,
    /// Whether it may be an alias, a column of a subquery or of a table function.
    pub may_be_other: bool,
    /// Character in the statement, from 1; 0 when unknown.
    pub position: u32,
}

/// A column compared with a text by `=`, `<>`, `IN` or `NOT IN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The column.
    pub column: ColumnUse,
    /// The text.
    pub literal: String,
    /// Whether the comparison ignores case, as `COLLATE NOCASE` does.
    pub ignores_case: bool,
}

/// What a guarded statement reads and writes.
#[must_use]
pub fn analyse(sql: &GuardedSql) -> &Analysis {
    sql.analysis()
}

/// Reads a statement; its tree may be deep, so the caller provides the stack.
pub(super) fn describe(statement: &Statement, text: &str, dialect: DatabaseKind) -> Analysis {
    walk::describe(statement, text, dialect)
}
