//! From a draft and its assignment to a query tree.

use super::chunks::is_date;
use super::dates::Period;
use super::draft::{Bucket, Condition, Draft, Key, Kind, SlotId, UNNAMED_DATE, in_column};
use super::joins::{Edge, Joins, Tree};
use super::names::{Col, Names, Target};
use super::resolve::slot_of;
use super::synonyms;
use super::tree::{Expr, Filter, Literal, Query, SetOp, hold_key};
use super::values::Values;
use crate::domain::ColumnType;
use crate::domain::outputs::{AggregateFunction as Aggregate, Operator};

/// A query and how sure its shape is, 0 to 1.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    /// The tree.
    pub query: Query,
    /// Product of what was assumed.
    pub certainty: f64,
    /// What was assumed, in words.
    pub assumptions: Vec<String>,
}

pub(crate) struct Builder<'a> {
    pub draft: &'a Draft,
    pub targets: &'a [Target],
    pub names: &'a Names,
    pub values: &'a Values,
    pub joins: &'a Joins,
    pub prefers: &'a dyn Fn(&Edge) -> f64,
    /// Lemmas of the question's words.
    pub words: &'a [&'a str],
    pub certainty: f64,
    pub assumptions: Vec<String>,
}

impl<'a> Builder<'a> {
    /// Builds the query, or says why this assignment has none.
    pub(crate) fn build(mut self) -> Result<Built, String> {
        let sentence = self.draft.items.iter().map(|item| item.sentence).max().ok_or("nothing is asked for")?;
        let entity = self.entity().ok_or("nothing is asked for")?;
        let mut query = Query { distinct: self.draft.distinct, limit: self.draft.limit, ..Query::default() };
        let (tree, multiplied) = self.tables(entity)?;
        query.tables = tree.tables;
        query.edges = tree.edges;
        self.items(&mut query, sentence, multiplied)?;
        self.groups(&mut query, entity, sentence)?;
        self.conditions(&mut query, entity)?;
        self.order(&mut query, entity)?;
        self.finish(&mut query, entity, multiplied)?;
        Ok(Built { query, certainty: self.certainty, assumptions: self.assumptions })
    }

    fn target(&self, slot: SlotId) -> Target {
        self.targets[slot]
    }

    fn col(&self, slot: SlotId) -> Result<Col, String> {
        match self.target(slot) {
            Target::Column(col) => Ok(col),
            Target::Table(_) => Err(format!("'{}' is a table, not a column", self.draft.slots[slot].text)),
        }
    }

    /// The column that stands for a measure, if the slot means one.
    fn measure(&self, slot: SlotId) -> Option<Col> {
        match self.target(slot) {
            Target::Column(col) => self.names.measure(col).map(|_| col),
            Target::Table(_) => None,
        }
    }

    /// The table whose rows are asked for.
    fn entity(&self) -> Option<usize> {
        let sentence = self.draft.items.iter().map(|item| item.sentence).max()?;
        let first = self.draft.items.iter().find(|item| item.sentence == sentence && item.slot.is_some())?;
        let owner = self.draft.owner.filter(|_| first.aggregate.is_none());
        owner.or(first.slot).map(|slot| self.target(slot).table())
    }

    fn shown_tables(&self) -> Vec<usize> {
        let mut tables: Vec<usize> =
            self.draft.items.iter().filter_map(|item| item.slot).map(|slot| self.target(slot).table()).collect();
        tables.extend(self.draft.owner.map(|slot| self.target(slot).table()));
        if self.draft.items.iter().any(|item| item.aggregate.is_some()) {
            tables.extend(self.draft.groups.iter().map(|(slot, _)| self.target(*slot).table()));
        }
        tables
    }

    /// Tables that rows of a measure belong to and that have a default filter: an item of a cancelled order is no revenue,
    /// whether or not the question speaks of orders.
    fn filtered_parents(&self) -> Vec<usize> {
        let children: Vec<usize> =
            (0..self.draft.slots.len()).filter_map(|slot| self.measure(slot)).map(|col| col.table).collect();
        let tables = &self.names.schema().tables;
        let filtered = self
            .names
            .meaning()
            .filters
            .iter()
            .filter_map(|filter| tables.iter().position(|known| filter.table.is(known)));
        let belongs = |parent: &usize| {
            children.iter().any(|child| {
                let way = self.joins.tree(&[*child, *parent], self.prefers);
                child != parent && way.is_some_and(|tree| tree.edges.len() == 1 && !multiplies(&tree, &[*child]))
            })
        };
        filtered.filter(belongs).collect()
    }

