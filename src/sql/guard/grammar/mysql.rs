//! What the parser does not read of MySQL and MariaDB.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use super::{Rewriter, before, keyword};

impl Rewriter<'_> {
    pub(super) fn mysql(&mut self, at: usize) {
        const COMPOSITE_UNITS: [&str; 11] = [
            "SECOND_MICROSECOND",
            "MINUTE_MICROSECOND",
            "MINUTE_SECOND",
            "HOUR_MICROSECOND",
            "HOUR_SECOND",
            "HOUR_MINUTE",
            "DAY_MICROSECOND",
            "DAY_SECOND",
            "DAY_MINUTE",
            "DAY_HOUR",
            "YEAR_MONTH",
        ];
        self.common(at);
        // a MOD b
        let follows_operand = before(at, |before| match self.token(before) {
            Some(Token::Number(..) | Token::RParen | Token::SingleQuotedString(_)) => true,
            Some(Token::Word(_)) => !self.is_symbol(at + 1, &Token::LParen),
            _ => false,
        });
        if self.is(at, "MOD") && follows_operand {
            self.replace(at, vec![Token::Mod]);
        }
        // a SOUNDS LIKE b
        if self.reads(at, &["SOUNDS", "LIKE"]) && at > 0 && !before(at, |before| self.is_symbol(before, &Token::Period))
        {
            self.drop([at]);
        }
        // !a
        if self.is_symbol(at, &Token::ExclamationMark) {
            self.replace(at, vec![keyword(Keyword::NOT)]);
        }
        // CAST(a AS CHAR CHARACTER SET utf8mb4)
        if self.reads(at, &["CHARACTER", "SET"])
            && self.is_name(at + 2)
            && self.is_argument_of(at, &["cast", "convert"])
        {
            self.drop(at..=at + 2);
        }
        // @@session.time_zone
        if let (Some(Token::Word(scope)), Some(Token::Word(name))) = (self.token(at), self.token(at + 2))
            && ["@@session", "@@global", "@@local"].iter().any(|known| scope.value.eq_ignore_ascii_case(known))
            && self.is_symbol(at + 1, &Token::Period)
            && name.quote_style.is_none()
        {
            self.replace(at, vec![Token::make_word(&format!("{}.{}", scope.value, name.value), None)]);
            self.drop([at + 1, at + 2]);
        }
        // INTERVAL '1:30' HOUR_MINUTE, EXTRACT(YEAR_MONTH FROM d): reserved words, so never names
        if self.is_any(at, &COMPOSITE_UNITS) && !before(at, |before| self.is_symbol(before, &Token::Period)) {
            self.replace(at, vec![keyword(Keyword::DAY)]);
        }
        // INTERVAL(a, b, c) is a function
        if self.is(at, "INTERVAL")
            && let Some(close) = self.closing.get(at + 1).copied().flatten()
            && (at + 2..close).any(|inner| self.around[inner] == Some(at + 1) && self.is_symbol(inner, &Token::Comma))
        {
            self.replace(at, vec![Token::make_word("greatest", None)]);
        }
        // CHAR(65 USING utf8mb4)
        if self.is(at, "USING") && self.is_name(at + 1) && self.is_argument_of(at, &["char"]) {
            self.drop([at, at + 1]);
        }
        // \N
        if self.is_symbol(at, &Token::Backslash)
            && matches!(self.token(at + 1), Some(Token::Word(word)) if word.value == "N")
        {
            self.replace(at, vec![keyword(Keyword::NULL)]);
            self.drop([at + 1]);
        }
        self.mysql_describe(at);
        // FROM (a, b) JOIN …
        if self.is_symbol(at, &Token::Comma)
            && self.around[at].is_some_and(|open| {
                before(open, |before| self.is_any(before, &["FROM", "JOIN"]))
                    && !self.is_any(open + 1, &["SELECT", "WITH", "VALUES"])
            })
        {
            self.replace(at, vec![keyword(Keyword::CROSS), keyword(Keyword::JOIN)]);
        }
    }

    fn mysql_describe(&mut self, at: usize) {
        // EXPLAIN EXTENDED SELECT …
        if at == 1
            && self.is_any(0, &["EXPLAIN", "DESCRIBE", "DESC"])
            && self.is_any(at, &["EXTENDED", "PARTITIONS"])
            && (self.is_any(2, &["SELECT", "WITH"]) || self.is_symbol(2, &Token::LParen))
        {
            self.drop([at]);
        }
        // DESCRIBE t column
        if at > 1
            && self.is_any(0, &["EXPLAIN", "DESCRIBE", "DESC"])
            && (self.words.len() == at + 1 || (self.words.len() == at + 2 && self.is_symbol(at + 1, &Token::SemiColon)))
            && self.is_name(1)
            && (at == 2 || (at == 4 && self.is_symbol(2, &Token::Period) && self.is_name(3)))
            && matches!(self.token(at), Some(Token::Word(_) | Token::SingleQuotedString(_)))
        {
            self.drop([at]);
        }
    }
}
