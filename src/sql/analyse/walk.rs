//! Walks over a statement with the names that are visible at each place.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    AccessExpr, AlterTable, BinaryOperator, CreateIndex, Delete, Expr, FromTable, Ident, Insert, Merge, ObjectName,
    ObjectType, Query, Select, Statement, TableAlias, TableFactor, TableObject, TableWithJoins, Truncate, Update,
    UpdateTableFromKind, Value, Visit, Visitor,
};

use super::scope::{Scope, Shape, Source, aliases, factors, idents, output_count, outputs, renamed, selects};
use super::{Analysis, ColumnUse, Comparison, Grouping, NameUse, SelectUse, TableUse, shape};
use crate::domain::DatabaseKind;
use crate::sql::guard::Lines;

pub(super) fn describe(statement: &Statement, text: &str, dialect: DatabaseKind) -> Analysis {
    let mut walker = Walker {
        lines: Lines::of(text),
        dialect,
        scopes: Vec::new(),
        mentions: HashMap::new(),
        analysis: Analysis::default(),
    };
    if let Statement::Query(query) = statement {
        walker.analysis.output_columns = output_count(query);
        walker.analysis.one_row = shape::one_row(query);
    }
    let ControlFlow::Continue(()) = statement.visit(&mut walker);
    walker.analysis
}

struct Walker {
    lines: Lines,
    dialect: DatabaseKind,
    scopes: Vec<Scope>,
    /// Tables of the analysis by the position of their mention.
    mentions: HashMap<u32, usize>,
    analysis: Analysis,
}

impl Visitor for Walker {
    type Break = std::convert::Infallible;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Self::Break> {
        let sources = self.changed(statement);
        self.scopes.push(Scope { sources, ..Scope::default() });
        ControlFlow::Continue(())
    }