    /// Tables of the query without what is looked up apart, and whether a join can repeat the asked-for rows.
    fn tables(&mut self, entity: usize) -> Result<(Tree, bool), String> {
        let mut tables = vec![entity];
        tables.extend(self.shown_tables());
        for condition in &self.draft.conditions {
            if !self.apart(condition, entity) {
                tables.push(self.target(slot_of(&condition.kind)).table());
            }
        }
        tables.extend(self.filtered_parents());
        let denied = |slot: &SlotId| self.draft.slots[*slot].denied;
        tables.extend(self.draft.mentions.iter().filter(|slot| !denied(slot)).map(|slot| self.target(*slot).table()));
        tables.extend(self.draft.groups.iter().map(|(slot, _)| self.target(*slot).table()));
        for (key, _) in &self.draft.order {
            match key {
                Key::Column(slot) | Key::Aggregate(_, slot) | Key::Count(Some(slot)) => {
                    tables.push(self.target(*slot).table());
                }
                Key::Count(None) | Key::First => {}
            }
        }
        let tree =
            self.joins.tree(&tables, self.prefers).ok_or("no foreign keys connect the tables that are spoken of")?;
        if tree.ambiguous {
            self.certainty *= 0.6;
        }
        let shown = self.shown_tables();
        let multiplied = multiplies(&tree, &shown);
        if self.repeats_values(entity, &tree) {
            self.certainty *= 0.85;
        }
        Ok((tree, multiplied))
    }

    /// Whether a counted table is joined to several rows of one that rows are grouped by, as customers to addresses.
    fn repeated_by_groups(&self, counted: usize) -> bool {
        self.draft.groups.iter().any(|(slot, _)| {
            let Target::Column(col) = self.target(*slot) else { return false };
            col.table != counted && !self.names_entity(col) && !self.has_one_partner(counted, col.table)
        })
    }

    /// Whether a column tells the rows of its table apart for people: its key, or what it is called.
    fn names_entity(&self, col: Col) -> bool {
        self.names.is_key(col)
            || self.names.label(col.table).contains(&col)
            || self.names.words(col).iter().any(|word| matches!(word.as_str(), "name" | "title"))
    }

    /// Whether each row of a table joins at most one row of another.
    fn has_one_partner(&self, entity: usize, other: usize) -> bool {
        self.joins.tree(&[entity, other], self.prefers).is_some_and(|tree| !multiplies(&tree, &[entity]))
    }

    /// Whether one plain column is shown once per row although the question may mean its different values: another
    /// table is spoken of, and joining it restricts nothing.
    fn repeats_values(&self, entity: usize, tree: &Tree) -> bool {
        let [item] = &self.draft.items[..] else { return false };
        let plain = item.aggregate.is_none() && !item.distinct && !self.draft.distinct;
        let Some(Target::Column(col)) = item.slot.map(|slot| self.target(slot)) else { return false };
        plain
            && self.draft.conditions.iter().all(|one| matches!(one.kind, Kind::Exists(_)) && !one.negated)
            && self.draft.groups.is_empty()
            && !tree.edges.is_empty()
            && !self.names.is_key(col)
            && !self.names.words(col).iter().any(|word| matches!(word.as_str(), "name" | "title"))
            && !multiplies(tree, &[entity])
    }

    /// Whether a condition denies rows of another table and so needs a query of its own.
    fn apart(&self, condition: &Condition, entity: usize) -> bool {
        let slot = slot_of(&condition.kind);
        let table = self.target(slot).table();
        if table == entity || !(condition.negated || self.draft.slots[slot].denied) {
            return false;
        }
        if matches!(condition.kind, Kind::Exists(_)) {
            return true;
        }
        // Along many-to-one keys each row has one partner: denying it needs no other query.
        self.joins.tree(&[entity, table], self.prefers).is_none_or(|tree| multiplies(&tree, &[entity]))
    }

    // ---- what is shown ----

