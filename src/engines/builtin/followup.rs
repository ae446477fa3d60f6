//! A question that only makes sense after the one before it: what it says is put into what was said.

use super::chunks::{self, Chunk};
use super::cues::Cue;
use super::draft::{Condition, Draft, Item, Key, Kind, Slot, SlotId};
use super::names::{Col, Link, Target};
use super::parse;
use super::reading::{Abstention, Lexicon, Reading, Said, understand};
use super::resolve::slot_of;
use super::words::{Token, TokenKind};
use crate::domain::outputs::{AggregateFunction as Aggregate, Operator};
use jiff::civil::Date;

/// Words at the beginning that lean on what was said before.
const LEADS: &[&[&str]] = &[
    &["what", "about"],
    &["how", "about"],
    &["the", "same"],
    &["and"],
    &["but"],
    &["or"],
    &["also"],
    &["only"],
    &["just"],
    &["same"],
    &["instead"],
];
/// Words at the beginning that say nothing.
const COURTESIES: &[&str] = &["ok", "okay", "now", "then", "so", "please", "thanks"];
/// Words that point back, wherever they stand.
const POINTERS: &[&[&str]] = &[
    &["of", "them"],
    &["of", "those"],
    &["of", "these"],
    &["among", "them"],
    &["among", "those"],
    &["are", "there"],
    &["are", "those"],
    &["are", "they"],
    &["in", "total"],
    &["as", "well"],
    &["instead"],
    &["them"],
    &["those"],
    &["these"],
    &["ones"],
    &["too"],
];
/// Words with which a question begins that stands by itself.
const ASKING: &[&str] = &[
    "what",
    "which",
    "who",
    "whose",
    "whom",
    "where",
    "when",
    "how",
    "list",
    "show",
    "give",
    "find",
    "count",
    "display",
    "tell",
    "return",
    "get",
    "name",
    "is",
    "are",
    "does",
    "do",
    "did",
    "has",
    "have",
    "provide",
    "compute",
    "calculate",
];
/// Words that add to what was there.
const ADDING: &[&str] = &["also", "too"];

/// What a question says that leans on another one.
struct Fragment {
    tokens: Vec<Token>,
    /// Whether something is added rather than put in the place of what was there.
    adds: bool,
}

/// The question completed from the one before it; a question that stands by itself is read alone.
pub(crate) fn complete(base: &Said, tokens: &[Token], today: Date, lexicon: &Lexicon) -> Result<Said, Abstention> {
    let (fragment, leans) = fragment(tokens);
    let asks = fragment.tokens.first().is_some_and(|first| ASKING.contains(&first.folded.as_str()));
    if !leans && asks {
        return understand(tokens, today, lexicon);
    }
    if !leans && let Ok(alone) = understand(tokens, today, lexicon) {
        // "orders in 2024" names a thing, but does not say what of it: that was said before, if it was about the same.
        if alone.draft.items.iter().any(|item| item.aggregate.is_some()) {
            return Ok(alone);
        }
    }
    let draft = merged(&base.draft, &fragment, today, lexicon)?;
    let words = base.words.iter().cloned().chain(tokens.iter().map(|token| token.lemma.clone())).collect();
    Ok(Said { draft, words })
}

/// Whether a question cannot be read without the one before it.
pub(crate) fn leans(tokens: &[Token]) -> bool {
    fragment(tokens).1
}

/// What was understood, so that a question after it keeps every word where it was tied to.
pub(crate) fn settled(reading: &Reading) -> Draft {
    let mut draft = reading.draft.clone();
    for (slot, target) in draft.slots.iter_mut().zip(&reading.targets) {
        slot.candidates.retain(|link| link.target == *target);
    }
    draft
}

fn fragment(tokens: &[Token]) -> (Fragment, bool) {
    let mut rest: Vec<Token> =
        tokens.iter().filter(|token| token.kind != TokenKind::Mark || token.text == "'s").cloned().collect();
    let (mut leans, mut adds) = (false, false);
    let starts = |rest: &[Token], at: usize, words: &[&str]| {
        words.len() <= rest.len() - at && words.iter().zip(&rest[at..]).all(|(word, token)| token.folded == *word)
    };
    loop {
        if rest.first().is_some_and(|first| COURTESIES.contains(&first.folded.as_str())) {
            rest.remove(0);
        } else if let Some(lead) = LEADS.iter().find(|lead| starts(&rest, 0, lead)) {
            adds |= lead.iter().any(|word| ADDING.contains(word));
            rest.drain(..lead.len());
            leans = true;
        } else {
            break;
        }
    }
    let mut at = 0;
    while at < rest.len() {
        match POINTERS.iter().find(|pointer| starts(&rest, at, pointer)) {
            // "are there" also belongs to a question that stands by itself.
            Some(pointer) => {
                adds |= pointer.iter().any(|word| ADDING.contains(word) || *word == "well");
                leans |= !matches!(pointer, ["are" | "in", _]);
                rest.drain(at..at + pointer.len());
            }
            None if rest[at].folded == "their" || rest[at].folded == "its" => {
                leans = true;
                rest.remove(at);
            }
            None => at += 1,
        }
    }
    if rest.first().is_some_and(|first| first.folded == "by") && rest.len() > 1 {
        rest.splice(..1, super::words::tokens("per"));
    }
    (Fragment { tokens: rest, adds }, leans)
}

