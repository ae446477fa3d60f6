//! PostgreSQL's types: what kind of values they hold, what they are called, how their cells are read.

use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgColumn, PgConnection, PgTypeInfo, PgTypeKind};
use sqlx::{Column, TypeInfo};

use super::error;
use crate::domain::{ColumnType, ResultColumn};
use crate::sql::Error;

/// How the cells of a column are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// A type of its own.
    Scalar(Scalar),
    /// An array of one; `delimiter` parts its elements in text. A blank parts those of the two kinds of vectors, which
    /// have no braces.
    Array { element: Scalar, delimiter: u8 },
}

/// Types whose cells become more than text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Bool,
    Bytes,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    Text,
    Json,
    Jsonb,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    /// Anything else, as PostgreSQL prints it: only text can be read.
    Other,
}

/// The columns of a statement, and how to read them.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub columns: Vec<ResultColumn>,
    pub forms: Vec<Form>,
    /// Object ids of the columns' types.
    types: Vec<u32>,
}

impl Shape {
    pub fn of(columns: &[PgColumn]) -> Self {
        let forms: Vec<Form> = columns.iter().map(|column| form(column.type_info())).collect();
        let named = columns.iter().zip(&forms).map(|(column, form)| ResultColumn {
            name: column.name().to_owned(),
            database_type: label(column.type_info()),
            kind: form.kind(),
        });
        let types = columns.iter().map(|column| oid(column.type_info())).collect();
        Self { types, columns: named.collect(), forms }
    }

    /// Whether these are the same columns: their names and types.
    pub fn is_of(&self, columns: &[PgColumn]) -> bool {
        let same = |((known, kind), column): ((&ResultColumn, &u32), &PgColumn)| {
            known.name == column.name() && *kind == oid(column.type_info())
        };
        self.columns.len() == columns.len() && self.columns.iter().zip(&self.types).zip(columns).all(same)
    }

    /// As [`Self::of`], for columns whose types the driver did not look up: the server is asked for their names.
    pub async fn named(connection: &mut PgConnection, columns: &[PgColumn]) -> Result<Self, Error> {
        let mut shape = Self::of(columns);
        for (column, known) in columns.iter().zip(&mut shape.columns) {
            if known.database_type == UNKNOWN {
                let name =
                    sqlx::query_scalar("SELECT pg_catalog.format_type($1, NULL)").bind(Oid(oid(column.type_info())));
                known.database_type = name.fetch_one(&mut *connection).await.map_err(error::running)?;
            }
        }
        Ok(shape)
    }

    /// Whether every cell can be read from its binary form.
    pub fn is_binary(&self) -> bool {
        self.forms.iter().all(|form| form.scalar() != Scalar::Other)
    }
}

impl Form {
    pub fn kind(&self) -> ColumnType {
        match self {
            Self::Array { .. } => ColumnType::Array,
            Self::Scalar(scalar) => scalar.kind(),
        }
    }

    fn scalar(&self) -> Scalar {
        match self {
            Self::Scalar(scalar) | Self::Array { element: scalar, .. } => *scalar,
        }
    }
}

impl Scalar {
    pub fn kind(self) -> ColumnType {
        match self {
            Self::Bool => ColumnType::Boolean,
            Self::Bytes => ColumnType::Bytes,
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Oid => ColumnType::Integer,
            Self::Float4 | Self::Float8 => ColumnType::Float,
            Self::Numeric => ColumnType::Decimal,
            Self::Text => ColumnType::Text,
            Self::Json | Self::Jsonb => ColumnType::Json,
            Self::Date => ColumnType::Date,
            Self::Time | Self::TimeTz => ColumnType::Time,
            Self::Timestamp => ColumnType::Timestamp,
            Self::TimestampTz => ColumnType::TimestampTz,
            Self::Interval => ColumnType::Interval,
            Self::Uuid => ColumnType::Uuid,
            Self::Other => ColumnType::Other,
        }
    }
}

