//! The guard's one door.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlparser::ast::{Expr, Statement};
use sqlparser::dialect::{Dialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use super::lexical::{self, Pieces};
use super::refusal::{Finding, Lines, Refusal, Rule, is_word, position};
use super::workers::on_deep_stack;
use super::{functions, grammar, pragma, settings, show, sizes, tree};
use crate::domain::{DatabaseKind, SqlError};
use crate::sql::analyse::{self, Analysis, NameUse};

/// Most tokens besides white space and comments.
const MOST_TOKENS: usize = 8_192;
/// Deepest nesting that the parser follows.
const DEEPEST_NESTING: usize = 50;

/// What a statement does to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It reads: queries, plans, descriptions.
    Read,
    /// It changes rows: INSERT, REPLACE, UPDATE, DELETE, MERGE, with or without RETURNING.
    Write,
    /// It changes tables, indexes or views: CREATE, ALTER, DROP, TRUNCATE, COMMENT ON.
    Ddl,
}

/// Which statements that write a policy admits. None of them admits privileges, files, functions, triggers, extensions,
/// settings or transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Writes {
    /// None.
    #[default]
    No,
    /// Those with [`Effect::Write`]. The outer statement writes, a CTE inside it only reads: so one call changes one table.
    Dml,
    /// Those with [`Effect::Ddl`] too.
    Ddl,
}

/// What a statement may do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    /// The dialect of the connection.
    pub kind: DatabaseKind,
    /// Names of user functions that may be called besides the dialect's own.
    pub allowed_functions: Vec<String>,
    /// Whether it may write.
    pub writes: Writes,
}

impl Policy {
    /// Reads only, with the dialect's own functions.
    #[must_use]
    pub fn reads(kind: DatabaseKind) -> Self {
        Self { kind, allowed_functions: Vec::new(), writes: Writes::No }
    }
}

/// One statement that passed the guard. Only [`check`] makes it; cheap to clone.
#[derive(Debug, Clone)]
pub struct GuardedSql(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    text: String,
    dialect: DatabaseKind,
    is_query: bool,
    effect: Effect,
    allowed_functions: Vec<String>,
    analysis: Analysis,
}

impl GuardedSql {
    /// The exact text that was checked. For `SHOW` and `DESCRIBE` on SQLite it is the query they stand for.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The dialect it was checked in.
    #[must_use]
    pub fn dialect(&self) -> DatabaseKind {
        self.0.dialect
    }

    /// Whether it is a query, so that it has a plan; the others describe, explain or show.
    #[must_use]
    pub fn is_query(&self) -> bool {
        self.0.is_query
    }

    /// What it does to the database; never more than the policy it was checked against admits.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// Whether it may call a function that only the connection allows: nobody knows what that does to the session.
    pub(in crate::sql) fn mentions_allowed_functions(&self) -> bool {
        mentions(&self.0.text, &self.0.allowed_functions)
    }

    /// Whether the connection allows a user's function of this name, written with or without its schema.
    pub(in crate::sql) fn allows(&self, schema: &str, function: &str) -> bool {
        let full_name = format!("{schema}.{function}");
        let mut allowed = self.0.allowed_functions.iter();
        allowed.any(|allowed| allowed.eq_ignore_ascii_case(&full_name) || allowed.eq_ignore_ascii_case(function))
    }

    pub(in crate::sql) fn analysis(&self) -> &Analysis {
        &self.0.analysis
    }
}

/// Checks one statement against a policy.
pub fn check(text: &str, policy: &Policy) -> Result<GuardedSql, Refusal> {
    let pieces = lexical::check(text, policy.kind)?;
    let (text, policy) = (text.to_owned(), policy.clone());
    let checked = on_deep_stack(move || parse_and_walk(&text, &pieces, &policy));
    // No thread to be had, or a bug in the parser: what was not checked is refused.
    checked
        .unwrap_or_else(|| {
            Err(Refusal::NotUnderstood(SqlError {
                message: "the statement could not be checked".to_owned(),
                hint: "try again; if it happens again, simplify the statement".to_owned(),
                ..SqlError::default()
            }))
        })
        .map(|checked| GuardedSql(Arc::new(checked)))
}

