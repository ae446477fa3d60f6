//! Calls of users' functions that a statement does not show, and only the catalog tells.
//!
//! PostgreSQL calls `f(x)` when it reads `x.f` and there is no such column. And a user may give a function or an operator
//! the name of a built-in one: which of them runs is up to the types of the arguments. And a cast to a type of a user's may
//! call what its owner wrote. The guard sees none of that, so what runs is held against the catalog. Members of extensions count when they are volatile only: others do nothing but compute.

use std::collections::{BTreeSet, HashSet};

use sqlx::postgres::PgConnection;

use super::error;
use crate::domain::SqlError;
use crate::sql::analyse::analyse;
use crate::sql::{Error, GuardedSql};

/// How a name may be that of a user's function: behind a dot, as a call, as an operator, as a type; and behind the name of a
/// table, where it is a column most likely.
const DOT: i32 = 1;
const CALL: i32 = 2;
const OPERATOR: i32 = 3;
const TYPE: i32 = 4;
const COLUMN: i32 = 5;
/// Names that are remembered.
const MOST_PLAIN: usize = 4_096;

/// Users' functions that names of the statement may call. Behind the name of a table only those may that take its row, and
/// not when it has such a column.
const FOUND: &str = "
WITH ours AS (
  SELECT p.oid, p.proname, n.nspname, p.pronargs, p.pronargdefaults, p.proargtypes
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE p.proname = ANY($1 || $2 || $3) AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND (p.provolatile = 'v' OR NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e')))
SELECT 1, f.proname::text, f.nspname::text, f.proname::text FROM ours f
WHERE f.pronargs >= 1 AND f.pronargs - f.pronargdefaults <= 1 AND (f.proname = ANY($1) OR f.proname = ANY($2) AND EXISTS (
  SELECT FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype
  WHERE t.oid = f.proargtypes[0] AND ('p' IN (t.typtype, b.typtype) OR 'c' IN (t.typtype, b.typtype) AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_attribute a
    WHERE a.attrelid IN (t.typrelid, b.typrelid) AND a.attname = f.proname AND NOT a.attisdropped))))
UNION ALL
SELECT 2, f.proname::text, f.nspname::text, f.proname::text FROM ours f WHERE f.proname = ANY($3)
UNION ALL
SELECT h.way, h.name::text, n.nspname::text, p.proname::text
FROM (
  SELECT 3, o.oprname, o.oprcode::oid FROM pg_catalog.pg_operator o WHERE o.oprname = ANY($4)
  UNION ALL
  SELECT 4, t.typname, d.refobjid FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_constraint c ON c.contypid = t.oid
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = c.oid
      AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
  WHERE t.typname = ANY($5)
  UNION ALL
  SELECT 4, t.typname, k.castfunc FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_cast k ON t.oid IN (k.castsource, k.casttarget)
  WHERE t.typname = ANY($5)
) h(way, name, called)
  JOIN pg_catalog.pg_proc p ON p.oid = h.called JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname <> 'pg_catalog' AND (p.provolatile = 'v' OR NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
  WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'))
ORDER BY 1, 2, 3";

/// Names, each with the way in which it is used, that the catalog of a session's database has shown to call no user's function.
///
/// A function that is defined later goes unnoticed while the session lives, so only reads may rely on it: the read-only
/// session stands behind them.
#[derive(Debug, Default)]
pub(super) struct Plain(HashSet<(i32, String)>);

impl Plain {
    /// Refuses a statement whose names may call a function that is neither PostgreSQL's own nor allowed for the connection.
    pub async fn refuse_hidden_calls(&mut self, connection: &mut PgConnection, sql: &GuardedSql) -> Result<(), Error> {
        let unknown: BTreeSet<(i32, String)> = uses(sql).filter(|used| !self.0.contains(used)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let names = |wanted| -> Vec<&str> {
            unknown.iter().filter(|(way, _)| *way == wanted).map(|(_, name)| name.as_str()).collect()
        };
        let asked = sqlx::query_as::<_, (i32, String, String, String)>(FOUND);
        let asked =
            asked.bind(names(DOT)).bind(names(COLUMN)).bind(names(CALL)).bind(names(OPERATOR)).bind(names(TYPE));
        let found = asked.fetch_all(connection).await.map_err(error::running)?;
        if let Some((way, name, schema, function)) =
            found.iter().find(|(_, _, schema, function)| !sql.allows(schema, function))
        {
            return Err(Error::NotAllowed(refusal(sql, *way, name, schema, function)));
        }
        if self.0.len() > MOST_PLAIN {
            self.0.clear();
        }
        // What this connection allows, another statement might not.
        self.0.extend(unknown.into_iter().filter(|(_, known)| found.iter().all(|(_, name, _, _)| name != known)));
        Ok(())
    }
}

fn uses(sql: &GuardedSql) -> impl Iterator<Item = (i32, String)> {
    let analysis = analyse(sql);
    let attributes = analysis.attributes.iter().map(|used| (if used.of_table { COLUMN } else { DOT }, used));
    attributes
        .chain(analysis.calls.iter().map(|used| (CALL, used)))
        .chain(analysis.operators.iter().map(|used| (OPERATOR, used)))
        .chain(analysis.words.iter().map(|used| (TYPE, used)))
        .map(|(way, used)| (way, used.name.clone()))
}

fn refusal(sql: &GuardedSql, way: i32, name: &str, schema: &str, function: &str) -> SqlError {
    let analysis = analyse(sql);
    let (uses, message, instead) = match way {
        DOT => (
            &analysis.attributes,
            format!("{name} behind a dot may be a call of the function {schema}.{function}"),
            "leave the qualifier away if it is a column".to_owned(),
        ),
        CALL => (
            &analysis.calls,
            format!("{name} may be the function {schema}.{function}, which is not PostgreSQL's own"),
            format!("write pg_catalog.{name} if PostgreSQL's is meant"),
        ),
        OPERATOR => (
            &analysis.operators,
            format!("{name} may call the function {schema}.{function}, which is not PostgreSQL's own"),
            format!("write OPERATOR(pg_catalog.{name}) if PostgreSQL's is meant"),
        ),
        _ => (
            &analysis.words,
            format!("the type {name} may call the function {schema}.{function}, which is not PostgreSQL's own"),
            format!("leave {name} out if no type is meant"),
        ),
    };
    let position = uses.iter().find(|used| used.name == name).map_or(0, |used| used.position);
    let hint = format!("{instead}; allow {schema}.{function} for the connection if not");
    SqlError { message, position, hint, ..SqlError::default() }
}
