//! The checks that both engines share: measurements in, a verdict out. Nothing a model wrote can skip one.

use crate::domain::SqlError;
use crate::domain::evidence::{Evidence, GuardFinding, MissingLiteral, PlannerFinding, UnknownName};
use crate::domain::outputs::{Check, CheckKind, ValidatorOutput, Verdict};

/// Judges what was measured. The checks stand in the order in which they were made; a failed one ends the judgement,
/// and what was not measured after it is [`Verdict::Skipped`].
#[must_use]
pub fn judge(evidence: &Evidence) -> ValidatorOutput {
    let mut verdict = Judgement::default();
    match &evidence.guard {
        GuardFinding::Passed => {
            verdict.passed(CheckKind::Parse, "one statement that parses");
            verdict.passed(CheckKind::ReadOnly, "it only reads");
        }
        GuardFinding::NotUnderstood(error) => {
            verdict.refused(CheckKind::Parse, "the statement cannot be parsed", error);
            return verdict.end();
        }
        GuardFinding::NotAllowed(error) => {
            verdict.passed(CheckKind::Parse, "it parses");
            verdict.refused(CheckKind::ReadOnly, "the statement is not allowed", error);
            return verdict.end();
        }
    }
    judge_names(&mut verdict, evidence);
    match &evidence.planner {
        PlannerFinding::Accepted => verdict.passed(CheckKind::Planner, "the database has a plan for it"),
        PlannerFinding::NoDatabase => verdict.skipped(CheckKind::Planner, "the schema came without a database"),
        PlannerFinding::NotAsked => verdict.skipped(CheckKind::Planner, "an earlier check failed"),
        PlannerFinding::Refused(error) => {
            verdict.refused(CheckKind::Planner, "the database refuses the statement", error);
        }
    }
    judge_literals(&mut verdict, &evidence.missing_literals);
    verdict.end()
}

/// An unknown name that the database accepts all the same (such as `rowid`) is worth a warning, no more.
fn judge_names(verdict: &mut Judgement, evidence: &Evidence) {
    if evidence.unknown_names.is_empty() {
        verdict.passed(CheckKind::Schema, "every table and column exists");
        return;
    }
    let words = evidence.unknown_names.iter().map(describe_name).collect::<Vec<_>>().join("; ");
    if evidence.planner == PlannerFinding::Accepted {
        verdict.warning(CheckKind::Schema, words);
    } else {
        verdict.failed(CheckKind::Schema, words);
    }
}

fn judge_literals(verdict: &mut Judgement, missing: &[MissingLiteral]) {
    if missing.is_empty() {
        verdict.passed(CheckKind::Semantics, "every text it compares with stands in the data");
        return;
    }
    let words = missing.iter().map(describe_literal).collect::<Vec<_>>().join("; ");
    // Without a value that looks like it, the question may really be about something that is not there.
    if missing.iter().any(|literal| !literal.nearest.is_empty()) {
        verdict.failed(CheckKind::Semantics, words);
    } else {
        verdict.warning(CheckKind::Semantics, words);
    }
}

fn describe_name(unknown: &UnknownName) -> String {
    let kind = if unknown.is_table { "table" } else { "column" };
    format!("there is no {kind} `{}`{}", unknown.name, did_you_mean(&unknown.nearest, '`'))
}

fn describe_literal(literal: &MissingLiteral) -> String {
    let MissingLiteral { column, text, nearest } = literal;
    format!("no row has '{text}' in {column}{}", did_you_mean(nearest, '\''))
}

fn did_you_mean(nearest: &[String], quote: char) -> String {
    if nearest.is_empty() {
        return String::new();
    }
    let names: Vec<String> = nearest.iter().map(|name| format!("{quote}{name}{quote}")).collect();
    format!("; the nearest: {}", names.join(", "))
}

#[derive(Default)]
struct Judgement {
    output: ValidatorOutput,
}

impl Judgement {
    fn passed(&mut self, kind: CheckKind, detail: &str) {
        self.check(kind, Verdict::Passed, detail.to_owned());
    }

