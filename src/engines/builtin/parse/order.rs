//! Order, and the first, the most, the top of something.

use super::super::chunks::Chunk;
use super::super::cues::Cue;
use super::super::draft::{Key, SlotId};
use super::super::names::{Link, Target};
use super::{Parser, counts, rows, tables_of};
use crate::domain::outputs::AggregateFunction as Aggregate;

impl Parser<'_> {
    /// "the top 3 products by price", "by total revenue", "by number of orders".
    pub(super) fn ranks(&self) -> bool {
        let computed = matches!(self.cue(1), Some(Cue::Aggregate(_)));
        let key = self.peek(if computed { 2 } else { 1 });
        self.chunks[self.at].text.eq_ignore_ascii_case("by")
            && self.limit.is_some()
            && self.draft.order.is_empty()
            && !self.draft.items.is_empty()
            && (self.cue(1) == Some(Cue::Count)
                || key.is_some_and(|key| key.has_column() && !key.table_first() && key.cue.is_none()))
    }

    pub(super) fn rank_by(&mut self) {
        self.at += 1;
        let function = match self.cue(0) {
            Some(Cue::Count) => {
                self.at += 1;
                return self.most(true);
            }
            Some(Cue::Aggregate(function)) => {
                self.at += 1;
                Some(function)
            }
            _ => None,
        };
        let Some(key) = self.peek(0).cloned() else { return };
        self.at += 1;
        let owners: Vec<usize> = self.last_table.map_or_else(Vec::new, |slot| {
            self.draft.slots[slot].candidates.iter().map(|link| link.target.table()).collect()
        });
        let own = |link: &Link| owners.contains(&link.target.table()) || self.names.is_measure(link.target);
        if function.is_none() && !key.names.first().is_some_and(own) {
            // Of many rows for one of these: the largest of them, or their sum? Nobody said.
            self.draft.doubt *= 0.5;
        }
        let slot = self.draft.column_slot(&key.text, &key.names, self.last_table);
        self.rank(function.map_or(Key::Column(slot), |function| Key::Aggregate(function, slot)), true);
    }

    pub(super) fn order(&mut self) {
        self.at += 1;
        self.selecting = false;
        self.order_keys(None);
    }

    pub(super) fn direction(&mut self, descending: bool) {
        self.at += 1;
        if self.draft.order.is_empty() || matches!(self.cue(0), Some(Cue::Of)) {
            self.order_keys(Some(descending));
        } else {
            for key in &mut self.draft.order {
                key.1 = descending;
            }
        }
    }

    pub(super) fn alphabetical(&mut self) {
        self.at += 1;
        if self.draft.order.is_empty() {
            self.order_keys(Some(false));
        }
    }

    fn order_keys(&mut self, descending: Option<bool>) {
        let mut descending = descending;
        let before = self.draft.order.len();
        loop {
            while matches!(self.cue(0), Some(Cue::Of | Cue::Along | Cue::Any | Cue::Order | Cue::Comma))
                && self.peek(0).is_some_and(|c| c.names.is_empty())
            {
                self.at += 1;
            }
            match self.cue(0) {
                Some(Cue::Direction(value)) => {
                    descending = Some(value);
                    self.at += 1;
                    continue;
                }
                Some(Cue::Alphabetical) => {
                    self.at += 1;
                    continue;
                }
                Some(Cue::Count) if self.peek(0).is_some_and(|c| c.names.is_empty()) => {
                    self.at += 1;
                    let counted = self
                        .peek(0)
                        .filter(|next| next.has_table())
                        .map(|next| (next.text.clone(), tables_of(&next.names)));
                    let slot = counted.map(|(text, tables)| {
                        self.at += 1;
                        self.draft.slot(&text, tables, None)
                    });
                    self.draft.order.push((Key::Count(slot), descending.unwrap_or(false)));
                }
                Some(Cue::Aggregate(function)) if self.peek(1).is_some_and(Chunk::has_column) => {
                    let next = self.peek(1).cloned().unwrap_or_default();
                    self.at += 2;
                    let slot = self.draft.column_slot(&next.text, &next.names, self.last_table);
                    self.draft.order.push((Key::Aggregate(function, slot), descending.unwrap_or(false)));
                }
                _ => {
                    let Some(next) = self.peek(0) else { break };
                    let possessive = usize::from(self.cue(1) == Some(Cue::Possessive));
                    let owner = next.has_table()
                        && self.peek(1 + possessive).is_some_and(|after| after.has_column() && !after.table_first());
                    let ahead = if owner { 1 + possessive } else { 0 };
                    let Some(column) = self.peek(ahead).filter(|next| next.has_column() && next.values.is_empty())
                    else {
                        break;
                    };
                    let (text, names) = (column.text.clone(), column.names.clone());
                    let table = next.has_table().then(|| (next.text.clone(), tables_of(&next.names))).filter(|_| owner);
                    let qualifier =
                        table.map(|(text, tables)| self.draft.slot(&text, tables, None)).or(self.last_table);
                    self.at += ahead + 1;
                    let slot = self.draft.column_slot(&text, &names, qualifier);
                    self.draft.order.push((Key::Column(slot), descending.unwrap_or(false)));
                }
            }
            let again = matches!(self.cue(0), Some(Cue::And | Cue::Comma))
                && self.peek(1).is_some_and(|next| next.has_column() && next.cue.is_none());
            if again {
                self.at += 1;
            } else {
                break;
            }
        }
        if self.draft.order.len() == before {
            self.draft.order.push((Key::First, descending.unwrap_or(false)));
            if self.draft.items.is_empty() || descending.is_none() {
                self.draft.doubt *= 0.6;
            }
        }
        if let Some(Cue::Direction(value)) = self.cue(0) {
            self.at += 1;
            for key in &mut self.draft.order[before..] {
                key.1 = value;
            }
        }
        if self.cue(0) == Some(Cue::Alphabetical) {
            self.at += 1;
        }
    }

    pub(super) fn top(&mut self) {
        if let Some((value, text)) = self.peek(1).and_then(|next| next.number.clone()) {
            self.at += 2;
            if counts(value) {
                self.limit = Some(rows(value));
            } else {
                self.draft.unknown.push(text);
            }
        } else {
            self.at += 1;
            self.draft.doubt *= 0.7;
        }
    }

    pub(super) fn common(&mut self, most: bool) {
        self.at += 1;
        let limit = self.limit.take().unwrap_or(1);
        self.draft.order.push((Key::Count(None), most));
        self.draft.limit = Some(limit);
    }

    /// "the oldest student", "the highest price", "the most pets".
    pub(super) fn superlative(&mut self, largest: bool, hint: &str) {
        self.at += 1;
        self.draft.ranks = true;
        // "first 5", "last 3": a number behind the adjective.
        if let Some((value, _)) = self.peek(0).and_then(|next| next.number.clone())
            && counts(value)
        {
            self.limit = Some(rows(value));
            self.at += 1;
        }
        if self.cue(0) == Some(Cue::Count) {
            self.at += 1;
            return self.most(largest);
        }
        let mut function = None;
        while matches!(self.cue(0), Some(Cue::Of | Cue::Distinct | Cue::Aggregate(_)))
            && self.peek(0).is_some_and(|c| c.names.is_empty())
        {
            if let Some(Cue::Aggregate(said)) = self.cue(0) {
                function = Some(said);
            }
            self.at += 1;
        }
        if let Some(next) = self.peek(0).filter(|next| next.has_column() && !next.table_first()).cloned()
            && let Some(function) =
                function.or_else(|| (largest && hint.is_empty()).then(|| self.adds_up(&next)).flatten())
            && self.draft.items.iter().any(|item| item.sentence == self.sentence)
        {
            // "the highest total amount", "the most units": the measure is summed for what is asked.
            self.at += 1;
            let slot = self.draft.column_slot(&next.text, &next.names, None);
            return self.rank(Key::Aggregate(function, slot), largest);
        }
        let Some(next) = self.peek(0).filter(|next| !next.names.is_empty()) else {
            return self.adjective_order(largest, hint, self.last_table);
        };
        let (text, names, table_first, score) =
            (next.text.clone(), next.names.clone(), next.table_first(), next.table_score());
        let column_score =
            names.iter().find(|link| matches!(link.target, Target::Column(_))).map_or(0.0, |link| link.score);
        let owner = next.has_table()
            && self.peek(1).is_some_and(|after| {
                after.has_column() && after.cue.is_none() && !(after.table_first() && after.table_score() > 0.8)
            });
        if hint == "#" {
            return self.most(largest);
        }
        if owner && table_first {
            let slot = self.draft.slot(&text, tables_of(&names), None);
            self.draft.mentions.push(slot);
            self.last_table = Some(slot);
            self.at += 1;
            return self.superlative_column(largest);
        }
        if table_first && score >= column_score {
            if hint.is_empty() {
                return self.most(largest);
            }
            let slot = self.draft.slot(&text, tables_of(&names), None);
            self.at += 1;
            self.last_table = Some(slot);
            if self.selecting
                && self.draft.items.iter().all(|item| item.sentence != self.sentence)
                && self.aggregates.is_empty()
            {
                self.item(None, Some(slot));
            } else {
                self.draft.mentions.push(slot);
            }
            return self.adjective_order(largest, hint, Some(slot));
        }
        self.superlative_column(largest);
    }

    /// "Most" of a quantity adds it up.
    fn adds_up(&self, next: &Chunk) -> Option<Aggregate> {
        let said = &self.chunks[self.at - 1].text;
        let quantity = next.names.first().is_some_and(|link| match link.target {
            Target::Column(col) => self.names.words(col).iter().any(|word| word == "quantity"),
            Target::Table(_) => false,
        });
        (said.eq_ignore_ascii_case("most") && quantity).then_some(Aggregate::Sum)
    }

    fn superlative_column(&mut self, largest: bool) {
        let Some(next) = self.peek(0).cloned() else { return };
        let qualifier = self.last_table;
        self.at += 1;
        let slot = self.draft.column_slot(&next.text, &next.names, qualifier);
        let asked = self.draft.items.iter().any(|item| item.sentence == self.sentence);
        if self.selecting && !asked && self.limit.is_none() && self.sentence == 0 {
            let function = if largest { Aggregate::Maximum } else { Aggregate::Minimum };
            self.item(Some(function), Some(slot));
            return;
        }
        if self.selecting && !asked {
            self.item(None, Some(slot));
        }
        self.rank(Key::Column(slot), largest);
    }

    fn rank(&mut self, key: Key, descending: bool) {
        if self.draft.limit.is_some() {
            // Two superlatives ask for two rows of two orders: one statement has one.
            self.draft.unknown.push("a second superlative".to_owned());
            return;
        }
        let limit = self.limit.take().unwrap_or(1);
        self.draft.order.insert(0, (key, descending));
        self.draft.limit = Some(limit);
    }

    fn adjective_order(&mut self, largest: bool, hint: &str, qualifier: Option<SlotId>) {
        let Some(slot) = self.adjective(hint, qualifier) else {
            if hint.is_empty() && self.draft.order.is_empty() {
                self.draft.doubt *= 0.7;
                return self.rank(Key::Count(None), largest);
            }
            self.draft.unknown.push(if hint.is_empty() { "most".to_owned() } else { hint.to_owned() });
            return;
        };
        self.rank(Key::Column(slot), largest);
    }

    /// The most or fewest rows of something.
    fn most(&mut self, largest: bool) {
        let Some(next) = self.peek(0).filter(|next| !next.names.is_empty()).cloned() else {
            self.draft.doubt *= 0.8;
            return self.rank(Key::Count(None), largest);
        };
        self.at += 1;
        if next.table_first() {
            let slot = self.draft.slot(&next.text, tables_of(&next.names), None);
            self.last_table = Some(slot);
            self.draft.mentions.push(slot);
            self.rank(Key::Count(Some(slot)), largest);
        } else {
            let slot = self.draft.column_slot(&next.text, &next.names, self.last_table);
            self.rank(Key::Column(slot), largest);
        }
    }
}
