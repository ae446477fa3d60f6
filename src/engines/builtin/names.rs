//! The names of a schema as people say them: which words may mean which table or column.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rust_stemmers::{Algorithm, Stemmer};

use super::synonyms;
use super::words::{fold, identifier_words, lemma, tokens};
use crate::domain::knowledge::NamedMeasure;
use crate::domain::{Column, ColumnType, Meaning, Schema, Table};

/// A column by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Col {
    /// Index of the table.
    pub table: usize,
    /// Index of the column in it.
    pub column: usize,
}

/// What a phrase may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A table.
    Table(usize),
    /// A column.
    Column(Col),
}

impl Target {
    pub(crate) fn table(self) -> usize {
        match self {
            Self::Table(table) => table,
            Self::Column(col) => col.table,
        }
    }
}

/// A phrase's target and how well it fits, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Link {
    /// What is named.
    pub target: Target,
    /// How well.
    pub score: f64,
}

/// Index of names, built once per schema.
pub(crate) struct Names {
    schema: Arc<Schema>,
    keys: HashMap<String, BTreeMap<Target, f64>>,
    stems: HashMap<String, BTreeMap<Target, f64>>,
    stemmer: Stemmer,
    table_words: Vec<Vec<String>>,
    column_words: Vec<Vec<Vec<String>>>,
    meaning: Arc<Meaning>,
    /// What people defined: their words mean nothing else.
    defined: HashMap<String, BTreeSet<Target>>,
    /// Columns of each table that the database has. Behind them stand its measures, numbers whose sum is the measure.
    real_columns: Vec<usize>,
    /// Which measure such a column is.
    measures: HashMap<Col, usize>,
}

/// Words that say little about a column when another word is there.
const GENERIC: [&str; 14] = [
    "id",
    "code",
    "number",
    "name",
    "description",
    "detail",
    "date",
    "amount",
    "type",
    "text",
    "value",
    "data",
    "yn",
    "title",
];
/// Words of table names that people leave out.
const TABLE_GENERIC: [&str; 10] =
    ["ref", "reference", "tbl", "data", "list", "record", "detail", "information", "table", "master"];

/// Last words of a column's name that only say what it is measured in.
const UNITS: [&str; 16] =
    ["kg", "g", "gram", "lb", "cm", "mm", "m", "km", "mile", "eur", "usd", "euro", "dollar", "cent", "hour", "percent"];

impl Names {
    /// Indexes every table and column of a schema, and what people call them.
    pub(crate) fn new(schema: &Arc<Schema>, meaning: &Arc<Meaning>) -> Self {
        let real_columns: Vec<usize> = schema.tables.iter().map(|table| table.columns.len()).collect();
        let (schema, measures) = with_measures(schema, meaning);
        let schema = &schema;
        let parts = Parts::of(schema);
        let table_words: Vec<Vec<String>> =
            schema.tables.iter().map(|table| canonical(&table.name, &[], &parts)).collect();
        let mut vocabulary: Vec<String> = table_words.iter().flatten().cloned().collect();
        vocabulary.sort();
        vocabulary.dedup();
        let column_words = schema
            .tables
            .iter()
            .map(|table| table.columns.iter().map(|column| canonical(&column.name, &vocabulary, &parts)).collect())
            .collect();
        let mut names = Self {
            keys: HashMap::new(),
            stems: HashMap::new(),
            stemmer: Stemmer::create(Algorithm::English),
            table_words,
            column_words,
            schema: Arc::clone(schema),
            meaning: Arc::clone(meaning),
            defined: HashMap::new(),
            real_columns,
            measures,
        };
        for (index, table) in schema.tables.iter().enumerate() {
            names.add_table(index, table);
            for column in 0..names.real_columns[index] {
                names.add_column(Col { table: index, column });
            }
        }
        names.define();
        names
    }

