//! What a select does with its sources: which conditions connect them, what is grouped, what is compared with what.

use std::mem::discriminant;
use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, JoinConstraint,
    JoinOperator, Query, Select, SelectItem, SetExpr, TableWithJoins, Value, Visit, Visitor,
};

/// How a select groups its rows.
#[derive(Debug, Default)]
pub(super) struct Grouped<'a> {
    /// What it groups by, resolved through aliases and numbers.
    pub keys: Vec<&'a Expr>,
    /// Columns of its projection that are neither a key nor inside an aggregate.
    pub loose: Vec<Expr>,
    /// Whether a minimum or maximum says which row such a column is of, as SQLite has it.
    pub extreme: bool,
}

/// The grouping of a select that aggregates; `None` for one that hands on row by row, or that groups in a way that is not
/// followed here.
pub(super) fn grouped(select: &Select) -> Option<Grouped<'_>> {
    let GroupByExpr::Expressions(written, modifiers) = &select.group_by else { return None };
    let items: Vec<&Expr> = select.projection.iter().filter_map(expression).collect();
    if !modifiers.is_empty() || items.len() < select.projection.len() {
        return None;
    }
    let aggregates: Vec<&Function> = items.iter().flat_map(|item| aggregates(item)).collect();
    if written.is_empty() && aggregates.is_empty() {
        return None;
    }
    let keys: Vec<&Expr> = written.iter().map(|key| meant(key, select, &items)).collect();
    let mut walk = Loose { keys: &keys, inside: 0, found: Vec::new() };
    for item in &items {
        let ControlFlow::Continue(()) = item.visit(&mut walk);
    }
    let loose = walk.found;
    let extreme = aggregates.iter().any(|call| ["min", "max"].contains(&called(call).as_str()));
    Some(Grouped { keys, loose, extreme })
}

/// Whether a query returns exactly one row, or one for each group; `None` where the text does not say.
pub(super) fn one_row(query: &Query) -> Option<bool> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let GroupByExpr::Expressions(keys, _) = &select.group_by else { return None };
    if !keys.is_empty() {
        return query.limit_clause.is_none().then_some(false);
    }
    let items: Option<Vec<&Expr>> = select.projection.iter().map(expression).collect();
    let whole = select.from.is_empty() || items?.into_iter().all(|item| !aggregates(item).is_empty());
    whole.then_some(true)
}

/// Conditions that every row must meet: those of ON and WHERE, taken apart at AND.
pub(super) fn conditions(select: &Select) -> Vec<&Expr> {
    let joins = select.from.iter().flat_map(|table| &table.joins);
    let on = joins.filter_map(|join| match constraint(&join.join_operator) {
        Some(JoinConstraint::On(condition)) => Some(condition),
        _ => None,
    });
    let mut pending: Vec<&Expr> = on.chain(&select.selection).collect();
    let mut apart = Vec::new();
    while let Some(condition) = pending.pop() {
        match condition {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => pending.extend([left.as_ref(), right.as_ref()]),
            Expr::Nested(inner) => pending.push(inner),
            other => apart.push(other),
        }
    }
    apart
}

/// Whether sources are put together in another way than by conditions: on purpose, or by names.
pub(super) fn joins_otherwise(from: &[TableWithJoins]) -> bool {
    from.iter().flat_map(|table| &table.joins).any(|join| match &join.join_operator {
        JoinOperator::CrossJoin(_) => true,
        operator => !matches!(constraint(operator), Some(JoinConstraint::On(_) | JoinConstraint::None)),
    })
}

fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => Some(constraint),
        _ => None,
    }
}

/// Every name in an expression, those of subqueries too.
pub(super) fn names(expression: &Expr) -> Vec<Expr> {
    struct Names(Vec<Expr>);
    impl Visitor for Names {
        type Break = std::convert::Infallible;
        fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Self::Break> {
            if is_name(expression) {
                self.0.push(expression.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(Vec::new());
    let ControlFlow::Continue(()) = expression.visit(&mut names);
    names.0
}

/// The only argument of a sum or an average.
pub(super) fn added_up(call: &Function) -> Option<&Expr> {
    let adds = ["sum", "avg", "total"].contains(&called(call).as_str());
    match &call.args {
        FunctionArguments::List(list) if adds => match list.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] => Some(argument),
            _ => None,
        },
        _ => None,
    }
}

fn expression(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } => Some(expression),
        _ => None,
    }
}

