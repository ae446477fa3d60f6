//! From the query tree to SQL text, per dialect.

use std::fmt::Write as _;

use super::names::{Col, Names};
use super::tree::{Expr, Filter, Literal, Query, SetOp};
use crate::domain::DatabaseKind;
use crate::domain::outputs::{AggregateFunction, Operator};

/// Prints a query as one statement in the schema's dialect, on one line.
pub(crate) fn sql(query: &Query, names: &Names) -> String {
    Printer { names, dialect: names.schema().dialect }.query(query)
}

struct Printer<'a> {
    names: &'a Names,
    dialect: DatabaseKind,
}

impl Printer<'_> {
    fn query(&self, query: &Query) -> String {
        let qualified = query.tables.len() > 1;
        let list = |items: Vec<String>| items.join(", ");
        let mut sql = String::from(if query.distinct { "SELECT DISTINCT " } else { "SELECT " });
        sql += &list(query.select.iter().map(|expr| self.expr(expr, qualified)).collect());
        sql += " FROM ";
        sql += &self.table(query.tables[0]);
        for (table, edge) in query.tables[1..].iter().zip(&query.edges) {
            let pairs = edge.child.iter().zip(&edge.parent);
            let on: Vec<String> = pairs
                .map(|(child, parent)| format!("{} = {}", self.col(*child, true), self.col(*parent, true)))
                .collect();
            let _ = write!(sql, " JOIN {} ON {}", self.table(*table), on.join(" AND "));
        }
        let conditions = |filters: &[Filter]| -> String {
            filters.iter().map(|filter| self.filter(filter, qualified)).collect::<Vec<_>>().join(" AND ")
        };
        if !query.filters.is_empty() {
            sql += " WHERE ";
            sql += &conditions(&query.filters);
        }
        if !query.group.is_empty() {
            sql += " GROUP BY ";
            sql += &list(query.group.iter().map(|expr| self.expr(expr, qualified)).collect());
        }
        if !query.having.is_empty() {
            sql += " HAVING ";
            sql += &conditions(&query.having);
        }
        if let Some((op, other)) = &query.compound {
            sql += match op {
                SetOp::Intersect => " INTERSECT ",
            };
            sql += &self.query(other);
        }
        if !query.order.is_empty() {
            sql += " ORDER BY ";
            let direction = |desc: &bool| if *desc { " DESC" } else { "" };
            sql += &list(query.order.iter().map(|(expr, desc)| self.expr(expr, qualified) + direction(desc)).collect());
        }
        if let Some(limit) = query.limit {
            let _ = write!(sql, " LIMIT {limit}");
        }
        sql
    }

    fn expr(&self, expr: &Expr, qualified: bool) -> String {
        match expr {
            Expr::Star => "*".to_owned(),
            Expr::TableStar(table) => format!("{}.*", self.table(*table)),
            Expr::Column(col) => self.col(*col, qualified),
            Expr::CountAll => "COUNT(*)".to_owned(),
            Expr::Aggregate(function, col) => {
                let col = self.col(*col, qualified);
                match function {
                    AggregateFunction::Count => format!("COUNT({col})"),
                    AggregateFunction::CountDistinct => format!("COUNT(DISTINCT {col})"),
                    AggregateFunction::Sum => format!("SUM({col})"),
                    AggregateFunction::Average => format!("AVG({col})"),
                    AggregateFunction::Minimum => format!("MIN({col})"),
                    AggregateFunction::Maximum => format!("MAX({col})"),
                }
            }
            Expr::Year(col) => self.date_part(*col, qualified, false),
            Expr::Month(col) => self.date_part(*col, qualified, true),
        }
    }

    fn date_part(&self, col: Col, qualified: bool, month: bool) -> String {
        let col = self.col(col, qualified);
        match (self.dialect, month) {
            (DatabaseKind::Sqlite, false) => format!("strftime('%Y', {col})"),
            (DatabaseKind::Sqlite, true) => format!("strftime('%Y-%m', {col})"),
            (DatabaseKind::Postgresql, false) => format!("to_char({col}, 'YYYY')"),
            (DatabaseKind::Postgresql, true) => format!("to_char({col}, 'YYYY-MM')"),
            (DatabaseKind::Mysql, false) => format!("date_format({col}, '%Y')"),
            (DatabaseKind::Mysql, true) => format!("date_format({col}, '%Y-%m')"),
        }
    }

    fn filter(&self, filter: &Filter, qualified: bool) -> String {
        match filter {
            Filter::Compare(expr, op, values) => self.compare(&self.expr(expr, qualified), *op, values),
            Filter::CompareQuery(expr, op, query) => {
                format!("{} {} ({})", self.expr(expr, qualified), symbol(*op), self.query(query))
            }
            Filter::Member(col, negated, query) => {
                let not = if *negated { "NOT " } else { "" };
                format!("{} {not}IN ({})", self.col(*col, qualified), self.query(query))
            }
            Filter::Any(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| self.filter(part, qualified)).collect();
                format!("({})", parts.join(" OR "))
            }
            Filter::All(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| self.filter(part, qualified)).collect();
                format!("({})", parts.join(" AND "))
            }
        }
    }

    fn compare(&self, left: &str, op: Operator, values: &[Literal]) -> String {
        let first = values.first().map(|value| self.literal(value)).unwrap_or_default();
        match op {
            Operator::Between => {
                let second = values.get(1).map(|value| self.literal(value)).unwrap_or_default();
                format!("{left} BETWEEN {first} AND {second}")
            }
            Operator::In | Operator::NotIn => {
                let values: Vec<String> = values.iter().map(|value| self.literal(value)).collect();
                let not = if op == Operator::NotIn { "NOT " } else { "" };
                format!("{left} {not}IN ({})", values.join(", "))
            }
            Operator::IsNull => format!("{left} IS NULL"),
            Operator::IsNotNull => format!("{left} IS NOT NULL"),
            Operator::Like if self.dialect == DatabaseKind::Postgresql => format!("{left} ILIKE {first}"),
            Operator::NotLike if self.dialect == DatabaseKind::Postgresql => format!("{left} NOT ILIKE {first}"),
            other => format!("{left} {} {first}", symbol(other)),
        }
    }

    fn literal(&self, literal: &Literal) -> String {
        match literal {
            Literal::Number(text) => text.clone(),
            Literal::Text(text) => {
                let text = text.replace('\'', "''");
                let text = if self.dialect == DatabaseKind::Mysql { text.replace('\\', "\\\\") } else { text };
                format!("'{text}'")
            }
        }
    }

    fn col(&self, col: Col, qualified: bool) -> String {
        let name = self.identifier(&self.names.column(col).name);
        if qualified { format!("{}.{name}", self.table(col.table)) } else { name }
    }

    fn table(&self, table: usize) -> String {
        self.identifier(&self.names.table(table).name)
    }

    fn identifier(&self, name: &str) -> String {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && (self.dialect != DatabaseKind::Postgresql || !name.contains(|c: char| c.is_ascii_uppercase()))
            && !RESERVED.contains(&name.to_ascii_lowercase().as_str());
        match self.dialect {
            _ if plain => name.to_owned(),
            DatabaseKind::Mysql => format!("`{}`", name.replace('`', "``")),
            DatabaseKind::Sqlite | DatabaseKind::Postgresql => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }
}

