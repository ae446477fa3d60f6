//! Readings that answer something else than was asked: each was given once, and wrong.

use super::super::joins::Edge;
use super::super::names::{Col, Target};
use super::super::tree::{Expr, Filter, Query};
use super::Builder;
use crate::domain::outputs::{AggregateFunction as Aggregate, Operator};

impl Builder<'_> {
    /// Whether a date that nobody named tells of one thing and the question's verb of another: what was sold in 2024 was not
    /// launched then.
    pub(super) fn tells_of_something_else(&self, col: Col) -> bool {
        const ANYTHING: [&str; 12] = [
            "date",
            "day",
            "time",
            "timestamp",
            "datetime",
            "at",
            "on",
            "year",
            "month",
            "create",
            "created",
            "record",
        ];
        const IRREGULAR: [&str; 8] = ["buy", "give", "make", "sell", "send", "take", "win", "write"];
        let table = self.names.table_words(col.table);
        let own = self.names.words(col).iter().filter(|word| !ANYTHING.contains(&word.as_str()));
        let told: Vec<&String> = own.filter(|word| !table.iter().any(|other| akin(word, other))).collect();
        let is_verb = |word: &str| word.ends_with("ed") || IRREGULAR.contains(&word);
        let other = |word: &&str| is_verb(word) && !table.iter().any(|other| akin(word, other));
        !told.is_empty()
            && !told.iter().any(|told| self.words.iter().any(|word| akin(word, told)))
            && self.words.iter().any(other)
    }

    /// Whether the answer is what the question names: "who reports to Ann Lee?" read as "who is Ann Lee?".
    pub(super) fn says_nothing_new(&self, query: &Query, entity: usize) -> bool {
        let pinned = |col: &Col| {
            query.filters.iter().any(
                |filter| matches!(filter, Filter::Compare(Expr::Column(known), Operator::Equal, _) if known == col),
            )
        };
        let label = self.names.label(entity);
        let shown = query.select.iter().all(|expr| matches!(expr, Expr::Column(col) if pinned(col)));
        let counted = query.select == [Expr::CountAll]
            && !label.is_empty()
            && label.iter().all(|col| pinned(col) && !self.names.is_key(*col));
        shown || counted
    }

    /// Whether words of the question left no trace: the first or last of something, who or what is asked for, that it was
    /// sold.
    pub(super) fn leaves_out(&self, query: &Query) -> bool {
        const SOLD: [&str; 3] = ["buy", "purchased", "sell"];
        let extreme = |expr: &Expr| matches!(expr, Expr::Aggregate(Aggregate::Minimum | Aggregate::Maximum, _));
        let unranked = self.draft.ranks
            && query.order.is_empty()
            && query.compound.is_none()
            && !query.select.iter().any(extreme)
            && query.filters.iter().all(|filter| matches!(filter, Filter::Compare(..) | Filter::Search { .. }));
        let shows = |table: usize| {
            query.select.iter().any(|expr| match expr {
                Expr::Column(col) | Expr::Aggregate(_, col) => col.table == table,
                Expr::TableStar(known) => *known == table,
                _ => true,
            })
        };
        let tables = &self.names.schema().tables;
        let asked = match self.words {
            ["which", thing, ..] => (0..tables.len()).find(|table| self.names.table_words(*table) == [*thing]),
            _ => None,
        };
        let nobody = self.words.first() == Some(&"who")
            && query.select.iter().all(|expr| matches!(expr, Expr::Column(col) if self.names.is_key(*col)));
        let knows = |table: usize, word: &str| {
            let of_columns = self.names.columns(table).flat_map(|col| self.names.words(col));
            self.names.table_words(table).iter().chain(of_columns).any(|own| akin(word, own))
        };
        let sold = matches!(query.tables[..], [table]
            if self.words.iter().any(|word| SOLD.contains(word) && !knows(table, word)));
        let mut denied = self.draft.slots.iter().filter(|slot| slot.denied).filter_map(|slot| slot.candidates.first());
        let unread = denied.any(|link| matches!(link.target, Target::Table(table) if !self.tells(query, table)));
        unranked || nobody || sold || unread || asked.is_some_and(|table| !shows(table))
    }

    /// Whether a query reads a table, or one whose keys lead there: who teaches no course is in no row of what is taught. "With
    /// no orders in Germany", read as with no address there, does not tell of orders.
    fn tells(&self, query: &Query, table: usize) -> bool {
        let (mut leading, mut at) = (vec![table], 0);
        while let Some(parent) = leading.get(at).copied() {
            let children =
                self.joins.edges().iter().filter(|edge| edge.parent_table() == parent).map(Edge::child_table);
            for child in children {
                if !leading.contains(&child) {
                    leading.push(child);
                }
            }
            at += 1;
        }
        leading.into_iter().any(|table| reads(query, table))
    }
}

/// Whether two words have a root in common, as far as their first letters tell.
fn akin(one: &str, other: &str) -> bool {
    const ROOT: usize = 3;
    one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count() >= ROOT
}

/// Whether a query reads a table anywhere.
fn reads(query: &Query, table: usize) -> bool {
    fn filter(one: &Filter, table: usize) -> bool {
        match one {
            Filter::CompareQuery(_, _, query) | Filter::Member(_, _, query) => reads(query, table),
            Filter::Any(parts) | Filter::All(parts) => parts.iter().any(|part| filter(part, table)),
            // What people defined may read anything.
            Filter::Defined(_) => true,
            Filter::Compare(..) | Filter::Search { .. } => false,
        }
    }
    query.tables.contains(&table)
        || query.filters.iter().chain(&query.having).any(|one| filter(one, table))
        || query.compound.as_ref().is_some_and(|(_, other)| reads(other, table))
}
