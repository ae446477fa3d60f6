//! The allow-list over the syntax tree. Matches are exhaustive: a new kind of node does not compile into "allowed".

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart,
    Query, Select, SetExpr, ShowCreateObject, Spanned, Statement, TableFactor, UnaryOperator, UtilityOption, Value,
    Visit, Visitor,
};

use super::check::Policy;
use super::{Refusal, functions};
use crate::domain::DatabaseKind;

/// Largest literal width of a function that makes long values.
const MAX_WIDTH: u64 = 1_000_000;
/// Largest literal span of `generate_series`.
const MAX_SPAN: i128 = 10_000_000;

/// A literal in scientific notation above this is above every bound.
const MAX_SPAN_F64: f64 = 1e6;

/// Checks a whole statement.
pub(super) fn check(statement: &Statement, policy: &Policy) -> Result<(), Refusal> {
    root(statement, policy)?;
    let mut walk = Walk { policy, statements: 0 };
    match statement.visit(&mut walk) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(refusal) => Err(refusal),
    }
}

/// The statements that only read or describe; everything else is refused by not being here.
fn root(statement: &Statement, policy: &Policy) -> Result<(), Refusal> {
    match statement {
        Statement::Query(_) | Statement::ExplainTable { .. } => Ok(()),
        Statement::Explain { analyze: false, statement, options, .. } => {
            if let Some(option) = options.iter().flatten().find(|option| !harmless(option)) {
                let message = format!("EXPLAIN with {} runs the statement", option.name);
                return Err(Refusal::not_allowed("explain_analyze", message));
            }
            match **statement {
                Statement::Query(_) => Ok(()),
                _ => Err(Refusal::not_allowed("read_only", "only queries can be explained")),
            }
        }
        Statement::Explain { analyze: true, .. } => {
            Err(Refusal::not_allowed("explain_analyze", "EXPLAIN ANALYZE runs the statement")
                .hint("Use EXPLAIN without ANALYZE."))
        }
        Statement::ShowTables { .. } | Statement::ShowColumns { .. } | Statement::ShowDatabases { .. } => Ok(()),
        Statement::ShowCreate { obj_type: ShowCreateObject::Table | ShowCreateObject::View, .. } => Ok(()),
        Statement::Pragma { name, is_eq: false, .. } if policy.dialect == DatabaseKind::Sqlite => pragma(name),
        Statement::Pragma { .. } => Err(Refusal::not_allowed("pragma", "a PRAGMA that sets something is not allowed")),
        other => {
            let text = other.to_string();
            let word = text.split_whitespace().next().unwrap_or("this").to_uppercase();
            let message = format!("{word} statements are not allowed: only reads are");
            Err(Refusal::not_allowed("read_only", message).hint("Use SELECT, WITH … SELECT, VALUES or EXPLAIN."))
        }
    }
}

fn harmless(option: &UtilityOption) -> bool {
    let name = option.name.value.to_ascii_lowercase();
    let off = option
        .arg
        .as_ref()
        .is_some_and(|arg| matches!(arg.to_string().to_ascii_lowercase().as_str(), "false" | "off" | "0"));
    matches!(name.as_str(), "verbose" | "costs" | "settings" | "summary" | "format" | "generic_plan" | "memory")
        || (matches!(name.as_str(), "analyze" | "buffers" | "wal" | "timing") && off)
}

fn pragma(name: &ObjectName) -> Result<(), Refusal> {
    const DESCRIBING: [&str; 5] = ["table_info", "table_xinfo", "foreign_key_list", "index_list", "index_info"];
    let last = last_part(name);
    if DESCRIBING.contains(&last.as_str()) {
        return Ok(());
    }
    Err(Refusal::not_allowed("pragma", format!("PRAGMA {last} is not allowed")).hint("Use PRAGMA table_info(…)."))
}

struct Walk<'a> {
    policy: &'a Policy,
    statements: usize,
}

