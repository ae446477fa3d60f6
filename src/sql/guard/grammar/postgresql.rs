//! What the parser does not read of PostgreSQL.

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::super::functions::without_signs;
use super::{Rewriter, before, keyword};

/// Types of PostgreSQL whose literals the parser takes for a column and its alias.
const LITERAL_TYPES: [&str; 24] = [
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "money",
    "name",
    "oid",
    "regclass",
    "regtype",
    "regproc",
    "tsvector",
    "tsquery",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
    "int4multirange",
    "datemultirange",
    "xml",
    "jsonpath",
    "pg_lsn",
    "citext",
];

impl Rewriter<'_> {
    pub(super) fn postgresql(&mut self, at: usize) {
        self.common(at);
        self.recursion_order(at);
        self.xml(at);
        self.arguments(at);
        // a<-b
        if let Some(Token::CustomBinaryOperator(operator)) = self.token(at)
            && let Some(parts) = with_signs(operator)
        {
            self.replace(at, parts);
        }
        // x ISNULL
        let is_postfix = at > 0 && !before(at, |before| self.is_symbol(before, &Token::Period));
        if is_postfix && self.is(at, "ISNULL") && !self.is_symbol(at + 1, &Token::LParen) {
            self.replace(at, vec![keyword(Keyword::IS), keyword(Keyword::NULL)]);
        }
        // (f(x)).*
        if self.is_symbol(at, &Token::RParen)
            && self.is_symbol(at + 1, &Token::Period)
            && self.is_symbol(at + 2, &Token::Mul)
        {
            self.drop([at + 1, at + 2]);
        }
        // inet '10.0.0.1': a name before a literal is its type, unless it is a keyword
        if (self.is_any(at, &LITERAL_TYPES) || (self.is_no_keyword(at) && !self.is_argument_of(at, &["xmlparse"])))
            && matches!(self.token(at + 1), Some(Token::SingleQuotedString(_)))
        {
            self.drop([at]);
        }
        // BETWEEN SYMMETRIC a AND b
        if self.is_any(at, &["SYMMETRIC", "ASYMMETRIC"]) && before(at, |before| self.is(before, "BETWEEN")) {
            self.drop([at]);
        }
        // LIKE ALL (array)
        if self.is_any(at, &["ALL", "SOME"]) && before(at, |before| self.is_any(before, &["LIKE", "ILIKE"])) {
            self.replace(at, vec![keyword(Keyword::ANY)]);
        }
        // GROUP BY DISTINCT …
        if self.reads(at, &["GROUP", "BY", "DISTINCT"]) {
            self.drop([at + 2]);
        }
        // GROUPING SETS (…, ROLLUP (…))
        if self.is_any(at, &["ROLLUP", "CUBE"])
            && self.is_symbol(at + 1, &Token::LParen)
            && self.around[at].is_some_and(|open| open >= 2 && self.reads(open - 2, &["GROUPING", "SETS"]))
        {
            self.drop([at]);
        }
        // JOIN … USING (a, b) AS j
        if self.is(at, "USING")
            && let Some(close) = self.closing.get(at + 1).copied().flatten()
            && (at + 2..close).all(|inner| self.is_name(inner) || self.is_symbol(inner, &Token::Comma))
            && self.is(close + 1, "AS")
            && self.is_name(close + 2)
        {
            self.drop([close + 1, close + 2]);
        }
        // FROM ROWS FROM (f(…), g(…))
        if self.reads(at, &["ROWS", "FROM"])
            && before(at, |before| self.is_any(before, &["FROM", "JOIN"]) || self.is_symbol(before, &Token::Comma))
            && let Some(close) = self.closing.get(at + 2).copied().flatten()
        {
            self.drop([at, at + 1, at + 2, close]);
        }
        // substring(a SIMILAR b ESCAPE c)
        if self.is_any(at, &["SIMILAR", "ESCAPE"])
            && !self.is(at + 1, "TO")
            && self.is_argument_of(at, &["substring"])
            && self.around[at].is_some_and(|open| (open..at).all(|inner| !self.is_any(inner, &["LIKE", "ILIKE", "TO"])))
        {
            self.replace(at, vec![Token::Comma]);
        }
    }

    fn is_no_keyword(&self, at: usize) -> bool {
        matches!(self.token(at), Some(Token::Word(word)) if word.quote_style.is_some() || word.keyword == Keyword::NoKeyword)
    }

    /// `f(a := 1)` is `f(a => 1)`.
    fn arguments(&mut self, at: usize) {
        let begins_argument = at >= 2
            && self.is_name(at - 1)
            && (self.is_symbol(at - 2, &Token::LParen) || self.is_symbol(at - 2, &Token::Comma));
        if begins_argument && self.is_symbol(at, &Token::Assignment) && self.around[at].is_some() {
            self.replace(at, vec![Token::RArrow]);
        }
    }

    /// `SEARCH DEPTH FIRST BY a SET b` and `CYCLE a SET b [TO c DEFAULT d] USING e` after a recursive CTE.
    fn recursion_order(&mut self, at: usize) {
        let follows_query = before(at, |before| self.is_symbol(before, &Token::RParen) || self.is_edited(before));
        if !follows_query {
            return;
        }
        let mut end = if self.is(at, "SEARCH")
            && self.is_any(at + 1, &["DEPTH", "BREADTH"])
            && self.reads(at + 2, &["FIRST", "BY"])
        {
            at + 4
        } else if self.is(at, "CYCLE") {
            at + 1
        } else {
            return;
        };
        while self.is_name(end) && self.is_symbol(end + 1, &Token::Comma) {
            end += 2;
        }
        if !(self.is_name(end) && self.is(end + 1, "SET") && self.is_name(end + 2)) {
            return;
        }
        end += 2;
        if self.is(at, "CYCLE") {
            if self.is(end + 1, "TO")
                && self.is_literal(end + 2)
                && self.is(end + 3, "DEFAULT")
                && self.is_literal(end + 4)
            {
                end += 4;
            }
            if !(self.is(end + 1, "USING") && self.is_name(end + 2)) {
                return;
            }
            end += 2;
        }
        self.drop(at..=end);
    }

    fn is_edited(&self, at: usize) -> bool {
        self.words.get(at).is_some_and(|(index, _)| self.edits.contains_key(index))
    }

    fn is_literal(&self, at: usize) -> bool {
        matches!(self.token(at), Some(Token::SingleQuotedString(_) | Token::Number(..)))
            || self.is_any(at, &["TRUE", "FALSE"])
    }

    /// The keywords inside the XML functions of the standard.
    fn xml(&mut self, at: usize) {
        let is_first = before(at, |before| self.is_symbol(before, &Token::LParen));
        if is_first && self.is(at, "NAME") && self.is_name(at + 1) && self.is_argument_of(at, &["xmlelement", "xmlpi"])
        {
            self.drop([at]);
        }
        if is_first
            && self.is_any(at, &["CONTENT", "DOCUMENT"])
            && !self.is_symbol(at + 1, &Token::Comma)
            && self.is_argument_of(at, &["xmlserialize"])
        {
            self.drop([at]);
        }
        if self.is(at, "AS") && self.is_argument_of(at, &["xmlattributes", "xmlforest"]) {
            self.replace(at, vec![Token::Comma]);
        }
        // xmlserialize(… AS character varying(10))
        if self.is(at, "AS")
            && self.is_argument_of(at, &["xmlserialize"])
            && let Some(close) = self.around[at].and_then(|open| self.closing[open])
            && (at..close).all(|inner| {
                matches!(self.token(inner), Some(Token::Word(_) | Token::Number(..) | Token::LParen | Token::RParen))
            })
        {
            self.drop(at..close);
        }
        if self.is(at, "PASSING") && self.is_argument_of(at, &["xmlexists"]) {
            self.replace(at, vec![Token::Comma]);
            if self.reads(at + 1, &["BY", "REF"]) || self.reads(at + 1, &["BY", "VALUE"]) {
                self.drop([at + 1, at + 2]);
            }
        }
        if self.is(at, "DOCUMENT") && before(at, |before| self.is_any(before, &["IS", "NOT"])) {
            self.replace(at, vec![keyword(Keyword::NULL)]);
        }
    }
}

/// An operator of PostgreSQL and the signs of what follows, which the parser takes for an operator of its own.
fn with_signs(operator: &str) -> Option<Vec<Token>> {
    let own = without_signs(operator);
    let signs = operator.strip_prefix(own).filter(|signs| !signs.is_empty())?;
    let mut tokens = Tokenizer::new(&PostgreSqlDialect {}, own).tokenize().ok()?;
    tokens.extend(signs.chars().map(|sign| if sign == '-' { Token::Minus } else { Token::Plus }));
    Some(tokens)
}
