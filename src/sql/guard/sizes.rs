//! Bounds on sizes that a statement asks for, where one call could fill the memory.
//!
//! What a call makes must be bounded by the statement itself: a literal, or an expression whose value cannot be large
//! whatever the tables hold. Rows are another matter: a query that makes too many of them runs into its time limit.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArguments, ObjectName, Spanned, Statement, TableFactor, TableFunctionArgs,
    Value, Visit, Visitor,
};

use super::range::{self, Stored, USUAL_CHARACTERS, made_by, plain};
use super::refusal::{Finding, Rule};
use crate::domain::DatabaseKind;
use crate::sql::analyse::Analysis;

/// Most characters of a text, bytes of a blob or elements of an array that a call may make.
const MOST_CHARACTERS: f64 = 1_000_000.0;
/// Most rows of a generated series whose ends are written out.
const MOST_STEPS: f64 = 10_000_000.0;

/// Functions whose result may be much longer than what goes into it: none of them takes arguments by name.
const SIZED: [&str; 15] = [
    "zeroblob",
    "randomblob",
    "space",
    "random_bytes",
    "lpad",
    "rpad",
    "lpad_oracle",
    "rpad_oracle",
    "repeat",
    "replace",
    "replace_oracle",
    "array_fill",
    "format",
    "printf",
    "sformat",
];

/// Checks the sizes that all calls of a statement ask for.
pub(super) fn check(statement: &Statement, text: &str, analysis: &Analysis, kind: DatabaseKind) -> Result<(), Finding> {
    let mut walker = Walker { kind, stored: Stored::new(text, analysis), longest: USUAL_CHARACTERS, growth: 1.0 };
    match statement.visit(&mut walker) {
        ControlFlow::Break(finding) => Err(finding),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Walker {
    kind: DatabaseKind,
    stored: Stored,
    /// The longest text that a call makes so far, and how often those that repeat another's text do so together: one may
    /// work on what another made.
    longest: f64,
    growth: f64,
}

impl Visitor for Walker {
    type Break = Finding;

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Finding> {
        match expression {
            Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) => self.call(name, &list.args),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Finding> {
        match factor {
            TableFactor::Table { name, args: Some(TableFunctionArgs { args, .. }), .. }
            | TableFactor::Function { name, args, .. } => self.call(name, args),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Walker {
    fn call(&mut self, name: &ObjectName, arguments: &[FunctionArg]) -> ControlFlow<Finding> {
        let last = name.0.last().and_then(|last| last.as_ident());
        let lower = last.map(|last| last.value.to_ascii_lowercase()).unwrap_or_default();
        match self.complaint(&lower, arguments) {
            Some((message, hint)) => ControlFlow::Break(Finding::new(Rule::TooLarge, name.span(), message).hint(hint)),
            None => ControlFlow::Continue(()),
        }
    }

    /// What is wrong with the sizes of a call of the function `name` (in lower case), if anything, and what helps.
    fn complaint(&mut self, name: &str, arguments: &[FunctionArg]) -> Option<Complaint> {
        if !SIZED.contains(&name) && name != "generate_series" {
            return None;
        }
        let kind = self.kind;
        let Some(arguments) = plain(arguments) else { return Some(unbounded(name, kind)) };
        match (name, kind) {
            ("printf" | "format", DatabaseKind::Sqlite) | ("format", DatabaseKind::Postgresql) => {
                return format_complaint(name, arguments.first().copied());
            }
            ("sformat", DatabaseKind::Mysql) => return format_complaint(name, arguments.first().copied()),
            ("generate_series", _) => return series_complaint(&arguments, &self.stored),
            _ => {}
        }
        let made = made_by(name, &arguments, &self.stored)?;
        if made == f64::INFINITY {
            return Some(unbounded(name, kind));
        }
        match (name, arguments.first()) {
            ("repeat", Some(text)) if !matches!(text, Expr::Value(_)) => {
                self.growth *= (made / range::characters(text, &self.stored)).max(1.0);
            }
            _ => self.longest = self.longest.max(made),
        }
        (made > MOST_CHARACTERS || self.longest * self.growth > MOST_CHARACTERS).then(|| {
            let message = format!("{name} would make more than {MOST_CHARACTERS} characters");
            (message, "ask for less".to_owned())
        })
    }
}

/// What is wrong, and what helps.
type Complaint = (String, String);

fn unbounded(name: &str, kind: DatabaseKind) -> Complaint {
    let least = if kind == DatabaseKind::Sqlite { "min" } else { "least" };
    (
        format!("how much {name} makes is not bounded by the statement"),
        format!("write a number, or bound it as in {least}(n, 1000)"),
    )
}

/// SQLite's `printf` fills a width in one step that nothing can interrupt, so widths must be small and readable.
fn format_complaint(name: &str, format: Option<&Expr>) -> Option<Complaint> {
    let format = match format {
        Some(Expr::Value(format)) => text(&format.value),
        _ => None,
    };
    let Some(format) = format else {
        return Some((
            format!("the first argument of {name} must be a literal"),
            "write the format as one literal, or put texts together with ||".to_owned(),
        ));
    };
    let is_wide = if name == "sformat" { has_wide_field(&format) } else { has_wide_directive(&format) };
    is_wide.then(|| {
        let message = format!("widths in {name} must be literals of at most {MOST_CHARACTERS}");
        (message, "write a small width into the format".to_owned())
    })
}

/// The text of a literal that is one, and not the digits of a blob.
fn text(literal: &Value) -> Option<String> {
    match literal {
        Value::HexStringLiteral(_)
        | Value::SingleQuotedByteStringLiteral(_)
        | Value::DoubleQuotedByteStringLiteral(_) => None,
        literal => literal.clone().into_string(),
    }
}

/// `%9999999d` and `%*d`.
fn has_wide_directive(format: &str) -> bool {
    let parts = format.replace("%%", "");
    let Some(first) = parts.find('%') else { return false };
    has_large_number(&parts[first..])
        || parts[first..].split('%').any(|part| {
            let is_flag = |character: char| character.is_ascii_digit() || "-+ #0,!.$l".contains(character);
            part.trim_start_matches(is_flag).starts_with('*')
        })
}

/// `{:9999999}` and `{:{}}`.
fn has_wide_field(format: &str) -> bool {
    let parts = format.replace("{{", "");
    let Some(first) = parts.find('{') else { return false };
    has_large_number(&parts[first..]) || parts.split('{').any(|part| !part.contains('}') && part.contains(':'))
}

fn has_large_number(text: &str) -> bool {
    let mut numbers = text.split(|character: char| !character.is_ascii_digit());
    numbers.any(|digits| digits.parse::<f64>().is_ok_and(|width| width > MOST_CHARACTERS))
}

fn series_complaint(arguments: &[&Expr], stored: &Stored) -> Option<Complaint> {
    let number = |expression: &Expr| range::of(expression, stored).exact();
    let first = number(arguments.first()?)?;
    let last = arguments.get(1).map_or(Some(f64::from(u32::MAX)), |last| number(last))?;
    let step = arguments.get(2).map_or(Some(1.0), |step| number(step))?;
    let steps = ((last - first) / step).abs();
    (steps > MOST_STEPS || steps.is_nan()).then(|| {
        (format!("generate_series may have at most {MOST_STEPS} steps"), "ask for a shorter series".to_owned())
    })
}
