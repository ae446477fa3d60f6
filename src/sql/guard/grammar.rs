//! Legitimate SQL that the parser does not read, said in words that it does read. Only for checking: what runs is the text.
//!
//! A rule may drop keywords, or replace them and punctuation, where the dialect gives them one meaning. Names, calls, literals
//! and operators stay where they are, so that nothing leaves the tree that the guard would have refused. The few names that are
//! dropped stand where the dialect takes nothing but a new name: an alias, a column of SEARCH or CYCLE.

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
pub(super) fn readable(tokens: Vec<TokenWithSpan>, kind: DatabaseKind) -> Vec<TokenWithSpan> {
    let mut rewriter = Rewriter::new(&tokens);
    for at in 0..rewriter.words.len() {
        match kind {
            DatabaseKind::Postgresql => rewriter.postgresql(at),
            DatabaseKind::Mysql => rewriter.mysql(at),
            DatabaseKind::Sqlite => rewriter.sqlite(at),
        }
    }
    let edits = rewriter.edits;
    if edits.is_empty() {
        return tokens;
    }
    let edited = |(index, token): (usize, TokenWithSpan)| match edits.get(&index) {
        Some(instead) => instead.iter().map(|new| TokenWithSpan::new(new.clone(), token.span)).collect(),
        None => vec![token],
    };
    tokens.into_iter().enumerate().flat_map(edited).collect()
}

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

    fn postgresql(&mut self, at: usize) {
        self.common(at);
        self.recursion_order(at);
        self.xml(at);
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
        // inet '10.0.0.1'
        if self.is_any(at, &LITERAL_TYPES) && matches!(self.token(at + 1), Some(Token::SingleQuotedString(_))) {
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

    fn mysql(&mut self, at: usize) {
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

    fn sqlite(&mut self, at: usize) {
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
        // a << b
        if self.is_symbol(at, &Token::ShiftLeft) || self.is_symbol(at, &Token::ShiftRight) {
            self.replace(at, vec![Token::Plus]);
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

fn before(at: usize, test: impl Fn(usize) -> bool) -> bool {
    at.checked_sub(1).is_some_and(test)
}

fn keyword(keyword: Keyword) -> Token {
    Token::make_keyword(&format!("{keyword:?}"))
}
