//! How much may be defined, and what must be said. Names are looked up elsewhere.

use std::collections::HashSet;

use crate::domain::knowledge::{ColumnMeaning, Measure, PreferredJoin, TableMeaning, ValueAlias};
use crate::domain::{Definitions, Example, FieldViolation};

/// Most examples of a connection.
pub(super) const MAX_EXAMPLES: usize = 1_000;
/// Most bytes of all questions and statements of a connection's examples.
const MAX_EXAMPLE_BYTES: usize = 1 << 20;
const MAX_DEFINITION_BYTES: usize = 256 << 10;
const MAX_NOTES_BYTES: usize = 8 << 10;
const MAX_TABLES: usize = 1_000;
const MAX_COLUMNS: usize = 2_000;
const MAX_MEASURES: usize = 500;
const MAX_JOINS: usize = 500;
const MAX_SYNONYMS: usize = 50;
const MAX_ALIASES: usize = 500;
const MAX_DESCRIPTION_BYTES: usize = 1 << 10;
const MAX_EXPRESSION_BYTES: usize = 2 << 10;
const MAX_WORD_CHARS: usize = 100;
const MAX_VALUE_CHARS: usize = 200;
const MAX_NAME_BYTES: usize = 400;
const MAX_QUESTION_BYTES: usize = 4 << 10;
const MAX_SQL_BYTES: usize = 32 << 10;

/// What is missing, too long or too much, by path.
pub(super) fn of_definitions(definitions: &Definitions) -> Vec<FieldViolation> {
    let Definitions { notes, tables, measures, joins } = definitions;
    let mut found = Found::default();
    let bytes = serde_json::to_vec(definitions).map_or(0, |text| text.len());
    if bytes > MAX_DEFINITION_BYTES {
        // Of no field alone.
        found.bad(
            "tables",
            format!("all definitions together are {bytes} bytes; at most {MAX_DEFINITION_BYTES} are accepted"),
        );
    }
    found.bytes("notes", notes, MAX_NOTES_BYTES);
    found.count("tables", tables.len(), MAX_TABLES);
    found.count("measures", measures.len(), MAX_MEASURES);
    found.count("joins", joins.len(), MAX_JOINS);
    for (place, table) in tables.iter().enumerate() {
        found.table(&format!("tables[{place}]"), table);
    }
    let mut names = HashSet::new();
    for (place, measure) in measures.iter().enumerate() {
        found.measure(&format!("measures[{place}]"), measure, &mut names);
    }
    for (place, PreferredJoin { left, right, description }) in joins.iter().enumerate() {
        let path = format!("joins[{place}]");
        found.required(&format!("{path}.left"), left, MAX_NAME_BYTES);
        found.required(&format!("{path}.right"), right, MAX_NAME_BYTES);
        found.bytes(&format!("{path}.description"), description, MAX_DESCRIPTION_BYTES);
    }
    found.0
}

/// What is missing or too long in an example, by path.
pub(super) fn of_example(question: &str, sql: &str, prefix: &str) -> Vec<FieldViolation> {
    let mut found = Found::default();
    found.required(&format!("{prefix}question"), question, MAX_QUESTION_BYTES);
    found.required(&format!("{prefix}sql"), sql, MAX_SQL_BYTES);
    found.0
}

/// Why there are too many examples, if there are.
pub(super) fn too_many(examples: &[Example]) -> Option<String> {
    if examples.len() > MAX_EXAMPLES {
        return Some(format!("a connection has at most {MAX_EXAMPLES} examples; delete one first"));
    }
    let bytes: usize = examples.iter().map(|example| example.question.len() + example.sql.len()).sum();
    (bytes > MAX_EXAMPLE_BYTES).then(|| {
        format!("the examples of a connection have at most {MAX_EXAMPLE_BYTES} bytes together; delete one first")
    })
}

#[derive(Default)]
struct Found(Vec<FieldViolation>);

impl Found {
    fn bad(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(FieldViolation { field: field.to_owned(), description: description.into() });
    }

    fn count(&mut self, field: &str, count: usize, most: usize) {
        if count > most {
            self.bad(field, format!("has {count} entries; at most {most} are accepted"));
        }
    }

