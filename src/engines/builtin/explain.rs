//! What was understood, in plain words.

use std::fmt::Write as _;

use super::names::{Col, Names};
use super::tree::{Expr, Filter, Literal, Query, SetOp};
use crate::domain::outputs::{AggregateFunction, Operator};

/// One sentence that says what the query computes.
pub(crate) fn sentence(query: &Query, names: &Names) -> String {
    let words = Words { names };
    let mut text = String::from(if query.distinct { "Different " } else { "" });
    text += &Words::list(query.select.iter().map(|expr| words.expr(expr)).collect());
    let tables: Vec<String> = query.tables.iter().map(|table| names.table(*table).name.clone()).collect();
    let _ = write!(text, " from {}", tables.join(" with "));
    if !query.filters.is_empty() {
        let _ = write!(text, ", where {}", words.filters(&query.filters));
    }
    if !query.group.is_empty() && query.select.iter().chain(query.order.iter().map(|(expr, _)| expr)).any(is_measure) {
        let _ = write!(text, ", per {}", Words::list(query.group.iter().map(|expr| words.expr(expr)).collect()));
    }
    if !query.having.is_empty() {
        let _ = write!(text, ", where {}", words.filters(&query.having));
    }
    if let Some((op, other)) = &query.compound {
        text += match op {
            SetOp::Intersect => ", and also ",
        };
        let _ = write!(text, "where {}", words.filters(&other.filters));
    }
    for (expr, descending) in &query.order {
        let direction = if *descending { "largest" } else { "smallest" };
        let _ = write!(text, ", {direction} {} first", words.expr(expr));
    }
    match query.limit {
        Some(1) => text.push_str(", only the first row; others may tie with it"),
        Some(limit) => {
            let _ = write!(text, ", only the first {limit} rows");
        }
        None => {}
    }
    let mut sentence: String = text.chars().take(1).flat_map(char::to_uppercase).collect();
    sentence.extend(text.chars().skip(1));
    sentence + "."
}

fn is_measure(expr: &Expr) -> bool {
    matches!(expr, Expr::CountAll | Expr::Aggregate(..))
}

struct Words<'a> {
    names: &'a Names,
}

impl Words<'_> {
    fn list(mut items: Vec<String>) -> String {
        match items.pop() {
            Some(last) if items.is_empty() => last,
            Some(last) => format!("{} and {last}", items.join(", ")),
            None => String::new(),
        }
    }

    fn col(&self, col: Col) -> String {
        self.names.column(col).name.clone()
    }

    fn expr(&self, expr: &Expr) -> String {
        match expr {
            Expr::Star => "all columns".to_owned(),
            Expr::TableStar(table) => format!("all columns of {}", self.names.table(*table).name),
            Expr::Column(col) => self.col(*col),
            Expr::CountAll => "number of rows".to_owned(),
            Expr::Aggregate(_, col) if self.names.measure(*col).is_some() => self.col(*col),
            Expr::Aggregate(function, col) => {
                let function = match function {
                    AggregateFunction::Count => "number of",
                    AggregateFunction::CountDistinct => "number of different",
                    AggregateFunction::Sum => "sum of",
                    AggregateFunction::Average => "average of",
                    AggregateFunction::Minimum => "smallest",
                    AggregateFunction::Maximum => "largest",
                };
                format!("{function} {}", self.col(*col))
            }
            Expr::Year(col) => format!("year of {}", self.col(*col)),
            Expr::Month(col) => format!("month of {}", self.col(*col)),
        }
    }

    fn filters(&self, filters: &[Filter]) -> String {
        filters.iter().map(|filter| self.filter(filter)).collect::<Vec<_>>().join(" and ")
    }

    fn filter(&self, filter: &Filter) -> String {
        match filter {
            Filter::Compare(expr, op, values) => {
                let values: Vec<String> = values.iter().map(literal).collect();
                let right = match op {
                    Operator::Between => values.join(" and "),
                    _ => values.join(", "),
                };
                format!("{} {} {right}", self.expr(expr), relation(*op)).trim_end().to_owned()
            }
            Filter::CompareQuery(expr, op, query) => {
                let inner: Vec<String> = query.select.iter().map(|expr| self.expr(expr)).collect();
                format!("{} {} the {}", self.expr(expr), relation(*op), inner.join(", "))
            }
            Filter::Search { col, negated, before, after, text } => {
                let relation = match (negated, before, after) {
                    (false, true, true) => "contains",
                    (false, false, true) => "starts with",
                    (false, true, false) => "ends with",
                    (false, false, false) => "is, in any case,",
                    (true, true, true) => "does not contain",
                    (true, false, true) => "does not start with",
                    (true, true, false) => "does not end with",
                    (true, false, false) => "is not, in any case,",
                };
                format!("{} {relation} '{text}'", self.col(*col))
            }
            Filter::Defined(index) => self.names.meaning().filters[*index].formula.plain(),
            Filter::Member(_, negated, query) => {
                let tables: Vec<&str> =
                    query.tables.iter().map(|table| self.names.table(*table).name.as_str()).collect();
                let there = if *negated { "there is no" } else { "there is a" };
                let condition = if query.filters.is_empty() {
                    String::new()
                } else {
                    format!(" with {}", self.filters(&query.filters))
                };
                format!("{there} row in {}{condition}", tables.join(" with "))
            }
            Filter::Any(parts) => parts.iter().map(|part| self.filter(part)).collect::<Vec<_>>().join(" or "),
            Filter::All(parts) => self.filters(parts),
        }
    }
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Number(text) => text.clone(),
        Literal::Text(text) => format!("'{text}'"),
    }
}

fn relation(op: Operator) -> &'static str {
    match op {
        Operator::Equal => "is",
        Operator::NotEqual => "is not",
        Operator::Less => "is below",
        Operator::LessOrEqual => "is at most",
        Operator::Greater => "is above",
        Operator::GreaterOrEqual => "is at least",
        Operator::Between => "lies between",
        Operator::In => "is one of",
        Operator::NotIn => "is none of",
        Operator::Like => "matches",
        Operator::NotLike => "does not match",
        Operator::IsNull => "is empty",
        Operator::IsNotNull => "is known",
    }
}
