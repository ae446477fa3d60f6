//! What a model is told of a database: one line of JSON a table, the tables that matter for the question first.
//!
//! The whole schema where it fits the budget (leaving tables out costs more answers than it saves tokens: "The Death
//! of Schema Linking?", 2408.07702); otherwise the tables whose words the question uses, and their neighbours.

use std::collections::HashSet;

use rust_stemmers::{Algorithm, Stemmer};
use serde_json::{Map, Value as Json, json};

use super::fence::clean;
use super::names::{MAX_NAME, Names, told};
use super::team::Options;
use crate::domain::{Column, ColumnPath, Facts, ForeignKey, Table, TableKind};

/// Longest comment, in characters.
const MAX_COMMENT: usize = 200;
/// Longest value, in characters; longer ones are left out, for a shortened value would be a wrong literal.
const MAX_VALUE: usize = 64;
/// Values shown of one column.
const SAMPLES: usize = 3;
/// Characters of a token, about.
const TOKEN: usize = 4;
/// Longest run of words that is looked up as a value.
const MAX_WORDS: usize = 6;

/// What the description is for.
pub struct Focus<'a> {
    /// The question and whatever else is known of its words.
    pub words: &'a str,
    /// Tables that must be there, as (schema, table).
    pub tables: &'a [(&'a str, &'a str)],
}

/// The description, a line of JSON a table; at most about `schema_tokens` long.
pub fn lines(facts: &Facts, focus: &Focus<'_>, options: &Options) -> Vec<Json> {
    let writer = Writer::new(facts, focus.words, options.share_values);
    let budget = options.schema_tokens.saturating_mul(TOKEN);
    let tables = &facts.schema.tables;
    let all: Vec<Json> = tables.iter().map(|table| writer.table(table, usize::MAX)).collect();
    if all.iter().map(length).sum::<usize>() <= budget {
        return all;
    }
    let mut chosen = vec![None; tables.len()];
    let mut left = budget;
    for (place, index) in by_worth(&writer, tables, focus).into_iter().enumerate() {
        let line = if place == 0 { writer.fitting(&tables[index], left) } else { all[index].clone() };
        if let Some(rest) = left.checked_sub(length(&line)) {
            left = rest;
            chosen[index] = Some(line);
        }
    }
    let missing = chosen.iter().filter(|line| line.is_none()).count();
    let mut lines: Vec<Json> = chosen.into_iter().flatten().collect();
    lines.push(json!({ "tables_left_out": missing }));
    lines
}

fn length(line: &Json) -> usize {
    line.to_string().len()
}

/// Indexes of the tables: those that must be there, those that the words speak of with their neighbours, the rest.
fn by_worth(writer: &Writer<'_>, tables: &[Table], focus: &Focus<'_>) -> Vec<usize> {
    let required =
        |table: &Table| focus.tables.iter().any(|(schema, name)| table.schema == *schema && table.name == *name);
    let scores: Vec<usize> =
        tables.iter().map(|table| if required(table) { usize::MAX } else { writer.score(table) }).collect();
    let mut ranked: Vec<usize> = (0..tables.len()).collect();
    ranked.sort_by_key(|&index| std::cmp::Reverse(scores[index]));
    let spoken_of: Vec<usize> = ranked.iter().copied().filter(|&index| scores[index] > 0).collect();
    let neighbours = spoken_of.iter().flat_map(|&index| {
        (0..tables.len())
            .filter(move |&other| refers(&tables[index], &tables[other]) || refers(&tables[other], &tables[index]))
    });
    let mut seen = HashSet::new();
    let order = spoken_of.iter().copied().chain(neighbours).chain(ranked.iter().copied());
    order.filter(|index| seen.insert(*index)).collect()
}

fn refers(from: &Table, to: &Table) -> bool {
    from.foreign_keys.iter().any(|key| key.referenced_schema == to.schema && key.referenced_table == to.name)
}

/// Writes tables and weighs them against the question.
struct Writer<'a> {
    facts: &'a Facts,
    names: Names<'a>,
    share_values: bool,
    stemmer: Stemmer,
    /// Stems of the question.
    stems: HashSet<String>,
    /// Runs of words of the question, to recognise values in it.
    runs: HashSet<String>,
}

impl<'a> Writer<'a> {
    fn new(facts: &'a Facts, words: &str, share_values: bool) -> Self {
        let stemmer = Stemmer::create(Algorithm::English);
        let stems = stems(&stemmer, words);
        Self { facts, names: Names::new(&facts.schema), share_values, stemmer, stems, runs: runs(words) }
    }

    /// How much the question speaks of a table: its name counts most, then values, then columns and comments.
    fn score(&self, table: &Table) -> usize {
        let shared = |text: &str| stems(&self.stemmer, text).intersection(&self.stems).count();
        let columns = table.columns.iter().map(|column| {
            let values = usize::from(self.samples(table, column).is_some_and(|(spoken, _)| !spoken.is_empty()));
            shared(&column.name) + column.comment.as_deref().map_or(0, shared).min(1) + 3 * values
        });
        4 * shared(&table.name) + table.comment.as_deref().map_or(0, shared) + columns.sum::<usize>()
    }

