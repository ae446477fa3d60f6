//! The checks that both engines share: measured facts in, a verdict out. What a model wrote can skip none of them.

use std::fmt::Write as _;

use crate::domain::evidence::{
    DoubtKind, Evidence, GuardVerdict, NameKind, PlannerVerdict, UnknownName, UnmatchedLiteral,
};
use crate::domain::outputs::{
    AggregateFunction, Check, CheckKind, PlannedAggregation, PlannerOutput, ValidatorOutput, Verdict,
};
use crate::domain::{Facts, SqlError};

/// Judges a statement on what was measured about it: parse, read-only, schema, planner, semantics, in this order.
///
/// The first check that fails decides, and the later ones are skipped. What runs but may not be meant is a warning, and the
/// statement stays valid: a literal that is not in the data, a join beside the keys, a column that is neither grouped nor
/// aggregated, a number for each group where the plan asks for one. [`insist`] says what of it is worth another attempt. A
/// name that only the planner knows is a warning too.
#[must_use]
pub fn judge(evidence: &Evidence, facts: &Facts, plan: Option<&PlannerOutput>) -> ValidatorOutput {
    let findings = [
        (CheckKind::Parse, parse(evidence)),
        (CheckKind::ReadOnly, read_only(evidence)),
        (CheckKind::Schema, schema(evidence, facts)),
        (CheckKind::Planner, planner(evidence)),
        (CheckKind::Semantics, semantics(evidence, plan)),
    ];
    let estimate = evidence.estimate.clone();
    let mut output = ValidatorOutput { is_valid: true, estimate, ..ValidatorOutput::default() };
    for (kind, finding) in findings {
        let finding = if output.is_valid { finding } else { Finding::skipped("an earlier check failed") };
        if finding.verdict == Verdict::Failed {
            output.is_valid = false;
            output.errors.push(finding.detail.clone());
            output.feedback = feedback(&finding);
            output.sql_error.clone_from(&finding.error);
        }
        output.checks.push(Check { kind, verdict: finding.verdict, detail: finding.detail });
    }
    if output.is_valid {
        output.doubts = worth_asking(evidence, plan);
    }
    output
}

/// The verdict with its doubts as findings, so that the composer hears of them; the same verdict where there are none.
///
/// For a composer that can learn from them, and once: who proposes the same again means it.
#[must_use]
pub fn insist(mut verdict: ValidatorOutput) -> ValidatorOutput {
    if !verdict.is_valid || verdict.doubts.is_empty() {
        return verdict;
    }
    verdict.is_valid = false;
    verdict.errors.clone_from(&verdict.doubts);
    verdict.feedback =
        format!("{}. If the statement says what is meant all the same, give it again.", verdict.doubts.join("; "));
    for check in verdict.checks.iter_mut().filter(|check| check.kind == CheckKind::Semantics) {
        check.verdict = Verdict::Failed;
    }
    verdict
}

struct Finding {
    verdict: Verdict,
    detail: String,
    error: Option<SqlError>,
}

impl Finding {
    fn new(verdict: Verdict, detail: impl Into<String>) -> Self {
        Self { verdict, detail: detail.into(), error: None }
    }

    fn passed(detail: impl Into<String>) -> Self {
        Self::new(Verdict::Passed, detail)
    }

    fn skipped(reason: impl Into<String>) -> Self {
        Self::new(Verdict::Skipped, reason)
    }

    fn failed(detail: impl Into<String>, error: &SqlError) -> Self {
        Self { error: Some(error.clone()), ..Self::new(Verdict::Failed, detail) }
    }
}

fn parse(evidence: &Evidence) -> Finding {
    match &evidence.guard {
        GuardVerdict::NotUnderstood(error) => {
            Finding::failed(format!("the statement is not understood: {}", error.message), error)
        }
        _ => Finding::passed("one statement"),
    }
}

fn read_only(evidence: &Evidence) -> Finding {
    match &evidence.guard {
        GuardVerdict::NotAllowed { rule, error } => {
            Finding::failed(format!("the statement is not allowed ({rule}): {}", error.message), error)
        }
        _ => Finding::passed("it only reads"),
    }
}

fn schema(evidence: &Evidence, facts: &Facts) -> Finding {
    let Some(first) = evidence.unknown_names.first() else {
        return Finding::passed("every table and column exists");
    };
    let details: Vec<String> = evidence.unknown_names.iter().map(|name| unknown(name, facts)).collect();
    if matches!(evidence.planner, PlannerVerdict::Accepted { .. }) {
        // The database knows its own names best.
        return Finding::new(Verdict::Warning, details.join("; "));
    }
    let error = SqlError { message: details[0].clone(), position: first.position, ..SqlError::default() };
    Finding::failed(details.join("; "), &error)
}

