//! Why the guard refuses a statement.

use std::fmt;

use sqlparser::tokenizer::{Location, Span};

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
}

/// A refusal whose place is still a line and a column of the parser.
#[derive(Debug)]
pub(super) struct Finding {
    rule: Rule,
    message: String,
    hint: String,
    place: Location,
}

impl Finding {
    pub fn new(rule: Rule, span: Span, message: impl Into<String>) -> Self {
        Self { rule, message: message.into(), hint: String::new(), place: span.start }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The refusal, with its place counted in the text.
    pub fn in_text(self, text: &str) -> Refusal {
        let Self { rule, message, hint, place } = self;
        let error = SqlError { message, position: position(text, place), hint, sqlstate: String::new() };
        Refusal::NotAllowed(rule, error)
    }
}

/// The character at a line and column, all counted from 1; 0 when the place is unknown.
pub(in crate::sql) fn position(text: &str, place: Location) -> u32 {
    if place.line == 0 {
        return 0;
    }
    let before: u64 =
        text.split_inclusive('\n').map(|line| line.chars().count() as u64).take(to_usize(place.line - 1)).sum();
    u32::try_from(before + place.column).unwrap_or(0)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
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
