//! What the catalogs of all database systems become.

use sha2::{Digest, Sha256};

use crate::domain::{DatabaseKind, Schema, Table};

/// The schema of these tables with its fingerprint. Databases order names by rules of their own; here all are ordered by
/// their characters, so that pages of a schema fit together.
pub(super) fn schema(dialect: DatabaseKind, mut tables: Vec<Table>) -> Schema {
    tables.sort_by(|one, other| (&one.schema, &one.name).cmp(&(&other.schema, &other.name)));
    let fingerprint = fingerprint(&tables);
    Schema { dialect, tables, fingerprint }
}

/// An identifier in double quotes, as SQLite and PostgreSQL read them; safe inside a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// SHA-256 over names, types and keys, each part ended so that no two structures read the same.
fn fingerprint(tables: &[Table]) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update(text.as_bytes());
        hash.update([0]);
    };
    for table in tables {
        part(&format!("table {:?}", table.kind));
        part(&table.schema);
        part(&table.name);
        for column in &table.columns {
            part(if column.nullable { "column" } else { "column not null" });
            part(&column.name);
            part(&column.declared_type);
        }
        part("primary key");
        table.primary_key.iter().for_each(|name| part(name));
        for key in &table.unique_keys {
            part("unique");
            for name in key {
                part(name);
            }
        }
        for key in &table.foreign_keys {
            part("foreign key");
            part(&key.referenced_table);
            key.columns.iter().chain(&key.referenced_columns).for_each(|name| part(name));
        }
    }
    hex::encode(hash.finalize())
}
