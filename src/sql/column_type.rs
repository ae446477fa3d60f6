//! From the type a column declares to the kind of values it holds.

use crate::domain::ColumnType;

/// The kind that a declared type stands for. SQLite accepts any words as a type, so this reads the words people use
/// and falls back on SQLite's own affinity rules (<https://www.sqlite.org/datatype3.html> section 3.1).
#[must_use]
pub(super) fn of_declared(declared: &str) -> ColumnType {
    let lower = declared.trim().to_ascii_lowercase();
    let word = lower.split(['(', ' ']).next().unwrap_or_default();
    match word {
        "" => ColumnType::Other,
        "bool" | "boolean" | "bit" => ColumnType::Boolean,
        "date" => ColumnType::Date,
        "time" => ColumnType::Time,
        "timestamptz" => ColumnType::TimestampTz,
        "datetime" | "timestamp" if lower.contains("with time zone") => ColumnType::TimestampTz,
        "datetime" | "timestamp" | "datetime2" | "smalldatetime" => ColumnType::Timestamp,
        "decimal" | "numeric" | "number" | "money" | "smallmoney" => ColumnType::Decimal,
        "uuid" | "uniqueidentifier" => ColumnType::Uuid,
        "json" | "jsonb" => ColumnType::Json,
        "year" => ColumnType::Integer,
        _ if lower.contains("int") => ColumnType::Integer,
        _ if ["char", "clob", "text", "string", "enum"].iter().any(|part| lower.contains(part)) => ColumnType::Text,
        _ if lower.contains("blob") || lower.contains("binary") => ColumnType::Bytes,
        _ if ["real", "floa", "doub"].iter().any(|part| lower.contains(part)) => ColumnType::Float,
        _ => ColumnType::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_are_read_as_people_mean_them() {
        for (declared, expected) in [
            ("INTEGER", ColumnType::Integer),
            ("bigint unsigned", ColumnType::Integer),
            ("DECIMAL(10,2)", ColumnType::Decimal),
            ("double precision", ColumnType::Float),
            ("NVARCHAR(160)", ColumnType::Text),
            ("DATE", ColumnType::Date),
            ("DATETIME", ColumnType::Timestamp),
            ("timestamp with time zone", ColumnType::TimestampTz),
            ("BOOLEAN", ColumnType::Boolean),
            ("BLOB", ColumnType::Bytes),
            ("", ColumnType::Other),
            ("geometry", ColumnType::Other),
        ] {
            assert_eq!(of_declared(declared), expected, "{declared}");
        }
    }
}
