//! Which tables connect the ones a question names: the cheapest trees over foreign keys.

use super::names::{Col, Names};
use crate::domain::ColumnPath;

/// A way to join two tables: `child` refers to `parent`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Edge {
    /// Referencing columns.
    pub child: Vec<Col>,
    /// Referenced columns, paired with `child`.
    pub parent: Vec<Col>,
    /// Whether the key was guessed from names.
    pub inferred: bool,
    /// Whether people prefer it.
    pub preferred: bool,
}

impl Edge {
    pub(crate) fn child_table(&self) -> usize {
        self.child[0].table
    }

    pub(crate) fn parent_table(&self) -> usize {
        self.parent[0].table
    }

    fn connects(&self, a: usize, b: usize) -> bool {
        (self.child_table() == a && self.parent_table() == b) || (self.child_table() == b && self.parent_table() == a)
    }
}

/// Every way to join tables of a schema.
pub(crate) struct Joins {
    edges: Vec<Edge>,
    tables: usize,
}

/// Tables and the edges that connect them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tree {
    /// In the order in which they can be joined.
    pub tables: Vec<usize>,
    /// One edge per table after the first: edge `i` brings in table `i + 1`.
    pub edges: Vec<Edge>,
    /// Whether another tree of the same size exists, or a parallel edge that no word chose.
    pub ambiguous: bool,
}

impl Joins {
    /// Edges from declared foreign keys, and from names where a table declares none.
    pub(crate) fn new(names: &Names) -> Self {
        let schema = names.schema();
        let mut edges: Vec<Edge> = Vec::new();
        for (index, table) in schema.tables.iter().enumerate() {
            for key in &table.foreign_keys {
                let Some(parent) = schema.tables.iter().position(|other| {
                    other.name.eq_ignore_ascii_case(&key.referenced_table)
                        && other.schema.eq_ignore_ascii_case(&key.referenced_schema)
                }) else {
                    continue;
                };
                let child: Vec<Col> = key.columns.iter().filter_map(|name| names.find(index, name)).collect();
                let mut referenced: Vec<Col> =
                    key.referenced_columns.iter().filter_map(|name| names.find(parent, name)).collect();
                if referenced.is_empty() {
                    referenced = names.key(parent);
                }
                if !child.is_empty() && child.len() == referenced.len() {
                    edges.push(Edge { child, parent: referenced, inferred: false, preferred: false });
                }
            }
        }
        let mut joins = Self { edges, tables: schema.tables.len() };
        joins.prefer(names);
        joins.infer(names);
        joins
    }

    /// Marks or adds the joins that people prefer.
    fn prefer(&mut self, names: &Names) {
        let col = |path: &ColumnPath| {
            let mut tables = names.schema().tables.iter();
            let table = tables.position(|table| table.schema == path.schema && table.name == path.table)?;
            names.find(table, &path.column)
        };
        for (left, right) in &names.meaning().joins {
            let (Some(child), Some(parent)) = (col(left), col(right)) else { continue };
            let same = |edge: &&mut Edge| edge.child == [child] && edge.parent == [parent];
            if let Some(edge) = self.edges.iter_mut().find(same) {
                edge.preferred = true;
                continue;
            }
            let (child, parent) = (vec![child], vec![parent]);
            self.edges.push(Edge { child, parent, inferred: false, preferred: true });
        }
    }

    /// Every edge.
    pub(crate) fn edges(&self) -> &[Edge] {
        &self.edges
    }

