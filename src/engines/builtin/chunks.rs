//! From tokens to typed chunks: every word of the question gets its candidates here.

use super::cues::{self, Cue};
use super::dates::{self, Period};
use super::names::{Link, Names, Target};
use super::values::{Found, Values};
use super::words::{Token, TokenKind};
use crate::domain::ColumnType;
use jiff::civil::Date;

/// A span of the question and everything it may mean.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chunk {
    /// As written.
    pub text: String,
    /// The shape it carries.
    pub cue: Option<Cue>,
    /// Tables and columns it may name, best first.
    pub names: Vec<Link>,
    /// Values it may be.
    pub values: Vec<Found>,
    /// The number it spells.
    pub number: Option<(f64, String)>,
    /// The period it names.
    pub period: Option<Period>,
    /// Text in quotes or a word that can only be a text.
    pub literal: bool,
    /// Whether nothing is known of it.
    pub unknown: bool,
    /// Whether it may be left out.
    pub noise: bool,
}

impl Chunk {
    pub(crate) fn is(&self, cue: Cue) -> bool {
        self.cue == Some(cue)
    }

    pub(crate) fn has_column(&self) -> bool {
        self.names.iter().any(|link| matches!(link.target, Target::Column(_)))
    }

    pub(crate) fn has_table(&self) -> bool {
        self.names.iter().any(|link| matches!(link.target, Target::Table(_)))
    }

    /// Whether its best meaning is a table.
    pub(crate) fn table_first(&self) -> bool {
        self.names
            .first()
            .is_some_and(|link| matches!(link.target, Target::Table(_)) || self.table_score() >= link.score)
    }

    pub(crate) fn table_score(&self) -> f64 {
        self.names
            .iter()
            .filter(|link| matches!(link.target, Target::Table(_)))
            .map(|link| link.score)
            .fold(0.0, f64::max)
    }
}

/// Longest phrase that is looked up, in tokens.
const LONGEST_NAME: usize = 6;
const LONGEST_VALUE: usize = 9;

/// Cuts a question into chunks, longest phrases first.
pub(crate) fn chunks(tokens: &[Token], names: &Names, values: &Values, today: Date) -> Vec<Chunk> {
    let tokens = &spell_out(tokens, names)[..];
    let mut result = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let (chunk, length) = chunk(tokens, at, names, values, today);
        result.push(chunk);
        at += length;
    }
    for at in 1..result.len() {
        if groups(&result, at) {
            result[at].cue = Some(Cue::Each);
        }
    }
    result
}

/// Whether a word says which of the things behind it is meant: the "shipping" of "the total shipping cost" is no verb.
fn modifies(tokens: &[Token], at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else { return false };
    let opens = matches!(tokens[before].folded.as_str(), "the" | "a" | "an" | "our")
        || matches!(cues::at(tokens, before), Some((Cue::Aggregate(_) | Cue::Superlative(..), 1)));
    let goes_on = tokens.get(at + 1).is_some_and(|next| {
        next.kind == TokenKind::Word && !cues::is_noise(next) && cues::at(tokens, at + 1).is_none()
    });
    opens && goes_on && tokens[at].folded.ends_with("ing")
}

/// Whether "by" means "of each": in "how many products by category", "the average price by year". Not behind a verb
/// ("written by authors"), before somebody's name, or where the largest are asked for.
fn groups(chunks: &[Chunk], at: usize) -> bool {
    let computes = |chunk: &Chunk| matches!(chunk.cue, Some(Cue::Count | Cue::Aggregate(_)));
    let ranks = |chunk: &Chunk| {
        matches!(chunk.cue, Some(Cue::Superlative(..) | Cue::Top | Cue::Common(_) | Cue::Order | Cue::Direction(_)))
    };
    let by = chunks[at].is(Cue::Of) && chunks[at].text.eq_ignore_ascii_case("by");
    if !by || !chunks[..at].iter().any(computes) || chunks.iter().any(ranks) {
        return false;
    }
    let before = &chunks[at - 1];
    let thing = before.table_first()
        || before.period.is_some()
        || before.number.is_some()
        || !before.values.is_empty()
        || before.text.eq_ignore_ascii_case("there")
        || (before.has_column() && !before.text.to_lowercase().ends_with("ed"));
    let mut behind = chunks[at + 1..].iter().filter(|chunk| !chunk.noise);
    let named = behind.next().is_some_and(|next| {
        let bucket = matches!(next.text.to_lowercase().as_str(), "month" | "year");
        next.values.is_empty() && next.cue.is_none() && (bucket || !next.names.is_empty())
    });
    let ends = match (behind.next(), behind.next()) {
        (None, _) => true,
        (Some(next), after) => {
            next.is(Cue::Stop) || (next.is(Cue::Of) && after.is_some_and(|after| after.period.is_some()))
        }
    };
    thing && named && ends
}

