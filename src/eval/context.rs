//! Measures whether a model would be told of the tables and columns that a question needs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::civil::Date;

use super::run::{Error, Progress, facts};
use super::suite::{self, Item};
use crate::domain::{ColumnPath, DatabaseKind, Facts, Schema, ValueIndex};
use crate::engines::openai;
use crate::engines::schema_index::SchemaIndex;
use crate::queries::{column_of, table_of};
use crate::sql::analyse::{Analysis, analyse};
use crate::sql::guard::{self, Policy};

/// What to measure.
#[derive(Debug, Clone)]
pub struct ContextOptions {
    /// Suites: JSON Lines with `id`, `db`, `question` and `gold_sql`; lines without gold SQL are left out.
    pub suites: Vec<PathBuf>,
    /// Folder of the databases, `<db>.sqlite` each.
    pub databases: PathBuf,
    /// Longest description of a schema, in tokens.
    pub schema_tokens: usize,
    /// All databases of the suites as one, each with its own namespace.
    pub merged: bool,
    /// The day of the questions.
    pub today: Date,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContextReport {
    /// Questions.
    pub total: usize,
    /// Questions all of whose tables would be told.
    pub tables_told: usize,
    /// Questions all of whose tables and columns would be told.
    pub columns_told: usize,
    /// Tokens of all descriptions together, and of the longest.
    pub tokens: usize,
    /// Tokens of the longest description.
    pub most_tokens: usize,
    /// Tables of the largest schema.
    pub tables: usize,
    /// Longest time to build an index.
    pub index_time: Duration,
    /// Ids of questions that lack a table, with the table.
    pub missing: Vec<(String, String)>,
}

/// Reads the tables and columns of every gold statement and looks for them in what a model would be told.
pub fn measure_context(
    options: &ContextOptions,
    mut on_progress: impl FnMut(Progress),
) -> Result<ContextReport, Error> {
    let items = answerable(&options.suites)?;
    let mut groups: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
    for item in &items {
        let group = if options.merged { "" } else { item.db.as_str() };
        groups.entry(group).or_default().push(item);
    }
    let total = items.len();
    let mut report = ContextReport { total, ..ContextReport::default() };
    let mut progress = Progress { done: 0, total, answered: 0 };
    for items in groups.into_values() {
        let names: HashSet<&str> = items.iter().map(|item| item.db.as_str()).collect();
        let facts = joined(&options.databases, names, options.today)?;
        let started = Instant::now();
        let index = SchemaIndex::new(&facts);
        report.index_time = report.index_time.max(started.elapsed());
        report.tables = report.tables.max(facts.schema.tables.len());
        for item in items {
            look(options, &facts, &index, item, &mut report);
            progress.done += 1;
            progress.answered = report.tables_told;
            on_progress(progress);
        }
    }
    Ok(report)
}

fn look(options: &ContextOptions, facts: &Facts, index: &SchemaIndex, item: &Item, report: &mut ContextReport) {
    let told = openai::Options { schema_tokens: options.schema_tokens, ..openai::Options::default() };
    let context = openai::context(facts, index, &item.question, &told);
    report.tokens += context.tokens;
    report.most_tokens = report.most_tokens.max(context.tokens);
    let tables: HashMap<(&str, &str), HashSet<&str>> = context
        .tables
        .iter()
        .map(|(table, columns)| {
            let table = &facts.schema.tables[*table];
            let columns = columns.iter().map(|column| table.columns[*column].name.as_str()).collect();
            ((table.schema.as_str(), table.name.as_str()), columns)
        })
        .collect();
    let needed = needed(item, &facts.schema);
    let missing = needed.iter().find(|path| !tables.contains_key(&(path.schema.as_str(), path.table.as_str())));
    if let Some(path) = missing {
        report.missing.push((item.id.clone(), format!("{}.{}", path.schema, path.table)));
        return;
    }
    report.tables_told += 1;
    let told = |path: &ColumnPath| {
        path.column.is_empty() || tables[&(path.schema.as_str(), path.table.as_str())].contains(path.column.as_str())
    };
    report.columns_told += usize::from(needed.iter().all(told));
}

/// Tables, with an empty column, and columns that the gold statement reads. A statement that the guard does not know
/// needs nothing.
fn needed(item: &Item, schema: &Schema) -> Vec<ColumnPath> {
    let Some(gold) = &item.gold_sql else { return Vec::new() };
    let Ok(sql) = guard::check(gold, &Policy::reads(DatabaseKind::Sqlite)) else { return Vec::new() };
    let mut analysis: Analysis = analyse(&sql).clone();
    for table in &mut analysis.tables {
        // A gold statement does not know that databases were put together.
        table.schema = Some(item.db.clone());
    }
    let tables = analysis.tables.iter().filter_map(|table| table_of(schema, table));
    let tables = tables.map(|table| ColumnPath {
        schema: table.schema.clone(),
        table: table.name.clone(),
        column: String::new(),
    });
    tables.chain(analysis.columns.iter().filter_map(|column| column_of(column, &analysis, schema))).collect()
}

/// The questions that have gold SQL.
pub(super) fn answerable(suites: &[PathBuf]) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for path in suites {
        items.extend(suite::read(path)?.items.into_iter().filter(|item| item.gold_sql.is_some()));
    }
    Ok(items)
}

/// The databases as one: every table in the namespace of its database.
pub(super) fn joined<'a>(folder: &Path, names: impl IntoIterator<Item = &'a str>, today: Date) -> Result<Facts, Error> {
    let mut tables = Vec::new();
    let mut columns = HashMap::new();
    for name in names {
        let facts = facts(folder, name, today)?;
        for mut table in facts.schema.tables.iter().cloned() {
            name.clone_into(&mut table.schema);
            for key in &mut table.foreign_keys {
                name.clone_into(&mut key.referenced_schema);
            }
            tables.push(table);
        }
        for (path, values) in facts.values.columns() {
            let path = ColumnPath { schema: name.to_owned(), ..path.clone() };
            columns.insert(path, values.clone());
        }
    }
    tables.sort_by(|one, other| (&one.schema, &one.name).cmp(&(&other.schema, &other.name)));
    let schema = Schema { dialect: DatabaseKind::Sqlite, tables, fingerprint: String::new() };
    Ok(Facts::new(Arc::new(schema), Arc::new(ValueIndex::new(columns)), today))
}
