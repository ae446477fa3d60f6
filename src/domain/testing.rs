//! Tables for tests of whatever reads a schema.

use super::{Column, ColumnType, ForeignKey, Table, TableKind};

/// A table with key `id`, whose references are to the `id` of other tables in its schema.
pub(crate) fn table(schema: &str, name: &str, columns: &[(&str, ColumnType)], references: &[(&str, &str)]) -> Table {
    let column = |(name, kind): &(&str, ColumnType)| Column {
        name: (*name).to_owned(),
        declared_type: String::new(),
        kind: *kind,
        nullable: *name != "id",
        default: None,
        comment: None,
        enum_labels: Vec::new(),
        generated: false,
    };
    let key = |(column, parent): &(&str, &str)| ForeignKey {
        name: None,
        columns: vec![(*column).to_owned()],
        referenced_schema: schema.to_owned(),
        referenced_table: (*parent).to_owned(),
        referenced_columns: vec!["id".to_owned()],
    };
    Table {
        schema: schema.to_owned(),
        name: name.to_owned(),
        kind: TableKind::Table,
        columns: columns.iter().map(column).collect(),
        primary_key: vec!["id".to_owned()],
        unique_keys: Vec::new(),
        foreign_keys: references.iter().map(key).collect(),
        comment: None,
        row_count: None,
    }
}
