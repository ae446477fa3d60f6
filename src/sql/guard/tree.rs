//! The allow-list over the syntax tree: what is not named here is refused, also when a new parser learns it.
//!
//! The parser's visitor reaches every statement, query, select, table and expression at any depth; each of them is taken apart
//! by the modules beside this one.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Ident, ObjectName, Query, Select, Statement, TableFactor, Visit, Visitor};
use sqlparser::tokenizer::Span;

use super::check::{Effect, Policy};
use super::refusal::{Finding, Rule};
use super::{expression, query, statement};

pub(super) type Checked = Result<(), Finding>;

/// Checks the whole statement and says what it does; `first` is the place of its first word.
pub(super) fn check(root: &Statement, first: Span, policy: &Policy) -> Result<Effect, Finding> {
    let effect = statement::check(root, first, policy)?;
    match root.visit(&mut Walker { policy, known: statement::expected(root), first }) {
        ControlFlow::Break(finding) => Err(finding),
        ControlFlow::Continue(()) => Ok(effect),
    }
}

pub(super) fn refuse(span: Span, message: impl Into<String>) -> Checked {
    Err(Finding::new(Rule::Construct, span, message))
}

/// [`refuse`] for what the parser gives no place: it is the first of these words from the span on.
pub(super) fn refuse_words(span: Span, words: &'static [&'static str], message: impl Into<String>) -> Checked {
    Err(Finding::new(Rule::Construct, span, message).at(words))
}

struct Walker<'a> {
    policy: &'a Policy,
    /// Statements that were checked as such; any other one inside the root writes where it may not.
    known: Vec<&'a Statement>,
    first: Span,
}

impl Walker<'_> {
    fn is_known(&self, statement: &Statement) -> bool {
        self.known.iter().any(|known| std::ptr::eq(*known, statement))
    }
}

impl Visitor for Walker<'_> {
    type Break = Finding;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Finding> {
        let checked = if self.is_known(statement) { Ok(()) } else { statement::nested(self.first, self.policy) };
        broken(checked)
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Finding> {
        broken(query::check(query, self.policy))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Finding> {
        broken(query::select(select, self.policy))
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<Finding> {
        broken(query::relation(name, self.policy))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Finding> {
        broken(query::table(factor, self.policy))
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Finding> {
        broken(expression::check(expression, self.policy))
    }

    fn pre_visit_ident(&mut self, name: &Ident) -> ControlFlow<Finding> {
        broken(expression::variable(name, self.policy))
    }
}

fn broken(checked: Checked) -> ControlFlow<Finding> {
    checked.map_or_else(ControlFlow::Break, ControlFlow::Continue)
}
