//! Which examples are like a question: their words are compared with values and names masked, offline.
//!
//! Half of the likeness is what is spoken of (stems of words), half the form of the question (pairs of words once names and
//! values are masked). Where two questions differ in values at most, the example's SQL answers the other one with the values
//! exchanged, if each of them can be told in it.

use std::collections::{BTreeSet, HashMap, HashSet};

use rust_stemmers::{Algorithm, Stemmer};

use crate::domain::{ColumnPath, Example, Meaning, Precedent, Schema, ValueIndex};

/// Longest run of words that is looked up as a value.
const MAX_RUN: usize = 6;
/// Examples that are less like a question than this say nothing about it.
const LEAST: f64 = 0.25;
/// What stands for a value.
const MASK: &str = "…";
/// Words without which questions mean the same.
const SMALL: [&str; 26] = [
    "a", "all", "an", "and", "are", "by", "did", "do", "does", "for", "from", "give", "have", "in", "is", "list", "me",
    "of", "on", "our", "please", "show", "the", "to", "was", "were",
];

/// The examples of a connection, ready to be compared.
pub(super) struct Precedents {
    lens: Lens,
    examples: Vec<(Example, Masked)>,
}

impl Precedents {
    pub(super) fn new(examples: Vec<Example>, schema: &Schema, values: &ValueIndex, meaning: &Meaning) -> Self {
        if examples.is_empty() {
            return Self { lens: Lens::default(), examples: Vec::new() };
        }
        let lens = Lens::new(schema, values, meaning);
        let examples = examples.into_iter().map(|example| {
            let masked = lens.mask(&example.question);
            (example, masked)
        });
        Self { examples: examples.collect(), lens }
    }

    /// The most like the question, at most so many, the likest first; of equals the newest.
    pub(super) fn of(&self, question: &str, most: usize) -> Vec<Precedent> {
        if self.examples.is_empty() {
            return Vec::new();
        }
        let asked = self.lens.mask(question);
        let mut ranked: Vec<(f64, usize)> = self
            .examples
            .iter()
            .enumerate()
            .map(|(place, (_, masked))| (masked.likeness(&asked), place))
            .filter(|(likeness, _)| *likeness >= LEAST)
            .collect();
        ranked.sort_by(|left, right| right.0.total_cmp(&left.0).then(right.1.cmp(&left.1)));
        ranked.truncate(most);
        let precedent = |(similarity, place): (f64, usize)| {
            let (example, masked) = &self.examples[place];
            Precedent {
                question: example.question.clone(),
                sql: example.sql.clone(),
                masked_question: masked.text.clone(),
                masked_sql: without_texts(&example.sql),
                similarity,
                adapted_sql: masked.adapted(&asked, &example.sql),
            }
        };
        ranked.into_iter().map(precedent).collect()
    }
}

/// Tells names and values from other words.
#[derive(Default)]
struct Lens {
    /// Values by their folded words.
    values: HashMap<String, Vec<Place>>,
    /// The columns of the values.
    columns: Vec<ColumnPath>,
    /// Stems of the words of names.
    names: HashSet<String>,
    stemmer: Stems,
}

/// Where a value is, by the column's position in the lens, and how it is spelled there.
type Place = (usize, Box<str>);

struct Stems(Stemmer);

impl Default for Stems {
    fn default() -> Self {
        Self(Stemmer::create(Algorithm::English))
    }
}

/// A question as it is compared.
struct Masked {
    /// Its words and the places of values, in order.
    skeleton: Vec<Part>,
    /// Readable, values left out.
    text: String,
    /// Stems of its words that are no values.
    stems: BTreeSet<String>,
    /// Pairs of neighbours once names and values are masked.
    pairs: BTreeSet<(String, String)>,
}

#[derive(Debug, PartialEq)]
enum Part {
    Word(String),
    Value(Told),
}

/// A value of a question.
#[derive(Debug, PartialEq)]
enum Told {
    /// A number, as written.
    Number(String),
    /// A text: what it may be, and where.
    Text { written: String, places: Vec<Place> },
}

