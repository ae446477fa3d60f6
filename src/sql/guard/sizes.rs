//! Bounds on sizes that a statement writes out, where one call could fill the memory.

use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, UnaryOperator, Value};

/// Longest text or blob that a call may ask for.
const MOST_CHARACTERS: f64 = 1_000_000.0;
/// Most rows of a generated series.
const MOST_STEPS: f64 = 10_000_000.0;

/// What is wrong with the sizes of a call of the function `name` (in lower case), if anything.
pub(super) fn complaint(name: &str, arguments: &[FunctionArg]) -> Option<String> {
    let arguments = plain(arguments);
    let count = match name {
        "zeroblob" | "randomblob" | "space" | "random_bytes" => arguments.first(),
        "repeat" | "lpad" | "rpad" => arguments.get(1),
        "printf" | "format" => return format_complaint(name, arguments.first().copied()),
        "generate_series" => return series_complaint(&arguments),
        _ => return None,
    };
    let too_long = number(count?).is_some_and(|count| count > MOST_CHARACTERS);
    too_long.then(|| format!("{name} may ask for at most {MOST_CHARACTERS} characters"))
}

/// SQLite's `printf` fills a width in one step that nothing can interrupt, so widths must be small and readable.
fn format_complaint(name: &str, format: Option<&Expr>) -> Option<String> {
    let Some(Expr::Value(format)) = format else {
        return Some(format!("the first argument of {name} must be a literal"));
    };
    let Value::SingleQuotedString(format) = &format.value else {
        return Some(format!("the first argument of {name} must be a literal"));
    };
    let mut parts = format.replace("%%", "");
    if let Some(first) = parts.find('%') {
        parts.drain(..first);
    } else {
        return None;
    }
    let long_width = parts
        .split(|character: char| !character.is_ascii_digit())
        .any(|digits| digits.parse::<f64>().is_ok_and(|width| width > MOST_CHARACTERS));
    let taken_width = parts.split('%').any(|part| {
        part.trim_start_matches(|character: char| character.is_ascii_digit() || "-+ #0,!.$".contains(character))
            .starts_with('*')
    });
    (long_width || taken_width).then(|| format!("widths in {name} must be literals of at most {MOST_CHARACTERS}"))
}

fn series_complaint(arguments: &[&Expr]) -> Option<String> {
    let first = number(arguments.first()?)?;
    let last = arguments.get(1).map_or(Some(f64::from(u32::MAX)), |last| number(last))?;
    let step = arguments.get(2).map_or(Some(1.0), |step| number(step))?;
    let steps = ((last - first) / step).abs();
    (steps > MOST_STEPS || steps.is_nan()).then(|| format!("generate_series may have at most {MOST_STEPS} steps"))
}

/// The arguments that are expressions without a name.
fn plain(arguments: &[FunctionArg]) -> Vec<&Expr> {
    let expression = |argument| match argument {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expression)) => Some(expression),
        _ => None,
    };
    arguments.iter().filter_map(expression).collect()
}

fn number(expression: &Expr) -> Option<f64> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.parse().ok(),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => number(expr).map(|number| -number),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } | Expr::Nested(expr) => number(expr),
        _ => None,
    }
}