/// What does not exist, and what there is instead.
fn unknown(name: &UnknownName, facts: &Facts) -> String {
    const TABLES_NAMED: usize = 20;
    let mut text = match name.kind {
        NameKind::Table => format!("there is no table {}", name.name),
        NameKind::Column => format!("there is no column {}", name.name),
    };
    if !name.nearest.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(text, "; perhaps {}", name.nearest.join(" or "));
    } else if name.kind == NameKind::Table {
        let tables: Vec<&str> =
            facts.schema.tables.iter().map(|table| table.name.as_str()).take(TABLES_NAMED).collect();
        let _ = write!(text, "; the tables are {}", tables.join(", "));
    }
    text
}

fn planner(evidence: &Evidence) -> Finding {
    match &evidence.planner {
        PlannerVerdict::Accepted { .. } => Finding::passed("the database accepts it"),
        PlannerVerdict::Refused(error) => Finding::failed(format!("the database refuses it: {}", error.message), error),
        PlannerVerdict::Skipped(reason) => Finding::skipped(reason.clone()),
    }
}

fn semantics(evidence: &Evidence, plan: Option<&PlannerOutput>) -> Finding {
    let literals = evidence.unmatched_literals.iter().map(unmatched);
    let doubts = evidence.doubts.iter().map(|doubt| doubt.message.clone());
    let details: Vec<String> = literals.chain(doubts).chain(too_many_rows(evidence, plan)).collect();
    if details.is_empty() {
        return Finding::passed(
            "joins follow keys, groups are whole, and every text is in the data, as far as it is known",
        );
    }
    Finding::new(Verdict::Warning, details.join("; "))
}

/// What is likely enough to be wrong that the composer should look at it again.
fn worth_asking(evidence: &Evidence, plan: Option<&PlannerOutput>) -> Vec<String> {
    let misspelt = evidence
        .unmatched_literals
        .iter()
        .filter(|literal| !literal.nearest.is_empty() || !literal.elsewhere.is_empty());
    let doubts = evidence.doubts.iter().filter(|doubt| doubt.kind != DoubtKind::Grouping);
    let doubts = doubts.map(|doubt| match doubt.position {
        0 => doubt.message.clone(),
        position => format!("{} (at character {position})", doubt.message),
    });
    misspelt.map(unmatched).chain(doubts).chain(too_many_rows(evidence, plan)).collect()
}

/// A text that its column does not hold, and what there is instead. Values stand in quotes as SQL writes them, so that
/// whoever withholds them knows where they end.
fn unmatched(literal: &UnmatchedLiteral) -> String {
    let UnmatchedLiteral { column, literal, nearest, elsewhere } = literal;
    let quoted = |value: &String| format!("'{}'", value.replace('\'', "''"));
    let mut text = format!("{} is not in {}.{}", quoted(literal), column.table, column.column);
    if !nearest.is_empty() {
        let nearest: Vec<String> = nearest.iter().map(quoted).collect();
        // Writing to a String cannot fail.
        let _ = write!(text, "; perhaps {}", nearest.join(" or "));
    }
    if !elsewhere.is_empty() {
        let places: Vec<String> = elsewhere.iter().map(|path| format!("{}.{}", path.table, path.column)).collect();
        let _ = write!(text, "; it is in {}", places.join(" and "));
    }
    text
}

/// A number for each group where the plan asks for one number of everything.
fn too_many_rows(evidence: &Evidence, plan: Option<&PlannerOutput>) -> Option<String> {
    let plan = plan?;
    let counts = |item: &PlannedAggregation| {
        use AggregateFunction::{Average, Count, CountDistinct, Sum};
        matches!(item.function, Count | CountDistinct | Sum | Average)
    };
    let one_number = matches!(plan.aggregations.as_slice(), [only] if counts(only))
        && plan.group_by.is_empty()
        && plan.order_by.is_empty()
        && plan.limit.is_none();
    (one_number && evidence.one_row == Some(false))
        .then(|| "the plan asks for one number, and the statement returns one for each group".to_owned())
}

