//! What a model is told of what people know: definitions that concern the question first, and verified examples like it.
//!
//! They share the budget of the schema: a quarter of it at most for each. What people say of tables and columns stands in the
//! schema itself.

use serde_json::{Value as Json, json};

use super::fence::{Fence, clean};
use super::names::{MAX_NAME, Names};
use super::team::Options;
use crate::domain::knowledge::{Alias, DefaultFilter, NamedMeasure, Synonym};
use crate::domain::outputs::MapperOutput;
use crate::domain::{ColumnPath, Facts, Meaning, Precedent};

/// Characters of a token, about.
const TOKEN: usize = 4;
/// Longest text of a definition, in characters.
const MAX_TEXT: usize = 2_048;
/// Longest question of an example, in characters.
const MAX_QUESTION: usize = 1_000;

/// The blocks of data, and about how many tokens they take.
pub fn blocks(facts: &Facts, words: &str, fence: &Fence, options: &Options) -> (Vec<String>, usize) {
    let budget = options.schema_tokens.saturating_mul(TOKEN) / 4;
    let defined = fitting(definitions(facts, words, options.share_values), budget);
    let examples = fitting(facts.examples.iter().map(|example| shown(example, options.share_values)).collect(), budget);
    let mut blocks = Vec::new();
    for (heading, lines) in [("definitions", defined), ("examples", examples)] {
        if !lines.is_empty() {
            blocks.push(fence.block(heading, lines));
        }
    }
    let tokens = blocks.iter().map(String::len).sum::<usize>() / TOKEN;
    (blocks, tokens)
}

/// What of the definitions a mapping rests on, a sentence each.
pub fn used(facts: &Facts, question: &str, mapping: &MapperOutput) -> Vec<String> {
    let Meaning { aliases, measures, filters, .. } = &*facts.meaning;
    let words = Said::new(question);
    let measures = measures.iter().filter(|measure| words.name_of(measure));
    let measures =
        measures.map(|measure| format!("{} = {} (from your definitions)", measure.name, measure.formula.plain()));
    let aliases = aliases.iter().filter(|alias| words.contain(&alias.alias));
    let aliases = aliases.map(|Alias { alias, value, .. }| format!("'{alias}' is '{value}' (from your definitions)"));
    let mapped = super::mapper::tables(mapping);
    let filters = filters.iter().filter(|DefaultFilter { table, .. }| {
        mapped.iter().any(|(schema, name)| table.schema == *schema && table.table == *name)
    });
    let filters = filters
        .map(|DefaultFilter { table, formula }| format!("{}: {} (your default filter)", table.table, formula.plain()));
    let examples = facts.examples.iter().map(|example| {
        format!("like your verified example “{}” ({:.2})", clean(&example.question, 200), example.similarity)
    });
    measures.chain(aliases).chain(filters).chain(examples).collect()
}

/// The first that fit.
fn fitting(lines: Vec<Json>, budget: usize) -> Vec<Json> {
    let mut left = budget;
    let fits = |line: &Json| {
        let rest = left.checked_sub(line.to_string().len());
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    lines.into_iter().filter(fits).collect()
}

/// Conventions, then what the question speaks of, then the rest.
fn definitions(facts: &Facts, words: &str, share_values: bool) -> Vec<Json> {
    let Meaning { notes, synonyms, aliases, measures, filters, joins } = &*facts.meaning;
    let (names, said) = (Names::new(&facts.schema), Said::new(words));
    let table = |schema: &str, name: &str| names.of(schema, name);
    let column = |path: &ColumnPath| format!("{}.{}", table(&path.schema, &path.table), clean(&path.column, MAX_NAME));
    let mut lines: Vec<(bool, Json)> = Vec::new();
    if !notes.trim().is_empty() {
        lines.push((true, json!({ "conventions": clean(notes, MAX_TEXT) })));
    }
    for measure in measures {
        let NamedMeasure { name, synonyms, table: of, formula, description } = measure;
        let mut line = json!({
            "measure": clean(name, MAX_NAME),
            "table": table(&of.schema, &of.table),
            "expression": clean(&formula.plain(), MAX_TEXT),
        });
        if !synonyms.is_empty() {
            line["also"] = json!(synonyms.iter().map(|word| clean(word, MAX_NAME)).collect::<Vec<_>>());
        }
        if !description.is_empty() {
            line["says"] = json!(clean(description, MAX_TEXT));
        }
        lines.push((said.name_of(measure), line));
    }
    for DefaultFilter { table: of, formula } in filters {
        let line = json!({
            "table": table(&of.schema, &of.table),
            "default_filter": clean(&formula.plain(), MAX_TEXT),
        });
        lines.push((true, line));
    }
    if share_values {
        let spoken = aliases.iter().filter(|alias| said.contain(&alias.alias));
        lines.extend(spoken.map(|Alias { alias, column: of, value }| {
            let line = json!({ "word": clean(alias, MAX_NAME), "column": column(of), "value": clean(value, MAX_TEXT) });
            (true, line)
        }));
    }
    for Synonym { words, table: of, column: name } in synonyms {
        let table = table(&of.schema, &of.table);
        let means = match name {
            Some(name) => format!("{table}.{}", clean(name, MAX_NAME)),
            None => table,
        };
        lines.push((said.contain(words), json!({ "word": clean(words, MAX_NAME), "means": means })));
    }
    lines.extend(
        joins.iter().map(|(left, right)| (false, json!({ "join": format!("{} = {}", column(left), column(right)) }))),
    );
    lines.sort_by_key(|(concerns, _)| !concerns);
    lines.into_iter().map(|(_, line)| line).collect()
}

fn shown(example: &Precedent, share_values: bool) -> Json {
    let Precedent { question, sql, masked_question, masked_sql, .. } = example;
    let (question, sql) = if share_values { (question, sql) } else { (masked_question, masked_sql) };
    // Lines stay: a comment ends with one.
    let sql = sql.lines().map(|line| clean(line, usize::MAX)).collect::<Vec<_>>().join("\n");
    json!({ "question": clean(question, MAX_QUESTION), "sql": sql })
}

/// The words of a question.
struct Said(String);

impl Said {
    fn new(words: &str) -> Self {
        Self(folded(words))
    }

    /// Whether they hold this phrase.
    fn contain(&self, phrase: &str) -> bool {
        let phrase = folded(phrase);
        phrase.len() > 2 && (self.0.contains(&phrase) || self.0.contains(&format!("{}s ", phrase.trim_end())))
    }

    fn name_of(&self, measure: &NamedMeasure) -> bool {
        std::iter::once(&measure.name).chain(&measure.synonyms).any(|word| self.contain(word))
    }
}

/// Words in lower case, one space around each.
fn folded(text: &str) -> String {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    format!(" {} ", words.map(str::to_lowercase).collect::<Vec<_>>().join(" "))
}
