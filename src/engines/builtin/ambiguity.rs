//! Readings that are equally good: what tells them apart, in words to choose from, and which one an answer chooses.

use super::explain;
use super::names::{Col, Target};
use super::reading::{Lexicon, Reading};
use super::words;
use crate::domain::outputs::Clarification;

/// How much worse than the best a reading may fit, and how much less sure it may be, and still be as good. On the question
/// sets of text-to-SQL research one answer in twenty has such a rival; every other of those is wrong, against one in eight.
const TIE: f64 = 0.02;
const AS_SURE: f64 = 0.05;
/// Most readings to choose from.
const MOST: usize = 4;

/// Readings, best first, and what is still to be asked about them.
pub(crate) struct Settled {
    pub readings: Vec<Reading>,
    /// Set when the first of them is no better than others.
    pub open: Option<Clarification>,
}

/// What the answers leave of the readings. Of those that nobody chose, the first stands with what it assumes.
pub(crate) fn settle(readings: Vec<Reading>, answers: &[&str], lexicon: &Lexicon) -> Settled {
    let Some(Rivals { places, mut clarification, subject }) = rivals(&readings, lexicon) else {
        return Settled { readings, open: None };
    };
    let chosen = answers.iter().rev().find_map(|answer| choose(answer, &clarification.options));
    let first = chosen.map_or(0, |option| places[option]);
    let mut ordered: Vec<Reading> = Vec::with_capacity(readings.len());
    ordered.push(readings[first].clone());
    // What a person did not choose is not tried either.
    let others = readings.into_iter().enumerate().filter(|(place, _)| *place != first);
    ordered.extend(others.filter(|(place, _)| chosen.is_none() || !places.contains(place)).map(|(_, reading)| reading));
    if chosen.is_some() {
        return Settled { readings: ordered, open: None };
    }
    let (taken, others) = clarification
        .options
        .split_first()
        .map_or((String::new(), String::new()), |(first, rest)| (first.clone(), rest.join(" or ")));
    ordered[0].assumptions.push(format!("{subject} means {taken}; it could also mean {others}."));
    if let Some(last) = answers.last() {
        clarification.question = format!("'{last}' is none of these. {}", clarification.question);
    }
    Settled { readings: ordered, open: Some(clarification) }
}

struct Rivals {
    /// Of the readings to choose from, in the order of the options.
    places: Vec<usize>,
    clarification: Clarification,
    /// What has several meanings.
    subject: String,
}

fn rivals(readings: &[Reading], lexicon: &Lexicon) -> Option<Rivals> {
    let best = readings.first()?;
    let as_good =
        |reading: &Reading| best.score - reading.score <= TIE && reading.confidence >= best.confidence - AS_SURE;
    let mut places: Vec<usize> = vec![0];
    for (place, reading) in readings.iter().enumerate().skip(1) {
        if places.len() < MOST
            && as_good(reading)
            && places.iter().all(|other| differ(&readings[*other], reading, lexicon))
        {
            places.push(place);
        }
    }
    if places.len() < 2 {
        return None;
    }
    let rivals: Vec<&Reading> = places.iter().map(|place| &readings[*place]).collect();
    let apart: Vec<usize> = (0..best.targets.len())
        .filter(|slot| rivals.iter().any(|rival| rival.targets[*slot] != best.targets[*slot]))
        .collect();
    let named = apart.iter().map(|slot| best.draft.slots[*slot].text.as_str()).filter(|text| !text.is_empty());
    let named: Vec<&str> = named.collect();
    let (subject, options) = if let ([word], [slot]) = (&named[..], &apart[..]) {
        (format!("'{word}'"), rivals.iter().map(|rival| told(rival.targets[*slot], lexicon)).collect::<Vec<_>>())
    } else {
        let sentence = |rival: &&Reading| explain::sentence(&rival.query, &lexicon.names);
        ("the question".to_owned(), rivals.iter().map(sentence).collect())
    };
    let distinct = options.iter().enumerate().all(|(place, option)| !options[..place].contains(option));
    let question = format!("{subject} can mean several things. Which one is meant?");
    let question = question[..1].to_uppercase() + &question[1..];
    distinct.then_some(Rivals { places, clarification: Clarification { question, options }, subject })
}

/// Whether two readings look at different columns; a key and what refers to it are the same.
fn differ(one: &Reading, other: &Reading, lexicon: &Lexicon) -> bool {
    one.targets.len() == other.targets.len()
        && one.targets.iter().zip(&other.targets).any(|pair| match pair {
            (Target::Column(one), Target::Column(other)) => one != other && !joined(*one, *other, lexicon),
            (one, other) => one != other,
        })
}

fn joined(one: Col, other: Col, lexicon: &Lexicon) -> bool {
    lexicon.joins.between(one.table, other.table).iter().any(|edge| {
        let pairs = || edge.child.iter().zip(&edge.parent);
        pairs().any(|(child, parent)| (*child, *parent) == (one, other) || (*child, *parent) == (other, one))
    })
}

fn told(target: Target, lexicon: &Lexicon) -> String {
    let table = &lexicon.names.table(target.table()).name;
    match target {
        Target::Table(_) => table.clone(),
        Target::Column(col) => format!("{} of {table}", lexicon.names.column(col).name),
    }
}

/// Which option an answer means: the option itself, its number, or words that only one of them has.
fn choose(answer: &str, options: &[String]) -> Option<usize> {
    let plain = |text: &str| words::fold(text.trim().trim_matches(['\'', '"', '.', '?', '!']));
    let said = plain(answer);
    if let Some(exact) = options.iter().position(|option| plain(option) == said) {
        return Some(exact);
    }
    if let Ok(number) = said.parse::<usize>() {
        return number.checked_sub(1).filter(|place| *place < options.len());
    }
    let lemmas = |text: &str| -> Vec<String> {
        let split = |token: &words::Token| words::identifier_words(&token.text);
        words::tokens(text).iter().flat_map(split).map(|word| words::lemma(&words::fold(&word))).collect()
    };
    let said = lemmas(answer);
    let known: Vec<Vec<String>> = options.iter().map(|option| lemmas(option)).collect();
    // A word that all of them have tells nothing.
    let tells = |word: &&String| !known.iter().all(|words| words.contains(word));
    let fit = |words: &Vec<String>| said.iter().filter(tells).filter(|word| words.contains(word)).count();
    let fits: Vec<usize> = known.iter().map(fit).collect();
    let most = fits.iter().copied().max().filter(|most| *most > 0)?;
    let mut best = (0..fits.len()).filter(|place| fits[*place] == most);
    best.next().filter(|_| best.next().is_none())
}