    fn items(&mut self, query: &mut Query, sentence: usize, multiplied: bool) -> Result<(), String> {
        let draft = self.draft;
        let named = |name: &str| {
            draft
                .items
                .iter()
                .filter_map(|item| item.slot)
                .find(|slot| draft.slots[*slot].text.to_lowercase().contains(name))
                .map(|slot| self.target(slot).table())
        };
        if let (Some(first), Some(last)) = (named("first name"), named("last name"))
            && first != last
        {
            self.certainty *= 0.3;
        }
        let wanted = draft.items.iter().filter(|item| item.sentence == sentence);
        let grouped = draft.items.iter().any(|item| item.aggregate.is_none())
            || !draft.groups.is_empty()
            || !draft.buckets.is_empty();
        for item in wanted {
            let Some(slot) = item.slot else {
                query.select.push(Expr::CountAll);
                continue;
            };
            match (self.target(slot), item.aggregate) {
                (Target::Table(table), None) if item.everything => {
                    query.select.push(if query.tables.len() > 1 { Expr::TableStar(table) } else { Expr::Star });
                }
                (Target::Table(table), None) => {
                    let repeated = draft.items.iter().any(|other| {
                        other.slot != item.slot
                            && other.slot.is_some_and(
                                |slot| matches!(self.target(slot), Target::Column(col) if col.table == table),
                            )
                    });
                    if repeated && !draft.along {
                        self.certainty *= 0.6;
                    }
                    let label = self.names.label(table);
                    if label.iter().all(|col| self.names.is_key(*col)) {
                        self.certainty *= 0.85;
                    }
                    query.select.extend(label.into_iter().map(Expr::Column));
                }
                (Target::Table(table), Some(Aggregate::Count)) => {
                    let key = self.names.key(table);
                    query.select.push(match key[..] {
                        [key] if multiplied && !grouped || self.repeated_by_groups(table) => {
                            Expr::Aggregate(Aggregate::CountDistinct, key)
                        }
                        _ => Expr::CountAll,
                    });
                    if multiplied && key.len() != 1 {
                        self.certainty *= 0.7;
                    }
                }
                (Target::Table(_), Some(_)) => {
                    return Err(format!("'{}' is not a column that can be computed with", draft.slots[slot].text));
                }
                (Target::Column(col), None | Some(Aggregate::Sum)) if self.names.measure(col).is_some() => {
                    query.select.push(Expr::Aggregate(Aggregate::Sum, col));
                }
                (Target::Column(col), Some(_)) if self.names.measure(col).is_some() => {
                    return Err(format!("'{}' is computed of many rows already", self.names.column(col).name));
                }
                (Target::Column(col), None) => query.select.push(Expr::Column(col)),
                (Target::Column(col), Some(Aggregate::Count)) => {
                    let key = self.names.is_key(col) && self.names.key(col.table).len() == 1;
                    let number = self.names.column(col).kind.is_numeric()
                        && !self.names.is_key(col)
                        && !self.names.is_reference(col);
                    if number && !item.distinct {
                        // "how many undergraduates" may ask for a sum as well.
                        self.certainty *= 0.5;
                    }
                    query.select.push(match (item.distinct, key && !multiplied) {
                        (false, true) => Expr::CountAll,
                        (false, false) if grouped => Expr::Aggregate(Aggregate::Count, col),
                        _ => Expr::Aggregate(Aggregate::CountDistinct, col),
                    });
                    if !item.distinct {
                        self.certainty *= 0.85;
                    }
                }
                (Target::Column(col), Some(function)) => {
                    if matches!(function, Aggregate::Sum | Aggregate::Average) {
                        self.require_number(col)?;
                    }
                    query.select.push(Expr::Aggregate(function, col));
                }
            }
        }
        Ok(())
    }

    fn require_number(&mut self, col: Col) -> Result<(), String> {
        let column = self.names.column(col);
        if column.kind.is_numeric() && !self.names.is_reference(col) && !self.names.is_key(col) {
            return Ok(());
        }
        let samples = self.values.samples(col);
        if column.kind == ColumnType::Text
            && !samples.is_empty()
            && samples.iter().all(|value| value.trim().parse::<f64>().is_ok())
        {
            return Ok(());
        }
        Err(format!("'{}' does not hold numbers", column.name))
    }

    fn is_number(&self, col: Col) -> bool {
        let column = self.names.column(col);
        let samples = self.values.samples(col);
        column.kind.is_numeric()
            || (column.kind == ColumnType::Text
                && (samples.is_empty() || samples.iter().all(|value| value.trim().parse::<f64>().is_ok())))
            || matches!(column.kind, ColumnType::Other | ColumnType::Boolean)
    }

    // ---- groups ----

