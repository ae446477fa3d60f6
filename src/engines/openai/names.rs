//! Tables and columns as the model is told them, and back.

use super::fence::clean;
use crate::domain::{Column, ColumnPath, Schema, Table};

/// Longest name that the model is told, in characters.
pub const MAX_NAME: usize = 128;
/// Real names that a wrong one is answered with.
const SUGGESTIONS: usize = 3;

/// The names of one schema.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    schema: &'a Schema,
    /// With several namespaces, tables are told as `namespace.table`.
    qualified: bool,
}

impl<'a> Names<'a> {
    pub fn new(schema: &'a Schema) -> Self {
        let qualified = schema.tables.windows(2).any(|pair| pair[0].schema != pair[1].schema);
        Self { schema, qualified }
    }

    /// The table's name as the model is told it.
    pub fn of(self, schema: &str, table: &str) -> String {
        if self.qualified { clean(&format!("{schema}.{table}"), MAX_NAME) } else { clean(table, MAX_NAME) }
    }

    /// The table that the model means, by its told name, its plain name or its full name, ignoring ASCII case.
    pub fn table(self, said: &str) -> Result<&'a Table, String> {
        let is = |name: &str| name.eq_ignore_ascii_case(said);
        let told = self.schema.tables.iter().find(|table| is(&self.of(&table.schema, &table.name)));
        if let Some(table) = told {
            return Ok(table);
        }
        let mut meant = self
            .schema
            .tables
            .iter()
            .filter(|table| is(&table.name) || is(&format!("{}.{}", table.schema, table.name)));
        match (meant.next(), meant.next()) {
            (Some(table), None) => Ok(table),
            (Some(_), Some(_)) => Err(format!("several schemas have a table {said}: name the schema too")),
            _ => {
                let known = self.schema.tables.iter().map(|table| self.of(&table.schema, &table.name));
                Err(format!("there is no table {said}; the nearest are {}", nearest(said, known)))
            }
        }
    }

    /// The column that the model means.
    pub fn column(self, table: &str, said: &str) -> Result<ColumnPath, String> {
        let table = self.table(table)?;
        let found =
            table.column(said).or_else(|| table.columns.iter().find(|column| told(column).eq_ignore_ascii_case(said)));
        match found {
            Some(column) => {
                Ok(ColumnPath { schema: table.schema.clone(), table: table.name.clone(), column: column.name.clone() })
            }
            None => Err(format!(
                "table {} has no column {said}; the nearest are {}",
                self.of(&table.schema, &table.name),
                nearest(said, table.columns.iter().map(told))
            )),
        }
    }
}

/// The column's name as the model is told it.
pub fn told(column: &Column) -> String {
    clean(&column.name, MAX_NAME)
}

/// The most alike of the known names, best first (Jaro-Winkler).
fn nearest(said: &str, known: impl Iterator<Item = String>) -> String {
    let said = said.to_lowercase();
    let mut ranked: Vec<(f64, String)> =
        known.map(|name| (strsim::jaro_winkler(&said, &name.to_lowercase()), name)).collect();
    ranked.sort_by(|left, right| right.0.total_cmp(&left.0));
    ranked.truncate(SUGGESTIONS);
    ranked.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(", ")
}
