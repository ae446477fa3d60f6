//! What rows must meet.

use super::super::chunks::is_date;
use super::super::dates::Period;
use super::super::draft::{Condition, Draft, Kind, SlotId, UNNAMED_DATE, in_column};
use super::super::names::{Col, Target};
use super::super::resolve::slot_of;
use super::super::tree::{Expr, Filter, Literal, Query, SetOp};
use super::Builder;
use crate::domain::ColumnType;
use crate::domain::outputs::{AggregateFunction as Aggregate, Operator};

impl<'a> Builder<'a> {
    pub(super) fn conditions(&mut self, query: &mut Query, entity: usize) -> Result<(), String> {
        let draft = self.draft;
        for condition in &draft.conditions {
            let slot = slot_of(&condition.kind);
            let apart = self.apart(condition, entity);
            if matches!(condition.kind, Kind::Exists(_)) && condition.negated && !apart {
                return Err("a thing without itself is not understood".to_owned());
            }
            if let Some(second) = self.pair(condition) {
                let filters = [self.filter(condition, false)?, self.filter(second, false)?];
                self.both(query, entity, slot, filters.into_iter().flatten().collect())?;
                continue;
            }
            if self.is_second(condition) {
                continue;
            }
            if let Kind::Count(_, op, number) = &condition.kind {
                if apart || condition.negated {
                    return Err("a denied count is not understood".to_owned());
                }
                let counted = self.target(slot);
                let once = self.counted_once(counted, entity);
                self.group_for_count(query, entity, Some(once.map_or(counted.table(), |_| entity)))?;
                let expr = match counted {
                    Target::Table(_) => {
                        once.map_or(Expr::CountAll, |key| Expr::Aggregate(Aggregate::CountDistinct, key))
                    }
                    Target::Column(col) => Expr::Aggregate(Aggregate::CountDistinct, col),
                };
                query.having.push(Filter::Compare(expr, *op, vec![Literal::Number(number.clone())]));
                continue;
            }
            if let (true, Kind::Values(_, alternatives)) = (alternatives_both(draft, &condition.kind), &condition.kind)
            {
                let col = self.col(slot)?;
                let values = in_column(alternatives, col).ok_or("the values lie in different columns")?;
                let equal = |value: &String| {
                    Filter::Compare(Expr::Column(col), Operator::Equal, vec![Literal::Text(value.clone())])
                };
                self.both(query, entity, slot, values.iter().map(equal).collect())?;
                continue;
            }
            if let (Kind::Compare(_, op, values), Some(_)) = (&condition.kind, self.measure(slot)) {
                if apart || condition.negated {
                    return Err("a denied measure is not understood".to_owned());
                }
                let col = self.col(slot)?;
                self.group_for_count(query, entity, Some(col.table))?;
                query.having.push(Filter::Compare(Expr::Aggregate(Aggregate::Sum, col), *op, values.clone()));
                continue;
            }
            let Some(filter) = self.filter(condition, apart)? else {
                if apart {
                    query.filters.push(self.member(entity, slot, None, true)?);
                }
                continue;
            };
            let filter = if apart { self.member(entity, slot, Some(filter), true)? } else { filter };
            match query.filters.last_mut() {
                Some(last) if condition.or => {
                    let before = std::mem::replace(last, Filter::Any(Vec::new()));
                    *last = match before {
                        Filter::Any(mut parts) => {
                            parts.push(filter);
                            Filter::Any(parts)
                        }
                        other => Filter::Any(vec![other, filter]),
                    };
                }
                _ => query.filters.push(filter),
            }
        }
        Ok(())
    }