/// What the composer is told: the finding, its place and the hint.
fn feedback(finding: &Finding) -> String {
    let mut text = finding.detail.clone();
    if let Some(error) = &finding.error {
        if error.position > 0 {
            let _ = write!(text, " (at character {})", error.position);
        }
        if !error.hint.is_empty() {
            let _ = write!(text, ". Hint: {}", error.hint);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::evidence::{Doubt, UnmatchedLiteral};
    use crate::domain::outputs::Estimate;
    use crate::domain::{ColumnPath, DatabaseKind, Schema, ValueIndex};

    fn facts() -> Facts {
        let schema = Schema { dialect: DatabaseKind::Sqlite, tables: Vec::new(), fingerprint: String::new() };
        Facts::new(Arc::new(schema), Arc::new(ValueIndex::default()), jiff::civil::date(2026, 11, 23))
    }

    fn evidence() -> Evidence {
        Evidence {
            sql: "SELECT 1".into(),
            guard: GuardVerdict::Allowed,
            unknown_names: Vec::new(),
            planner: PlannerVerdict::Accepted { plan: String::new() },
            unmatched_literals: Vec::new(),
            estimate: Estimate::default(),
            doubts: Vec::new(),
            one_row: None,
        }
    }

    fn check(evidence: &Evidence, verdicts: [Verdict; 5], feedback: &str) {
        let output = judge(evidence, &facts(), None);
        let found: Vec<Verdict> = output.checks.iter().map(|check| check.verdict).collect();
        assert_eq!(found, verdicts);
        assert_eq!(output.feedback, feedback);
        assert_eq!(output.is_valid, !verdicts.contains(&Verdict::Failed));
        assert_eq!(output.sql_error.is_some(), !output.is_valid);
    }

    #[test]
    fn the_first_failed_check_decides() {
        use Verdict::{Failed, Passed, Skipped, Warning};
        let error = SqlError { message: "no".into(), position: 8, hint: "do".into(), sqlstate: String::new() };
        check(&evidence(), [Passed; 5], "");
        check(
            &Evidence { guard: GuardVerdict::NotUnderstood(error.clone()), ..evidence() },
            [Failed, Skipped, Skipped, Skipped, Skipped],
            "the statement is not understood: no (at character 8). Hint: do",
        );
        check(
            &Evidence {
                guard: GuardVerdict::NotAllowed { rule: "reads_only".into(), error: error.clone() },
                ..evidence()
            },
            [Passed, Failed, Skipped, Skipped, Skipped],
            "the statement is not allowed (reads_only): no (at character 8). Hint: do",
        );
        let unknown = UnknownName {
            name: "a.nam".into(),
            kind: NameKind::Column,
            position: 3,
            nearest: vec!["artist.name".into()],
        };
        check(
            &Evidence { unknown_names: vec![unknown], planner: PlannerVerdict::Refused(error.clone()), ..evidence() },
            [Passed, Passed, Failed, Skipped, Skipped],
            "there is no column a.nam; perhaps artist.name (at character 3)",
        );
        check(
            &Evidence { planner: PlannerVerdict::Refused(error), ..evidence() },
            [Passed, Passed, Passed, Failed, Skipped],
            "the database refuses it: no (at character 8). Hint: do",
        );
        let literal = UnmatchedLiteral {
            column: ColumnPath { schema: "main".into(), table: "t".into(), column: "c".into() },
            literal: "Rok".into(),
            nearest: vec!["Rock".into()],
            elsewhere: Vec::new(),
        };
        check(
            &Evidence {
                planner: PlannerVerdict::Skipped("an inline schema has no database".into()),
                unmatched_literals: vec![literal],
                ..evidence()
            },
            [Passed, Passed, Passed, Skipped, Warning],
            "",
        );
    }

    #[test]
    fn a_doubt_is_worth_one_attempt() {
        let doubt = |kind| Doubt { kind, message: "odd".into(), position: 7 };
        let literal = |nearest: &[&str]| UnmatchedLiteral {
            column: ColumnPath { schema: "main".into(), table: "t".into(), column: "c".into() },
            literal: "d'Or".into(),
            nearest: nearest.iter().map(ToString::to_string).collect(),
            elsewhere: Vec::new(),
        };
        let doubted = Evidence {
            doubts: vec![doubt(DoubtKind::Join)],
            unmatched_literals: vec![literal(&["dOr"])],
            ..evidence()
        };
        let verdict = judge(&doubted, &facts(), None);
        assert!(verdict.is_valid && verdict.checks[4].verdict == Verdict::Warning, "{verdict:?}");
        let insisted = insist(verdict);
        assert!(!insisted.is_valid && insisted.checks[4].verdict == Verdict::Failed);
        assert_eq!(
            insisted.feedback,
            "'d''Or' is not in t.c; perhaps 'dOr'; odd (at character 7). If the statement says what is meant all the same, \
             give it again."
        );
        for mild in [
            Evidence { doubts: vec![doubt(DoubtKind::Grouping)], ..evidence() },
            Evidence { unmatched_literals: vec![literal(&[])], ..evidence() },
        ] {
            let verdict = judge(&mild, &facts(), None);
            assert_eq!(verdict.checks[4].verdict, Verdict::Warning);
            assert!(insist(verdict).is_valid, "nothing better is known: {mild:?}");
        }
    }

    #[test]
    fn one_number_is_not_a_number_for_each_group() {
        let count = PlannedAggregation { function: AggregateFunction::Count, column: String::new() };
        let plan = PlannerOutput { aggregations: vec![count], ..PlannerOutput::default() };
        let grouped = Evidence { one_row: Some(false), ..evidence() };
        assert_eq!(judge(&grouped, &facts(), Some(&plan)).doubts.len(), 1);
        let per_city = PlannerOutput { group_by: vec!["city".into()], ..plan.clone() };
        assert!(judge(&grouped, &facts(), Some(&per_city)).doubts.is_empty());
        for one_row in [None, Some(true)] {
            assert!(judge(&Evidence { one_row, ..evidence() }, &facts(), Some(&plan)).doubts.is_empty());
        }
    }
}
