//! The words of a question that are values in the data.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use super::names::{Col, Names};
use super::words::{key, lemma};
use crate::domain::{ColumnPath, Meaning, ValueIndex};

/// Values of fewer or more letters are not looked up by a misspelling.
const SHORTEST_NEAR: usize = 5;
const LONGEST_NEAR: usize = 40;

/// A phrase found in a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// Where.
    pub col: Col,
    /// As spelled in the data.
    pub value: String,
    /// 0 to 1.
    pub score: f64,
}

/// Values by their folded words: hashes that say where to look, beside the values themselves, which are shared.
#[derive(Default)]
pub(crate) struct Values {
    index: Arc<ValueIndex>,
    /// Where the values of each column stand in the index, in the schema's order.
    columns: Vec<(Col, usize)>,
    /// By all of their words.
    exact: ByHash,
    /// By their first and by their last half, to find misspellings.
    halves: ByHash,
    /// Words for values that people defined: they mean nothing else.
    defined: HashMap<String, Vec<Found>>,
}

/// One value of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Position among the columns that have values.
    column: u32,
    /// Position among the column's values.
    value: u32,
}

/// Places by a hash of what they are looked up by. Two texts may share one, so whoever asks compares the texts.
///
/// Sorted rather than a table of lists: a database may have half a million values, and an entry takes twelve bytes.
#[derive(Default)]
struct ByHash(Vec<(u32, Place)>);

impl ByHash {
    fn new(mut places: Vec<(u32, Place)>) -> Self {
        places.sort_unstable();
        places.shrink_to_fit();
        Self(places)
    }

    /// In the schema's order.
    fn get(&self, hash: u32) -> impl Iterator<Item = Place> {
        let first = self.0.partition_point(|(known, _)| *known < hash);
        self.0[first..].iter().take_while(move |(known, _)| *known == hash).map(|(_, place)| *place)
    }
}

impl Values {
    /// Indexes the values of every column that the schema knows.
    pub(crate) fn new(names: &Names, index: &Arc<ValueIndex>, meaning: &Meaning) -> Self {
        let mut values = Self { index: index.clone(), ..Self::default() };
        values.define(names, meaning);
        for (table_index, table) in names.schema().tables.iter().enumerate() {
            for (column_index, column) in table.columns.iter().enumerate() {
                let path =
                    ColumnPath { schema: table.schema.clone(), table: table.name.clone(), column: column.name.clone() };
                if let Some(position) = index.position(&path) {
                    let col = Col { table: table_index, column: column_index };
                    values.columns.push((col, position));
                }
            }
        }
        values.index_places();
        values
    }

    fn define(&mut self, names: &Names, meaning: &Meaning) {
        for alias in &meaning.aliases {
            let ColumnPath { schema, table, column } = &alias.column;
            let place = names.schema().tables.iter().position(|known| known.schema == *schema && known.name == *table);
            if let Some(col) = place.and_then(|table| names.find(table, column)) {
                let found = Found { col, value: alias.value.clone(), score: 1.0 };
                self.defined.entry(key(&alias.alias)).or_default().push(found);
            }
        }
    }

    /// Misspellings are not looked for where there are so many values that they would meet too many of them.
    fn index_places(&mut self) {
        const MOST_BYTES: usize = 120;
        const MOST_NEAR: usize = 100_000;
        let (mut exact, mut half) = (Vec::new(), Vec::new());
        for (column, (_, position)) in (0..).zip(&self.columns) {
            for (value, text) in (0..).zip(&self.index.at(*position).distinct) {
                let folded = if text.len() <= MOST_BYTES { key(text) } else { String::new() };
                if folded.is_empty() {
                    continue;
                }
                let place = Place { column, value };
                exact.push((hashed(&folded), place));
                if exact.len() <= MOST_NEAR && (SHORTEST_NEAR..=LONGEST_NEAR).contains(&folded.chars().count()) {
                    half.extend(halves(&folded).map(|half| (half, place)));
                }
            }
        }
        if exact.len() <= MOST_NEAR {
            self.halves = ByHash::new(half);
        }
        self.exact = ByHash::new(exact);
    }

    /// The value at a place, as the data spells it.
    fn text(&self, place: Place) -> &str {
        let (_, position) = self.columns[place.column as usize];
        &self.index.at(position).distinct[place.value as usize]
    }

    /// Whether people defined the phrase as a word for a value.
    pub(crate) fn is_defined(&self, phrase: &str) -> bool {
        !self.defined.is_empty() && self.defined.contains_key(&key(phrase))
    }

