//! Queries, selects and tables, clause by clause. Every field is named, so that a new one does not compile until someone
//! decides about it.

use sqlparser::ast::{
    Cte, Fetch, GroupByExpr, Join, JoinOperator, LimitClause, ObjectName, ObjectNamePart, OrderBy, OrderByExpr,
    OrderByKind, OrderBySort, Query, Select, SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind,
    SelectModifiers, SetExpr, Spanned, TableAlias, TableFactor, TableFunctionArgs, TableWithJoins,
    WildcardAdditionalOptions, With,
};
use sqlparser::tokenizer::Span;

use super::check::Policy;
use super::refusal::{Finding, Rule};
use super::tree::{Checked, refuse, refuse_words};
use super::{expression, relations};
use crate::domain::DatabaseKind;

/// Tables that one FROM may join. More than MySQL and SQLite take (61 and 64), and a column without a table is looked for in
/// each of them.
const MOST_TABLES: usize = 128;

pub(super) fn check(query: &Query, policy: &Policy) -> Checked {
    let Query {
        with,
        body,
        order_by: order,
        limit_clause,
        fetch,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    if !locks.is_empty() {
        return Err(Finding::new(Rule::Construct, query.span(), "locking clauses are not allowed")
            .at(&["FOR UPDATE", "FOR SHARE", "FOR NO", "FOR KEY", "LOCK"])
            .hint("leave it out: rows are only read"));
    }
    if for_clause.is_some() || settings.is_some() || format_clause.is_some() || !pipe_operators.is_empty() {
        return refuse_words(
            query.span(),
            &["FOR XML", "FOR JSON", "FOR BROWSE", "SETTINGS", "FORMAT"],
            "this clause of a query is not allowed",
        );
    }
    if let Some(With { with_token: _, recursive: _, cte_tables }) = with {
        for Cte { alias, query: _, from, materialized: _, closing_paren_token: _ } in cte_tables {
            check_alias(Some(alias))?;
            if from.is_some() {
                return refuse(alias.name.span, "this form of WITH is not allowed");
            }
        }
    }
    if let Some(order) = order {
        order_by(order)?;
    }
    match limit_clause {
        Some(LimitClause::LimitOffset { limit: _, offset: _, limit_by }) if !limit_by.is_empty() => {
            return refuse_words(query.span(), &["LIMIT"], "LIMIT … BY is not allowed");
        }
        None | Some(LimitClause::LimitOffset { .. } | LimitClause::OffsetCommaLimit { .. }) => {}
    }
    match fetch {
        Some(Fetch { percent: true, .. }) => refuse_words(query.span(), &["PERCENT"], "FETCH … PERCENT is not allowed"),
        None | Some(Fetch { percent: false, with_ties: _, quantity: _ }) => check_body(body, query, policy),
    }
}

fn check_body(body: &SetExpr, query: &Query, policy: &Policy) -> Checked {
    match body {
        // Selects, queries in parentheses, rows of VALUES and statements are visited by themselves.
        SetExpr::Select(_)
        | SetExpr::Query(_)
        | SetExpr::Values(_)
        | SetExpr::Insert(_)
        | SetExpr::Update(_)
        | SetExpr::Delete(_)
        | SetExpr::Merge(_) => Ok(()),
        SetExpr::SetOperation { left, right, op: _, set_quantifier: _ } => {
            check_body(left, query, policy)?;
            check_body(right, query, policy)
        }
        SetExpr::Table(table) => {
            let names: Vec<&str> =
                [&table.schema_name, &table.table_name].into_iter().flatten().map(String::as_str).collect();
            if relations::is_allowed(&names, policy.kind) {
                return Ok(());
            }
            // The parser keeps no place of it.
            Err(relation_refusal(&names, query.span()).at(&["TABLE"]))
        }
    }
}

pub(super) fn select(select: &Select, policy: &Policy) -> Checked {
    let Select {
        select_token,
        optimizer_hints,
        distinct: _,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window: _,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    let place = select_token.0.span;
    if into.is_some() {
        return Err(Finding::new(Rule::ReadsOnly, place, "SELECT … INTO writes").at(&["INTO"]).hint("leave INTO out"));
    }
    if !optimizer_hints.is_empty() {
        return refuse(place, "optimizer hints are not allowed");
    }
    if select_modifiers.as_ref().is_some_and(has_effect) {
        let modifiers = &["HIGH_PRIORITY", "SQL_CALC_FOUND_ROWS"];
        return refuse_words(place, modifiers, "HIGH_PRIORITY and SQL_CALC_FOUND_ROWS are not allowed");
    }
    let foreign = top.is_some()
        || exclude.is_some()
        || !lateral_views.is_empty()
        || prewhere.is_some()
        || !connect_by.is_empty()
        || !cluster_by.is_empty()
        || !distribute_by.is_empty()
        || !sort_by.is_empty()
        || qualify.is_some()
        || value_table_mode.is_some()
        || matches!(group_by, GroupByExpr::All(modifiers) if !modifiers.is_empty())
        || !matches!(flavor, SelectFlavor::Standard);
    if foreign {
        let clauses = &[
            "TOP",
            "EXCLUDE",
            "LATERAL VIEW",
            "PREWHERE",
            "CONNECT",
            "START WITH",
            "CLUSTER BY",
            "DISTRIBUTE BY",
            "SORT BY",
            "QUALIFY",
            "AS STRUCT",
            "AS VALUE",
            "GROUP BY ALL",
        ];
        return refuse_words(place, clauses, "this clause of SELECT is not allowed");
    }
    items(projection, policy)?;
    let tables: usize = from.iter().map(|table| 1 + table.joins.len()).sum();
    if tables > MOST_TABLES {
        let span = from[0].relation.span();
        let message = format!("{tables} tables are joined here, more than {MOST_TABLES}");
        return Err(Finding::new(Rule::TooLarge, span, message));
    }
    from.iter().try_for_each(joins)
}

fn has_effect(modifiers: &SelectModifiers) -> bool {
    let SelectModifiers {
        high_priority,
        straight_join: _,
        sql_small_result: _,
        sql_big_result: _,
        sql_buffer_result: _,
        sql_no_cache: _,
        sql_calc_found_rows,
    } = modifiers;
    *high_priority || *sql_calc_found_rows
}

/// What a projection or RETURNING lists.
pub(super) fn items(items: &[SelectItem], policy: &Policy) -> Checked {
    items.iter().try_for_each(|item| match item {
        SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. } => Ok(()),
        SelectItem::ExprWithAliases { expr, .. } => {
            refuse(expr.span(), "several aliases of one column are not allowed")
        }
        SelectItem::Wildcard(options) => wildcard(options),
        SelectItem::QualifiedWildcard(kind, options) => {
            if let SelectItemQualifiedWildcardKind::ObjectName(name) = kind {
                expression::attributes(name, policy)?;
            }
            wildcard(options)
        }
    })
}

pub(super) fn wildcard(options: &WildcardAdditionalOptions) -> Checked {
    let WildcardAdditionalOptions {
        wildcard_token,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    let plain = opt_ilike.is_none()
        && opt_exclude.is_none()
        && opt_except.is_none()
        && opt_replace.is_none()
        && opt_rename.is_none()
        && opt_alias.is_none();
    if plain { Ok(()) } else { refuse(wildcard_token.0.span, "options of * are not allowed") }
}

/// The joins of one item of FROM; its tables are visited by themselves.
pub(super) fn joins(table: &TableWithJoins) -> Checked {
    let TableWithJoins { relation: _, joins } = table;
    joins.iter().try_for_each(|Join { relation, global, join_operator }| {
        let known = match join_operator {
            JoinOperator::Join(_)
            | JoinOperator::Inner(_)
            | JoinOperator::Left(_)
            | JoinOperator::LeftOuter(_)
            | JoinOperator::Right(_)
            | JoinOperator::RightOuter(_)
            | JoinOperator::FullOuter(_)
            | JoinOperator::CrossJoin(_)
            | JoinOperator::StraightJoin(_) => !global,
            JoinOperator::Semi(_)
            | JoinOperator::LeftSemi(_)
            | JoinOperator::RightSemi(_)
            | JoinOperator::Anti(_)
            | JoinOperator::LeftAnti(_)
            | JoinOperator::RightAnti(_)
            | JoinOperator::CrossApply
            | JoinOperator::OuterApply
            | JoinOperator::AsOf { .. }
            | JoinOperator::ArrayJoin
            | JoinOperator::LeftArrayJoin
            | JoinOperator::InnerArrayJoin => false,
        };
        if known { Ok(()) } else { refuse(relation.span(), "this form of join is not allowed") }
    })
}

fn order_by(order: &OrderBy) -> Checked {
    let OrderBy { kind, interpolate } = order;
    match kind {
        OrderByKind::Expressions(expressions) if interpolate.is_none() => expressions.iter().try_for_each(sort),
        OrderByKind::Expressions(_) | OrderByKind::All(_) => {
            refuse(order.span(), "this form of ORDER BY is not allowed")
        }
    }
}

pub(super) fn sort(item: &OrderByExpr) -> Checked {
    let OrderByExpr { expr, options, with_fill } = item;
    if with_fill.is_some() {
        return refuse(expr.span(), "ORDER BY … WITH FILL is not allowed");
    }
    match &options.sort {
        None | Some(OrderBySort::Asc | OrderBySort::Desc) => Ok(()),
        Some(OrderBySort::Using(operator)) => {
            // Written without a schema, or with the one that users cannot write to.
            let parts: Vec<String> = operator.0.iter().map(ToString::to_string).collect();
            if expression::is_built_in_operator(&parts) {
                Ok(())
            } else {
                refuse(expr.span(), format!("the operator {operator} is not allowed"))
            }
        }
    }
}

pub(super) fn table(factor: &TableFactor, policy: &Policy) -> Checked {
    match factor {
        TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality: _,
            partitions: _,
            json_path,
            sample,
            index_hints: _,
        } => {
            check_alias(alias.as_ref())?;
            if !with_hints.is_empty() || version.is_some() || json_path.is_some() {
                return refuse(name.span(), "hints, versions and paths of tables are not allowed");
            }
            if sample.is_some() && policy.kind != DatabaseKind::Postgresql {
                return refuse_words(name.span(), &["TABLESAMPLE"], "TABLESAMPLE is not allowed");
            }
            match args {
                None => Ok(()),
                Some(TableFunctionArgs { args: _, settings: Some(_) }) => {
                    refuse(name.span(), "settings of a table function are not allowed")
                }
                Some(TableFunctionArgs { args, settings: None }) if !is_pragma_table(name, policy) => {
                    expression::call(name, args, policy)
                }
                Some(_) => Ok(()),
            }
        }
        TableFactor::Function { lateral: _, name, args, with_ordinality: _, alias } => {
            check_alias(alias.as_ref())?;
            expression::call(name, args, policy)
        }
        TableFactor::Derived { lateral: _, subquery: _, alias, sample: None }
        | TableFactor::UNNEST { alias, with_offset: false, .. }
        | TableFactor::JsonTable { alias, .. } => check_alias(alias.as_ref()),
        TableFactor::NestedJoin { table_with_joins, alias } => {
            check_alias(alias.as_ref())?;
            joins(table_with_joins)
        }
        TableFactor::XmlTable { alias, .. } if policy.kind == DatabaseKind::Postgresql => check_alias(alias.as_ref()),
        TableFactor::Derived { .. }
        | TableFactor::UNNEST { .. }
        | TableFactor::XmlTable { .. }
        | TableFactor::TableFunction { .. }
        | TableFactor::OpenJsonTable { .. }
        | TableFactor::Pivot { .. }
        | TableFactor::Unpivot { .. }
        | TableFactor::UnpivotExpr { .. }
        | TableFactor::MatchRecognize { .. }
        | TableFactor::SemanticView { .. } => refuse(factor.span(), "this form of table is not allowed"),
    }
}

fn check_alias(alias: Option<&TableAlias>) -> Checked {
    match alias {
        Some(TableAlias { explicit: _, name, columns: _, at: Some(_) }) => {
            refuse(name.span, "this form of alias is not allowed")
        }
        None | Some(TableAlias { at: None, .. }) => Ok(()),
    }
}

/// SQLite's PRAGMAs that describe, read as tables; which they may be is checked as for any table.
fn is_pragma_table(name: &ObjectName, policy: &Policy) -> bool {
    let last = name.0.last().and_then(ObjectNamePart::as_ident);
    policy.kind == DatabaseKind::Sqlite
        && last.is_some_and(|name| name.value.to_ascii_lowercase().starts_with("pragma_"))
}

/// A table or view that may be read.
pub(super) fn relation(name: &ObjectName, policy: &Policy) -> Checked {
    match parts(name) {
        Some(parts) => allowed_relation(&parts, name.span(), policy),
        None => refuse(name.span(), "a computed table name is not allowed"),
    }
}

/// The parts of a name; `None` when one of them is computed.
pub(super) fn parts(name: &ObjectName) -> Option<Vec<&str>> {
    name.0.iter().map(|part| part.as_ident().map(|ident| ident.value.as_str())).collect()
}

pub(super) fn allowed_relation(parts: &[&str], span: Span, policy: &Policy) -> Checked {
    if relations::is_allowed(parts, policy.kind) {
        return Ok(());
    }
    Err(relation_refusal(parts, span))
}

fn relation_refusal(parts: &[&str], span: Span) -> Finding {
    Finding::new(Rule::Relation, span, format!("the table {} is not allowed", parts.join(".")))
}
