//! Between which numbers the value of an expression lies, and how long a text it is at most, as far as a statement tells.

use std::collections::HashSet;

use sqlparser::ast::{
    BinaryOperator, CaseWhen, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Query,
    SelectItem, SetExpr, Spanned, UnaryOperator, Value,
};

use super::refusal::Lines;
use crate::sql::analyse::{Analysis, ColumnUse};

/// How long a text and how large a number are taken to be that the tables hold. Larger ones are there, but then the database
/// holds them: what is bounded is how much more a statement makes of them.
pub(super) const USUAL_CHARACTERS: f64 = 1_000.0;
const USUAL_NUMBER: f64 = 100_000.0;

/// Which mentions of columns are those of tables, and not of anything that the statement computes.
#[derive(Debug)]
pub(super) struct Stored {
    lines: Lines,
    places: HashSet<u32>,
}

impl Stored {
    pub fn new(text: &str, analysis: &Analysis) -> Self {
        let is_stored = |column: &&ColumnUse| !column.may_be_other && !column.scopes.is_empty();
        Self {
            lines: Lines::of(text),
            places: analysis.columns.iter().filter(is_stored).map(|column| column.position).collect(),
        }
    }

    fn holds(&self, column: &Expr) -> bool {
        self.places.contains(&self.lines.position(column.span().start))
    }
}

/// An interval of numbers, infinite where nothing is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    low: f64,
    pub high: f64,
}

impl Range {
    const ANY: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };
    const BOOLEAN: Self = Self { low: 0.0, high: 1.0 };
    const STORED: Self = Self { low: -USUAL_NUMBER, high: USUAL_NUMBER };
    const COUNT: Self = Self { low: 0.0, high: USUAL_NUMBER };

    fn new(low: f64, high: f64) -> Self {
        // Not a number: infinities that cancel each other out.
        if low <= high { Self { low, high } } else { Self::ANY }
    }

    fn exactly(number: f64) -> Self {
        Self::new(number, number)
    }

    /// The only value, when there is just one.
    pub fn exact(self) -> Option<f64> {
        (self.low >= self.high).then_some(self.low)
    }

    /// Both or either.
    fn or(self, other: Self) -> Self {
        Self::new(self.low.min(other.low), self.high.max(other.high))
    }

    /// What an operation gives that is monotone in both arguments.
    fn corners(self, other: Self, operation: impl Fn(f64, f64) -> f64) -> Self {
        let corners = [(self.low, other.low), (self.low, other.high), (self.high, other.low), (self.high, other.high)]
            .map(|(left, right)| operation(left, right));
        if corners.iter().any(|corner| corner.is_nan()) {
            return Self::ANY;
        }
        Self::new(
            corners.iter().copied().fold(f64::INFINITY, f64::min),
            corners.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        )
    }

    fn divided_by(self, other: Self) -> Self {
        if other.low <= 0.0 && other.high >= 0.0 { Self::ANY } else { self.corners(other, |left, right| left / right) }
    }

    fn modulo(self, other: Self) -> Self {
        let most = self.magnitude().min(other.magnitude());
        Self::new(-most, most)
    }

    fn magnitude(self) -> f64 {
        self.low.abs().max(self.high.abs())
    }

    fn to_the_power_of(self, other: Self) -> Self {
        let is_fixed = self.exact().is_some() && other.exact().is_some();
        let is_monotone = self.low >= 1.0 && other.low >= 0.0;
        if is_fixed || is_monotone { self.corners(other, f64::powf) } else { Self::ANY }
    }

    fn bits(self, other: Self, operator: &BinaryOperator) -> Self {
        let (left, right) = (self.low >= 0.0, other.low >= 0.0);
        match operator {
            BinaryOperator::BitwiseAnd if left && right => Self::new(0.0, self.high.min(other.high)),
            BinaryOperator::BitwiseAnd if left => Self::new(0.0, self.high),
            BinaryOperator::BitwiseAnd if right => Self::new(0.0, other.high),
            BinaryOperator::PGBitwiseShiftLeft if left && right => self.corners(other, |bits, by| bits * by.exp2()),
            BinaryOperator::PGBitwiseShiftRight if left && right => Self::new(0.0, self.high),
            BinaryOperator::BitwiseOr | BinaryOperator::PGBitwiseXor if left && right => {
                Self::new(0.0, self.high + other.high)
            }
            _ => Self::ANY,
        }
    }
}

