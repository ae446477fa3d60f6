//! Which tables, columns and values of a database a question speaks of: an index that needs neither network nor model.
//!
//! Tables are weighed by BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009)
//! over the words of their names, columns and comments; values of the data that the question names count like words. A
//! table is worth what it says itself and what its neighbours over foreign keys say, so that the tables which join two
//! others are there although no word names them; where keys are not declared, its namespace is its neighbourhood.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use moka::future::Cache;
use rust_stemmers::{Algorithm, Stemmer};

use super::builtin::joins::Joins;
use super::builtin::names::{Col, Names};
use super::builtin::synonyms;
use super::builtin::values::{Found, Values};
use super::builtin::words::{TokenKind, fold, identifier_words, key, lemma, tokens};
use crate::domain::knowledge::Synonym;
use crate::domain::outputs::MatchedValue;
use crate::domain::{ColumnPath, Facts, Meaning, Schema};

/// How much the words of a table's name, of its columns' names and of comments weigh.
const TABLE_WORD: f64 = 3.0;
const COLUMN_WORD: f64 = 1.0;
const COMMENT_WORD: f64 = 0.5;
/// BM25: how soon repetition stops counting, and how much long tables are held back.
const SATURATION: f64 = 1.2;
const LENGTH_NORM: f64 = 0.4;
/// How much a synonym counts, a word that is part of another one, and a column that an adjective asks for.
const SYNONYM: f64 = 0.7;
const PART: f64 = 0.5;
const ADJECTIVE: f64 = 0.6;
/// Of what a neighbour says, so much is left a foreign key further.
const DECAY: f64 = 0.8;
/// Foreign keys followed from a table.
const REACH: usize = 2;
/// Of what a table says, so much is left for those in the same namespace: less than two foreign keys further. With more
/// tables in it than so many, a namespace says less of each.
const NAMESPACE: f64 = 0.5;
const SMALL_NAMESPACE: f64 = 16.0;
/// How much the neighbourhood counts beside the table itself.
const NEIGHBOURHOOD: f64 = 1.0;
/// How much a value of the data counts that the question names, and one that it nearly names.
const VALUE: f64 = 1.2;
/// Longest run of words that is looked up as a value.
const MOST_WORDS: usize = 6;
/// Longest run of words that is looked up as a misspelt value.
const MOST_MISSPELT: usize = 3;
/// Values told of one question.
const MOST_VALUES: usize = 12;

/// The index of one database. Built once per schema and sample of its values, then only read.
pub struct SchemaIndex {
    names: Names,
    values: Values,
    stemmer: Stemmer,
    /// Stem → tables and how much it weighs there.
    tables: HashMap<String, BTreeMap<usize, f64>>,
    /// Stem → columns whose names or comments hold it.
    columns: HashMap<String, Vec<Col>>,
    /// What a table's weights are divided by, for its length.
    norms: Vec<f64>,
    /// Tables within reach, and what is left there of what they say; the table itself with 1.
    around: Vec<Vec<(usize, f64)>>,
    namespaces: Namespaces,
}

/// What a question speaks of.
pub struct Relevance {
    /// All tables by position in the schema, the most relevant first.
    pub tables: Vec<usize>,
    /// Values that the question names, longest runs of words first.
    pub values: Vec<Spoken>,
    columns: HashMap<(usize, usize), f64>,
}

/// Words of a question that are a value in the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Spoken {
    /// As the question spells it.
    pub words: String,
    /// Where it is.
    pub column: ColumnPath,
    /// As the data spells it.
    pub value: String,
    /// 1 for the same spelling, less for other cases, plurals and misspellings.
    pub score: f64,
}

impl Relevance {
    /// How much the question speaks of a column, 0 for not at all.
    #[must_use]
    pub fn of_column(&self, table: usize, column: usize) -> f64 {
        self.columns.get(&(table, column)).copied().unwrap_or_default()
    }
}