fn symbol(op: Operator) -> &'static str {
    match op {
        Operator::NotEqual => "<>",
        Operator::Less => "<",
        Operator::LessOrEqual => "<=",
        Operator::Greater => ">",
        Operator::GreaterOrEqual => ">=",
        Operator::Like => "LIKE",
        Operator::NotLike => "NOT LIKE",
        Operator::In => "IN",
        Operator::NotIn => "NOT IN",
        Operator::Equal | Operator::Between | Operator::IsNull | Operator::IsNotNull => "=",
    }
}

/// Words that are quoted when they are names: reserved in one of the dialects.
const RESERVED: &[&str] = &[
    "add",
    "all",
    "alter",
    "and",
    "any",
    "as",
    "asc",
    "between",
    "both",
    "by",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "condition",
    "constraint",
    "create",
    "cross",
    "current_date",
    "current_time",
    "default",
    "delete",
    "desc",
    "describe",
    "distinct",
    "div",
    "drop",
    "else",
    "end",
    "except",
    "exists",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "full",
    "function",
    "grant",
    "group",
    "groups",
    "having",
    "if",
    "in",
    "index",
    "inner",
    "insert",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "key",
    "keys",
    "lag",
    "lead",
    "leading",
    "left",
    "like",
    "limit",
    "lines",
    "match",
    "mod",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "option",
    "or",
    "order",
    "outer",
    "over",
    "primary",
    "range",
    "rank",
    "read",
    "references",
    "release",
    "repeat",
    "replace",
    "returning",
    "right",
    "row",
    "rows",
    "schema",
    "select",
    "set",
    "show",
    "some",
    "system",
    "table",
    "then",
    "to",
    "trailing",
    "transaction",
    "trigger",
    "true",
    "union",
    "unique",
    "update",
    "usage",
    "use",
    "user",
    "using",
    "values",
    "when",
    "where",
    "window",
    "with",
    "write",
];
