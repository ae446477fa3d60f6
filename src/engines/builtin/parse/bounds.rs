//! Comparisons and periods.

use super::super::chunks::{Chunk, is_date};
use super::super::cues::Cue;
use super::super::draft::{Key, Kind, SlotId, UNNAMED_DATE};
use super::super::names::{Col, Link, Target};
use super::super::synonyms;
use super::super::tree::Literal;
use super::{Operand, Parser, tables_of};
use crate::domain::outputs::Operator;

/// Dates of this kind are not when a thing began.
const LATER: [&str; 14] = [
    "update",
    "updated",
    "modify",
    "modified",
    "change",
    "changed",
    "delete",
    "deleted",
    "discontinued",
    "expire",
    "expiry",
    "due",
    "end",
    "close",
];

impl Parser<'_> {
    /// "by 2024-03-31", "through March 2024".
    pub(super) fn ends_at_period(&self) -> bool {
        let word = self.chunks[self.at].text.to_lowercase();
        matches!(word.as_str(), "by" | "through") && self.peek(1).is_some_and(|next| next.period.is_some())
    }

    /// After a comparison without a column before it: "more than 3 pets", "older than 20", "above the average age".
    pub(super) fn compare(&mut self, op: Operator, hint: &str) {
        let bounds = |chunk: &Chunk| {
            // "up to 2024" may count; a day does not.
            chunk.period.is_some() && (matches!(hint, "late" | "early") || chunk.number.is_none())
        };
        if self.peek(0).is_some_and(bounds) {
            self.period(op, hint);
            return;
        }
        if let Some(Cue::Aggregate(function)) = self.cue(0) {
            self.at += 1;
            let slot = match self.peek(0) {
                Some(next) if next.has_column() && next.cue.is_none() => {
                    let slot = self.draft.column_slot(&next.text.clone(), &next.names.clone(), self.last_table);
                    self.at += 1;
                    Some(slot)
                }
                _ => self.adjective(hint, self.last_table).or(self.last_column),
            };
            if let Some(slot) = slot {
                self.condition(Kind::Relative(slot, op, function), false);
            }
            return;
        }
        let bounded = self.peek(0).is_some_and(|next| next.has_column() && next.cue.is_none())
            && self.peek(1).is_some_and(|next| next.number.is_some() || next.period.is_some());
        if bounded {
            let next = self.chunks[self.at].clone();
            self.at += 1;
            let slot = self.draft.column_slot(&next.text, &next.names, self.last_table);
            return self.compare_column(slot, op);
        }
        let Some(Operand::Number(number)) =
            self.peek(0).and_then(|chunk| chunk.number.clone()).map(|(_, text)| Operand::Number(text))
        else {
            return;
        };
        self.at += 1;
        self.measured(op, hint, number);
    }

    /// A bound on something named after the number, or by the adjective before it.
    pub(super) fn measured(&mut self, op: Operator, hint: &str, number: String) {
        let negated = std::mem::take(&mut self.denying);
        if hint.is_empty() {
            let mut ahead = 0;
            while matches!(self.cue(ahead), Some(Cue::Distinct | Cue::Of)) {
                ahead += 1;
            }
            if let Some(next) = self.peek(ahead).filter(|next| !next.names.is_empty()) {
                let (text, names, table_first) = (next.text.clone(), next.names.clone(), next.table_first());
                self.at += ahead + 1;
                if table_first {
                    let slot = self.draft.slot(&text, tables_of(&names), None);
                    self.last_table = Some(slot);
                    self.condition(Kind::Count(slot, op, number), negated);
                } else {
                    let slot = self.draft.column_slot(&text, &names, self.last_table);
                    self.condition(Kind::Compare(slot, op, vec![Literal::Number(number)]), negated);
                }
                return;
            }
            if let Some(slot) = self.last_column {
                self.draft.doubt *= 0.85;
                self.skip_unit();
                self.condition(Kind::Compare(slot, op, vec![Literal::Number(number)]), negated);
                return;
            }
        } else if let Some(slot) = self.adjective(hint, self.last_table) {
            self.skip_unit();
            self.condition(Kind::Compare(slot, op, vec![Literal::Number(number)]), negated);
            return;
        }
        if let Some(slot) = self.last_table.filter(|slot| hint.is_empty() && self.draft.mentions.contains(slot)) {
            self.draft.doubt *= 0.85;
            self.condition(Kind::Count(slot, op, number), negated);
            return;
        }
        self.draft.unknown.push(number);
    }

    fn skip_unit(&mut self) {
        const UNITS: [&str; 22] = [
            "years",
            "year",
            "dollars",
            "dollar",
            "euros",
            "days",
            "minutes",
            "seconds",
            "hours",
            "meters",
            "kg",
            "kilograms",
            "pounds",
            "km",
            "miles",
            "feet",
            "old",
            "years old",
            "percent",
            "degrees",
            "usd",
            "milliseconds",
        ];
        while self.peek(0).is_some_and(|next| UNITS.contains(&next.text.to_lowercase().as_str())) {
            self.at += 1;
        }
    }

    pub(super) fn compare_column(&mut self, slot: SlotId, op: Operator) {
        if let Some(Cue::Aggregate(function)) = self.cue(0) {
            self.at += 1;
            // "higher than the average price": the column may be said again.
            let again = |next: &Chunk| {
                next.names
                    .iter()
                    .any(|link| self.draft.slots[slot].candidates.iter().any(|known| known.target == link.target))
            };
            if self.peek(0).is_some_and(again) {
                self.at += 1;
            }
            self.condition(Kind::Relative(slot, op, function), false);
            return;
        }
        let Some(operand) = self.operand() else { return };
        let negated = std::mem::take(&mut self.denying);
        match operand {
            Operand::Number(number) => {
                self.skip_unit();
                let values = vec![Literal::Number(number)];
                self.condition(Kind::Compare(slot, op, values), negated);
                self.second_bound(slot);
            }
            Operand::Period(period) => self.condition(Kind::Period(slot, op, period), negated),
            Operand::Text(text) => {
                let literal = if text.parse::<f64>().is_ok() { Literal::Number(text) } else { Literal::Text(text) };
                self.condition(Kind::Compare(slot, op, vec![literal]), negated);
            }
            Operand::Values(_, text) => self.condition(Kind::Compare(slot, op, vec![Literal::Text(text)]), negated),
        }
    }

    /// "above 20 and below 30", "less than 5 or more than 10": a second bound on the same column.
    fn second_bound(&mut self, slot: SlotId) {
        let or = self.cue(0) == Some(Cue::Or);
        if !(or || self.cue(0) == Some(Cue::And)) {
            return;
        }
        let ahead = if self.cue(1) == Some(Cue::Is) { 2 } else { 1 };
        let Some(Cue::Compare(op, "")) = self.cue(ahead) else { return };
        let Some((_, number)) = self.peek(ahead + 1).and_then(|chunk| chunk.number.clone()) else { return };
        if self.peek(ahead + 2).is_some_and(|next| !next.names.is_empty()) {
            return;
        }
        self.at += ahead + 2;
        self.or = or;
        self.condition(Kind::Compare(slot, op, vec![Literal::Number(number)]), false);
    }

    pub(super) fn between(&mut self, slot: Option<SlotId>) {
        let first = self.peek(1).cloned();
        let joined = matches!(self.cue(2), Some(Cue::And | Cue::Of));
        let second = self.peek(3).cloned();
        let (Some(mut first), Some(mut second)) = (first, second) else { return };
        if !joined {
            return;
        }
        // "between 100 and 50" means what lies between them, too.
        let starts = |chunk: &Chunk| chunk.period.as_ref().map(|period| period.from);
        let values = first.number.as_ref().zip(second.number.as_ref()).map(|(low, high)| low.0 > high.0);
        if values.unwrap_or_else(|| starts(&first).zip(starts(&second)).is_some_and(|(from, to)| from > to)) {
            std::mem::swap(&mut first, &mut second);
        }
        let negated = std::mem::take(&mut self.denying);
        let slot = slot.or(self.last_column.filter(|_| !self.selecting));
        if let (Some(mut from), Some(to)) = (first.period, second.period) {
            from.to = to.to;
            let years = from.year.zip(to.year);
            from.year = None;
            let at = self.at + 4;
            if let (Some((low, high)), Some(slot)) = (years, slot) {
                self.at = at;
                let values = vec![Literal::Number(low.to_string()), Literal::Number(high.to_string())];
                self.condition(Kind::Compare(slot, Operator::Between, values), negated);
                return;
            }
            self.at = at;
            let slot = slot.unwrap_or_else(|| self.time_slot());
            self.condition(Kind::Period(slot, Operator::Between, from), negated);
            return;
        }
        if let (Some((_, low)), Some((_, high))) = (first.number, second.number) {
            self.at += 4;
            let slot = slot.or_else(|| {
                let next = self.peek(0).filter(|next| next.has_column())?.clone();
                self.at += 1;
                Some(self.draft.column_slot(&next.text, &next.names, self.last_table))
            });
            if let Some(slot) = slot {
                self.skip_unit();
                self.condition(
                    Kind::Compare(slot, Operator::Between, vec![Literal::Number(low), Literal::Number(high)]),
                    negated,
                );
            } else {
                self.draft.unknown.push(low);
            }
        }
    }

    pub(super) fn period(&mut self, op: Operator, _hint: &str) {
        let Some(chunk) = self.peek(0) else { return };
        let Some(period) = chunk.period else { return };
        self.at += 1;
        let bound = match self.cue(0) {
            Some(Cue::OrBound(op)) => {
                self.at += 1;
                op
            }
            _ => op,
        };
        let slot = self.time_slot();
        let negated = std::mem::take(&mut self.denying);
        let or =
            matches!(self.cue(0), Some(Cue::Or | Cue::And)) && self.peek(1).is_some_and(|next| next.period.is_some());
        self.condition(Kind::Period(slot, bound, period), negated);
        if or {
            self.or = self.cue(0) == Some(Cue::Or);
            self.at += 1;
            if let Some(period) = self.peek(0).and_then(|chunk| chunk.period) {
                self.at += 1;
                self.condition(Kind::Period(slot, bound, period), false);
            }
        }
    }

    /// A slot for the date that is meant when none is named.
    fn time_slot(&mut self) -> SlotId {
        const OF_A_LIFE: &[&str] = &["birth", "birthday", "born", "dob", "death"];
        if let Some(moment) = self.moment.take() {
            return moment;
        }
        let of_a_life = |word: &str| OF_A_LIFE.iter().any(|life| word.eq_ignore_ascii_case(life));
        let asked = self.chunks.iter().any(|chunk| chunk.text.split(' ').any(of_a_life));
        let mut candidates: Vec<Link> = Vec::new();
        for table in 0..self.names.schema().tables.len() {
            for col in self.names.columns(table) {
                let words = self.names.words(col);
                // Nobody means the day a customer was born by "customers in 2024".
                if !asked && words.iter().any(|word| of_a_life(word)) {
                    continue;
                }
                let year = words.iter().any(|word| word == "year") && !self.names.is_key(col);
                if year || is_date(self.names, col) {
                    let score = if words.len() == 1 || year { 0.8 } else { 0.7 };
                    candidates.push(Link { target: Target::Column(col), score });
                }
            }
        }
        // "Orders by employee in 2024": the day of the order.
        let counted = self.draft.items.first().and_then(|item| item.slot).filter(|_| !self.draft.groups.is_empty());
        let qualifier = counted.or(self.last_table);
        if qualifier.is_some() && self.measures_something() {
            // "Revenue by product in 2024": the day of what is added up, or of what it is told for? Nobody said.
            self.draft.doubt *= 0.5;
        }
        self.draft.slot(UNNAMED_DATE, candidates, qualifier)
    }

    /// Whether a measure of the people who know the database is asked for, or ranked by.
    fn measures_something(&self) -> bool {
        let shown = self.draft.items.iter().filter_map(|item| item.slot);
        let ranked = self.draft.order.iter().filter_map(|(key, _)| match key {
            Key::Column(slot) | Key::Aggregate(_, slot) => Some(*slot),
            Key::Count(_) | Key::First => None,
        });
        let is_measure = |link: &Link| self.names.is_measure(link.target);
        shown.chain(ranked).any(|slot| self.draft.slots[slot].candidates.iter().any(is_measure))
    }

    /// A slot for the column an adjective speaks of.
    pub(super) fn adjective(&mut self, hint: &str, qualifier: Option<SlotId>) -> Option<SlotId> {
        let mut candidates: Vec<Link> = Vec::new();
        let of_time = matches!(hint, "late" | "early");
        let says = |col: Col, any: &[&str]| self.names.words(col).iter().any(|word| any.contains(&word.as_str()));
        // When somebody was born is not when something was.
        let born = |col: Col| says(col, &["birth"]);
        for (rank, (phrase, _)) in synonyms::adjective(hint).iter().enumerate() {
            let words: Vec<&str> = phrase.split(' ').collect();
            for link in self.names.links(&words) {
                let known = candidates.iter().any(|known| known.target == link.target);
                let Target::Column(col) = link.target else { continue };
                if link.score >= 0.5 && !known && !(of_time && born(col)) {
                    candidates.push(Link { target: link.target, score: link.score * (0.9 - 0.04 * rank as f64) });
                }
            }
        }
        if of_time {
            for table in 0..self.names.schema().tables.len() {
                let dates: Vec<Col> =
                    self.names.columns(table).filter(|col| is_date(self.names, *col) && !born(*col)).collect();
                // The only date of a thing is when it was, unless that is when it ends or was changed.
                let score = if matches!(dates[..], [only] if !says(only, &LATER)) { 0.8 } else { 0.5 };
                for col in dates {
                    if candidates.iter().all(|known| known.target != Target::Column(col)) {
                        candidates.push(Link { target: Target::Column(col), score });
                    }
                }
            }
        }
        if candidates.is_empty() {
            return None;
        }
        Some(self.draft.slot(hint, candidates, qualifier))
    }
}