/// The definitions with measures as words for their tables: here a measure is no column.
fn words_of_tables(meaning: &Meaning) -> Meaning {
    let mut words = meaning.clone();
    for measure in std::mem::take(&mut words.measures) {
        let names = std::iter::once(measure.name).chain(measure.synonyms);
        let table = measure.table;
        words.synonyms.extend(names.map(|words| Synonym { words, table: table.clone(), column: None }));
    }
    words
}

impl SchemaIndex {
    /// Indexes names, comments, keys and values, and what people call them.
    #[must_use]
    pub fn new(facts: &Facts) -> Self {
        let meaning = Arc::new(words_of_tables(&facts.meaning));
        let names = Names::new(&facts.schema, &meaning);
        let values = Values::new(&names, &facts.values, &meaning);
        let around = around(&Joins::new(&names), facts.schema.tables.len());
        let namespaces = Namespaces::new(&facts.schema);
        let mut index = Self {
            names,
            values,
            around,
            namespaces,
            stemmer: Stemmer::create(Algorithm::English),
            tables: HashMap::new(),
            columns: HashMap::new(),
            norms: Vec::new(),
        };
        let prefixes = prefixes(&index.names, facts.schema.tables.len());
        let lengths: Vec<f64> = (0..facts.schema.tables.len()).map(|table| index.add(table, &prefixes)).collect();
        let mean = lengths.iter().sum::<f64>() / lengths.len().max(1) as f64;
        index.norms =
            lengths.iter().map(|length| 1.0 - LENGTH_NORM + LENGTH_NORM * length / mean.max(f64::EPSILON)).collect();
        index
    }

    /// Notes the words of a table; how much they weigh together.
    fn add(&mut self, table: usize, prefixes: &HashMap<String, String>) -> f64 {
        let mut weights: Vec<(String, f64)> = Vec::new();
        let described = self.names.table(table);
        let prefix = prefixes.get(&described.schema).map(String::as_str).filter(|prefix| !prefix.is_empty());
        let bare = prefix.and_then(|prefix| fold(&described.name).strip_prefix(prefix).map(identifier_words));
        weights.extend(bare.into_iter().flatten().map(|word| (self.stem(&lemma(&word)), TABLE_WORD)));
        weights.extend(self.names.table_words(table).iter().map(|word| (self.stem(word), TABLE_WORD)));
        weights.extend(self.comment(described.comment.as_deref()).map(|stem| (stem, COMMENT_WORD)));
        let mut of_columns: Vec<(String, Col)> = Vec::new();
        for col in self.names.columns(table) {
            let own: HashSet<String> = self.names.words(col).iter().map(|word| self.stem(word)).collect();
            let said: HashSet<String> = self.comment(self.names.column(col).comment.as_deref()).collect();
            weights.extend(own.iter().map(|stem| (stem.clone(), COLUMN_WORD)));
            weights.extend(said.difference(&own).map(|stem| (stem.clone(), COMMENT_WORD)));
            of_columns.extend(own.union(&said).map(|stem| (stem.clone(), col)));
        }
        for (stem, col) in of_columns {
            self.columns.entry(stem).or_default().push(col);
        }
        let length = weights.iter().map(|(_, weight)| weight).sum();
        for (stem, weight) in weights {
            *self.tables.entry(stem).or_default().entry(table).or_default() += weight;
        }
        length
    }

    fn stem(&self, word: &str) -> String {
        self.stemmer.stem(word).into_owned()
    }