    fn post_visit_statement(&mut self, _statement: &Statement) -> ControlFlow<Self::Break> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        let mut scope = Scope::default();
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            scope.tables.push((cte.alias.name.value.clone(), renamed(outputs(&cte.query), Some(&cte.alias))));
        }
        self.scopes.push(scope);
        // The sources of the selects, so that ORDER BY sees them; the selects add them again for themselves.
        let mut found = Vec::new();
        selects(&query.body, &mut found);
        for select in found {
            let sources = self.sources(select);
            let Some(scope) = self.scopes.last_mut() else { continue };
            scope.sources.extend(sources);
            scope.aliases.extend(aliases(select));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<Self::Break> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        let sources = self.sources(select);
        self.scopes.push(Scope { sources, aliases: aliases(select).collect(), tables: Vec::new() });
        self.select(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => self.call(name),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _select: &Select) -> ControlFlow<Self::Break> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Self::Break> {
        self.attributes(expression);
        match expression {
            Expr::Function(call) => {
                self.call(&call.name);
                let added = shape::added_up(call).and_then(|argument| self.column(argument));
                self.analysis.sums.extend(added);
            }
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
                if let Some(column) = self.column(expression) {
                    self.analysis.columns.push(column);
                }
            }
            Expr::BinaryOp { left, op, right } => {
                if matches!(op, BinaryOperator::Eq | BinaryOperator::NotEq) {
                    self.comparison(left, right);
                    self.comparison(right, left);
                }
                if *op == BinaryOperator::Eq
                    && let (Some(left), Some(right)) = (self.column(left), self.column(right))
                {
                    self.analysis.equalities.push((left, right));
                }
                if is_comparison(op) {
                    self.text(left, right);
                    self.text(right, left);
                }
            }
            Expr::InList { expr, list, .. } => {
                for item in list {
                    self.comparison(expr, item);
                    self.text(expr, item);
                }
            }
            Expr::Between { expr, low, high, .. } => {
                self.text(expr, low);
                self.text(expr, high);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Walker {
    fn sources(&mut self, select: &Select) -> Vec<Source> {
        self.tables_of(&select.from)
    }

    fn tables_of(&mut self, from: &[TableWithJoins]) -> Vec<Source> {
        factors(from).filter_map(|factor| self.source(factor)).collect()
    }

    /// The tables whose columns a statement that writes can name everywhere. One that it creates is not among them: nobody
    /// knows it yet.
    fn changed(&mut self, statement: &Statement) -> Vec<Source> {
        match statement {
            Statement::Insert(insert) => self.inserted(insert),
            Statement::Update(Update { table, from, .. }) => {
                let mut sources = self.tables_of(std::slice::from_ref(table));
                if let Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) = from {
                    sources.extend(self.tables_of(from));
                }
                sources
            }
            Statement::Delete(Delete { from, using, .. }) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = from;
                let mut sources = self.tables_of(from);
                sources.extend(self.tables_of(using.as_deref().unwrap_or_default()));
                sources
            }
            Statement::Merge(Merge { table, source, .. }) => {
                [table, source].into_iter().filter_map(|factor| self.source(factor)).collect()
            }
            Statement::AlterTable(AlterTable { name, .. })
            | Statement::CreateIndex(CreateIndex { table_name: name, .. }) => {
                self.named(name, None).into_iter().collect()
            }
            Statement::Truncate(Truncate { table_names, .. }) => {
                table_names.iter().filter_map(|table| self.named(&table.name, None)).collect()
            }
            Statement::Drop { object_type: ObjectType::Table | ObjectType::View, names, .. } => {
                names.iter().filter_map(|name| self.named(name, None)).collect()
            }
            Statement::CreateTable(_) => vec![Source { name: String::new(), shape: Shape::Computed(None) }],
            _ => Vec::new(),
        }
    }

    fn inserted(&mut self, insert: &Insert) -> Vec<Source> {
        let TableObject::TableName(name) = &insert.table else { return Vec::new() };
        let Some(target) = self.named(name, insert.table_alias.as_ref().map(|alias| &alias.alias)) else {
            return Vec::new();
        };
        // The row that could not be inserted has the table's columns.
        let row = insert.insert_alias.as_ref().and_then(|aliases| idents(&aliases.row_alias.0)?.last().copied());
        let row = row.map_or_else(|| "excluded".to_owned(), |alias| alias.value.clone());
        let shape = target.shape.clone();
        vec![target, Source { name: row, shape }]
    }

    /// A table, called by its alias or by its name.
    fn named(&mut self, name: &ObjectName, alias: Option<&Ident>) -> Option<Source> {
        let idents = idents(&name.0)?;
        let (table, qualifiers) = idents.split_last()?;
        let shape = Shape::Table(self.table(table, qualifiers.last().copied()));
        Some(Source { name: alias.unwrap_or(table).value.clone(), shape })
    }

    fn source(&mut self, factor: &TableFactor) -> Option<Source> {
        let called = |alias: &Option<TableAlias>| alias.as_ref().map(|alias| alias.name.value.clone());
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let idents = idents(&name.0)?;
                let (table, qualifiers) = idents.split_last()?;
                let shape = match (qualifiers, self.visible_cte(&table.value)) {
                    ([], Some(outputs)) => Shape::Computed(renamed(outputs, alias.as_ref())),
                    _ => Shape::Table(self.table(table, qualifiers.last().copied())),
                };
                Some(Source { name: called(alias).unwrap_or_else(|| table.value.clone()), shape })
            }
            TableFactor::Table { name, alias, .. } | TableFactor::Function { name, alias, .. } => {
                let function = idents(&name.0).and_then(|idents| idents.last().map(|name| name.value.clone()));
                let name = called(alias).or(function).unwrap_or_default();
                Some(Source { name, shape: Shape::Computed(None) })
            }
            TableFactor::Derived { subquery, alias, .. } => {
                let shape = Shape::Computed(renamed(outputs(subquery), alias.as_ref()));
                Some(Source { name: called(alias).unwrap_or_default(), shape })
            }
            TableFactor::UNNEST { alias, .. } | TableFactor::JsonTable { alias, .. } => {
                Some(Source { name: called(alias).unwrap_or_default(), shape: Shape::Computed(None) })
            }
            _ => Some(Source { name: String::new(), shape: Shape::Computed(None) }),
        }
    }

    /// The index of this mention of a table; the same mention is seen by a query and by its select.
    fn table(&mut self, name: &Ident, schema: Option<&Ident>) -> usize {
        let table = TableUse {
            schema: schema.map(|schema| schema.value.clone()),
            name: name.value.clone(),
            position: self.lines.position(name.span.start),
        };
        let tables = &mut self.analysis.tables;
        *self.mentions.entry(table.position).or_insert_with(|| {
            tables.push(table);
            tables.len() - 1
        })
    }

    fn visible_cte(&self, name: &str) -> Option<super::scope::Outputs> {
        let mut ctes = self.scopes.iter().rev().flat_map(|scope| &scope.tables);
        ctes.find(|(cte, _)| cte.eq_ignore_ascii_case(name)).map(|(_, outputs)| outputs.clone())
    }

    fn column(&self, expression: &Expr) -> Option<ColumnUse> {
        let names = match expression {
            Expr::Identifier(name) => std::slice::from_ref(name),
            Expr::CompoundIdentifier(names) => names,
            Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => return self.column(inner),
            _ => return None,
        };
        let (name, qualifiers) = names.split_last()?;
        let qualifier = qualifiers.last().map(|qualifier| qualifier.value.clone());
        let (scopes, may_be_other) = self.owners(&name.value, qualifier.as_deref());
        Some(ColumnUse {
            qualifier,
            quoted: name.quote_style == Some('"'),
            position: self.lines.position(qualifiers.first().unwrap_or(name).span.start),
            name: name.value.clone(),
            scopes,
            may_be_other,
        })
    }

    /// The tables that may own a column, nearest first, and whether it may belong to something else.
    fn owners(&self, name: &str, qualifier: Option<&str>) -> (Vec<Vec<usize>>, bool) {
        let mut owners = Vec::new();
        let mut may_be_other = false;
        for scope in self.scopes.iter().rev() {
            let named = |source: &&Source| qualifier.is_none_or(|wanted| source.name.eq_ignore_ascii_case(wanted));
            let mut tables = Vec::new();
            let mut found = false;
            for source in scope.sources.iter().filter(named) {
                found = true;
                match &source.shape {
                    Shape::Table(index) => tables.push(*index),
                    Shape::Computed(None) => may_be_other = true,
                    Shape::Computed(Some(outputs)) => {
                        // A column without a name of its own may be called by its text, as SQLite does.
                        may_be_other |=
                            outputs.iter().any(|output| output.is_empty() || output.eq_ignore_ascii_case(name));
                    }
                }
            }
            if !tables.is_empty() {
                owners.push(tables);
            }
            if qualifier.is_some() && found {
                break;
            }
            may_be_other |= qualifier.is_none() && scope.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name));
        }
        (owners, may_be_other)
    }

    /// Notes a call that names no schema.
    fn call(&mut self, name: &ObjectName) {
        if let [name] = name.0.as_slice()
            && let Some(name) = name.as_ident()
        {
            let call = self.name(name, false);
            self.analysis.calls.push(call);
        }
    }

    /// Notes the names behind dots: of `t.a`, and of `(t).a`.
    fn attributes(&mut self, expression: &Expr) {
        let field = |access| match access {
            &AccessExpr::Dot(Expr::Identifier(ref name)) => Some(name),
            _ => None,
        };
        let names: Vec<&Ident> = match expression {
            Expr::CompoundIdentifier(names) => names.iter().skip(1).collect(),
            Expr::CompoundFieldAccess { root: _, access_chain } => access_chain.iter().filter_map(field).collect(),
            _ => return,
        };
        let column = self.column(expression).filter(|_| names.len() == 1);
        let of_table = column.is_some_and(|column| !column.may_be_other && !column.scopes.is_empty());
        let uses: Vec<NameUse> = names.into_iter().map(|name| self.name(name, of_table)).collect();
        self.analysis.attributes.extend(uses);
    }

    fn name(&self, name: &Ident, of_table: bool) -> NameUse {
        let folds = self.dialect == DatabaseKind::Postgresql && name.quote_style.is_none();
        NameUse {
            name: if folds { name.value.to_lowercase() } else { name.value.clone() },
            of_table,
            position: self.lines.position(name.span.start),
        }
    }

    /// Notes what a select reads and how it puts that together; its scope is the innermost one.
    fn select(&mut self, select: &Select) {
        let sources = self.scopes.last().map(|scope| scope.sources.as_slice()).unwrap_or_default();
        let tables: Vec<usize> = sources.iter().filter_map(Source::table).collect();
        let joins_otherwise = tables.len() < sources.len() || shape::joins_otherwise(&select.from);
        let columns = |names: Vec<Expr>| names.iter().filter_map(|name| self.column(name)).collect();
        let conditions = shape::conditions(select).into_iter().map(|one| columns(shape::names(one))).collect();
        let grouping = shape::grouped(select).map(|shape::Grouped { keys, loose, extreme }| Grouping {
            keys: keys.into_iter().filter_map(|key| self.column(key)).collect(),
            loose: columns(loose),
            extreme,
        });
        self.analysis.selects.push(SelectUse { tables, joins_otherwise, conditions, grouping });
    }

    fn text(&mut self, column: &Expr, literal: &Expr) {
        if let Some(text) = self.text_literal(literal)
            && let Some(column) = self.column(column)
        {
            self.analysis.texts.push((column, text));
        }
    }

    fn comparison(&mut self, column: &Expr, literal: &Expr) {
        let Some(text) = self.text_literal(literal) else { return };
        let collations = [column, literal].map(collation);
        let named = |ending: &str| collations.iter().flatten().any(|collation| collation.ends_with(ending));
        let ignores_case = match self.dialect {
            DatabaseKind::Mysql => !(named("_bin") || named("_cs")),
            DatabaseKind::Sqlite | DatabaseKind::Postgresql => named("nocase"),
        };
        if let Some(column) = self.column(column) {
            self.analysis.comparisons.push(Comparison { column, literal: text, ignores_case });
        }
    }

    fn text_literal(&self, expression: &Expr) -> Option<String> {
        match expression {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text.clone()),
                Value::DoubleQuotedString(text) if self.dialect == DatabaseKind::Mysql => Some(text.clone()),
                _ => None,
            },
            Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => self.text_literal(inner),
            _ => None,
        }
    }
}

fn is_comparison(operator: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// The collation that an expression asks for, in lower case.
fn collation(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Collate { collation, .. } => Some(collation.to_string().trim_matches(['"', '`']).to_ascii_lowercase()),
        Expr::Nested(inner) => collation(inner),
        _ => None,
    }
}