    fn groups(&mut self, query: &mut Query, entity: usize, sentence: usize) -> Result<(), String> {
        let draft = self.draft;
        let aggregated = query.select.iter().any(is_aggregate);
        let plain: Vec<Col> = query
            .select
            .iter()
            .filter_map(|expr| if let Expr::Column(col) = expr { Some(*col) } else { None })
            .collect();
        if aggregated {
            let mut inserted = 0;
            for (bucket, place) in &draft.buckets {
                let col = self.bucket_column(entity)?;
                let expr = match (bucket, self.is_year(col)) {
                    (Bucket::Year, true) => Expr::Column(col),
                    (_, true) => return Err("there is no date to take months from".to_owned()),
                    (Bucket::Year, false) => Expr::Year(col),
                    (Bucket::Month, false) => Expr::Month(col),
                };
                query.group.push(expr.clone());
                query.select.insert((*place + inserted).min(query.select.len()), expr);
                inserted += 1;
            }
            for (index, (slot, place)) in draft.groups.iter().enumerate() {
                if draft.groups[..index].iter().any(|(known, _)| self.target(*known) == self.target(*slot)) {
                    continue;
                }
                let shown = match self.target(*slot) {
                    Target::Column(col) => {
                        query.group.push(Expr::Column(col));
                        if plain.contains(&col) { Vec::new() } else { vec![col] }
                    }
                    Target::Table(table) => {
                        self.group_by_entity(query, table);
                        if plain.iter().any(|col| col.table == table) { Vec::new() } else { self.names.label(table) }
                    }
                };
                let first = if sentence == 0 { (*place + inserted).min(query.select.len()) } else { 0 };
                inserted += shown.len();
                for (offset, col) in shown.into_iter().enumerate() {
                    query.group.push(Expr::Column(col));
                    query.select.insert(first + offset, Expr::Column(col));
                }
            }
            if draft.groups.is_empty() && draft.buckets.is_empty() && !plain.is_empty() {
                let aggregate_table = query
                    .select
                    .iter()
                    .find_map(|expr| if let Expr::Aggregate(_, col) = expr { Some(col.table) } else { None });
                let counted = draft
                    .items
                    .iter()
                    .filter(|item| item.aggregate == Some(Aggregate::Count))
                    .find_map(|item| item.slot)
                    .map(|slot| self.target(slot).table());
                let other = aggregate_table.or(counted);
                if other.is_none_or(|other| other == plain[0].table) {
                    self.certainty *= 0.85;
                } else {
                    self.group_by_entity(query, plain[0].table);
                }
            }
            for col in plain {
                query.group.push(Expr::Column(col));
            }
            dedup(&mut query.group);
        } else if !draft.buckets.is_empty() {
            return Err("the rows of each month or year are not understood".to_owned());
        } else if !draft.groups.is_empty() {
            if !draft.order.is_empty() && draft.limit.is_some() {
                return Err("one row per group is not understood".to_owned());
            }
            self.certainty *= 0.85;
        }
        Ok(())
    }

    fn bucket_column(&mut self, entity: usize) -> Result<Col, String> {
        let dates: Vec<Col> =
            self.names.columns(entity).filter(|col| is_date(self.names, *col) || self.is_year(*col)).collect();
        match dates[..] {
            [] => Err("there is no date to group by".to_owned()),
            [only] => Ok(only),
            [first, ..] => {
                self.certainty *= 0.6;
                Ok(first)
            }
        }
    }

    fn is_year(&self, col: Col) -> bool {
        self.names.words(col).iter().any(|word| word == "year") && !self.names.column(col).kind.is_temporal()
    }

    fn group_by_entity(&mut self, query: &mut Query, table: usize) {
        let key = self.names.key(table);
        if key.is_empty() {
            self.certainty *= 0.9;
            let label = self.names.label(table);
            query.group.extend(label.into_iter().map(Expr::Column));
        } else {
            query.group.extend(key.into_iter().map(Expr::Column));
        }
        dedup(&mut query.group);
    }

    /// The key by which rows of a table are counted once each. "The countries with the most customers", where each address
    /// has one customer: rows are grouped by what is shown, and a customer may have several addresses.
    fn counted_once(&self, counted: Target, entity: usize) -> Option<Col> {
        let Target::Table(counted) = counted else { return None };
        let partner = counted != entity && self.has_one_partner(entity, counted);
        match self.names.key(counted)[..] {
            [key] if partner => Some(key),
            _ => None,
        }
    }