    fn skipped(&mut self, kind: CheckKind, detail: &str) {
        self.check(kind, Verdict::Skipped, detail.to_owned());
    }

    fn warning(&mut self, kind: CheckKind, detail: String) {
        self.check(kind, Verdict::Warning, detail);
    }

    fn failed(&mut self, kind: CheckKind, detail: String) {
        self.output.errors.push(detail.clone());
        self.check(kind, Verdict::Failed, detail);
    }

    fn refused(&mut self, kind: CheckKind, what: &str, error: &SqlError) {
        let place = if error.position > 0 { format!(" at character {}", error.position) } else { String::new() };
        let hint = if error.hint.is_empty() { String::new() } else { format!(" ({})", error.hint) };
        self.failed(kind, format!("{what}{place}: {}{hint}", error.message));
        self.output.sql_error = Some(error.clone());
    }

    fn check(&mut self, kind: CheckKind, verdict: Verdict, detail: String) {
        self.output.checks.push(Check { kind, verdict, detail });
    }

    /// Fills in what was not reached and draws the conclusion.
    fn end(mut self) -> ValidatorOutput {
        const ALL: [CheckKind; 5] =
            [CheckKind::Parse, CheckKind::ReadOnly, CheckKind::Schema, CheckKind::Planner, CheckKind::Semantics];
        for kind in ALL.into_iter().skip(self.output.checks.len()) {
            self.skipped(kind, "an earlier check failed");
        }
        self.output.is_valid = self.output.errors.is_empty();
        self.output.feedback = self.output.errors.join(". ");
        self.output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(evidence: &Evidence, verdicts: [Verdict; 5], feedback: &str) {
        let output = judge(evidence);
        let found: Vec<Verdict> = output.checks.iter().map(|check| check.verdict).collect();
        assert_eq!(found, verdicts, "{output:?}");
        assert!(output.feedback.contains(feedback), "{}", output.feedback);
        assert_eq!(output.is_valid, output.feedback.is_empty());
    }

    fn error(message: &str) -> SqlError {
        SqlError { message: message.to_owned(), position: 8, ..SqlError::default() }
    }

    use Verdict::{Failed, Passed, Skipped, Warning};

    #[test]
    fn a_statement_that_passes_everything_is_valid() {
        let evidence = Evidence { planner: PlannerFinding::Accepted, ..Evidence::default() };
        check(&evidence, [Passed; 5], "");
    }

    #[test]
    fn the_guard_ends_the_judgement() {
        let evidence = Evidence { guard: GuardFinding::NotUnderstood(error("what?")), ..Evidence::default() };
        check(&evidence, [Failed, Skipped, Skipped, Skipped, Skipped], "at character 8: what?");
        let evidence = Evidence { guard: GuardFinding::NotAllowed(error("no DROP")), ..Evidence::default() };
        check(&evidence, [Passed, Failed, Skipped, Skipped, Skipped], "no DROP");
    }

    #[test]
    fn unknown_names_and_the_planner_speak_together() {
        let unknown = UnknownName { name: "nam".into(), is_table: false, nearest: vec!["name".into()] };
        let planner = PlannerFinding::Refused(error("no such column: nam"));
        let evidence = Evidence { unknown_names: vec![unknown], planner, ..Evidence::default() };
        check(&evidence, [Passed, Passed, Failed, Failed, Passed], "there is no column `nam`; the nearest: `name`");
        let evidence = Evidence { planner: PlannerFinding::Accepted, ..evidence };
        check(&evidence, [Passed, Passed, Warning, Passed, Passed], "");
    }

    #[test]
    fn literals_fail_only_when_something_looks_like_them() {
        let missing = |nearest: Vec<String>| Evidence {
            planner: PlannerFinding::NoDatabase,
            missing_literals: vec![MissingLiteral { column: "t.city".into(), text: "Pariss".into(), nearest }],
            ..Evidence::default()
        };
        check(&missing(vec!["Paris".into()]), [Passed, Passed, Passed, Skipped, Failed], "the nearest: 'Paris'");
        check(&missing(vec![]), [Passed, Passed, Passed, Skipped, Warning], "");
    }
}