    /// The table with as many columns as fit the budget; one at least.
    fn fitting(&self, table: &Table, budget: usize) -> Json {
        let mut columns = table.columns.len().max(1);
        loop {
            let line = self.table(table, columns);
            if columns == 1 || length(&line) <= budget {
                return line;
            }
            columns /= 2;
        }
    }

    fn table(&self, table: &Table, max_columns: usize) -> Json {
        let mut line = Map::new();
        line.insert("table".to_owned(), json!(self.names.of(&table.schema, &table.name)));
        if table.kind != TableKind::Table {
            line.insert("view".to_owned(), json!(true));
        }
        if let Some(rows) = table.row_count {
            line.insert("rows".to_owned(), json!(rows));
        }
        if let Some(comment) = &table.comment {
            line.insert("comment".to_owned(), json!(clean(comment, MAX_COMMENT)));
        }
        if !table.primary_key.is_empty() {
            line.insert("primary_key".to_owned(), json!(shown(&table.primary_key)));
        }
        let columns: Vec<Json> =
            table.columns.iter().take(max_columns).map(|column| self.column(table, column)).collect();
        line.insert("columns".to_owned(), json!(columns));
        if table.columns.len() > max_columns {
            line.insert("columns_left_out".to_owned(), json!(table.columns.len() - max_columns));
        }
        if !table.foreign_keys.is_empty() {
            let keys: Vec<String> = table.foreign_keys.iter().map(|key| self.arrow(key)).collect();
            line.insert("references".to_owned(), json!(keys));
        }
        Json::Object(line)
    }

    /// `[name, type]`, and an object with more where there is more.
    fn column(&self, table: &Table, column: &Column) -> Json {
        let mut more = Map::new();
        if let Some(comment) = &column.comment {
            more.insert("comment".to_owned(), json!(clean(comment, MAX_COMMENT)));
        }
        if !column.enum_labels.is_empty() {
            let labels: Vec<String> = column.enum_labels.iter().map(|label| clean(label, MAX_VALUE)).collect();
            more.insert("labels".to_owned(), json!(labels));
        }
        if let Some((spoken, others)) = self.samples(table, column) {
            let samples: Vec<String> =
                spoken.iter().chain(&others).take(SAMPLES).map(|value| clean(value, MAX_VALUE)).collect();
            if !samples.is_empty() {
                more.insert("values".to_owned(), json!(samples));
            }
        }
        let declared = clean(&column.declared_type, MAX_NAME);
        if more.is_empty() { json!([told(column), declared]) } else { json!([told(column), declared, more]) }
    }

    fn arrow(&self, key: &ForeignKey) -> String {
        let to = self.names.of(&key.referenced_schema, &key.referenced_table);
        format!("{} -> {to}.{}", shown(&key.columns).join(", "), shown(&key.referenced_columns).join(", "))
    }

    /// Values of a column that the question names, and the first others; `None` where values are not shared or known.
    fn samples(&self, table: &Table, column: &Column) -> Option<(Vec<&'a str>, Vec<&'a str>)> {
        if !self.share_values {
            return None;
        }
        let path = ColumnPath { schema: table.schema.clone(), table: table.name.clone(), column: column.name.clone() };
        let short = |value: &&'a String| value.chars().nth(MAX_VALUE).is_none();
        let values = self.facts.values.column(&path)?.distinct.iter().filter(short).map(String::as_str);
        let (mut spoken, mut others) = (Vec::new(), Vec::new());
        for value in values {
            if spoken.len() < SAMPLES && self.runs.contains(&folded(value).join(" ")) {
                spoken.push(value);
            } else if others.len() < SAMPLES {
                others.push(value);
            }
        }
        Some((spoken, others))
    }
}

fn shown(names: &[String]) -> Vec<String> {
    names.iter().map(|name| clean(name, MAX_NAME)).collect()
}

/// Words in lower case.
fn folded(text: &str) -> Vec<String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Every run of one to six words.
fn runs(text: &str) -> HashSet<String> {
    let words = folded(text);
    let lengths = 1..=MAX_WORDS.min(words.len());
    lengths.flat_map(|length| words.windows(length).map(|run| run.join(" ")).collect::<Vec<_>>()).collect()
}

/// Stems of the words, `snake_case` and `CamelCase` taken apart.
fn stems(stemmer: &Stemmer, text: &str) -> HashSet<String> {
    let mut apart = String::with_capacity(text.len() + 8);
    let mut lower = false;
    for letter in text.chars() {
        if lower && letter.is_uppercase() {
            apart.push(' ');
        }
        lower = letter.is_lowercase();
        apart.push(letter);
    }
    folded(&apart).iter().filter(|word| word.len() > 1).map(|word| stemmer.stem(word).into_owned()).collect()
}
