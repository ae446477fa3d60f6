//! The allow-list over the syntax tree: what is not named here is refused, also when a new parser learns it.

use std::ops::ControlFlow;

use sqlparser::ast::{
    AccessExpr, BinaryOperator as Operator, Expr, Function, FunctionArg, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Query, Select, SelectFlavor, SetExpr, ShowCreateObject, Spanned, Statement, TableFactor,
    UtilityOption, Visit, Visitor,
};
use sqlparser::tokenizer::Span;

use super::check::Policy;
use super::refusal::{Finding, Rule};
use super::{functions, relations, sizes};
use crate::domain::DatabaseKind;

type Checked = Result<(), Finding>;

/// Checks the whole statement; `first` is the place of its first word.
pub(super) fn check(statement: &Statement, first: Span, policy: &Policy) -> Checked {
    root(statement, first, policy)?;
    match statement.visit(&mut Walker { policy }) {
        ControlFlow::Break(finding) => Err(finding),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// What a statement may be.
fn root(statement: &Statement, first: Span, policy: &Policy) -> Checked {
    match statement {
        Statement::Query(_) | Statement::ShowTables { .. } | Statement::ShowDatabases { .. } => Ok(()),
        Statement::Explain { analyze, estimate: false, statement, options, .. } => {
            let runs = *analyze || options.iter().flatten().any(|option| !only_explains(option));
            if runs || !matches!(**statement, Statement::Query(_)) {
                return Err(Finding::new(Rule::ReadsOnly, first, "EXPLAIN may only show the plan of a query")
                    .hint("leave ANALYZE and other options that run the statement away"));
            }
            Ok(())
        }
        Statement::ExplainTable { table_name: name, .. }
        | Statement::ShowCreate { obj_type: ShowCreateObject::Table | ShowCreateObject::View, obj_name: name } => {
            relation(name, policy)
        }
        Statement::ShowColumns { show_options, .. } => show_options
            .show_in
            .iter()
            .filter_map(|place| place.parent_name.as_ref())
            .try_for_each(|name| relation(name, policy)),
        other => {
            let text = other.to_string();
            let verb = text.split_whitespace().next().unwrap_or("this statement").to_uppercase();
            Err(Finding::new(Rule::ReadsOnly, first, format!("{verb} is not allowed, only statements that read are"))
                .hint("write a SELECT"))
        }
    }
}

fn only_explains(option: &UtilityOption) -> bool {
    ["verbose", "costs", "format", "settings", "summary", "generic_plan"]
        .iter()
        .any(|name| option.name.value.eq_ignore_ascii_case(name))
}

struct Walker<'a> {
    policy: &'a Policy,
}

impl Visitor for Walker<'_> {
    type Break = Finding;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Finding> {
        // The root was checked; the only statement inside another is the query that EXPLAIN shows the plan of.
        let writes = matches!(
            statement,
            Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Merge(_)
        );
        if writes { broken(refuse(Span::empty(), "a query may not write")) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Finding> {
        broken(check_query(query, self.policy))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Finding> {
        broken(check_select(select))
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<Finding> {
        broken(relation(name, self.policy))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Finding> {
        broken(check_table_factor(factor, self.policy))
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Finding> {
        broken(check_expression(expression, self.policy))
    }
}

fn broken(checked: Checked) -> ControlFlow<Finding> {
    checked.map_or_else(ControlFlow::Break, ControlFlow::Continue)
}

fn refuse(span: Span, message: impl Into<String>) -> Checked {
    Err(Finding::new(Rule::Construct, span, message))
}

fn check_query(query: &Query, policy: &Policy) -> Checked {
    // Every field is named, so that a new one does not compile until someone decides about it.
    let Query {
        with: _,
        body,
        order_by: _,
        limit_clause: _,
        fetch: _,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    if !locks.is_empty() {
        return refuse(query.span(), "locking clauses are not allowed");
    }
    if for_clause.is_some() || settings.is_some() || format_clause.is_some() || !pipe_operators.is_empty() {
        return refuse(query.span(), "this clause of a query is not allowed");
    }
    check_body(body, policy)
}

fn check_body(body: &SetExpr, policy: &Policy) -> Checked {
    match body {
        // Selects, queries in parentheses and rows of VALUES are visited by themselves.
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => Ok(()),
        SetExpr::SetOperation { left, right, op: _, set_quantifier: _ } => {
            check_body(left, policy)?;
            check_body(right, policy)
        }
        SetExpr::Table(table) => {
            let names: Vec<&str> =
                [&table.schema_name, &table.table_name].into_iter().flatten().map(String::as_str).collect();
            allowed_relation(&names, Span::empty(), policy)
        }
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            Err(Finding::new(Rule::ReadsOnly, Span::empty(), "a query may not write"))
        }
    }
}

fn check_select(select: &Select) -> Checked {
    let Select {
        select_token: _,
        optimizer_hints,
        distinct: _,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection: _,
        exclude,
        into,
        from: _,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by: _,
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
    let place = select.select_token.0.span;
    if into.is_some() {
        return Err(Finding::new(Rule::ReadsOnly, place, "SELECT … INTO writes"));
    }
    if !optimizer_hints.is_empty() {
        return refuse(place, "optimizer hints are not allowed");
    }
    if select_modifiers.as_ref().is_some_and(|modifiers| modifiers.high_priority || modifiers.sql_calc_found_rows) {
        return refuse(place, "HIGH_PRIORITY and SQL_CALC_FOUND_ROWS are not allowed");
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
        || !matches!(flavor, SelectFlavor::Standard);
    if foreign { refuse(place, "this clause of SELECT is not allowed") } else { Ok(()) }
}

fn check_table_factor(factor: &TableFactor, policy: &Policy) -> Checked {
    match factor {
        TableFactor::Table { name, args, with_hints, version, json_path, .. } => {
            if !with_hints.is_empty() || version.is_some() || json_path.is_some() {
                return refuse(name.span(), "hints, versions and paths of tables are not allowed");
            }
            let pragma = policy.kind == DatabaseKind::Sqlite && relation(name, policy).is_ok() && is_pragma_table(name);
            match args {
                Some(args) if !pragma => check_call(name, &args.args, policy),
                _ => Ok(()),
            }
        }
        TableFactor::Function { name, args, .. } => check_call(name, args, policy),
        TableFactor::Derived { .. }
        | TableFactor::UNNEST { .. }
        | TableFactor::JsonTable { .. }
        | TableFactor::NestedJoin { .. } => Ok(()),
        _ => refuse(Span::empty(), "this form of table is not allowed"),
    }
}

fn is_pragma_table(name: &ObjectName) -> bool {
    let last = name.0.last().and_then(ObjectNamePart::as_ident);
    last.is_some_and(|name| name.value.to_ascii_lowercase().starts_with("pragma_"))
}

fn check_expression(expression: &Expr, policy: &Policy) -> Checked {
    match expression {
        Expr::Function(function) => check_function(function, policy),
        Expr::Identifier(name) => variable(name, policy),
        Expr::CompoundIdentifier(names) => {
            names.iter().try_for_each(|name| variable(name, policy))?;
            names.iter().skip(1).try_for_each(|name| attribute(name, policy))
        }
        Expr::CompoundFieldAccess { root: _, access_chain } => {
            access_chain.iter().try_for_each(|access| match access {
                AccessExpr::Dot(Expr::Identifier(name)) => attribute(name, policy),
                AccessExpr::Dot(Expr::Value(_)) | AccessExpr::Subscript(_) => Ok(()),
                AccessExpr::Dot(other) => refuse(other.span(), "this access to a field is not allowed"),
            })
        }
        Expr::BinaryOp { op, .. } | Expr::AnyOp { compare_op: op, .. } | Expr::AllOp { compare_op: op, .. } => {
            if is_operator_allowed(op) {
                Ok(())
            } else {
                refuse(expression.span(), format!("the operator {op} is not allowed"))
            }
        }
        Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..)
        | Expr::IsJson { .. }
        | Expr::IsNormalized { .. }
        | Expr::InList { .. }
        | Expr::InSubquery { .. }
        | Expr::InUnnest { .. }
        | Expr::Between { .. }
        | Expr::Like { .. }
        | Expr::ILike { .. }
        | Expr::SimilarTo { .. }
        | Expr::RLike { .. }
        | Expr::UnaryOp { .. }
        | Expr::Convert { .. }
        | Expr::Cast { .. }
        | Expr::AtTimeZone { .. }
        | Expr::Extract { .. }
        | Expr::Ceil { .. }
        | Expr::Floor { .. }
        | Expr::Position { .. }
        | Expr::Substring { .. }
        | Expr::Trim { .. }
        | Expr::Overlay { .. }
        | Expr::Collate { .. }
        | Expr::Nested(_)
        | Expr::Value(_)
        | Expr::Prefixed { .. }
        | Expr::TypedString(_)
        | Expr::Case { .. }
        | Expr::Exists { .. }
        | Expr::Subquery(_)
        | Expr::GroupingSets(_)
        | Expr::Cube(_)
        | Expr::Rollup(_)
        | Expr::Tuple(_)
        | Expr::Array(_)
        | Expr::Interval(_)
        | Expr::MatchAgainst { .. }
        | Expr::Wildcard(_)
        | Expr::QualifiedWildcard(..)
        | Expr::MemberOf(_) => Ok(()),
        _ => refuse(expression.span(), "this form of expression is not allowed"),
    }
}

/// Session and system variables of MySQL.
fn variable(name: &Ident, policy: &Policy) -> Checked {
    if policy.kind == DatabaseKind::Mysql && name.quote_style.is_none() && name.value.starts_with('@') {
        return refuse(name.span, format!("variables such as {} are not allowed", name.value));
    }
    Ok(())
}

/// PostgreSQL calls `f(x)` when it reads `x.f` and `x` has no column `f`.
fn attribute(name: &Ident, policy: &Policy) -> Checked {
    if policy.kind == DatabaseKind::Postgresql && functions::is_forbidden_attribute(&name.value) {
        let message = format!("{} may be a function that is not allowed", name.value);
        return Err(Finding::new(Rule::Function, name.span, message));
    }
    Ok(())
}

fn check_function(function: &Function, policy: &Policy) -> Checked {
    let Function { name, uses_odbc_syntax, parameters, args, .. } = function;
    if *uses_odbc_syntax || !matches!(parameters, FunctionArguments::None) {
        return refuse(name.span(), "this form of a call is not allowed");
    }
    match args {
        FunctionArguments::None | FunctionArguments::Subquery(_) => check_call(name, &[], policy),
        FunctionArguments::List(list) => check_call(name, &list.args, policy),
    }
}

fn check_call(name: &ObjectName, arguments: &[FunctionArg], policy: &Policy) -> Checked {
    let lower = function_name(name, policy)?;
    match sizes::complaint(&lower, arguments) {
        Some(complaint) => Err(Finding::new(Rule::TooLarge, name.span(), complaint)),
        None => Ok(()),
    }
}

/// The name of an allowed function, in lower case.
fn function_name(name: &ObjectName, policy: &Policy) -> Result<String, Finding> {
    let idents: Option<Vec<&Ident>> = name.0.iter().map(ObjectNamePart::as_ident).collect();
    let allowed = idents.and_then(|idents| functions::allowed_name(&idents, policy.kind, &policy.allowed_functions));
    allowed.ok_or_else(|| {
        Finding::new(Rule::Function, name.span(), format!("the function {name} is not allowed")).hint(format!(
            "only functions of {} that neither write nor reach outside the database are; others can be allowed for a connection",
            policy.kind.label()
        ))
    })
}

fn relation(name: &ObjectName, policy: &Policy) -> Checked {
    let Some(parts) =
        name.0.iter().map(|part| part.as_ident().map(|ident| ident.value.as_str())).collect::<Option<Vec<_>>>()
    else {
        return refuse(name.span(), "a computed table name is not allowed");
    };
    allowed_relation(&parts, name.span(), policy)
}

fn allowed_relation(parts: &[&str], span: Span, policy: &Policy) -> Checked {
    if relations::is_allowed(parts, policy.kind) {
        return Ok(());
    }
    Err(Finding::new(Rule::Relation, span, format!("the table {} is not allowed", parts.join("."))))
}

/// Operators of the dialects themselves; those that users define may call anything.
fn is_operator_allowed(operator: &Operator) -> bool {
    matches!(
        operator,
        Operator::Plus
            | Operator::Minus
            | Operator::Multiply
            | Operator::Divide
            | Operator::Modulo
            | Operator::StringConcat
            | Operator::Gt
            | Operator::Lt
            | Operator::GtEq
            | Operator::LtEq
            | Operator::Spaceship
            | Operator::Eq
            | Operator::NotEq
            | Operator::And
            | Operator::Or
            | Operator::Xor
            | Operator::BitwiseOr
            | Operator::BitwiseAnd
            | Operator::BitwiseXor
            | Operator::MyIntegerDivide
            | Operator::Match
            | Operator::Regexp
            | Operator::Glob
            | Operator::PGBitwiseXor
            | Operator::PGBitwiseShiftLeft
            | Operator::PGBitwiseShiftRight
            | Operator::PGExp
            | Operator::PGOverlap
            | Operator::PGRegexMatch
            | Operator::PGRegexIMatch
            | Operator::PGRegexNotMatch
            | Operator::PGRegexNotIMatch
            | Operator::PGLikeMatch
            | Operator::PGILikeMatch
            | Operator::PGNotLikeMatch
            | Operator::PGNotILikeMatch
            | Operator::PGStartsWith
            | Operator::Arrow
            | Operator::LongArrow
            | Operator::HashArrow
            | Operator::HashLongArrow
            | Operator::AtAt
            | Operator::AtArrow
            | Operator::ArrowAt
            | Operator::HashMinus
            | Operator::AtQuestion
            | Operator::Question
            | Operator::QuestionAnd
            | Operator::QuestionPipe
            | Operator::Overlaps
            | Operator::DoubleHash
            | Operator::LtDashGt
            | Operator::AndLt
            | Operator::AndGt
            | Operator::TildeEq
    )
}