    /// Columns that hold a value one letter off the phrase, or two where it is long; the nearest only. One of its halves
    /// must be spelled right.
    pub(crate) fn near(&self, phrase: &str) -> Vec<Found> {
        const LONG: usize = 9;
        let folded = key(phrase);
        let length = folded.chars().count();
        if !(SHORTEST_NEAR..=LONGEST_NEAR).contains(&length) {
            return Vec::new();
        }
        let most = if length >= LONG { 2 } else { 1 };
        let candidates = near_halves(&folded, most).flat_map(|half| self.halves.get(half));
        let candidates = candidates.map(|place| key(self.text(place)));
        let near =
            candidates.map(|value| (strsim::osa_distance(&folded, &value), value)).filter(|(off, _)| *off <= most);
        let mut near: Vec<(usize, String)> = near.collect();
        near.sort();
        near.dedup();
        let least = near.first().map(|(off, _)| *off);
        let nearest = near.into_iter().take_while(|(off, _)| Some(*off) == least);
        nearest.flat_map(|(off, value)| self.exact_matches(&value, phrase, 1.0 - 0.15 * off as f64)).collect()
    }

    /// Columns that hold the phrase, folded; a plural also finds its singular.
    pub(crate) fn find(&self, phrase: &str) -> Vec<Found> {
        let folded = key(phrase);
        if let Some(defined) = self.defined.get(&folded) {
            return defined.clone();
        }
        let mut found = self.exact_matches(&folded, phrase, 1.0);
        if found.is_empty() && folded.len() > 3 {
            let singular = match folded.rsplit_once(' ') {
                Some((start, last)) => format!("{start} {}", lemma(last)),
                None => lemma(&folded),
            };
            found = self.exact_matches(&singular, phrase, 0.9);
            if found.is_empty() {
                found = self.exact_matches(&format!("{folded}s"), phrase, 0.9);
            }
        }
        found
    }

    fn exact_matches(&self, folded: &str, phrase: &str, score: f64) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        for place in self.exact.get(hashed(folded)) {
            let ((col, _), value) = (self.columns[place.column as usize], self.text(place));
            if key(value) != folded {
                continue;
            }
            let score = if value == phrase { score } else { score * 0.95 };
            match found.iter_mut().find(|known| known.col == col) {
                Some(known) if known.score < score => *known = Found { col, value: value.to_owned(), score },
                Some(_) => {}
                None => found.push(Found { col, value: value.to_owned(), score }),
            }
        }
        found
    }

    /// The spelling that a column's data uses for a text, if it holds it.
    pub(crate) fn spelling(&self, col: Col, text: &str) -> Option<String> {
        self.find(text).into_iter().find(|found| found.col == col).map(|found| found.value)
    }

    /// How many distinct values of a column are known.
    pub(crate) fn count(&self, col: Col) -> Option<usize> {
        self.known(col).map(<[String]>::len)
    }

    /// A few values of a column.
    pub(crate) fn samples(&self, col: Col) -> &[String] {
        const FEW: usize = 20;
        self.known(col).map_or(&[], |known| &known[..known.len().min(FEW)])
    }

    fn known(&self, col: Col) -> Option<&[String]> {
        let at = self.columns.binary_search_by_key(&col, |(known, _)| *known).ok()?;
        Some(self.index.at(self.columns[at].1).distinct.as_slice())
    }
}

/// The first half of a text and its last one, each as a number that also says how long the text is and which half it is.
fn halves(folded: &str) -> [u32; 2] {
    let letters: Vec<char> = folded.chars().collect();
    let length = letters.len();
    [hashed((length, false, &letters[..length / 2])), hashed((length, true, &letters[length / 2..]))]
}

/// The halves that texts have which differ from this one in at most so many letters, all in their other half.
fn near_halves(folded: &str, most: usize) -> impl Iterator<Item = u32> {
    let letters: Vec<char> = folded.chars().collect();
    let lengths = letters.len().saturating_sub(most)..=letters.len() + most;
    lengths.flat_map(move |length| {
        let (first, last) = (length / 2, length - length / 2);
        let own = letters.len();
        let first = (first <= own).then(|| hashed((length, false, &letters[..first])));
        let last = (last <= own).then(|| hashed((length, true, &letters[own - last..])));
        first.into_iter().chain(last)
    })
}

/// Half of a hash is enough: what it finds is compared.
fn hashed(what: impl Hash) -> u32 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    (hasher.finish() >> 32) as u32
}