fn merged(base: &Draft, fragment: &Fragment, today: Date, lexicon: &Lexicon) -> Result<Draft, Abstention> {
    let (names, values) = (&lexicon.names, &lexicon.values);
    let chunks = chunks::chunks(&fragment.tokens, names, values, today);
    let said: Vec<&Chunk> = chunks.iter().filter(|chunk| !chunk.noise).collect();
    let mut merge = Merge { base, draft: base.clone(), adds: fragment.adds };
    match said[..] {
        [] => return Err(shape("it says nothing new")),
        [only] if only.is(Cue::Count) && only.names.is_empty() => {
            merge.count_rows()?;
            return Ok(merge.draft);
        }
        [only] if only.names.is_empty() && matches!(only.cue, Some(Cue::Aggregate(_))) => {
            let Some(Cue::Aggregate(function)) = only.cue else { return Err(shape("it says nothing new")) };
            merge.compute(function)?;
            return Ok(merge.draft);
        }
        _ => {}
    }
    let unknown: Vec<String> = said.iter().filter(|chunk| chunk.unknown).map(|chunk| chunk.text.clone()).collect();
    if !unknown.is_empty() {
        return Err(Abstention::Unexplained(unknown));
    }
    let part = parse::parse_after(&chunks, names, bounded(base).filter(|_| said[0].cue.is_some_and(is_bound)));
    if !part.unknown.is_empty() {
        return Err(Abstention::Unexplained(part.unknown));
    }
    merge.take(part)?;
    Ok(merge.draft)
}

/// The column that the question before compares with a number.
fn bounded(base: &Draft) -> Option<Slot> {
    let compared = base.conditions.iter().rev().find_map(|condition| match &condition.kind {
        Kind::Compare(slot, ..) => Some(*slot),
        _ => None,
    });
    compared.map(|slot| Slot { qualifier: None, ..base.slots[slot].clone() })
}

fn is_bound(cue: Cue) -> bool {
    matches!(cue, Cue::Compare(..) | Cue::Between)
}

fn shape(reason: &str) -> Abstention {
    Abstention::Shape(format!("after the question before it, {reason}"))
}

struct Merge<'a> {
    base: &'a Draft,
    draft: Draft,
    adds: bool,
}

