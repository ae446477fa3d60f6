//! Refuses text that servers and parsers are known to read differently, before anything parses it.

use sqlparser::tokenizer::Location;
use sqlparser::tokenizer::Span;

use super::refusal::{Finding, Refusal, Rule};
use crate::domain::DatabaseKind;

/// Longest statement.
pub(super) const MOST_BYTES: usize = 32 << 10;

/// Checks size and characters, and what is hidden in comments and names.
pub(super) fn check(text: &str, kind: DatabaseKind) -> Result<(), Refusal> {
    if text.len() > MOST_BYTES {
        let message = format!("the statement is {} bytes long, at most {MOST_BYTES} are allowed", text.len());
        return Err(Finding::new(Rule::TooLarge, Span::empty(), message).in_text(""));
    }
    if let Some(at) = text.find(is_forbidden) {
        return Err(hidden(text, at, "the statement holds a control character"));
    }
    Scanner { text, kind, at: 0 }.run().map_err(|(at, message)| hidden(text, at, message))
}

/// NUL, byte order marks and the control characters that are no white space.
fn is_forbidden(character: char) -> bool {
    matches!(character, '\u{feff}' | '\u{7f}')
        || (character < ' ' && !matches!(character, '\t' | '\n' | '\r' | '\u{c}'))
}

fn hidden(text: &str, at: usize, message: &str) -> Refusal {
    // One line as far as counting goes: the character offset is the position.
    let column = text.get(..at).map_or(0, |before| before.chars().count() as u64 + 1);
    let span = Span { start: Location { line: 1, column }, end: Location { line: 1, column } };
    Finding::new(Rule::HiddenText, span, message).in_text("")
}

type Hidden = (usize, &'static str);

/// Walks over literals, quoted names and comments with the dialect's own quoting.
struct Scanner<'a> {
    text: &'a str,
    kind: DatabaseKind,
    at: usize,
}

impl Scanner<'_> {
    fn run(mut self) -> Result<(), Hidden> {
        while let Some(&byte) = self.rest().first() {
            let start = self.at;
            match byte {
                b'\'' => self.quoted(b'\'', self.backslashes_escape()),
                b'"' => {
                    if self.kind == DatabaseKind::Postgresql && self.follows_unicode_mark() {
                        return Err((start, "names in the form U&\"…\" are not allowed"));
                    }
                    self.quoted(b'"', self.kind == DatabaseKind::Mysql);
                }
                b'`' if self.kind != DatabaseKind::Postgresql => self.quoted(b'`', false),
                b'[' if self.kind == DatabaseKind::Sqlite => self.quoted(b']', false),
                b'$' if self.kind == DatabaseKind::Postgresql => self.dollar_quoted(),
                b'-' if self.rest().starts_with(b"--") && self.starts_line_comment() => self.line_comment()?,
                b'#' if self.kind == DatabaseKind::Mysql => self.line_comment()?,
                b'/' if self.rest().starts_with(b"/*") => self.block_comment()?,
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    fn rest(&self) -> &[u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// MySQL strings, and PostgreSQL strings that begin with `E`.
    fn backslashes_escape(&self) -> bool {
        match self.kind {
            DatabaseKind::Mysql => true,
            DatabaseKind::Sqlite => false,
            DatabaseKind::Postgresql => {
                let before = &self.text.as_bytes()[..self.at];
                let is_word =
                    |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii();
                match before {
                    [earlier @ .., b'e' | b'E'] => !earlier.last().is_some_and(is_word),
                    _ => false,
                }
            }
        }
    }

    fn follows_unicode_mark(&self) -> bool {
        let before = &self.text.as_bytes()[..self.at];
        before.ends_with(b"U&") || before.ends_with(b"u&")
    }

    /// Moves behind the closing quote. A doubled quote ends one literal and begins another: the same to this scan.
    fn quoted(&mut self, quote: u8, backslashes: bool) {
        self.at += 1;
        while let Some(&byte) = self.rest().first() {
            self.at += if backslashes && byte == b'\\' { 2.min(self.rest().len()) } else { 1 };
            if byte == quote {
                return;
            }
        }
    }

    /// `$tag$ … $tag$`; a lone `$`, as in `$1`, is passed over.
    fn dollar_quoted(&mut self) {
        let tag_bytes =
            1 + self.rest()[1..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let is_tag = self.rest().get(tag_bytes) == Some(&b'$') && !self.rest()[1].is_ascii_digit();
        if !is_tag {
            self.at += tag_bytes;
            return;
        }
        let tag = &self.text[self.at..=self.at + tag_bytes];
        let body = self.at + tag.len();
        self.at = self.text[body..].find(tag).map_or(self.text.len(), |end| body + end + tag.len());
    }

    /// In MySQL two dashes begin a comment only before white space.
    fn starts_line_comment(&self) -> bool {
        self.kind != DatabaseKind::Mysql || self.rest().get(2).is_none_or(u8::is_ascii_whitespace)
    }

    fn line_comment(&mut self) -> Result<(), Hidden> {
        let length = self.rest().iter().position(|byte| *byte == b'\n').unwrap_or(self.rest().len());
        let comment = &self.rest()[..length];
        let comment = comment.strip_suffix(b"\r").unwrap_or(comment);
        if let Some(offset) = comment.iter().position(|byte| *byte == b'\r') {
            return Err((
                self.at + offset,
                "a carriage return inside a comment is read differently by different servers",
            ));
        }
        self.at += length;
        Ok(())
    }

    fn block_comment(&mut self) -> Result<(), Hidden> {
        let start = self.at;
        if self.kind == DatabaseKind::Mysql {
            if self.rest().starts_with(b"/*!") || self.rest().starts_with(b"/*M!") {
                return Err((start, "executable comments are not allowed"));
            }
            if self.rest().starts_with(b"/*+") {
                return Err((start, "optimizer hints are not allowed"));
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
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_all(kind: DatabaseKind, allowed: &[&str], refused: &[&str]) {
        for text in allowed {
            assert_eq!(check(text, kind), Ok(()), "{text}");
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
