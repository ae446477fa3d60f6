//! Reads the structure of a PostgreSQL database: one query for each kind of thing, however many tables there are.

use std::collections::{HashMap, HashSet};

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::error;
use super::session::Session;
use crate::domain::{Column, ColumnType, DatabaseKind, ForeignKey, Schema, Table, TableKind};
use crate::sql::{Error, ServerInfo, catalog};

/// Tables, views, materialised views and foreign tables that the user may read, of every schema but PostgreSQL's own and
/// those of temporary objects. Partitions are left out: their table stands for them.
const TABLES: &str = "SELECT c.oid::int8 AS id, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind, \
      CASE WHEN c.reltuples >= 0 AND c.relkind IN ('r', 'm', 'f') THEN c.reltuples::int8 END AS row_count, \
      CASE WHEN c.relkind = 'p' THEN (SELECT sum(p.reltuples)::int8 FROM pg_catalog.pg_partition_tree(c.oid) t \
          JOIN pg_catalog.pg_class p ON p.oid = t.relid WHERE t.isleaf AND p.reltuples >= 0) END AS partition_rows, \
      pg_catalog.obj_description(c.oid, 'pg_class') AS comment \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition \
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)' \
      AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
      AND (pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT')) \
    ORDER BY n.nspname, c.relname";

const COLUMNS: &str = "SELECT a.attrelid::int8 AS id, a.attname::text AS name, \
      pg_catalog.format_type(a.atttypid, a.atttypmod) AS declared_type, \
      a.atttypid::int8 AS type_id, t.typcategory::text AS category, \
      NOT a.attnotnull AS nullable, a.attgenerated <> '' AS generated, \
      CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END AS default_text, \
      pg_catalog.col_description(a.attrelid, a.attnum) AS comment \
    FROM pg_catalog.pg_attribute a \
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
    WHERE a.attrelid = ANY($1::int8[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped \
      AND pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT') \
    ORDER BY a.attrelid, a.attnum";

/// Domains, with the type each restricts, which may be a domain too.
const DOMAINS: &str = "SELECT oid::int8 AS id, typbasetype::int8 AS base, typnotnull AS not_null, typdefault AS default_text \
    FROM pg_catalog.pg_type WHERE typtype = 'd'";

const ENUM_LABELS: &str = "SELECT enumtypid::int8 AS id, pg_catalog.array_agg(enumlabel::text ORDER BY enumsortorder) AS labels \
    FROM pg_catalog.pg_enum GROUP BY enumtypid";

/// Primary, unique and foreign keys. A foreign key to a partitioned table has a copy for each of the partitions, which is
/// left out.
const CONSTRAINTS: &str = "SELECT c.conrelid::int8 AS id, c.contype::text AS kind, c.conname::text AS name, \
      (SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.place) FROM pg_catalog.unnest(c.conkey) WITH ORDINALITY k(number, place) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number) AS columns, \
      n.nspname::text AS referenced_schema, r.relname::text AS referenced_table, \
      (SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.place) FROM pg_catalog.unnest(c.confkey) WITH ORDINALITY k(number, place) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number) AS referenced_columns \
    FROM pg_catalog.pg_constraint c \
    LEFT JOIN pg_catalog.pg_class r ON r.oid = c.confrelid LEFT JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace \
    WHERE c.conrelid = ANY($1::int8[]::oid[]) AND c.contype IN ('p', 'u', 'f') AND c.conparentid = 0 \
    ORDER BY c.conrelid, c.contype, c.conname";

/// Unique indexes over plain columns and whole tables that no constraint stands behind.
const UNIQUE_INDEXES: &str = "SELECT i.indrelid::int8 AS id, \
      (SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.place) \
         FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number \
         WHERE k.place <= i.indnkeyatts) AS columns \
    FROM pg_catalog.pg_index i \
    WHERE i.indrelid = ANY($1::int8[]::oid[]) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL \
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u')) \
    ORDER BY i.indrelid, i.indexrelid";

/// Whether the session's user may do more than read, a column for each way.
const MORE_THAN_READING: &str = "SELECT r.rolsuper, r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls, \
      EXISTS (SELECT FROM pg_catalog.pg_roles p WHERE p.rolname IN ('pg_write_all_data', 'pg_execute_server_program', \
        'pg_read_server_files', 'pg_write_server_files', 'pg_signal_backend') AND pg_catalog.pg_has_role(p.oid, 'USAGE')), \
      EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
        AND n.nspname !~ '^pg_(toast|temp)' AND (pg_catalog.pg_has_role(c.relowner, 'USAGE') \
        OR pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))) \
    FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

/// The version, and warnings about a user that can do more than a connection that only reads needs.
pub(super) async fn server_info(session: &mut Session, reads_only: bool) -> Result<ServerInfo, Error> {
    let connection = &mut session.connection;
    let version: String = sqlx::query_scalar("SELECT pg_catalog.current_setting('server_version')")
        .fetch_one(&mut *connection)
        .await
        .map_err(error::running)?;
    let number = version.split(' ').next().unwrap_or_default();
    let version = format!("PostgreSQL {number}");
    if !reads_only {
        return Ok(ServerInfo { version, warnings: Vec::new() });
    }
    let row = sqlx::query(MORE_THAN_READING).fetch_one(connection).await.map_err(error::running)?;
    let told = [
        "the user is a superuser, whom a read-only session does not keep from files, programs and other sessions",
        "the user may create roles or databases, replicate, or bypass row security",
        "the user may write all data, use the server's files or programs, or stop other sessions",
        "the user owns tables or may write to some",
    ];
    let mut warnings = Vec::new();
    for (index, warning) in told.into_iter().enumerate() {
        if get(&row, index)? {
            warnings.push(format!("{warning}; a role that may only SELECT is safer"));
        }
    }
    Ok(ServerInfo { version, warnings })
}

/// Reads tables, columns and keys.
pub(super) async fn schema(session: &mut Session) -> Result<Schema, Error> {
    let connection = &mut session.connection;
    let rows = sqlx::query(TABLES).fetch_all(&mut *connection).await.map_err(error::running)?;
    let mut tables = Vec::with_capacity(rows.len());
    let mut places = HashMap::with_capacity(rows.len());
    let mut ids: Vec<i64> = Vec::with_capacity(rows.len());
    for row in &rows {
        let id = get(row, "id")?;
        places.insert(id, tables.len());
        ids.push(id);
        tables.push(table(row)?);
    }
    read_columns(connection, &ids, &places, &mut tables).await?;
    read_constraints(connection, &ids, &places, &mut tables).await?;
    for row in &about(connection, UNIQUE_INDEXES, &ids).await? {
        let columns: Option<Vec<String>> = get(row, "columns")?;
        if let (Some(&place), Some(columns)) = (places.get(&get(row, "id")?), columns) {
            tables[place].unique_keys.push(columns);
        }
    }
    leave_out_unreadable_keys(&mut tables);
    Ok(catalog::schema(DatabaseKind::Postgresql, tables))
}

/// A key tells of its columns, and a foreign key of another table: those that the user may not read are not told of.
fn leave_out_unreadable_keys(tables: &mut [Table]) {
    let readable: HashSet<[String; 3]> = tables
        .iter()
        .flat_map(|table| {
            table.columns.iter().map(|column| [&table.schema, &table.name, &column.name].map(Clone::clone))
        })
        .collect();
    let all = |schema: &str, table: &str, columns: &[String]| {
        columns.iter().all(|column| readable.contains(&[schema, table, column].map(ToOwned::to_owned)))
    };
    for table in tables {
        let Table { schema, name, primary_key, unique_keys, foreign_keys, .. } = table;
        if !all(schema, name, primary_key) {
            primary_key.clear();
        }
        unique_keys.retain(|columns| all(schema, name, columns));
        foreign_keys.retain(|key| {
            all(schema, name, &key.columns)
                && all(&key.referenced_schema, &key.referenced_table, &key.referenced_columns)
        });
    }
}

fn table(row: &PgRow) -> Result<Table, Error> {
    let kind: String = get(row, "kind")?;
    let row_count: Option<i64> = get(row, "row_count")?;
    let partition_rows: Option<i64> = get(row, "partition_rows")?;
    Ok(Table {
        schema: get(row, "schema")?,
        name: get(row, "name")?,
        kind: match kind.as_str() {
            "v" => TableKind::View,
            "m" => TableKind::MaterializedView,
            _ => TableKind::Table,
        },
        columns: Vec::new(),
        primary_key: Vec::new(),
        unique_keys: Vec::new(),
        foreign_keys: Vec::new(),
        comment: get(row, "comment")?,
        row_count: row_count.or(partition_rows),
    })
}

async fn read_columns(
    connection: &mut PgConnection,
    ids: &[i64],
    places: &HashMap<i64, usize>,
    tables: &mut [Table],
) -> Result<(), Error> {
    let mut labels: HashMap<i64, Vec<String>> = HashMap::new();
    for row in &sqlx::query(ENUM_LABELS).fetch_all(&mut *connection).await.map_err(error::running)? {
        labels.insert(get(row, "id")?, get(row, "labels")?);
    }
    let domains = domains(connection).await?;
    for row in &about(connection, COLUMNS, ids).await? {
        let Some(&place) = places.get(&get(row, "id")?) else { continue };
        let (type_id, category): (i64, String) = (get(row, "type_id")?, get(row, "category")?);
        let domain = domains.get(&type_id).cloned().unwrap_or(Domain { base: type_id, ..Domain::default() });
        let (nullable, generated, default): (bool, bool, Option<String>) =
            (get(row, "nullable")?, get(row, "generated")?, get(row, "default_text")?);
        tables[place].columns.push(Column {
            name: get(row, "name")?,
            declared_type: get(row, "declared_type")?,
            kind: canonical(domain.base, &category),
            nullable: nullable && !domain.not_null,
            default: default.or(domain.default_text.filter(|_| !generated)),
            comment: get(row, "comment")?,
            enum_labels: labels.get(&domain.base).cloned().unwrap_or_default(),
            generated,
        });
    }
    Ok(())
}

/// What a domain makes of the type behind it, that of the domains between them included.
#[derive(Debug, Clone, Default)]
struct Domain {
    base: i64,
    not_null: bool,
    default_text: Option<String>,
}

async fn domains(connection: &mut PgConnection) -> Result<HashMap<i64, Domain>, Error> {
    let mut declared = HashMap::new();
    for row in &sqlx::query(DOMAINS).fetch_all(connection).await.map_err(error::running)? {
        let (base, not_null, default_text) = (get(row, "base")?, get(row, "not_null")?, get(row, "default_text")?);
        declared.insert(get(row, "id")?, Domain { base, not_null, default_text });
    }
    let whole = |domain: &Domain| {
        let mut whole = domain.clone();
        while let Some(Domain { base, not_null, default_text }) = declared.get(&whole.base) {
            whole.base = *base;
            whole.not_null |= not_null;
            whole.default_text = whole.default_text.or_else(|| default_text.clone());
        }
        whole
    };
    Ok(declared.iter().map(|(id, domain): (&i64, &Domain)| (*id, whole(domain))).collect())
}

async fn read_constraints(
    connection: &mut PgConnection,
    ids: &[i64],
    places: &HashMap<i64, usize>,
    tables: &mut [Table],
) -> Result<(), Error> {
    for row in &about(connection, CONSTRAINTS, ids).await? {
        let Some(&place) = places.get(&get(row, "id")?) else { continue };
        let columns: Vec<String> = get(row, "columns")?;
        let kind: String = get(row, "kind")?;
        match kind.as_str() {
            "p" => tables[place].primary_key = columns,
            "u" => tables[place].unique_keys.push(columns),
            _ => tables[place].foreign_keys.push(ForeignKey {
                name: get(row, "name")?,
                columns,
                referenced_schema: get(row, "referenced_schema")?,
                referenced_table: get(row, "referenced_table")?,
                referenced_columns: get(row, "referenced_columns")?,
            }),
        }
    }
    Ok(())
}

async fn about(connection: &mut PgConnection, sql: &'static str, ids: &[i64]) -> Result<Vec<PgRow>, Error> {
    sqlx::query(sql).bind(ids).fetch_all(connection).await.map_err(error::running)
}

fn get<'a, T, I>(row: &'a PgRow, index: I) -> Result<T, Error>
where
    T: sqlx::Decode<'a, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    I: sqlx::ColumnIndex<PgRow>,
{
    row.try_get(index).map_err(error::running)
}

/// The kind of values of a type, by its object id, else by what the catalog says of it.
fn canonical(id: i64, category: &str) -> ColumnType {
    match category {
        "A" => return ColumnType::Array,
        // Enums.
        "E" => return ColumnType::Text,
        _ => {}
    }
    let known = u32::try_from(id).ok().and_then(super::types::built_in).map(|(scalar, _)| scalar.kind());
    // citext and the like are text for whoever asks questions.
    known.unwrap_or(if category == "S" { ColumnType::Text } else { ColumnType::Other })
}