/// "first and last name" becomes "first name and last name", where the schema has both.
fn spell_out(tokens: &[Token], names: &Names) -> Vec<Token> {
    let mut tokens = tokens.to_vec();
    let column = |words: &[&str]| {
        names.links(words).first().is_some_and(|link| link.score >= 0.9 && matches!(link.target, Target::Column(_)))
    };
    let mut at = 0;
    while at + 1 < tokens.len() {
        if tokens[at].folded == "full"
            && tokens[at + 1].lemma == "name"
            && !column(&["full", "name"])
            && column(&["first", "name"])
            && column(&["last", "name"])
        {
            let name = tokens[at + 1].clone();
            let word = |text: &str| Token {
                text: text.to_owned(),
                folded: text.to_owned(),
                lemma: text.to_owned(),
                ..name.clone()
            };
            tokens.splice(at..=at + 1, [word("first"), word("name"), word("and"), word("last"), word("name")]);
        }
        at += 1;
    }
    for at in (0..tokens.len()).rev() {
        let mut next = at + 1;
        while tokens.get(next).is_some_and(|token| matches!(token.folded.as_str(), "and" | "or" | ",")) {
            next += 1;
        }
        let (Some(other), Some(head)) = (tokens.get(next), tokens.get(next + 1)) else { continue };
        let words = [&tokens[at], other, head];
        if next == at + 1 || words.iter().any(|token| token.kind != TokenKind::Word || token.number.is_some()) {
            continue;
        }
        let (first, second, head) = (tokens[at].lemma.clone(), other.lemma.clone(), head.clone());
        if column(&[&first, &head.lemma]) && column(&[&second, &head.lemma]) && !column(&[&first]) {
            tokens.insert(at + 1, head);
        }
    }
    tokens
}

/// "female", "men": words for the codes of a gender column.
fn gender(token: &Token, names: &Names, values: &Values) -> Vec<Found> {
    let codes: &[&str] = match token.lemma.as_str() {
        "female" | "woman" | "girl" => &["F", "f", "Female", "female", "W"],
        "male" | "man" | "boy" => &["M", "m", "Male", "male"],
        _ => return Vec::new(),
    };
    let mut found = Vec::new();
    for table in 0..names.schema().tables.len() {
        for col in names
            .columns(table)
            .filter(|col| names.words(*col).iter().any(|word| matches!(word.as_str(), "sex" | "gender")))
        {
            if let Some(value) = values.samples(col).iter().find(|value| codes.contains(&value.as_str())) {
                found.push(Found { col, value: value.clone(), score: 0.95 });
            }
        }
    }
    found
}

