//! What is shown.

use super::super::names::{Col, Target};
use super::super::tree::{Expr, Query};
use super::Builder;
use crate::domain::ColumnType;
use crate::domain::outputs::AggregateFunction as Aggregate;

impl Builder<'_> {
    pub(super) fn items(&mut self, query: &mut Query, sentence: usize, multiplied: bool) -> Result<(), String> {
        let draft = self.draft;
        let named = |name: &str| {
            draft
                .items
                .iter()
                .filter_map(|item| item.slot)
                .find(|slot| draft.slots[*slot].text.to_lowercase().contains(name))
                .map(|slot| self.target(slot).table())
        };
        if let (Some(first), Some(last)) = (named("first name"), named("last name"))
            && first != last
        {
            self.certainty *= 0.3;
        }
        let wanted = draft.items.iter().filter(|item| item.sentence == sentence);
        let grouped = draft.items.iter().any(|item| item.aggregate.is_none())
            || !draft.groups.is_empty()
            || !draft.buckets.is_empty();
        for item in wanted {
            let Some(slot) = item.slot else {
                query.select.push(Expr::CountAll);
                continue;
            };
            match (self.target(slot), item.aggregate) {
                (Target::Table(table), None) if item.everything => {
                    query.select.push(if query.tables.len() > 1 { Expr::TableStar(table) } else { Expr::Star });
                }
                (Target::Table(table), None) => {
                    let repeated = draft.items.iter().any(|other| {
                        other.slot != item.slot
                            && other.slot.is_some_and(
                                |slot| matches!(self.target(slot), Target::Column(col) if col.table == table),
                            )
                    });
                    if repeated && !draft.along {
                        self.certainty *= 0.6;
                    }
                    let label = self.names.label(table);
                    if label.iter().all(|col| self.names.is_key(*col)) {
                        self.certainty *= 0.85;
                    }
                    query.select.extend(label.into_iter().map(Expr::Column));
                }
                (Target::Table(table), Some(Aggregate::Count)) => {
                    let key = self.names.key(table);
                    query.select.push(match key[..] {
                        [key] if multiplied && !grouped || self.repeated_by_groups(table) => {
                            Expr::Aggregate(Aggregate::CountDistinct, key)
                        }
                        _ => Expr::CountAll,
                    });
                    if multiplied && key.len() != 1 {
                        self.certainty *= 0.7;
                    }
                }
                (Target::Table(_), Some(_)) => {
                    return Err(format!("'{}' is not a column that can be computed with", draft.slots[slot].text));
                }
                (Target::Column(col), None | Some(Aggregate::Sum)) if self.names.measure(col).is_some() => {
                    query.select.push(Expr::Aggregate(Aggregate::Sum, col));
                }
                (Target::Column(col), Some(_)) if self.names.measure(col).is_some() => {
                    return Err(format!("'{}' is computed of many rows already", self.names.column(col).name));
                }
                (Target::Column(col), None) => query.select.push(Expr::Column(col)),
                (Target::Column(col), Some(Aggregate::Count)) => {
                    let key = self.names.is_key(col) && self.names.key(col.table).len() == 1;
                    let number = self.names.column(col).kind.is_numeric()
                        && !self.names.is_key(col)
                        && !self.names.is_reference(col);
                    if number && !item.distinct {
                        // "how many undergraduates" may ask for a sum as well.
                        self.certainty *= 0.5;
                    }
                    query.select.push(match (item.distinct, key && !multiplied) {
                        (false, true) => Expr::CountAll,
                        (false, false) if grouped => Expr::Aggregate(Aggregate::Count, col),
                        _ => Expr::Aggregate(Aggregate::CountDistinct, col),
                    });
                    if !item.distinct {
                        self.certainty *= 0.85;
                    }
                }
                (Target::Column(col), Some(function)) => {
                    if matches!(function, Aggregate::Sum | Aggregate::Average) {
                        self.require_number(col)?;
                    }
                    query.select.push(Expr::Aggregate(function, col));
                }
            }
        }
        Ok(())
    }

    pub(super) fn require_number(&mut self, col: Col) -> Result<(), String> {
        let column = self.names.column(col);
        if column.kind.is_numeric() && !self.names.is_reference(col) && !self.names.is_key(col) {
            return Ok(());
        }
        let samples = self.values.samples(col);
        if column.kind == ColumnType::Text
            && !samples.is_empty()
            && samples.iter().all(|value| value.trim().parse::<f64>().is_ok())
        {
            return Ok(());
        }
        Err(format!("'{}' does not hold numbers", column.name))
    }

    pub(super) fn is_number(&self, col: Col) -> bool {
        let column = self.names.column(col);
        let samples = self.values.samples(col);
        column.kind.is_numeric()
            || (column.kind == ColumnType::Text
                && (samples.is_empty() || samples.iter().all(|value| value.trim().parse::<f64>().is_ok())))
            || matches!(column.kind, ColumnType::Other | ColumnType::Boolean)
    }
}
