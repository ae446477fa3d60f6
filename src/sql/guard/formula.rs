//! Expressions that people define: one expression, taken apart at its columns. What it may do is checked where it stands in a
//! statement, like any other text.

use std::ops::{ControlFlow, Range};

use sqlparser::ast::{Expr, Function, Ident, ObjectName, Query, Visit, Visitor};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Whitespace};

use super::check::{Tokens, not_understood, tokenize};
use super::refusal::{Refusal, Rule};
use super::workers::on_deep_stack;
use super::{grammar, lexical};
use crate::domain::knowledge::{Formula, Piece};
use crate::domain::{DatabaseKind, SqlError};

/// Aggregates of every dialect and of some.
const AGGREGATES: [&str; 22] = [
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "group_concat",
    "json_agg",
    "max",
    "mean",
    "median",
    "min",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "std",
    "stddev",
    "string_agg",
    "sum",
    "total",
];

/// Reads one expression. Subqueries, windows and comments are refused: it must mean the same wherever it stands, on one line.
pub fn formula(text: &str, kind: DatabaseKind) -> Result<Formula, Refusal> {
    let pieces = lexical::check(text, kind)?;
    let text = text.to_owned();
    on_deep_stack(move || {
        let tokens = tokenize(&text, kind)?;
        pieces.compare(&text, &tokens)?;
        read(&text, &tokens, kind)
    })
    // A bug in the parser: what was not read is refused.
    .unwrap_or_else(|| Err(not_understood("the expression could not be read".to_owned(), 0, kind)))
}

fn read(text: &str, tokens: &[TokenWithSpan], kind: DatabaseKind) -> Result<Formula, Refusal> {
    let commented = |token: &&TokenWithSpan| {
        matches!(token.token, Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)))
    };
    if tokens.iter().any(|token| commented(&token)) {
        return Err(refused("an expression has no comments", "say it in the description"));
    }
    let expression = Tokens { text, kind }.expression(grammar::readable(tokens, kind))?;
    let mut walker = Walker::default();
    if let ControlFlow::Break(message) = expression.visit(&mut walker) {
        return Err(refused(message, "write an expression over the columns of the table"));
    }
    let Walker { columns, aggregates } = walker;
    Ok(Formula { pieces: pieces(text, tokens, &columns), aggregates })
}

fn refused(message: &str, hint: &str) -> Refusal {
    let error = SqlError { message: message.to_owned(), hint: hint.to_owned(), ..SqlError::default() };
    Refusal::NotAllowed(Rule::Construct, error)
}

/// A column where it stands.
struct Mention {
    from: Location,
    to: Location,
    name: String,
    qualifier: Option<String>,
}

#[derive(Default)]
struct Walker {
    columns: Vec<Mention>,
    aggregates: bool,
}

impl Walker {
    fn column(&mut self, names: &[Ident]) {
        let Some((name, qualifiers)) = names.split_last() else { return };
        let span = names.iter().map(|name| name.span).reduce(|all, span| all.union(&span)).unwrap_or(name.span);
        let qualifier = (!qualifiers.is_empty())
            .then(|| qualifiers.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join("."));
        self.columns.push(Mention { from: span.start, to: span.end, name: name.value.clone(), qualifier });
    }
}

