//! Which names a query can see.

use sqlparser::ast::{
    Expr, Ident, ObjectNamePart, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins,
};

/// Names that one query or select adds.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// Tables, subqueries and functions of FROM, by the name they are called.
    pub sources: Vec<Source>,
    /// Common table expressions and their columns.
    pub tables: Vec<(String, Outputs)>,
    /// Aliases of the projection.
    pub aliases: Vec<String>,
}

/// One thing in FROM.
#[derive(Debug)]
pub(super) struct Source {
    pub name: String,
    pub shape: Shape,
}

impl Source {
    /// The table that it is, as an index into the analysis.
    pub(super) fn table(&self) -> Option<usize> {
        match self.shape {
            Shape::Table(index) => Some(index),
            Shape::Computed(_) => None,
        }
    }
}

/// What a source's columns are.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// A table: index into the analysis.
    Table(usize),
    /// A subquery, CTE or function.
    Computed(Outputs),
}

/// Names of columns; `None` when they cannot be told from the text.
pub(super) type Outputs = Option<Vec<String>>;

/// The columns a query hands on.
pub(super) fn outputs(query: &Query) -> Outputs {
    first_select(&query.body).and_then(|select| select.projection.iter().map(item_name).collect())
}

/// How many columns a query hands on.
pub(super) fn output_count(query: &Query) -> Option<usize> {
    match leftmost(&query.body) {
        SetExpr::Select(select) => {
            let plain =
                |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
            select.projection.iter().all(plain).then_some(select.projection.len())
        }
        SetExpr::Query(query) => output_count(query),
        SetExpr::Values(values) => values.rows.first().map(|row| row.content.len()),
        _ => None,
    }
}

/// The columns of a source whose alias may rename them: `t(a, b)`.
pub(super) fn renamed(outputs: Outputs, alias: Option<&TableAlias>) -> Outputs {
    match alias {
        Some(alias) if !alias.columns.is_empty() => {
            Some(alias.columns.iter().map(|column| column.name.value.clone()).collect())
        }
        _ => outputs,
    }
}

/// All selects of a set operation, so that its ORDER BY sees their names.
pub(super) fn selects<'a>(body: &'a SetExpr, found: &mut Vec<&'a Select>) {
    match body {
        SetExpr::Select(select) => found.push(select),
        SetExpr::SetOperation { left, right, .. } => {
            selects(left, found);
            selects(right, found);
        }
        _ => {}
    }
}

/// Every source of a FROM clause, joins included.
pub(super) fn factors(from: &[TableWithJoins]) -> impl Iterator<Item = &TableFactor> {
    fn flat(factor: &TableFactor) -> Vec<&TableFactor> {
        match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => {
                factors(std::slice::from_ref(table_with_joins)).collect()
            }
            factor => vec![factor],
        }
    }
    from.iter()
        .flat_map(|table| std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)))
        .flat_map(flat)
}

/// Aliases that a projection gives.
pub(super) fn aliases(select: &Select) -> impl Iterator<Item = String> {
    select.projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        _ => None,
    })
}

/// The parts of a name; `None` when one of them is computed.
pub(super) fn idents(parts: &[ObjectNamePart]) -> Option<Vec<&Ident>> {
    parts.iter().map(ObjectNamePart::as_ident).collect()
}

fn first_select(body: &SetExpr) -> Option<&Select> {
    match leftmost(body) {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&query.body),
        _ => None,
    }
}

fn leftmost(mut body: &SetExpr) -> &SetExpr {
    while let SetExpr::SetOperation { left, .. } = body {
        body = left;
    }
    body
}

fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name.value.clone()),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => names.last().map(|name| name.value.clone()),
        // Databases name such a column as they like.
        SelectItem::UnnamedExpr(_) => Some(String::new()),
        _ => None,
    }
}
