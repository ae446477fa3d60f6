//! From MySQL's types to forms of cells and kinds of columns.

use sqlx::mysql::{MySqlColumn, MySqlTypeInfo};
use sqlx::{Column, MySql, Type, TypeInfo};

use crate::domain::{ColumnType, ResultColumn};

/// How the binary protocol writes the cells of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Signed,
    Unsigned,
    /// `BIGINT UNSIGNED`, whose values may exceed 63 bits.
    UnsignedBig,
    Float,
    Double,
    Decimal,
    Text,
    Json,
    Bytes,
    Bits,
    Date,
    Time,
    DateTime,
    /// An instant; sessions are in UTC.
    Timestamp,
    Geometry,
}

/// A column of a result as callers see it, and how its cells are read.
///
/// `TINYINT(1)`, which MySQL also calls `BOOLEAN`, is an integer: it holds -128 to 127, and its clients print a number.
/// The wire does not tell `SET` from `CHAR`, nor MariaDB's `JSON`, `UUID` and `INET6` from the text they are sent as.
pub(super) fn column(column: &MySqlColumn) -> (ResultColumn, Form) {
    let info = column.type_info();
    let (database_type, form) = form(info);
    let kind = match form {
        Form::Signed | Form::Unsigned => ColumnType::Integer,
        Form::UnsignedBig => ColumnType::Unsigned,
        Form::Float | Form::Double => ColumnType::Float,
        Form::Decimal => ColumnType::Decimal,
        Form::Text => ColumnType::Text,
        Form::Json => ColumnType::Json,
        Form::Bytes => ColumnType::Bytes,
        Form::Bits | Form::Geometry => ColumnType::Other,
        Form::Date => ColumnType::Date,
        Form::Time => ColumnType::Time,
        Form::DateTime => ColumnType::Timestamp,
        Form::Timestamp => ColumnType::TimestampTz,
    };
    (ResultColumn { name: column.name().to_owned(), database_type: database_type.to_owned(), kind }, form)
}

fn form(info: &MySqlTypeInfo) -> (&'static str, Form) {
    // sqlx takes text with a binary collation (`utf8mb4_bin`) for bytes; only the character set `binary` means them.
    let is_text = <str as Type<MySql>>::compatible(info);
    let is_unsigned = <u8 as Type<MySql>>::compatible(info);
    let text_or = |text: &'static str, bytes: &'static str| {
        if is_text { (text, Form::Text) } else { (bytes, Form::Bytes) }
    };
    match info.name() {
        "BOOLEAN" if is_unsigned => ("tinyint unsigned", Form::Unsigned),
        "BOOLEAN" | "TINYINT" => ("tinyint", Form::Signed),
        "SMALLINT" => ("smallint", Form::Signed),
        "MEDIUMINT" => ("mediumint", Form::Signed),
        "INT" => ("int", Form::Signed),
        "BIGINT" => ("bigint", Form::Signed),
        "TINYINT UNSIGNED" => ("tinyint unsigned", Form::Unsigned),
        "SMALLINT UNSIGNED" => ("smallint unsigned", Form::Unsigned),
        "MEDIUMINT UNSIGNED" => ("mediumint unsigned", Form::Unsigned),
        "INT UNSIGNED" => ("int unsigned", Form::Unsigned),
        "BIGINT UNSIGNED" => ("bigint unsigned", Form::UnsignedBig),
        "YEAR" => ("year", Form::Unsigned),
        "FLOAT" => ("float", Form::Float),
        "DOUBLE" => ("double", Form::Double),
        "DECIMAL" => ("decimal", Form::Decimal),
        "BIT" => ("bit", Form::Bits),
        "DATE" => ("date", Form::Date),
        "TIME" => ("time", Form::Time),
        "DATETIME" => ("datetime", Form::DateTime),
        "TIMESTAMP" => ("timestamp", Form::Timestamp),
        "JSON" => ("json", Form::Json),
        "GEOMETRY" => ("geometry", Form::Geometry),
        "NULL" => ("null", Form::Text),
        "ENUM" => ("enum", Form::Text),
        "SET" => ("set", Form::Text),
        "CHAR" | "BINARY" => text_or("char", "binary"),
        "VARCHAR" | "VARBINARY" => text_or("varchar", "varbinary"),
        "TINYTEXT" | "TINYBLOB" => text_or("tinytext", "tinyblob"),
        "TEXT" | "BLOB" => text_or("text", "blob"),
        "MEDIUMTEXT" | "MEDIUMBLOB" => text_or("mediumtext", "mediumblob"),
        "LONGTEXT" | "LONGBLOB" => text_or("longtext", "longblob"),
        _ => text_or("text", "blob"),
    }
}

/// The kind of a declared column: `data_type` is the bare name, `declared` the whole type.
///
/// `TINYINT(1)` is how MySQL declares booleans; results give its values as the integers they are.
pub(super) fn declared_kind(data_type: &str, declared: &str) -> ColumnType {
    match data_type.to_ascii_lowercase().as_str() {
        "tinyint" if declared.to_ascii_lowercase().starts_with("tinyint(1)") => ColumnType::Boolean,
        "bigint" if declared.to_ascii_lowercase().contains("unsigned") => ColumnType::Unsigned,
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => ColumnType::Integer,
        "decimal" => ColumnType::Decimal,
        "float" | "double" => ColumnType::Float,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" => ColumnType::Text,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => ColumnType::Bytes,
        "date" => ColumnType::Date,
        "time" => ColumnType::Time,
        "datetime" => ColumnType::Timestamp,
        "timestamp" => ColumnType::TimestampTz,
        "json" => ColumnType::Json,
        "uuid" => ColumnType::Uuid,
        _ => ColumnType::Other,
    }
}

/// The labels of an `enum('a','it''s')`, in order; none for other types.
pub(super) fn enum_labels(declared: &str) -> Vec<String> {
    let Some(list) = declared.strip_prefix("enum(").and_then(|rest| rest.strip_suffix(')')) else { return Vec::new() };
    let mut labels = Vec::new();
    let mut characters = list.chars().peekable();
    while characters.find(|&character| character == '\'').is_some() {
        let mut label = String::new();
        while let Some(character) = characters.next() {
            // A quote inside a label is doubled.
            if character == '\'' && characters.next_if_eq(&'\'').is_none() {
                break;
            }
            label.push(character);
        }
        labels.push(label);
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_quotes_and_commas() {
        assert_eq!(enum_labels("enum('x','it''s','a,b','')"), ["x", "it's", "a,b", ""]);
        assert_eq!(enum_labels("enum('''')"), ["'"]);
        assert_eq!(enum_labels("enum('back\\slash','é')"), ["back\\slash", "é"]);
        assert!(enum_labels("set('a','b')").is_empty());
    }

    #[test]
    fn declared_types_become_kinds() {
        for (data_type, declared, expected) in [
            ("tinyint", "tinyint(1)", ColumnType::Boolean),
            ("tinyint", "tinyint(4)", ColumnType::Integer),
            ("bigint", "bigint(20) unsigned", ColumnType::Unsigned),
            ("int", "int(10) unsigned", ColumnType::Integer),
            ("year", "year(4)", ColumnType::Integer),
            ("enum", "enum('a')", ColumnType::Text),
            ("timestamp", "timestamp", ColumnType::TimestampTz),
            ("datetime", "datetime(6)", ColumnType::Timestamp),
            ("bit", "bit(1)", ColumnType::Other),
            ("point", "point", ColumnType::Other),
            ("inet6", "inet6", ColumnType::Other),
        ] {
            assert_eq!(declared_kind(data_type, declared), expected, "{declared}");
        }
    }
}
