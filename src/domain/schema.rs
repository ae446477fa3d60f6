//! What a database looks like: tables, columns and keys, independent of the dialect it came from.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::connection::DatabaseKind;

/// Everything that Pulse knows of a database's structure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The SQL dialect in which statements for this schema are written.
    pub dialect: DatabaseKind,
    /// Tables and views in name order (schema, then name).
    pub tables: Vec<Table>,
    /// Changes when any table, column or key changes; not when rows do. Hexadecimal.
    pub fingerprint: String,
}

/// A table or a view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Namespace: `main` on SQLite, `public` and the like on PostgreSQL, the database on MySQL.
    pub schema: String,
    /// Name as the database spells it.
    pub name: String,
    /// Table, view or materialised view.
    pub kind: TableKind,
    /// Columns in their declared order.
    pub columns: Vec<Column>,
    /// Names of the primary key's columns, in key order; empty when there is none.
    pub primary_key: Vec<String>,
    /// Column lists of unique constraints and indexes other than the primary key.
    pub unique_keys: Vec<Vec<String>>,
    /// Foreign keys that this table declares.
    pub foreign_keys: Vec<ForeignKey>,
    /// Comment of the table where the dialect has comments.
    pub comment: Option<String>,
    /// Rows, exact or estimated; `None` when unknown.
    pub row_count: Option<i64>,
}

/// What kind of relation a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// A base table.
    Table,
    /// A view, computed when read.
    View,
    /// A stored view.
    MaterializedView,
}

/// A column of a table or view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Name as the database spells it.
    pub name: String,
    /// Type as declared, such as `DECIMAL(10,2)`; may be empty on SQLite.
    pub declared_type: String,
    /// The kind of values it holds.
    pub kind: ColumnType,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Default as SQL text.
    pub default: Option<String>,
    /// Comment where the dialect has comments.
    pub comment: Option<String>,
    /// Labels of an enum type, in order; empty otherwise.
    pub enum_labels: Vec<String>,
    /// Whether the database computes it.
    #[serde(default)]
    pub generated: bool,
}

/// Kinds of column, coarse enough to be the same in every dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// True or false.
    Boolean,
    /// Whole numbers.
    Integer,
    /// Whole numbers of 64 bits without sign.
    Unsigned,
    /// Exact decimal numbers.
    Decimal,
    /// Binary floating-point numbers.
    Float,
    /// Text of any length.
    Text,
    /// Bytes.
    Bytes,
    /// Calendar date without time.
    Date,
    /// Time of day without date.
    Time,
    /// Date and time without zone.
    Timestamp,
    /// An instant.
    TimestampTz,
    /// A span of time.
    Interval,
    /// UUID.
    Uuid,
    /// JSON document.
    Json,
    /// Array of another type.
    Array,
    /// Anything else; values travel as text.
    Other,
}

impl ColumnType {
    /// Whether sums and averages make sense.
    #[must_use]
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Integer | Self::Unsigned | Self::Decimal | Self::Float)
    }

    /// Whether the values are points in time that have a calendar date.
    #[must_use]
    pub fn is_temporal(self) -> bool {
        matches!(self, Self::Date | Self::Timestamp | Self::TimestampTz)
    }
}

/// A reference from columns of one table to the key of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Constraint name where the dialect gives one.
    pub name: Option<String>,
    /// Referencing columns of this table, in key order.
    pub columns: Vec<String>,
    /// Namespace of the referenced table.
    pub referenced_schema: String,
    /// The referenced table.
    pub referenced_table: String,
    /// Referenced columns, paired with `columns`.
    pub referenced_columns: Vec<String>,
}

/// Full name of a table or view.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TablePath {
    /// Namespace; empty when it is not known.
    pub schema: String,
    /// Table name.
    pub table: String,
}

impl TablePath {
    /// Whether it is this table.
    #[must_use]
    pub fn is(&self, table: &Table) -> bool {
        self.schema == table.schema && self.table == table.name
    }
}

/// Full name of a column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ColumnPath {
    /// Namespace of the table.
    pub schema: String,
    /// Table name.
    pub table: String,
    /// Column name.
    pub column: String,
}

impl fmt::Display for ColumnPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.schema, self.table, self.column)
    }
}

impl Schema {
    /// The table of this name, ignoring ASCII case; `schema` narrows the search when given.
    #[must_use]
    pub fn table(&self, schema: Option<&str>, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| {
            table.name.eq_ignore_ascii_case(name)
                && schema.is_none_or(|wanted| table.schema.eq_ignore_ascii_case(wanted))
        })
    }
}

impl Schema {
    /// The schema as it would be without these columns, given as `schema.table.column` or `table.column`, ignoring ASCII
    /// case. Keys they are part of go with them.
    #[must_use]
    pub fn without(&self, columns: &[String]) -> Self {
        let mut schema = self.clone();
        for table in &mut schema.tables {
            let excluded: Vec<String> =
                columns.iter().filter_map(|path| table.named_by(path)).map(str::to_ascii_lowercase).collect();
            let stays = |name: &String| !excluded.contains(&name.to_ascii_lowercase());
            table.columns.retain(|column| stays(&column.name));
            table.unique_keys.retain(|key| key.iter().all(stays));
            table.foreign_keys.retain(|key| key.columns.iter().all(stays));
            if !table.primary_key.iter().all(stays) {
                table.primary_key.clear();
            }
        }
        schema
    }
}

impl Table {
    /// The last part of a path `schema.table.column` or `table.column`, if the rest of it names this table.
    #[must_use]
    pub fn named_by<'a>(&self, path: &'a str) -> Option<&'a str> {
        let (table, column) = path.rsplit_once('.')?;
        let (schema, name) = match table.rsplit_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, table),
        };
        let names_it = self.name.eq_ignore_ascii_case(name)
            && schema.is_none_or(|schema| self.schema.eq_ignore_ascii_case(schema));
        names_it.then_some(column)
    }

    /// The column of this name, ignoring ASCII case.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excluded_columns_go_with_their_keys() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let column = |name: &str| Column {
            name: name.to_owned(),
            declared_type: "text".to_owned(),
            kind: ColumnType::Text,
            nullable: true,
            default: None,
            comment: None,
            enum_labels: Vec::new(),
            generated: false,
        };
        let table = |schema: &str, name: &str| Table {
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind: TableKind::Table,
            columns: ["id", "Email", "city"].map(column).to_vec(),
            primary_key: names(&["id"]),
            unique_keys: vec![names(&["Email", "city"]), names(&["city"])],
            foreign_keys: Vec::new(),
            comment: None,
            row_count: None,
        };
        let schema = Schema {
            dialect: DatabaseKind::Postgresql,
            tables: vec![table("app", "users"), table("old", "users"), table("app", "log")],
            fingerprint: "f".to_owned(),
        };
        let left = |excluded: &[&str]| {
            let schema = schema.without(&names(excluded));
            let columns = |table: &Table| table.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
            schema.tables.iter().map(columns).collect::<Vec<_>>()
        };
        let all = names(&["id", "Email", "city"]);
        assert_eq!(left(&["users.email"]), [names(&["id", "city"]), names(&["id", "city"]), all.clone()]);
        assert_eq!(left(&["OLD.users.EMAIL", "log.nothing"]), [all.clone(), names(&["id", "city"]), all]);
        let users = &schema.without(&names(&["app.users.email", "app.users.id"])).tables[0];
        assert_eq!((users.unique_keys.as_slice(), users.primary_key.len()), ([names(&["city"])].as_slice(), 0));
    }
}
