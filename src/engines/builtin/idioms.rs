//! Turns of phrase, said again in words that the grammar reads.
//!
//! Each is everyday English for a plain request, and applies only where the schema has what its plain form speaks of.

use super::chunks::is_date;
use super::cues;
use super::names::{Names, Target};
use super::words::{self, Token, TokenKind};

/// What is said, what it means, and the name that the schema must have for it; empty needs none.
const IDIOMS: &[(&str, &str, &str)] = &[
    ("out of stock", "with stock equal to 0", "stock"),
    ("sold out", "with stock equal to 0", "stock"),
    ("signed up", "with signup", "signup"),
    ("sign up", "with signup", "signup"),
    ("how much money", "total amount", "amount"),
    ("total amount of", "total amount in", "amount"),
    ("amount paid", "amount", "amount"),
    ("amount spent", "amount", "amount"),
    ("what does it cost", "its price", "price"),
    ("what do they cost", "their price", "price"),
    ("how much does it cost", "its price", "price"),
    ("how much do they cost", "their price", "price"),
    ("how much does it weigh", "its weight", "weight"),
    ("how much do they weigh", "their weight", "weight"),
    ("that cost between", "with price between", "price"),
    ("cost between", "with price between", "price"),
    ("that cost more than", "with price more than", "price"),
    ("that cost less than", "with price less than", "price"),
    ("that cost over", "with price more than", "price"),
    ("that cost under", "with price less than", "price"),
    ("lowest and the highest", "minimum and maximum", ""),
    ("lowest and highest", "minimum and maximum", ""),
    ("highest and the lowest", "maximum and minimum", ""),
    ("highest and lowest", "maximum and minimum", ""),
    ("newest first", "ordered by date in descending order", "date"),
    ("latest first", "ordered by date in descending order", "date"),
    ("oldest first", "ordered by date in ascending order", "date"),
    ("do most of our", "have the most", ""),
    ("do most of the", "have the most", ""),
    ("came with", "with", ""),
    ("come with", "with", ""),
    ("units", "quantity", "quantity"),
];

/// What stands before a noun, so that a verb is still to come, or has been.
const DETERMINERS: [&str; 10] = ["the", "a", "an", "his", "her", "their", "its", "our", "my", "your"];

/// "Last month" is a time, also where there is a table of months.
const PERIODS: [&str; 6] = ["day", "week", "month", "quarter", "year", "decade"];

/// The question with its turns of phrase replaced.
pub(crate) fn plain(tokens: &[Token], names: &Names) -> Vec<Token> {
    let turned = last_time(tokens, names);
    let tokens = turned.as_deref().unwrap_or(tokens);
    let mut plain = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if let Some((meant, length)) = deed(tokens, at, names) {
            plain.extend(words::tokens(&meant));
            at += length;
        } else if let Some(meant) = foremost(tokens, at, names) {
            plain.extend(words::tokens(meant));
            at += 1;
        } else if let Some((meant, length)) = longest(&tokens[at..], names) {
            plain.extend(words::tokens(meant));
            at += length;
        } else {
            plain.push(tokens[at].clone());
            at += 1;
        }
    }
    plain
}

/// "When did Ann Lee last order?": when was the latest order of Ann Lee.
fn last_time(tokens: &[Token], names: &Names) -> Option<Vec<Token>> {
    let length = tokens.iter().rposition(|token| token.kind == TokenKind::Word)? + 1;
    let [when, did, subject @ .., rank, deed] = &tokens[..length] else { return None };
    let asks = when.folded == "when" && matches!(did.folded.as_str(), "did" | "do" | "does");
    // "When did Ann pay her last invoice?" is about a payment.
    let closes = subject.last().is_some_and(|last| !DETERMINERS.contains(&last.folded.as_str()));
    let rank = rank_of(rank).filter(|_| asks && closes && is_table(deed, names))?;
    let mut turned = words::tokens(&format!("when was the {rank} {} of", deed.text));
    turned.extend_from_slice(subject);
    turned.extend_from_slice(&tokens[length..]);
    Some(turned)
}

/// "the last order", "the first 10 customers": the rank of a thing, where a column may be called `last_name`.
fn foremost(tokens: &[Token], at: usize, names: &Names) -> Option<&'static str> {
    let rank = rank_of(&tokens[at])?;
    let counted = tokens.get(at + 1).is_some_and(|token| token.kind == TokenKind::Number);
    let place = at + 1 + usize::from(counted);
    let thing = tokens.get(place).filter(|thing| is_table(thing, names) && !PERIODS.contains(&thing.lemma.as_str()))?;
    // "First Class", "courses that last 3 semesters", "last login" where there is such a column, "the last order date".
    let proper = thing.capital || (at > 0 && tokens[at].capital);
    let lasts = at > 0 && matches!(tokens[at - 1].folded.as_str(), "that" | "which" | "who");
    let column = |words: &[&str]| {
        names.links(words).iter().any(|link| matches!(link.target, Target::Column(_)) && link.score >= 0.8)
    };
    let of_column = !counted && column(&[&tokens[at].lemma, &thing.lemma]);
    let goes_on = tokens.get(place + 1).is_some_and(|after| !names.links(&[&after.lemma]).is_empty());
    (!proper && !lasts && !of_column && !goes_on).then_some(rank)
}