fn chunk(tokens: &[Token], at: usize, names: &Names, values: &Values, today: Date) -> (Chunk, usize) {
    let token = &tokens[at];
    if token.kind == TokenKind::Quoted {
        let found = values.find(&token.text);
        return (Chunk { text: token.text.clone(), values: found, literal: true, ..Chunk::default() }, 1);
    }
    if let [first, or, second, ..] = &tokens[at..]
        && [first, or, second].map(|token| token.folded.as_str()) == ["with", "or", "without"]
    {
        return (Chunk { text: text(tokens, at, 3), unknown: true, ..Chunk::default() }, 3);
    }
    let (links, name_length) = longest_name(tokens, at, names, today);
    let (found, value_length) = longest_value(tokens, at, values, &links, name_length);
    let verb = name_length == 1
        && !token.capital
        && links[0].score < 0.9
        && ["ed", "ing", "en"].iter().any(|ending| token.folded.ends_with(ending));
    let (links, name_length) = if verb { (Vec::new(), 0) } else { (links, name_length) };
    let cue = cues::at(tokens, at);
    let cue_length = cue.map_or(0, |(_, length)| length);
    if let Some((period, length)) = dates::period(&tokens[at..], today)
        && length >= value_length.max(cue_length)
    {
        let number = token.number.filter(|_| length == 1).map(|number| (number, token.text.clone()));
        return (Chunk { text: text(tokens, at, length), period: Some(period), number, ..Chunk::default() }, length);
    }
    if value_length > 0 && value_length >= name_length && value_length >= cue_length {
        let links = if name_length == value_length { links } else { Vec::new() };
        let number = token.number.filter(|_| value_length == 1).map(|number| (number, token.text.clone()));
        return (
            Chunk { text: text(tokens, at, value_length), values: found, names: links, number, ..Chunk::default() },
            value_length,
        );
    }
    if name_length > 0 && (name_length > cue_length || (name_length == cue_length && links[0].score >= 0.5)) {
        let cue = cue.filter(|_| cue_length == name_length).map(|(cue, _)| cue);
        let number = token.number.filter(|_| name_length == 1).map(|number| (number, token.text.clone()));
        return (
            Chunk { text: text(tokens, at, name_length), names: links, cue, number, ..Chunk::default() },
            name_length,
        );
    }
    if let Some((cue, length)) = cue {
        return (Chunk { text: text(tokens, at, length), cue: Some(cue), ..Chunk::default() }, length);
    }
    if let Some(number) = token.number {
        let spelled = if token.kind == TokenKind::Number {
            token.text.trim_end_matches(['k', 'm', 'K', 'M']).to_owned()
        } else {
            format!("{number}")
        };
        let spelled =
            if token.kind == TokenKind::Number && spelled == token.text { spelled } else { format!("{number}") };
        return (Chunk { text: token.text.clone(), number: Some((number, spelled)), ..Chunk::default() }, 1);
    }
    let found = gender(token, names, values);
    if !found.is_empty() {
        return (Chunk { text: token.text.clone(), values: found, ..Chunk::default() }, 1);
    }
    // A verb of the schema's own words ("opened" beside `open_year`) says nothing more than the column does.
    let verb = token.kind == TokenKind::Word
        && !token.capital
        && ["ed", "ing", "en", "es"].iter().any(|ending| token.folded.ends_with(ending))
        && names.knows_stem(&token.folded)
        && !modifies(tokens, at);
    let bucket = matches!(token.lemma.as_str(), "year" | "month");
    let noise = cues::is_noise(token) || token.kind == TokenKind::Mark || verb;
    (Chunk { text: token.text.clone(), noise, unknown: !noise && !bucket, ..Chunk::default() }, 1)
}

fn text(tokens: &[Token], at: usize, length: usize) -> String {
    tokens[at..at + length].iter().map(|token| token.text.as_str()).collect::<Vec<_>>().join(" ")
}

fn longest_name(tokens: &[Token], at: usize, names: &Names, today: Date) -> (Vec<Link>, usize) {
    let small = |token: &Token| {
        matches!(
            token.folded.as_str(),
            "of" | "the" | "a" | "an" | "in" | "for" | "to" | "is" | "on" | "by" | "all" | "and" | "or"
        )
    };
    // "no phone" denies, though identifiers shorten "number" to "no".
    if small(&tokens[at]) || tokens[at].folded == "no" || tokens[at].kind == TokenKind::Mark {
        return (Vec::new(), 0);
    }
    for length in (1..=LONGEST_NAME.min(tokens.len() - at)).rev() {
        let span = &tokens[at..at + length];
        let usable = span.iter().all(|token| matches!(token.kind, TokenKind::Word | TokenKind::Number))
            && !small(&span[length - 1]);
        if !usable || (length == 1 && span[0].number.is_some()) {
            continue;
        }
        let content = span.iter().filter(|token| !small(token)).count();
        let lemmas: Vec<&str> = span.iter().map(|token| token.lemma.as_str()).collect();
        let mut links = names.links(&lemmas);
        if length > 1 {
            // Words joined by "of" or "in" are one name only if the schema says just that.
            let loose = content < length;
            links.retain(|link| link.score >= if loose { 0.93 } else { 0.6 });
        }
        if length > 1 && period_follows(tokens, at + length, today) {
            links.retain(|link| !tells_when(&lemmas, link, names));
        }
        let noise = length == 1 && cues::is_noise(&span[0]);
        links.retain(|link| !noise || link.score >= 0.9);
        if let Some(best) = links.first().map(|link| link.score) {
            links.retain(|link| link.score >= best - 0.45);
            return (links, length);
        }
    }
    (Vec::new(), 0)
}

