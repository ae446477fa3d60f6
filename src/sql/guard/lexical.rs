//! Refuses text that servers and parsers are known to read differently, before anything parses it.
//!
//! Where literals, quoted names and comments begin and end is read twice: here by each server's own rules, and by the
//! parser's tokenizer. Where the two disagree, what is checked might not be what runs, so the text is refused.

use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Whitespace};

use super::functions::{is_postgresql_operator, without_signs};
use super::refusal::{Finding, Refusal, Rule};
use crate::domain::DatabaseKind;

/// Longest statement.
pub(super) const MOST_BYTES: usize = 32 << 10;

/// Checks size and characters, and what is hidden in comments and names.
pub(super) fn check(text: &str, kind: DatabaseKind) -> Result<Pieces, Refusal> {
    let found = if text.len() > MOST_BYTES {
        Err(Hidden {
            rule: Rule::TooLarge,
            at: text.floor_char_boundary(MOST_BYTES),
            message: "the statement is longer than 32 KiB",
            hint: "split it, or ask for less in one statement",
        })
    } else if let Some(at) = text.find(is_forbidden) {
        let message = "the statement holds a control character";
        Err(Hidden::text(at, message, "leave it out; tabs and line ends may stand"))
    } else {
        Scanner { text, kind, at: 0, pieces: Vec::new(), operators: Vec::new() }.run()
    };
    found.map_err(|Hidden { rule, at, message, hint }| {
        broken_at(text.get(..at).map_or(0, |before| before.chars().count()), rule, message, hint)
    })
}

/// NUL, byte order marks and the control characters that are no white space.
fn is_forbidden(character: char) -> bool {
    matches!(character, '\u{feff}' | '\u{7f}')
        || (character < ' ' && !matches!(character, '\t' | '\n' | '\r' | '\u{c}'))
}

/// White space for the parser and part of a name for the servers, or not to be seen at all.
fn is_invisible(character: char) -> bool {
    !character.is_ascii()
        && (character.is_whitespace()
            || character.is_control()
            || matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'))
}

/// The refusal at a character, which is one line as far as counting goes.
fn broken_at(character: usize, rule: Rule, message: &str, hint: &str) -> Refusal {
    let place = Location { line: 1, column: character as u64 + 1 };
    Finding::new(rule, Span { start: place, end: place }, message).hint(hint).in_text("", &[])
}

/// What is wrong, at which byte, and what helps.
struct Hidden {
    rule: Rule,
    at: usize,
    message: &'static str,
    hint: &'static str,
}

impl Hidden {
    fn text(at: usize, message: &'static str, hint: &'static str) -> Self {
        Self { rule: Rule::HiddenText, at, message, hint }
    }

    fn construct(at: usize, message: &'static str, hint: &'static str) -> Self {
        Self { rule: Rule::Construct, at, message, hint }
    }
}

/// What a text consists of by the server's own rules.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pieces {
    /// Where literals, quoted names and comments stand: first character and the one after the last, quotes included.
    quoted: Vec<(usize, usize)>,
    /// PostgreSQL's operators, as its server parts them, and at which character they begin.
    pub operators: Vec<(String, usize)>,
}

impl Pieces {
    /// Refuses a text that the parser's tokenizer parts in another way.
    pub fn compare(&self, text: &str, tokens: &[TokenWithSpan]) -> Result<(), Refusal> {
        let mut lines = vec![0];
        lines.extend(text.chars().enumerate().filter(|(_, character)| *character == '\n').map(|(at, _)| at + 1));
        let offset = |place: Location| {
            let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
            Some(lines.get(line)? + usize::try_from(place.column).ok()?.checked_sub(1)?)
        };
        let mut mine = self.quoted.iter();
        for TokenWithSpan { token, span } in tokens {
            let width = span.end.column.saturating_sub(span.start.column);
            let Some(prefix) = characters_before_quote(token, width) else { continue };
            let theirs = (offset(span.start).map(|start| start + prefix), offset(span.end));
            let expected = mine.next().copied();
            if expected.map(|(start, end)| (Some(start), Some(end))) != Some(theirs) {
                let place = expected.map_or(theirs.0.unwrap_or(0), |(start, _)| start);
                return Err(ambiguous(place));
            }
        }
        mine.next().map_or(Ok(()), |(start, _)| Err(ambiguous(*start)))
    }
}