fn rank_of(token: &Token) -> Option<&'static str> {
    match token.folded.as_str() {
        "first" | "earliest" if token.kind == TokenKind::Word => Some("earliest"),
        "last" | "latest" if token.kind == TokenKind::Word => Some("latest"),
        _ => None,
    }
}

/// Whether a word is, before anything else, the name of a table.
fn is_table(token: &Token, names: &Names) -> bool {
    let best = names.links(&[&token.lemma]).into_iter().next();
    best.is_some_and(|link| matches!(link.target, Target::Table(_)) && link.score >= 0.8)
}

/// "hired first", "the first to sign up": who did something before all others has the earliest date of it; and
/// "hired in 2003" speaks of that date too.
fn deed(tokens: &[Token], at: usize, names: &Names) -> Option<(String, usize)> {
    let rank = |at: usize| tokens.get(at).and_then(rank_of);
    let is = |at: usize, words: &[&str]| tokens.get(at).is_some_and(|token| words.contains(&token.folded.as_str()));
    let ends = |at: usize| tokens[at.min(tokens.len())..].iter().all(|token| token.kind != TokenKind::Word);
    if is(at, &["the"])
        && let Some(rank) = rank(at + 1)
        && is(at + 2, &["to"])
    {
        let (moment, length) = moment(tokens, at + 3, names)?;
        return ends(at + 3 + length).then(|| (format!("with the {rank} {}", moment.column), 3 + length));
    }
    if !tokens[at].folded.ends_with("ed") {
        return None;
    }
    let done = moment(tokens, at, names);
    let length = done.as_ref().map_or(1, |(_, length)| *length);
    // "Who was hired first": somebody of the table with that date.
    let somebody = is(0, &["who"]) && (1..at).all(|at| is(at, &["is", "was", "were", "has", "been"]));
    match (rank(at + length), done) {
        (Some(rank), Some((moment, _))) if ends(at + length + 1) => {
            let who = if somebody { format!("the {} ", moment.table) } else { String::new() };
            Some((format!("{who}with the {rank} {}", moment.column), length + 1))
        }
        // What was done stays: the date that is found must be of that.
        (Some(rank), None) if ends(at + length + 1) => Some((format!("{} {rank}", tokens[at].text), length + 1)),
        (None, Some((moment, _)))
            if moment.among_others
                && is(at + length, &["in", "after", "before", "since", "between", "during", "on"]) =>
        {
            Some((format!("with {}", moment.column), length))
        }
        _ => None,
    }
}

/// A date column in words, with its table.
struct Moment {
    column: String,
    table: String,
    /// Whether the table has other dates, so that "in 2003" alone could mean them.
    among_others: bool,
}

/// The date column that a verb names, and how many tokens the verb takes: "hired", "signed up".
fn moment(tokens: &[Token], at: usize, names: &Names) -> Option<(Moment, usize)> {
    let verb = tokens.get(at).filter(|token| token.kind == TokenKind::Word && cues::at(tokens, at).is_none())?;
    let column = |word: &str| {
        let links = names.links(&[word]);
        let col = links.iter().find_map(|link| match link.target {
            Target::Column(col) if link.score >= 0.6 && is_date(names, col) => Some(col),
            _ => None,
        })?;
        Some(Moment {
            column: names.words(col).join(" "),
            table: names.table_words(col.table).join(" "),
            among_others: names.columns(col.table).filter(|col| is_date(names, *col)).count() > 1,
        })
    };
    if let Some(particle) = tokens.get(at + 1).filter(|token| matches!(token.folded.as_str(), "up" | "in" | "out")) {
        let stem = verb.folded.strip_suffix("ed").unwrap_or(&verb.folded);
        if let Some(found) = column(&format!("{stem}{}", particle.folded)) {
            return Some((found, 2));
        }
    }
    column(&verb.lemma).map(|found| (found, 1))
}

fn longest(tokens: &[Token], names: &Names) -> Option<(&'static str, usize)> {
    IDIOMS
        .iter()
        .map(|(said, meant, needs)| (said.split(' ').count(), said, meant, needs))
        .filter(|(length, said, _, needs)| *length <= tokens.len() && says(tokens, said) && known(names, needs, said))
        .max_by_key(|(length, ..)| *length)
        .map(|(length, _, meant, _)| (*meant, length))
}

fn says(tokens: &[Token], said: &str) -> bool {
    said.split(' ').zip(tokens).all(|(word, token)| token.folded == word && token.kind != TokenKind::Quoted)
}

/// The plain form has a name in the schema, and a single word is not a name there itself.
fn known(names: &Names, needs: &str, said: &str) -> bool {
    let score = |words: &str| names.links(&words.split(' ').collect::<Vec<_>>()).first().map_or(0.0, |link| link.score);
    (needs.is_empty() || score(needs) > 0.0) && (said.contains(' ') || score(&words::lemma(said)) < 0.8)
}