impl Visitor for Walk<'_> {
    type Break = Refusal;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Refusal> {
        self.statements += 1;
        match statement {
            Statement::Query(_) => ControlFlow::Continue(()),
            // The root has been checked; inside it only queries are statements.
            _ if self.statements == 1 => ControlFlow::Continue(()),
            _ => refuse("read_only", "a statement inside the query writes"),
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Refusal> {
        if !query.locks.is_empty() || query.for_clause.is_some() {
            return refuse("lock", "locking clauses such as FOR UPDATE are not allowed");
        }
        if query.settings.is_some() || query.format_clause.is_some() || !query.pipe_operators.is_empty() {
            return refuse("dialect", "this clause does not belong to the dialect");
        }
        set_expression(&query.body)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Refusal> {
        if select.into.is_some() {
            return refuse("into", "SELECT … INTO writes").map_hint("Leave INTO out.");
        }
        if !select.optimizer_hints.is_empty() {
            return refuse("comment", "optimizer hints are not allowed");
        }
        let foreign = !select.lateral_views.is_empty()
            || select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
            || select.value_table_mode.is_some()
            || select.exclude.is_some();
        if foreign {
            refuse("dialect", "this clause does not belong to the dialect")
        } else {
            ControlFlow::Continue(())
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Refusal> {
        relation_allowed(relation, self.policy.dialect)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Refusal> {
        match factor {
            TableFactor::Table { name, args: Some(arguments), .. } => {
                self.function_name(name)?;
                bounded(&last_part(name), &arguments.args, self.policy.dialect)
            }
            TableFactor::Function { name, args, .. } => {
                self.function_name(name)?;
                bounded(&last_part(name), args, self.policy.dialect)
            }
            TableFactor::Table { .. }
            | TableFactor::Derived { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::JsonTable { .. }
            | TableFactor::NestedJoin { .. } => ControlFlow::Continue(()),
            TableFactor::TableFunction { .. }
            | TableFactor::OpenJsonTable { .. }
            | TableFactor::Pivot { .. }
            | TableFactor::Unpivot { .. }
            | TableFactor::UnpivotExpr { .. }
            | TableFactor::MatchRecognize { .. }
            | TableFactor::XmlTable { .. }
            | TableFactor::SemanticView { .. } => {
                refuse("dialect", "this kind of table does not belong to the dialect")
            }
        }
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Refusal> {
        match expression {
            Expr::Function(function) => self.function(function),
            Expr::CompoundIdentifier(parts) => self.dotted(parts.last(), expression),
            Expr::CompoundFieldAccess { access_chain, .. } => {
                for access in access_chain {
                    if let sqlparser::ast::AccessExpr::Dot(Expr::Identifier(last)) = access {
                        self.dotted(Some(last), expression)?;
                    }
                }
                ControlFlow::Continue(())
            }
            Expr::BinaryOp { op: BinaryOperator::Assignment, .. } => {
                refuse_at("assignment", "assigning a variable with := is not allowed", expression)
            }
            Expr::BinaryOp { op: BinaryOperator::Custom(_) | BinaryOperator::PGCustomBinaryOperator(_), .. } => {
                refuse_at("operator", "operators of unknown meaning are not allowed", expression)
            }
            Expr::UnaryOp { op: UnaryOperator::Hash, .. } if self.policy.dialect != DatabaseKind::Postgresql => {
                refuse_at("operator", "this operator does not belong to the dialect", expression)
            }
            Expr::Prior(_) | Expr::Lambda(_) | Expr::Dictionary(_) | Expr::Map(_) | Expr::Struct { .. } => {
                refuse_at("dialect", "this expression does not belong to the dialect", expression)
            }
            Expr::Identifier(_)
            | Expr::JsonAccess { .. }
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
            | Expr::BinaryOp { .. }
            | Expr::Like { .. }
            | Expr::ILike { .. }
            | Expr::SimilarTo { .. }
            | Expr::RLike { .. }
            | Expr::AnyOp { .. }
            | Expr::AllOp { .. }
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
            | Expr::Named { .. }
            | Expr::Array(_)
            | Expr::Interval(_)
            | Expr::MatchAgainst { .. }
            | Expr::Wildcard(_)
            | Expr::QualifiedWildcard(..)
            | Expr::OuterJoin(_)
            | Expr::MemberOf(_) => ControlFlow::Continue(()),
        }
    }
}

impl Walk<'_> {
    fn function(&self, function: &Function) -> ControlFlow<Refusal> {
        self.function_name(&function.name)?;
        match &function.args {
            FunctionArguments::List(list) => bounded(&last_part(&function.name), &list.args, self.policy.dialect),
            FunctionArguments::None | FunctionArguments::Subquery(_) => ControlFlow::Continue(()),
        }
    }

    /// Built-ins by their bare name (or `pg_catalog.`), and the connection's own list.
    fn function_name(&self, name: &ObjectName) -> ControlFlow<Refusal> {
        let full = name.to_string().to_lowercase().replace(['"', '`'], "");
        if self.policy.allowed_functions.iter().any(|allowed| allowed.eq_ignore_ascii_case(&full)) {
            return ControlFlow::Continue(());
        }
        let bare = match name.0.as_slice() {
            [ObjectNamePart::Identifier(only)] => Some(only),
            [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(last)]
                if self.policy.dialect == DatabaseKind::Postgresql && schema.value == "pg_catalog" =>
            {
                Some(last)
            }
            _ => None,
        };
        if bare.is_some_and(|bare| functions::is_allowed(&bare.value, self.policy.dialect)) {
            return ControlFlow::Continue(());
        }
        let message = format!("the function {full} is not on the list of functions that may be called");
        let refusal = Refusal::not_allowed("function", message).at(column_of(name.span().start));
        ControlFlow::Break(refusal.hint("The connection's allowed_functions can name it."))
    }

    /// PostgreSQL calls `f(x)` when it sees `x.f` and there is no such column.
    fn dotted(&self, last: Option<&Ident>, expression: &Expr) -> ControlFlow<Refusal> {
        let risky = self.policy.dialect == DatabaseKind::Postgresql
            && last.is_some_and(|last| functions::is_refused_attribute(&last.value));
        if risky {
            return refuse_at("attribute_call", "this dotted name calls a function that may not be called", expression);
        }
        ControlFlow::Continue(())
    }
}

fn set_expression(body: &SetExpr) -> ControlFlow<Refusal> {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => ControlFlow::Continue(()),
        SetExpr::SetOperation { left, right, .. } => {
            set_expression(left)?;
            set_expression(right)
        }
        // `TABLE name` hides its relation from the walk.
        SetExpr::Table(_) => refuse("dialect", "TABLE is not allowed").map_hint("Write SELECT * FROM the table."),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            refuse("read_only", "a statement inside the query writes")
        }
    }
}

fn relation_allowed(relation: &ObjectName, dialect: DatabaseKind) -> ControlFlow<Refusal> {
    const POSTGRES: [&str; 12] = [
        "pg_authid",
        "pg_shadow",
        "pg_user_mapping",
        "pg_user_mappings",
        "pg_subscription",
        "pg_hba_file_rules",
        "pg_ident_file_mappings",
        "pg_file_settings",
        "pg_largeobject",
        "pg_largeobject_metadata",
        "pg_statistic",
        "pg_stat_statements",
    ];
    const SQLITE_PRAGMAS: [&str; 7] = [
        "pragma_table_info",
        "pragma_table_xinfo",
        "pragma_table_list",
        "pragma_foreign_key_list",
        "pragma_index_list",
        "pragma_index_info",
        "pragma_index_xinfo",
    ];
    let last = last_part(relation);
    let refused = match dialect {
        DatabaseKind::Postgresql => POSTGRES.contains(&last.as_str()),
        DatabaseKind::Mysql => {
            relation.0.len() > 1
                && relation.0.first().and_then(ObjectNamePart::as_ident).is_some_and(|schema| {
                    ["mysql", "performance_schema", "sys"].iter().any(|name| schema.value.eq_ignore_ascii_case(name))
                })
        }
        DatabaseKind::Sqlite => {
            last == "sqlite_dbpage"
                || last == "sqlite_stmt"
                || (last.starts_with("pragma_") && !SQLITE_PRAGMAS.contains(&last.as_str()))
        }
    };
    if refused {
        return ControlFlow::Break(
            Refusal::not_allowed("relation", format!("the table {last} may not be read"))
                .at(column_of(relation.span().start)),
        );
    }
    ControlFlow::Continue(())
}

/// Literal sizes of functions that make long values or many rows.
fn bounded(name: &str, arguments: &[FunctionArg], dialect: DatabaseKind) -> ControlFlow<Refusal> {
    let expressions: Vec<&Expr> = arguments.iter().filter_map(expression).collect();
    match name {
        "repeat" | "lpad" | "rpad" | "space" | "zeroblob" | "randomblob" | "replicate" => {
            let wide =
                expressions.iter().filter_map(|argument| integer(argument)).any(|width| width > i128::from(MAX_WIDTH));
            if wide {
                return refuse("size", &format!("{name} with a width above {MAX_WIDTH} is not allowed"));
            }
        }
        "printf" | "format" if dialect == DatabaseKind::Sqlite => match expressions.first() {
            Some(Expr::Value(value)) => {
                let text = match &value.value {
                    Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.as_str(),
                    _ => "",
                };
                if text.contains('*') || widths(text).any(|width| width > MAX_WIDTH) {
                    return refuse("size", "a format with * or a large width is not allowed");
                }
            }
            Some(_) => return refuse("size", &format!("the format of {name} must be a literal")),
            None => {}
        },
        "generate_series" => {
            let ends: Vec<i128> = expressions.iter().take(2).filter_map(|argument| integer(argument)).collect();
            if let [start, end] = ends[..]
                && (end - start).abs() > MAX_SPAN
            {
                return refuse("size", &format!("generate_series over more than {MAX_SPAN} values is not allowed"));
            }
        }
        _ => {}
    }
    ControlFlow::Continue(())
}

/// Runs of digits in a format. One that is too long to be a number is too wide.
fn widths(format: &str) -> impl Iterator<Item = u64> {
    format
        .split(|character: char| !character.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().unwrap_or(u64::MAX))
}

fn expression(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression))
        | FunctionArg::Named { arg: FunctionArgExpr::Expr(expression), .. } => Some(expression),
        _ => None,
    }
}

fn integer(expression: &Expr) -> Option<i128> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.parse::<i128>().ok().or_else(|| {
                // 9e8 is a width too; how large exactly does not matter beyond every bound.
                let number = text.parse::<f64>().ok()?;
                (number > MAX_SPAN_F64).then_some(i128::MAX)
            }),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => integer(expr).map(|number| -number),
        Expr::Nested(inner) => integer(inner),
        _ => None,
    }
}

/// The last part of a name, in lower case.
fn last_part(name: &ObjectName) -> String {
    name.0.last().and_then(ObjectNamePart::as_ident).map(|part| part.value.to_lowercase()).unwrap_or_default()
}

fn refuse(rule: &'static str, message: &str) -> ControlFlow<Refusal> {
    ControlFlow::Break(Refusal::not_allowed(rule, message))
}

fn refuse_at(rule: &'static str, message: &str, expression: &Expr) -> ControlFlow<Refusal> {
    ControlFlow::Break(Refusal::not_allowed(rule, message).at(column_of(expression.span().start)))
}

/// The column stands for the position on the first line; on later lines the position is unknown.
fn column_of(location: sqlparser::tokenizer::Location) -> u32 {
    if location.line == 1 { u32::try_from(location.column).unwrap_or(0) } else { 0 }
}

trait MapHint {
    fn map_hint(self, hint: &str) -> Self;
}

impl MapHint for ControlFlow<Refusal> {
    fn map_hint(self, hint: &str) -> Self {
        match self {
            Self::Break(refusal) => Self::Break(refusal.hint(hint)),
            Self::Continue(()) => self,
        }
    }
}
