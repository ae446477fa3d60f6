//! Expressions: every form by name, calls, variables, and the dots that PostgreSQL may take for a call.

use sqlparser::ast::{
    AccessExpr, BinaryOperator as Operator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator,
    FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart, Spanned,
};

use super::check::Policy;
use super::query;
use super::refusal::{Finding, Rule};
use super::tree::{Checked, refuse};
use super::{functions, settings};
use crate::domain::DatabaseKind;

pub(super) fn check(expression: &Expr, policy: &Policy) -> Checked {
    match expression {
        Expr::Function(call) => function(call, policy),
        Expr::CompoundIdentifier(names) => names.iter().skip(1).try_for_each(|name| attribute(name, policy)),
        Expr::QualifiedWildcard(name, _) => attributes(name, policy),
        Expr::CompoundFieldAccess { root: _, access_chain } => {
            access_chain.iter().try_for_each(|access| match access {
                AccessExpr::Dot(Expr::Identifier(name)) => attribute(name, policy),
                AccessExpr::Dot(Expr::Value(_) | Expr::Wildcard(_)) | AccessExpr::Subscript(_) => Ok(()),
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
        Expr::Identifier(_)
        | Expr::IsFalse(_)
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
        | Expr::MemberOf(_) => Ok(()),
        Expr::JsonAccess { .. }
        | Expr::Struct { .. }
        | Expr::Named { .. }
        | Expr::Dictionary(_)
        | Expr::Map(_)
        | Expr::OuterJoin(_)
        | Expr::Prior(_)
        | Expr::Lambda(_) => refuse(expression.span(), "this form of expression is not allowed"),
    }
}

/// Session and system variables of MySQL: a few of the server's may be read.
pub(super) fn variable(name: &Ident, policy: &Policy) -> Checked {
    if policy.kind != DatabaseKind::Mysql || name.quote_style.is_some() || !name.value.contains('@') {
        return Ok(());
    }
    if name.value.strip_prefix("@@").is_some_and(settings::is_public) {
        return Ok(());
    }
    refuse(name.span, format!("the variable {} is not allowed", name.value))
}

/// PostgreSQL calls `f(x)` when it reads `x.f` and `x` has no column `f`.
fn attribute(name: &Ident, policy: &Policy) -> Checked {
    if policy.kind == DatabaseKind::Postgresql && functions::is_forbidden_attribute(&name.value) {
        let message = format!("{} may be a function that is not allowed", name.value);
        return Err(Finding::new(Rule::Function, name.span, message)
            .hint("PostgreSQL calls f(x) when it reads x.f; rename the column if it is one"));
    }
    Ok(())
}

/// [`attribute`] for every part after a dot.
pub(super) fn attributes(name: &ObjectName, policy: &Policy) -> Checked {
    name.0.iter().skip(1).try_for_each(|part| match part {
        ObjectNamePart::Identifier(name) => attribute(name, policy),
        ObjectNamePart::Function(function) => refuse(function.name.span, "a computed name is not allowed"),
    })
}

fn function(function: &Function, policy: &Policy) -> Checked {
    let Function { name, uses_odbc_syntax, parameters, args, within_group, filter: _, null_treatment: _, over: _ } =
        function;
    if *uses_odbc_syntax || !matches!(parameters, FunctionArguments::None) {
        return refuse(name.span(), "this form of a call is not allowed");
    }
    within_group.iter().try_for_each(query::sort)?;
    match args {
        FunctionArguments::None => call(name, &[], policy),
        // `ARRAY(SELECT …)` is no function; a call may have a query as its only argument too.
        FunctionArguments::Subquery(_) if is_array(name, policy) => Ok(()),
        FunctionArguments::Subquery(_) => call(name, &[], policy),
        FunctionArguments::List(FunctionArgumentList { duplicate_treatment: _, args, clauses }) => {
            for clause in clauses {
                match clause {
                    FunctionArgumentClause::IgnoreOrRespectNulls(_)
                    | FunctionArgumentClause::Limit(_)
                    | FunctionArgumentClause::Separator(_)
                    | FunctionArgumentClause::JsonNullClause(_)
                    | FunctionArgumentClause::JsonReturningClause(_) => {}
                    FunctionArgumentClause::OrderBy(items) => items.iter().try_for_each(query::sort)?,
                    FunctionArgumentClause::Where(_)
                    | FunctionArgumentClause::OnOverflow(_)
                    | FunctionArgumentClause::Having(_) => {
                        return refuse(name.span(), "this clause of a call is not allowed");
                    }
                }
            }
            call(name, args, policy)
        }
    }
}

fn is_array(name: &ObjectName, policy: &Policy) -> bool {
    let only = name.0.first().and_then(ObjectNamePart::as_ident).filter(|_| name.0.len() == 1);
    policy.kind == DatabaseKind::Postgresql
        && only.is_some_and(|name| name.quote_style.is_none() && name.value.eq_ignore_ascii_case("array"))
}

/// A call of a function, in an expression or as a table.
pub(super) fn call(name: &ObjectName, arguments: &[FunctionArg], policy: &Policy) -> Checked {
    for argument in arguments {
        let (expression, operator) = match argument {
            FunctionArg::Unnamed(expression) => (expression, None),
            FunctionArg::Named { name: _, arg, operator } => (arg, Some(operator)),
            FunctionArg::ExprNamed { name: _, arg, operator } => (arg, Some(operator)),
        };
        match operator {
            None | Some(FunctionArgOperator::RightArrow | FunctionArgOperator::Value | FunctionArgOperator::Colon) => {}
            // `f(a := 1)` and `xmlparse(content a)`.
            Some(FunctionArgOperator::Assignment | FunctionArgOperator::Space)
                if policy.kind == DatabaseKind::Postgresql => {}
            Some(_) => return refuse(name.span(), "this form of argument is not allowed"),
        }
        match expression {
            FunctionArgExpr::Expr(_) | FunctionArgExpr::Wildcard => {}
            FunctionArgExpr::QualifiedWildcard(name) => attributes(name, policy)?,
            FunctionArgExpr::WildcardWithOptions(options) => query::wildcard(options)?,
        }
    }
    let allowed = idents(name)
        .is_some_and(|idents| functions::is_allowed(&idents, policy.kind, &policy.allowed_functions))
        || settings::is_public_lookup(name, arguments, policy.kind);
    if allowed {
        return Ok(());
    }
    Err(Finding::new(Rule::Function, name.span(), format!("the function {name} is not allowed")).hint(format!(
        "only functions of {} that neither write nor reach outside the database are; others can be allowed for a connection",
        policy.kind.label()
    )))
}

fn idents(name: &ObjectName) -> Option<Vec<&Ident>> {
    name.0.iter().map(ObjectNamePart::as_ident).collect()
}

/// Whether `OPERATOR(…)` or `USING …` names one of PostgreSQL's own operators.
pub(super) fn is_built_in_operator(parts: &[String]) -> bool {
    match parts {
        [operator] => functions::is_postgresql_operator(operator),
        [schema, operator] => schema == "pg_catalog" && functions::is_postgresql_operator(operator),
        _ => false,
    }
}

/// Operators of the dialects themselves; those that users define may call anything.
fn is_operator_allowed(operator: &Operator) -> bool {
    match operator {
        Operator::PGCustomBinaryOperator(parts) => is_built_in_operator(parts),
        Operator::Custom(operator) => functions::is_postgresql_operator(operator),
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
        | Operator::LtLtPipe
        | Operator::PipeGtGt
        | Operator::AndLtPipe
        | Operator::PipeAndGt
        | Operator::LtCaret
        | Operator::GtCaret
        | Operator::QuestionHash
        | Operator::QuestionDash
        | Operator::QuestionDashPipe
        | Operator::QuestionDoublePipe
        | Operator::At
        | Operator::TildeEq => true,
        Operator::DuckIntegerDivide | Operator::Assignment => false,
    }
}
