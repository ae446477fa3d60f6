//! What a statement may be, and what it does.

use sqlparser::ast::{Query, SetExpr, ShowCreateObject, Statement, UtilityOption, Value};
use sqlparser::tokenizer::Span;

use super::check::{Effect, Policy, Writes};
use super::refusal::{Finding, Rule};
use super::tree::{Checked, refuse_words};
use super::{definitions, query, writes};

/// Checks the kind of a statement and what it consists of besides queries and expressions.
pub(super) fn check(statement: &Statement, first: Span, policy: &Policy) -> Result<Effect, Finding> {
    match statement {
        Statement::Query(query) => match writing(query) {
            Some(write) => write_with_ctes(query, write, first, policy),
            None => Ok(Effect::Read),
        },
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Merge(_) => {
            write(statement, first, policy)
        }
        Statement::ShowTables { .. } | Statement::ShowDatabases { .. } => Ok(Effect::Read),
        Statement::Explain { analyze, estimate: false, statement, options, .. } => {
            let runs = *analyze || options.iter().flatten().any(|option| !only_explains(option));
            let reads = matches!(&**statement, Statement::Query(query) if writing(query).is_none());
            if runs || !reads {
                return Err(Finding::new(Rule::ReadsOnly, first, "EXPLAIN may only show the plan of a query")
                    .at(&[
                        "ANALYZE",
                        "ANALYSE",
                        "WAL",
                        "TIMING",
                        "INSERT",
                        "UPDATE",
                        "DELETE",
                        "MERGE",
                        "REPLACE INTO",
                        "CREATE",
                    ])
                    .hint("explain a SELECT, and leave out ANALYZE and other options that run the statement"));
            }
            Ok(Effect::Read)
        }
        Statement::ExplainTable { table_name: name, .. }
        | Statement::ShowCreate { obj_type: ShowCreateObject::Table | ShowCreateObject::View, obj_name: name } => {
            query::relation(name, policy).map(|()| Effect::Read)
        }
        Statement::ShowColumns { show_options, .. } => show_options
            .show_in
            .iter()
            .filter_map(|place| place.parent_name.as_ref())
            .try_for_each(|name| query::relation(name, policy))
            .map(|()| Effect::Read),
        Statement::CreateTable(_)
        | Statement::CreateIndex(_)
        | Statement::CreateView(_)
        | Statement::AlterTable(_)
        | Statement::Drop { .. }
        | Statement::Truncate(_)
        | Statement::Comment { .. }
            if policy.writes == Writes::Ddl =>
        {
            definitions::check(statement, first, policy).map(|()| Effect::Ddl)
        }
        other => Err(not_admitted(other, first, policy)),
    }
}

/// The statements that [`check`] looks at as such: the root, what it explains, and what its CTEs belong to.
pub(super) fn expected(root: &Statement) -> Vec<&Statement> {
    let inner = match root {
        Statement::Explain { statement, .. } => Some(&**statement),
        Statement::Query(query) => writing(query),
        _ => None,
    };
    std::iter::once(root).chain(inner).collect()
}

/// A statement inside another one, such as a CTE that writes.
pub(super) fn nested(first: Span, policy: &Policy) -> Checked {
    let finding =
        Finding::new(Rule::ReadsOnly, first, "a query may not write").at(&["INSERT", "UPDATE", "DELETE", "MERGE"]);
    Err(match policy.writes {
        Writes::No => finding.hint("write a SELECT"),
        Writes::Dml | Writes::Ddl => {
            finding.hint("write the INSERT, UPDATE or DELETE as the outer statement, not in WITH")
        }
    })
}

/// The statement after `WITH … `, when it writes.
fn writing(query: &Query) -> Option<&Statement> {
    match &*query.body {
        SetExpr::Insert(statement)
        | SetExpr::Update(statement)
        | SetExpr::Delete(statement)
        | SetExpr::Merge(statement) => Some(statement),
        SetExpr::Select(_)
        | SetExpr::Query(_)
        | SetExpr::SetOperation { .. }
        | SetExpr::Values(_)
        | SetExpr::Table(_) => None,
    }
}

fn write_with_ctes(query: &Query, statement: &Statement, first: Span, policy: &Policy) -> Result<Effect, Finding> {
    let bare = query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    if !bare {
        return refuse_words(
            first,
            &["ORDER", "LIMIT", "FETCH"],
            "this clause after a statement that writes is not allowed",
        )
        .map(|()| Effect::Write);
    }
    write(statement, first, policy)
}

fn write(statement: &Statement, first: Span, policy: &Policy) -> Result<Effect, Finding> {
    if policy.writes == Writes::No {
        return Err(not_admitted(statement, first, policy));
    }
    writes::row_change(statement, first, policy).map(|()| Effect::Write)
}

fn not_admitted(statement: &Statement, first: Span, policy: &Policy) -> Finding {
    let text = statement.to_string();
    let verb = text.split_whitespace().next().unwrap_or("this statement").to_uppercase();
    let (admitted, hint) = match policy.writes {
        Writes::No => ("statements that read", "write a SELECT"),
        Writes::Dml => ("statements that read or change rows", "write a SELECT, INSERT, UPDATE or DELETE"),
        Writes::Ddl => {
            ("statements that read or change rows, tables, indexes and views", "write one of those statements")
        }
    };
    Finding::new(Rule::ReadsOnly, first, format!("{verb} is not allowed, only {admitted} are")).hint(hint)
}

/// Options of EXPLAIN that do not run the statement, and those that are switched off.
fn only_explains(option: &UtilityOption) -> bool {
    let is = |name: &&str| option.name.value.eq_ignore_ascii_case(name);
    ["verbose", "costs", "format", "settings", "summary", "generic_plan", "buffers", "memory"].iter().any(is)
        || (is(&"analyze") && option.arg.as_ref().is_some_and(is_off))
}

fn is_off(argument: &sqlparser::ast::Expr) -> bool {
    use sqlparser::ast::Expr;
    match argument {
        Expr::Value(value) => matches!(&value.value, Value::Boolean(false)),
        Expr::Identifier(word) => ["off", "false"].iter().any(|off| word.value.eq_ignore_ascii_case(off)),
        _ => false,
    }
}