/// What stands behind a key: itself, the item it numbers, or the item it calls by its alias.
fn meant<'a>(key: &'a Expr, select: &'a Select, items: &[&'a Expr]) -> &'a Expr {
    let found = match key {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => {
                number.parse::<usize>().ok().and_then(|number| items.get(number.checked_sub(1)?).copied())
            }
            _ => None,
        },
        Expr::Identifier(name) => select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if alias.value.eq_ignore_ascii_case(&name.value) => Some(expr),
            _ => None,
        }),
        _ => None,
    };
    found.unwrap_or(key)
}

/// Aggregates in an expression, those of subqueries and windows left out.
fn aggregates(expression: &Expr) -> Vec<&Function> {
    match expression {
        Expr::Function(call) if is_aggregate(call) => vec![call],
        Expr::Function(call) => match &call.args {
            FunctionArguments::List(list) => {
                let arguments = list.args.iter().filter_map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => Some(argument),
                    _ => None,
                });
                arguments.flat_map(aggregates).collect()
            }
            _ => Vec::new(),
        },
        Expr::BinaryOp { left, right, .. } => aggregates(left).into_iter().chain(aggregates(right)).collect(),
        Expr::UnaryOp { expr, .. }
        | Expr::Nested(expr)
        | Expr::Cast { expr, .. }
        | Expr::Ceil { expr, .. }
        | Expr::Floor { expr, .. } => aggregates(expr),
        Expr::Case { operand, conditions, else_result, .. } => {
            let branches = conditions.iter().flat_map(|branch| [&branch.condition, &branch.result]);
            let others = operand.iter().chain(else_result).map(AsRef::as_ref);
            branches.chain(others).flat_map(aggregates).collect()
        }
        _ => Vec::new(),
    }
}

fn called(call: &Function) -> String {
    call.name.0.last().and_then(|part| part.as_ident()).map(|name| name.value.to_lowercase()).unwrap_or_default()
}

/// Whether a call makes one value of many rows; one that nobody knows might, by its name.
fn is_aggregate(call: &Function) -> bool {
    const KNOWN: [&str; 22] = [
        "count",
        "sum",
        "avg",
        "min",
        "max",
        "total",
        "group_concat",
        "every",
        "bool_and",
        "bool_or",
        "bit_and",
        "bit_or",
        "stddev",
        "stddev_pop",
        "stddev_samp",
        "std",
        "variance",
        "var_pop",
        "var_samp",
        "corr",
        "mode",
        "median",
    ];
    let name = called(call);
    let known = KNOWN.contains(&name.as_str()) || ["agg", "group", "percentile"].iter().any(|part| name.contains(part));
    // SQLite's min and max of several arguments compare them row by row.
    let several = matches!(&call.args, FunctionArguments::List(list) if list.args.len() > 1);
    known && call.over.is_none() && !(several && ["min", "max"].contains(&name.as_str()))
}

fn is_name(expression: &Expr) -> bool {
    matches!(expression, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

/// Collects columns outside of aggregates, subqueries and keys.
struct Loose<'a> {
    keys: &'a [&'a Expr],
    inside: usize,
    found: Vec<Expr>,
}

impl Loose<'_> {
    fn shields(&self, expression: &Expr) -> bool {
        let aggregate = matches!(expression, Expr::Function(call) if is_aggregate(call) || call.over.is_some());
        aggregate || self.keys.iter().any(|key| same(key, expression))
    }
}

impl Visitor for Loose<'_> {
    type Break = std::convert::Infallible;

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Self::Break> {
        if self.shields(expression) {
            self.inside += 1;
        } else if self.inside == 0 && is_name(expression) {
            self.found.push(expression.clone());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Self::Break> {
        if self.shields(expression) {
            self.inside -= 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<Self::Break> {
        self.inside += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<Self::Break> {
        self.inside -= 1;
        ControlFlow::Continue(())
    }
}

/// Whether two expressions are the same; names by their last part, for `t.a` may be written `a`.
fn same(one: &Expr, other: &Expr) -> bool {
    fn parts(expression: &Expr) -> Option<Vec<String>> {
        match expression {
            Expr::Identifier(name) => Some(vec![name.value.to_lowercase()]),
            Expr::CompoundIdentifier(names) => Some(names.iter().map(|name| name.value.to_lowercase()).collect()),
            _ => None,
        }
    }
    match (parts(one), parts(other)) {
        (Some(one), Some(other)) => one.ends_with(&other) || other.ends_with(&one),
        // Writing both out is slow, and different kinds read differently.
        (None, None) => {
            discriminant(one) == discriminant(other) && one.to_string().eq_ignore_ascii_case(&other.to_string())
        }
        _ => false,
    }
}