impl Lens {
    fn new(schema: &Schema, values: &ValueIndex, meaning: &Meaning) -> Self {
        let mut lens = Self::default();
        let columns = schema.tables.iter().flat_map(|table| table.columns.iter().map(|column| column.name.as_str()));
        let tables = schema.tables.iter().map(|table| table.name.as_str());
        let defined =
            meaning.measures.iter().flat_map(|measure| std::iter::once(&measure.name).chain(&measure.synonyms));
        let said = meaning.synonyms.iter().map(|synonym| &synonym.words).chain(defined).map(String::as_str);
        for name in tables.chain(columns).chain(said) {
            let stems: Vec<String> = words(&apart(name)).iter().map(|word| lens.stem(&word.folded)).collect();
            lens.names.extend(stems);
        }
        for (column, (path, found)) in values.columns().enumerate() {
            lens.columns.push(path.clone());
            for value in &found.distinct {
                lens.put(value, column, value);
            }
        }
        for alias in &meaning.aliases {
            let known = lens.columns.iter().position(|known| *known == alias.column);
            let column = known.unwrap_or(lens.columns.len());
            if known.is_none() {
                lens.columns.push(alias.column.clone());
            }
            lens.put(&alias.alias, column, &alias.value);
        }
        lens
    }

    fn put(&mut self, written: &str, column: usize, value: &str) {
        let run = words(written);
        if (1..=MAX_RUN).contains(&run.len()) && !run.iter().all(|word| word.is_number) {
            let place = (column, value.into());
            let places = self.values.entry(folded(&run)).or_default();
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }

    fn stem(&self, word: &str) -> String {
        self.stemmer.0.stem(word).into_owned()
    }

    fn mask(&self, question: &str) -> Masked {
        let words = words(question);
        let mut skeleton = Vec::new();
        let (mut readable, mut stems, mut form) = (Vec::new(), BTreeSet::new(), Vec::new());
        let mut at = 0;
        while at < words.len() {
            let run = (1..=MAX_RUN.min(words.len() - at)).rev().find_map(|length| {
                let run = &words[at..at + length];
                // A small word alone is itself, whatever the data holds.
                let small = length == 1 && SMALL.contains(&run[0].folded.as_str());
                self.values.get(&folded(run)).filter(|_| !small).map(|places| (length, places))
            });
            let word = &words[at];
            let value = if let Some((length, places)) = run {
                let written = words[at..at + length].iter().map(|word| word.text.as_str()).collect::<Vec<_>>();
                at += length;
                Some(Told::Text { written: written.join(" "), places: places.clone() })
            } else {
                at += 1;
                word.is_number.then(|| Told::Number(word.text.clone())).or_else(|| {
                    let text = || Told::Text { written: word.text.clone(), places: Vec::new() };
                    word.is_quoted.then(text)
                })
            };
            if let Some(value) = value {
                readable.push(MASK.to_owned());
                form.push(MASK.to_owned());
                skeleton.push(Part::Value(value));
                continue;
            }
            let stem = self.stem(&word.folded);
            readable.push(word.text.clone());
            form.push(if self.names.contains(&stem) { "@".to_owned() } else { stem.clone() });
            if !SMALL.contains(&word.folded.as_str()) {
                stems.insert(stem);
            }
            skeleton.push(Part::Word(word.folded.clone()));
        }
        let pairs = form.windows(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        Masked { skeleton, text: readable.join(" "), stems, pairs }
    }
}

impl Masked {
    fn likeness(&self, other: &Self) -> f64 {
        if self.differs_in_values_only(other) {
            return 1.0;
        }
        // No other question is as good as the same one.
        0.99 * f64::midpoint(shared(&self.stems, &other.stems), shared(&self.pairs, &other.pairs))
    }

    fn differs_in_values_only(&self, other: &Self) -> bool {
        self.skeleton.len() == other.skeleton.len()
            && self.skeleton.iter().zip(&other.skeleton).all(|pair| match pair {
                (Part::Word(left), Part::Word(right)) => left == right,
                (Part::Value(Told::Number(_)), Part::Value(Told::Number(_)))
                | (Part::Value(Told::Text { .. }), Part::Value(Told::Text { .. })) => true,
                _ => false,
            })
    }

    /// The example's SQL for a question that differs in values at most; `None` when it cannot be said surely.
    fn adapted(&self, asked: &Self, sql: &str) -> Option<String> {
        if !self.differs_in_values_only(asked) {
            return None;
        }
        let mut exchanged: Vec<(Literal, Literal)> = Vec::new();
        for (here, there) in self.skeleton.iter().zip(&asked.skeleton) {
            let (Part::Value(here), Part::Value(there)) = (here, there) else { continue };
            let exchange = match (here, there) {
                _ if here == there => continue,
                (Told::Number(old), Told::Number(new)) => (Literal::Number(old.clone()), Literal::Number(new.clone())),
                (Told::Text { written: old, places: olds }, Told::Text { written: new, places: news }) => {
                    exchange_of(old, olds, new, news, sql)?
                }
                _ => return None,
            };
            if exchange.0 == exchange.1 {
                continue;
            }
            // One literal of the SQL cannot become two.
            match exchanged.iter().find(|(old, _)| *old == exchange.0) {
                Some((_, new)) if *new == exchange.1 => {}
                Some(_) => return None,
                None => exchanged.push(exchange),
            }
        }
        // What stays the same must not be exchanged along with what differs.
        let kept = self.skeleton.iter().zip(&asked.skeleton).filter(|(here, there)| here == there);
        let touched = kept.into_iter().any(|(part, _)| match part {
            Part::Value(Told::Number(number)) => {
                exchanged.iter().any(|(old, _)| *old == Literal::Number(number.clone()))
            }
            Part::Value(Told::Text { places, .. }) => places
                .iter()
                .any(|(_, value)| exchanged.iter().any(|(old, _)| *old == Literal::Text(value.to_string()))),
            Part::Word(_) => false,
        });
        if touched { None } else { replace(sql, &exchanged) }
    }
}

/// A literal of a statement.
#[derive(Debug, Clone, PartialEq)]
enum Literal {
    Number(String),
    Text(String),
}

/// Which literal of the SQL a text stands for, and what the other text makes of it: a value of the same column.
fn exchange_of(old: &str, olds: &[Place], new: &str, news: &[Place], sql: &str) -> Option<(Literal, Literal)> {
    if olds.is_empty() && news.is_empty() {
        return Some((Literal::Text(old.to_owned()), Literal::Text(new.to_owned())));
    }
    let mut found: Vec<(&str, &str)> = Vec::new();
    for (column, value) in olds.iter().filter(|(_, value)| mentions(sql, value)) {
        let same = news.iter().filter(|(other, _)| other == column).map(|(_, other)| (&**value, &**other));
        found.extend(same);
    }
    found.sort_unstable();
    found.dedup();
    let [(old, new)] = found[..] else { return None };
    Some((Literal::Text(old.to_owned()), Literal::Text(new.to_owned())))
}

fn mentions(sql: &str, value: &str) -> bool {
    pieces(sql).is_some_and(|pieces| pieces.contains(&Sql::Text(value.to_owned())))
}

/// The statement with literals exchanged; `None` when one of them is not there or the statement cannot be read.
fn replace(sql: &str, exchanged: &[(Literal, Literal)]) -> Option<String> {
    if exchanged.is_empty() {
        return Some(sql.to_owned());
    }
    let mut written = String::with_capacity(sql.len());
    let mut used = vec![0; exchanged.len()];
    for piece in pieces(sql)? {
        let literal = match &piece {
            Sql::Text(text) => Some(Literal::Text(text.clone())),
            Sql::Number(number) => Some(Literal::Number(number.clone())),
            Sql::Other(_) => None,
        };
        let place = literal.and_then(|literal| exchanged.iter().position(|(old, _)| *old == literal));
        match place.map(|place| (place, &exchanged[place].1)) {
            Some((place, Literal::Text(new))) => {
                used[place] += 1;
                written += &quoted(new);
            }
            Some((place, Literal::Number(new))) => {
                used[place] += 1;
                written += new;
            }
            None => match piece {
                Sql::Text(text) => written += &quoted(&text),
                Sql::Number(text) | Sql::Other(text) => written += &text,
            },
        }
    }
    // A text that stands twice is the same value both times; a number may be a year here and a limit there, and what is
    // counted back from today does not become a time to come.
    let told = exchanged.iter().zip(used).all(|((old, new), used)| match (old, new) {
        (Literal::Number(old), Literal::Number(new)) => {
            used == 1 && numbers_like(sql, old) == 1 && old.starts_with('-') == new.starts_with('-')
        }
        _ => used > 0,
    });
    told.then_some(written)
}

/// How many numbers of a statement are worth the same, however they are written.
fn numbers_like(sql: &str, number: &str) -> usize {
    let worth = number.parse::<f64>();
    let pieces = pieces(sql).unwrap_or_default();
    pieces.iter().filter(|piece| matches!(piece, Sql::Number(other) if other.parse::<f64>() == worth)).count()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A statement without its texts.
fn without_texts(sql: &str) -> String {
    let Some(pieces) = pieces(sql) else { return "(not shown)".to_owned() };
    let shown = pieces.into_iter().map(|piece| match piece {
        Sql::Text(_) => format!("'{MASK}'"),
        Sql::Number(text) | Sql::Other(text) => text,
    });
    shown.collect()
}

#[derive(Debug, PartialEq)]
enum Sql {
    /// What a quoted text says.
    Text(String),
    /// A number.
    Number(String),
    /// Anything else, as it stands.
    Other(String),
}

/// A statement apart at its texts and numbers. `None` where quotes could mean something else than in every dialect.
fn pieces(sql: &str) -> Option<Vec<Sql>> {
    if ["\\", "--", "/*", "$", "#"].iter().any(|sign| sql.contains(sign)) {
        return None;
    }
    let mut pieces = Vec::new();
    let mut other = String::new();
    let mut rest = sql.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '\'' => {
                let prefixed = other.chars().last().is_some_and(char::is_alphanumeric);
                let mut text = String::new();
                loop {
                    match rest.next()? {
                        '\'' if rest.peek() == Some(&'\'') => text.extend(rest.next()),
                        '\'' => break,
                        letter => text.push(letter),
                    }
                }
                if prefixed {
                    // `E'…'`, `X'…'`: no plain text.
                    return None;
                }
                pieces.push(Sql::Other(std::mem::take(&mut other)));
                pieces.push(Sql::Text(text));
            }
            '"' | '`' => {
                other.push(letter);
                loop {
                    let inside = rest.next()?;
                    other.push(inside);
                    if inside == letter {
                        break;
                    }
                }
            }
            digit if digit.is_ascii_digit() => {
                let of_name = other.chars().last().is_some_and(|before| before.is_alphanumeric() || before == '_');
                let mut number = digit.to_string();
                while let Some(next) = rest.next_if(|next| next.is_ascii_digit() || *next == '.') {
                    number.push(next);
                }
                if of_name {
                    other += &number;
                } else {
                    pieces.push(Sql::Other(std::mem::take(&mut other)));
                    pieces.push(Sql::Number(number));
                }
            }
            letter => other.push(letter),
        }
    }
    pieces.push(Sql::Other(other));
    Some(pieces)
}

/// A word of a question.
struct Word {
    text: String,
    folded: String,
    is_number: bool,
    is_quoted: bool,
}

fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let text = text.trim();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let closing = match first {
            '"' => Some('"'),
            '“' => Some('”'),
            _ => None,
        };
        if let Some(closing) = closing
            && let Some(end) = rest[first.len_utf8()..].find(closing)
        {
            let inside = &rest[first.len_utf8()..first.len_utf8() + end];
            words.push(Word {
                text: inside.to_owned(),
                folded: inside.to_lowercase(),
                is_number: false,
                is_quoted: true,
            });
            rest = &rest[first.len_utf8() + end + closing.len_utf8()..];
            continue;
        }
        // A sign belongs to its number; behind a letter it is a hyphen.
        let within = text[..text.len() - rest.len()].ends_with(char::is_alphanumeric);
        let digits = rest[first.len_utf8()..].starts_with(|next: char| next.is_ascii_digit());
        let signed = matches!(first, '-' | '−') && digits && !within;
        if !first.is_alphanumeric() && !signed {
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let number = signed || first.is_ascii_digit();
        let inside = |at: usize, letter: char| {
            at == 0
                || letter.is_alphanumeric()
                || (number
                    && matches!(letter, '.' | '-')
                    && rest[at + letter.len_utf8()..].starts_with(|next: char| next.is_ascii_digit()))
        };
        let end = rest.char_indices().find(|(at, letter)| !inside(*at, *letter)).map_or(rest.len(), |(at, _)| at);
        let word = &rest[..end];
        let is_number = number && word.chars().all(|letter| !letter.is_alphabetic());
        words.push(Word { text: word.to_owned(), folded: word.to_lowercase(), is_number, is_quoted: false });
        rest = &rest[end..];
    }
    words
}

