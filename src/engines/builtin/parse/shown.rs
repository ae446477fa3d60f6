//! What is asked for: things, their columns, how many there are.

use super::super::chunks::Chunk;
use super::super::cues::Cue;
use super::super::draft::{Item, Kind, SlotId};
use super::super::names::Target;
use super::super::tree::Literal;
use super::{Parser, tables_of};
use crate::domain::ColumnType;
use crate::domain::outputs::{AggregateFunction as Aggregate, Operator};

impl Parser<'_> {
    pub(super) fn start_aggregate(&mut self, function: Aggregate) {
        self.at += 1;
        if function == Aggregate::Count && self.aggregates == [Aggregate::Average] && self.draft.items.is_empty() {
            let before = self.at.checked_sub(2).and_then(|before| self.chunks[before].cue);
            if before == Some(Cue::Aggregate(Aggregate::Average)) {
                // An average of counts is a query over a query.
                self.draft.unknown.push("average number".to_owned());
            }
        }
        // "average, minimum and maximum price": several functions wait for one column.
        let fresh = self.chunks[..self.at - 1].iter().rev().take(2).all(|chunk| {
            !matches!(chunk.cue, Some(Cue::And | Cue::Comma | Cue::Aggregate(_) | Cue::Superlative(..)))
                || !chunk.names.is_empty()
        });
        let done = self.last_was_item();
        if fresh || done {
            self.aggregates.clear();
        }
        self.aggregates.push(function);
    }

    /// Whether a thing stands beside one that was counted, and nothing more is said of it.
    fn counts_on(&self) -> bool {
        let last = self.draft.items.last();
        let counted = last.is_some_and(|item| item.aggregate == Some(Aggregate::Count) && item.slot.is_some());
        let beside = self.at.checked_sub(2).is_some_and(|before| self.chunks[before].is(Cue::And));
        let ends = match self.peek(0) {
            None => true,
            Some(next) => next.is(Cue::Stop) || next.is(Cue::Of) || next.is(Cue::Is) || next.period.is_some(),
        };
        counted && beside && ends
    }

    /// Whether rows of what is spoken of are worth something, so that their total may be a sum.
    fn has_amount(&self, slot: SlotId) -> bool {
        const AMOUNTS: [&str; 6] = ["amount", "total", "cost", "price", "revenue", "value"];
        let tables = self.draft.slots[slot].candidates.iter().map(|link| link.target.table());
        tables.flat_map(|table| self.names.columns(table)).any(|col| {
            self.names.column(col).kind.is_numeric()
                && self.names.words(col).iter().any(|word| AMOUNTS.contains(&word.as_str()))
        })
    }

    fn last_was_item(&self) -> bool {
        let mut at = self.at.saturating_sub(1);
        while at > 0 {
            at -= 1;
            let chunk = &self.chunks[at];
            if matches!(chunk.cue, Some(Cue::And | Cue::Comma)) && chunk.names.is_empty() {
                continue;
            }
            return !chunk.names.is_empty() && !matches!(chunk.cue, Some(Cue::Aggregate(_)));
        }
        false
    }

    pub(super) fn name(&mut self) {
        let chunk = &self.chunks[self.at];
        if self.try_condition_on_column() {
            return;
        }
        if self.distinct && self.last_aggregated() && self.follows_of() && self.aggregates.is_empty() {
            // "the average age for different majors" is per major.
            self.distinct = false;
            self.at -= 1;
            return self.each();
        }
        let table_first = chunk.table_first();
        let next = self.peek(1);
        // "student name", "student's name": the table only says whose column it is.
        let possessive = usize::from(self.cue(1) == Some(Cue::Possessive));
        let owns_next = chunk.has_table()
            && self.peek(1 + possessive).is_some_and(|next| {
                next.has_column() && next.values.is_empty() && !(next.table_first() && next.table_score() >= 0.9)
            })
            && (possessive == 1 || next.is_some_and(|next| next.cue.is_none() || next.has_column()))
            // "customers signed up in 2025": what they did, not what they have.
            && (possessive == 1 || !self.tells_when(1));
        if owns_next && (table_first || chunk.table_score() > 0.6) {
            let tables = tables_of(&chunk.names);
            let slot = self.draft.slot(&chunk.text, tables, None);
            self.draft.mentions.push(slot);
            if self.draft.items.is_empty() && self.selecting {
                self.draft.owner.get_or_insert(slot);
            }
            self.last_table = Some(slot);
            self.at += 1 + possessive;
            return;
        }
        if self.selecting
            && !table_first
            && self.follows_of()
            && self.aggregates.is_empty()
            && !self.draft.items.is_empty()
        {
            self.column_of_column();
        } else if self.selecting && !self.is_owner() && self.continues_list() {
            self.select_name(table_first);
        } else if chunk.has_table() && (table_first || self.is_owner()) {
            self.mention_table();
        } else {
            self.selecting = self.selecting && self.draft.items.is_empty();
            self.loose_column();
        }
    }

    /// Whether the name follows "of", "for" or the like and so says whose columns were asked for.
    fn is_owner(&self) -> bool {
        let chunk = &self.chunks[self.at];
        let after_of = self.at > 0
            && self.chunks[..self.at]
                .iter()
                .rev()
                .find(|chunk| {
                    let passed = matches!(
                        chunk.cue,
                        Some(Cue::Any | Cue::Distinct | Cue::Top | Cue::Superlative(..) | Cue::Common(_))
                    ) || (chunk.number.is_some() && chunk.period.is_none());
                    !passed || !chunk.names.is_empty()
                })
                .is_some_and(|chunk| chunk.is(Cue::Of) && chunk.names.is_empty());
        let asked = self.draft.items.iter().any(|item| item.sentence == self.sentence);
        let partial = chunk
            .names
            .iter()
            .find(|link| matches!(link.target, Target::Column(_)))
            .is_none_or(|link| link.score < 0.8);
        if after_of && asked && chunk.has_table() && partial {
            return true;
        }
        chunk.table_first() && after_of && self.aggregates.is_empty() && asked
            || (chunk.table_first() && after_of && asked && self.last_aggregated())
    }

    fn follows_of(&self) -> bool {
        let before =
            self.chunks[..self.at].iter().rev().find(|chunk| !matches!(chunk.cue, Some(Cue::Any | Cue::Distinct)));
        before.is_some_and(|chunk| chunk.is(Cue::Of) && chunk.names.is_empty())
    }

    /// Whether the name before the cursor goes on a list of things to show.
    pub(super) fn continues_list(&self) -> bool {
        if self.draft.items.iter().all(|item| item.sentence != self.sentence) || !self.aggregates.is_empty() {
            return true;
        }
        let Some(before) = self.at.checked_sub(1).map(|before| &self.chunks[before]) else { return true };
        matches!(
            before.cue,
            Some(
                Cue::And
                    | Cue::Comma
                    | Cue::Along
                    | Cue::Count
                    | Cue::Aggregate(_)
                    | Cue::Distinct
                    | Cue::Superlative(..)
                    | Cue::Possessive
                    | Cue::Any
                    | Cue::Top
                    | Cue::Relative
                    | Cue::Or
            )
        ) || self
            .last_table
            .is_some_and(|slot| self.draft.slots[slot].text == before.text && self.draft.mentions.contains(&slot))
    }

    /// "the names of studios", where a studio is only a column: the column itself is asked for.
    fn column_of_column(&mut self) {
        let named = self.draft.items.last().is_some_and(|item| {
            item.aggregate.is_none()
                && item
                    .slot
                    .is_some_and(|slot| matches!(self.draft.slots[slot].text.to_lowercase().as_str(), "name" | "names"))
        });
        let strong = self.chunks[self.at].names.first().is_some_and(|link| link.score >= 0.9);
        if named && strong {
            self.draft.items.pop();
            self.select_name(false);
        } else if self.is_owner() || (strong && self.chunks[self.at].has_table()) {
            self.mention_table();
        } else {
            self.draft.doubt *= 0.6;
            self.select_name(false);
        }
    }

    fn last_aggregated(&self) -> bool {
        self.draft.items.last().is_some_and(|item| item.aggregate.is_some())
    }

    fn select_name(&mut self, table_first: bool) {
        let chunk = &self.chunks[self.at];
        let text = chunk.text.clone();
        let qualifier = self.adjacent_table();
        let names = chunk.names.clone();
        self.at += 1;
        let counting = self.aggregates.last() == Some(&Aggregate::Count);
        let links = if table_first { names.clone() } else { names };
        let has_column = links.iter().any(|link| matches!(link.target, Target::Column(_)));
        if table_first || !has_column {
            let slot = self.draft.slot(&text, tables_of(&links), None);
            self.last_table = Some(slot);
            if counting {
                self.item(Some(Aggregate::Count), Some(slot));
                self.aggregates.clear();
            } else if self.aggregates.is_empty() {
                if self.counts_on() {
                    // "How many customers and orders": two figures are no answer yet, and the one is none of the other.
                    self.draft.unknown.push(format!("and {text}"));
                }
                self.item(None, Some(slot));
            } else {
                // "total orders": an aggregate of a thing is a count; of anything else it stays open.
                let sums = self.aggregates == [Aggregate::Sum];
                // "total payments": how many, or how much?
                self.draft.doubt *= if sums && self.has_amount(slot) { 0.5 } else { 0.8 };
                if sums {
                    self.aggregates.clear();
                    self.item(Some(Aggregate::Count), Some(slot));
                } else {
                    self.draft.mentions.push(slot);
                }
            }
            return;
        }
        let first = self.draft.items.first().filter(|item| item.sentence < self.sentence).and_then(|item| item.slot);
        let slot = self.draft.column_slot(&text, &links, qualifier.or(first));
        self.last_column = Some(slot);
        if self.aggregates.is_empty() && matches!(text.to_lowercase().as_str(), "revenue" | "sales" | "turnover") {
            // Revenue is a sum by nature.
            self.aggregates.push(Aggregate::Sum);
        }
        if self.aggregates.is_empty() {
            self.item(None, Some(slot));
        } else {
            for function in self.aggregates.clone() {
                self.item(Some(function), Some(slot));
            }
            // "average age and weight": the function holds on, unless it counted.
            let goes_on = matches!(self.cue(0), Some(Cue::And | Cue::Comma))
                && !counting
                && self.peek(1).is_some_and(|next| next.has_column() && next.cue.is_none() && self.is_measure(next));
            if !goes_on {
                self.aggregates.clear();
            }
        }
    }

    pub(super) fn is_measure(&self, chunk: &Chunk) -> bool {
        let best = chunk.names.iter().find_map(|link| match link.target {
            Target::Column(col) => Some(col),
            Target::Table(_) => None,
        });
        best.is_some_and(|col| {
            let year = self.names.words(col).iter().any(|word| word == "year");
            let number = self.names.column(col).kind.is_numeric() || chunk.names.len() > 1;
            number && !year && !self.names.is_key(col) && !self.names.is_reference(col)
        })
    }

    pub(super) fn item(&mut self, aggregate: Option<Aggregate>, slot: Option<SlotId>) {
        let everything = std::mem::take(&mut self.everything);
        let item = Item { aggregate, distinct: self.distinct, slot, everything, sentence: self.sentence };
        if aggregate.is_none() && self.distinct {
            self.draft.distinct = true;
        }
        self.distinct = false;
        self.draft.items.push(item);
    }

    fn mention_table(&mut self) {
        let chunk = &self.chunks[self.at];
        let slot = self.draft.slot(&chunk.text, tables_of(&chunk.names), None);
        let after_items = self.everything || self.draft.items.is_empty();
        if self.follows_of() && self.selecting {
            let attributes = self.draft.items.first().is_some_and(|item| {
                let column = |slot: SlotId| {
                    self.draft.slots[slot].candidates.iter().all(|link| matches!(link.target, Target::Column(_)))
                };
                item.aggregate != Some(Aggregate::Count) && item.slot.is_some_and(column)
            });
            if attributes && self.draft.conditions.is_empty() {
                self.draft.owner.get_or_insert(slot);
            }
            let sentence = self.sentence;
            for item in self.draft.items.iter().filter(|item| item.sentence == sentence).filter_map(|item| item.slot) {
                let column = self.draft.slots[item]
                    .candidates
                    .first()
                    .is_some_and(|link| matches!(link.target, Target::Column(_)));
                if column && self.draft.slots[item].qualifier.is_none() {
                    self.draft.slots[item].qualifier = Some(slot);
                }
            }
        }
        self.at += 1;
        self.last_table = Some(slot);
        if after_items && self.selecting {
            self.item(None, Some(slot));
        } else if self.denied && !self.denying {
            // Still what is denied: it is looked up with the rest of the clause.
            self.draft.slots[slot].denied = true;
        } else if self.denying && self.condition_follows() {
            // "not in the X named Y": what is denied is the condition, not the table.
            self.draft.slots[slot].denied = true;
        } else if std::mem::take(&mut self.denying) {
            self.draft.slots[slot].denied = true;
            self.condition(Kind::Exists(slot), true);
        } else {
            self.draft.mentions.push(slot);
            self.condition(Kind::Exists(slot), false);
        }
    }

    fn condition_follows(&self) -> bool {
        let mut ahead = 0;
        while matches!(self.cue(ahead), Some(Cue::Of | Cue::Relative | Cue::Is | Cue::Any | Cue::Have | Cue::Noise))
            && self.peek(ahead).is_some_and(|chunk| chunk.names.is_empty())
        {
            ahead += 1;
        }
        let Some(next) = self.peek(ahead) else { return false };
        let value = |chunk: &Chunk| {
            !chunk.values.is_empty()
                || chunk.literal
                || chunk.number.is_some()
                || chunk.period.is_some()
                || matches!(chunk.cue, Some(Cue::Compare(..) | Cue::Between | Cue::Like(..)))
        };
        value(next) || (next.has_column() && (1..=2).any(|more| self.peek(ahead + more).is_some_and(value)))
    }

    /// A column outside the asking part without a comparison: only a place word such as "in the city" before a value.
    fn loose_column(&mut self) {
        let chunk = &self.chunks[self.at];
        let slot = self.draft.column_slot(&chunk.text, &chunk.names, self.adjacent_table());
        if chunk.has_column() {
            self.last_column = Some(slot);
        }
        if chunk.has_table() {
            self.mention_table();
            self.draft.doubt *= 0.7;
            return;
        }
        if chunk.names.first().is_none_or(|link| link.score < 0.8) {
            // The schema knows the word, the query need not.
            self.draft.doubt *= 0.9;
            self.draft.slots.pop();
            self.last_column = None;
            self.at += 1;
            return;
        }
        let flag = chunk.names.first().is_some_and(|link| match link.target {
            Target::Column(col) => self.names.column(col).kind == ColumnType::Boolean,
            Target::Table(_) => false,
        });
        if flag {
            // "subscribed to the newsletter": the flag is set, or with "not" is not.
            let value = if std::mem::take(&mut self.denying) { "0" } else { "1" };
            self.at += 1;
            self.condition(Kind::Compare(slot, Operator::Equal, vec![Literal::Number(value.to_owned())]), false);
            return;
        }
        let before = self.cue_before();
        let held = matches!(before, Some(Cue::Have))
            || (matches!(before, Some(Cue::Relative)) && self.chunks[self.at - 1].text == "with");
        if std::mem::take(&mut self.denying) {
            // "have no composer": the column is empty.
            self.at += 1;
            self.condition(Kind::Compare(slot, Operator::IsNull, Vec::new()), false);
            return;
        }
        if held && self.chunks.get(self.at + 1).is_none_or(|next| matches!(next.cue, Some(Cue::Stop | Cue::And))) {
            self.draft.doubt *= 0.85;
            self.at += 1;
            self.condition(Kind::Compare(slot, Operator::IsNotNull, Vec::new()), false);
            return;
        }
        // A column that owns: "the names of the departments" where department is only a column.
        self.draft.doubt *= 0.5;
        self.draft.slots[slot].candidates.truncate(3);
        self.at += 1;
        self.draft.unknown.push(chunk.text.clone());
    }

    pub(super) fn adjacent_table(&self) -> Option<SlotId> {
        let before = self.at.checked_sub(1).map(|before| &self.chunks[before])?;
        let adjacent = before.has_table()
            || before.is(Cue::Possessive)
            || before.is(Cue::And)
            || before.is(Cue::Comma)
            || before.is(Cue::Relative);
        if adjacent { self.last_table } else { None }
    }
}
