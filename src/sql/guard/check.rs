//! The order of the checks, and the value that only they can make.

use std::sync::Arc;

use sqlparser::ast::{Ident, Statement};
use sqlparser::dialect::{Dialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::{lexical, tree};
use crate::domain::{DatabaseKind, SqlError};
use crate::sql::analyse::{self, Analysis};

/// Nested expressions, as the parser counts them.
const RECURSION_LIMIT: usize = 50;
/// Tokens of a statement, white space and comments included.
const MAX_TOKENS: usize = 8_192;
/// Walking and dropping a tree of [`MAX_TOKENS`] needs more than a thread's usual stack.
const STACK_BYTES: usize = 16 << 20;

/// What a connection's statements may do beyond the built-in lists.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The dialect that the statement is read in.
    pub dialect: DatabaseKind,
    /// Names of user functions that may be called, ignoring case.
    pub allowed_functions: Vec<String>,
}

impl Policy {
    /// Reads only, built-in functions only.
    #[must_use]
    pub fn read_only(dialect: DatabaseKind) -> Self {
        Self { dialect, allowed_functions: Vec::new() }
    }
}

/// One statement that passed the guard. It holds the exact text that was checked and nothing can change it.
#[derive(Debug, Clone)]
pub struct GuardedSql {
    text: Arc<str>,
    dialect: DatabaseKind,
    is_query: bool,
    analysis: Arc<Analysis>,
}

impl GuardedSql {
    /// The exact text that was checked.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The dialect it was checked in.
    #[must_use]
    pub fn dialect(&self) -> DatabaseKind {
        self.dialect
    }

    /// Whether it is a query, which a planner can explain; otherwise it describes (SHOW, DESCRIBE, PRAGMA, EXPLAIN).
    #[must_use]
    pub fn is_query(&self) -> bool {
        self.is_query
    }

    /// What it refers to.
    #[must_use]
    pub fn analysis(&self) -> &Analysis {
        &self.analysis
    }
}

/// Why a text is no [`GuardedSql`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Not understood, or not allowed.
    pub kind: RefusalKind,
    /// Short name of the rule, such as `one_statement`.
    pub rule: &'static str,
    /// What is wrong, in a sentence.
    pub message: String,
    /// Character in the text, counted from 1; 0 when unknown.
    pub position: u32,
    /// What to do.
    pub hint: String,
}

/// The two ways to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The text cannot be read as a statement of the dialect.
    NotUnderstood,
    /// It is understood, and policy forbids it.
    NotAllowed,
}

impl Refusal {
    pub(super) fn not_understood(rule: &'static str, message: impl Into<String>) -> Self {
        let (message, hint) = (message.into(), String::new());
        Self { kind: RefusalKind::NotUnderstood, rule, message, position: 0, hint }
    }

    pub(super) fn not_allowed(rule: &'static str, message: impl Into<String>) -> Self {
        let (message, hint) = (message.into(), String::new());
        Self { kind: RefusalKind::NotAllowed, rule, message, position: 0, hint }
    }

    pub(super) fn at(self, position: u32) -> Self {
        Self { position, ..self }
    }

    pub(super) fn hint(self, hint: &str) -> Self {
        Self { hint: hint.to_owned(), ..self }
    }

    /// The same in the form of a database's own error.
    #[must_use]
    pub fn to_sql_error(&self) -> SqlError {
        SqlError {
            sqlstate: self.rule.to_owned(),
            message: self.message.clone(),
            position: self.position,
            hint: self.hint.clone(),
        }
    }
}

/// Checks a text. Never panics, whatever the text.
pub fn check(text: &str, policy: &Policy) -> Result<GuardedSql, Refusal> {
    lexical::check(text, policy.dialect)?;
    stacker::grow(STACK_BYTES, || {
        let statement = parse(text, policy.dialect)?;
        tree::check(&statement, policy)?;
        Ok(GuardedSql {
            text: text.into(),
            dialect: policy.dialect,
            is_query: matches!(statement, Statement::Query(_)),
            analysis: Arc::new(analyse::analyse(&statement)),
        })
    })
}

