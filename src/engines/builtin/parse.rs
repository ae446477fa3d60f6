//! From chunks to a draft: shallow patterns, read left to right, each word used once.

mod bounds;
mod conditions;
mod groups;
mod order;
mod shown;

use super::chunks::Chunk;
use super::cues::Cue;
use super::draft::{Condition, Draft, Item, Key, Kind, Slot, SlotId};
use super::names::{Col, Link, Names, Target};
use super::tree::Literal;
use super::values::Found;
use crate::domain::ColumnType;
use crate::domain::outputs::{AggregateFunction as Aggregate, Operator};

/// How a question begins that asks for rows, not for how many there are.
const LISTING: [&str; 15] = [
    "list", "show", "give", "find", "display", "get", "print", "return", "tell", "retrieve", "provide", "report",
    "identify", "see", "present",
];

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
