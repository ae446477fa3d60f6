//! Bounds on sizes that a statement writes out, where one call could fill the memory.

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value,
};

use crate::domain::DatabaseKind;

/// Longest text or blob that a call may ask for.
const MOST_CHARACTERS: f64 = 1_000_000.0;
/// Most rows of a generated series.
const MOST_STEPS: f64 = 10_000_000.0;

/// What is wrong with the sizes of a call of the function `name` (in lower case), if anything.
pub(super) fn complaint(name: &str, arguments: &[FunctionArg], kind: DatabaseKind) -> Option<String> {
    let arguments = plain(arguments);
    match (name, kind) {
        ("printf" | "format", DatabaseKind::Sqlite) | ("format", DatabaseKind::Postgresql) => {
            return format_complaint(name, arguments.first().copied());
        }
        ("generate_series", _) => return series_complaint(&arguments),
        _ => {}
    }
    let too_long = width_of_call(name, &arguments).is_some_and(|width| width > MOST_CHARACTERS);
    too_long.then(|| format!("{name} may ask for at most {MOST_CHARACTERS} characters"))
}

/// How many characters or elements a call makes, as far as literals tell; `None` for calls that make nothing long.
fn width_of_call(name: &str, arguments: &[&Expr]) -> Option<f64> {
    match name {
        "zeroblob" | "randomblob" | "space" | "random_bytes" => number(arguments.first()?),
        "lpad" | "rpad" => number(arguments.get(1)?),
        // An empty text is as long however often it is repeated, and still takes as many steps.
        "repeat" => Some(number(arguments.get(1)?)? * width(arguments.first()?).max(1.0)),
        "array_fill" => match arguments.get(1)? {
            Expr::Array(dimensions) => dimensions.elem.iter().map(number).product(),
            _ => None,
        },
        _ => None,
    }
}

/// How long the value of an expression is, as far as literals tell.
fn width(expression: &Expr) -> f64 {
    match expression {
        Expr::Value(value) => value.value.clone().into_string().map_or(1.0, |text| text.chars().count() as f64),
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } | Expr::Collate { expr: inner, .. } => width(inner),
        Expr::BinaryOp { left, op: BinaryOperator::StringConcat, right } => width(left) + width(right),
        Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) => {
            let arguments = plain(&list.args);
            let name = name.0.last().map(|name| name.to_string().to_ascii_lowercase()).unwrap_or_default();
            let longest = || arguments.iter().map(|argument| width(argument)).sum();
            width_of_call(&name, &arguments).unwrap_or_else(longest)
        }
        _ => 1.0,
    }
}

/// SQLite's `printf` fills a width in one step that nothing can interrupt, so widths must be small and readable.
fn format_complaint(name: &str, format: Option<&Expr>) -> Option<String> {
    let format = match format {
        Some(Expr::Value(format)) => format.value.clone().into_string(),
        _ => None,
    };
    let Some(format) = format else { return Some(format!("the first argument of {name} must be a literal")) };
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

/// The value of a sum of literals.
fn number(expression: &Expr) -> Option<f64> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) | Value::SingleQuotedString(text) => text.trim().replace('_', "").parse().ok(),
            // Nobody writes a size so without wishing to hide it.
            Value::HexStringLiteral(_) => Some(f64::INFINITY),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => number(expr).map(|number| -number),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } | Expr::Nested(expr) | Expr::Cast { expr, .. } => number(expr),
        Expr::BinaryOp { left, op, right } => {
            let (left, right) = (number(left)?, number(right)?);
            match op {
                BinaryOperator::Plus => Some(left + right),
                BinaryOperator::Minus => Some(left - right),
                BinaryOperator::Multiply => Some(left * right),
                BinaryOperator::Divide => Some(left / right),
                BinaryOperator::PGExp => Some(left.powf(right)),
                BinaryOperator::PGBitwiseShiftLeft => Some(left * right.exp2()),
                _ => None,
            }
        }
        Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) => {
            let name = name.0.last()?.to_string().to_ascii_lowercase();
            match (name.as_str(), plain(&list.args).as_slice()) {
                ("pow" | "power", [base, exponent]) => Some(number(base)?.powf(number(exponent)?)),
                _ => None,
            }
        }
        _ => None,
    }
}
