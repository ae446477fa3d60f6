//! Holds a statement against the schema and the data.

use crate::domain::evidence::{NameKind, UnknownName, UnmatchedLiteral};
use crate::domain::{ColumnPath, DatabaseKind, Schema, Table, ValueIndex};
use crate::sql::analyse::{Analysis, ColumnUse, Comparison, TableUse};

/// How many close names or values are told.
const MOST_NEAREST: usize = 3;
/// How alike (0 to 1) names and values must be to be called close.
const CLOSE: f64 = 0.75;

/// Tables and columns of the statement that the schema does not have.
///
/// A name that may be something the schema cannot know (an alias, a column of a subquery, a system table) is let pass: the
/// planner knows.
pub(super) fn unknown_names(analysis: &Analysis, schema: &Schema) -> Vec<UnknownName> {
    let mut unknown: Vec<UnknownName> = Vec::new();
    for table in &analysis.tables {
        if table_of(schema, table).is_none() && !is_system_table(table) {
            let nearest = nearest(&table.name, schema.tables.iter().map(|table| table.name.clone()));
            unknown.push(UnknownName {
                name: table.name.clone(),
                kind: NameKind::Table,
                position: table.position,
                nearest,
            });
        }
    }
    for column in &analysis.columns {
        if is_unknown_column(column, analysis, schema) {
            let name = match &column.qualifier {
                Some(qualifier) => format!("{qualifier}.{}", column.name),
                None => column.name.clone(),
            };
            let nearest = nearest_columns(column, analysis, schema);
            unknown.push(UnknownName { name, kind: NameKind::Column, position: column.position, nearest });
        }
    }
    unknown.sort_by_key(|name| name.position);
    unknown.dedup_by(|left, right| left.name == right.name);
    unknown
}

/// Texts that columns are compared with although all their values are known and none is this text.
#[must_use]
pub fn unmatched_literals(analysis: &Analysis, schema: &Schema, values: &ValueIndex) -> Vec<UnmatchedLiteral> {
    let mut unmatched: Vec<UnmatchedLiteral> = Vec::new();
    for comparison in &analysis.comparisons {
        let Some(column) = column_of(&comparison.column, analysis, schema) else { continue };
        let Some(known) = values.column(&column).filter(|known| known.complete) else { continue };
        let literal = &comparison.literal;
        if literal.is_empty() || known.distinct.iter().any(|value| matches(value, comparison)) {
            continue;
        }
        let nearest = nearest(literal, known.distinct.iter().cloned());
        let elsewhere = elsewhere(literal, values);
        let finding = UnmatchedLiteral { column, literal: literal.clone(), nearest, elsewhere };
        if !unmatched.contains(&finding) {
            unmatched.push(finding);
        }
    }
    unmatched
}

/// Columns that hold a text, whatever the case; those that hold fewest others first.
fn elsewhere(literal: &str, values: &ValueIndex) -> Vec<ColumnPath> {
    let literal = literal.to_lowercase();
    let holds = |value: &String| value.len() == literal.len() && value.to_lowercase() == literal;
    let found = values.columns().filter(|(_, known)| known.distinct.iter().any(holds));
    let mut found: Vec<(usize, &ColumnPath)> = found.map(|(path, known)| (known.distinct.len(), path)).collect();
    found.sort();
    found.into_iter().take(MOST_NEAREST).map(|(_, path)| path.clone()).collect()
}

fn matches(value: &str, comparison: &Comparison) -> bool {
    value == comparison.literal
        || (comparison.ignores_case && value.to_lowercase() == comparison.literal.to_lowercase())
}

/// The table that a statement means; PostgreSQL looks for a name without a namespace in `public`.
#[must_use]
pub fn table_of<'a>(schema: &'a Schema, table: &TableUse) -> Option<&'a Table> {
    let searched = (schema.dialect == DatabaseKind::Postgresql && table.schema.is_none()).then_some("public");
    let found = searched.and_then(|namespace| schema.table(Some(namespace), &table.name));
    found.or_else(|| schema.table(table.schema.as_deref(), &table.name))
}

/// Tables of the database system itself, which no catalog lists.
fn is_system_table(table: &TableUse) -> bool {
    let starts =
        |text: &str, prefix: &str| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let system_schema = table.schema.as_deref().is_some_and(|schema| {
        schema.eq_ignore_ascii_case("information_schema") || schema.eq_ignore_ascii_case("pg_catalog")
    });
    system_schema || ["sqlite_", "pragma_", "pg_"].iter().any(|prefix| starts(&table.name, prefix))
}

