//! What a question asks for, before names are decided: slots with candidates, and the shape around them.

use super::dates::Period;
use super::names::{Col, Link, Target};
use super::tree::Literal;
use super::values::Found;
use crate::domain::outputs::{AggregateFunction as Aggregate, Operator};

/// What the slot of a date is called that the question does not name.
pub(crate) const UNNAMED_DATE: &str = "date";

/// Position of a slot in its draft.
pub(crate) type SlotId = usize;

/// A phrase whose target is still open.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    /// As written.
    pub text: String,
    /// What it may be.
    pub candidates: Vec<Link>,
    /// A phrase beside it that names its table.
    pub qualifier: Option<SlotId>,
    /// Whether it belongs to what is denied: its table is looked up apart.
    pub denied: bool,
}

/// Something to show.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// What is computed of it.
    pub aggregate: Option<Aggregate>,
    /// Whether equal values count once.
    pub distinct: bool,
    /// What; `None` with an aggregate counts rows.
    pub slot: Option<SlotId>,
    /// Whether all columns are wanted.
    pub everything: bool,
    /// Which sentence it is from.
    pub sentence: usize,
}

/// A condition.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    /// What must hold.
    pub kind: Kind,
    /// Or just not.
    pub negated: bool,
    /// Joined to the condition before by "or".
    pub or: bool,
}

/// Kinds of condition.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A column compared with constants.
    Compare(SlotId, Operator, Vec<Literal>),
    /// A date or year compared with a period.
    Period(SlotId, Operator, Period),
    /// One of the values, each found in some columns.
    Values(SlotId, Vec<Vec<Found>>),
    /// A text that may start or end anywhere.
    Like(SlotId, bool, bool, String),
    /// The number of rows of a table, or of values of a column.
    Count(SlotId, Operator, String),
    /// Compared with an aggregate of the same column.
    Relative(SlotId, Operator, Aggregate),
    /// There is a row in the other table.
    Exists(SlotId),
}

/// What rows are sorted by.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    /// A column.
    Column(SlotId),
    /// An aggregate of a column.
    Aggregate(Aggregate, SlotId),
    /// The number of rows, of that table if given.
    Count(Option<SlotId>),
    /// The first thing shown.
    First,
}

/// Part of a date that rows are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bucket {
    /// Calendar year.
    Year,
    /// Calendar month.
    Month,
}

/// The whole question.
#[expect(clippy::struct_excessive_bools, reason = "each is something else that the question may say")]
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    /// Phrases with candidates.
    pub slots: Vec<Slot>,
    /// What is shown.
    pub items: Vec<Item>,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// The thing whose attributes are asked for, when it is named apart from them.
    pub owner: Option<SlotId>,
    /// Tables that are only spoken of.
    pub mentions: Vec<SlotId>,
    /// Group keys, with the place among the items at which they were named.
    pub groups: Vec<(SlotId, usize)>,
    /// Date buckets.
    pub buckets: Vec<(Bucket, usize)>,
    /// Sort keys; true = largest first.
    pub order: Vec<(Key, bool)>,
    /// Rows wanted.
    pub limit: Option<u64>,
    /// Equal rows once.
    pub distinct: bool,
    /// Something was asked for beside a thing: "and its price".
    pub along: bool,
    /// Both of two values must occur.
    pub both: bool,
    /// The first, the last, the most was asked for.
    pub ranks: bool,
    /// Words that nothing explains.
    pub unknown: Vec<String>,
    /// What lowers the confidence, multiplied.
    pub doubt: f64,
}

impl Draft {
    /// Adds a slot.
    pub(crate) fn slot(&mut self, text: &str, candidates: Vec<Link>, qualifier: Option<SlotId>) -> SlotId {
        self.slots.push(Slot { text: text.to_owned(), candidates, qualifier, denied: false });
        self.slots.len() - 1
    }

    /// Adds a slot for columns only.
    pub(crate) fn column_slot(&mut self, text: &str, links: &[Link], qualifier: Option<SlotId>) -> SlotId {
        let columns = links.iter().filter(|link| matches!(link.target, Target::Column(_))).copied().collect();
        self.slot(text, columns, qualifier)
    }

    /// Adds a slot for the columns in which values were found.
    pub(crate) fn value_slot(&mut self, text: &str, found: &[Found], qualifier: Option<SlotId>) -> SlotId {
        let links =
            found.iter().map(|found| Link { target: Target::Column(found.col), score: found.score * 0.95 }).collect();
        self.slot(text, links, qualifier)
    }
}

/// The value of a list that was found in a column.
pub(crate) fn in_column(alternatives: &[Vec<Found>], col: Col) -> Option<Vec<String>> {
    alternatives
        .iter()
        .map(|found| found.iter().find(|found| found.col == col).map(|found| found.value.clone()))
        .collect()
}
