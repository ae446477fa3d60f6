//! What rows are grouped by.

use super::super::chunks::is_date;
use super::super::draft::Bucket;
use super::super::names::{Col, Target};
use super::super::tree::{Expr, Query};
use super::{Builder, is_aggregate};
use crate::domain::outputs::AggregateFunction as Aggregate;

impl Builder<'_> {
    pub(super) fn groups(&mut self, query: &mut Query, entity: usize, sentence: usize) -> Result<(), String> {
        let draft = self.draft;
        let aggregated = query.select.iter().any(is_aggregate);
        let plain: Vec<Col> = query
            .select
            .iter()
            .filter_map(|expr| if let Expr::Column(col) = expr { Some(*col) } else { None })
            .collect();
        if aggregated {
            let mut inserted = 0;
            for (bucket, place) in &draft.buckets {
                let col = self.bucket_column(entity)?;
                let expr = match (bucket, self.is_year(col)) {
                    (Bucket::Year, true) => Expr::Column(col),
                    (_, true) => return Err("there is no date to take months from".to_owned()),
                    (Bucket::Year, false) => Expr::Year(col),
                    (Bucket::Month, false) => Expr::Month(col),
                };
                query.group.push(expr.clone());
                query.select.insert((*place + inserted).min(query.select.len()), expr);
                inserted += 1;
            }
            for (index, (slot, place)) in draft.groups.iter().enumerate() {
                if draft.groups[..index].iter().any(|(known, _)| self.target(*known) == self.target(*slot)) {
                    continue;
                }
                let shown = match self.target(*slot) {
                    Target::Column(col) => {
                        query.group.push(Expr::Column(col));
                        if plain.contains(&col) { Vec::new() } else { vec![col] }
                    }
                    Target::Table(table) => {
                        self.group_by_entity(query, table);
                        if plain.iter().any(|col| col.table == table) { Vec::new() } else { self.names.label(table) }
                    }
                };
                let first = if sentence == 0 { (*place + inserted).min(query.select.len()) } else { 0 };
                inserted += shown.len();
                for (offset, col) in shown.into_iter().enumerate() {
                    query.group.push(Expr::Column(col));
                    query.select.insert(first + offset, Expr::Column(col));
                }
            }
            if draft.groups.is_empty() && draft.buckets.is_empty() && !plain.is_empty() {
                let aggregate_table = query
                    .select
                    .iter()
                    .find_map(|expr| if let Expr::Aggregate(_, col) = expr { Some(col.table) } else { None });
                let counted = draft
                    .items
                    .iter()
                    .filter(|item| item.aggregate == Some(Aggregate::Count))
                    .find_map(|item| item.slot)
                    .map(|slot| self.target(slot).table());
                let other = aggregate_table.or(counted);
                if other.is_none_or(|other| other == plain[0].table) {
                    self.certainty *= 0.85;
                } else {
                    self.group_by_entity(query, plain[0].table);
                }
            }
            for col in plain {
                query.group.push(Expr::Column(col));
            }
            dedup(&mut query.group);
        } else if !draft.buckets.is_empty() {
            return Err("the rows of each month or year are not understood".to_owned());
        } else if !draft.groups.is_empty() {
            if !draft.order.is_empty() && draft.limit.is_some() {
                return Err("one row per group is not understood".to_owned());
            }
            self.certainty *= 0.85;
        }
        Ok(())
    }

    fn bucket_column(&mut self, entity: usize) -> Result<Col, String> {
        let dates: Vec<Col> =
            self.names.columns(entity).filter(|col| is_date(self.names, *col) || self.is_year(*col)).collect();
        match dates[..] {
            [] => Err("there is no date to group by".to_owned()),
            [only] => Ok(only),
            [first, ..] => {
                self.certainty *= 0.6;
                Ok(first)
            }
        }
    }

    pub(super) fn is_year(&self, col: Col) -> bool {
        self.names.words(col).iter().any(|word| word == "year") && !self.names.column(col).kind.is_temporal()
    }

    fn group_by_entity(&mut self, query: &mut Query, table: usize) {
        let key = self.names.key(table);
        if key.is_empty() {
            self.certainty *= 0.9;
            let label = self.names.label(table);
            query.group.extend(label.into_iter().map(Expr::Column));
        } else {
            query.group.extend(key.into_iter().map(Expr::Column));
        }
        dedup(&mut query.group);
    }

    /// The key by which rows of a table are counted once each. "The countries with the most customers", where each address
    /// has one customer: rows are grouped by what is shown, and a customer may have several addresses.
    pub(super) fn counted_once(&self, counted: Target, entity: usize) -> Option<Col> {
        let Target::Table(counted) = counted else { return None };
        let partner = counted != entity && self.has_one_partner(entity, counted);
        match self.names.key(counted)[..] {
            [key] if partner => Some(key),
            _ => None,
        }
    }

    /// Groups a query by what it shows, so that rows of `counted` can be counted per group.
    pub(super) fn group_for_count(
        &mut self,
        query: &mut Query,
        entity: usize,
        counted: Option<usize>,
    ) -> Result<(), String> {
        if !query.group.is_empty() {
            return Ok(());
        }
        let plain: Vec<Col> = query
            .select
            .iter()
            .filter_map(|expr| if let Expr::Column(col) = expr { Some(*col) } else { None })
            .collect();
        if plain.is_empty() && query.select.iter().any(is_aggregate) {
            return Err("a count of groups is not understood".to_owned());
        }
        let asked_table = self.draft.items.iter().any(|item| {
            item.slot.is_some_and(|slot| matches!(self.target(slot), Target::Table(table) if table == entity))
        });
        match counted {
            // "Which city has the most orders?": the city, not each address, is what rows are counted for.
            Some(counted)
                if counted != entity
                    && (asked_table || plain.is_empty() || plain.iter().all(|col| self.names_entity(*col))) =>
            {
                self.group_by_entity(query, entity);
            }
            Some(counted) if counted != entity => {}
            Some(_) if asked_table => return Err("a thing cannot be counted per itself".to_owned()),
            None if asked_table && query.tables.len() == 1 => {
                self.certainty *= 0.5;
            }
            None if asked_table || query.tables.len() > 1 => {
                self.certainty *= 0.8;
                self.group_by_entity(query, entity);
            }
            _ => {}
        }
        query.group.extend(plain.into_iter().map(Expr::Column));
        dedup(&mut query.group);
        Ok(())
    }
}

fn dedup(list: &mut Vec<Expr>) {
    let mut seen: Vec<Expr> = Vec::new();
    list.retain(|expr| {
        let fresh = !seen.contains(expr);
        if fresh {
            seen.push(expr.clone());
        }
        fresh
    });
}