    /// Groups a query by what it shows, so that rows of `counted` can be counted per group.
    fn group_for_count(&mut self, query: &mut Query, entity: usize, counted: Option<usize>) -> Result<(), String> {
        if !query.group.is_empty() {
            return Ok(());
        }
        let plain: Vec<Col> = query
            .select
            .iter()
            .filter_map(|expr| if let Expr::Column(col) = expr { Some(*col) } else { None })
            .collect();
        if plain.is_empty() && query.select.iter().any(is_aggregate) {
            return Err("a count of groups is not understood".to_owned());
        }
        let asked_table = self.draft.items.iter().any(|item| {
            item.slot.is_some_and(|slot| matches!(self.target(slot), Target::Table(table) if table == entity))
        });
        match counted {
            // "Which city has the most orders?": the city, not each address, is what rows are counted for.
            Some(counted)
                if counted != entity
                    && (asked_table || plain.is_empty() || plain.iter().all(|col| self.names_entity(*col))) =>
            {
                self.group_by_entity(query, entity);
            }
            Some(counted) if counted != entity => {}
            Some(_) if asked_table => return Err("a thing cannot be counted per itself".to_owned()),
            None if asked_table && query.tables.len() == 1 => {
                self.certainty *= 0.5;
            }
            None if asked_table || query.tables.len() > 1 => {
                self.certainty *= 0.8;
                self.group_by_entity(query, entity);
            }
            _ => {}
        }
        query.group.extend(plain.into_iter().map(Expr::Column));
        dedup(&mut query.group);
        Ok(())
    }

    // ---- conditions ----

