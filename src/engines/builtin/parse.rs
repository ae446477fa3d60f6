//! From chunks to a draft: shallow patterns, read left to right, each word used once.

use super::chunks::Chunk;
use super::cues::Cue;
use super::draft::{Bucket, Condition, Draft, Item, Key, Kind, Slot, SlotId, UNNAMED_DATE};
use super::names::{Col, Link, Names, Target};
use super::synonyms;
use super::tree::Literal;
use super::values::Found;
use crate::domain::ColumnType;
use crate::domain::outputs::{AggregateFunction as Aggregate, Operator};

/// How a question begins that asks for rows, not for how many there are.
const LISTING: [&str; 8] = ["list", "show", "give", "find", "display", "get", "print", "return"];

/// Reads chunks into a draft.
pub(crate) fn parse(chunks: &[Chunk], names: &Names) -> Draft {
    parse_after(chunks, names, None)
}

/// The same for chunks that go on with what was said before: a bound may be one of this column.
pub(crate) fn parse_after(chunks: &[Chunk], names: &Names, column: Option<Slot>) -> Draft {
    let kept: Vec<Chunk> = chunks.iter().filter(|chunk| !chunk.noise).cloned().collect();
    let (kept, flags) = without_flags(kept, names);
    let begins = |chunk: &Chunk| LISTING.contains(&chunk.text.to_lowercase().as_str());
    let mut parser = Parser {
        chunks: &kept,
        names,
        at: 0,
        last_column: column.as_ref().map(|_| 0),
        draft: Draft { doubt: 1.0, slots: column.into_iter().collect(), ..Draft::default() },
        listing: chunks.iter().take_while(|chunk| chunk.noise).any(begins),
        selecting: true,
        aggregates: Vec::new(),
        distinct: false,
        denying: false,
        or: false,
        sentence: 0,
        limit: None,
        last_table: None,
        everything: false,
        denied: false,
        moment: None,
    };
    parser.run();
    parser.when_or_where();
    let mut draft = parser.draft;
    for (text, links) in flags {
        let slot = draft.slot(&text, links, None);
        let kind = Kind::Compare(slot, Operator::Equal, vec![Literal::Number("1".to_owned())]);
        draft.conditions.push(Condition { kind, negated: false, or: false });
    }
    draft
}

/// Takes out what only restricts the thing behind it: a flag of its own, as in "active customers". The question reads as if
/// it were not there; each flag comes with the columns that it may be.
fn without_flags(chunks: Vec<Chunk>, names: &Names) -> (Vec<Chunk>, Vec<(String, Vec<Link>)>) {
    let mut flags = Vec::new();
    let mut kept: Vec<Chunk> = Vec::with_capacity(chunks.len());
    let mut rest = chunks.into_iter().peekable();
    while let Some(chunk) = rest.next() {
        // "no active orders" denies orders, not the flag.
        let denied = kept.last().is_some_and(|before| before.is(Cue::Not));
        let links = rest.peek().filter(|_| !denied).map(|thing| flags_of(&chunk, thing, names)).unwrap_or_default();
        if links.is_empty() {
            kept.push(chunk);
        } else {
            flags.push((chunk.text, links));
        }
    }
    (kept, flags)
}

/// The flags of a thing that a word before it may name; none when the word means something else at least as well.
fn flags_of(word: &Chunk, thing: &Chunk, names: &Names) -> Vec<Link> {
    if word.cue.is_some() || !word.values.is_empty() || word.has_table() || !thing.table_first() {
        return Vec::new();
    }
    let is_flag = |link: &&Link| match link.target {
        Target::Column(col) => {
            names.column(col).kind == ColumnType::Boolean
                && link.score >= 0.8
                && thing.names.iter().any(|thing| thing.target == Target::Table(col.table))
        }
        Target::Table(_) => false,
    };
    word.names.iter().filter(is_flag).copied().collect()
}

#[expect(clippy::struct_excessive_bools, reason = "each is what one earlier word left open")]
struct Parser<'a> {
    chunks: &'a [Chunk],
    names: &'a Names,
    at: usize,
    draft: Draft,
    /// Whether the question begins by asking for rows.
    listing: bool,
    selecting: bool,
    aggregates: Vec<Aggregate>,
    distinct: bool,
    denying: bool,
    or: bool,
    sentence: usize,
    limit: Option<u64>,
    last_table: Option<SlotId>,
    last_column: Option<SlotId>,
    everything: bool,
    denied: bool,
    /// A date that was named by what happened then, and whose period is to come.
    moment: Option<SlotId>,
}