    /// Enters what people call tables, columns and measures.
    fn define(&mut self) {
        let meaning = Arc::clone(&self.meaning);
        for synonym in &meaning.synonyms {
            let Some(table) = self.schema.tables.iter().position(|table| synonym.table.is(table)) else { continue };
            let target = match &synonym.column {
                None => Some(Target::Table(table)),
                Some(column) => self.find(table, column).map(Target::Column),
            };
            if let Some(target) = target {
                self.defined.entry(phrase(&synonym.words)).or_default().insert(target);
            }
        }
        for (col, measure) in &self.measures {
            let NamedMeasure { name, synonyms, .. } = &meaning.measures[*measure];
            for words in std::iter::once(name).chain(synonyms) {
                self.defined.entry(phrase(words)).or_default().insert(Target::Column(*col));
            }
        }
    }

    /// What people defined.
    pub(crate) fn meaning(&self) -> &Meaning {
        &self.meaning
    }

    /// Whether it is a measure, and none of the database's own columns.
    pub(crate) fn is_measure(&self, target: Target) -> bool {
        matches!(target, Target::Column(col) if self.measures.contains_key(&col))
    }

    /// The measure that a column stands for, if it is none of the database.
    pub(crate) fn measure(&self, col: Col) -> Option<&NamedMeasure> {
        self.measures.get(&col).map(|measure| &self.meaning.measures[*measure])
    }

    fn add_table(&mut self, index: usize, table: &Table) {
        let words = self.table_words[index].clone();
        let target = Target::Table(index);
        self.add(&words, target, 1.0);
        self.add(&[fold(&table.name).replace('_', "")], target, 0.95);
        let bare: Vec<String> = words.iter().filter(|word| !TABLE_GENERIC.contains(&word.as_str())).cloned().collect();
        if bare.len() < words.len() && !bare.is_empty() {
            self.add(&bare, target, 0.9);
        }
        if let [.., head] = &bare[..]
            && bare.len() > 1
        {
            self.add(std::slice::from_ref(head), target, 0.7);
            if bare.len() > 2 {
                self.add(&bare[bare.len() - 2..], target, 0.75);
            }
            for word in &bare[..bare.len() - 1] {
                self.add(std::slice::from_ref(word), target, 0.5);
            }
        }
        if let Some(comment) = table.comment.as_deref().filter(|comment| comment.len() < 40) {
            self.add(&canonical(comment, &[], &Parts::default()), target, 0.8);
        }
    }

    fn add_column(&mut self, col: Col) {
        let words = self.column_words[col.table][col.column].clone();
        let table_words = self.table_words[col.table].clone();
        let target = Target::Column(col);
        self.add(&words, target, 1.0);
        let name = fold(&self.column(col).name).replace(['_', ' '], "");
        self.add(&[lemma(&name)], target, 0.95);
        let bare: Vec<String> = words.iter().filter(|word| !table_words.contains(word)).cloned().collect();
        if bare.len() < words.len() && !bare.is_empty() {
            self.add(&bare, target, 0.93);
        }
        // "active customers" are customers that are, not something that customers have.
        let flag = self.column(col).kind == ColumnType::Boolean;
        if let [copula, said @ ..] = &words[..]
            && flag
            && ["is", "be", "has", "have"].contains(&copula.as_str())
            && !said.is_empty()
        {
            self.add(said, target, 0.95);
        }
        if bare.len() == words.len() && !flag {
            let mut qualified = table_words.clone();
            qualified.extend(words.iter().cloned());
            self.add(&qualified, target, 1.0);
        }
        let specific: Vec<String> = words.iter().filter(|word| !GENERIC.contains(&word.as_str())).cloned().collect();
        if specific.len() < words.len() && !specific.is_empty() {
            let pointer = words.iter().any(|word| word == "id") && (self.is_reference(col) || self.is_key(col));
            self.add(&specific, target, if pointer { 0.55 } else { 0.72 });
        }
        if let [done @ .., preposition] = &words[..]
            && ["at", "on"].contains(&preposition.as_str())
            && self.column(col).kind.is_temporal()
            && done.len() > 1
        {
            // `signed_up_at` is when somebody signed up.
            self.add(done, target, 0.95);
        }
        if let [measured @ .., unit] = &words[..]
            && UNITS.contains(&unit.as_str())
            && !measured.is_empty()
        {
            self.add(measured, target, 0.95);
        }
        if words.len() > 1 {
            self.add(&words[words.len() - 1..], target, 0.6);
            if words.len() > 2 {
                self.add(&words[words.len() - 2..], target, 0.65);
                self.add(&words[..2], target, 0.62);
            }
            for word in words.iter().filter(|word| !GENERIC.contains(&word.as_str()) && word.len() > 3) {
                self.add(std::slice::from_ref(word), target, 0.5);
            }
        }
        let tail = match words.last().map(String::as_str) {
            Some("phone" | "fax" | "mobile") => Some("number"),
            Some("email") => Some("address"),
            Some(word) if !GENERIC.contains(&word) && self.column(col).kind == ColumnType::Text => Some("name"),
            _ => None,
        };
        if let Some(tail) = tail {
            let mut longer = words.clone();
            longer.push(tail.to_owned());
            self.add(&longer, target, 0.85);
        }
        let named = self.columns(col.table).any(|other| self.words(other).iter().any(|word| word == "name"));
        if !named && words == table_words && matches!(self.column(col).kind, ColumnType::Text | ColumnType::Other) {
            self.add(&["name".to_owned()], target, 0.75);
        }
        if let Some(comment) = self.column(col).comment.clone().filter(|comment| comment.len() < 40) {
            self.add(&canonical(&comment, &[], &Parts::default()), target, 0.8);
        }
    }