    fn comment<'a>(&'a self, comment: Option<&str>) -> impl Iterator<Item = String> + use<'a> {
        let words = identifier_words(comment.unwrap_or_default());
        words.into_iter().filter(|word| !is_small(word)).map(|word| self.stem(&lemma(&word)))
    }

    /// Weighs everything against a question, or whatever else is known of its words.
    #[must_use]
    pub fn relevance(&self, question: &str) -> Relevance {
        let spoken = self.spoken(question);
        let mut columns: HashMap<(usize, usize), f64> = HashMap::new();
        // What each word of the question, and each value in it, says of the tables.
        let mut said: Vec<BTreeMap<usize, f64>> = Vec::new();
        for variants in self.variants(question) {
            let mut of_tables: BTreeMap<usize, f64> = BTreeMap::new();
            let mut of_columns: BTreeMap<Col, f64> = BTreeMap::new();
            for (stem, weight) in variants {
                let Some(holders) = self.tables.get(&stem) else { continue };
                let rarity = self.rarity(holders.len()) * weight;
                for (&table, &count) in holders {
                    let share = count * (SATURATION + 1.0) / (count + SATURATION * self.norms[table]);
                    keep_best(&mut of_tables, table, rarity * share);
                }
                for &col in self.columns.get(&stem).into_iter().flatten() {
                    keep_best(&mut of_columns, col, rarity);
                }
            }
            for (col, score) in of_columns {
                *columns.entry((col.table, col.column)).or_default() += score;
            }
            said.push(of_tables);
        }
        for (_, found) in &spoken {
            let mut of_tables: BTreeMap<usize, f64> = BTreeMap::new();
            let rarity = self.rarity(found.len()) * VALUE;
            for (col, value) in found {
                let score = rarity * value.score;
                keep_best(&mut of_tables, col.table, score);
                *columns.entry((col.table, col.column)).or_default() += score;
            }
            said.push(of_tables);
        }
        let values = spoken.into_iter().flat_map(|(_, found)| found.into_iter().map(|(_, value)| value));
        Relevance { tables: self.ranked(&said), values: values.take(MOST_VALUES).collect(), columns }
    }

    /// All tables, by what they, their neighbours and, less, their namespaces explain of what was said.
    fn ranked(&self, said: &[BTreeMap<usize, f64>]) -> Vec<usize> {
        let of_namespaces: Vec<Vec<f64>> = said.iter().map(|words| self.namespaces.best(words)).collect();
        let worth = |table: usize| -> f64 {
            let of = |words: &BTreeMap<usize, f64>, table: usize| words.get(&table).copied().unwrap_or_default();
            let explained = said.iter().zip(&of_namespaces).map(|(words, namespaces)| {
                let around = self.around[table].iter().map(|&(other, left)| left * of(words, other));
                let nearby = around.fold(namespaces[self.namespaces.of[table]], f64::max);
                of(words, table) + NEIGHBOURHOOD * nearby
            });
            explained.sum()
        };
        let mut ranked: Vec<(usize, f64)> = (0..self.around.len()).map(|table| (table, worth(table))).collect();
        ranked.sort_by(|one, other| other.1.total_cmp(&one.1));
        ranked.into_iter().map(|(table, _)| table).collect()
    }

    /// Inverse frequency of what is found in so many places (BM25's, never negative).
    fn rarity(&self, places: usize) -> f64 {
        let (all, places) = (self.around.len() as f64, places as f64);
        (1.0 + (all - places + 0.5).max(0.5) / (places + 0.5)).ln()
    }

    /// The words of a question that say something, each with the stems that it may stand for and how much they count.
    fn variants(&self, question: &str) -> Vec<Vec<(String, f64)>> {
        let mut seen = HashSet::new();
        let mut variants = Vec::new();
        for token in tokens(question).iter().flat_map(|token| identifier_words(&token.text)) {
            let word = lemma(&token);
            if is_small(&token) || is_small(&word) || word.chars().all(char::is_numeric) || !seen.insert(word.clone()) {
                continue;
            }
            let mut own = vec![(self.stem(&word), 1.0)];
            let long = synonyms::expand(&word).into_iter().flat_map(|long| long.split(' '));
            own.extend(long.map(|long| (self.stem(long), 1.0)));
            own.extend(synonyms::of(&word).into_iter().map(|other| (self.stem(other), SYNONYM)));
            own.extend(asked_by(&word).map(|hint| (self.stem(hint), ADJECTIVE)));
            own.extend(self.around_word(&self.stem(&word)).map(|stem| (stem.clone(), PART)));
            variants.push(own);
        }
        variants
    }

    /// Stems of the schema that a word is part of, for names run words together; where it is none itself, also those
    /// that are part of it.
    fn around_word<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a String> {
        const SHORTEST: usize = 4;
        let is_known = self.tables.contains_key(word);
        let alike = move |known: &str| {
            (word.len() >= SHORTEST && known.len() > word.len() && known.contains(word))
                || (!is_known && known.len() >= SHORTEST && word.contains(known))
        };
        self.tables.keys().filter(move |known| alike(known))
    }

    /// Runs of words that are values of columns; the longest first, and no run within another one.
    fn spoken(&self, question: &str) -> Vec<(String, Vec<(Col, Spoken)>)> {
        let (words, marks): (Vec<String>, Vec<bool>) =
            tokens(question).into_iter().map(|token| (token.text, token.kind == TokenKind::Mark)).unzip();
        let mut taken = vec![false; words.len()];
        let mut spoken = Vec::new();
        for length in (1..=MOST_WORDS.min(words.len())).rev() {
            for at in 0..=words.len() - length {
                if marks[at] || marks[at + length - 1] {
                    continue;
                }
                let run = words[at..at + length].join(" ");
                if taken[at..at + length].contains(&true)
                    || key(&run).len() < 2
                    || (length == 1 && is_small(&fold(&run)))
                {
                    continue;
                }
                let mut found = self.values.find(&run);
                if found.is_empty() && length <= MOST_MISSPELT && !self.explains(&words[at..at + length]) {
                    found = self.values.near(&run);
                }
                if found.is_empty() {
                    continue;
                }
                taken[at..at + length].fill(true);
                let found =
                    found.into_iter().map(|found| (found.col, self.told(&run, found.col, found.value, found.score)));
                spoken.push((run.clone(), found.collect()));
            }
        }
        spoken
    }

    /// Whether one of the words is no value to be looked for: it is part of a name, or of every question.
    fn explains(&self, words: &[String]) -> bool {
        words
            .iter()
            .map(|word| fold(word))
            .any(|word| is_small(&word) || self.tables.contains_key(&self.stem(&lemma(&word))))
    }

    /// How a column's data spells a text, and how alike that is: 1 the same, less for other cases and misspellings. `None`
    /// where it has nothing like it, or several things.
    #[must_use]
    pub fn spelling(&self, column: &ColumnPath, text: &str) -> Option<(String, f64)> {
        let here = |found: &Found| self.path(found.col) == *column;
        let mut found: Vec<Found> = self.values.find(text).into_iter().filter(here).collect();
        if found.is_empty() {
            found = self.values.near(text).into_iter().filter(here).collect();
        }
        match found.as_slice() {
            [only] => Some((only.value.clone(), only.score)),
            _ => None,
        }
    }

    fn path(&self, col: Col) -> ColumnPath {
        let table = self.names.table(col.table);
        let column = self.names.column(col).name.clone();
        ColumnPath { schema: table.schema.clone(), table: table.name.clone(), column }
    }

    fn told(&self, words: &str, col: Col, value: String, score: f64) -> Spoken {
        Spoken { words: words.to_owned(), column: self.path(col), value, score }
    }
}

