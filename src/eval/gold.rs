//! Runs the validator's doubts over correct statements: each one raised is a false alarm.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::civil::Date;

use super::context::answerable;
use super::run::{Error, Progress, facts};
use super::suite::Item;
use crate::agents::validator;
use crate::domain::evidence::{Evidence, GuardVerdict, PlannerVerdict};
use crate::domain::outputs::Estimate;
use crate::domain::{DatabaseKind, Facts};
use crate::queries::{doubts, unmatched_literals};
use crate::sql::analyse::analyse;
use crate::sql::guard::{self, Policy};

/// What the checks said of correct statements.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoldReport {
    /// Statements.
    pub total: usize,
    /// Statements that the guard refuses; the checks do not see them.
    pub refused: usize,
    /// Statements that a composer would be asked to look at again, with what it would be told.
    pub doubted: Vec<(String, String)>,
    /// Statements with a warning, whether or not a composer would hear of it.
    pub warned: usize,
}

/// Checks every gold statement of the suites.
pub fn check_gold(
    suites: &[PathBuf],
    databases: &Path,
    today: Date,
    mut on_progress: impl FnMut(Progress),
) -> Result<GoldReport, Error> {
    let items = answerable(suites)?;
    let mut groups: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
    for item in &items {
        groups.entry(&item.db).or_default().push(item);
    }
    let total = items.len();
    let mut report = GoldReport { total, ..GoldReport::default() };
    let mut progress = Progress { done: 0, total, answered: 0 };
    for (db, items) in groups {
        let facts = facts(databases, db, today)?;
        for item in items {
            check(item, &facts, &mut report);
            progress.done += 1;
            progress.answered = progress.done - report.doubted.len() - report.refused;
            on_progress(progress);
        }
    }
    Ok(report)
}

fn check(item: &Item, facts: &Facts, report: &mut GoldReport) {
    let Some(gold) = &item.gold_sql else { return };
    let Ok(sql) = guard::check(gold, &Policy::reads(DatabaseKind::Sqlite)) else {
        report.refused += 1;
        return;
    };
    let analysis = analyse(&sql);
    let evidence = Evidence {
        sql: gold.clone(),
        guard: GuardVerdict::Allowed,
        unknown_names: Vec::new(),
        planner: PlannerVerdict::Accepted { plan: String::new() },
        unmatched_literals: unmatched_literals(analysis, &facts.schema, &facts.values),
        doubts: doubts(analysis, &facts.schema, &facts.values),
        one_row: analysis.one_row,
        estimate: Estimate::default(),
    };
    report.warned += usize::from(!evidence.doubts.is_empty() || !evidence.unmatched_literals.is_empty());
    let verdict = validator::judge(&evidence, facts, None);
    if !verdict.doubts.is_empty() {
        report.doubted.push((item.id.clone(), verdict.doubts.join("; ")));
    }
}