    fn infer(&mut self, names: &Names) {
        let keys: Vec<Vec<Col>> = (0..self.tables).map(|table| names.key(table)).collect();
        let namespace = |table: usize| names.table(table).schema.as_str();
        for table in 0..self.tables {
            for col in names.columns(table) {
                if names.is_reference(col) || (names.is_key(col) && keys[table].len() == 1) {
                    continue;
                }
                let name = names.column(col).name.to_lowercase();
                if !(name.ends_with("id") || name.ends_with("code") || name.ends_with("_no") || name.ends_with("key")) {
                    continue;
                }
                let candidates: Vec<Col> = (0..self.tables)
                    .filter(|other| *other != table && namespace(*other) == namespace(table))
                    .filter_map(|other| match keys[other][..] {
                        [key] if names.column(key).name.eq_ignore_ascii_case(&name) && name != "id" => Some(key),
                        [key] if names.column(key).name.eq_ignore_ascii_case("id") => {
                            let mut expected = names.table_words(other).to_vec();
                            expected.push("id".to_owned());
                            (names.words(col) == expected).then_some(key)
                        }
                        _ => None,
                    })
                    .collect();
                if let [parent] = candidates[..]
                    && !self.edges.iter().any(|edge| edge.connects(table, parent.table))
                {
                    let (child, parent) = (vec![col], vec![parent]);
                    self.edges.push(Edge { child, parent, inferred: true, preferred: false });
                }
            }
        }
    }

    /// All edges between two tables.
    pub(crate) fn between(&self, a: usize, b: usize) -> Vec<&Edge> {
        self.edges.iter().filter(|edge| edge.connects(a, b)).collect()
    }

    /// The smallest tree that holds all `terminals`; `prefers` scores a parallel edge by the question's words.
    pub(crate) fn tree(&self, terminals: &[usize], prefers: &dyn Fn(&Edge) -> f64) -> Option<Tree> {
        let mut wanted: Vec<usize> = Vec::new();
        for table in terminals {
            if !wanted.contains(table) {
                wanted.push(*table);
            }
        }
        for extra in 0..=3 {
            let mut found: Vec<Tree> = Vec::new();
            self.extend(&mut wanted.clone(), extra, 0, prefers, &mut found);
            if !found.is_empty() {
                let ambiguous = found.len() > 1;
                let mut scored: Vec<(f64, Tree)> =
                    found.into_iter().map(|tree| (tree.edges.iter().map(prefers).sum(), tree)).collect();
                scored.sort_by(|a, b| b.0.total_cmp(&a.0));
                let clear = scored.len() < 2 || scored[0].0 > scored[1].0 + 0.1;
                let (_, mut tree) = scored.swap_remove(0);
                tree.ambiguous |= ambiguous && !clear;
                return Some(tree);
            }
        }
        None
    }

    fn extend(
        &self,
        tables: &mut Vec<usize>,
        extra: usize,
        from: usize,
        prefers: &dyn Fn(&Edge) -> f64,
        found: &mut Vec<Tree>,
    ) {
        if extra == 0 {
            found.extend(self.span(tables, prefers));
            return;
        }
        for table in from..self.tables {
            if !tables.contains(&table) && self.degree(table) > 1 {
                tables.push(table);
                self.extend(tables, extra - 1, table + 1, prefers, found);
                tables.pop();
            }
        }
    }

    fn degree(&self, table: usize) -> usize {
        self.edges.iter().filter(|edge| edge.child_table() == table || edge.parent_table() == table).count()
    }

    fn span(&self, tables: &[usize], prefers: &dyn Fn(&Edge) -> f64) -> Option<Tree> {
        let mut tree = Tree { tables: vec![tables[0]], edges: Vec::new(), ambiguous: false };
        while tree.tables.len() < tables.len() {
            let mut options: Vec<(f64, usize, &Edge)> = Vec::new();
            for &next in tables.iter().filter(|table| !tree.tables.contains(table)) {
                for &known in &tree.tables {
                    for edge in self.between(known, next) {
                        let sure = if edge.inferred { 0.0 } else { 0.05 };
                        options.push((prefers(edge) + sure, next, edge));
                    }
                }
            }
            options.sort_by(|a, b| b.0.total_cmp(&a.0));
            let (score, next, edge) = options.first().copied()?;
            tree.ambiguous |= options[1..].iter().any(|other| {
                other.1 == next && score - other.0 < 0.04 && other.2.connects(edge.child_table(), edge.parent_table())
            });
            tree.tables.push(next);
            tree.edges.push(edge.clone());
        }
        Some(tree)
    }
}