fn ambiguous(character: usize) -> Refusal {
    let message = "it is unclear where this literal, quoted name or comment begins or ends";
    let hint = "close it, and set it apart from what stands around it";
    broken_at(character, Rule::HiddenText, message, hint)
}

/// How many characters a literal, quoted name or comment has before its quote; `None` for everything else. The width is that
/// of the token in the text.
fn characters_before_quote(token: &Token, width: u64) -> Option<usize> {
    match token {
        // `0x1F` comes as the same token as `x'1F'`.
        Token::HexStringLiteral(digits) if width == digits.len() as u64 + 2 => None,
        Token::Word(word) => word.quote_style.map(|_| 0),
        Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_))
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::DollarQuotedString(_) => Some(0),
        Token::NationalStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::SingleQuotedByteStringLiteral(_) => Some(1),
        Token::UnicodeStringLiteral(_) => Some(2),
        // Literals of other dialects have a quote too, which is then found to be unaccounted for.
        _ => None,
    }
}

/// Walks over a text with the server's own rules for quoting.
struct Scanner<'a> {
    text: &'a str,
    kind: DatabaseKind,
    at: usize,
    /// Bytes of the text.
    pieces: Vec<(usize, usize)>,
    operators: Vec<(String, usize)>,
}

impl Scanner<'_> {
    fn run(mut self) -> Result<Pieces, Hidden> {
        use DatabaseKind::{Mysql, Postgresql, Sqlite};
        let mut word = "";
        while let Some(&byte) = self.rest().first() {
            let start = self.at;
            let before = std::mem::take(&mut word);
            match byte {
                b'\'' => {
                    let escapes = self.kind == Mysql || (self.kind == Postgresql && before.eq_ignore_ascii_case("e"));
                    self.quoted(b'\'', escapes);
                }
                b'"' => self.quoted(b'"', self.kind == Mysql),
                b'`' if self.kind != Postgresql => self.quoted(b'`', false),
                b'[' if self.kind == Sqlite => self.bracketed(),
                b'$' if self.kind == Postgresql => self.dollar_quoted(),
                b'-' if self.rest().starts_with(b"--") && self.starts_line_comment() => self.line_comment()?,
                b'#' if self.kind == Mysql => self.line_comment()?,
                b'/' if self.rest().starts_with(b"/*") => self.block_comment()?,
                b'&' if self.kind == Postgresql && before.eq_ignore_ascii_case("u") => {
                    if self.rest().starts_with(b"&\"") {
                        return Err(Hidden::text(
                            start,
                            "names in the form U&\"…\" are not allowed",
                            "write the name itself in double quotes",
                        ));
                    }
                    self.at += 1;
                }
                b'@' if self.kind == Mysql => {
                    let marks = self.rest().iter().take_while(|byte| **byte == b'@').count();
                    if !self.rest().get(marks).copied().is_some_and(is_word) {
                        return Err(Hidden::construct(
                            start,
                            "variables are not allowed",
                            "write the value or a subquery",
                        ));
                    }
                    self.at += marks;
                }
                _ if is_word(byte) => word = self.word()?,
                _ if self.kind == Postgresql && is_operator(byte) => self.operator()?,
                _ => self.at += 1,
            }
        }
        Ok(self.in_characters())
    }

    fn rest(&self) -> &[u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// A name, keyword or number, to its end: `$` and quotes behind it do not begin anything new.
    fn word(&mut self) -> Result<&'static str, Hidden> {
        let start = self.at;
        let number = self.rest()[0].is_ascii_digit();
        while let Some(&byte) = self.rest().first() {
            // In PostgreSQL a number ends before a dollar sign, which may begin a literal.
            if !(is_word(byte) || (byte == b'$' && !(number && self.kind == DatabaseKind::Postgresql))) {
                break;
            }
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        if let Some((offset, _)) = word.char_indices().find(|(_, character)| is_invisible(*character)) {
            return Err(Hidden::text(
                start + offset,
                "the statement holds a character that cannot be seen",
                "leave it out, or put it into a literal",
            ));
        }
        Ok(match word {
            "e" | "E" => "e",
            "u" | "U" => "u",
            _ => "",
        })
    }

    /// PostgreSQL takes as many operator characters together as it can, and users may define what it does not know.
    fn operator(&mut self) -> Result<(), Hidden> {
        let start = self.at;
        while let Some(&byte) = self.rest().first() {
            let is_comment = self.rest().starts_with(b"--") || self.rest().starts_with(b"/*");
            if !is_operator(byte) || is_comment {
                break;
            }
            self.at += 1;
        }
        let operator = without_signs(&self.text[start..self.at]);
        if is_postgresql_operator(operator) {
            // OPERATOR(pg_catalog.+) can be no other.
            let before = self.text.get(start.saturating_sub("pg_catalog.".len())..start).unwrap_or("");
            if !before.eq_ignore_ascii_case("pg_catalog.") {
                self.operators.push((operator.to_owned(), start));
            }
            return Ok(());
        }
        Err(Hidden::construct(
            start,
            "this operator is not one of PostgreSQL's own",
            "use an operator of PostgreSQL, or put a space between two operators",
        ))
    }

    fn piece(&mut self, start: usize) {
        self.pieces.push((start, self.at));
    }

    /// Moves behind the closing quote; a doubled quote does not close.
    fn quoted(&mut self, quote: u8, backslashes: bool) {
        let start = self.at;
        self.at += 1;
        while let Some(&byte) = self.rest().first() {
            let next = self.rest().get(1).copied();
            if (backslashes && byte == b'\\') || (byte == quote && next == Some(quote)) {
                self.at += 2.min(self.rest().len());
                continue;
            }
            self.at += 1;
            if byte == quote {
                break;
            }
        }
        self.piece(start);
    }

    /// `[…]`, which knows no doubling.
    fn bracketed(&mut self) {
        let start = self.at;
        self.at = self.text[start..].find(']').map_or(self.text.len(), |end| start + end + 1);
        self.piece(start);
    }

    /// `$tag$ … $tag$`; a lone `$`, as in `$1`, is passed over.
    fn dollar_quoted(&mut self) {
        let start = self.at;
        let tag_bytes = 1 + self.rest()[1..].iter().take_while(|byte| is_word(**byte)).count();
        let is_tag = self.rest().get(tag_bytes) == Some(&b'$') && !self.rest()[1].is_ascii_digit();
        if !is_tag {
            self.at += tag_bytes;
            return;
        }
        let tag = &self.text[start..=start + tag_bytes];
        let body = start + tag.len();
        self.at = self.text[body..].find(tag).map_or(self.text.len(), |end| body + end + tag.len());
        self.piece(start);
    }

    /// In MySQL two dashes begin a comment only before white space.
    fn starts_line_comment(&self) -> bool {
        self.kind != DatabaseKind::Mysql || self.rest().get(2).is_none_or(u8::is_ascii_whitespace)
    }

    fn line_comment(&mut self) -> Result<(), Hidden> {
        let start = self.at;
        let line = self.rest().split(|byte| *byte == b'\n').next().unwrap_or_default();
        let comment = line.strip_suffix(b"\r").unwrap_or(line);
        // The end of the line is no part of it; in PostgreSQL a carriage return ends a line too.
        let length = if self.kind == DatabaseKind::Postgresql { comment.len() } else { line.len() };
        if let Some(offset) = comment.iter().position(|byte| *byte == b'\r') {
            return Err(Hidden::text(
                self.at + offset,
                "a carriage return inside a comment is read differently by different servers",
                "end the comment with a line feed",
            ));
        }
        self.at += length;
        self.piece(start);
        Ok(())
    }

    fn block_comment(&mut self) -> Result<(), Hidden> {
        let start = self.at;
        if self.kind == DatabaseKind::Mysql {
            let mark = &self.rest()[2..self.rest().len().min(4)];
            if mark.starts_with(b"!") || mark.eq_ignore_ascii_case(b"m!") {
                return Err(Hidden::text(start, "executable comments are not allowed", "write /* … */ for a comment"));
            }
            if mark.starts_with(b"+") {
                return Err(Hidden::text(start, "optimizer hints are not allowed", "leave the hint out"));
            }
        }
        let mut depth = 0_usize;
        while !self.rest().is_empty() {
            if self.rest().starts_with(b"/*") && (depth == 0 || self.kind == DatabaseKind::Postgresql) {
                depth += 1;
                self.at += 2;
            } else if self.rest().starts_with(b"*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    break;
                }
            } else {
                self.at += 1;
            }
        }
        self.piece(start);
        Ok(())
    }

    /// What was found, counted in characters.
    fn in_characters(self) -> Pieces {
        let counter = || {
            let (mut byte, mut character) = (0, 0);
            move |to: usize| {
                character += self.text[byte..to].chars().count();
                byte = to;
                character
            }
        };
        let (mut count, mut count_operators) = (counter(), counter());
        Pieces {
            quoted: self.pieces.iter().map(|(start, end)| (count(*start), count(*end))).collect(),
            operators: self.operators.iter().map(|(name, at)| (name.clone(), count_operators(*at))).collect(),
        }
    }
}

