//! From a declared type to a kind of column.

use crate::domain::ColumnType;

/// The kind of values that a column declared with this type is meant to hold.
///
/// SQLite takes any words as a type; these rules follow its own affinity rules (<https://sqlite.org/datatype3.html>, 3.1)
/// and add the types that SQLite stores as text or numbers but people mean as more: dates, booleans, decimals, UUID, JSON.
#[must_use]
pub fn column_type(declared: &str) -> ColumnType {
    let declared = declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    if declared.trim().is_empty() {
        ColumnType::Other
    } else if has(&["BOOL"]) || declared == "BIT" {
        ColumnType::Boolean
    } else if has(&["TIMESTAMP", "DATETIME"]) {
        if has(&["TIMESTAMPTZ", "WITH TIME ZONE"]) { ColumnType::TimestampTz } else { ColumnType::Timestamp }
    } else if has(&["DATE"]) {
        ColumnType::Date
    } else if has(&["TIME"]) {
        ColumnType::Time
    } else if has(&["INTERVAL"]) {
        ColumnType::Interval
    } else if has(&["UUID", "GUID", "UNIQUEIDENTIFIER"]) {
        ColumnType::Uuid
    } else if has(&["JSON"]) {
        ColumnType::Json
    } else if has(&["CHAR", "CLOB", "TEXT", "STRING", "ENUM"]) {
        ColumnType::Text
    } else if has(&["BLOB", "BINARY", "BYTEA"]) {
        ColumnType::Bytes
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        ColumnType::Float
    } else if has(&["DEC", "NUM", "MONEY"]) {
        ColumnType::Decimal
    } else if has(&["INT", "SERIAL", "LONG", "YEAR", "BIT"]) && !has(&["POINT"]) {
        ColumnType::Integer
    } else {
        ColumnType::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_become_kinds() {
        for (declared, expected) in [
            ("", ColumnType::Other),
            ("INTEGER", ColumnType::Integer),
            ("bigint unsigned", ColumnType::Integer),
            ("POINT", ColumnType::Other),
            ("NVARCHAR(160)", ColumnType::Text),
            ("varchar", ColumnType::Text),
            ("DECIMAL(10,2)", ColumnType::Decimal),
            ("NUMERIC", ColumnType::Decimal),
            ("DOUBLE PRECISION", ColumnType::Float),
            ("FLOATING POINT", ColumnType::Float),
            ("boolean", ColumnType::Boolean),
            ("DATE", ColumnType::Date),
            ("datetime", ColumnType::Timestamp),
            ("TIMESTAMP WITH TIME ZONE", ColumnType::TimestampTz),
            ("TIME", ColumnType::Time),
            ("INTERVAL DAY", ColumnType::Interval),
            ("uuid", ColumnType::Uuid),
            ("JSONB", ColumnType::Json),
            ("BLOB", ColumnType::Bytes),
            ("VARBINARY(16)", ColumnType::Bytes),
            ("geometry", ColumnType::Other),
        ] {
            assert_eq!(column_type(declared), expected, "{declared}");
        }
    }
}
