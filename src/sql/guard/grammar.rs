//! Legitimate SQL that the parser does not read, said in words that it does read. Only for checking: what runs is the text.
//!
//! A rule may drop keywords, or replace them and punctuation, where the dialect gives them one meaning. Names, calls, literals
//! and operators stay where they are, so that nothing leaves the tree that the guard would have refused. The few names that are
//! dropped stand where the dialect takes nothing but a new name: an alias, a column of SEARCH or CYCLE.

mod mysql;
mod postgresql;
mod sqlite;

use std::collections::BTreeMap;

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use crate::domain::DatabaseKind;

/// Most levels of forms that the parser reads by trying one way and then another: each level doubles its work.
const MOST_TRIALS: usize = 4;

/// Where a statement nests too many forms that the parser tries twice.
pub(super) fn nests_trials(tokens: &[&TokenWithSpan]) -> Option<Span> {
    let mut open = Vec::new();
    let mut trials = 0;
    let mut before: Option<&Token> = None;
    for TokenWithSpan { token, span } in tokens.iter().copied() {
        match token {
            Token::LParen | Token::LBrace => {
                let is_position =
                    matches!(before, Some(Token::Word(word)) if word.value.eq_ignore_ascii_case("position"));
                let is_trial = is_position || *token == Token::LBrace;
                trials += usize::from(is_trial);
                open.push(is_trial);
            }
            Token::RParen | Token::RBrace => trials -= usize::from(open.pop().unwrap_or(false)),
            _ => {}
        }
        if trials > MOST_TRIALS {
            return Some(*span);
        }
        before = Some(token);
    }
    None
}

/// The tokens as the parser reads them.
pub(super) fn readable(tokens: &[TokenWithSpan], kind: DatabaseKind) -> Vec<TokenWithSpan> {
    let mut rewriter = Rewriter::new(tokens);
    for at in 0..rewriter.words.len() {
        match kind {
            DatabaseKind::Postgresql => rewriter.postgresql(at),
            DatabaseKind::Mysql => rewriter.mysql(at),
            DatabaseKind::Sqlite => rewriter.sqlite(at),
        }
    }
    let edits = rewriter.edits;
    let mut readable = Vec::with_capacity(tokens.len());
    for (index, token) in tokens.iter().enumerate() {
        match edits.get(&index) {
            Some(instead) => readable.extend(instead.iter().map(|new| TokenWithSpan::new(new.clone(), token.span))),
            None => readable.push(token.clone()),
        }
    }
    readable
}

struct Rewriter<'a> {
    /// Tokens that are neither white space nor comments, and where they are among all.
    words: Vec<(usize, &'a Token)>,
    /// For an opening parenthesis, its closing one, and for every word the parenthesis around it; as indexes of `words`.
    closing: Vec<Option<usize>>,
    around: Vec<Option<usize>>,
    /// What stands instead of a token.
    edits: BTreeMap<usize, Vec<Token>>,
}

impl<'a> Rewriter<'a> {
    fn new(tokens: &'a [TokenWithSpan]) -> Self {
        let words: Vec<(usize, &Token)> = tokens
            .iter()
            .map(|token| &token.token)
            .enumerate()
            .filter(|(_, token)| !matches!(token, Token::Whitespace(_) | Token::EOF))
            .collect();
        let mut closing = vec![None; words.len()];
        let mut around = vec![None; words.len()];
        let mut open = Vec::new();
        for (at, (_, token)) in words.iter().enumerate() {
            if **token == Token::RParen
                && let Some(opening) = open.pop()
            {
                closing[opening] = Some(at);
            }
            around[at] = open.last().copied();
            if **token == Token::LParen {
                open.push(at);
            }
        }
        Self { words, closing, around, edits: BTreeMap::new() }
    }

    fn token(&self, at: usize) -> Option<&'a Token> {
        self.words.get(at).map(|(_, token)| *token)
    }

    fn is_symbol(&self, at: usize, symbol: &Token) -> bool {
        self.token(at) == Some(symbol)
    }

    /// A word that is not quoted.
    fn is(&self, at: usize, expected: &str) -> bool {
        matches!(self.token(at), Some(Token::Word(word))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected))
    }

    fn is_any(&self, at: usize, expected: &[&str]) -> bool {
        expected.iter().any(|expected| self.is(at, expected))
    }

    /// Unquoted words, one after another.
    fn reads(&self, at: usize, expected: &[&str]) -> bool {
        expected.iter().enumerate().all(|(offset, expected)| self.is(at + offset, expected))
    }

    fn is_name(&self, at: usize) -> bool {
        matches!(self.token(at), Some(Token::Word(_)))
    }

    /// Whether the word stands in the parentheses of a call of one of these, at the outermost level.
    fn is_argument_of(&self, at: usize, functions: &[&str]) -> bool {
        self.around[at].is_some_and(|open| before(open, |name| self.is_any(name, functions)))
    }

    fn replace(&mut self, at: usize, by: Vec<Token>) {
        if let Some((index, _)) = self.words.get(at) {
            self.edits.insert(*index, by);
        }
    }

    fn drop(&mut self, range: impl IntoIterator<Item = usize>) {
        for at in range {
            self.replace(at, Vec::new());
        }
    }

    /// Forms that more than one dialect has.
    fn common(&mut self, at: usize) {
        // TABLE t
        if at == 0 && self.is(at, "TABLE") && self.is_name(at + 1) {
            self.replace(at, vec![keyword(Keyword::SELECT), Token::Mul, keyword(Keyword::FROM)]);
        }
        // TRIM(BOTH FROM a)
        if self.is_any(at, &["BOTH", "LEADING", "TRAILING"])
            && self.is(at + 1, "FROM")
            && self.is_argument_of(at, &["trim"])
        {
            self.drop([at, at + 1]);
        }
        // OVER (… EXCLUDE TIES)
        if self.is(at, "EXCLUDE") && before(at, |before| self.is_any(before, &["ROW", "PRECEDING", "FOLLOWING"])) {
            let forms: [&[&str]; 4] = [&["CURRENT", "ROW"], &["GROUP"], &["TIES"], &["NO", "OTHERS"]];
            let form = forms.into_iter().find(|form| self.reads(at + 1, form));
            if let Some(form) = form.filter(|form| self.is_symbol(at + 1 + form.len(), &Token::RParen)) {
                self.drop(at..=at + form.len());
            }
        }
    }
}

fn before(at: usize, test: impl Fn(usize) -> bool) -> bool {
    at.checked_sub(1).is_some_and(test)
}

fn keyword(keyword: Keyword) -> Token {
    Token::make_keyword(&format!("{keyword:?}"))
}
