//! The words of a question that are values in the data.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

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

/// Values by their folded words.
#[derive(Default)]
pub(crate) struct Values {
    exact: HashMap<String, Vec<(Col, String)>>,
    /// Folded values by their first and by their last half, to find misspellings.
    halves: HashMap<u64, Vec<Box<str>>>,
    counts: HashMap<Col, usize>,
    samples: HashMap<Col, Vec<String>>,
    /// Words for values that people defined: they mean nothing else.
    defined: HashMap<String, Vec<Found>>,
}

impl Values {
    /// Indexes the values of every column that the schema knows.
    pub(crate) fn new(names: &Names, index: &ValueIndex, meaning: &Meaning) -> Self {
        let mut values = Self::default();
        values.define(names, meaning);
        for (table_index, table) in names.schema().tables.iter().enumerate() {
            for (column_index, column) in table.columns.iter().enumerate() {
                let path =
                    ColumnPath { schema: table.schema.clone(), table: table.name.clone(), column: column.name.clone() };
                let Some(found) = index.column(&path) else { continue };
                let col = Col { table: table_index, column: column_index };
                values.counts.insert(col, found.distinct.len());
                values.samples.insert(col, found.distinct.iter().take(20).cloned().collect());
                for value in found.distinct.iter().filter(|value| value.len() <= 120) {
                    let folded = key(value);
                    if !folded.is_empty() {
                        values.exact.entry(folded).or_default().push((col, value.clone()));
                    }
                }
            }
        }
        values.index_halves();
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

    /// Not where there are so many values that misspellings would meet too many of them.
    fn index_halves(&mut self) {
        const MOST: usize = 100_000;
        if self.exact.len() > MOST {
            return;
        }
        for folded in
            self.exact.keys().filter(|folded| (SHORTEST_NEAR..=LONGEST_NEAR).contains(&folded.chars().count()))
        {
            for half in halves(folded) {
                self.halves.entry(half).or_default().push(folded.as_str().into());
            }
        }
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
        let candidates = near_halves(&folded, most).filter_map(|half| self.halves.get(&half)).flatten();
        let near =
            candidates.map(|value| (strsim::osa_distance(&folded, value), value)).filter(|(off, _)| *off <= most);
        let mut near: Vec<(usize, &Box<str>)> = near.collect();
        near.sort();
        near.dedup();
        let least = near.first().map(|(off, _)| *off);
        let nearest = near.into_iter().take_while(|(off, _)| Some(*off) == least);
        nearest.flat_map(|(off, value)| self.exact_matches(value, phrase, 1.0 - 0.15 * off as f64)).collect()
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
        let Some(places) = self.exact.get(folded) else { return Vec::new() };
        let mut found: Vec<Found> = Vec::new();
        for (col, value) in places {
            let score = if value == phrase { score } else { score * 0.95 };
            match found.iter_mut().find(|known| known.col == *col) {
                Some(known) if known.score < score => *known = Found { col: *col, value: value.clone(), score },
                Some(_) => {}
                None => found.push(Found { col: *col, value: value.clone(), score }),
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
        self.counts.get(&col).copied()
    }

    /// A few values of a column.
    pub(crate) fn samples(&self, col: Col) -> &[String] {
        self.samples.get(&col).map_or(&[], Vec::as_slice)
    }
}

/// The first half of a text and its last one, each as a number that also says how long the text is and which half it is.
fn halves(folded: &str) -> [u64; 2] {
    let letters: Vec<char> = folded.chars().collect();
    let length = letters.len();
    [hashed(length, false, &letters[..length / 2]), hashed(length, true, &letters[length / 2..])]
}

/// The halves that texts have which differ from this one in at most so many letters, all in their other half.
fn near_halves(folded: &str, most: usize) -> impl Iterator<Item = u64> {
    let letters: Vec<char> = folded.chars().collect();
    let lengths = letters.len().saturating_sub(most)..=letters.len() + most;
    lengths.flat_map(move |length| {
        let (first, last) = (length / 2, length - length / 2);
        let own = letters.len();
        let first = (first <= own).then(|| hashed(length, false, &letters[..first]));
        let last = (last <= own).then(|| hashed(length, true, &letters[own - last..]));
        first.into_iter().chain(last)
    })
}

fn hashed(length: usize, last: bool, half: &[char]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (length, last, half).hash(&mut hasher);
    hasher.finish()
}