/// What stands on the right of a comparison.
enum Operand {
    Number(String),
    Period(super::dates::Period),
    Values(Vec<Found>, String),
    Text(String),
}

impl Parser<'_> {
    fn run(&mut self) {
        while self.at < self.chunks.len() {
            let before = self.at;
            self.step();
            if self.at == before {
                let text = self.chunks[before].text.clone();
                self.draft.unknown.push(text);
                self.at += 1;
            }
        }
        if self.aggregates == [Aggregate::Sum] && self.draft.items.iter().any(|item| item.aggregate.is_some()) {
            // "how many are there in total"
            self.aggregates.clear();
        }
        if !self.aggregates.is_empty() {
            if self.aggregates == [Aggregate::Count] && self.draft.items.is_empty() && self.draft.mentions.len() == 1 {
                let slot = self.draft.mentions[0];
                self.item(Some(Aggregate::Count), Some(slot));
            } else if self.aggregates == [Aggregate::Count]
                && self.draft.items.iter().any(|item| item.aggregate.is_none())
            {
                self.draft.doubt *= 0.9;
                self.item(Some(Aggregate::Count), None);
            } else {
                self.draft.unknown.push("number or amount".to_owned());
            }
        }
        if self.denying {
            self.draft.unknown.push("not".to_owned());
        }
        if self.limit.is_some() && self.draft.limit.is_none() {
            self.draft.limit = self.limit;
            if self.draft.order.is_empty() {
                self.draft.doubt *= 0.7;
            }
        }
    }

    /// "When was the first order?", "where does Ann live?": a day or a place of what is asked about, which it must have.
    fn when_or_where(&mut self) {
        const PLACES: &[&str] = &["address", "city", "country", "location", "place", "venue"];
        let Some(first) = self.chunks.first().map(|chunk| chunk.text.to_lowercase()) else { return };
        let names = self.names;
        let answers = |col: Col| match first.as_str() {
            "when" => super::chunks::is_date(names, col),
            _ => names.words(col).iter().any(|word| PLACES.contains(&word.as_str())),
        };
        if !matches!(first.as_str(), "when" | "where") {
            return;
        }
        let [Item { aggregate: None, slot: Some(slot), .. }] = self.draft.items[..] else {
            self.draft.unknown.push(first);
            return;
        };
        let candidates = &self.draft.slots[slot].candidates;
        if candidates.iter().any(|link| matches!(link.target, Target::Column(col) if answers(col))) {
            return;
        }
        if first == "when"
            && let Some((Key::Column(key), _)) = self.draft.order.first()
            && self.draft.slots[*key]
                .candidates
                .iter()
                .all(|link| matches!(link.target, Target::Column(col) if answers(col)))
        {
            // "When was the last shipment?" The day by which it is the last.
            self.draft.mentions.push(slot);
            self.draft.items[0].slot = Some(*key);
            return;
        }
        let tables = candidates.iter().filter_map(|link| match link.target {
            Target::Table(table) => Some(table),
            Target::Column(_) => None,
        });
        let columns = tables.flat_map(|table| names.columns(table)).filter(|col| answers(*col));
        let candidates: Vec<Link> = columns.map(|col| Link { target: Target::Column(col), score: 0.8 }).collect();
        if candidates.is_empty() {
            self.draft.unknown.push(first);
            return;
        }
        self.draft.mentions.push(slot);
        self.draft.items[0].slot = Some(self.draft.slot(&first, candidates, Some(slot)));
    }

    fn peek(&self, ahead: usize) -> Option<&Chunk> {
        self.chunks.get(self.at + ahead)
    }

    fn cue(&self, ahead: usize) -> Option<Cue> {
        self.peek(ahead).and_then(|chunk| chunk.cue)
    }

    fn step(&mut self) {
        let chunk = &self.chunks[self.at];
        // A word that is both a cue and a name is a cue when another name follows it.
        let faint =
            matches!(chunk.cue, Some(Cue::Superlative(..))) && chunk.names.first().is_none_or(|link| link.score < 0.6);
        let pure_name = !chunk.names.is_empty() && !faint && (chunk.cue.is_none() || !self.cue_wins());
        if !chunk.values.is_empty() && !pure_name || (chunk.literal) || (!chunk.values.is_empty() && self.value_wins())
        {
            self.value();
        } else if pure_name {
            self.name();
        } else if let Some(cue) = chunk.cue {
            self.shape(cue);
        } else if chunk.period.is_some() {
            self.period(Operator::Equal, "");
        } else if chunk.number.is_some() {
            self.number();
        }
    }

    fn cue_wins(&self) -> bool {
        let Some(cue) = self.cue(0) else { return false };
        let next_name = self.peek(1).is_some_and(|next| !next.names.is_empty());
        match cue {
            Cue::Aggregate(_) | Cue::Superlative(..) | Cue::Count | Cue::Distinct | Cue::Top | Cue::Common(_) => {
                next_name
            }
            Cue::Order => matches!(self.cue(1), Some(Cue::Of)),
            Cue::Have | Cue::Is | Cue::Relative | Cue::Of | Cue::And | Cue::Or | Cue::Any | Cue::Not => true,
            _ => false,
        }
    }

    fn value_wins(&self) -> bool {
        let chunk = &self.chunks[self.at];
        let best_value = chunk.values.iter().map(|found| found.score).fold(0.0, f64::max);
        let best_name = chunk.names.first().map_or(0.0, |link| link.score);
        best_value > best_name || (best_value >= 0.99 && best_name < 0.9)
    }

    // ---- cues ----

    fn shape(&mut self, cue: Cue) {
        if matches!(cue, Cue::And | Cue::Comma | Cue::Or | Cue::Stop | Cue::Relative) {
            self.denied = false;
        }
        match cue {
            Cue::Count => self.start_aggregate(Aggregate::Count),
            Cue::Aggregate(function) => self.start_aggregate(function),
            Cue::Distinct => {
                self.at += 1;
                self.distinct = true;
            }
            Cue::Superlative(largest, hint) => self.superlative(largest, hint),
            Cue::Common(most) => self.common(most),
            Cue::Compare(op, hint) => {
                self.at += 1;
                self.compare(op, hint);
            }
            Cue::Since => {
                self.at += 1;
                self.period(Operator::GreaterOrEqual, "");
            }
            Cue::Between => self.between(None),
            Cue::Each => self.each(),
            Cue::Order => self.order(),
            Cue::Direction(descending) => self.direction(descending),
            Cue::Alphabetical => self.alphabetical(),
            Cue::Like(before, after) => self.like(before, after),
            Cue::Everything => {
                self.at += 1;
                self.everything = true;
            }
            Cue::Top => self.top(),
            Cue::Both => {
                self.at += 1;
                self.draft.both = true;
            }
            Cue::Not => {
                self.at += 1;
                self.denying = true;
            }
            Cue::Or => {
                self.at += 1;
                self.or = true;
            }
            Cue::Stop => self.stop(),
            Cue::Relative => self.relative(),
            Cue::Along => {
                let before = self.cue_before();
                let adds = self.chunks[self.at].text.contains("with")
                    || matches!(before, None | Some(Cue::And | Cue::Comma | Cue::Relative | Cue::Along | Cue::Stop));
                self.at += 1;
                if adds {
                    self.selecting = true;
                    self.draft.along = true;
                }
            }
            Cue::OrBound(_) | Cue::Beyond => {}
            Cue::Of if self.ends_at_period() => {
                self.at += 1;
                self.period(Operator::LessOrEqual, "");
            }
            Cue::Of if self.ranks() => self.rank_by(),
            Cue::Of if self.divides() => {
                // Neither "of each" nor "made by" is said: how many there are, or which ones, nobody knows.
                let text = format!("by {}", self.chunks[self.at + 1].text);
                self.draft.unknown.push(text);
                self.at += 2;
            }
            Cue::Have => {
                self.at += 1;
                if !self.draft.items.is_empty() && self.aggregates.is_empty() {
                    self.selecting = false;
                }
            }
            Cue::And | Cue::Comma | Cue::Of | Cue::Possessive | Cue::Is | Cue::Any | Cue::Noise => self.at += 1,
        }
    }

    /// "by 2024-03-31", "through March 2024".
    fn ends_at_period(&self) -> bool {
        let word = self.chunks[self.at].text.to_lowercase();
        matches!(word.as_str(), "by" | "through") && self.peek(1).is_some_and(|next| next.period.is_some())
    }

    /// "the top 3 products by price", "by total revenue", "by number of orders".
    fn ranks(&self) -> bool {
        let computed = matches!(self.cue(1), Some(Cue::Aggregate(_)));
        let key = self.peek(if computed { 2 } else { 1 });
        self.chunks[self.at].text.eq_ignore_ascii_case("by")
            && self.limit.is_some()
            && self.draft.order.is_empty()
            && !self.draft.items.is_empty()
            && (self.cue(1) == Some(Cue::Count)
                || key.is_some_and(|key| key.has_column() && !key.table_first() && key.cue.is_none()))
    }

    fn rank_by(&mut self) {
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

    /// "orders by customer", "items sold by product", where nothing more is said of the customer or the product.
    fn divides(&self) -> bool {
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

    fn stop(&mut self) {
        self.at += 1;
        let more = self.chunks[self.at..]
            .iter()
            .any(|chunk| !chunk.names.is_empty() || !chunk.values.is_empty() || chunk.cue == Some(Cue::Count));
        if more {
            self.sentence += 1;
            self.selecting = true;
            self.aggregates.clear();
            self.denying = false;
        }
    }

    fn relative(&mut self) {
        // "which/what/who" at the start of a sentence asks; later it restricts.
        let asking = self.draft.items.iter().all(|item| item.sentence != self.sentence) && self.aggregates.is_empty();
        self.at += 1;
        if !asking {
            self.selecting = false;
        }
        self.distinct = false;
    }

    fn start_aggregate(&mut self, function: Aggregate) {
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

    // ---- names ----

    fn name(&mut self) {
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
    fn continues_list(&self) -> bool {
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

    fn is_measure(&self, chunk: &Chunk) -> bool {
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

    fn item(&mut self, aggregate: Option<Aggregate>, slot: Option<SlotId>) {
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

    fn adjacent_table(&self) -> Option<SlotId> {
        let before = self.at.checked_sub(1).map(|before| &self.chunks[before])?;
        let adjacent = before.has_table()
            || before.is(Cue::Possessive)
            || before.is(Cue::And)
            || before.is(Cue::Comma)
            || before.is(Cue::Relative);
        if adjacent { self.last_table } else { None }
    }

    // ---- conditions ----

    fn condition(&mut self, kind: Kind, negated: bool) {
        if !self.draft.items.is_empty() && !matches!(kind, Kind::Exists(_)) && self.aggregates.is_empty() {
            self.selecting = false;
        }
        self.denied |= negated;
        let or = std::mem::take(&mut self.or);
        self.draft.conditions.push(Condition { kind, negated, or });
    }

    /// "age above 20", "city is Goroka", "name contains 'x'": a column followed by what it is compared with.
    fn try_condition_on_column(&mut self) -> bool {
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
                    || super::chunks::is_date(self.names, col)
                    || self.names.words(col).iter().any(|word| matches!(word.as_str(), "year" | "month" | "time"))
            }
            Target::Table(_) => false,
        })
    }

    /// Whether a name is that of a date and a period follows it: "signed up in 2025", "checked out after 2025".
    fn tells_when(&self, ahead: usize) -> bool {
        let is_date = self.peek(ahead).is_some_and(|chunk| {
            chunk.names.iter().any(|link| match link.target {
                Target::Column(col) => super::chunks::is_date(self.names, col),
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

    fn operand(&mut self) -> Option<Operand> {
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

    fn value(&mut self) {
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
        let said = super::words::lemma(&participle.to_lowercase());
        tables.into_iter().flat_map(|table| self.names.columns(table).collect::<Vec<_>>()).find(|col| {
            super::chunks::is_date(self.names, *col)
                && self.names.column(*col).nullable
                && self.names.words(*col).iter().any(|word| super::words::lemma(word) == said || *word == said)
        })
    }

    /// "in 2025", "after March 2025": whether a period is all that follows next.
    fn comes_to_period(&self) -> bool {
        let is_period = |ahead: usize| self.peek(ahead).is_some_and(|chunk| chunk.period.is_some());
        is_period(0)
            || (is_period(1) && matches!(self.cue(0), Some(Cue::Compare(..) | Cue::Since | Cue::Of | Cue::Between)))
    }

    fn cue_before(&self) -> Option<Cue> {
        self.at.checked_sub(1).and_then(|before| self.chunks[before].cue)
    }

    fn number(&mut self) {
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

    /// After a comparison without a column before it: "more than 3 pets", "older than 20", "above the average age".
    fn compare(&mut self, op: Operator, hint: &str) {
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
    fn measured(&mut self, op: Operator, hint: &str, number: String) {
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

    fn compare_column(&mut self, slot: SlotId, op: Operator) {
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

    fn between(&mut self, slot: Option<SlotId>) {
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

    fn period(&mut self, op: Operator, _hint: &str) {
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
                if year || super::chunks::is_date(self.names, col) {
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
    fn adjective(&mut self, hint: &str, qualifier: Option<SlotId>) -> Option<SlotId> {
        let mut candidates: Vec<Link> = Vec::new();
        for (rank, (phrase, _)) in synonyms::adjective(hint).iter().enumerate() {
            let words: Vec<&str> = phrase.split(' ').collect();
            for link in self.names.links(&words) {
                let known = candidates.iter().any(|known| known.target == link.target);
                let born = matches!(hint, "late" | "early")
                    && matches!(link.target, Target::Column(col) if self.names.words(col).iter().any(|word| word == "birth"));
                if matches!(link.target, Target::Column(_)) && link.score >= 0.5 && !known && !born {
                    candidates.push(Link { target: link.target, score: link.score * (0.9 - 0.04 * rank as f64) });
                }
            }
        }
        if matches!(hint, "late" | "early") {
            for table in 0..self.names.schema().tables.len() {
                let born = |col: &Col| self.names.words(*col).iter().any(|word| word == "birth");
                let dates: Vec<Col> = self
                    .names
                    .columns(table)
                    .filter(|col| super::chunks::is_date(self.names, *col) && !born(col))
                    .collect();
                // The only date of a thing is when it was, whatever it is called.
                let score = if dates.len() == 1 { 0.8 } else { 0.5 };
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

    fn like(&mut self, before: bool, after: bool) {
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

    // ---- groups and order ----

    fn each(&mut self) {
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

    /// "Customers per country" counts them. Of "list the customers", "which customers", or of a column, nobody said what
    /// there is of each.
    fn per(&mut self) {
        let computes = !self.aggregates.is_empty() || self.draft.items.iter().any(|item| item.aggregate.is_some());
        if computes || self.draft.items.is_empty() || !self.draft.order.is_empty() {
            return;
        }
        let plain = |condition: &Condition| matches!(condition.kind, Kind::Values(..) | Kind::Period(..));
        let asked = self.listing || self.chunks[..self.at].iter().any(|chunk| chunk.is(Cue::Relative));
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
            _ => self.draft.unknown.push("per".to_owned()),
        }
    }

    fn order(&mut self) {
        self.at += 1;
        self.selecting = false;
        self.order_keys(None);
    }

    fn direction(&mut self, descending: bool) {
        self.at += 1;
        if self.draft.order.is_empty() || matches!(self.cue(0), Some(Cue::Of)) {
            self.order_keys(Some(descending));
        } else {
            for key in &mut self.draft.order {
                key.1 = descending;
            }
        }
    }

    fn alphabetical(&mut self) {
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

    fn top(&mut self) {
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

    fn common(&mut self, most: bool) {
        self.at += 1;
        let limit = self.limit.take().unwrap_or(1);
        self.draft.order.push((Key::Count(None), most));
        self.draft.limit = Some(limit);
    }

    /// "the oldest student", "the highest price", "the most pets".
    fn superlative(&mut self, largest: bool, hint: &str) {
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

/// Whether there can be so many of something.
fn counts(value: f64) -> bool {
    value >= 1.0 && value.fract() == 0.0
}

/// A number of rows, no more than any database counts.
fn rows(value: f64) -> u64 {
    const MOST: u64 = 1_000_000_000;
    format!("{value:.0}").parse().unwrap_or(if value > 0.0 { MOST } else { 0 }).min(MOST)
}

fn tables_of(links: &[Link]) -> Vec<Link> {
    links.iter().filter(|link| matches!(link.target, Target::Table(_))).copied().collect()
}