    fn bytes(&mut self, field: &str, text: &str, most: usize) {
        if text.len() > most {
            self.bad(field, format!("is {} bytes long; at most {most} are accepted", text.len()));
        } else if text.contains('\0') {
            self.bad(field, "contains NUL");
        }
    }

    fn required(&mut self, field: &str, text: &str, most: usize) {
        if text.trim().is_empty() {
            self.bad(field, "is required");
        }
        self.bytes(field, text, most);
    }

    fn word(&mut self, field: &str, text: &str, most: usize) {
        let count = text.chars().count();
        if text.trim().is_empty() {
            self.bad(field, "must not be blank");
        } else if count > most {
            self.bad(field, format!("has {count} characters; at most {most} are accepted"));
        } else if text.contains(char::is_control) {
            self.bad(field, "contains a control character");
        }
    }

    fn synonyms(&mut self, path: &str, synonyms: &[String]) {
        self.count(&format!("{path}.synonyms"), synonyms.len(), MAX_SYNONYMS);
        for (place, synonym) in synonyms.iter().enumerate() {
            self.word(&format!("{path}.synonyms[{place}]"), synonym, MAX_WORD_CHARS);
        }
    }

    fn table(&mut self, path: &str, meaning: &TableMeaning) {
        let TableMeaning { table, description, synonyms, default_filter, columns } = meaning;
        self.required(&format!("{path}.table"), table, MAX_NAME_BYTES);
        self.bytes(&format!("{path}.description"), description, MAX_DESCRIPTION_BYTES);
        self.bytes(&format!("{path}.default_filter"), default_filter, MAX_EXPRESSION_BYTES);
        self.synonyms(path, synonyms);
        self.count(&format!("{path}.columns"), columns.len(), MAX_COLUMNS);
        for (place, column) in columns.iter().enumerate() {
            self.column(&format!("{path}.columns[{place}]"), column);
        }
    }

    fn column(&mut self, path: &str, meaning: &ColumnMeaning) {
        let ColumnMeaning { column, description, synonyms, values } = meaning;
        self.required(&format!("{path}.column"), column, MAX_NAME_BYTES);
        self.bytes(&format!("{path}.description"), description, MAX_DESCRIPTION_BYTES);
        self.synonyms(path, synonyms);
        self.count(&format!("{path}.values"), values.len(), MAX_ALIASES);
        let mut seen = HashSet::new();
        for (place, ValueAlias { alias, value }) in values.iter().enumerate() {
            let path = format!("{path}.values[{place}]");
            self.word(&format!("{path}.alias"), alias, MAX_WORD_CHARS);
            if value.is_empty() {
                self.bad(&format!("{path}.value"), "is required");
            } else if value.chars().count() > MAX_VALUE_CHARS || value.contains('\0') {
                self.bad(
                    &format!("{path}.value"),
                    format!("must have at most {MAX_VALUE_CHARS} characters, without NUL"),
                );
            }
            if !seen.insert(alias.to_lowercase()) {
                self.bad(&format!("{path}.alias"), "stands for another value of the column already");
            }
        }
    }

    fn measure(&mut self, path: &str, measure: &Measure, names: &mut HashSet<String>) {
        let Measure { name, synonyms, table, expression, description } = measure;
        self.word(&format!("{path}.name"), name, MAX_WORD_CHARS);
        self.synonyms(path, synonyms);
        self.required(&format!("{path}.table"), table, MAX_NAME_BYTES);
        self.required(&format!("{path}.expression"), expression, MAX_EXPRESSION_BYTES);
        self.bytes(&format!("{path}.description"), description, MAX_DESCRIPTION_BYTES);
        let own = std::iter::once((format!("{path}.name"), name));
        let others = synonyms.iter().enumerate().map(|(place, word)| (format!("{path}.synonyms[{place}]"), word));
        for (field, word) in own.chain(others) {
            if !word.trim().is_empty() && !names.insert(word.trim().to_lowercase()) {
                self.bad(&field, format!("`{word}` names a measure already; case does not count"));
            }
        }
    }
}