fn parse_and_walk(text: &str, pieces: &Pieces, policy: &Policy) -> Result<Inner, Refusal> {
    let passed = |effect, is_query, analysis| Inner {
        text: text.to_owned(),
        dialect: policy.kind,
        is_query,
        effect,
        allowed_functions: policy.allowed_functions.clone(),
        analysis,
    };
    let tokens = tokenize(text, policy.kind)?;
    pieces.compare(text, &tokens)?;
    let source =
        Source { text, kind: policy.kind, words: tokens.iter().filter(|token| is_meaningful(token)).collect() };
    let placed = |finding: Finding| source.placed(finding);
    bounded(&source.words).map_err(placed)?;
    harmful_call(&source.words, policy).map_err(placed)?;
    let first = source.words.first().map_or(Span::empty(), |token| token.span);
    let pragma = (policy.kind == DatabaseKind::Sqlite).then(|| pragma::check(&source.words)).flatten();
    if let Some(described) = pragma {
        return described.map(|()| passed(Effect::Read, false, Analysis::default())).map_err(placed);
    }
    if source.second().is_none()
        && let Some(shown) = show::check(&source.words, policy)
    {
        if let Some(condition) = shown.map_err(placed)? {
            let condition = source.parse(condition)?;
            tree::check(&condition, first, policy).map_err(placed)?;
            sizes::check(&condition, text, &Analysis::default(), policy.kind).map_err(placed)?;
        }
        return Ok(passed(Effect::Read, false, Analysis::default()));
    }
    let statement = source.parse(grammar::readable(&tokens, policy.kind))?;
    let effect = tree::check(&statement, first, policy).map_err(placed)?;
    let mut analysis = analyse::describe(&statement, text, policy.kind);
    if policy.kind == DatabaseKind::Postgresql {
        let lines = Lines::of(text);
        analysis.operators = operators(pieces, &source.words, &lines);
        analysis.words = words(&source.words, &lines);
    }
    sizes::check(&statement, text, &analysis, policy.kind).map_err(placed)?;
    let query = (policy.kind == DatabaseKind::Sqlite).then(|| show::as_query(&statement)).flatten();
    if let Some(query) = query {
        // What runs instead is checked like any other text.
        return parse_and_walk(&query, &lexical::check(&query, policy.kind)?, policy);
    }
    let is_query = effect == Effect::Read && matches!(statement, Statement::Query(_));
    Ok(passed(effect, is_query, analysis))
}

/// The operators of a statement of PostgreSQL: those that are written, and those that keywords stand for.
fn operators(pieces: &Pieces, words: &[&TokenWithSpan], lines: &Lines) -> Vec<NameUse> {
    const KEYWORDS: [(&str, &[&str]); 10] = [
        ("IN", &["="]),
        ("USING", &["="]),
        ("NATURAL", &["="]),
        ("CASE", &["="]),
        ("NULLIF", &["="]),
        ("DISTINCT", &["="]),
        ("BETWEEN", &["<=", ">="]),
        ("LIKE", &["~~", "!~~"]),
        ("ILIKE", &["~~*", "!~~*"]),
        ("SIMILAR", &["~", "!~"]),
    ];
    let named = |name: &str, position| NameUse { name: name.to_owned(), of_table: false, position };
    let written = pieces.operators.iter().map(|(name, at)| named(name, u32::try_from(at + 1).unwrap_or(0)));
    let meant = words.iter().flat_map(|token| {
        let meaning = KEYWORDS.iter().find(|(word, _)| is_word(&token.token, word));
        let position = meaning.map_or(0, |_| lines.position(token.span.start));
        meaning.into_iter().flat_map(move |(_, names)| names.iter().map(move |name| named(name, position)))
    });
    written.chain(meant).collect()
}

