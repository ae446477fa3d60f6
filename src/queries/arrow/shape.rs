//! Which Arrow type a column gets, and how its field describes it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::extension::{EXTENSION_TYPE_METADATA_KEY, EXTENSION_TYPE_NAME_KEY};
use arrow_schema::{DataType, Field, TimeUnit};

use crate::domain::{ColumnType, DatabaseKind, ResultColumn};

/// The Arrow types that columns are sent as. `array` says which cells each holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Boolean,
    Int64,
    UInt64,
    Float64,
    /// Digits in all and after the point, at most 38.
    Decimal {
        precision: u8,
        scale: u8,
    },
    Date,
    /// Microseconds of a day.
    Time,
    /// Microseconds, no zone.
    Timestamp,
    /// Microseconds since 1970 in UTC.
    Instant,
    /// 16 bytes, as the extension type `arrow.uuid`.
    Uuid,
    /// JSON text, as the extension type `arrow.json`.
    Json,
    Text,
    Binary,
}

impl Shape {
    /// What a column without a promise, or with one that its cells break, can be: the narrowest first.
    const ANY: [Self; 10] = [
        Self::Boolean,
        Self::Int64,
        Self::UInt64,
        Self::Float64,
        Self::Date,
        Self::Time,
        Self::Timestamp,
        Self::Instant,
        Self::Text,
        Self::Binary,
    ];

    /// What to try for a column, in this order. Without a cell to go by there is only the declared type.
    pub(super) fn candidates(database: DatabaseKind, column: &ResultColumn, unseen: bool) -> Vec<Self> {
        let declared = Self::declared(database, column);
        match column.kind {
            _ if unseen => vec![declared],
            ColumnType::Other => Self::ANY.to_vec(),
            _ => std::iter::once(declared).chain(Self::ANY).collect(),
        }
    }

    /// What the column's type promises.
    fn declared(database: DatabaseKind, column: &ResultColumn) -> Self {
        match column.kind {
            ColumnType::Boolean => Self::Boolean,
            ColumnType::Integer => Self::Int64,
            ColumnType::Unsigned => Self::UInt64,
            ColumnType::Float => Self::Float64,
            // SQLite has no decimals: such columns hold integers and doubles.
            ColumnType::Decimal if database == DatabaseKind::Sqlite => Self::Float64,
            // Only a declared scale holds for every row; without one the digits travel as text.
            ColumnType::Decimal => digits(&column.database_type).unwrap_or(Self::Text),
            ColumnType::Date => Self::Date,
            // Arrow's times have no offset.
            ColumnType::Time if has_offset(&column.database_type) => Self::Text,
            ColumnType::Time => Self::Time,
            ColumnType::Timestamp => Self::Timestamp,
            ColumnType::TimestampTz => Self::Instant,
            ColumnType::Uuid => Self::Uuid,
            ColumnType::Json | ColumnType::Array => Self::Json,
            ColumnType::Bytes => Self::Binary,
            ColumnType::Text | ColumnType::Interval | ColumnType::Other => Self::Text,
        }
    }

    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int64 => DataType::Int64,
            Self::UInt64 => DataType::UInt64,
            Self::Float64 => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale.cast_signed()),
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::Json | Self::Text => DataType::Utf8,
            Self::Binary => DataType::Binary,
        }
    }

    /// The column's field: its name as it is, and in the metadata what the database and the header call its type.
    pub(super) fn field(self, column: &ResultColumn) -> Field {
        let mut metadata = HashMap::from([
            ("pulse.database_type".to_owned(), column.database_type.clone()),
            ("pulse.type".to_owned(), type_name(column.kind).to_owned()),
        ]);
        let extension = match self {
            Self::Uuid => Some("arrow.uuid"),
            Self::Json => Some("arrow.json"),
            _ => None,
        };
        if let Some(name) = extension {
            metadata.insert(EXTENSION_TYPE_NAME_KEY.to_owned(), name.to_owned());
            metadata.insert(EXTENSION_TYPE_METADATA_KEY.to_owned(), String::new());
        }
        Field::new(&column.name, self.data_type(), true).with_metadata(metadata)
    }
}

