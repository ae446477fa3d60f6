//! Conditions: a column and its value, a value alone, a pattern.

use super::super::chunks::{Chunk, is_date};
use super::super::cues::Cue;
use super::super::draft::{Condition, Kind, SlotId};
use super::super::names::{Col, Link, Target};
use super::super::tree::Literal;
use super::super::values::Found;
use super::super::words::lemma;
use super::{Operand, Parser, counts, rows, tables_of};
use crate::domain::outputs::{AggregateFunction as Aggregate, Operator};

impl Parser<'_> {
    pub(super) fn condition(&mut self, kind: Kind, negated: bool) {
        if !self.draft.items.is_empty() && !matches!(kind, Kind::Exists(_)) && self.aggregates.is_empty() {
            self.selecting = false;
        }
        self.denied |= negated;
        let or = std::mem::take(&mut self.or);
        self.draft.conditions.push(Condition { kind, negated, or });
    }

    /// "age above 20", "city is Goroka", "name contains 'x'": a column followed by what it is compared with.
    pub(super) fn try_condition_on_column(&mut self) -> bool {
        let chunk = &self.chunks[self.at];
        if !chunk.has_column() || !self.aggregates.is_empty() {
            return false;
        }
        let (ahead, negated, linked) = self.condition_start();
        let Some(next) = self.peek(ahead) else { return false };
        let (text, links, qualifier) =
            (chunk.text.clone(), chunk.names.clone(), self.adjacent_table().or(self.last_table));
        let spans_time = [ahead, ahead + 1].iter().any(|at| self.peek(*at).is_some_and(|next| next.period.is_some()));
        if spans_time && !self.may_hold_time(&links) {
            return false;
        }
        let comparing = matches!(next.cue, Some(Cue::Compare(..) | Cue::Between | Cue::Like(..) | Cue::Since))
            && next.names.is_empty();
        if comparing {
            let cue = next.cue;
            let slot = self.draft.column_slot(&text, &links, qualifier);
            self.last_column = Some(slot);
            let start = self.at;
            self.at += ahead;
            self.denying |= negated;
            let conditions = self.draft.conditions.len();
            match cue {
                Some(Cue::Compare(op, _)) => {
                    self.at += 1;
                    self.compare_column(slot, op);
                }
                Some(Cue::Since) => {
                    self.at += 1;
                    self.compare_column(slot, Operator::GreaterOrEqual);
                }
                Some(Cue::Between) => self.between(Some(slot)),
                Some(Cue::Like(before, after)) => self.like_column(slot, before, after),
                _ => {}
            }
            if self.draft.conditions.len() == conditions {
                self.at = start;
                self.draft.slots.pop();
                return false;
            }
            return true;
        }
        let plain_value = next.cue.is_none() || !next.values.is_empty();
        if !plain_value || (chunk.table_first() && chunk.table_score() >= 0.9 && !linked) {
            return false;
        }
        let placed = self.at > 0
            && matches!(self.chunks[self.at - 1].cue, Some(Cue::Of | Cue::Relative | Cue::And))
            && !self.draft.items.is_empty();
        let asked = self.draft.items.iter().any(|item| item.sentence == self.sentence) && !self.continues_list();
        let direct = ahead == 1
            || linked
            || self.cue(1) == Some(Cue::Of) && (!self.selecting || placed || (asked && self.tells_when(0)));
        if !direct {
            return false;
        }
        let shared = |found: &[Found]| {
            found.iter().any(|found| links.iter().any(|link| link.target == Target::Column(found.col)))
        };
        let fits = (next.literal && (next.values.is_empty() || shared(&next.values)))
            || shared(&next.values)
            || (next.values.is_empty()
                && !next.literal
                && (next.number.is_some() || next.period.is_some())
                && !self.selecting_list(ahead));
        if !fits {
            return false;
        }
        let slot = self.draft.column_slot(&text, &links, qualifier);
        self.last_column = Some(slot);
        self.at += ahead;
        self.denying |= negated;
        self.equals(slot);
        true
    }

    /// Whether any of the columns can be compared with a period: dates, years, and texts that are called so.
    fn may_hold_time(&self, links: &[Link]) -> bool {
        links.iter().any(|link| match link.target {
            Target::Column(col) => {
                self.names.column(col).kind.is_numeric()
                    || is_date(self.names, col)
                    || self.names.words(col).iter().any(|word| matches!(word.as_str(), "year" | "month" | "time"))
            }
            Target::Table(_) => false,
        })
    }

    /// Whether a name is that of a date and a period follows it: "signed up in 2025", "checked out after 2025".
    pub(super) fn tells_when(&self, ahead: usize) -> bool {
        let is_date = self.peek(ahead).is_some_and(|chunk| {
            chunk.names.iter().any(|link| match link.target {
                Target::Column(col) => is_date(self.names, col),
                Target::Table(_) => false,
            })
        });
        let leads = matches!(self.cue(ahead + 1), Some(Cue::Of | Cue::Compare(..) | Cue::Since | Cue::Between));
        let behind = ahead + 1 + usize::from(leads);
        is_date && self.peek(behind).is_some_and(|chunk| chunk.period.is_some())
    }

    /// How many chunks lie between a column and what it is compared with, whether "not" is among them, and "is".
    fn condition_start(&self) -> (usize, bool, bool) {
        let chunk = &self.chunks[self.at];
        let mut ahead = 1;
        let mut negated = false;
        let mut linked = false;
        let name = |chunk: &Chunk| matches!(chunk.text.to_lowercase().as_str(), "name" | "names");
        if self.cue(1) == Some(Cue::Relative)
            && self.peek(2).is_some_and(name)
            && !chunk.text.to_lowercase().contains("name")
            && matches!(self.cue(3), Some(Cue::Like(..) | Cue::Is))
            && !chunk.table_first()
        {
            // "the state whose name contains": the name of a column is the column.
            ahead = 3;
        }
        loop {
            match self.cue(ahead) {
                Some(Cue::Have | Cue::Relative)
                    if self.peek(ahead + 3).is_some_and(|after| !after.names.is_empty()) =>
                {
                    break;
                }
                Some(Cue::Not) if self.peek(ahead).is_some_and(|chunk| chunk.names.is_empty()) => {
                    negated = true;
                    ahead += 1;
                }
                Some(Cue::Is | Cue::Noise | Cue::Any) => {
                    linked = true;
                    ahead += 1;
                }
                Some(Cue::Of) if ahead == 1 => ahead += 1,
                Some(Cue::Relative | Cue::Have)
                    if ahead == 1 && matches!(self.cue(2), Some(Cue::Is | Cue::Like(..) | Cue::Compare(..))) =>
                {
                    ahead += 1;
                }
                _ => break,
            }
        }
        (ahead, negated, linked)
    }

    fn selecting_list(&self, ahead: usize) -> bool {
        self.selecting && ahead > 1 && self.draft.items.is_empty()
    }

    fn equals(&mut self, slot: SlotId) {
        let bound = match self.cue(1) {
            Some(Cue::OrBound(op)) => Some(op),
            _ => None,
        };
        let Some(operand) = self.operand() else { return };
        let negated = std::mem::take(&mut self.denying);
        match operand {
            Operand::Number(number) => {
                let mut values = vec![Literal::Number(number)];
                if bound.is_some() {
                    self.at += 1;
                }
                while matches!(self.cue(0), Some(Cue::Or)) && self.peek(1).is_some_and(|next| next.number.is_some()) {
                    self.at += 1;
                    if let Some(Operand::Number(number)) = self.operand() {
                        values.push(Literal::Number(number));
                    }
                }
                let op = if values.len() > 1 { Operator::In } else { bound.unwrap_or(Operator::Equal) };
                self.condition(Kind::Compare(slot, op, values), negated);
            }
            Operand::Period(period) => {
                if bound.is_some() {
                    self.at += 1;
                }
                self.condition(Kind::Period(slot, bound.unwrap_or(Operator::Equal), period), negated);
            }
            Operand::Values(found, _) => {
                let alternatives = self.more_values(found, Some(slot));
                let known = alternatives[0].clone();
                let slot_data = &mut self.draft.slots[slot];
                slot_data.candidates.retain(|link| known.iter().any(|found| link.target == Target::Column(found.col)));
                self.condition(Kind::Values(slot, alternatives), negated);
            }
            Operand::Text(text) => {
                self.draft.doubt *= 0.9;
                let number = text.parse::<f64>().is_ok();
                let literal = if number { Literal::Number(text) } else { Literal::Text(text) };
                self.condition(Kind::Compare(slot, Operator::Equal, vec![literal]), negated);
            }
        }
    }

    pub(super) fn operand(&mut self) -> Option<Operand> {
        while matches!(self.cue(0), Some(Cue::Is | Cue::Noise | Cue::Any))
            && self.peek(0).is_some_and(|chunk| chunk.names.is_empty())
        {
            self.at += 1;
        }
        let chunk = self.peek(0)?;
        let operand = if !chunk.values.is_empty() {
            Operand::Values(chunk.values.clone(), chunk.text.clone())
        } else if let Some(period) = chunk.period {
            Operand::Period(period)
        } else if let Some((_, text)) = &chunk.number {
            Operand::Number(text.clone())
        } else if chunk.literal {
            Operand::Text(chunk.text.clone())
        } else {
            return None;
        };
        self.at += 1;
        Some(operand)
    }

    /// Further values after "or", "and" or a comma that share a column with the first.
    fn more_values(&mut self, first: Vec<Found>, slot: Option<SlotId>) -> Vec<Vec<Found>> {
        let mut alternatives = vec![first];
        loop {
            let mut ahead = 0;
            while matches!(self.cue(ahead), Some(Cue::Or | Cue::And | Cue::Comma | Cue::Noise)) {
                ahead += 1;
            }
            if ahead == 0 {
                break;
            }
            if slot.is_some()
                && self.peek(ahead).is_some_and(Chunk::has_column)
                && self.peek(ahead + 1).is_some_and(|next| !next.values.is_empty())
            {
                break;
            }
            let Some(next) = self.peek(ahead).filter(|next| !next.values.is_empty()) else { break };
            let shares = next
                .values
                .iter()
                .any(|found| alternatives.iter().all(|known| known.iter().any(|known| known.col == found.col)));
            if !shares || (!next.names.is_empty() && !next.literal && next.names[0].score > 0.9) {
                break;
            }
            alternatives.push(next.values.clone());
            self.at += ahead + 1;
        }
        alternatives
    }

    pub(super) fn value(&mut self) {
        let chunk = &self.chunks[self.at];
        if chunk.values.is_empty() {
            // A quoted text that no column is known to hold.
            if let Some(slot) = self.last_column.filter(|_| !self.selecting) {
                self.draft.doubt *= 0.6;
                self.equals(slot);
            }
            return;
        }
        let (text, found) = (chunk.text.clone(), chunk.values.clone());
        self.at += 1;
        let alternatives = self.more_values(found.clone(), None);
        let mut shared: Vec<Found> = found
            .into_iter()
            .filter(|found| alternatives.iter().all(|known| known.iter().any(|known| known.col == found.col)))
            .collect();
        // "Rock genre", "USA country": a column named behind its value.
        if let Some(next) = self.peek(0)
            && next.has_column()
            && next.values.is_empty()
        {
            let named: Vec<Found> = shared
                .iter()
                .filter(|found| {
                    next.names.iter().any(|link| link.target == Target::Column(found.col) && link.score > 0.5)
                })
                .cloned()
                .collect();
            let is_table = next.table_score() >= 0.9;
            if !named.is_empty() && !is_table && !matches!(self.cue(1), Some(Cue::Is | Cue::Compare(..))) {
                shared = named;
                self.at += 1;
            }
        }
        let qualifier = self
            .peek(0)
            .filter(|next| next.has_table() && next.table_first())
            .map(|next| tables_of(&next.names))
            .map(|tables| self.draft.slot("", tables, None))
            .or_else(|| self.last_table.filter(|_| self.at > 1));
        if let Some(moment) = self.moment_of(&text, &shared).filter(|_| self.denying || self.comes_to_period()) {
            let slot =
                self.draft.slot(&text, vec![Link { target: Target::Column(moment), score: 0.9 }], self.last_table);
            if std::mem::take(&mut self.denying) {
                // "not delivered yet", beside a column `delivered_at`: the moment is empty.
                return self.condition(Kind::Compare(slot, Operator::IsNull, Vec::new()), false);
            }
            // "delivered after 2025-06-01": the date that follows is its.
            self.moment = Some(slot);
            return;
        }
        let slot = self.draft.value_slot(&text, &shared, qualifier);
        let negated = std::mem::take(&mut self.denying);
        self.condition(Kind::Values(slot, alternatives), negated);
    }

    /// The nullable date of the thing spoken of that is named after a participle, unless the thing itself has the word
    /// as a value.
    fn moment_of(&self, participle: &str, found: &[Found]) -> Option<Col> {
        let slot = self.draft.items.first().and_then(|item| item.slot).or(self.last_table)?;
        let tables: Vec<usize> = self.draft.slots[slot]
            .candidates
            .iter()
            .filter_map(|link| if let Target::Table(table) = link.target { Some(table) } else { None })
            .collect();
        if found.iter().any(|found| tables.contains(&found.col.table)) {
            return None;
        }
        let said = lemma(&participle.to_lowercase());
        tables.into_iter().flat_map(|table| self.names.columns(table).collect::<Vec<_>>()).find(|col| {
            is_date(self.names, *col)
                && self.names.column(*col).nullable
                && self.names.words(*col).iter().any(|word| lemma(word) == said || *word == said)
        })
    }

    /// "in 2025", "after March 2025": whether a period is all that follows next.
    fn comes_to_period(&self) -> bool {
        let is_period = |ahead: usize| self.peek(ahead).is_some_and(|chunk| chunk.period.is_some());
        is_period(0)
            || (is_period(1) && matches!(self.cue(0), Some(Cue::Compare(..) | Cue::Since | Cue::Of | Cue::Between)))
    }

    pub(super) fn cue_before(&self) -> Option<Cue> {
        self.at.checked_sub(1).and_then(|before| self.chunks[before].cue)
    }

    pub(super) fn number(&mut self) {
        let Some((value, text)) = self.chunks[self.at].number.clone() else { return };
        if matches!(self.cue(1), Some(Cue::Superlative(..) | Cue::Common(_))) && counts(value) {
            self.at += 1;
            self.limit = Some(rows(value));
            return;
        }
        if let Some(Cue::OrBound(op)) = self.cue(1) {
            self.at += 2;
            self.measured(op, "", text);
            return;
        }
        if let (Some(measure), Some(thing)) = (self.peek(1).cloned(), self.peek(2))
            && measure.has_column()
            && measure.cue.is_none()
            && !measure.table_first()
            && thing.table_first()
        {
            // "five star hotels", "3 bedroom flats": the number is the column's value.
            self.at += 2;
            let slot = self.draft.column_slot(&measure.text, &measure.names, self.last_table);
            self.condition(Kind::Compare(slot, Operator::Equal, vec![Literal::Number(text)]), false);
            self.selecting = true;
            return;
        }
        if let Some(measure) = self.peek(1).cloned()
            && let Some(Target::Column(col)) = measure.names.first().map(|link| link.target)
            && measure.names[0].score >= 0.7
            && self.aggregates == [Aggregate::Count]
        {
            // "how many one star reviews", where "star reviews" is the rating of reviews.
            self.at += 2;
            self.aggregates.clear();
            let counted = vec![Link { target: Target::Table(col.table), score: 0.9 }];
            let counted = self.draft.slot(&measure.text, counted, None);
            self.item(Some(Aggregate::Count), Some(counted));
            self.last_table = Some(counted);
            let slot = self.draft.column_slot(&measure.text, &measure.names, Some(counted));
            self.condition(Kind::Compare(slot, Operator::Equal, vec![Literal::Number(text)]), false);
            return;
        }
        let asks = self.at == 0 || matches!(self.cue_before(), Some(Cue::Relative));
        if counts(value)
            && asks
            && self.selecting
            && self.limit.is_none()
            && self.peek(1).is_some_and(|next| !next.names.is_empty())
        {
            // "Which 5 products …": rows of an order that is still to come.
            self.at += 1;
            self.limit = Some(rows(value));
            return;
        }
        if let Some(slot) = self.last_column.filter(|_| !self.selecting) {
            self.draft.doubt *= 0.7;
            self.at += 1;
            let negated = std::mem::take(&mut self.denying);
            self.condition(Kind::Compare(slot, Operator::Equal, vec![Literal::Number(text)]), negated);
        } else if let Some(next) = self.peek(1)
            && next.has_table()
            && !self.selecting
        {
            self.draft.doubt *= 0.9;
            self.at += 1;
            self.measured(Operator::Equal, "", text);
        }
    }

    pub(super) fn like(&mut self, before: bool, after: bool) {
        if let Some(slot) = self.last_column {
            self.like_column(slot, before, after);
        }
    }

    fn like_column(&mut self, slot: SlotId, before: bool, after: bool) {
        let mut ahead = 1;
        while self.cue(ahead).is_some_and(|cue| matches!(cue, Cue::Any | Cue::Noise | Cue::Is)) {
            ahead += 1;
        }
        let Some(next) = self.peek(ahead) else { return };
        let word = next.literal
            || next.text.chars().count() <= 2
            || next.unknown
            || next.text.chars().next().is_some_and(char::is_uppercase);
        if !word {
            return;
        }
        let text = next.text.clone();
        self.at += ahead + 1;
        let negated = std::mem::take(&mut self.denying);
        self.condition(Kind::Like(slot, before, after, text), negated);
    }
}
