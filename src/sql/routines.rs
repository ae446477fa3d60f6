//! Which functions a database has.

use std::collections::HashSet;
use std::time::Duration;

use super::guard::{self, Policy};
use super::{Database, Error, Limits};
use crate::domain::{DatabaseKind, Value};

/// Longest that the look-up may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Those of these names that the database has no function for, as far as its user may see.
pub(super) async fn missing(database: &Database, names: &[String]) -> Result<Vec<String>, Error> {
    match database.kind() {
        DatabaseKind::Sqlite => missing_in_sqlite(database, names).await,
        DatabaseKind::Postgresql | DatabaseKind::Mysql => missing_in_catalog(database, names).await,
    }
}

/// SQLite has no catalog of functions that statements may read; it says of a call that there is none.
async fn missing_in_sqlite(database: &Database, names: &[String]) -> Result<Vec<String>, Error> {
    let mut missing = Vec::new();
    for name in names {
        let policy = Policy { allowed_functions: vec![name.clone()], ..Policy::reads(DatabaseKind::Sqlite) };
        let exists = match guard::check(&format!("SELECT {name}()"), &policy) {
            Ok(call) => match database.explain(&call, &[]).await {
                Ok(_) => true,
                Err(Error::Statement(error)) => error.message.contains("wrong number of arguments"),
                Err(error) => return Err(error),
            },
            Err(_) => false,
        };
        if !exists {
            missing.push(name.clone());
        }
    }
    Ok(missing)
}

async fn missing_in_catalog(database: &Database, names: &[String]) -> Result<Vec<String>, Error> {
    let kind = database.kind();
    let places = (1..=names.len()).map(|place| match kind {
        DatabaseKind::Postgresql => format!("${place}"),
        DatabaseKind::Mysql | DatabaseKind::Sqlite => "?".to_owned(),
    });
    let text = if kind == DatabaseKind::Mysql { "CHAR" } else { "TEXT" };
    let question = format!(
        "SELECT DISTINCT LOWER(CAST(routine_schema AS {text})), LOWER(CAST(routine_name AS {text})) \
         FROM information_schema.routines WHERE LOWER(CAST(routine_name AS {text})) IN ({})",
        places.collect::<Vec<_>>().join(", ")
    );
    let sql = guard::check(&question, &Policy::reads(kind)).map_err(|refusal| Error::Internal(refusal.to_string()))?;
    let wanted = names.iter().map(|name| {
        let last = name.rsplit('.').next().unwrap_or(name);
        Value::String(last.to_ascii_lowercase())
    });
    let limits = Limits { max_rows: 10_000, max_bytes: 3 << 20, max_cell_bytes: 1 << 10, timeout: TIMEOUT };
    let found = database.execute(&sql, &wanted.collect::<Vec<_>>(), limits).await?;
    let mut known = HashSet::new();
    for row in found.rows {
        if let [Value::String(schema), Value::String(name)] = row.as_slice() {
            known.insert(format!("{schema}.{name}"));
            known.insert(name.clone());
        }
    }
    Ok(names.iter().filter(|name| !known.contains(&name.to_ascii_lowercase())).cloned().collect())
}