fn folded(run: &[Word]) -> String {
    run.iter().map(|word| word.folded.as_str()).collect::<Vec<_>>().join(" ")
}

/// `snake_case` and `CamelCase` taken apart.
fn apart(name: &str) -> String {
    let mut apart = String::with_capacity(name.len() + 4);
    let mut lower = false;
    for letter in name.chars() {
        if lower && letter.is_uppercase() {
            apart.push(' ');
        }
        lower = letter.is_lowercase();
        apart.push(letter);
    }
    apart
}

/// Twice what is shared by what there is.
fn shared<T: Ord>(left: &BTreeSet<T>, right: &BTreeSet<T>) -> f64 {
    let all = left.len() + right.len();
    if all == 0 { 0.0 } else { 2.0 * left.intersection(right).count() as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ColumnValues, DatabaseKind, ExampleId, Table, TableKind};

    fn path(table: &str, column: &str) -> ColumnPath {
        ColumnPath { schema: "main".into(), table: table.into(), column: column.into() }
    }

    fn precedents(pairs: &[(&str, &str)]) -> Precedents {
        let column = |name: &str| crate::domain::Column {
            name: name.to_owned(),
            declared_type: "TEXT".to_owned(),
            kind: crate::domain::ColumnType::Text,
            nullable: true,
            default: None,
            comment: None,
            enum_labels: Vec::new(),
            generated: false,
        };
        let table = |name: &str, columns: &[&str]| Table {
            schema: "main".into(),
            name: name.to_owned(),
            kind: TableKind::Table,
            columns: columns.iter().map(|name| column(name)).collect(),
            primary_key: Vec::new(),
            unique_keys: Vec::new(),
            foreign_keys: Vec::new(),
            comment: None,
            row_count: None,
        };
        let schema = Schema {
            dialect: DatabaseKind::Sqlite,
            tables: vec![table("customers", &["name", "country"]), table("orders", &["status"])],
            fingerprint: String::new(),
        };
        let held = |values: &[&str]| ColumnValues {
            distinct: values.iter().map(ToString::to_string).collect(),
            complete: true,
        };
        let values = ValueIndex::new(HashMap::from([
            (path("customers", "country"), held(&["Germany", "France", "United Kingdom", "Côte d'Ivoire"])),
            (path("orders", "status"), held(&["open", "paid"])),
        ]));
        let example = |(question, sql): &(&str, &str)| Example {
            id: ExampleId::generate(),
            question: (*question).to_owned(),
            sql: (*sql).to_owned(),
            workflow: None,
            create_time: jiff::Timestamp::UNIX_EPOCH,
            fingerprint: String::new(),
        };
        Precedents::new(pairs.iter().map(example).collect(), &schema, &values, &Meaning::default())
    }

    fn adapted(example: (&str, &str), question: &str) -> Option<String> {
        precedents(&[example]).of(question, 3).first()?.adapted_sql.clone()
    }

    #[test]
    fn the_likest_come_first() {
        let known = precedents(&[
            ("How many customers are there in Germany?", "SELECT 1"),
            ("What is the average delivery time by month?", "SELECT 2"),
            ("How many orders are open?", "SELECT 3"),
            ("How many customers are in France by city?", "SELECT 4"),
        ]);
        let found = known.of("how many customers are there in the United Kingdom", 3);
        let order: Vec<&str> = found.iter().map(|precedent| precedent.sql.as_str()).collect();
        assert_eq!(order[..2], ["SELECT 1", "SELECT 4"], "{found:?}");
        assert!(!order.contains(&"SELECT 2"), "{found:?}");
        assert_eq!(known.of("What colour is the sky?", 3), []);
        assert_eq!(known.of("How many customers are there in Germany?", 1).len(), 1);
    }

    #[test]
    fn values_are_exchanged_where_the_statement_tells_them() {
        let germany =
            ("How many customers are in Germany?", "SELECT count(*) FROM customers WHERE country = 'Germany'");
        let of = |question| adapted(germany, question);
        assert_eq!(of("how many customers are in Germany").as_deref(), Some(germany.1));
        let france = "SELECT count(*) FROM customers WHERE country = 'France'";
        assert_eq!(of("How many customers are in france?").as_deref(), Some(france));
        let ivory = "SELECT count(*) FROM customers WHERE country = 'Côte d''Ivoire'";
        assert_eq!(of("How many customers are in Côte d'Ivoire?").as_deref(), Some(ivory));
        assert_eq!(of("How many orders are in France?"), None, "another name is another question");
        assert_eq!(of("How many customers are in Atlantis?"), None, "nobody knows it");
        assert_eq!(of("How many customers are open?"), None, "a value of another column");

        let top = ("Top 5 customers in Germany", "SELECT name FROM customers WHERE country = 'Germany' AND t5 LIMIT 5");
        let other = "SELECT name FROM customers WHERE country = 'France' AND t5 LIMIT 10";
        assert_eq!(adapted(top, "Top 10 customers in France").as_deref(), Some(other));
        assert_eq!(adapted(("Top 5 in 5 days", "SELECT 5"), "Top 6 in 5 days"), None, "one 5 stays");
        assert_eq!(adapted(("Orders of 2023", "SELECT '2023-01-01'"), "Orders of 2024"), None, "not told in it");
        assert_eq!(adapted(("Top 5", "SELECT 5 -- 5"), "Top 6"), None);
        let levels = ("Items above 5", "SELECT 1 FROM t WHERE stock > 5");
        assert_eq!(adapted(levels, "Items above 6").as_deref(), Some("SELECT 1 FROM t WHERE stock > 6"));
        assert_eq!(adapted(levels, "Items above -6"), None, "another sign may be another question");
        let below = ("Items above -5", "SELECT 1 FROM t WHERE stock > -5");
        assert_eq!(adapted(below, "Items above 6"), None, "the sign stands apart from the number");
        let twice = ("Top 5", "SELECT 1 FROM t WHERE stock > 5 LIMIT 5");
        assert_eq!(adapted(twice, "Top 6"), None, "which of the two is meant?");
        let shares = ("Baskets of 5 in 5 weeks", "SELECT count(*) / 5.0 FROM t WHERE n >= 5");
        assert_eq!(adapted(shares, "Baskets of 4 in 4 weeks"), None, "half of it would be exchanged");
    }

    #[test]
    fn values_are_left_out_of_what_is_masked() {
        let known = precedents(&[("Customers in Germany since 2020", "SELECT \"name\" FROM c WHERE x = 'Germany'")]);
        let found = known.of("Customers in France since 2020", 1);
        assert_eq!(found[0].masked_question, "Customers in … since …");
        assert_eq!(found[0].masked_sql, "SELECT \"name\" FROM c WHERE x = '…'");
    }
}