    fn add(&mut self, words: &[String], target: Target, score: f64) {
        // A key is named after the table it belongs to, not after those that refer to it.
        let reference = matches!(target, Target::Column(col) if self.is_reference(col) && !self.is_key(col));
        let score = if reference { score * 0.97 } else { score };
        if words.iter().all(|word| word.chars().all(|c| c.is_ascii_digit())) {
            return;
        }
        let put = |map: &mut HashMap<String, BTreeMap<Target, f64>>, key: String, score: f64| {
            let best = map.entry(key).or_default().entry(target).or_insert(0.0);
            *best = best.max(score);
        };
        put(&mut self.keys, bag(words.iter().map(String::as_str)), score);
        let stems: Vec<String> = words.iter().map(|word| self.stemmer.stem(word).into_owned()).collect();
        put(&mut self.stems, bag(stems.iter().map(String::as_str)), score * 0.9);
    }

    /// What the lemmas of a phrase may name, best first.
    pub(crate) fn links(&self, lemmas: &[&str]) -> Vec<Link> {
        if let Some(defined) = self.defined.get(&bag(lemmas.iter().copied())) {
            return defined.iter().map(|target| Link { target: *target, score: 1.0 }).collect();
        }
        let words: Vec<&str> =
            lemmas.iter().flat_map(|word| synonyms::expand(word).unwrap_or(word).split(' ')).collect();
        let mut found: BTreeMap<Target, f64> = BTreeMap::new();
        let mut merge = |map: Option<&BTreeMap<Target, f64>>, factor: f64| {
            for (target, score) in map.into_iter().flatten() {
                let best = found.entry(*target).or_insert(0.0);
                *best = best.max(score * factor);
            }
        };
        merge(self.keys.get(&bag(words.iter().copied())), 1.0);
        merge(self.keys.get(&lemmas.concat()), 0.95);
        let stems: Vec<String> = words.iter().map(|word| self.stemmer.stem(word).into_owned()).collect();
        merge(self.stems.get(&bag(stems.iter().map(String::as_str))), 1.0);
        for (position, word) in words.iter().enumerate() {
            for synonym in synonyms::of(word) {
                let mut varied = words.clone();
                varied[position] = synonym;
                merge(self.keys.get(&bag(varied.iter().copied())), 0.8);
            }
        }
        let mut links: Vec<Link> = found
            .into_iter()
            .filter(|(_, score)| *score >= 0.48)
            .map(|(target, score)| Link { target, score })
            .collect();
        links.sort_by(|a, b| b.score.total_cmp(&a.score));
        links
    }

    /// Whether a word shares its stem with a word of any name.
    pub(crate) fn knows_stem(&self, word: &str) -> bool {
        let stem = self.stemmer.stem(&lemma(word)).into_owned();
        stem.len() > 2
            && self.table_words.iter().chain(self.column_words.iter().flatten()).flatten().any(|known| {
                let known = self.stemmer.stem(known);
                known == stem
                    || (stem.len() > 4 && known.starts_with(&stem))
                    || (known.len() > 4 && stem.starts_with(&*known))
            })
    }

