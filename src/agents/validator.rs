//! The checks that both engines share: measured facts in, a verdict out. What a model wrote can skip none of them.

use std::fmt::Write as _;

use crate::domain::evidence::{Evidence, GuardVerdict, NameKind, PlannerVerdict, UnknownName};
use crate::domain::outputs::{Check, CheckKind, ValidatorOutput, Verdict};
use crate::domain::{Facts, SqlError};

/// Judges a statement on what was measured about it: parse, read-only, schema, planner, semantics, in this order.
///
/// The first check that fails decides, and the later ones are skipped. A literal that is not in the data is a warning: the
/// statement stays valid, and its result will say so by being empty. So is a name that only the planner knows.
#[must_use]
pub fn judge(evidence: &Evidence, facts: &Facts) -> ValidatorOutput {
    let findings = [
        (CheckKind::Parse, parse(evidence)),
        (CheckKind::ReadOnly, read_only(evidence)),
        (CheckKind::Schema, schema(evidence, facts)),
        (CheckKind::Planner, planner(evidence)),
        (CheckKind::Semantics, semantics(evidence)),
    ];
    let mut output = ValidatorOutput { is_valid: true, ..ValidatorOutput::default() };
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
    output
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

fn semantics(evidence: &Evidence) -> Finding {
    if evidence.unmatched_literals.is_empty() {
        return Finding::passed("every text it compares with is in the data, as far as the data is known");
    }
    let details: Vec<String> = evidence
        .unmatched_literals
        .iter()
        .map(|literal| {
            let column = format!("{}.{}", literal.column.table, literal.column.column);
            let nearest: Vec<String> = literal.nearest.iter().map(|value| format!("'{value}'")).collect();
            match nearest.as_slice() {
                [] => format!("'{}' is not in {column}", literal.literal),
                nearest => format!("'{}' is not in {column}; perhaps {}", literal.literal, nearest.join(" or ")),
            }
        })
        .collect();
    Finding::new(Verdict::Warning, details.join("; "))
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
    use crate::domain::evidence::UnmatchedLiteral;
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
        }
    }

    fn check(evidence: &Evidence, verdicts: [Verdict; 5], feedback: &str) {
        let output = judge(evidence, &facts());
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
}