impl Merge<'_> {
    /// Everything that the follow-up says, its slots behind those that are there.
    fn take(&mut self, part: Draft) -> Result<(), Abstention> {
        let shift = self.draft.slots.len();
        let part = shifted(part, shift);
        if part.both || part.owner.is_some() && part.items.is_empty() {
            return Err(shape("it is not understood"));
        }
        self.draft.slots.extend(part.slots.iter().cloned());
        let limit_alone = part.limit.is_some() && part.order.is_empty();
        self.draft.doubt *= if limit_alone { part.doubt / 0.7 } else { part.doubt };
        for condition in &part.conditions {
            self.condition(condition);
        }
        self.draft.mentions.extend(&part.mentions);
        if !part.items.is_empty() {
            self.items(&part)?;
        }
        if !part.groups.is_empty() || !part.buckets.is_empty() {
            self.groups(&part)?;
        }
        if !part.order.is_empty() {
            self.draft.order.clone_from(&part.order);
            self.draft.limit = part.limit;
        }
        if let Some(limit) = part.limit {
            self.draft.limit = Some(limit);
            if self.draft.order.is_empty() {
                self.draft.order = vec![self.by_measure()?];
            }
        }
        Ok(())
    }

    /// Takes the place of a condition on the same thing, or comes beside the others.
    fn condition(&mut self, new: &Condition) {
        let place = (self.draft.conditions.iter().take(self.base.conditions.len()))
            .position(|old| same_thing(&self.draft, old, new));
        let Some(place) = place else {
            self.draft.conditions.push(Condition { or: false, ..new.clone() });
            return;
        };
        let old = slot_of(&self.draft.conditions[place].kind);
        if self.adds
            && let (Kind::Values(_, more), Kind::Values(_, known)) = (&new.kind, &mut self.draft.conditions[place].kind)
            && !new.negated
        {
            known.extend(more.iter().cloned());
            return;
        }
        // What was meant stays what is meant: only what it is compared with is new.
        let kind = match &new.kind {
            Kind::Period(_, operator, period) => Kind::Period(old, *operator, *period),
            Kind::Values(_, values) => Kind::Values(old, values.clone()),
            Kind::Compare(_, operator, values) => Kind::Compare(old, *operator, values.clone()),
            other => other.clone(),
        };
        let Condition { or, .. } = self.draft.conditions[place];
        self.draft.conditions[place] = Condition { kind, negated: new.negated, or };
    }

    fn items(&mut self, part: &Draft) -> Result<(), Abstention> {
        let sentence = self.base.items.iter().map(|item| item.sentence).max().unwrap_or(0);
        let fresh = part.items.iter().map(|item| Item { sentence, ..item.clone() });
        let is_table = |draft: &Draft, item: &Item| {
            item.slot.is_some_and(|slot| {
                draft.slots[slot].candidates.first().is_some_and(|link| matches!(link.target, Target::Table(_)))
            })
        };
        let subject = matches!(&part.items[..], [only] if only.aggregate.is_none() && is_table(&self.draft, only));
        let computed = |items: &[Item]| items.iter().all(|item| item.aggregate.is_some());
        if subject {
            // "and products?": another thing is asked about in the same way.
            match (&self.base.items[..], part.items[0].slot) {
                ([one], slot) if is_table(self.base, one) => {
                    self.draft.items = vec![Item { slot, ..one.clone() }];
                    return Ok(());
                }
                _ => return Err(shape("it is not clear what is asked of that")),
            }
        }
        if computed(&part.items) {
            if self.base.items.iter().all(|item| item.aggregate.is_none()) {
                if !self.base.groups.is_empty() {
                    return Err(shape("it is not clear what is computed"));
                }
                self.draft.order.clear();
                self.draft.limit = None;
                self.draft.distinct = false;
                // What the rows are stays: they are only computed over now.
                self.keep_subject();
            }
            let added = self.adds && computed(&self.base.items);
            let kept = if added { self.base.items.clone() } else { Vec::new() };
            self.draft.items = kept.into_iter().chain(fresh).collect();
            return Ok(());
        }
        if self.base.items.iter().any(|item| item.aggregate.is_some()) {
            return Err(shape("it is not clear whether that is shown or counted by"));
        }
        if self.adds {
            self.draft.items.extend(fresh);
        } else {
            self.keep_subject();
            self.draft.items = fresh.collect();
        }
        Ok(())
    }

    /// The thing whose rows were asked for goes on to be spoken of.
    fn keep_subject(&mut self) {
        if let Some(table) = self.subject() {
            let slot = self.draft.slot("", vec![Link { target: Target::Table(table), score: 1.0 }], None);
            self.draft.mentions.push(slot);
        }
    }

    fn groups(&mut self, part: &Draft) -> Result<(), Abstention> {
        let aggregated: Vec<Item> = self.draft.items.iter().filter(|item| item.aggregate.is_some()).cloned().collect();
        if aggregated.is_empty() {
            return Err(shape("it is not clear what is counted or computed for each of them"));
        }
        let place = aggregated.len();
        self.draft.items = aggregated;
        if !self.adds {
            self.draft.groups.clear();
            self.draft.buckets.clear();
            self.draft.order.clear();
            self.draft.limit = None;
        }
        self.draft.groups.extend(part.groups.iter().map(|(slot, _)| (*slot, place)));
        self.draft.buckets.extend(part.buckets.iter().map(|(bucket, _)| (*bucket, place)));
        Ok(())
    }

    /// "and how many?"
    fn count_rows(&mut self) -> Result<(), Abstention> {
        let plain = self.base.items.iter().all(|item| item.aggregate.is_none());
        let counted = self.base.items.iter().all(|item| item.aggregate == Some(Aggregate::Count));
        if !(plain || counted) || !self.base.groups.is_empty() || !self.base.buckets.is_empty() {
            return Err(shape("it is not clear what is to be counted"));
        }
        if self.base.limit.is_some() {
            return Err(shape("it asks how many there are of a number that was given"));
        }
        let table = self.subject().ok_or_else(|| shape("it is not clear what is to be counted"))?;
        let slot = self.draft.slot("", vec![Link { target: Target::Table(table), score: 1.0 }], None);
        let sentence = self.base.items.iter().map(|item| item.sentence).max().unwrap_or(0);
        let item =
            Item { aggregate: Some(Aggregate::Count), distinct: false, slot: Some(slot), everything: false, sentence };
        self.draft.items = vec![item];
        self.draft.order.clear();
        self.draft.distinct = false;
        Ok(())
    }

    /// "and the average?"
    fn compute(&mut self, function: Aggregate) -> Result<(), Abstention> {
        match &mut self.draft.items[..] {
            [item] if item.aggregate != Some(Aggregate::Count) && item.slot.is_some() => {
                item.aggregate = Some(function);
                Ok(())
            }
            _ => Err(shape("it is not clear of what")),
        }
    }

    /// The table whose rows the question before was about.
    fn subject(&self) -> Option<usize> {
        let slot = self.base.owner.or_else(|| self.base.items.iter().find_map(|item| item.slot))?;
        self.base.slots[slot].candidates.first().map(|link| link.target.table())
    }

    /// "the top 5": by what is counted or computed.
    fn by_measure(&self) -> Result<(Key, bool), Abstention> {
        let mut measures = self.draft.items.iter().filter(|item| item.aggregate.is_some());
        let grouped = !self.draft.groups.is_empty()
            || !self.draft.buckets.is_empty()
            || self.draft.items.iter().any(|item| item.aggregate.is_none());
        match (measures.next(), measures.next()) {
            (Some(Item { aggregate: Some(Aggregate::Count), slot, .. }), None) if grouped => {
                Ok((Key::Count(*slot), true))
            }
            (Some(Item { aggregate: Some(function), slot: Some(slot), .. }), None) if grouped => {
                Ok((Key::Aggregate(*function, *slot), true))
            }
            _ => Err(shape("it is not clear by what the first ones are chosen")),
        }
    }
}

