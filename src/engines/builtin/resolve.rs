//! Which table or column each slot means: the candidates are chosen together, so that they lie close in the schema.

use std::collections::HashMap;

use super::draft::{Draft, Key, Kind, SlotId};
use super::joins::{Edge, Joins};
use super::names::{Names, Target};

/// A target for every slot, and how well the whole fits.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    /// By slot.
    pub targets: Vec<Target>,
    /// 0 is perfect, every compromise takes something away.
    pub score: f64,
}

const BEAM: usize = 60;
const CANDIDATES: usize = 8;

/// The best assignments, best first.
pub(crate) fn resolve(draft: &Draft, names: &Names, joins: &Joins, prefers: &dyn Fn(&Edge) -> f64) -> Vec<Assignment> {
    let used = used_slots(draft);
    let mut beam = vec![Assignment { targets: Vec::new(), score: 0.0 }];
    for (id, slot) in draft.slots.iter().enumerate() {
        let mut next = Vec::new();
        for partial in &beam {
            for link in slot.candidates.iter().take(CANDIDATES) {
                let mut score = partial.score - (1.0 - link.score) * if used.contains(&id) { 1.0 } else { 0.2 };
                let table = link.target.table();
                if let Some(qualifier) = slot.qualifier.and_then(|slot| partial.targets.get(slot)) {
                    score += if qualifier.table() == table {
                        0.3
                    } else if joins.between(qualifier.table(), table).is_empty() {
                        0.0
                    } else {
                        0.08
                    };
                }
                // Slots before this one that wait for it to say their table.
                for (known, other) in partial.targets.iter().zip(&draft.slots) {
                    if other.qualifier == Some(id) && id != 0 {
                        score += if known.table() == table {
                            0.3
                        } else if joins.between(known.table(), table).is_empty() {
                            0.0
                        } else {
                            0.08
                        };
                    }
                }
                if partial.targets.first().is_some_and(|first| first.table() == table) {
                    score += 0.04;
                }
                // What is listed together lies together.
                let together = draft.items.windows(2).find_map(|pair| match (pair[0].slot, pair[1].slot) {
                    (Some(before), Some(this)) if this == id && pair[0].sentence == pair[1].sentence => Some(before),
                    _ => None,
                });
                if together.and_then(|before| partial.targets.get(before)).is_some_and(|before| before.table() == table)
                {
                    score += 0.08;
                }
                let repeated = partial.targets.iter().zip(&draft.slots).any(|(known, other)| {
                    *known == link.target && matches!(link.target, Target::Column(_)) && other.text != slot.text
                });
                if repeated {
                    score -= 0.1;
                }
                let known = partial.targets.iter().any(|known| known.table() == table);
                if !known && !partial.targets.is_empty() {
                    score -= 0.1;
                }
                let mut targets = partial.targets.clone();
                targets.push(link.target);
                next.push(Assignment { targets, score });
            }
        }
        next.sort_by(|a, b| b.score.total_cmp(&a.score));
        next.truncate(BEAM);
        beam = next;
    }
    let mut costs: HashMap<Vec<usize>, Option<f64>> = HashMap::new();
    let mut complete: Vec<Assignment> = Vec::new();
    for mut assignment in beam {
        let mut tables: Vec<usize> =
            used.iter().filter_map(|slot| assignment.targets.get(*slot)).map(|target| target.table()).collect();
        tables.sort_unstable();
        tables.dedup();
        let direct = tables.len();
        if direct == 0 {
            continue;
        }
        let cost = costs.entry(tables.clone()).or_insert_with(|| {
            joins
                .tree(&tables, prefers)
                .map(|tree| 0.12 * (tree.tables.len() - direct) as f64 + if tree.ambiguous { 0.25 } else { 0.0 })
        });
        let Some(cost) = cost else { continue };
        assignment.score -= *cost;
        complete.push(assignment);
    }
    complete.sort_by(|a, b| b.score.total_cmp(&a.score));
    let _ = names;
    complete
}

/// Slots whose tables take part in the query; the others only qualify.
pub(crate) fn used_slots(draft: &Draft) -> Vec<SlotId> {
    let items = draft.items.iter().filter_map(|item| item.slot);
    let conditions = draft.conditions.iter().map(|condition| slot_of(&condition.kind));
    let groups = draft.groups.iter().map(|(slot, _)| *slot);
    let order = draft.order.iter().filter_map(|(key, _)| match key {
        Key::Column(slot) | Key::Aggregate(_, slot) => Some(*slot),
        Key::Count(slot) => *slot,
        Key::First => None,
    });
    items.chain(conditions).chain(groups).chain(order).chain(draft.mentions.iter().copied()).collect()
}

/// The slot a condition speaks of.
pub(crate) fn slot_of(kind: &Kind) -> SlotId {
    match kind {
        Kind::Compare(slot, ..)
        | Kind::Period(slot, ..)
        | Kind::Values(slot, _)
        | Kind::Like(slot, ..)
        | Kind::Count(slot, ..)
        | Kind::Relative(slot, ..)
        | Kind::Exists(slot) => *slot,
    }
}