/// The values that an expression may have.
pub(super) fn of(expression: &Expr, stored: &Stored) -> Range {
    let of = |expression: &Expr| of(expression, stored);
    match expression {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) if stored.holds(expression) => Range::STORED,
        Expr::Value(value) => literal(&value.value),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => of(inner),
        Expr::Cast { expr: inner, data_type, .. } => cast(of(inner), Some(data_type)),
        Expr::Convert { expr: inner, data_type, .. } => cast(of(inner), data_type.as_ref()),
        Expr::Ceil { expr: inner, .. } | Expr::Floor { expr: inner, .. } => rounded(of(inner)),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => of(expr),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let Range { low, high } = of(expr);
            Range::new(-high, -low)
        }
        Expr::BinaryOp { left, op, right } => binary(of(left), op, of(right)),
        Expr::Case { conditions, else_result, .. } => {
            alternatives(conditions, else_result.as_deref()).map(of).reduce(Range::or).unwrap_or(Range::ANY)
        }
        Expr::Subquery(query) => only_output(query).map_or(Range::ANY, of),
        Expr::Function(call) if counts(call) => Range::COUNT,
        Expr::Function(call) => named(call).map_or(Range::ANY, |(name, arguments)| of_call(&name, &arguments, stored)),
        _ => Range::ANY,
    }
}

fn literal(value: &Value) -> Range {
    match value {
        // A text that is a number; anything else in it, and the database reads what this does not.
        Value::Number(text, _) | Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => {
            text.trim().replace('_', "").parse().map_or(Range::ANY, Range::exactly)
        }
        Value::Boolean(_) => Range::BOOLEAN,
        Value::Null => Range::exactly(0.0),
        _ => Range::ANY,
    }
}

/// -1 as an unsigned number is a very large one.
fn cast(value: Range, to: Option<&DataType>) -> Range {
    let is_unsigned = to.is_some_and(|to| to.to_string().to_ascii_uppercase().contains("UNSIGNED"));
    if is_unsigned && value.low < 0.0 { Range::ANY } else { value }
}

fn rounded(Range { low, high }: Range) -> Range {
    Range::new(low.floor(), high.ceil())
}

fn binary(left: Range, operator: &BinaryOperator, right: Range) -> Range {
    match operator {
        BinaryOperator::Plus => left.corners(right, |left, right| left + right),
        BinaryOperator::Minus => left.corners(right, |left, right| left - right),
        BinaryOperator::Multiply => left.corners(right, |left, right| left * right),
        BinaryOperator::Divide | BinaryOperator::MyIntegerDivide => left.divided_by(right),
        BinaryOperator::Modulo => left.modulo(right),
        BinaryOperator::PGExp => left.to_the_power_of(right),
        BinaryOperator::Gt
        | BinaryOperator::Lt
        | BinaryOperator::GtEq
        | BinaryOperator::LtEq
        | BinaryOperator::Eq
        | BinaryOperator::NotEq
        | BinaryOperator::And
        | BinaryOperator::Or
        | BinaryOperator::Xor => Range::BOOLEAN,
        operator => left.bits(right, operator),
    }
}

fn alternatives<'a>(conditions: &'a [CaseWhen], otherwise: Option<&'a Expr>) -> impl Iterator<Item = &'a Expr> {
    conditions.iter().map(|condition| &condition.result).chain(otherwise)
}

fn of_call(name: &str, arguments: &[&Expr], stored: &Stored) -> Range {
    let of = |expression: &Expr| of(expression, stored);
    let values = || arguments.iter().map(|argument| of(argument));
    match (name, arguments) {
        ("length" | "char_length" | "character_length" | "octet_length" | "lengthb", [text]) => {
            Range::new(0.0, characters(text, stored))
        }
        ("least", [_, ..]) | ("min", [_, _, ..]) => values()
            .reduce(|one, other| Range::new(one.low.min(other.low), one.high.min(other.high)))
            .unwrap_or(Range::ANY),
        ("greatest", [_, ..]) | ("max", [_, _, ..]) => values()
            .reduce(|one, other| Range::new(one.low.max(other.low), one.high.max(other.high)))
            .unwrap_or(Range::ANY),
        ("min" | "max" | "avg" | "any_value" | "nullif", [value, ..]) => of(value),
        ("coalesce" | "ifnull" | "nvl", [_, ..]) => values().reduce(Range::or).unwrap_or(Range::ANY),
        ("if" | "iif" | "nvl2", [_, then, otherwise]) => of(then).or(of(otherwise)),
        ("abs", [value]) => {
            let Range { low, high } = of(value);
            let least = if low <= 0.0 && high >= 0.0 { 0.0 } else { low.abs().min(high.abs()) };
            Range::new(least, of(value).magnitude())
        }
        ("ceil" | "ceiling" | "floor" | "round" | "trunc", [value]) => rounded(of(value)),
        ("round" | "trunc" | "truncate", [value, digits]) if of(digits).low >= 0.0 => rounded(of(value)),
        ("mod", [left, right]) => of(left).modulo(of(right)),
        ("div", [left, right]) => of(left).divided_by(of(right)),
        ("pow" | "power", [base, exponent]) => of(base).to_the_power_of(of(exponent)),
        ("sign", [_]) => Range::new(-1.0, 1.0),
        _ => Range::ANY,
    }
}