/// How cells of this type are read.
pub(super) fn form(of: &PgTypeInfo) -> Form {
    let of = behind_domains(of);
    let PgTypeKind::Array(element) = kind(of) else { return Form::Scalar(scalar(of)) };
    let delimiter = match (oid(of), oid(element)) {
        (INT2_VECTOR | OID_VECTOR, _) => b' ',
        // The one type whose arrays are parted by semicolons.
        (_, BOX) => b';',
        _ => b',',
    };
    Form::Array { element: scalar(element), delimiter }
}

/// The type that a domain, perhaps of domains, restricts.
pub(super) fn behind_domains(of: &PgTypeInfo) -> &PgTypeInfo {
    match kind(of) {
        PgTypeKind::Domain(base) => behind_domains(base),
        _ => of,
    }
}

/// The scalar form of a type; parameters are encoded by it too.
pub(super) fn scalar(of: &PgTypeInfo) -> Scalar {
    let of = behind_domains(of);
    match kind(of) {
        PgTypeKind::Enum(_) => Scalar::Text,
        _ => built_in(oid(of)).map_or(Scalar::Other, |(scalar, _)| scalar),
    }
}

/// The name that PostgreSQL's own `format_type` gives.
pub(super) fn label(of: &PgTypeInfo) -> String {
    match kind(of) {
        _ if oid(of) == INT2_VECTOR => "int2vector".to_owned(),
        _ if oid(of) == OID_VECTOR => "oidvector".to_owned(),
        PgTypeKind::Array(element) => format!("{}[]", label(element)),
        _ => match built_in(oid(of)) {
            Some((_, name)) => name.to_owned(),
            None if of.name() == UNKNOWN => UNKNOWN.to_owned(),
            // The driver writes the built-in ones it knows in capitals.
            None if oid(of) < FIRST_OF_USERS => of.name().to_ascii_lowercase(),
            None => of.name().to_owned(),
        },
    }
}

/// What the driver calls a type that it could not look up.
const UNKNOWN: &str = "?";

/// The driver panics when it is asked for the kind of a type that it could not look up.
fn kind(of: &PgTypeInfo) -> &PgTypeKind {
    if of.name() == UNKNOWN { &PgTypeKind::Simple } else { of.kind() }
}

/// Object ids from here on are given out to users' objects.
const FIRST_OF_USERS: u32 = 16_384;
const INT2_VECTOR: u32 = 22;
const OID_VECTOR: u32 = 30;
const BOX: u32 = 603;

fn oid(of: &PgTypeInfo) -> u32 {
    of.oid().map_or(0, |oid| oid.0)
}

/// Object ids are fixed for built-in types (`pg_type.dat`).
pub(super) fn built_in(oid: u32) -> Option<(Scalar, &'static str)> {
    Some(match oid {
        16 => (Scalar::Bool, "boolean"),
        17 => (Scalar::Bytes, "bytea"),
        19 => (Scalar::Text, "name"),
        20 => (Scalar::Int8, "bigint"),
        21 => (Scalar::Int2, "smallint"),
        23 => (Scalar::Int4, "integer"),
        25 => (Scalar::Text, "text"),
        26 => (Scalar::Oid, "oid"),
        114 => (Scalar::Json, "json"),
        700 => (Scalar::Float4, "real"),
        701 => (Scalar::Float8, "double precision"),
        705 => (Scalar::Text, "unknown"),
        1042 => (Scalar::Text, "character"),
        1043 => (Scalar::Text, "character varying"),
        1082 => (Scalar::Date, "date"),
        1083 => (Scalar::Time, "time without time zone"),
        1114 => (Scalar::Timestamp, "timestamp without time zone"),
        1184 => (Scalar::TimestampTz, "timestamp with time zone"),
        1186 => (Scalar::Interval, "interval"),
        1266 => (Scalar::TimeTz, "time with time zone"),
        1700 => (Scalar::Numeric, "numeric"),
        2950 => (Scalar::Uuid, "uuid"),
        3802 => (Scalar::Jsonb, "jsonb"),
        1560 => (Scalar::Other, "bit"),
        1562 => (Scalar::Other, "bit varying"),
        18 => (Scalar::Other, "\"char\""),
        _ => return None,
    })
}