fn is_unknown_column(column: &ColumnUse, analysis: &Analysis, schema: &Schema) -> bool {
    let is_text = schema.dialect == DatabaseKind::Sqlite && column.quoted && column.qualifier.is_none();
    if column.may_be_other || is_text || (column.qualifier.is_none() && is_word_of_sql(&column.name, schema.dialect)) {
        return false;
    }
    // A table that is not there is told by itself; what its columns are, nobody knows.
    column.scopes.iter().flatten().all(|&index| {
        let table = &analysis.tables[index];
        table_of(schema, table).is_some_and(|table| !has_column(table, &column.name, schema.dialect))
    })
}

fn has_column(table: &Table, name: &str, dialect: DatabaseKind) -> bool {
    let hidden = match dialect {
        // The rowid, and the hidden columns of full-text tables: the table's own name and the rank.
        DatabaseKind::Sqlite => {
            ["rowid", "oid", "_rowid_", "rank"].iter().any(|hidden| hidden.eq_ignore_ascii_case(name))
                || table.name.eq_ignore_ascii_case(name)
        }
        DatabaseKind::Postgresql => {
            ["cmax", "cmin", "ctid", "oid", "tableoid", "xmax", "xmin"].contains(&name)
                || table.name.eq_ignore_ascii_case(name)
        }
        DatabaseKind::Mysql => false,
    };
    hidden || table.column(name).is_some()
}

/// Words that stand where a column could, such as the unit in `TIMESTAMPDIFF(MONTH, a, b)`.
fn is_word_of_sql(name: &str, dialect: DatabaseKind) -> bool {
    const UNITS: [&str; 9] = ["microsecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year"];
    const VALUES: [&str; 6] =
        ["current_date", "current_time", "current_timestamp", "current_user", "session_user", "user"];
    let is = |word: &&str| word.eq_ignore_ascii_case(name);
    VALUES.iter().any(&is) || (dialect != DatabaseKind::Sqlite && UNITS.iter().any(is))
}

/// The column that a name stands for: in the nearest query with a table that has it.
#[must_use]
pub fn column_of(column: &ColumnUse, analysis: &Analysis, schema: &Schema) -> Option<ColumnPath> {
    for scope in &column.scopes {
        let tables = scope.iter().filter_map(|&index| table_of(schema, &analysis.tables[index]));
        for table in tables {
            if let Some(found) = table.column(&column.name) {
                return Some(ColumnPath {
                    schema: table.schema.clone(),
                    table: table.name.clone(),
                    column: found.name.clone(),
                });
            }
        }
    }
    None
}

/// Columns that are close: of the tables the statement reads first, then of all others.
fn nearest_columns(column: &ColumnUse, analysis: &Analysis, schema: &Schema) -> Vec<String> {
    let read: Vec<&Table> = analysis.tables.iter().filter_map(|table| table_of(schema, table)).collect();
    let others = schema.tables.iter().filter(|table| !read.iter().any(|known| known.name == table.name));
    let mut found = close_columns(&column.name, read.iter().copied());
    if found.len() < MOST_NEAREST {
        found.extend(close_columns(&column.name, others));
    }
    let mut names = Vec::new();
    for (_, name) in found {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.truncate(MOST_NEAREST);
    names
}

fn close_columns<'a>(name: &str, tables: impl Iterator<Item = &'a Table>) -> Vec<(f64, String)> {
    let columns = tables.flat_map(|table| {
        table.columns.iter().map(move |column| (column.name.as_str(), format!("{}.{}", table.name, column.name)))
    });
    closest(name, columns)
}

fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> Vec<String> {
    let candidates: Vec<String> = candidates.collect();
    let found = closest(name, candidates.iter().map(|candidate| (candidate.as_str(), candidate.clone())));
    found.into_iter().take(MOST_NEAREST).map(|(_, candidate)| candidate).collect()
}

/// Those that are close enough, closest first.
fn closest<'a>(name: &str, candidates: impl Iterator<Item = (&'a str, String)>) -> Vec<(f64, String)> {
    let name = name.to_lowercase();
    let mut close: Vec<(f64, String)> = candidates
        .map(|(candidate, label)| (likeness(&name, &candidate.to_lowercase()), label))
        .filter(|(likeness, _)| *likeness >= CLOSE)
        .collect();
    close.sort_by(|left, right| right.0.total_cmp(&left.0).then_with(|| left.1.cmp(&right.1)));
    close
}

/// Edits, or one name within the other: `name` is close to `customer_name`.
fn likeness(left: &str, right: &str) -> f64 {
    let (short, long) = if left.len() < right.len() { (left, right) } else { (right, left) };
    let contained = short.len() >= 3 && long.contains(short);
    let edits = strsim::normalized_damerau_levenshtein(left, right);
    if contained { edits.max(0.8) } else { edits }
}