fn parse(text: &str, kind: DatabaseKind) -> Result<Statement, Refusal> {
    let dialect: &dyn Dialect = match kind {
        DatabaseKind::Postgresql => &PostgreSqlDialect {},
        DatabaseKind::Mysql => &MySqlDialect {},
        DatabaseKind::Sqlite => &SQLiteDialect {},
    };
    let tokens = Tokenizer::new(dialect, text).tokenize_with_location().map_err(|error| {
        let position = character_at(text, error.location.line, error.location.column);
        Refusal::not_understood("tokens", format!("the text cannot be read: {}", error.message)).at(position)
    })?;
    if tokens.len() > MAX_TOKENS {
        let message = format!("the statement has {} tokens, more than {MAX_TOKENS}", tokens.len());
        return Err(Refusal::not_understood("size", message).hint("Ask for less in one statement."));
    }
    let meaningful =
        |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::SemiColon | Token::EOF);
    if !tokens.iter().any(|token| meaningful(&token)) {
        return Err(Refusal::not_understood("empty", "there is no statement"));
    }
    if let Some(more) = second_statement(&tokens) {
        let position = character_at(text, more.span.start.line, more.span.start.column);
        let message = "only one statement is allowed, and another one follows";
        return Err(Refusal::not_allowed("one_statement", message).at(position).hint("Send one statement a call."));
    }
    if kind == DatabaseKind::Sqlite
        && let Some(pragma) = pragma(&tokens)
    {
        return Ok(pragma);
    }
    let mut parser = Parser::new(dialect).with_recursion_limit(RECURSION_LIMIT).with_tokens_with_locations(tokens);
    let mut statements = parser.parse_statements().map_err(|error| unparsable(text, &error))?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (Some(_), false) => Err(Refusal::not_allowed("one_statement", "only one statement is allowed")),
        (None, _) => Err(Refusal::not_understood("empty", "there is no statement")),
    }
}

/// `PRAGMA name(argument)`: sqlparser reads numbers and strings as arguments, people write names.
fn pragma(tokens: &[TokenWithSpan]) -> Option<Statement> {
    let mut rest = tokens
        .iter()
        .map(|token| &token.token)
        .filter(|token| !matches!(token, Token::Whitespace(_) | Token::SemiColon | Token::EOF));
    match rest.next()? {
        Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("pragma") => {}
        _ => return None,
    }
    let Token::Word(name) = rest.next()? else { return None };
    let (Token::LParen, Token::Word(_), Token::RParen, None) = (rest.next()?, rest.next()?, rest.next()?, rest.next())
    else {
        return None;
    };
    let name = Ident::new(name.value.clone()).into();
    Some(Statement::Pragma { name, value: None, is_eq: false })
}

/// The first token after a semicolon that is not the end. Statements have no inner semicolons unless they are blocks,
/// and blocks are refused anyway.
fn second_statement(tokens: &[TokenWithSpan]) -> Option<&TokenWithSpan> {
    let end = tokens.iter().position(|token| token.token == Token::SemiColon)?;
    tokens[end + 1..].iter().find(|token| !matches!(token.token, Token::Whitespace(_) | Token::SemiColon | Token::EOF))
}

fn unparsable(text: &str, error: &ParserError) -> Refusal {
    match error {
        ParserError::RecursionLimitExceeded => {
            Refusal::not_understood("depth", "the statement is nested too deeply").hint("Use WITH to name its parts.")
        }
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => {
            let (message, position) = split_location(text, message);
            Refusal::not_understood("parse", message).at(position)
        }
    }
}

/// sqlparser writes ` at Line: 1, Column: 8` at the end of its message.
fn split_location(text: &str, message: &str) -> (String, u32) {
    let Some((words, place)) = message.rsplit_once(" at Line: ") else { return (message.to_owned(), 0) };
    let numbers = place.split_once(", Column: ");
    let position = numbers.and_then(|(line, column)| Some((line.trim().parse().ok()?, column.trim().parse().ok()?)));
    (words.to_owned(), position.map_or(0, |(line, column)| character_at(text, line, column)))
}

/// Lines and columns count characters from 1.
fn character_at(text: &str, line: u64, column: u64) -> u32 {
    if line == 0 {
        return 0;
    }
    let lines = usize::try_from(line - 1).unwrap_or(usize::MAX);
    let before: usize = text.split_inclusive('\n').take(lines).map(|line| line.chars().count()).sum();
    u32::try_from(before).unwrap_or(0).saturating_add(u32::try_from(column).unwrap_or(0))
}