/// Which tables stand in the same namespace. Those of one namespace are of one matter, the more so the fewer they are;
/// where there is one namespace only, it says nothing.
struct Namespaces {
    /// Each table's.
    of: Vec<usize>,
    /// What is left in each of what one of its tables says.
    left: Vec<f64>,
}

impl Namespaces {
    fn new(schema: &Schema) -> Self {
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut sizes: Vec<usize> = Vec::new();
        let mut of = Vec::new();
        for table in &schema.tables {
            let number = *numbers.entry(&table.schema).or_insert(sizes.len());
            sizes.resize(sizes.len().max(number + 1), 0);
            sizes[number] += 1;
            of.push(number);
        }
        let several = sizes.len() > 1;
        let left = |size: usize| if several { NAMESPACE * (SMALL_NAMESPACE / size as f64).min(1.0) } else { 0.0 };
        Self { of, left: sizes.into_iter().map(left).collect() }
    }

    /// What is left in each namespace of a word, by what each table says of it.
    fn best(&self, said: &BTreeMap<usize, f64>) -> Vec<f64> {
        let mut best = vec![0.0; self.left.len()];
        for (&table, &score) in said {
            let namespace = self.of[table];
            best[namespace] = f64::max(best[namespace], self.left[namespace] * score);
        }
        best
    }
}

