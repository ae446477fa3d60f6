//! Why the guard refuses a statement.

use std::fmt;

use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use crate::domain::SqlError;

/// A refusal: what was broken, in words, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The text is not one statement of the dialect, as far as the guard can read it.
    NotUnderstood(SqlError),
    /// The statement is understood, and policy forbids it.
    NotAllowed(Rule, SqlError),
}

impl Refusal {
    /// Message, position and hint.
    #[must_use]
    pub fn error(&self) -> &SqlError {
        match self {
            Self::NotUnderstood(error) | Self::NotAllowed(_, error) => error,
        }
    }

    /// Name of the broken rule; `parse` when the text was not understood.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::NotUnderstood(_) => "parse",
            Self::NotAllowed(rule, _) => rule.as_str(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.error().message)
    }
}

impl std::error::Error for Refusal {}

/// Rules a statement can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Text, tokens or a size inside the statement are over a bound.
    TooLarge,
    /// Characters, comments or names that servers and parsers read differently.
    HiddenText,
    /// More than one statement.
    OneStatement,
    /// The statement is no read.
    ReadsOnly,
    /// A clause or expression that is not on the list.
    Construct,
    /// A function that is not on the list.
    Function,
    /// A table with credentials or the server's inner state.
    Relation,
}

impl Rule {
    /// Name for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::HiddenText => "hidden_text",
            Self::OneStatement => "one_statement",
            Self::ReadsOnly => "reads_only",
            Self::Construct => "construct_not_allowed",
            Self::Function => "function_not_allowed",
            Self::Relation => "relation_not_allowed",
        }
    }

    /// What to do when nothing better can be said.
    fn hint(self) -> &'static str {
        match self {
            Self::TooLarge => "ask for less, or split the statement",
            Self::HiddenText => "write it in plain characters, with each literal and comment closed",
            Self::OneStatement => "send the statements one by one",
            Self::ReadsOnly => "write a SELECT",
            Self::Construct => "leave it out, or say the same in another way",
            Self::Function => "use a function of the database that neither writes nor reaches outside it",
            Self::Relation => "read other tables; this one holds credentials or the server's inner state",
        }
    }
}

/// A refusal whose place is still a line and a column of the parser.
#[derive(Debug)]
pub(super) struct Finding {
    rule: Rule,
    message: String,
    hint: String,
    place: Location,
    words: &'static [&'static str],
}

impl Finding {
    /// A refusal at the beginning of a span, with the hint of its rule.
    pub fn new(rule: Rule, span: Span, message: impl Into<String>) -> Self {
        Self { rule, message: message.into(), hint: rule.hint().to_owned(), place: span.start, words: &[] }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The parser has no place for most keywords: what offends is the first of these words, or groups of words, from the
    /// span on.
    pub fn at(mut self, words: &'static [&'static str]) -> Self {
        self.words = words;
        self
    }

    /// The refusal, with its place counted in the text. It points at a token always: at the first one if nothing is known.
    pub fn in_text(self, text: &str, tokens: &[&TokenWithSpan]) -> Refusal {
        let Self { rule, message, hint, place, words } = self;
        let begins = |at: usize, words: &str| {
            words
                .split(' ')
                .enumerate()
                .all(|(offset, word)| tokens.get(at + offset).is_some_and(|token| is_word(&token.token, word)))
        };
        let offends = |at: &usize| tokens[*at].span.start >= place && words.iter().any(|words| begins(*at, words));
        let found = (0..tokens.len()).find(offends).map(|at| tokens[at].span.start);
        let place = match found {
            Some(place) => place,
            None if place.line == 0 => tokens.first().map_or(Location { line: 1, column: 1 }, |first| first.span.start),
            None => place,
        };
        let error = SqlError { message, position: position(text, place), hint, sqlstate: String::new() };
        Refusal::NotAllowed(rule, error)
    }
}

/// Where the lines of a text begin, so that the places of a long statement are counted in one go.
#[derive(Debug)]
pub(in crate::sql) struct Lines(Vec<u64>);

impl Lines {
    pub fn of(text: &str) -> Self {
        let mut before = 0;
        let lengths = text.split_inclusive('\n').map(|line| line.chars().count() as u64);
        let starts = lengths.map(|length| {
            before += length;
            before
        });
        Self(std::iter::once(0).chain(starts).collect())
    }

    /// The character at a line and column, all counted from 1; 0 when the place is unknown.
    pub fn position(&self, place: Location) -> u32 {
        let line = place.line.checked_sub(1).and_then(|line| self.0.get(usize::try_from(line).ok()?));
        line.map_or(0, |before| u32::try_from(before + place.column).unwrap_or(0))
    }
}

/// [`Lines::position`] of a single place.
pub(super) fn position(text: &str, place: Location) -> u32 {
    Lines::of(text).position(place)
}

/// Whether a token is this word, not in quotes.
pub(super) fn is_word(token: &Token, expected: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_become_positions() {
        assert_eq!(position("SELECT\nx", Location { line: 2, column: 1 }), 8);
        assert_eq!(position("é x", Location { line: 1, column: 3 }), 3);
        assert_eq!(position("x", Location { line: 0, column: 0 }), 0);
    }
}
