//! A schema that came with the call, table → column → type, as a [`Schema`].

use prost::Message;
use sha2::{Digest, Sha256};

use super::connection::database_kind;
use super::fields::Fields;
use crate::domain::{Column, ColumnType, DatabaseKind, ForeignKey, Schema, Table, TableKind};
use crate::pb::v1 as pb;

const MAX_BYTES: usize = 1 << 20;

pub(super) fn inline_schema(fields: &mut Fields, given: pb::InlineSchema) -> Option<Schema> {
    let bytes = given.encoded_len();
    if bytes > MAX_BYTES {
        fields.bad("inline_schema", format!("is {bytes} bytes long; at most {MAX_BYTES} are accepted"));
        return None;
    }
    let fingerprint = hex::encode(Sha256::digest(given.encode_to_vec()));
    let pb::InlineSchema { tables, dialect } = given;
    let dialect = fields.choice("inline_schema.dialect", dialect).and_then(database_kind);
    let dialect = dialect.unwrap_or(DatabaseKind::Sqlite);
    if tables.is_empty() {
        fields.bad("inline_schema.tables", "must hold at least one table");
    }
    let mut tables: Vec<_> = tables.into_iter().map(|(name, given)| table(fields, dialect, &name, given)).collect();
    tables.sort_by(|left, right| (&left.schema, &left.name).cmp(&(&right.schema, &right.name)));
    Some(Schema { dialect, tables, fingerprint })
}

fn table(fields: &mut Fields, dialect: DatabaseKind, full_name: &str, given: pb::InlineTable) -> Table {
    let pb::InlineTable { columns, primary_key, foreign_keys, comment } = given;
    let field = format!("inline_schema.tables[{full_name}]");
    let (schema, name) = full_name.split_once('.').unwrap_or((default_schema(dialect), full_name));
    if name.is_empty() || columns.is_empty() || columns.keys().any(String::is_empty) {
        fields.bad(&field, "needs a name and at least one column, each with a name");
    }
    let referring = foreign_keys.iter().flat_map(|key| &key.columns);
    for column in primary_key.iter().chain(referring).filter(|column| !columns.contains_key(*column)) {
        fields.bad(&field, format!("has no column `{column}`, which one of its keys names"));
    }
    let columns = columns.into_iter().map(|(name, declared_type)| Column {
        kind: column_type(&declared_type),
        nullable: !primary_key.contains(&name),
        name,
        declared_type,
        default: None,
        comment: None,
        enum_labels: Vec::new(),
        generated: false,
    });
    Table {
        schema: schema.to_owned(),
        name: name.to_owned(),
        kind: TableKind::Table,
        columns: columns.collect(),
        foreign_keys: foreign_keys.into_iter().map(|key| foreign_key(fields, &field, schema, key)).collect(),
        primary_key,
        unique_keys: Vec::new(),
        comment: Some(comment).filter(|comment| !comment.is_empty()),
        row_count: None,
    }
}

fn foreign_key(fields: &mut Fields, field: &str, schema: &str, given: pb::ForeignKey) -> ForeignKey {
    let pb::ForeignKey { name, columns, referenced_schema, referenced_table, referenced_columns } = given;
    if columns.is_empty() || columns.len() != referenced_columns.len() || referenced_table.is_empty() {
        fields.bad(field, "has a foreign key without a table, or whose columns do not pair");
    }
    let referenced_schema = if referenced_schema.is_empty() { schema.to_owned() } else { referenced_schema };
    ForeignKey {
        name: Some(name).filter(|name| !name.is_empty()),
        columns,
        referenced_schema,
        referenced_table,
        referenced_columns,
    }
}

/// Where an unqualified name lives.
fn default_schema(dialect: DatabaseKind) -> &'static str {
    match dialect {
        DatabaseKind::Sqlite => "main",
        DatabaseKind::Postgresql => "public",
        DatabaseKind::Mysql => "",
    }
}

/// The kind of values behind a declared type, by the words that all dialects share.
fn column_type(declared: &str) -> ColumnType {
    let declared = declared.to_ascii_lowercase();
    let names = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    match declared.as_str() {
        _ if declared.ends_with("[]") => ColumnType::Array,
        _ if names(&["interval"]) => ColumnType::Interval,
        _ if names(&["timestamptz", "with time zone"]) => ColumnType::TimestampTz,
        _ if names(&["timestamp", "datetime"]) => ColumnType::Timestamp,
        _ if names(&["date"]) => ColumnType::Date,
        _ if names(&["time"]) => ColumnType::Time,
        _ if names(&["bool"]) => ColumnType::Boolean,
        _ if names(&["int", "serial"]) => ColumnType::Integer,
        _ if names(&["decimal", "numeric", "money"]) => ColumnType::Decimal,
        _ if names(&["real", "double", "float"]) => ColumnType::Float,
        _ if names(&["uuid"]) => ColumnType::Uuid,
        _ if names(&["json"]) => ColumnType::Json,
        _ if names(&["blob", "bytea", "binary"]) => ColumnType::Bytes,
        _ if names(&["char", "text", "clob", "string", "enum"]) => ColumnType::Text,
        _ => ColumnType::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inline(tables: &[(&str, &[(&str, &str)])]) -> pb::InlineSchema {
        let table = |columns: &[(&str, &str)]| pb::InlineTable {
            columns: columns.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect(),
            ..Default::default()
        };
        let tables = tables.iter().map(|(name, columns)| ((*name).to_owned(), table(columns))).collect();
        pb::InlineSchema { tables, dialect: 0 }
    }

    #[test]
    fn tables_come_with_their_kinds_of_values() {
        let given =
            inline(&[("sales.orders", &[("id", "INTEGER"), ("at", "timestamptz")]), ("t", &[("x", "varchar(9)")])]);
        let mut fields = Fields::default();
        let schema = inline_schema(&mut fields, given.clone());
        let schema = fields.finish(schema).unwrap();
        assert_eq!(schema.table(Some("sales"), "orders").unwrap().column("at").unwrap().kind, ColumnType::TimestampTz);
        assert_eq!(schema.table(Some("main"), "t").unwrap().column("x").unwrap().kind, ColumnType::Text);
        let again = inline_schema(&mut Fields::default(), given).unwrap();
        assert_eq!(again.fingerprint, schema.fingerprint);
    }

    #[test]
    fn keys_name_columns_of_their_table() {
        let mut given = inline(&[("t", &[("x", "int")])]);
        given.tables.get_mut("t").unwrap().primary_key = vec!["y".to_owned()];
        let mut fields = Fields::default();
        let schema = inline_schema(&mut fields, given);
        assert_eq!(fields.finish(schema).unwrap_err().violations[0].field, "inline_schema.tables[t]");
    }

    #[test]
    fn size_and_emptiness_are_checked() {
        let long = "x".repeat(MAX_BYTES);
        for given in [inline(&[]), inline(&[("t", &[])]), inline(&[("t", &[("c", long.as_str())])])] {
            let mut fields = Fields::default();
            let schema = inline_schema(&mut fields, given);
            assert!(fields.finish(schema).is_err());
        }
    }
}
