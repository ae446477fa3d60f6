//! From the query tree to SQL text. What the dialects spell differently is in [`Dialect`].

use std::fmt::Write as _;

use super::dialect::{Dialect, Search};
use super::names::{Col, Names};
use super::tree::{Expr, Filter, Literal, Query, SetOp, hold_key};
use crate::domain::Formula;
use crate::domain::outputs::{AggregateFunction as Aggregate, Operator};

/// Prints a query as one statement in the schema's dialect, on one line.
pub(crate) fn sql(query: &Query, names: &Names) -> String {
    Printer { names, dialect: Dialect::of(names.schema()), qualified: false, spelled: false }.query(query)
}

/// Prints one query; those inside it get a printer of their own.
#[derive(Clone, Copy)]
struct Printer<'a> {
    names: &'a Names,
    dialect: Dialect<'a>,
    /// Whether columns stand with their tables.
    qualified: bool,
    /// Whether shown texts must only equal their own spelling: rows of two queries are held against each other.
    spelled: bool,
}

impl Printer<'_> {
    fn query(self, query: &Query) -> String {
        let printer =
            Self { qualified: query.tables.len() > 1, spelled: self.spelled || query.compound.is_some(), ..self };
        printer.parts(query)
    }

    fn parts(self, query: &Query) -> String {
        let groups = self.groups(query);
        let distinct = query.distinct && groups.is_empty();
        let shown = query.select.iter().map(|expr| self.shown(expr));
        let mut sql = format!("SELECT {}{}", if distinct { "DISTINCT " } else { "" }, list(shown));
        sql += " FROM ";
        sql += &self.table(query.tables[0]);
        for (table, edge) in query.tables[1..].iter().zip(&query.edges) {
            let pairs = edge.child.iter().zip(&edge.parent);
            let on: Vec<String> =
                pairs.map(|(child, parent)| format!("{} = {}", self.col(*child), self.col(*parent))).collect();
            let _ = write!(sql, " JOIN {} ON {}", self.table(*table), on.join(" AND "));
        }
        if !query.filters.is_empty() {
            sql += " WHERE ";
            sql += &self.all(&query.filters);
        }
        if !groups.is_empty() {
            sql += " GROUP BY ";
            sql += &list(groups.iter().flat_map(|expr| self.grouped(expr, &groups)));
        }
        if !query.having.is_empty() {
            sql += " HAVING ";
            sql += &self.all(&query.having);
        }
        if let Some((op, other)) = &query.compound {
            sql += match op {
                SetOp::Intersect => " INTERSECT ",
            };
            sql += &self.query(other);
        }
        let keys: Vec<(Expr, bool)> =
            query.order.iter().cloned().chain(query.ties.iter().map(|expr| (expr.clone(), false))).collect();
        if !keys.is_empty() {
            sql += " ORDER BY ";
            sql += &list(keys.iter().map(|(expr, descending)| self.sorted(expr, *descending, &groups)));
        }
        if let Some(limit) = query.limit {
            let _ = write!(sql, " LIMIT {limit}");
        }
        sql
    }

    /// What rows are grouped by. Every column that is shown is among it, as the standard asks; equal rows are shown once by
    /// a group too, where DISTINCT would take different texts for equal or could not be sorted.
    fn groups(self, query: &Query) -> Vec<Expr> {
        let mut groups = query.group.clone();
        let folds = |expr: &Expr| matches!(expr, Expr::Column(col) if self.dialect.folds(self.names.column(*col)));
        let shown: Vec<Expr> = query.select.iter().flat_map(|expr| self.columns(expr, query)).collect();
        let once = query.distinct
            && query.group.is_empty()
            && query.compound.is_none()
            && (shown.iter().any(folds)
                || query.order.iter().any(|(expr, _)| !shown.contains(expr))
                || (self.dialect.sorts_distinct_by_what_it_shows() && !query.order.is_empty()));
        if once || !groups.is_empty() {
            for expr in shown {
                if !groups.contains(&expr) {
                    groups.push(expr);
                }
            }
        }
        groups
    }

    /// The columns behind something shown; none behind an aggregate.
    fn columns(self, expr: &Expr, query: &Query) -> Vec<Expr> {
        let all = |table: usize| self.names.columns(table).map(Expr::Column);
        match expr {
            Expr::Star => query.tables.iter().flat_map(|table| all(*table)).collect(),
            Expr::TableStar(table) => all(*table).collect(),
            Expr::Column(_) | Expr::Year(_) | Expr::Month(_) => vec![expr.clone()],
            Expr::CountAll | Expr::Aggregate(..) => Vec::new(),
        }
    }

    fn shown(self, expr: &Expr) -> String {
        match expr {
            Expr::Column(col) if self.spelled && self.dialect.folds(self.names.column(*col)) => {
                let column = self.names.column(*col);
                let name = self.dialect.identifier(&column.name);
                format!("{} AS {name}", self.dialect.spelled(column, self.col(*col)))
            }
            // A measure is called by its name.
            Expr::Aggregate(Aggregate::Sum, col) if self.names.measure(*col).is_some() && !self.spelled => {
                format!("{} AS {}", self.expr(expr), self.dialect.identifier(&self.names.column(*col).name))
            }
            expr => self.expr(expr),
        }
    }

    /// A group key; with a text, the bytes of its spelling where the text alone would join different ones.
    fn grouped(self, expr: &Expr, groups: &[Expr]) -> Vec<String> {
        let sql = self.expr(expr);
        let also = match expr {
            Expr::Column(col) if !hold_key(groups, self.names, col.table) => {
                self.dialect.also_grouped(self.names.column(*col), &sql)
            }
            _ => None,
        };
        std::iter::once(sql).chain(also).collect()
    }

    /// A sort key. A column that groups are not told apart by stands for its first value, or its last.
    fn sorted(self, expr: &Expr, descending: bool, groups: &[Expr]) -> String {
        let (key, nullable) = match expr {
            Expr::Column(col) => {
                let column = self.names.column(*col);
                if groups.is_empty() || groups.contains(expr) {
                    (self.dialect.ordered(column, self.col(*col)), column.nullable)
                } else {
                    let function = if descending { Aggregate::Maximum } else { Aggregate::Minimum };
                    (self.expr(&Expr::Aggregate(function, *col)), column.nullable)
                }
            }
            Expr::Aggregate(Aggregate::Count | Aggregate::CountDistinct, _) | Expr::CountAll => {
                (self.expr(expr), false)
            }
            Expr::Aggregate(_, col) | Expr::Year(col) | Expr::Month(col) => {
                (self.expr(expr), self.names.column(*col).nullable)
            }
            Expr::Star | Expr::TableStar(_) => (self.expr(expr), false),
        };
        key + self.dialect.direction(descending, nullable)
    }

    fn expr(self, expr: &Expr) -> String {
        match expr {
            Expr::Star => "*".to_owned(),
            Expr::TableStar(table) => format!("{}.*", self.table(*table)),
            Expr::Column(col) => self.col(*col),
            Expr::CountAll => "COUNT(*)".to_owned(),
            Expr::Aggregate(_, col) if self.names.measure(*col).is_some() => {
                let measure = self.names.measure(*col);
                measure.map(|measure| self.formula(col.table, &measure.formula)).unwrap_or_default()
            }
            Expr::Aggregate(function, col) => {
                let (column, sql, dialect) = (self.names.column(*col), self.col(*col), self.dialect);
                match function {
                    Aggregate::Count => format!("COUNT({sql})"),
                    Aggregate::CountDistinct => format!("COUNT(DISTINCT {})", dialect.counted(column, sql)),
                    Aggregate::Sum => format!("SUM({})", dialect.number(column, sql)),
                    Aggregate::Average => format!("AVG({})", dialect.averaged(column, sql)),
                    Aggregate::Minimum => format!("MIN({})", dialect.extreme(column, sql)),
                    Aggregate::Maximum => format!("MAX({})", dialect.extreme(column, sql)),
                }
            }
            Expr::Year(col) => self.dialect.period(self.names.column(*col), &self.col(*col), false),
            Expr::Month(col) => self.dialect.period(self.names.column(*col), &self.col(*col), true),
        }
    }

    fn all(self, filters: &[Filter]) -> String {
        filters.iter().map(|filter| self.filter(filter)).collect::<Vec<_>>().join(" AND ")
    }

    fn filter(self, filter: &Filter) -> String {
        match filter {
            Filter::Compare(Expr::Column(col), op, values) => self.compare_column(*col, *op, values),
            Filter::Compare(expr, op, values) => compare(&self.expr(expr), *op, &self.literals(values)),
            Filter::CompareQuery(expr, op, query) => {
                let left = match expr {
                    Expr::Column(col) => self.dialect.number(self.names.column(*col), self.col(*col)),
                    expr => self.expr(expr),
                };
                format!("{left} {} ({})", symbol(*op), self.inner(query))
            }
            Filter::Search { col, negated, before, after, text } => {
                let search = Search { before: *before, after: *after, text };
                self.dialect.search(self.names.column(*col), &self.col(*col), search, *negated)
            }
            Filter::Defined(index) => {
                let filter = &self.names.meaning().filters[*index];
                let table = self.names.schema().tables.iter().position(|table| filter.table.is(table));
                // Only filters of tables that are there are put into a tree.
                self.formula(table.unwrap_or_default(), &filter.formula)
            }
            Filter::Member(col, negated, query) => {
                let not = if *negated { "NOT " } else { "" };
                format!("{} {not}IN ({})", self.col(*col), self.inner(query))
            }
            Filter::Any(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| self.filter(part)).collect();
                format!("({})", parts.join(" OR "))
            }
            Filter::All(parts) => format!("({})", self.all(parts)),
        }
    }

    /// An expression that people defined, in parentheses unless it is one call.
    fn formula(self, table: usize, formula: &Formula) -> String {
        let column = |name: &str| self.names.find(table, name).map_or_else(|| name.to_owned(), |col| self.col(col));
        let sql = formula.with_columns(column);
        if is_call(&sql) { sql } else { format!("({sql})") }
    }

    fn inner(self, query: &Query) -> String {
        Self { spelled: false, ..self }.query(query)
    }

    fn compare_column(self, col: Col, op: Operator, values: &[Literal]) -> String {
        let (column, sql) = (self.names.column(col), self.col(col));
        let numbers = values.iter().any(|value| matches!(value, Literal::Number(_)));
        let left = match op {
            _ if numbers => self.dialect.number(column, sql),
            Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual
            | Operator::Between => self.dialect.ranged(column, sql),
            _ => sql,
        };
        let literals: Vec<String> = values
            .iter()
            .map(|value| match value {
                Literal::Number(number) => self.dialect.number_like_in(column, number),
                Literal::Text(text) => self.dialect.text_like_in(column, text),
            })
            .collect();
        compare(&left, op, &literals)
    }

    fn literals(self, values: &[Literal]) -> Vec<String> {
        let literal = |value: &Literal| match value {
            Literal::Number(number) => number.clone(),
            Literal::Text(text) => self.dialect.text(text),
        };
        values.iter().map(literal).collect()
    }

    fn col(self, col: Col) -> String {
        let name = self.dialect.identifier(&self.names.column(col).name);
        if self.qualified { format!("{}.{name}", self.table(col.table)) } else { name }
    }

    fn table(self, table: usize) -> String {
        self.dialect.table(self.names.table(table))
    }
}

/// Whether an expression is a function with its arguments and nothing else.
fn is_call(sql: &str) -> bool {
    let Some((name, rest)) = sql.split_once('(') else { return false };
    let plain = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    let Some(arguments) = rest.strip_suffix(')').filter(|_| plain) else { return false };
    let mut depth = 0_usize;
    !arguments.contains(['\'', '"', '`'])
        && arguments.chars().all(|letter| {
            match letter {
                '(' => depth += 1,
                ')' if depth == 0 => return false,
                ')' => depth -= 1,
                _ => {}
            }
            true
        })
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn compare(left: &str, op: Operator, values: &[String]) -> String {
    let first = values.first().map_or("", String::as_str);
    match op {
        Operator::Between => format!("{left} BETWEEN {first} AND {}", values.get(1).map_or("", String::as_str)),
        Operator::In | Operator::NotIn => format!("{left} {} ({})", symbol(op), values.join(", ")),
        Operator::IsNull => format!("{left} IS NULL"),
        Operator::IsNotNull => format!("{left} IS NOT NULL"),
        other => format!("{left} {} {first}", symbol(other)),
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
