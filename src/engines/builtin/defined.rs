//! What people defined, in a reading: totals of measures, conditions that hold unless the question speaks of their columns,
//! and the sentences that say what was used.

use super::chunks::Chunk;
use super::cues::Cue;
use super::draft::{Draft, Kind, in_column};
use super::names::{Col, Names, Target, phrase};
use super::reading::{Lexicon, Reading};
use super::tree::{Filter, Query};
use crate::domain::knowledge::{Alias, DefaultFilter};
use crate::domain::outputs::AggregateFunction as Aggregate;

/// "Revenue by month" asks for the total revenue of each month: a measure that nothing is computed of is a total.
pub(super) fn with_totals(chunks: Vec<Chunk>, names: &Names) -> Vec<Chunk> {
    let is_measure =
        |chunk: &Chunk| !chunk.names.is_empty() && chunk.names.iter().all(|link| names.is_measure(link.target));
    let mut with: Vec<Chunk> = Vec::with_capacity(chunks.len());
    for mut chunk in chunks {
        if chunk.is(Cue::Of) && chunk.text.eq_ignore_ascii_case("by") && with.last().is_some_and(is_measure) {
            chunk.cue = Some(Cue::Each);
        }
        let computed = with.iter().rev().find(|before: &&Chunk| !before.noise && !before.is(Cue::Of));
        let computed = computed.is_some_and(|before| matches!(before.cue, Some(Cue::Aggregate(_) | Cue::Count)));
        if is_measure(&chunk) && !computed {
            with.push(Chunk {
                text: "total".to_owned(),
                cue: Some(Cue::Aggregate(Aggregate::Sum)),
                ..Chunk::default()
            });
        }
        with.push(chunk);
    }
    with
}

/// Adds the default filters of every table that is read, unless the question speaks of their columns; says which.
pub(super) fn narrow(query: &mut Query, draft: &Draft, targets: &[Target], names: &Names) -> Vec<String> {
    let spoken: Vec<Target> =
        targets.iter().zip(&draft.slots).filter(|(_, slot)| !slot.text.is_empty()).map(|(target, _)| *target).collect();
    let mut used = Vec::new();
    let mut said = Vec::new();
    for (index, DefaultFilter { table, formula }) in names.meaning().filters.iter().enumerate() {
        let Some(place) = names.schema().tables.iter().position(|known| table.is(known)) else { continue };
        let columns: Vec<Target> =
            formula.columns().filter_map(|column| names.find(place, column)).map(Target::Column).collect();
        if spoken.iter().any(|target| columns.contains(target)) {
            continue;
        }
        used.push((place, index));
    }
    for (place, index) in used {
        if add(query, place, index) {
            let DefaultFilter { table, formula } = &names.meaning().filters[index];
            said.push(format!("{}: {} (your default filter)", table.table, formula.plain()));
        }
    }
    said
}

/// Adds a condition to every query that reads the table; whether there is one.
fn add(query: &mut Query, table: usize, index: usize) -> bool {
    let mut added = false;
    for filter in query.filters.iter_mut().chain(&mut query.having) {
        added |= add_inside(filter, table, index);
    }
    if let Some((_, other)) = &mut query.compound {
        added |= add(other, table, index);
    }
    if query.tables.contains(&table) {
        query.filters.push(Filter::Defined(index));
        added = true;
    }
    added
}

fn add_inside(filter: &mut Filter, table: usize, index: usize) -> bool {
    match filter {
        Filter::CompareQuery(_, _, query) | Filter::Member(_, _, query) => add(query, table, index),
        Filter::Any(parts) | Filter::All(parts) => {
            let mut added = false;
            for part in parts {
                added |= add_inside(part, table, index);
            }
            added
        }
        Filter::Compare(..) | Filter::Search { .. } | Filter::Defined(_) => false,
    }
}

/// What of the definitions a reading uses, a sentence each.
pub(super) fn told(reading: &Reading, lexicon: &Lexicon) -> Vec<String> {
    let (names, draft) = (&lexicon.names, &reading.draft);
    let meaning = names.meaning();
    let mut said = Vec::new();
    for (slot, target) in draft.slots.iter().zip(&reading.targets) {
        let called = |words: &str| phrase(words) == phrase(&slot.text);
        match *target {
            Target::Column(col) if names.measure(col).is_some() => {
                let measures = names.measure(col).into_iter();
                said.extend(
                    measures.map(|measure| {
                        format!("{} = {} (from your definitions)", measure.name, measure.formula.plain())
                    }),
                );
            }
            target => {
                let table = names.table(target.table());
                let column = match target {
                    Target::Column(col) => Some(names.column(col).name.as_str()),
                    Target::Table(_) => None,
                };
                let defined = meaning.synonyms.iter().any(|synonym| {
                    synonym.table.is(table) && synonym.column.as_deref() == column && called(&synonym.words)
                });
                if defined {
                    let column = column.map(|column| format!(".{column}")).unwrap_or_default();
                    said.push(format!("'{}' is {}{column} (from your definitions)", slot.text, table.name));
                }
            }
        }
    }
    for condition in &draft.conditions {
        let Kind::Values(slot, alternatives) = &condition.kind else { continue };
        let Target::Column(col) = reading.targets[*slot] else { continue };
        let table = names.table(col.table);
        for value in in_column(alternatives, col).unwrap_or_default() {
            let defined = |alias: &&Alias| {
                alias.value == value
                    && alias.column.table == table.name
                    && alias.column.column == names.column(col).name
                    && draft.slots[*slot].text.to_lowercase().contains(&alias.alias.to_lowercase())
            };
            if let Some(alias) = meaning.aliases.iter().find(defined) {
                said.push(format!("'{}' is '{value}' (from your definitions)", alias.alias));
            }
        }
    }
    said.extend(filters(&reading.query).into_iter().map(|index| {
        let DefaultFilter { table, formula } = &meaning.filters[index];
        format!("{}: {} (your default filter)", table.table, formula.plain())
    }));
    let preferred = reading.query.edges.iter().filter(|edge| edge.preferred);
    said.extend(preferred.map(|edge| {
        let name = |col: Col| format!("{}.{}", names.table(col.table).name, names.column(col).name);
        format!("{} = {} (your preferred join)", name(edge.child[0]), name(edge.parent[0]))
    }));
    let mut seen = std::collections::HashSet::new();
    said.retain(|sentence| seen.insert(sentence.clone()));
    said
}

/// The default filters of a query and those inside it.
fn filters(query: &Query) -> Vec<usize> {
    fn inside(filter: &Filter, found: &mut Vec<usize>) {
        match filter {
            Filter::Defined(index) => found.push(*index),
            Filter::CompareQuery(_, _, query) | Filter::Member(_, _, query) => found.extend(filters(query)),
            Filter::Any(parts) | Filter::All(parts) => parts.iter().for_each(|part| inside(part, found)),
            Filter::Compare(..) | Filter::Search { .. } => {}
        }
    }
    let mut found = Vec::new();
    query.filters.iter().chain(&query.having).for_each(|filter| inside(filter, &mut found));
    if let Some((_, other)) = &query.compound {
        found.extend(filters(other));
    }
    found
}