impl Visitor for Walker {
    type Break = &'static str;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<&'static str> {
        ControlFlow::Break("an expression has no subquery")
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<&'static str> {
        match expression {
            Expr::Identifier(name) => self.column(std::slice::from_ref(name)),
            Expr::CompoundIdentifier(names) => self.column(names),
            Expr::Function(Function { over: Some(_), .. }) => {
                return ControlFlow::Break("an expression has no window function");
            }
            Expr::Function(Function { name, .. }) => self.aggregates |= is_aggregate(name),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn is_aggregate(name: &ObjectName) -> bool {
    let name = name.0.last().and_then(|part| part.as_ident()).map(|name| name.value.to_ascii_lowercase());
    name.is_some_and(|name| AGGREGATES.contains(&name.as_str()))
}

/// The text on one line, apart at the columns.
fn pieces(text: &str, tokens: &[TokenWithSpan], columns: &[Mention]) -> Vec<Piece> {
    let places = Places::of(text);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut plain = String::new();
    let mut done = 0;
    for TokenWithSpan { token, span } in tokens {
        let Range { start, end } = places.bytes(span.start, span.end);
        if start < done || *token == Token::EOF {
            continue;
        }
        if let Token::Whitespace(_) = token {
            let begun = !plain.is_empty() || !pieces.is_empty();
            if begun && !plain.ends_with(' ') {
                plain.push(' ');
            }
            continue;
        }
        match columns.iter().find(|column| column.from == span.start) {
            Some(column) => {
                let written = places.bytes(column.from, column.to);
                done = written.end;
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                let written = text[written].to_owned();
                let Mention { name, qualifier, .. } = column;
                pieces.push(Piece::Column { name: name.clone(), qualifier: qualifier.clone(), written });
            }
            None => plain.push_str(&text[start..end]),
        }
    }
    let rest = plain.trim_end();
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    pieces
}

/// Where the characters of a text are.
struct Places {
    /// Bytes at which lines begin.
    lines: Vec<usize>,
    /// Bytes at which characters begin, and the end.
    characters: Vec<usize>,
}

impl Places {
    fn of(text: &str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let characters = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        Self { lines, characters }
    }

    fn bytes(&self, from: Location, to: Location) -> Range<usize> {
        let (start, end) = (self.byte(from), self.byte(to));
        start..end.max(start)
    }

    /// Lines and columns are counted from 1; a place outside the text is its end.
    fn byte(&self, place: Location) -> usize {
        let end = self.characters.last().copied().unwrap_or(0);
        let at = |count: u64| usize::try_from(count).ok()?.checked_sub(1);
        let found = || {
            let line = *self.lines.get(at(place.line)?)?;
            let first = self.characters.binary_search(&line).ok()?;
            self.characters.get(first + at(place.column)?).copied()
        };
        found().unwrap_or(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str, kind: DatabaseKind) -> Result<String, String> {
        let column = |name: &str| format!("<{name}>");
        formula(text, kind).map(|formula| formula.with_columns(column)).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn expressions_are_apart_at_their_columns() {
        use DatabaseKind::{Mysql, Postgresql, Sqlite};
        for (text, kind, expected) in [
            ("sum(unit_price * quantity)", Sqlite, "sum(<unit_price> * <quantity>)"),
            ("SUM(\n  o.\"Unit Price\"\t*\n  `quantity` )", Sqlite, "SUM( <Unit Price> * <quantity> )"),
            ("status <> 'can''celled — x'", Postgresql, "<status> <> 'can''celled — x'"),
            ("é = 'ü' AND b", Postgresql, "<é> = 'ü' AND <b>"),
            ("count(*) FILTER (WHERE paid)", Postgresql, "count(*) FILTER (WHERE <paid>)"),
            ("extract(year FROM ordered_at) = 2024", Postgresql, "extract(year FROM <ordered_at>) = 2024"),
            ("CASE WHEN a IS NULL THEN 0 ELSE b END", Mysql, "CASE WHEN <a> IS NULL THEN 0 ELSE <b> END"),
            ("sum(a)::numeric / nullif(count(b), 0)", Postgresql, "sum(<a>)::numeric / nullif(count(<b>), 0)"),
            ("x IN (1, 2) AND y LIKE 'a%'", Sqlite, "<x> IN (1, 2) AND <y> LIKE 'a%'"),
        ] {
            assert_eq!(plain(text, kind).as_deref(), Ok(expected), "{text}");
        }
        assert!(formula("sum(a)", Sqlite).unwrap().aggregates);
        assert!(!formula("coalesce(a, 0)", Sqlite).unwrap().aggregates);
    }

    #[test]
    fn what_is_more_or_less_than_an_expression_is_refused() {
        for text in [
            "",
            "sum(a) FROM t",
            "a; DROP TABLE t",
            "1) OR (1",
            "a -- b",
            "a /* b */",
            "(SELECT 1)",
            "a = (SELECT max(a) FROM t)",
            "EXISTS (SELECT 1)",
            "sum(a) OVER (ORDER BY b)",
            "a, b",
            "a AS b",
            "SELECT a",
            "'open",
            "*",
        ] {
            assert!(plain(text, DatabaseKind::Sqlite).is_err(), "{text}");
        }
    }
}
