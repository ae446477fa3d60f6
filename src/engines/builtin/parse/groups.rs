//! "Each", "per" and "by".

use super::super::chunks::Chunk;
use super::super::cues::Cue;
use super::super::draft::{Bucket, Condition, Kind, SlotId};
use super::super::names::Target;
use super::{Parser, tables_of};
use crate::domain::outputs::AggregateFunction as Aggregate;

impl Parser<'_> {
    /// "orders by customer", "items sold by product", where nothing more is said of the customer or the product.
    pub(super) fn divides(&self) -> bool {
        let computed = self.draft.items.iter().any(|item| item.aggregate.is_some()) || !self.aggregates.is_empty();
        let names = |next: &Chunk| next.table_first() || (computed && next.has_column());
        self.chunks[self.at].text.eq_ignore_ascii_case("by")
            && (computed || (self.selecting && !self.draft.items.is_empty()))
            && self.peek(1).is_some_and(|next| names(next) && next.values.is_empty() && next.cue.is_none())
            && match self.peek(2) {
                None => true,
                Some(after) => {
                    matches!(after.cue, Some(Cue::Stop))
                        || (after.cue == Some(Cue::Of) && self.peek(3).is_some_and(|chunk| chunk.period.is_some()))
                }
            }
    }

    pub(super) fn each(&mut self) {
        if self.chunks[self.at].text.eq_ignore_ascii_case("per") {
            self.per();
        }
        self.at += 1;
        if self.peek(0).is_some_and(|chunk| chunk.is(Cue::Distinct)) {
            self.at += 1;
        }
        loop {
            let Some(next) = self.peek(0) else { return };
            let place = self.draft.items.len();
            let bucket = match next.text.to_lowercase().as_str() {
                "year" => Some(Bucket::Year),
                "month" => Some(Bucket::Month),
                _ => None,
            };
            if next.names.is_empty() || (bucket.is_some() && !next.has_column()) {
                let Some(bucket) = bucket else { return };
                self.at += 1;
                self.draft.buckets.push((bucket, place));
                return;
            }
            let (text, names, table_first) = (next.text.clone(), next.names.clone(), next.table_first());
            let possessive = usize::from(self.cue(1) == Some(Cue::Possessive));
            let owns = next.has_table()
                && self.peek(1 + possessive).is_some_and(|after| {
                    after.has_column() && after.cue.is_none() && !(after.table_first() && after.table_score() > 0.9)
                });
            if owns {
                let (after_text, after_names) = self
                    .peek(1 + possessive)
                    .map(|after| (after.text.clone(), after.names.clone()))
                    .unwrap_or_default();
                let table = self.draft.slot(&text, tables_of(&names), None);
                self.draft.mentions.push(table);
                let slot = self.draft.column_slot(&after_text, &after_names, Some(table));
                self.draft.groups.push((slot, place));
                self.at += 2 + possessive;
            } else if table_first && self.peek(1).is_some_and(|after| after.table_first() && after.cue.is_none()) {
                // "each product category": the product only says which category.
                let table = self.draft.slot(&text, tables_of(&names), None);
                self.draft.mentions.push(table);
                self.at += 1;
                continue;
            } else {
                let slot = if table_first {
                    self.draft.slot(&text, names.clone(), None)
                } else {
                    self.draft.column_slot(&text, &names, self.last_table)
                };
                if table_first {
                    self.last_table = Some(slot);
                }
                self.draft.groups.push((slot, place));
                self.at += 1;
            }
            let again = self.cue(0) == Some(Cue::And)
                && self.peek(1).is_some_and(|next| next.has_column() && next.cue.is_none())
                && !self.selecting;
            if !again {
                return;
            }
            self.at += 1;
        }
    }

    /// "Customers per country" counts them. Where rows or the first of them are asked for ("list the customers", "which
    /// customers", "top 5 customers"), or a column, nobody said what there is of each.
    fn per(&mut self) {
        let computes = !self.aggregates.is_empty() || self.draft.items.iter().any(|item| item.aggregate.is_some());
        if computes || self.draft.items.is_empty() || !self.draft.order.is_empty() {
            return;
        }
        let plain = |condition: &Condition| matches!(condition.kind, Kind::Values(..) | Kind::Period(..));
        let asked =
            self.listing || self.limit.is_some() || self.chunks[..self.at].iter().any(|chunk| chunk.is(Cue::Relative));
        let slots = &self.draft.slots;
        let things =
            |slot: SlotId| slots[slot].candidates.first().is_some_and(|link| matches!(link.target, Target::Table(_)));
        match self.draft.items.as_mut_slice() {
            [only]
                if !asked
                    && !only.everything
                    && only.slot.is_some_and(things)
                    && self.draft.conditions.iter().all(plain) =>
            {
                only.aggregate = Some(Aggregate::Count);
            }
            _ => {
                let of_what = self.peek(1).map_or("", |next| next.text.as_str());
                self.draft.unknown.push(format!("per {of_what}").trim_end().to_owned());
            }
        }
    }
}