/// `numeric(12,2)` and `DECIMAL(10) UNSIGNED` as the Arrow type of that many digits.
fn digits(database_type: &str) -> Option<Shape> {
    const MOST: u8 = 38;
    let (_, rest) = database_type.split_once('(')?;
    let (inside, _) = rest.split_once(')')?;
    let (precision, scale) = inside.split_once(',').unwrap_or((inside, "0"));
    let precision = precision.trim().parse().ok().filter(|digits| (1..=MOST).contains(digits))?;
    let scale = scale.trim().parse().ok().filter(|digits| *digits <= precision)?;
    Some(Shape::Decimal { precision, scale })
}

fn has_offset(database_type: &str) -> bool {
    let database_type = database_type.to_ascii_lowercase();
    database_type.contains("timetz") || database_type.contains("with time zone")
}

/// The name of the kind in the contract's `DataType`.
fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Boolean => "BOOL",
        ColumnType::Integer => "INT64",
        ColumnType::Unsigned => "UINT64",
        ColumnType::Decimal => "DECIMAL",
        ColumnType::Float => "DOUBLE",
        ColumnType::Text => "STRING",
        ColumnType::Bytes => "BYTES",
        ColumnType::Date => "DATE",
        ColumnType::Time => "TIME",
        ColumnType::Timestamp => "TIMESTAMP",
        ColumnType::TimestampTz => "ZONED_TIMESTAMP",
        ColumnType::Interval => "INTERVAL",
        ColumnType::Uuid => "UUID",
        ColumnType::Json => "JSON",
        ColumnType::Array => "ARRAY",
        ColumnType::Other => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(database: DatabaseKind, kind: ColumnType, database_type: &str) -> Shape {
        let column = ResultColumn { name: "c".into(), database_type: database_type.into(), kind };
        Shape::declared(database, &column)
    }

    #[test]
    fn decimals_need_a_declared_scale() {
        for (database_type, expected) in [
            ("numeric(12,2)", Shape::Decimal { precision: 12, scale: 2 }),
            ("decimal(38, 38)", Shape::Decimal { precision: 38, scale: 38 }),
            ("DECIMAL(10) UNSIGNED", Shape::Decimal { precision: 10, scale: 0 }),
            ("numeric", Shape::Text),
            ("numeric(39,2)", Shape::Text),
            ("numeric(3,-2)", Shape::Text),
            ("numeric(2,5)", Shape::Text),
            ("numeric(0)", Shape::Text),
            ("numeric(x", Shape::Text),
        ] {
            assert_eq!(declared(DatabaseKind::Postgresql, ColumnType::Decimal, database_type), expected);
        }
        assert_eq!(declared(DatabaseKind::Sqlite, ColumnType::Decimal, "DECIMAL(10,2)"), Shape::Float64);
    }

    #[test]
    fn times_with_an_offset_are_text() {
        let time = |database_type| declared(DatabaseKind::Postgresql, ColumnType::Time, database_type);
        assert_eq!((time("timetz"), time("TIME WITH TIME ZONE")), (Shape::Text, Shape::Text));
        assert_eq!((time("time"), time("time without time zone")), (Shape::Time, Shape::Time));
    }

    #[test]
    fn fields_say_what_they_were() {
        let column = ResultColumn { name: String::new(), database_type: "uuid".into(), kind: ColumnType::Uuid };
        let field = Shape::Uuid.field(&column);
        assert!(field.name().is_empty() && field.is_nullable());
        assert_eq!(field.metadata()["pulse.type"], "UUID");
        assert_eq!(field.metadata()["pulse.database_type"], "uuid");
        assert_eq!(field.metadata()["ARROW:extension:name"], "arrow.uuid");
        // Promoted to text it is a UUID no more.
        assert!(!Shape::Text.field(&column).metadata().contains_key("ARROW:extension:name"));
    }
}
