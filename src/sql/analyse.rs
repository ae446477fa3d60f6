//! What a statement refers to, as plain facts: tables, columns, text literals, width of the result.
//!
//! An approximation for judging and explaining, never for deciding what may run: that is the guard's.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, Statement, TableAlias,
    TableFactor, Value, Visit, Visitor, With,
};

/// Facts of one statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Analysis {
    /// Base tables and views, common table expressions left out.
    pub tables: Vec<TableUse>,
    /// Columns that are read.
    pub columns: Vec<ColumnUse>,
    /// Names that the statement makes itself: aliases of tables, columns, derived tables and common table expressions.
    pub own_names: BTreeSet<String>,
    /// Columns compared with text literals by `=`, `<>` or IN.
    pub comparisons: Vec<Comparison>,
    /// Columns of the result; `None` when a `*` hides it.
    pub result_columns: Option<usize>,
}

/// A table as the statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableUse {
    /// Schema, when written.
    pub schema: Option<String>,
    /// Table or view.
    pub name: String,
    /// Alias, when given.
    pub alias: Option<String>,
}

/// A column as the statement names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ColumnUse {
    /// Table name or alias, when written.
    pub qualifier: Option<String>,
    /// The column.
    pub name: String,
}

/// A column and a text it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The column.
    pub column: ColumnUse,
    /// The literal.
    pub text: String,
}

/// Reads the facts off a syntax tree.
#[must_use]
pub(super) fn analyse(statement: &Statement) -> Analysis {
    let mut reader = Reader::default();
    let _ = statement.visit(&mut reader);
    let Reader { mut analysis, .. } = reader;
    let own = &analysis.own_names;
    analysis.tables.retain(|table| {
        table.schema.is_some() || !own.contains(&table.name.to_lowercase()) || table_is_its_own_alias(table)
    });
    let mut seen = BTreeSet::new();
    analysis.columns.retain(|column| seen.insert(column.clone()));
    if let Statement::Query(query) = statement {
        analysis.result_columns = result_columns(&query.body);
    }
    analysis
}

/// `FROM city AS city` makes the name `city`, and still reads the table.
fn table_is_its_own_alias(table: &TableUse) -> bool {
    table.alias.as_ref().is_some_and(|alias| alias.eq_ignore_ascii_case(&table.name))
}

#[derive(Default)]
struct Reader {
    analysis: Analysis,
}

impl Visitor for Reader {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(With { cte_tables, .. }) = &query.with {
            for table in cte_tables {
                self.own(&table.alias);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.analysis.own_names.insert(alias.value.to_lowercase());
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                if let Some(table) = table_use(name, alias.as_ref()) {
                    self.analysis.tables.push(table);
                }
            }
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. }
            | TableFactor::JsonTable { alias: Some(alias), .. }
            | TableFactor::NestedJoin { alias: Some(alias), .. } => self.own(alias),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        match expression {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
                self.analysis.columns.extend(column_use(expression));
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::NotEq, right } => {
                self.compare(left, right);
                self.compare(right, left);
            }
            Expr::InList { expr, list, .. } => list.iter().for_each(|item| self.compare(expr, item)),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Reader {
    fn own(&mut self, alias: &TableAlias) {
        self.analysis.own_names.insert(alias.name.value.to_lowercase());
        self.analysis.own_names.extend(alias.columns.iter().map(|column| column.name.value.to_lowercase()));
    }

    fn compare(&mut self, column: &Expr, literal: &Expr) {
        let Some(column) = column_use(column) else { return };
        let Expr::Value(value) = literal else { return };
        if let Value::SingleQuotedString(text) = &value.value {
            self.analysis.comparisons.push(Comparison { column, text: text.clone() });
        }
    }
}

fn table_use(name: &ObjectName, alias: Option<&TableAlias>) -> Option<TableUse> {
    let mut parts = name.0.iter().rev().filter_map(ObjectNamePart::as_ident);
    let table = parts.next()?.value.clone();
    let schema = parts.next().map(|part| part.value.clone());
    Some(TableUse { schema, name: table, alias: alias.map(|alias| alias.name.value.clone()) })
}

fn column_use(expression: &Expr) -> Option<ColumnUse> {
    match expression {
        Expr::Identifier(name) => Some(ColumnUse { qualifier: None, name: name.value.clone() }),
        Expr::CompoundIdentifier(parts) => {
            let mut parts = parts.iter().rev();
            let name = parts.next()?.value.clone();
            Some(ColumnUse { qualifier: parts.next().map(|part| part.value.clone()), name })
        }
        Expr::Nested(inner) => column_use(inner),
        _ => None,
    }
}

fn result_columns(body: &SetExpr) -> Option<usize> {
    match body {
        SetExpr::Select(select) => {
            let plain = select
                .projection
                .iter()
                .all(|item| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }));
            plain.then_some(select.projection.len())
        }
        SetExpr::Query(query) => result_columns(&query.body),
        SetExpr::SetOperation { left, .. } => result_columns(left),
        SetExpr::Values(values) => values.rows.first().map(|row| row.len()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::DatabaseKind;
    use crate::sql::guard::{Policy, check};

    #[test]
    fn facts_are_read_off_the_statement() {
        let sql = "WITH big AS (SELECT id FROM orders WHERE total > 5) \
                   SELECT c.name AS who, count(*) FROM customers c JOIN big b ON b.id = c.id \
                   WHERE c.city = 'Paris' AND status IN ('open', 'paid') ORDER BY who";
        let guarded = check(sql, &Policy::read_only(DatabaseKind::Sqlite)).unwrap();
        let analysis = guarded.analysis();
        let tables: Vec<&str> = analysis.tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(tables, ["orders", "customers"]);
        assert_eq!(analysis.result_columns, Some(2));
        let texts: Vec<(&str, &str)> =
            analysis.comparisons.iter().map(|one| (one.column.name.as_str(), one.text.as_str())).collect();
        assert_eq!(texts, [("city", "Paris"), ("status", "open"), ("status", "paid")]);
        assert!(analysis.own_names.contains("who") && analysis.own_names.contains("big"));
    }
}
