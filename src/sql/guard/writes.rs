//! Statements that change rows, on connections that admit them.
//!
//! Functions, relations and queries inside are checked like those of a read; here is what only such statements have. The long
//! lists of fields are the other dialects' clauses: naming them all keeps a new one from being let through unseen.

use sqlparser::ast::{
    Delete, Expr, FromTable, Insert, Merge, MergeAction, MergeInsertKind, MergeUpdateKind, MysqlInsertPriority,
    ObjectName, Spanned, Statement, TableFactor, TableObject, TableWithJoins, Update, UpdateTableFromKind,
};
use sqlparser::tokenizer::Span;

use super::check::Policy;
use super::refusal::{Finding, Rule};
use super::tree::{Checked, refuse_words};
use super::{query, relations};

/// Where the parser gives a clause no place, these words show it.
const CLAUSES: &[&str] =
    &["DELAYED", "HIGH_PRIORITY", "OVERWRITE", "OUTPUT", "PARTITION", "CURRENT", "SETTINGS", "FORMAT", "FIRST"];

/// INSERT, REPLACE, UPDATE, DELETE or MERGE.
pub(super) fn row_change(statement: &Statement, first: Span, policy: &Policy) -> Checked {
    match statement {
        Statement::Insert(statement) => insert(statement, first, policy),
        Statement::Update(statement) => update(statement, first, policy),
        Statement::Delete(statement) => delete(statement, first, policy),
        Statement::Merge(statement) => merge(statement, first, policy),
        _ => unknown_clause(first),
    }
}

fn unknown_clause(first: Span) -> Checked {
    refuse_words(first, CLAUSES, "a clause of this statement is not allowed")
}

/// Whether all of these are so; otherwise the statement is refused.
fn require(holds: bool, first: Span) -> Checked {
    if holds { Ok(()) } else { unknown_clause(first) }
}

/// A table or index that may be changed: none of the server's own.
pub(super) fn target(name: &ObjectName, policy: &Policy) -> Checked {
    query::relation(name, policy)?;
    if query::parts(name).is_some_and(|parts| relations::is_writable(&parts, policy.kind)) {
        return Ok(());
    }
    Err(Finding::new(Rule::Relation, name.span(), format!("{name} belongs to the server and may not be changed"))
        .hint("name a table of your own"))
}

/// The tables of a statement that changes them; subqueries among them are only read.
fn targets(tables: &[TableWithJoins], policy: &Policy) -> Checked {
    tables.iter().try_for_each(|table| {
        query::joins(table)?;
        std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)).try_for_each(|factor| {
            match factor {
                TableFactor::Table { name, args: None, .. } => target(name, policy),
                TableFactor::NestedJoin { table_with_joins, .. } => {
                    targets(std::slice::from_ref(table_with_joins), policy)
                }
                _ => Ok(()),
            }
        })
    })
}

fn insert(statement: &Insert, first: Span, policy: &Policy) -> Checked {
    let Insert {
        insert_token: _,
        optimizer_hints,
        or: _,
        ignore: _,
        into: _,
        table,
        table_alias: _,
        columns: _,
        overwrite,
        source: _,
        assignments: _,
        partitioned,
        after_columns,
        has_table_keyword,
        on: _,
        returning,
        output,
        replace_into: _,
        priority,
        insert_alias: _,
        settings,
        format_clause,
        multi_table_insert_type,
        multi_table_into_clauses,
        multi_table_when_clauses,
        multi_table_else_clause,
    } = statement;
    let plain = optimizer_hints.is_empty()
        && !overwrite
        && partitioned.is_none()
        && after_columns.is_empty()
        && !has_table_keyword
        && output.is_none()
        && matches!(priority, None | Some(MysqlInsertPriority::LowPriority))
        && settings.is_none()
        && format_clause.is_none()
        && multi_table_insert_type.is_none()
        && multi_table_into_clauses.is_empty()
        && multi_table_when_clauses.is_empty()
        && multi_table_else_clause.is_none();
    require(plain, first)?;
    query::items(returning.as_deref().unwrap_or_default(), policy)?;
    match table {
        TableObject::TableName(name) => target(name, policy),
        TableObject::TableFunction(_) | TableObject::TableQuery(_) => unknown_clause(first),
    }
}

fn update(statement: &Update, first: Span, policy: &Policy) -> Checked {
    let Update {
        update_token: _,
        optimizer_hints,
        table,
        assignments: _,
        from,
        selection,
        returning,
        output,
        or: _,
        order_by,
        limit: _,
    } = statement;
    require(optimizer_hints.is_empty() && output.is_none() && !is_cursor(selection.as_ref()), first)?;
    let sources = match from {
        None => &[],
        Some(UpdateTableFromKind::BeforeSet(sources) | UpdateTableFromKind::AfterSet(sources)) => sources.as_slice(),
    };
    sources.iter().try_for_each(query::joins)?;
    order_by.iter().try_for_each(query::sort)?;
    query::items(returning.as_deref().unwrap_or_default(), policy)?;
    targets(std::slice::from_ref(table), policy)
}

fn delete(statement: &Delete, first: Span, policy: &Policy) -> Checked {
    let Delete {
        delete_token: _,
        optimizer_hints,
        tables: _,
        from,
        using,
        selection,
        returning,
        output,
        order_by,
        limit: _,
    } = statement;
    require(optimizer_hints.is_empty() && output.is_none() && !is_cursor(selection.as_ref()), first)?;
    using.iter().flatten().try_for_each(query::joins)?;
    order_by.iter().try_for_each(query::sort)?;
    query::items(returning.as_deref().unwrap_or_default(), policy)?;
    match from {
        FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables) => targets(tables, policy),
    }
}

/// `WHERE CURRENT OF cursor`, which the parser takes for a column and an alias or does not read at all.
fn is_cursor(selection: Option<&Expr>) -> bool {
    matches!(selection, Some(Expr::Identifier(name)) if name.value.eq_ignore_ascii_case("current"))
}

fn merge(statement: &Merge, first: Span, policy: &Policy) -> Checked {
    let Merge { merge_token: _, optimizer_hints, into: _, table, source: _, on: _, clauses, output } = statement;
    let plain = clauses.iter().all(|clause| match &clause.action {
        MergeAction::Insert(insert) => matches!(insert.kind, MergeInsertKind::Values(_)),
        MergeAction::Update(update) => matches!(update.kind, MergeUpdateKind::Set(_)),
        MergeAction::Delete { .. } | MergeAction::DoNothing { .. } => true,
    });
    require(optimizer_hints.is_empty() && output.is_none() && plain, first)?;
    match table {
        TableFactor::Table { name, args: None, .. } => target(name, policy),
        _ => unknown_clause(first),
    }
}