/// What all tables of a namespace begin with, such as `sb` or `tbl_`, by namespace; empty for most.
fn prefixes(names: &Names, tables: usize) -> HashMap<String, String> {
    const FEWEST_TABLES: usize = 3;
    const SHORTEST_REST: usize = 3;
    let mut folded: HashMap<String, Vec<String>> = HashMap::new();
    for table in (0..tables).map(|table| names.table(table)) {
        folded.entry(table.schema.clone()).or_default().push(fold(&table.name));
    }
    let common = |tables: Vec<String>| {
        let first = tables[0].clone();
        let ends = first.char_indices().map(|(at, _)| at).chain([first.len()]);
        let shared = |end: &usize| {
            tables.iter().all(|name| name.strip_prefix(&first[..*end]).is_some_and(|rest| rest.len() >= SHORTEST_REST))
        };
        let end = ends.take_while(shared).last().unwrap_or_default();
        if tables.len() < FEWEST_TABLES { String::new() } else { first[..end].to_owned() }
    };
    folded.into_iter().map(|(namespace, tables)| (namespace, common(tables))).collect()
}

fn keep_best<Key: Ord>(map: &mut BTreeMap<Key, f64>, key: Key, score: f64) {
    let best = map.entry(key).or_default();
    *best = best.max(score);
}

/// Every table's neighbours over foreign keys, with what is left of what they say.
fn around(joins: &Joins, tables: usize) -> Vec<Vec<(usize, f64)>> {
    let mut next: Vec<HashSet<usize>> = vec![HashSet::new(); tables];
    for edge in joins.edges() {
        next[edge.child_table()].insert(edge.parent_table());
        next[edge.parent_table()].insert(edge.child_table());
    }
    let reached = |from: usize| {
        let mut seen = HashSet::from([from]);
        let (mut ring, mut left) = (vec![from], 1.0);
        let mut reached = vec![(from, left)];
        for _ in 0..REACH {
            left *= DECAY;
            ring = ring.iter().flat_map(|table| &next[*table]).copied().filter(|table| seen.insert(*table)).collect();
            reached.extend(ring.iter().map(|&table| (table, left)));
        }
        reached
    };
    (0..tables).map(reached).collect()
}

/// Words for columns that a superlative asks for: `oldest` for an age.
fn asked_by(word: &str) -> impl Iterator<Item = &'static str> {
    let bare = word.strip_suffix("est").or_else(|| word.strip_suffix("er")).unwrap_or(word);
    let forms = [word, bare].into_iter().flat_map(synonyms::adjective);
    forms.flat_map(|(hint, _)| hint.split(' '))
}

/// Words of every question, which say nothing about tables.
fn is_small(word: &str) -> bool {
    const SMALL: &str = " a about all also an and any are as at be been but by can did do does each every find for from \
        get give had has have having her his how i in into is it its least less list many me more most much not of on or \
        our return s show tell than that the their them there these they this those to us was we were what when where \
        which who whose why will with without you your ";
    word.len() < 2 || SMALL.split(' ').any(|small| small == word)
}