    /// The schema behind the index.
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// A table by position.
    pub(crate) fn table(&self, table: usize) -> &Table {
        &self.schema.tables[table]
    }

    /// A column by position.
    pub(crate) fn column(&self, col: Col) -> &crate::domain::Column {
        &self.schema.tables[col.table].columns[col.column]
    }

    /// Lemmas of a column's name.
    pub(crate) fn words(&self, col: Col) -> &[String] {
        &self.column_words[col.table][col.column]
    }

    /// Lemmas of a table's name.
    pub(crate) fn table_words(&self, table: usize) -> &[String] {
        &self.table_words[table]
    }

    /// Columns of a table.
    pub(crate) fn columns(&self, table: usize) -> impl Iterator<Item = Col> + '_ {
        (0..self.real_columns[table]).map(move |column| Col { table, column })
    }

    /// Position of a column by name.
    pub(crate) fn find(&self, table: usize, name: &str) -> Option<Col> {
        self.columns(table).find(|col| self.column(*col).name.eq_ignore_ascii_case(name))
    }

    /// The columns of the primary key, or the first unique-looking column.
    pub(crate) fn key(&self, table: usize) -> Vec<Col> {
        self.table(table).primary_key.iter().filter_map(|name| self.find(table, name)).collect()
    }

    /// Whether a column is part of its table's primary key.
    pub(crate) fn is_key(&self, col: Col) -> bool {
        self.table(col.table).primary_key.iter().any(|name| name.eq_ignore_ascii_case(&self.column(col).name))
    }

    /// Whether a column refers to another table.
    pub(crate) fn is_reference(&self, col: Col) -> bool {
        let name = &self.column(col).name;
        self.table(col.table)
            .foreign_keys
            .iter()
            .any(|key| key.columns.iter().any(|column| column.eq_ignore_ascii_case(name)))
    }

    /// What to show of an entity that is asked for without attributes: name, title, first and last name, else its key.
    pub(crate) fn label(&self, table: usize) -> Vec<Col> {
        let words = |col: Col| self.words(col);
        let bare = |col: Col| -> Vec<&str> {
            words(col)
                .iter()
                .map(String::as_str)
                .filter(|word| !self.table_words(table).iter().any(|t| t == word))
                .collect()
        };
        let one = |wanted: &[&str]| self.columns(table).find(|col| bare(*col) == wanted);
        if let Some(col) = one(&["name"]).or_else(|| one(&["full", "name"])) {
            return vec![col];
        }
        if let (Some(first), Some(last)) = (one(&["first", "name"]), one(&["last", "name"])) {
            return vec![first, last];
        }
        let textual = |col: &Col| matches!(self.column(*col).kind, ColumnType::Text | ColumnType::Other);
        if let Some(col) = one(&["title"]).or_else(|| {
            self.columns(table)
                .filter(textual)
                .find(|col| words(*col).last().is_some_and(|word| word == "name") && !self.is_reference(*col))
        }) {
            return vec![col];
        }
        if let Some(col) = self.columns(table).filter(textual).find(|col| bare(*col).is_empty()) {
            return vec![col];
        }
        let key = self.key(table);
        if key.is_empty() { self.columns(table).take(1).collect() } else { key }
    }
}

/// The schema with a number behind each table's columns for every measure of it, and which measure each of these is.
fn with_measures(schema: &Arc<Schema>, meaning: &Meaning) -> (Arc<Schema>, HashMap<Col, usize>) {
    let mut measures = HashMap::new();
    if meaning.measures.is_empty() {
        return (Arc::clone(schema), measures);
    }
    let mut with = (**schema).clone();
    for (index, measure) in meaning.measures.iter().enumerate() {
        let Some(table) = with.tables.iter().position(|table| measure.table.is(table)) else { continue };
        let columns = &mut with.tables[table].columns;
        measures.insert(Col { table, column: columns.len() }, index);
        columns.push(Column {
            name: measure.name.clone(),
            declared_type: String::new(),
            kind: ColumnType::Decimal,
            nullable: true,
            default: None,
            comment: None,
            enum_labels: Vec::new(),
            generated: true,
        });
    }
    (Arc::new(with), measures)
}