/// Whether a period stands at a place, with or without a word such as "in" before it.
fn period_follows(tokens: &[Token], at: usize, today: Date) -> bool {
    let skipped = match tokens.get(at).and_then(|_| cues::at(tokens, at)) {
        Some((Cue::Of, length)) => length,
        _ => 0,
    };
    tokens.get(at + skipped..).is_some_and(|rest| dates::period(rest, today).is_some())
}

/// Whether a phrase before a period is a thing and what happened to it ("customers signed up"), rather than what a column is
/// called.
fn tells_when(lemmas: &[&str], link: &Link, names: &Names) -> bool {
    let Target::Column(col) = link.target else { return false };
    let names_thing = |words: &[&str]| {
        names.links(words).iter().any(|link| link.target == Target::Table(col.table) && link.score >= 0.9)
    };
    is_date(names, col)
        && !names.words(col).iter().any(|word| word == lemmas[0])
        && (1..lemmas.len()).any(|length| names_thing(&lemmas[..length]))
}

fn longest_value(
    tokens: &[Token],
    at: usize,
    values: &Values,
    links: &[Link],
    name_length: usize,
) -> (Vec<Found>, usize) {
    for length in (1..=LONGEST_VALUE.min(tokens.len() - at)).rev() {
        let span = &tokens[at..at + length];
        let first = &span[0];
        if matches!(first.kind, TokenKind::Mark | TokenKind::Quoted) || span[length - 1].kind == TokenKind::Mark {
            continue;
        }
        let capital = span.iter().any(|token| token.capital) && (at > 0 || length > 1);
        let number = span.iter().any(|token| token.kind == TokenKind::Number);
        if length == 1 {
            let defined = values.is_defined(&first.text);
            let plain = !capital && !number;
            if !defined && plain && (first.folded.len() < 3 || cues::is_noise(first) || cues::at(tokens, at).is_some())
            {
                continue;
            }
            if first.kind == TokenKind::Number && first.number.is_some() {
                continue;
            }
            if !defined && (plain || at == 0) && links.first().is_some_and(|link| link.score >= 0.6) {
                continue;
            }
            if !defined && capital && cues::at(tokens, at).is_some() && first.text.len() > 2 {
                continue;
            }
        }
        if length > 1 && !capital && name_length >= length {
            continue;
        }
        if length > 1 && cues::is_noise(first) && !first.capital {
            continue;
        }
        let mut found = values.find(&text(tokens, at, length));
        if length == 1 && !capital && !values.is_defined(&first.text) {
            // A plain word is no proper name: "won" is not the family Won.
            found.retain(|found| {
                !found.value.starts_with(char::is_uppercase) || values.count(found.col).is_none_or(|count| count <= 60)
            });
        }
        if !found.is_empty() {
            return (found, length);
        }
    }
    (Vec::new(), 0)
}

/// Whether a column holds points in time, by its type or its name.
pub(crate) fn is_date(names: &Names, col: super::names::Col) -> bool {
    let column = names.column(col);
    column.kind.is_temporal()
        || (matches!(column.kind, ColumnType::Text | ColumnType::Other)
            && names.words(col).iter().any(|word| matches!(word.as_str(), "date" | "day" | "timestamp" | "datetime")))
}
