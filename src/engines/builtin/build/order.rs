//! What rows are sorted by, and how many are wanted.

use super::super::chunks::is_date;
use super::super::draft::{Key, SlotId};
use super::super::names::{Col, Target};
use super::super::synonyms;
use super::super::tree::{Expr, Filter, Query, hold_key};
use super::{Builder, is_aggregate};
use crate::domain::outputs::{AggregateFunction as Aggregate, Operator};

impl Builder<'_> {
    pub(super) fn order(&mut self, query: &mut Query, entity: usize) -> Result<(), String> {
        let draft = self.draft;
        for (key, descending) in &draft.order {
            match key {
                Key::Column(slot) | Key::Aggregate(_, slot) if self.measure(*slot).is_some() => {
                    if matches!(key, Key::Aggregate(function, _) if *function != Aggregate::Sum) {
                        return Err(format!("'{}' is computed of many rows already", self.draft.slots[*slot].text));
                    }
                    let col = self.col(*slot)?;
                    self.group_for_count(query, entity, Some(col.table))?;
                    query.order.push((Expr::Aggregate(Aggregate::Sum, col), *descending));
                }
                Key::Column(slot) => {
                    let col = self.col(*slot)?;
                    let descending = self.direction(*slot, col, *descending);
                    if draft.limit.is_some() && !self.is_number(col) && !is_date(self.names, col) {
                        return Err(format!("'{}' has no largest or smallest value", self.names.column(col).name));
                    }
                    if draft.limit.is_some() && self.names.words(col).iter().any(|word| word == "rank") {
                        // The highest rank is the smallest number, or not.
                        self.certainty *= 0.45;
                    }
                    let rating =
                        self.names.words(col).iter().any(|word| matches!(word.as_str(), "rating" | "score" | "star"));
                    if draft.limit.is_some()
                        && rating
                        && col.table != entity
                        && !self.has_one_partner(entity, col.table)
                    {
                        // The best single review, or the best average? Nobody said.
                        self.certainty *= 0.6;
                    }
                    if draft.limit.is_some_and(|limit| limit > 1)
                        && col.table != entity
                        && !self.has_one_partner(entity, col.table)
                    {
                        // "The top 5 products by quantity": their largest single one, or all together? Nobody said.
                        self.certainty *= 0.6;
                    }
                    if draft.limit.is_some() && is_date(self.names, col) && self.tells_of_something_else(col) {
                        self.certainty *= 0.6;
                    }
                    if draft.limit.is_some() && (self.names.is_key(col) || self.names.is_reference(col)) {
                        self.certainty *= 0.6;
                    }
                    let grouped = !query.group.is_empty() && !query.group.contains(&Expr::Column(col));
                    if grouped {
                        let aggregate = query
                            .select
                            .iter()
                            .find(|expr| matches!(expr, Expr::Aggregate(_, known) if *known == col))
                            .cloned();
                        query.order.push((aggregate.ok_or("the order is not part of the groups")?, descending));
                        continue;
                    }
                    if draft.limit.is_some() && self.names.column(col).nullable && !descending {
                        query.filters.push(Filter::Compare(Expr::Column(col), Operator::IsNotNull, Vec::new()));
                    }
                    query.order.push((Expr::Column(col), descending));
                }
                Key::Aggregate(function, slot) => {
                    let col = self.col(*slot)?;
                    self.group_for_count(query, entity, Some(col.table))?;
                    query.order.push((Expr::Aggregate(*function, col), *descending));
                }
                Key::Count(slot) => {
                    let counted = slot.map(|slot| self.target(slot));
                    if let Some(key) = counted.and_then(|counted| self.counted_once(counted, entity)) {
                        self.group_for_count(query, entity, Some(entity))?;
                        query.order.push((Expr::Aggregate(Aggregate::CountDistinct, key), *descending));
                        continue;
                    }
                    self.group_for_count(query, entity, counted.map(Target::table))?;
                    query.order.push((Expr::CountAll, *descending));
                }
                Key::First => {
                    let first = query.select.first().cloned().ok_or("nothing to sort by")?;
                    if matches!(first, Expr::Star | Expr::TableStar(_)) {
                        return Err("it does not say what to sort by".to_owned());
                    }
                    query.order.push((first, *descending));
                }
            }
        }
        Ok(())
    }

    /// "oldest" is the largest age but the smallest birth date.
    fn direction(&self, slot: SlotId, col: Col, asked: bool) -> bool {
        let hint = &self.draft.slots[slot].text;
        let words = self.names.words(col);
        synonyms::adjective(hint)
            .iter()
            .find(|(phrase, _)| phrase.split(' ').all(|word| words.iter().any(|known| known == word)))
            .map_or(asked, |(_, large)| *large)
    }

    /// A sum or average must take each row once: what the joins say becomes a condition on its key.
    pub(super) fn once_per_row(&mut self, query: &mut Query) -> Result<(), String> {
        let measured: Vec<usize> = query
            .select
            .iter()
            .filter_map(|expr| match expr {
                Expr::Aggregate(Aggregate::Sum | Aggregate::Average, col) => Some(col.table),
                _ => None,
            })
            .collect();
        let Some(table) = measured.first().copied() else { return Ok(()) };
        if query.select.iter().any(|expr| !matches!(expr, Expr::Aggregate(_, col) if col.table == table)) {
            return Err("measures of several tables are not understood".to_owned());
        }
        let [key] = self.names.key(table)[..] else { return Err("the rows have no single key".to_owned()) };
        let inner = Query {
            select: vec![Expr::Column(key)],
            tables: std::mem::replace(&mut query.tables, vec![table]),
            edges: std::mem::take(&mut query.edges),
            filters: std::mem::take(&mut query.filters),
            ..Query::default()
        };
        query.filters.push(Filter::Member(key, false, Box::new(inner)));
        Ok(())
    }

    /// What to sort by at last, so that no two rows are equal in the order.
    pub(super) fn ties(&self, query: &Query) -> Vec<Expr> {
        let ordered = |expr: &Expr| query.order.iter().any(|(known, _)| known == expr);
        let plain = |expr: &&Expr| matches!(expr, Expr::Column(_) | Expr::Year(_) | Expr::Month(_));
        let ties: Vec<Expr> = if !query.group.is_empty() {
            let told = |expr: &&Expr| match expr {
                Expr::Column(col) => self.names.is_key(*col) || !hold_key(&query.group, self.names, col.table),
                _ => true,
            };
            query.group.iter().filter(told).cloned().collect()
        } else if query.select.iter().any(is_aggregate) {
            Vec::new()
        } else if query.distinct {
            query.select.iter().filter(plain).cloned().collect()
        } else {
            // Each row of a join is one of the tables to which no other table refers in it.
            let many = |table: &&usize| query.edges.iter().all(|edge| edge.parent_table() != **table);
            let keys = query.tables.iter().filter(many).flat_map(|table| self.names.key(*table));
            let keys: Vec<Expr> = keys.map(Expr::Column).collect();
            if keys.is_empty() { query.select.iter().filter(plain).cloned().collect() } else { keys }
        };
        ties.into_iter().filter(|expr| !ordered(expr)).collect()
    }
}