    fn conditions(&mut self, query: &mut Query, entity: usize) -> Result<(), String> {
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

    fn filter(&mut self, condition: &Condition, apart: bool) -> Result<Option<Filter>, String> {
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

    /// Whether a date that nobody named tells of one thing and the question's verb of another: what was sold in 2024 was not
    /// launched then.
    fn tells_of_something_else(&self, col: Col) -> bool {
        const ANYTHING: [&str; 12] = [
            "date",
            "day",
            "time",
            "timestamp",
            "datetime",
            "at",
            "on",
            "year",
            "month",
            "create",
            "created",
            "record",
        ];
        const IRREGULAR: [&str; 8] = ["buy", "give", "make", "sell", "send", "take", "win", "write"];
        let table = self.names.table_words(col.table);
        let own = self.names.words(col).iter().filter(|word| !ANYTHING.contains(&word.as_str()));
        let told: Vec<&String> = own.filter(|word| !table.iter().any(|other| akin(word, other))).collect();
        let is_verb = |word: &str| word.ends_with("ed") || IRREGULAR.contains(&word);
        let other = |word: &&str| is_verb(word) && !table.iter().any(|other| akin(word, other));
        !told.is_empty()
            && !told.iter().any(|told| self.words.iter().any(|word| akin(word, told)))
            && self.words.iter().any(other)
    }

    // ---- order and the rest ----

    fn order(&mut self, query: &mut Query, entity: usize) -> Result<(), String> {
        let draft = self.draft;
        for (key, descending) in &draft.order {
            match key {
                Key::Column(slot) | Key::Aggregate(_, slot) if self.measure(*slot).is_some() => {
                    if matches!(key, Key::Aggregate(function, _) if *function != Aggregate::Sum) {
                        return Err(format!("'{}' is computed of many rows already", self.draft.slots[*slot].text));
                    }
                    let col = self.col(*slot)?;
                    self.group_for_count(query, entity, Some(col.table))?;
                    query.order.push((Expr::Aggregate(Aggregate::Sum, col), *descending));
                }
                Key::Column(slot) => {
                    let col = self.col(*slot)?;
                    let descending = self.direction(*slot, col, *descending);
                    if draft.limit.is_some() && !self.is_number(col) && !is_date(self.names, col) {
                        return Err(format!("'{}' has no largest or smallest value", self.names.column(col).name));
                    }
                    if draft.limit.is_some() && self.names.words(col).iter().any(|word| word == "rank") {
                        // The highest rank is the smallest number, or not.
                        self.certainty *= 0.45;
                    }
                    let rating =
                        self.names.words(col).iter().any(|word| matches!(word.as_str(), "rating" | "score" | "star"));
                    if draft.limit.is_some()
                        && rating
                        && col.table != entity
                        && !self.has_one_partner(entity, col.table)
                    {
                        // The best single review, or the best average? Nobody said.
                        self.certainty *= 0.6;
                    }
                    if draft.limit.is_some_and(|limit| limit > 1)
                        && col.table != entity
                        && !self.has_one_partner(entity, col.table)
                    {
                        // "The top 5 products by quantity": their largest single one, or all together? Nobody said.
                        self.certainty *= 0.6;
                    }
                    if draft.limit.is_some() && is_date(self.names, col) && self.tells_of_something_else(col) {
                        self.certainty *= 0.6;
                    }
                    if draft.limit.is_some() && (self.names.is_key(col) || self.names.is_reference(col)) {
                        self.certainty *= 0.6;
                    }
                    let grouped = !query.group.is_empty() && !query.group.contains(&Expr::Column(col));
                    if grouped {
                        let aggregate = query
                            .select
                            .iter()
                            .find(|expr| matches!(expr, Expr::Aggregate(_, known) if *known == col))
                            .cloned();
                        query.order.push((aggregate.ok_or("the order is not part of the groups")?, descending));
                        continue;
                    }
                    if draft.limit.is_some() && self.names.column(col).nullable && !descending {
                        query.filters.push(Filter::Compare(Expr::Column(col), Operator::IsNotNull, Vec::new()));
                    }
                    query.order.push((Expr::Column(col), descending));
                }
                Key::Aggregate(function, slot) => {
                    let col = self.col(*slot)?;
                    self.group_for_count(query, entity, Some(col.table))?;
                    query.order.push((Expr::Aggregate(*function, col), *descending));
                }
                Key::Count(slot) => {
                    let counted = slot.map(|slot| self.target(slot));
                    if let Some(key) = counted.and_then(|counted| self.counted_once(counted, entity)) {
                        self.group_for_count(query, entity, Some(entity))?;
                        query.order.push((Expr::Aggregate(Aggregate::CountDistinct, key), *descending));
                        continue;
                    }
                    self.group_for_count(query, entity, counted.map(Target::table))?;
                    query.order.push((Expr::CountAll, *descending));
                }
                Key::First => {
                    let first = query.select.first().cloned().ok_or("nothing to sort by")?;
                    if matches!(first, Expr::Star | Expr::TableStar(_)) {
                        return Err("it does not say what to sort by".to_owned());
                    }
                    query.order.push((first, *descending));
                }
            }
        }
        Ok(())
    }

    /// "oldest" is the largest age but the smallest birth date.
    fn direction(&self, slot: SlotId, col: Col, asked: bool) -> bool {
        let hint = &self.draft.slots[slot].text;
        let words = self.names.words(col);
        synonyms::adjective(hint)
            .iter()
            .find(|(phrase, _)| phrase.split(' ').all(|word| words.iter().any(|known| known == word)))
            .map_or(asked, |(_, large)| *large)
    }

    /// A sum or average must take each row once: what the joins say becomes a condition on its key.
    fn once_per_row(&mut self, query: &mut Query) -> Result<(), String> {
        let measured: Vec<usize> = query
            .select
            .iter()
            .filter_map(|expr| match expr {
                Expr::Aggregate(Aggregate::Sum | Aggregate::Average, col) => Some(col.table),
                _ => None,
            })
            .collect();
        let Some(table) = measured.first().copied() else { return Ok(()) };
        if query.select.iter().any(|expr| !matches!(expr, Expr::Aggregate(_, col) if col.table == table)) {
            return Err("measures of several tables are not understood".to_owned());
        }
        let [key] = self.names.key(table)[..] else { return Err("the rows have no single key".to_owned()) };
        let inner = Query {
            select: vec![Expr::Column(key)],
            tables: std::mem::replace(&mut query.tables, vec![table]),
            edges: std::mem::take(&mut query.edges),
            filters: std::mem::take(&mut query.filters),
            ..Query::default()
        };
        query.filters.push(Filter::Member(key, false, Box::new(inner)));
        Ok(())
    }

    fn finish(&mut self, query: &mut Query, entity: usize, multiplied: bool) -> Result<(), String> {
        if query.select.iter().filter(|expr| **expr == Expr::CountAll).count() > 1 {
            return Err("two counts at once are not understood".to_owned());
        }
        if query.select.is_empty() {
            return Err("nothing is asked for".to_owned());
        }
        let aggregated = query.select.iter().any(is_aggregate);
        if aggregated && query.group.is_empty() && query.limit.is_some() {
            return Err("a figure of the first few only is not understood".to_owned());
        }
        if self.says_nothing_new(query, entity) || self.leaves_out(query) {
            self.certainty *= 0.4;
        }
        if multiplied && aggregated && query.group.is_empty() && query.order.is_empty() && query.compound.is_none() {
            self.once_per_row(query)?;
        }
        if multiplied && !aggregated && query.group.is_empty() && query.limit.is_none() {
            query.distinct = true;
        }
        if query.compound.is_some() && (aggregated || !query.order.is_empty() || !query.group.is_empty()) {
            return Err("both of two values with a count or an order is not understood".to_owned());
        }
        if query.select.contains(&Expr::Star) && query.tables.len() > 1 {
            return Err("all columns of several tables are not understood".to_owned());
        }
        if query.distinct && query.order.iter().any(|(expr, _)| !query.select.contains(expr)) {
            query.distinct = self.draft.distinct;
            self.certainty *= 0.8;
        }
        if query.compound.is_none() && (!query.order.is_empty() || query.limit.is_some()) {
            query.ties = self.ties(query);
        }
        if let [counted, others @ ..] = &*query.tables
            && !others.is_empty()
            && asks_for_few(query)
        {
            let tables = &self.names.schema().tables;
            let least = others.last().unwrap_or(counted);
            self.assumptions.push(format!("What has no row in `{}` is not counted.", tables[*least].name));
        }
        Ok(())
    }

    /// Whether the answer is what the question names: "who reports to Ann Lee?" read as "who is Ann Lee?".
    fn says_nothing_new(&self, query: &Query, entity: usize) -> bool {
        let pinned = |col: &Col| {
            query.filters.iter().any(
                |filter| matches!(filter, Filter::Compare(Expr::Column(known), Operator::Equal, _) if known == col),
            )
        };
        let label = self.names.label(entity);
        let shown = query.select.iter().all(|expr| matches!(expr, Expr::Column(col) if pinned(col)));
        let counted = query.select == [Expr::CountAll]
            && !label.is_empty()
            && label.iter().all(|col| pinned(col) && !self.names.is_key(*col));
        shown || counted
    }

    /// Whether words of the question left no trace: the first or last of something, who or what is asked for, that it was
    /// sold.
    fn leaves_out(&self, query: &Query) -> bool {
        const SOLD: [&str; 3] = ["buy", "purchased", "sell"];
        let extreme = |expr: &Expr| matches!(expr, Expr::Aggregate(Aggregate::Minimum | Aggregate::Maximum, _));
        let unranked = self.draft.ranks
            && query.order.is_empty()
            && query.compound.is_none()
            && !query.select.iter().any(extreme)
            && query.filters.iter().all(|filter| matches!(filter, Filter::Compare(..) | Filter::Search { .. }));
        let shows = |table: usize| {
            query.select.iter().any(|expr| match expr {
                Expr::Column(col) | Expr::Aggregate(_, col) => col.table == table,
                Expr::TableStar(known) => *known == table,
                _ => true,
            })
        };
        let tables = &self.names.schema().tables;
        let asked = match self.words {
            ["which", thing, ..] => (0..tables.len()).find(|table| self.names.table_words(*table) == [*thing]),
            _ => None,
        };
        let nobody = self.words.first() == Some(&"who")
            && query.select.iter().all(|expr| matches!(expr, Expr::Column(col) if self.names.is_key(*col)));
        let knows = |table: usize, word: &str| {
            let of_columns = self.names.columns(table).flat_map(|col| self.names.words(col));
            self.names.table_words(table).iter().chain(of_columns).any(|own| akin(word, own))
        };
        let sold = matches!(query.tables[..], [table]
            if self.words.iter().any(|word| SOLD.contains(word) && !knows(table, word)));
        let denied = self.draft.slots.iter().filter(|slot| slot.denied).filter_map(|slot| slot.candidates.first());
        let unread =
            denied.into_iter().any(|link| matches!(link.target, Target::Table(table) if !self.tells(query, table)));
        unranked || nobody || sold || unread || asked.is_some_and(|table| !shows(table))
    }

    /// Whether a query reads a table, or one whose keys lead there: who teaches no course is in no row of what is taught. "With
    /// no orders in Germany", read as with no address there, does not tell of orders.
    fn tells(&self, query: &Query, table: usize) -> bool {
        let (mut leading, mut at) = (vec![table], 0);
        while let Some(parent) = leading.get(at).copied() {
            let children =
                self.joins.edges().iter().filter(|edge| edge.parent_table() == parent).map(Edge::child_table);
            for child in children {
                if !leading.contains(&child) {
                    leading.push(child);
                }
            }
            at += 1;
        }
        leading.into_iter().any(|table| reads(query, table))
    }

    /// What to sort by at last, so that no two rows are equal in the order.
    fn ties(&self, query: &Query) -> Vec<Expr> {
        let ordered = |expr: &Expr| query.order.iter().any(|(known, _)| known == expr);
        let plain = |expr: &&Expr| matches!(expr, Expr::Column(_) | Expr::Year(_) | Expr::Month(_));
        let ties: Vec<Expr> = if !query.group.is_empty() {
            let told = |expr: &&Expr| match expr {
                Expr::Column(col) => self.names.is_key(*col) || !hold_key(&query.group, self.names, col.table),
                _ => true,
            };
            query.group.iter().filter(told).cloned().collect()
        } else if query.select.iter().any(is_aggregate) {
            Vec::new()
        } else if query.distinct {
            query.select.iter().filter(plain).cloned().collect()
        } else {
            // Each row of a join is one of the tables to which no other table refers in it.
            let many = |table: &&usize| query.edges.iter().all(|edge| edge.parent_table() != **table);
            let keys = query.tables.iter().filter(many).flat_map(|table| self.names.key(*table));
            let keys: Vec<Expr> = keys.map(Expr::Column).collect();
            if keys.is_empty() { query.select.iter().filter(plain).cloned().collect() } else { keys }
        };
        ties.into_iter().filter(|expr| !ordered(expr)).collect()
    }
}

/// Whether a query reads a table anywhere.
fn reads(query: &Query, table: usize) -> bool {
    fn filter(one: &Filter, table: usize) -> bool {
        match one {
            Filter::CompareQuery(_, _, query) | Filter::Member(_, _, query) => reads(query, table),
            Filter::Any(parts) | Filter::All(parts) => parts.iter().any(|part| filter(part, table)),
            // What people defined may read anything.
            Filter::Defined(_) => true,
            Filter::Compare(..) | Filter::Search { .. } => false,
        }
    }
    query.tables.contains(&table)
        || query.filters.iter().chain(&query.having).any(|one| filter(one, table))
        || query.compound.as_ref().is_some_and(|(_, other)| reads(other, table))
}

/// Whether groups with few rows are looked for, of which those without any have none.
fn asks_for_few(query: &Query) -> bool {
    let few = |filter: &Filter| matches!(filter, Filter::Compare(count, Operator::Less | Operator::LessOrEqual | Operator::Equal, _) if is_count(count));
    let fewest_first = matches!(query.order.first(), Some((count, false)) if is_count(count));
    !query.group.is_empty() && (fewest_first || query.having.iter().any(few))
}

fn is_count(expr: &Expr) -> bool {
    matches!(expr, Expr::CountAll | Expr::Aggregate(Aggregate::Count | Aggregate::CountDistinct, _))
}

fn alternatives_both(draft: &Draft, kind: &Kind) -> bool {
    draft.both && matches!(kind, Kind::Values(_, alternatives) if alternatives.len() > 1)
}

/// Whether two words have a root in common, as far as their first letters tell.
fn akin(one: &str, other: &str) -> bool {
    const ROOT: usize = 3;
    one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count() >= ROOT
}

fn is_aggregate(expr: &Expr) -> bool {
    matches!(expr, Expr::CountAll | Expr::Aggregate(..))
}

fn dedup(list: &mut Vec<Expr>) {
    let mut seen: Vec<Expr> = Vec::new();
    list.retain(|expr| {
        let fresh = !seen.contains(expr);
        if fresh {
            seen.push(expr.clone());
        }
        fresh
    });
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

/// Whether walking the tree outwards from `shown` ever steps from one row to many.
fn multiplies(tree: &Tree, shown: &[usize]) -> bool {
    let mut reached: Vec<usize> = shown.to_vec();
    let mut open: Vec<&Edge> = tree
        .edges
        .iter()
        .filter(|edge| !(shown.contains(&edge.child_table()) && shown.contains(&edge.parent_table())))
        .collect();
    loop {
        let step = open
            .iter()
            .position(|edge| reached.contains(&edge.child_table()) || reached.contains(&edge.parent_table()));
        let Some(step) = step else { return false };
        let edge = open.swap_remove(step);
        if reached.contains(&edge.parent_table()) {
            return true;
        }
        reached.push(edge.parent_table());
    }
}