/// The words of a statement of PostgreSQL, each once.
fn words(tokens: &[&TokenWithSpan], lines: &Lines) -> Vec<NameUse> {
    let mut words = BTreeMap::new();
    for TokenWithSpan { token, span } in tokens {
        if let Token::Word(word) = token {
            let name = if word.quote_style.is_none() { word.value.to_lowercase() } else { word.value.clone() };
            words.entry(name).or_insert(span.start);
        }
    }
    let named = |(name, place)| NameUse { name, of_table: false, position: lines.position(place) };
    words.into_iter().map(named).collect()
}

/// Bounds on what the parser is given.
fn bounded(words: &[&TokenWithSpan]) -> Result<(), Finding> {
    if let Some(over) = words.get(MOST_TOKENS) {
        let message = format!("the statement has more than {MOST_TOKENS} words and symbols");
        return Err(Finding::new(Rule::TooLarge, over.span, message));
    }
    match grammar::nests_trials(words) {
        Some(place) => Err(Finding::new(Rule::TooLarge, place, "parentheses are nested too deep here")),
        None => Ok(()),
    }
}

/// A second look, which does not depend on the parser.
fn harmful_call(tokens: &[&TokenWithSpan], policy: &Policy) -> Result<(), Finding> {
    for pair in tokens.windows(2) {
        let (Token::Word(word), Token::LParen) = (&pair[0].token, &pair[1].token) else { continue };
        let is_allowed = policy
            .allowed_functions
            .iter()
            .any(|allowed| allowed.rsplit('.').next().is_some_and(|name| name.eq_ignore_ascii_case(&word.value)));
        if functions::is_harmful(&word.value, policy.kind) && !is_allowed && !settings::is_lookup(&word.value) {
            let message = format!("the function {} is not allowed", word.value);
            return Err(Finding::new(Rule::Function, pair[0].span, message)
                .hint("it writes, waits, or reaches outside the database"));
        }
    }
    Ok(())
}

/// Whether the text holds the last part of one of these names anywhere.
fn mentions(text: &str, functions: &[String]) -> bool {
    let text = text.to_ascii_lowercase();
    functions.iter().any(|name| text.contains(&name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase()))
}

pub(super) fn tokenize(text: &str, kind: DatabaseKind) -> Result<Vec<TokenWithSpan>, Refusal> {
    Tokenizer::new(dialect(kind), text)
        .tokenize_with_location()
        .map_err(|error| not_understood(error.message, position(text, error.location), kind))
}

/// A text that is one expression.
pub(super) struct Tokens<'a> {
    pub text: &'a str,
    pub kind: DatabaseKind,
}

impl Tokens<'_> {
    /// The one expression that these tokens are; they stand for all of the text.
    pub fn expression(&self, tokens: Vec<TokenWithSpan>) -> Result<Expr, Refusal> {
        let Self { text, kind } = *self;
        let words: Vec<TokenWithSpan> = tokens.iter().filter(|token| is_meaningful(token)).cloned().collect();
        let source = Source { text, kind, words: words.iter().collect() };
        bounded(&source.words).map_err(|finding| source.placed(finding))?;
        let mut parser =
            Parser::new(dialect(kind)).with_recursion_limit(DEEPEST_NESTING).with_tokens_with_locations(tokens);
        let expression = parser.parse_expr().map_err(|error| source.unparsed(&error))?;
        match parser.peek_token() {
            TokenWithSpan { token: Token::EOF, .. } => Ok(expression),
            more => {
                let message = format!("there is more than one expression: {}", more.token);
                Err(not_understood(message, position(text, more.span.start), kind))
            }
        }
    }
}

