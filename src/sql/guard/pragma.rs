//! SQLite's PRAGMAs that describe. The parser knows only some of their forms, and the few words are read more safely here.

use sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::refusal::{Finding, Rule};

/// PRAGMAs that only describe, whatever their argument.
const DESCRIBING: [&str; 5] = ["table_info", "table_xinfo", "foreign_key_list", "index_list", "index_info"];

/// Checks `PRAGMA [schema.]name(argument)`; `None` when the statement is something else. White space and comments are
/// already left out of the tokens.
pub(super) fn check(tokens: &[&TokenWithSpan]) -> Option<Result<(), Finding>> {
    let (first, rest) = tokens.split_first()?;
    if !word(&first.token)?.eq_ignore_ascii_case("pragma") {
        return None;
    }
    let rest: Vec<&Token> = rest.iter().map(|token| &token.token).collect();
    let rest = rest.strip_suffix(&[&Token::SemiColon]).unwrap_or(&rest);
    let call = match rest {
        [schema, Token::Period, call @ ..] if word(schema).is_some() => call,
        call => call,
    };
    let described = match call {
        [name, Token::LParen, argument, Token::RParen] => word(name).filter(|_| is_name(argument)),
        _ => None,
    };
    Some(match described.filter(|name| DESCRIBING.iter().any(|known| known.eq_ignore_ascii_case(name))) {
        Some(_) => Ok(()),
        None => Err(refusal(first.span)),
    })
}

fn word(token: &Token) -> Option<&str> {
    match token {
        Token::Word(word) => Some(&word.value),
        _ => None,
    }
}

fn is_name(token: &Token) -> bool {
    matches!(token, Token::Word(_) | Token::SingleQuotedString(_) | Token::DoubleQuotedString(_))
}

fn refusal(place: Span) -> Finding {
    Finding::new(Rule::ReadsOnly, place, "this PRAGMA is not allowed")
        .hint(format!("PRAGMAs that describe a table or an index are allowed: {}", DESCRIBING.join(", ")))
}