/// What was matched, for people: `'paris' → customer.city = 'Paris'`.
#[must_use]
pub fn matched_in_words(values: &[MatchedValue]) -> Option<String> {
    const MOST: usize = 5;
    let told = |MatchedValue { text, column, value, .. }: &MatchedValue| {
        format!("'{text}' → {}.{} = '{value}'", column.table, column.column)
    };
    let told: Vec<String> = values.iter().take(MOST).map(told).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// The indexes of the databases asked most recently. Cheap to clone; the clones share them.
#[derive(Clone)]
pub struct Indexes {
    kept: Cache<(usize, usize, String), Arc<Kept>>,
}

/// An index, and the facts it is of: while they are held, no other facts can have their address.
struct Kept {
    index: Arc<SchemaIndex>,
    _facts: Arc<Facts>,
}

impl Default for Indexes {
    fn default() -> Self {
        const KEPT: u64 = 16;
        Self { kept: Cache::builder().max_capacity(KEPT).build() }
    }
}

impl Indexes {
    /// The index of these facts, built where it is not known yet, beside the work of others; who asks meanwhile waits.
    pub async fn of(&self, facts: &Arc<Facts>) -> Arc<SchemaIndex> {
        // Each workflow has facts of its own, but values measured once are shared, and so is what people defined.
        let (values, meaning) = (Arc::as_ptr(&facts.values).addr(), Arc::as_ptr(&facts.meaning).addr());
        let same = (values, meaning, facts.schema.fingerprint.clone());
        let build = async {
            let of = facts.clone();
            let index = tokio::task::spawn_blocking(move || SchemaIndex::new(&of)).await;
            // It can only fail by a panic in there; then here is the place to see it.
            let index = index.unwrap_or_else(|_| SchemaIndex::new(facts));
            Arc::new(Kept { index: Arc::new(index), _facts: facts.clone() })
        };
        self.kept.get_with(same, build).await.index.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ColumnType, ColumnValues, DatabaseKind, Table, ValueIndex, testing};

    fn table(name: &str, columns: &[&str], references: &[(&str, &str)]) -> Table {
        let columns: Vec<_> = columns.iter().map(|name| (*name, ColumnType::Text)).collect();
        testing::table("main", name, &columns, references)
    }

    fn facts(tables: Vec<Table>, values: &[(&str, &str, &[&str])]) -> Facts {
        let values = values.iter().map(|(table, column, distinct)| {
            let path = ColumnPath { schema: "main".into(), table: (*table).to_owned(), column: (*column).to_owned() };
            let distinct = distinct.iter().map(ToString::to_string).collect();
            (path, ColumnValues { distinct, complete: true })
        });
        let values = Arc::new(ValueIndex::new(values.collect()));
        let schema = Arc::new(Schema { dialect: DatabaseKind::Sqlite, tables, fingerprint: "f".to_owned() });
        Facts::new(schema, values, jiff::civil::date(2026, 11, 23))
    }

    /// A thousand tables of which nobody speaks, with a film shop among them.
    fn large() -> Facts {
        let mut tables: Vec<Table> = (0..996)
            .map(|number| {
                let parent = format!("ledger_{:03}", number / 7);
                let references = [("parent_id", parent.as_str())];
                table(
                    &format!("ledger_{number:03}"),
                    &["id", "parent_id", "entry_code", "posted", "amount"],
                    &references,
                )
            })
            .collect();
        tables.push(table("films", &["id", "title", "length_minutes"], &[]));
        tables.push(table(
            "film_cast",
            &["id", "film_id", "actor_id"],
            &[("film_id", "films"), ("actor_id", "actors")],
        ));
        tables.push(table("actors", &["id", "full_name", "home_town"], &[]));
        tables.push(table("studios", &["id", "studio_name"], &[]));
        tables.sort_by(|one, other| one.name.cmp(&other.name));
        facts(tables, &[("actors", "home_town", &["Paris", "New York City"])])
    }

    fn first<'a>(facts: &'a Facts, relevance: &Relevance, count: usize) -> Vec<&'a str> {
        let mut names: Vec<&str> =
            relevance.tables.iter().take(count).map(|table| facts.schema.tables[*table].name.as_str()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn tables_that_join_two_others_come_with_them() {
        let facts = large();
        let index = SchemaIndex::new(&facts);
        let relevance = index.relevance("Which actors play in the longest movie?");
        assert_eq!(first(&facts, &relevance, 3), ["actors", "film_cast", "films"]);
        assert_eq!(relevance.tables.len(), 1_000);
        let relevance = index.relevance("How many studio names are there?");
        assert_eq!(first(&facts, &relevance, 1), ["studios"]);
    }

    #[test]
    fn of_two_tables_alike_the_one_in_the_namespace_spoken_of_comes_first() {
        let alike = |namespace: &str, other: &str| {
            let columns = [("id", ColumnType::Text), ("client_no", ColumnType::Text)];
            ["customers", other].map(|name| testing::table(namespace, name, &columns, &[]))
        };
        let tables = [alike("billing", "invoices"), alike("helpdesk", "tickets"), alike("shop", "orders")];
        let facts = facts(tables.into_iter().flatten().collect(), &[]);
        let index = SchemaIndex::new(&facts);
        for (question, namespace) in [
            ("Which customers have no ticket?", "helpdesk"),
            ("Which customers have no order?", "shop"),
            ("Which customers have no invoice?", "billing"),
        ] {
            let relevance = index.relevance(question);
            let first = relevance.tables[..2].iter().map(|table| facts.schema.tables[*table].schema.as_str());
            assert_eq!(first.collect::<Vec<_>>(), [namespace; 2], "{question}");
        }
    }

    #[test]
    fn values_lead_to_their_columns() {
        let facts = large();
        let index = SchemaIndex::new(&facts);
        let relevance = index.relevance("who comes from new york city or PARIS");
        let spoken: Vec<_> = relevance
            .values
            .iter()
            .map(|found| (found.words.as_str(), found.value.as_str(), found.score < 1.0))
            .collect();
        assert_eq!(spoken, [("new york city", "New York City", true), ("PARIS", "Paris", true)]);
        assert_eq!(relevance.values[0].column.to_string(), "main.actors.home_town");
        assert_eq!(first(&facts, &relevance, 2), ["actors", "film_cast"]);
    }

    #[test]
    fn misspelt_values_are_found_where_no_name_explains_the_word() {
        let facts = large();
        let index = SchemaIndex::new(&facts);
        let relevance = index.relevance("actors from new york citty, or Pariss");
        let spoken: Vec<_> = relevance.values.iter().map(|found| found.value.as_str()).collect();
        assert_eq!(spoken, ["New York City", "Paris"]);
        assert!(index.relevance("which actor").values.is_empty());
        let town = ColumnPath { schema: "main".into(), table: "actors".into(), column: "home_town".into() };
        assert_eq!(index.spelling(&town, "PARIS").unwrap().0, "Paris");
        assert_eq!(index.spelling(&town, "Lyon"), None);
    }

    #[test]
    fn names_may_be_run_together_and_begin_alike() {
        let facts = facts(
            vec![
                table("sbcustomer", &["id", "sbcustname"], &[]),
                table("sbticker", &["id", "sbtickersymbol"], &[]),
                table("sbtransaction", &["id", "sbtxprice"], &[]),
            ],
            &[],
        );
        let index = SchemaIndex::new(&facts);
        assert_eq!(first(&facts, &index.relevance("all transactions"), 1), ["sbtransaction"]);
        let symbols = index.relevance("the symbol");
        assert_eq!(first(&facts, &symbols, 1), ["sbticker"]);
        assert!(symbols.of_column(1, 1) > symbols.of_column(1, 0));
    }

    #[tokio::test]
    async fn an_index_is_built_once_for_the_same_facts() {
        let (indexes, one) = (Indexes::default(), Arc::new(large()));
        let again = Arc::new(Facts { today: jiff::civil::date(2026, 11, 24), ..Facts::clone(&one) });
        let other = Arc::new(large());
        let (first, second, third) = (indexes.of(&one).await, indexes.of(&again).await, indexes.of(&other).await);
        assert!(Arc::ptr_eq(&first, &second), "the same values and schema");
        assert!(!Arc::ptr_eq(&first, &third), "other values");
    }
}