    /// The later condition that asks for another value of the same column: no row can hold both.
    fn pair(&self, condition: &Condition) -> Option<&'a Condition> {
        let draft: &'a Draft = self.draft;
        let conditions = &draft.conditions;
        let at = conditions.iter().position(|other| std::ptr::eq(other, condition))?;
        let col = self.equal_column(condition)?;
        conditions[at + 1..].iter().find(|other| !other.or && self.equal_column(other) == Some(col))
    }

    fn is_second(&self, condition: &Condition) -> bool {
        self.draft.conditions.iter().any(|other| self.pair(other).is_some_and(|second| std::ptr::eq(second, condition)))
    }

    fn equal_column(&self, condition: &Condition) -> Option<Col> {
        let single = match &condition.kind {
            Kind::Compare(..) if self.draft.both => true,
            Kind::Compare(_, Operator::Equal, _) | Kind::Period(_, Operator::Equal, _) => true,
            Kind::Values(_, alternatives) => alternatives.len() == 1,
            _ => false,
        };
        match self.target(slot_of(&condition.kind)) {
            Target::Column(col) if single && !condition.negated => Some(col),
            _ => None,
        }
    }

    /// "both A and B" of one column: rows of the entity that have each.
    fn both(&mut self, query: &mut Query, entity: usize, slot: SlotId, filters: Vec<Filter>) -> Result<(), String> {
        let col = self.col(slot)?;
        let [first, second] = &filters[..] else {
            return Err("more than two values at once are not understood".to_owned());
        };
        if col.table == entity || query.tables.len() > 2 {
            let mut other = query.clone();
            query.filters.push(first.clone());
            other.filters.push(second.clone());
            query.compound = Some((SetOp::Intersect, Box::new(other)));
        } else {
            for filter in filters {
                let member = self.member(entity, slot, Some(filter), false)?;
                query.filters.push(member);
            }
            query.tables = vec![entity];
            query.edges.clear();
        }
        self.certainty *= 0.9;
        Ok(())
    }

    fn member(&mut self, entity: usize, slot: SlotId, filter: Option<Filter>, negated: bool) -> Result<Filter, String> {
        let table = self.target(slot).table();
        let [key] = self.names.key(entity)[..] else { return Err("the rows have no single key".to_owned()) };
        let tree = self.joins.tree(&[entity, table], self.prefers).ok_or("no foreign keys connect the tables")?;
        if tree.ambiguous {
            self.certainty *= 0.6;
        }
        // The child already holds the key of the entity: the entity itself need not be joined.
        if let ([edge], [parent]) =
            (&tree.edges[..], &tree.edges.first().map(|edge| edge.parent.clone()).unwrap_or_default()[..])
            && *parent == key
            && edge.child.len() == 1
            && edge.child_table() == table
        {
            let child = edge.child[0];
            let mut filters: Vec<Filter> = filter.into_iter().collect();
            if self.names.column(child).nullable && negated {
                filters.push(Filter::Compare(Expr::Column(child), Operator::IsNotNull, Vec::new()));
            }
            let query = Query { select: vec![Expr::Column(child)], tables: vec![table], filters, ..Query::default() };
            return Ok(Filter::Member(key, negated, Box::new(query)));
        }
        let query = Query {
            select: vec![Expr::Column(key)],
            tables: tree.tables,
            edges: tree.edges,
            filters: filter.into_iter().collect(),
            ..Query::default()
        };
        Ok(Filter::Member(key, negated, Box::new(query)))
    }

    pub(super) fn filter(&mut self, condition: &Condition, apart: bool) -> Result<Option<Filter>, String> {
        let slot = slot_of(&condition.kind);
        if self.measure(slot).is_some() {
            return Err(format!("'{}' is computed of many rows", self.draft.slots[slot].text));
        }
        let negated = condition.negated && !apart;
        Ok(Some(match &condition.kind {
            Kind::Compare(slot, op, values) => {
                let col = self.col(*slot)?;
                self.compare(col, if negated { opposite(*op)? } else { *op }, values)?
            }
            Kind::Period(slot, op, period) => {
                let col = self.col(*slot)?;
                if self.draft.slots[*slot].text == UNNAMED_DATE && self.tells_of_something_else(col) {
                    self.certainty *= 0.6;
                }
                self.period(col, if negated { opposite(*op)? } else { *op }, *period)?
            }
            Kind::Values(slot, alternatives) => {
                let col = self.col(*slot)?;
                let values = in_column(alternatives, col).ok_or("the values lie in different columns")?;
                let literals: Vec<Literal> = values.into_iter().map(Literal::Text).collect();
                let op = match (literals.len() > 1, negated) {
                    (false, false) => Operator::Equal,
                    (false, true) => Operator::NotEqual,
                    (true, false) => Operator::In,
                    (true, true) => Operator::NotIn,
                };
                Filter::Compare(Expr::Column(col), op, literals)
            }
            Kind::Like(slot, before, after, text) => {
                let col = self.col(*slot)?;
                if self.names.is_key(col) || self.names.is_reference(col) {
                    return Err(format!("'{}' is no text", self.names.column(col).name));
                }
                Filter::Search { col, negated, before: *before, after: *after, text: text.clone() }
            }
            Kind::Relative(slot, op, function) => {
                let col = self.col(*slot)?;
                self.require_number(col)?;
                let inner = Query {
                    select: vec![Expr::Aggregate(*function, col)],
                    tables: vec![col.table],
                    ..Query::default()
                };
                Filter::CompareQuery(Expr::Column(col), *op, Box::new(inner))
            }
            Kind::Exists(_) | Kind::Count(..) => return Ok(None),
        }))
    }

    fn compare(&mut self, col: Col, op: Operator, values: &[Literal]) -> Result<Filter, String> {
        let mut values = values.to_vec();
        if matches!(op, Operator::IsNull | Operator::IsNotNull) {
            if !self.names.column(col).nullable || self.names.is_reference(col) {
                return Err(format!("'{}' is never empty", self.names.column(col).name));
            }
            return Ok(Filter::Compare(Expr::Column(col), op, Vec::new()));
        }
        let equality = matches!(op, Operator::Equal | Operator::NotEqual | Operator::In | Operator::NotIn);
        let numbers = values.iter().all(|value| matches!(value, Literal::Number(_)));
        let column = self.names.column(col);
        if numbers && !equality && (self.names.is_key(col) || self.names.is_reference(col)) {
            self.certainty *= 0.3;
        }
        let unheard = |value: &Literal| matches!(value, Literal::Number(text) if self.values.count(col).is_some() && self.values.spelling(col, text).is_none());
        if column.kind == ColumnType::Text && values.iter().any(unheard) && equality {
            return Err(format!("'{}' holds no such value", column.name));
        }
        if numbers && !equality && !self.is_number(col) {
            return Err(format!("'{}' does not hold numbers", column.name));
        }
        if numbers && column.kind == ColumnType::Text && equality {
            values = values
                .into_iter()
                .map(|value| if let Literal::Number(text) = value { Literal::Text(text) } else { value })
                .collect();
        } else if numbers && column.kind == ColumnType::Text {
            self.certainty *= 0.8;
        }
        if !numbers && column.kind.is_numeric() {
            return Err(format!("'{}' holds numbers only", column.name));
        }
        if !numbers && equality {
            self.certainty *= 0.7;
        }
        Ok(Filter::Compare(Expr::Column(col), op, values))
    }

    fn period(&mut self, col: Col, op: Operator, period: Period) -> Result<Filter, String> {
        let compare = |op: Operator, value: Literal| Filter::Compare(Expr::Column(col), op, vec![value]);
        if let (Some(year), false) = (period.year, is_date(self.names, col) && !self.is_year(col)) {
            let text = !self.names.column(col).kind.is_numeric();
            if text && !self.is_number(col) {
                return Err(format!("'{}' does not hold years", self.names.column(col).name));
            }
            let year = if text { Literal::Text(year.to_string()) } else { Literal::Number(year.to_string()) };
            return Ok(compare(op, year));
        }
        let samples = self.values.samples(col);
        if samples.iter().any(|value| value.len() < 8 || !value.as_bytes()[..4].iter().all(u8::is_ascii_digit)) {
            return Err(format!(
                "'{}' does not hold dates in a form that can be compared",
                self.names.column(col).name
            ));
        }
        if !is_date(self.names, col) {
            return Err(format!("'{}' does not hold dates", self.names.column(col).name));
        }
        let from = Literal::Text(period.from.to_string());
        let to = Literal::Text(period.to.to_string());
        Ok(match op {
            Operator::Greater => compare(Operator::GreaterOrEqual, to),
            Operator::GreaterOrEqual => compare(Operator::GreaterOrEqual, from),
            Operator::Less => compare(Operator::Less, from),
            Operator::LessOrEqual => compare(Operator::Less, to),
            Operator::NotEqual => {
                Filter::Any(vec![compare(Operator::Less, from), compare(Operator::GreaterOrEqual, to)])
            }
            _ => Filter::All(vec![compare(Operator::GreaterOrEqual, from), compare(Operator::Less, to)]),
        })
    }
}

fn alternatives_both(draft: &Draft, kind: &Kind) -> bool {
    draft.both && matches!(kind, Kind::Values(_, alternatives) if alternatives.len() > 1)
}

fn opposite(op: Operator) -> Result<Operator, String> {
    Ok(match op {
        Operator::Equal => Operator::NotEqual,
        Operator::NotEqual => Operator::Equal,
        Operator::Less => Operator::GreaterOrEqual,
        Operator::LessOrEqual => Operator::Greater,
        Operator::Greater => Operator::LessOrEqual,
        Operator::GreaterOrEqual => Operator::Less,
        Operator::In => Operator::NotIn,
        Operator::NotIn => Operator::In,
        Operator::Like => Operator::NotLike,
        Operator::NotLike => Operator::Like,
        Operator::IsNull => Operator::IsNotNull,
        Operator::IsNotNull => Operator::IsNull,
        Operator::Between => return Err("all but a range is not understood".to_owned()),
    })
}
