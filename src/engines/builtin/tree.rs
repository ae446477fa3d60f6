//! The intermediate form between a reading and SQL: tables and columns by position, no dialect.

use super::joins::Edge;
use super::names::{Col, Names};
use crate::domain::outputs::{AggregateFunction, Operator};

/// A query over one schema.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Query {
    /// Whether equal rows are shown once.
    pub distinct: bool,
    /// What is shown, in order.
    pub select: Vec<Expr>,
    /// Tables in join order; each stands once.
    pub tables: Vec<usize>,
    /// One edge per table after the first.
    pub edges: Vec<Edge>,
    /// Conditions on rows, all of which hold.
    pub filters: Vec<Filter>,
    /// Grouping columns.
    pub group: Vec<Expr>,
    /// Conditions on groups.
    pub having: Vec<Filter>,
    /// Sort keys; true = largest first.
    pub order: Vec<(Expr, bool)>,
    /// What tells rows apart that are equal in the order, smallest first, so that every database gives the same ones.
    pub ties: Vec<Expr>,
    /// Rows wanted.
    pub limit: Option<u64>,
    /// A second query whose rows are cut, taken away or added.
    pub compound: Option<(SetOp, Box<Query>)>,
}

/// How two queries combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetOp {
    /// Rows of both.
    Intersect,
}

/// A value of a row or a group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    /// All columns.
    Star,
    /// All columns of one table.
    TableStar(usize),
    /// A column.
    Column(Col),
    /// `COUNT(*)`
    CountAll,
    /// An aggregate of a column.
    Aggregate(AggregateFunction, Col),
    /// The year of a date.
    Year(Col),
    /// Year and month of a date.
    Month(Col),
}

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Filter {
    /// A comparison with constants.
    Compare(Expr, Operator, Vec<Literal>),
    /// A comparison with the one value of another query.
    CompareQuery(Expr, Operator, Box<Query>),
    /// Whether a text is found in a column, in any case.
    Search {
        /// Where.
        col: Col,
        /// Whether it must not be found.
        negated: bool,
        /// Whether anything may stand before it.
        before: bool,
        /// Whether anything may follow.
        after: bool,
        /// As written.
        text: String,
    },
    /// A condition that people defined, by its place among them.
    Defined(usize),
    /// Membership in the rows of another query; true = not a member.
    Member(Col, bool, Box<Query>),
    /// One of them holds.
    Any(Vec<Filter>),
    /// All of them hold.
    All(Vec<Filter>),
}

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    /// As written.
    Number(String),
    /// Text.
    Text(String),
}

/// Whether the columns hold a table's whole key, so that they tell its rows apart.
pub(crate) fn hold_key(columns: &[Expr], names: &Names, table: usize) -> bool {
    let key = names.key(table);
    !key.is_empty() && key.into_iter().all(|col| columns.contains(&Expr::Column(col)))
}