fn is_operator(byte: u8) -> bool {
    b"+-*/<>=~!@#%^&|`?".contains(&byte)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_all(kind: DatabaseKind, allowed: &[&str], refused: &[&str]) {
        for text in allowed {
            assert!(check(text, kind).is_ok(), "{text}");
        }
        for text in refused {
            assert!(check(text, kind).is_err(), "{text}");
        }
    }

    #[test]
    fn hidden_text_is_refused_outside_literals_only() {
        check_all(
            DatabaseKind::Mysql,
            &[
                "SELECT '/*! x */'",
                "SELECT 'it\\'s /*! x */'",
                "SELECT `/*!`",
                "SELECT 1--1 /*x*/",
                "SELECT \"a\\\"/*!\"",
            ],
            &["SELECT 1 /*! x */", "SELECT /*M! x */ 1", "SELECT /*+ x */ 1", "SELECT '\\\\' /*! ' */"],
        );
        check_all(
            DatabaseKind::Postgresql,
            &[
                "SELECT $a$ U&\"x\" $a$, $1",
                "SELECT /* /* U&\" */ */ 1",
                "SELECT E'\\' U&\"x\"'",
                "SELECT 'a' -- x\r\n",
            ],
            &[
                "SELECT a.U&\"pg\\005fls_dir\"",
                "SELECT 'a\\' , U&\"x\"",
                "SELECT 1 --\r; DROP TABLE t",
                "SELECT $1, u&\"x\"",
            ],
        );
        check_all(DatabaseKind::Sqlite, &["SELECT [a'] FROM t /*! x */"], &["SELECT 'a\0b'", "\u{feff}SELECT 1"]);
    }

    #[test]
    fn the_position_is_a_character() {
        let Err(refusal) = check("é /*! */", DatabaseKind::Mysql) else { panic!("allowed") };
        assert_eq!((refusal.rule(), refusal.error().position), ("hidden_text", 3));
    }
}