/// The most characters that the value of an expression has.
pub(super) fn characters(expression: &Expr, stored: &Stored) -> f64 {
    let characters = |expression: &Expr| characters(expression, stored);
    match expression {
        Expr::Value(value) => {
            value.value.clone().into_string().map_or(USUAL_CHARACTERS, |text| text.chars().count() as f64)
        }
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => characters(inner),
        Expr::Cast { expr: inner, data_type, .. } => characters(inner).max(padded(data_type)),
        Expr::BinaryOp { left, op: BinaryOperator::StringConcat, right } => characters(left) + characters(right),
        Expr::Case { conditions, else_result, .. } => {
            alternatives(conditions, else_result.as_deref()).map(characters).fold(0.0, f64::max)
        }
        Expr::Subquery(query) => only_output(query).map_or(USUAL_CHARACTERS, characters),
        Expr::Function(call) => named(call).map_or(USUAL_CHARACTERS, |(name, arguments)| {
            // What no call makes longer is at most as long as all that goes into it.
            made_by(&name, &arguments, stored)
                .unwrap_or_else(|| arguments.iter().map(|argument| characters(argument)).sum::<f64>().max(1.0))
        }),
        _ => USUAL_CHARACTERS,
    }
}

/// Types that fill a text up to their length.
fn padded(to: &DataType) -> f64 {
    let text = to.to_string().to_ascii_uppercase();
    let fills = ["CHAR(", "CHARACTER(", "BPCHAR(", "BIT(", "BINARY("].iter().any(|name| text.starts_with(name));
    let length = text.split(['(', ' ', ')']).nth(1).and_then(|length| length.parse().ok());
    if fills { length.unwrap_or(1.0) } else { 0.0 }
}

/// How many characters, bytes or elements a call makes; `None` for calls that make nothing longer.
pub(super) fn made_by(name: &str, arguments: &[&Expr], stored: &Stored) -> Option<f64> {
    let most = |index: usize| Some(of(arguments.get(index)?, stored).high.max(0.0));
    let characters = |index: usize| Some(characters(arguments.get(index)?, stored));
    match name {
        "zeroblob" | "randomblob" | "space" | "random_bytes" => most(0),
        "lpad" | "rpad" | "lpad_oracle" | "rpad_oracle" => most(1),
        // An empty text is as long however often it is repeated, and still takes as many steps.
        "repeat" => Some(most(1)? * characters(0)?.max(1.0)),
        // Replacing a sign by a word is no growth to speak of.
        "replace" | "replace_oracle" => {
            characters(2).filter(|by| *by > USUAL_CHARACTERS).and_then(|by| Some(characters(0)? * by))
        }
        "array_fill" => match arguments.get(1)? {
            Expr::Array(dimensions) => Some(dimensions.elem.iter().map(|length| of(length, stored).high).product()),
            _ => Some(f64::INFINITY),
        },
        _ => None,
    }
}

/// The one expression that a plain SELECT gives.
fn only_output(query: &Query) -> Option<&Expr> {
    let SetExpr::Select(select) = &*query.body else { return None };
    match select.projection.as_slice() {
        [SelectItem::UnnamedExpr(only) | SelectItem::ExprWithAlias { expr: only, .. }] => Some(only),
        _ => None,
    }
}

/// Calls whose value is a number of rows: to count too many takes longer than a statement may.
fn counts(call: &Function) -> bool {
    let name = call.name.0.last().and_then(|name| name.as_ident());
    let is = |counter: &&str| name.is_some_and(|name| name.value.eq_ignore_ascii_case(counter));
    ["count", "row_number", "rank", "dense_rank", "ntile"].iter().any(is)
}

fn named(call: &Function) -> Option<(String, Vec<&Expr>)> {
    let name = call.name.0.last()?.as_ident()?.value.to_ascii_lowercase();
    match &call.args {
        FunctionArguments::List(list) => Some((name, plain(&list.args)?)),
        FunctionArguments::None | FunctionArguments::Subquery(_) => None,
    }
}

/// The arguments when all of them are expressions without a name.
pub(super) fn plain(arguments: &[FunctionArg]) -> Option<Vec<&Expr>> {
    let expression = |argument| match argument {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expression)) => Some(expression),
        _ => None,
    };
    arguments.iter().map(expression).collect()
}
