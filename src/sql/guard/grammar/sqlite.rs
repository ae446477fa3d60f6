//! What the parser does not read of SQLite.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use super::{Rewriter, before, keyword};

impl Rewriter<'_> {
    pub(super) fn sqlite(&mut self, at: usize) {
        self.common(at);
        // x ISNULL
        let is_postfix = at > 0 && !before(at, |before| self.is_symbol(before, &Token::Period));
        if is_postfix && self.is(at, "ISNULL") {
            self.replace(at, vec![keyword(Keyword::IS), keyword(Keyword::NULL)]);
        }
        // a IS b, a IS NOT b: comparisons that know NULL
        if is_postfix && self.is(at, "IS") {
            let negated = self.is(at + 1, "NOT");
            let right = if negated { at + 2 } else { at + 1 };
            if !self.is_any(right, &["NULL", "TRUE", "FALSE", "DISTINCT", "NOT"]) {
                self.replace(at, vec![if negated { Token::Neq } else { Token::Eq }]);
                self.drop(at + 1..right);
            }
        }
        // a NOT GLOB b
        if is_postfix && self.is(at, "NOT") && self.is_any(at + 1, &["GLOB", "MATCH"]) {
            self.drop([at]);
        }
        // FROM t INDEXED BY i, FROM t NOT INDEXED
        if is_postfix && self.reads(at, &["INDEXED", "BY"]) && self.is_name(at + 2) {
            self.drop(at..=at + 2);
        }
        if is_postfix && self.reads(at, &["NOT", "INDEXED"]) {
            self.drop([at, at + 1]);
        }
        // a << b: an operator that SQLite does not have, so that it bounds nothing
        if self.is_symbol(at, &Token::ShiftLeft) || self.is_symbol(at, &Token::ShiftRight) {
            self.replace(at, vec![Token::Caret]);
        }
        // CAST(a AS UNSIGNED BIG INT): a type is any row of words
        if self.is(at, "AS")
            && self.is_argument_of(at, &["cast"])
            && let Some(close) = self.around[at].and_then(|open| self.closing[open])
            && close > at + 2
            && (at + 1..close).all(|inner| self.is_name(inner))
        {
            self.drop(at + 1..close - 1);
        }
        // WITH t AS NOT MATERIALIZED (…)
        if self.is(at, "AS") {
            let materialized = if self.is(at + 1, "NOT") { at + 2 } else { at + 1 };
            if self.is(materialized, "MATERIALIZED") && self.is_symbol(materialized + 1, &Token::LParen) {
                self.drop(at + 1..=materialized);
            }
        }
    }
}