/// The key of a phrase that people defined.
pub(crate) fn phrase(words: &str) -> String {
    let lemmas: Vec<String> = tokens(words).into_iter().map(|token| token.lemma).collect();
    bag(lemmas.iter().map(String::as_str))
}

/// Words in any order: the key of the index. Small words do not count.
fn bag<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut words: Vec<&str> =
        words.filter(|word| !matches!(*word, "of" | "the" | "a" | "an" | "in" | "for" | "to")).collect();
    words.sort_unstable();
    words.dedup();
    words.join(" ")
}

/// Words that names run together, as `hiredate` and `countryid`: PostgreSQL folds the humps of `HireDate` away.
#[derive(Default)]
struct Parts(HashSet<String>);

impl Parts {
    /// What a run-together word may end with, besides a table's name.
    const LAST: [&str; 25] = [
        "id",
        "name",
        "date",
        "code",
        "type",
        "number",
        "no",
        "title",
        "price",
        "time",
        "year",
        "month",
        "key",
        "status",
        "address",
        "city",
        "state",
        "country",
        "phone",
        "age",
        "amount",
        "count",
        "total",
        "quantity",
        "description",
    ];
    /// What it may start with, besides a table's name.
    const FIRST: [&str; 20] = [
        "first", "last", "full", "middle", "birth", "hire", "start", "end", "order", "invoice", "unit", "total", "due",
        "ship", "zip", "postal", "billing", "shipping", "user", "release",
    ];

    /// The tables' own words, as they are and in the singular.
    fn of(schema: &Schema) -> Self {
        let words = schema.tables.iter().flat_map(|table| identifier_words(&table.name)).filter(|word| word.len() > 2);
        Self(words.flat_map(|word| [lemma(&word), word]).collect())
    }

    /// The word as it is, or its parts.
    fn apart(&self, word: String) -> Vec<String> {
        self.split(&word, true).filter(|parts| parts.len() > 1).unwrap_or_else(|| vec![word])
    }

    /// Known parts that make up the text, the shortest start first.
    fn split(&self, text: &str, whole: bool) -> Option<Vec<String>> {
        let named = |part: &str| self.0.contains(part);
        if !whole && (Self::LAST.contains(&text) || named(text)) {
            return Some(vec![text.to_owned()]);
        }
        let starts = (3..text.len()).filter(|at| text.is_char_boundary(*at)).map(|at| text.split_at(at));
        starts.filter(|(start, _)| Self::FIRST.contains(start) || named(start)).find_map(|(start, rest)| {
            let mut parts = vec![start.to_owned()];
            parts.extend(self.split(rest, false)?);
            Some(parts)
        })
    }
}

/// Lemmas of an identifier with short forms spelled out; `vocabulary` holds words that prefixes may stand for.
fn canonical(name: &str, vocabulary: &[String], parts: &Parts) -> Vec<String> {
    identifier_words(name)
        .into_iter()
        .flat_map(|word| if synonyms::expand(&word).is_some() { vec![word] } else { parts.apart(word) })
        .flat_map(|word| {
            if let Some(long) = synonyms::expand(&word) {
                return long.split(' ').map(str::to_owned).collect::<Vec<_>>();
            }
            let long = vocabulary.iter().find(|known| {
                (3..=5).contains(&word.len()) && known.len() > word.len() + 2 && known.starts_with(&word)
            });
            vec![long.cloned().unwrap_or_else(|| lemma(&word))]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_run_together_are_taken_apart() {
        let parts = Parts(["country", "countries", "pet", "pets", "media"].map(str::to_owned).into());
        for (word, expected) in [
            ("countryid", "country id"),
            ("pettype", "pet type"),
            ("mediatype", "media type"),
            ("hiredate", "hire date"),
            ("billingpostalcode", "billing postal code"),
            ("petition", "petition"),
            ("country", "country"),
            ("name", "name"),
            ("candidate", "candidate"),
        ] {
            assert_eq!(parts.apart(word.to_owned()).join(" "), expected, "{word}");
        }
    }
}