/// A text with its tokens: what refusals are placed in, and statements parsed from.
struct Source<'a> {
    text: &'a str,
    kind: DatabaseKind,
    /// All tokens but white space and comments.
    words: Vec<&'a TokenWithSpan>,
}

impl Source<'_> {
    fn placed(&self, finding: Finding) -> Refusal {
        finding.in_text(self.text, &self.words)
    }

    /// Where a statement begins after a semicolon.
    fn second(&self) -> Option<Span> {
        let mut rest = self.words.iter();
        rest.find(|token| token.token == Token::SemiColon)?;
        rest.find(|token| token.token != Token::SemiColon).map(|token| token.span)
    }

    fn several(&self, second: Option<Span>) -> Refusal {
        self.placed(Finding::new(Rule::OneStatement, second.unwrap_or(Span::empty()), "only one statement is allowed"))
    }

    /// The one statement that these tokens are; they stand for all of the text.
    fn parse(&self, tokens: Vec<TokenWithSpan>) -> Result<Statement, Refusal> {
        let mut parser =
            Parser::new(dialect(self.kind)).with_recursion_limit(DEEPEST_NESTING).with_tokens_with_locations(tokens);
        let second = self.second();
        let mut statements = match parser.parse_statements() {
            Ok(statements) => statements,
            // Several statements are refused as such, even if the guard cannot read them all.
            Err(_) if second.is_some() => return Err(self.several(second)),
            Err(error) => return Err(self.unparsed(&error)),
        };
        match (statements.pop(), statements.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(not_understood("there is no statement".to_owned(), 1, self.kind)),
            (Some(_), false) => Err(self.several(second)),
        }
    }

    fn unparsed(&self, error: &ParserError) -> Refusal {
        match error {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
                let (message, place) = split_place(message);
                // The parser gives the end of the text no place.
                let end = u32::try_from(self.text.chars().count() + 1).unwrap_or(0);
                let position = place.map_or(0, |place| position(self.text, place));
                not_understood(message.to_owned(), if position == 0 { end } else { position }, self.kind)
            }
            ParserError::RecursionLimitExceeded => {
                let message = format!("the statement is nested more than {DEEPEST_NESTING} levels deep");
                self.placed(Finding::new(Rule::TooLarge, deepest(&self.words), message))
            }
        }
    }
}

/// The parenthesis that is nested deepest.
fn deepest(words: &[&TokenWithSpan]) -> Span {
    let mut depth = 0_usize;
    let mut deepest = (0, Span::empty());
    for TokenWithSpan { token, span } in words {
        match token {
            Token::LParen if depth >= deepest.0 => {
                depth += 1;
                deepest = (depth, *span);
            }
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest.1
}

fn dialect(kind: DatabaseKind) -> &'static dyn Dialect {
    match kind {
        DatabaseKind::Sqlite => &SQLiteDialect {},
        DatabaseKind::Postgresql => &PostgreSqlDialect {},
        DatabaseKind::Mysql => &MySqlDialect {},
    }
}

/// Neither white space nor a comment nor the end.
fn is_meaningful(token: &TokenWithSpan) -> bool {
    !matches!(token.token, Token::Whitespace(_) | Token::EOF)
}

pub(super) fn not_understood(message: String, position: u32, kind: DatabaseKind) -> Refusal {
    Refusal::NotUnderstood(SqlError {
        message,
        position,
        hint: format!("write one {} SELECT statement", kind.label()),
        sqlstate: String::new(),
    })
}

/// Parts the parser's `… at Line: 1, Column: 8`.
fn split_place(message: &str) -> (&str, Option<Location>) {
    let parts = || {
        let (message, place) = message.rsplit_once(" at Line: ")?;
        let (line, column) = place.split_once(", Column: ")?;
        Some((message, Location { line: line.parse().ok()?, column: column.trim().parse().ok()? }))
    };
    parts().map_or((message, None), |(message, place)| (message, Some(place)))
}
