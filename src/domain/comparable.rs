//! When two results are the same: by their rows, whatever their columns are called.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::value::{Row, Value};

/// How far two numbers may be apart, as a part of the larger one, or of 1 when both are smaller.
const TOLERANCE: f64 = 1e-6;

/// A result, reduced to what counts.
#[derive(Debug, Clone)]
pub struct Comparable {
    /// How many cells a row has.
    pub columns: usize,
    /// The rows.
    pub rows: Vec<Vec<Plain>>,
}

/// A cell without its declared type; kinds in the order in which they are sorted.
#[derive(Debug, Clone, PartialEq)]
pub enum Plain {
    /// NULL.
    Null,
    /// A number of any kind, and a truth value.
    Number(f64),
    /// Text, and what is written like it.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Plain {
    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Number(_) => 1,
            Self::Text(_) => 2,
            Self::Bytes(_) => 3,
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.total_cmp(other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Bytes(one), Self::Bytes(other)) => one.cmp(other),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn equal(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => {
                one.total_cmp(other).is_eq() || (one - other).abs() <= TOLERANCE * 1_f64.max(one.abs()).max(other.abs())
            }
            _ => self == other,
        }
    }
}

impl From<&Value> for Plain {
    fn from(value: &Value) -> Self {
        let text = || Self::Text(format!("{value:?}"));
        match value {
            Value::Null => Self::Null,
            Value::Bool(truth) => Self::Number(f64::from(u8::from(*truth))),
            Value::Int64(number) => Self::Number(*number as f64),
            Value::Uint64(number) => Self::Number(*number as f64),
            Value::Double(number) => Self::Number(*number),
            Value::Decimal(digits) => digits.parse().map_or_else(|_| Self::Text(digits.clone()), Self::Number),
            Value::Bytes(bytes) => Self::Bytes(bytes.clone()),
            Value::Array(_) => text(),
            Value::String(words)
            | Value::Date(words)
            | Value::Time(words)
            | Value::Timestamp(words)
            | Value::TimestampTz(words)
            | Value::Interval(words)
            | Value::Uuid(words)
            | Value::Json(words)
            | Value::Other(words) => Self::Text(words.clone()),
        }
    }
}

impl Comparable {
    /// Rows with their columns in an order of their own, by what they hold: of two statements that answer a question, one may
    /// name first what the other names last.
    #[must_use]
    pub fn of_rows(columns: usize, rows: &[Row]) -> Self {
        let rows: Vec<Vec<Plain>> = rows.iter().map(|row| row.iter().map(Plain::from).collect()).collect();
        let mut order: Vec<(Vec<&Plain>, usize)> = (0..columns)
            .map(|column| {
                let mut cells: Vec<&Plain> = rows.iter().filter_map(|row| row.get(column)).collect();
                cells.sort_by(|one, other| one.order(other));
                (cells, column)
            })
            .collect();
        order.sort_by(|(one, _), (other, _)| in_turn(one.iter().copied(), other.iter().copied()));
        let reordered = |row: &Vec<Plain>| order.iter().filter_map(|(_, column)| row.get(*column).cloned()).collect();
        Self { columns, rows: rows.iter().map(reordered).collect() }
    }

    /// Whether the rows are the same: as they stand, or in any order.
    #[must_use]
    pub fn same(&self, other: &Self, ordered: bool) -> bool {
        if self.columns != other.columns || self.rows.len() != other.rows.len() {
            return false;
        }
        if ordered {
            return self.rows.iter().zip(&other.rows).all(|(one, other)| equal(one, other));
        }
        let (ours, theirs) = (sorted(&self.rows), sorted(&other.rows));
        ours.iter().zip(&theirs).all(|(one, other)| equal(one, other)) || matched(&self.rows, &other.rows)
    }
}

fn equal(one: &[Plain], other: &[Plain]) -> bool {
    one.iter().zip(other).all(|(one, other)| one.equal(other))
}

fn in_turn<'a>(one: impl Iterator<Item = &'a Plain>, other: impl Iterator<Item = &'a Plain>) -> Ordering {
    one.zip(other).map(|(one, other)| one.order(other)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn sorted(rows: &[Vec<Plain>]) -> Vec<&Vec<Plain>> {
    let mut rows: Vec<&Vec<Plain>> = rows.iter().collect();
    rows.sort_by(|one, other| in_turn(one.iter(), other.iter()));
    rows
}

/// Whether every row has a partner of its own. Sorting alone may part those whose numbers differ in the last digits.
fn matched(ours: &[Vec<Plain>], theirs: &[Vec<Plain>]) -> bool {
    let kind = |row: &[Plain]| -> String {
        let kinds = row.iter().map(|cell| match cell {
            Plain::Number(_) => "1".to_owned(),
            other => format!("{other:?}"),
        });
        kinds.collect::<Vec<_>>().join("\u{1f}")
    };
    let mut left: HashMap<String, Vec<&Vec<Plain>>> = HashMap::new();
    for row in theirs {
        left.entry(kind(row)).or_default().push(row);
    }
    ours.iter().all(|row| {
        let Some(partners) = left.get_mut(&kind(row)) else { return false };
        let partner = partners.iter().position(|partner| equal(row, partner));
        partner.map(|partner| partners.remove(partner)).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: usize, rows: &[Row]) -> Comparable {
        Comparable::of_rows(columns, rows)
    }

    fn pair(city: &str, count: Value) -> Row {
        vec![Value::String(city.into()), count]
    }

    #[test]
    fn rows_are_the_same_whatever_their_columns_and_kinds() {
        let cities = [pair("Rome", Value::Int64(3)), pair("Oslo", Value::Int64(2))];
        let turned: Vec<Row> = cities.iter().rev().map(|row| row.iter().rev().cloned().collect()).collect();
        let decimal = [pair("Rome", Value::Decimal("3.00".into())), pair("Oslo", Value::Double(2.000_000_1))];
        for other in [turned, decimal.to_vec()] {
            assert!(table(2, &cities).same(&table(2, &other), false), "{other:?}");
        }
        let swapped = [pair("Rome", Value::Int64(2)), pair("Oslo", Value::Int64(3))];
        for other in [swapped.to_vec(), cities[..1].to_vec(), vec![cities[0].clone(); 2]] {
            assert!(!table(2, &cities).same(&table(2, &other), false), "{other:?}");
        }
        assert!(!table(1, &[]).same(&table(2, &[]), false), "another number of columns is another answer");
    }

    #[test]
    fn order_counts_where_it_is_asked_for() {
        let rows: Vec<Row> = [2, 1].map(|number| vec![Value::Int64(number)]).to_vec();
        let turned: Vec<Row> = rows.iter().rev().cloned().collect();
        assert!(!table(1, &rows).same(&table(1, &turned), true));
        assert!(table(1, &rows).same(&table(1, &turned), false) && table(1, &rows).same(&table(1, &rows), true));
    }

    #[test]
    fn what_is_no_number_can_be_compared_too() {
        let rows: Vec<Row> = [f64::NAN, 1.0, f64::NAN].map(|number| vec![Value::Double(number)]).to_vec();
        assert!(table(1, &rows).same(&table(1, &rows), false));
    }
}