/// Whether two conditions are about the same column, or the same time.
fn same_thing(draft: &Draft, old: &Condition, new: &Condition) -> bool {
    let columns = |condition: &Condition| -> Vec<Col> {
        let links = &draft.slots[slot_of(&condition.kind)].candidates;
        let column = |link: &Link| if let Target::Column(col) = link.target { Some(col) } else { None };
        links.iter().filter_map(column).collect()
    };
    let shared = || {
        let old = columns(old);
        columns(new).iter().any(|col| old.contains(col))
    };
    match (&old.kind, &new.kind) {
        (Kind::Period(..), Kind::Period(..)) => true,
        (Kind::Values(..) | Kind::Like(..), Kind::Values(..) | Kind::Like(..)) => shared(),
        (Kind::Compare(_, was, _), Kind::Compare(_, is, _)) => shared() && same_side(*was, *is),
        (Kind::Values(..), Kind::Compare(_, Operator::Equal | Operator::IsNull | Operator::IsNotNull, _)) => shared(),
        (Kind::Count(was, ..), Kind::Count(is, ..)) => {
            draft.slots[*was].candidates.first().map(|link| link.target)
                == draft.slots[*is].candidates.first().map(|link| link.target)
        }
        _ => false,
    }
}

/// "above 20" and "below 30" bound a column together; "above 30" takes the place of "above 20".
fn same_side(was: Operator, is: Operator) -> bool {
    use Operator::{Greater, GreaterOrEqual, Less, LessOrEqual};
    let low = |operator| matches!(operator, Greater | GreaterOrEqual);
    let high = |operator| matches!(operator, Less | LessOrEqual);
    !(low(was) && high(is) || high(was) && low(is))
}

/// A draft whose slots begin at a place.
fn shifted(mut draft: Draft, by: usize) -> Draft {
    let shift = |slot: &mut SlotId| *slot += by;
    for slot in draft.slots.iter_mut().filter_map(|slot| slot.qualifier.as_mut()) {
        shift(slot);
    }
    for slot in draft.items.iter_mut().filter_map(|item| item.slot.as_mut()) {
        shift(slot);
    }
    for condition in &mut draft.conditions {
        match &mut condition.kind {
            Kind::Compare(slot, ..)
            | Kind::Period(slot, ..)
            | Kind::Values(slot, _)
            | Kind::Like(slot, ..)
            | Kind::Count(slot, ..)
            | Kind::Relative(slot, ..)
            | Kind::Exists(slot) => shift(slot),
        }
    }
    draft.owner.iter_mut().for_each(shift);
    draft.mentions.iter_mut().for_each(shift);
    draft.groups.iter_mut().for_each(|(slot, _)| *slot += by);
    for (key, _) in &mut draft.order {
        match key {
            Key::Column(slot) | Key::Aggregate(_, slot) | Key::Count(Some(slot)) => *slot += by,
            Key::Count(None) | Key::First => {}
        }
    }
    draft
}
