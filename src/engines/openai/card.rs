//! What a model is told of a database: one line of JSON a table, the tables that matter for the question first.
//!
//! The whole schema where it fits the budget (leaving tables out costs more answers than it saves tokens: "The Death
//! of Schema Linking?", 2408.07702); otherwise the most relevant tables, in less detail the less relevant they are, and of
//! wide ones the keys and the columns that the question speaks of.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value as Json, json};

use super::fence::clean;
use super::names::{MAX_NAME, Names, told};
use super::team::Options;
use super::tokens;
use crate::domain::{Column, ColumnPath, Facts, ForeignKey, Table, TableKind};
use crate::engines::schema_index::{Relevance, SchemaIndex};

/// Longest comment, in characters.
const MAX_COMMENT: usize = 200;
/// Longest value, in characters; longer ones are left out, for a shortened value would be a wrong literal.
pub const MAX_VALUE: usize = 64;
/// Values shown of one column.
const SAMPLES: usize = 3;

/// What a model would be told of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Tables by position in the schema, each with the columns that are told.
    pub tables: Vec<(usize, Vec<usize>)>,
    /// About how many tokens it takes.
    pub tokens: usize,
}

/// What a model would be told of a database for a question, where nothing but the question is known.
#[must_use]
pub fn context(facts: &Facts, index: &SchemaIndex, question: &str, options: &Options) -> Context {
    let relevance = index.relevance(question);
    let Card { shown, tokens, .. } = Card::new(facts, &Focus { relevance: &relevance, tables: &[] }, options);
    Context { tables: shown, tokens }
}

/// What the description is for.
pub struct Focus<'a> {
    /// What the question speaks of.
    pub relevance: &'a Relevance,
    /// Tables that must be there, as (schema, table).
    pub tables: &'a [(&'a str, &'a str)],
}

/// The description of a database.
pub struct Card {
    /// A line of JSON a table.
    pub lines: Vec<Json>,
    /// What is in it: tables by position in the schema, and their columns.
    pub shown: Vec<(usize, Vec<usize>)>,
    /// About how many tokens it is.
    pub tokens: usize,
}

/// How much is told of a table.
#[derive(Clone, Copy)]
struct Detail {
    /// Columns, keys and those that the question speaks of first.
    columns: usize,
    /// Values of a column that the question does not name.
    samples: usize,
}

impl Detail {
    const WHOLE: Self = Self { columns: usize::MAX, samples: SAMPLES };

    /// Where not everything fits: the less relevant the table, the less of it.
    fn at(place: usize) -> Self {
        match place {
            0..6 => Self { columns: 40, samples: SAMPLES },
            6..16 => Self { columns: 12, samples: 1 },
            _ => Self { columns: 6, samples: 0 },
        }
    }
}

impl Card {
    /// Describes the database in at most about `schema_tokens`.
    pub fn new(facts: &Facts, focus: &Focus<'_>, options: &Options) -> Self {
        let writer = Writer::new(facts, focus.relevance, options.share_values);
        let all = (0..facts.schema.tables.len()).map(|table| writer.table(table, Detail::WHOLE));
        let mut whole = Self { lines: Vec::new(), shown: Vec::new(), tokens: 0 };
        for line in all {
            whole.add(line);
            if whole.tokens > options.schema_tokens {
                return Self::part(&writer, focus, options.schema_tokens);
            }
        }
        whole
    }

    /// The most relevant tables, as many as fit.
    fn part(writer: &Writer<'_>, focus: &Focus<'_>, budget: usize) -> Self {
        /// Tables in a row that did not fit, after which no other is tried.
        const PATIENCE: usize = 8;
        let tables = &writer.facts.schema.tables;
        let required = |index: &usize| {
            let table = &tables[*index];
            focus.tables.iter().any(|(schema, name)| table.schema == *schema && table.name == *name)
        };
        let (first, then): (Vec<usize>, Vec<usize>) = focus.relevance.tables.iter().partition(|index| required(index));
        let mut card = Self { lines: Vec::new(), shown: Vec::new(), tokens: 0 };
        let mut too_long = 0;
        for (place, table) in first.into_iter().chain(then).enumerate() {
            let mut line = writer.table(table, Detail::at(place));
            if place == 0 {
                line = writer.fitting(table, line, budget);
            }
            if card.tokens + line.tokens <= budget {
                card.add(line);
                too_long = 0;
            } else {
                too_long += 1;
                if too_long == PATIENCE {
                    break;
                }
            }
        }
        let missing = tables.len() - card.shown.len();
        card.lines.push(json!({ "tables_left_out": missing }));
        card
    }

    fn add(&mut self, line: Line) {
        self.tokens += line.tokens;
        self.lines.push(line.json);
        self.shown.push((line.table, line.columns));
    }
}

/// One table as the model is told it.
struct Line {
    table: usize,
    columns: Vec<usize>,
    json: Json,
    tokens: usize,
}

