//! Refusals before parsing: what a parser and a database could read differently.

use super::Refusal;
use crate::domain::DatabaseKind;

/// Bytes of a statement.
const MAX_BYTES: usize = 32 << 10;

/// Checks the raw text. It reads quotes and comments as the dialect does, so that text inside literals is only text.
pub(super) fn check(text: &str, dialect: DatabaseKind) -> Result<(), Refusal> {
    if text.len() > MAX_BYTES {
        let message = format!("the statement has {} bytes, more than {MAX_BYTES}", text.len());
        return Err(Refusal::not_understood("size", message).hint("Ask for less in one statement."));
    }
    for (index, character) in (1..).zip(text.chars()) {
        let control = character.is_control() && !matches!(character, '\t' | '\n' | '\r' | '\u{c}');
        if control || character == '\u{feff}' {
            let message = format!("the character U+{:04X} is not allowed in a statement", u32::from(character));
            return Err(Refusal::not_understood("characters", message).at(index));
        }
    }
    Scanner { characters: text.chars().collect(), at: 0, dialect }.scan()
}

struct Scanner {
    characters: Vec<char>,
    at: usize,
    dialect: DatabaseKind,
}

impl Scanner {
    fn scan(&mut self) -> Result<(), Refusal> {
        while let Some(character) = self.peek(0) {
            match character {
                '\'' => self.quoted('\'', self.backslash_escapes()),
                '"' => self.quoted('"', self.dialect == DatabaseKind::Mysql),
                '`' if self.dialect != DatabaseKind::Postgresql => self.quoted('`', false),
                '[' if self.dialect == DatabaseKind::Sqlite => self.quoted(']', false),
                '$' if self.dialect == DatabaseKind::Postgresql => self.dollar_quoted(),
                '-' if self.peek(1) == Some('-') => self.line_comment()?,
                '#' if self.dialect == DatabaseKind::Mysql => self.line_comment()?,
                '/' if self.peek(1) == Some('*') => self.block_comment()?,
                'U' | 'u' if self.unicode_identifier() => {
                    let message = "identifiers with Unicode escapes (U&\"…\") are not allowed";
                    return Err(Refusal::not_allowed("unicode_escape", message).at(self.position()));
                }
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    /// `E'…'` on PostgreSQL, every string on MySQL.
    fn backslash_escapes(&self) -> bool {
        match self.dialect {
            DatabaseKind::Mysql => true,
            DatabaseKind::Sqlite => false,
            DatabaseKind::Postgresql => {
                let before = |back: usize| self.at.checked_sub(back).and_then(|at| self.characters.get(at)).copied();
                matches!(before(1), Some('e' | 'E')) && !before(2).is_some_and(is_word)
            }
        }
    }

    /// Moves behind the closing quote. A doubled quote is one quote inside.
    fn quoted(&mut self, close: char, backslash: bool) {
        self.at += 1;
        while let Some(character) = self.peek(0) {
            if backslash && character == '\\' {
                self.at += 2;
            } else if character == close {
                self.at += 1;
                if self.peek(0) != Some(close) || close == ']' {
                    return;
                }
                self.at += 1;
            } else {
                self.at += 1;
            }
        }
    }

    /// `$tag$ … $tag$`; anything else that starts with a dollar is one character.
    fn dollar_quoted(&mut self) {
        let rest = &self.characters[self.at + 1..];
        let tag = rest.iter().take_while(|character| is_word(**character)).count();
        let inside_name = self.at > 0 && is_word(self.characters[self.at - 1]);
        if inside_name || rest.get(tag) != Some(&'$') || rest.first().is_some_and(char::is_ascii_digit) {
            self.at += 1;
            return;
        }
        let marker: Vec<char> = self.characters[self.at..=self.at + tag + 1].to_vec();
        let body = self.at + marker.len();
        let end = (body..self.characters.len()).find(|at| self.characters[*at..].starts_with(&marker));
        self.at = end.map_or(self.characters.len(), |end| end + marker.len());
    }

    /// PostgreSQL ends a line comment at a carriage return, other readers do not: both at once is refused.
    fn line_comment(&mut self) -> Result<(), Refusal> {
        while let Some(character) = self.peek(0) {
            match character {
                '\n' => return Ok(()),
                '\r' if self.peek(1) != Some('\n') => {
                    let message = "a carriage return inside a line comment is not allowed";
                    return Err(Refusal::not_allowed("comment", message).at(self.position()));
                }
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    /// Only PostgreSQL nests them. MySQL and MariaDB run what stands in `/*! … */` and `/*M! … */`.
    fn block_comment(&mut self) -> Result<(), Refusal> {
        let executable =
            self.peek(2) == Some('!') || (matches!(self.peek(2), Some('M' | 'm')) && self.peek(3) == Some('!'));
        let hint = self.peek(2) == Some('+');
        if self.dialect == DatabaseKind::Mysql && (executable || hint) {
            let message = "executable comments and optimizer hints are not allowed";
            return Err(Refusal::not_allowed("comment", message).at(self.position()));
        }
        self.at += 2;
        let mut depth = 1;
        while depth > 0 && self.peek(0).is_some() {
            match (self.peek(0), self.peek(1)) {
                (Some('*'), Some('/')) => {
                    depth -= 1;
                    self.at += 2;
                }
                (Some('/'), Some('*')) if self.dialect == DatabaseKind::Postgresql => {
                    depth += 1;
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    fn unicode_identifier(&self) -> bool {
        let starts_word = self.at == 0 || !is_word(self.characters[self.at - 1]);
        self.dialect == DatabaseKind::Postgresql
            && starts_word
            && self.peek(1) == Some('&')
            && matches!(self.peek(2), Some('"' | '\''))
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    fn position(&self) -> u32 {
        u32::try_from(self.at + 1).unwrap_or(0)
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
