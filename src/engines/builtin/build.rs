//! From a draft and its assignment to a query tree.

mod conditions;
mod doubts;
mod groups;
mod order;
mod shown;

use super::draft::{Condition, Draft, Key, Kind, SlotId};
use super::joins::{Edge, Joins, Tree};
use super::names::{Col, Names, Target};
use super::resolve::slot_of;
use super::tree::{Expr, Filter, Query};
use super::values::Values;
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

impl Builder<'_> {
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

fn is_aggregate(expr: &Expr) -> bool {
    matches!(expr, Expr::CountAll | Expr::Aggregate(..))
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