/// Writes tables.
struct Writer<'a> {
    facts: &'a Facts,
    names: Names<'a>,
    relevance: &'a Relevance,
    /// Values that the question names; `None` where values are not shared.
    spoken: Option<HashMap<&'a ColumnPath, Vec<&'a str>>>,
}

impl<'a> Writer<'a> {
    fn new(facts: &'a Facts, relevance: &'a Relevance, share_values: bool) -> Self {
        let spoken = share_values.then(|| {
            let mut spoken: HashMap<&ColumnPath, Vec<&str>> = HashMap::new();
            for found in &relevance.values {
                spoken.entry(&found.column).or_default().push(&found.value);
            }
            spoken
        });
        Self { facts, names: Names::new(&facts.schema), relevance, spoken }
    }

    /// The line, or one with as many columns as fit the budget; one at least.
    fn fitting(&self, table: usize, mut line: Line, budget: usize) -> Line {
        while line.tokens > budget && line.columns.len() > 1 {
            line = self.table(table, Detail { columns: line.columns.len() / 2, samples: 1 });
        }
        line
    }

    fn table(&self, index: usize, detail: Detail) -> Line {
        let table = &self.facts.schema.tables[index];
        let columns = self.chosen(index, table, detail.columns);
        let json = self.written(table, &columns, detail);
        Line { table: index, tokens: tokens::estimate(&json.to_string()), columns, json }
    }

    /// The columns to be told, in their declared order: keys, those that the question speaks of, then the first ones.
    fn chosen(&self, index: usize, table: &Table, most: usize) -> Vec<usize> {
        let all = 0..table.columns.len();
        if table.columns.len() <= most {
            return all.collect();
        }
        let keys: HashSet<&String> =
            table.primary_key.iter().chain(table.foreign_keys.iter().flat_map(|key| &key.columns)).collect();
        let worth = |column: &usize| {
            let spoken = self.relevance.of_column(index, *column);
            if keys.contains(&table.columns[*column].name) { f64::MAX } else { spoken }
        };
        let mut chosen: Vec<usize> = all.collect();
        chosen.sort_by(|one, other| worth(other).total_cmp(&worth(one)));
        chosen.truncate(most);
        chosen.sort_unstable();
        chosen
    }

    fn written(&self, table: &Table, columns: &[usize], detail: Detail) -> Json {
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
        let told: Vec<Json> =
            columns.iter().map(|column| self.column(table, &table.columns[*column], detail.samples)).collect();
        line.insert("columns".to_owned(), json!(told));
        if table.columns.len() > columns.len() {
            line.insert("columns_left_out".to_owned(), json!(table.columns.len() - columns.len()));
        }
        if !table.foreign_keys.is_empty() {
            let keys: Vec<String> = table.foreign_keys.iter().map(|key| self.arrow(key)).collect();
            line.insert("references".to_owned(), json!(keys));
        }
        Json::Object(line)
    }

    /// `[name, type]`, and an object with more where there is more.
    fn column(&self, table: &Table, column: &Column, samples: usize) -> Json {
        let mut more = Map::new();
        if let Some(comment) = &column.comment {
            more.insert("comment".to_owned(), json!(clean(comment, MAX_COMMENT)));
        }
        if !column.enum_labels.is_empty() {
            let labels: Vec<String> = column.enum_labels.iter().map(|label| clean(label, MAX_VALUE)).collect();
            more.insert("labels".to_owned(), json!(labels));
        }
        let values: Vec<String> =
            self.values(table, column, samples).into_iter().map(|value| clean(value, MAX_VALUE)).collect();
        if !values.is_empty() {
            more.insert("values".to_owned(), json!(values));
        }
        let declared = clean(&column.declared_type, MAX_NAME);
        if more.is_empty() { json!([told(column), declared]) } else { json!([told(column), declared, more]) }
    }

    fn arrow(&self, key: &ForeignKey) -> String {
        let to = self.names.of(&key.referenced_schema, &key.referenced_table);
        format!("{} -> {to}.{}", shown(&key.columns).join(", "), shown(&key.referenced_columns).join(", "))
    }

    /// Values of a column: those that the question names, then the first others; none where values are not shared.
    fn values(&self, table: &Table, column: &Column, samples: usize) -> Vec<&'a str> {
        let Some(spoken) = &self.spoken else { return Vec::new() };
        let path = ColumnPath { schema: table.schema.clone(), table: table.name.clone(), column: column.name.clone() };
        let Some(known) = self.facts.values.column(&path) else { return Vec::new() };
        let short = |value: &&str| value.chars().nth(MAX_VALUE).is_none();
        let named = spoken.get(&path).into_iter().flatten().copied();
        let mut values: Vec<&str> = named.filter(short).take(SAMPLES).collect();
        let others = known.distinct.iter().map(String::as_str).filter(short);
        for value in others.take(SAMPLES + samples) {
            if values.len() < samples && !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }
}

fn shown(names: &[String]) -> Vec<String> {
    names.iter().map(|name| clean(name, MAX_NAME)).collect()
}
