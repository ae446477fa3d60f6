//! Measuring a proposed statement: the guard, the names, the planner, the literals.

use super::service::planner_error;
use crate::domain::evidence::{Evidence, GuardFinding, MissingLiteral, PlannerFinding, UnknownName};
use crate::domain::outputs::ComposerOutput;
use crate::domain::{ColumnPath, Facts, Failure, Schema, Table};
use crate::sql::Database;
use crate::sql::analyse::{Analysis, ColumnUse, TableUse};
use crate::sql::guard::{self, Policy, RefusalKind};

/// Names and values offered for a wrong one.
const OFFERED: usize = 3;
/// How alike two texts must be, from 0 to 1, to be offered (Jaro-Winkler).
const ALIKE: f64 = 0.84;

/// Everything the validator judges. Without a database the planner is not asked.
pub(super) async fn measure(
    policy: &Policy,
    database: Option<&Database>,
    facts: &Facts,
    proposal: &ComposerOutput,
) -> Result<Evidence, Failure> {
    let guarded = match guard::check(&proposal.sql, policy) {
        Ok(guarded) => guarded,
        Err(refusal) => {
            let error = refusal.to_sql_error();
            let guard = match refusal.kind {
                RefusalKind::NotUnderstood => GuardFinding::NotUnderstood(error),
                RefusalKind::NotAllowed => GuardFinding::NotAllowed(error),
            };
            return Ok(Evidence { guard, ..Evidence::default() });
        }
    };
    let analysis = guarded.analysis();
    let planner = match database {
        None => PlannerFinding::NoDatabase,
        Some(database) => match planner_error(database, &guarded, &proposal.parameters).await? {
            None => PlannerFinding::Accepted,
            Some(error) => PlannerFinding::Refused(error),
        },
    };
    Ok(Evidence {
        guard: GuardFinding::Passed,
        unknown_names: unknown_names(analysis, &facts.schema),
        planner,
        missing_literals: missing_literals(analysis, facts),
        result_columns: analysis.result_columns,
    })
}

fn unknown_names(analysis: &Analysis, schema: &Schema) -> Vec<UnknownName> {
    let mut unknown = Vec::new();
    for table in &analysis.tables {
        if real_table(table, schema).is_none() {
            let names = schema.tables.iter().map(|table| table.name.as_str());
            unknown.push(UnknownName {
                name: table.name.clone(),
                is_table: true,
                nearest: nearest(&table.name, names),
            });
        }
    }
    // With an unknown table, its columns would only repeat the finding.
    if unknown.is_empty() {
        unknown.extend(analysis.columns.iter().filter_map(|column| unknown_column(column, analysis, schema)));
    }
    unknown
}

/// `None` when the column exists, or when it belongs to something that the statement makes itself.
fn unknown_column(column: &ColumnUse, analysis: &Analysis, schema: &Schema) -> Option<UnknownName> {
    if analysis.own_names.contains(&column.name.to_lowercase()) {
        return None;
    }
    let candidates = candidate_tables(column, analysis, schema)?;
    if candidates.iter().any(|table| table.column(&column.name).is_some()) {
        return None;
    }
    let names = candidates.iter().flat_map(|table| table.columns.iter().map(|column| column.name.as_str()));
    let name = match &column.qualifier {
        Some(qualifier) => format!("{qualifier}.{}", column.name),
        None => column.name.clone(),
    };
    Some(UnknownName { nearest: nearest(&column.name, names), name, is_table: false })
}

/// Tables that the column may belong to; `None` when it may belong to a derived table.
fn candidate_tables<'a>(column: &ColumnUse, analysis: &Analysis, schema: &'a Schema) -> Option<Vec<&'a Table>> {
    let real = |table: &TableUse| real_table(table, schema);
    match &column.qualifier {
        Some(qualifier) => {
            let named = |table: &&TableUse| {
                let name = table.alias.as_ref().unwrap_or(&table.name);
                name.eq_ignore_ascii_case(qualifier) || table.name.eq_ignore_ascii_case(qualifier)
            };
            let tables: Vec<&Table> = analysis.tables.iter().filter(named).filter_map(real).collect();
            (!tables.is_empty() && !analysis.own_names.contains(&qualifier.to_lowercase())).then_some(tables)
        }
        None => Some(analysis.tables.iter().filter_map(real).collect::<Vec<_>>()).filter(|tables| !tables.is_empty()),
    }
}

fn real_table<'a>(table: &TableUse, schema: &'a Schema) -> Option<&'a Table> {
    schema.table(table.schema.as_deref(), &table.name)
}

/// Literals that are in none of the columns they may be compared with, where the list of values is complete.
fn missing_literals(analysis: &Analysis, facts: &Facts) -> Vec<MissingLiteral> {
    let mut missing: Vec<MissingLiteral> = Vec::new();
    for comparison in &analysis.comparisons {
        let Some(tables) = candidate_tables(&comparison.column, analysis, &facts.schema) else { continue };
        let mut owners = tables.iter().filter_map(|table| {
            let column = table.column(&comparison.column.name)?;
            Some(ColumnPath { schema: table.schema.clone(), table: table.name.clone(), column: column.name.clone() })
        });
        // A name that several tables have is the database's to resolve.
        let (Some(path), None) = (owners.next(), owners.next()) else { continue };
        let Some(values) = facts.values.column(&path).filter(|values| values.complete) else { continue };
        if values.distinct.is_empty() || values.distinct.contains(&comparison.text) {
            continue;
        }
        let found = MissingLiteral {
            column: format!("{}.{}", path.table, path.column),
            text: comparison.text.clone(),
            nearest: nearest(&comparison.text, values.distinct.iter().map(String::as_str)),
        };
        if !missing.contains(&found) {
            missing.push(found);
        }
    }
    missing
}

/// The names most like the wanted one, nearest first.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name))
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    scored.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(right.1)));
    scored.dedup_by(|left, right| left.1 == right.1);
    scored.into_iter().take(OFFERED).map(|(_, name)| name.to_owned()).collect()
}
