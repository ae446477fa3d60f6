//! PostgreSQL as a target, on real servers and in bad weather: what the library promises of `sql::Database`.

mod cancel;
mod catalog;
mod changes;
mod session;
mod streams;
mod values;
mod weather;

use pulse::domain::connection::ConnectionSecrets;
use pulse::domain::{DatabaseKind, ResultColumn, Row, Tls, Value};
use pulse::sql::guard::{self, Policy};
use pulse::sql::{Database, Error, GuardedSql, HostPolicy, Limits, Options, ServerTarget, Target};

use crate::support::servers::{self, DatabaseServer, HOST, READ_ONLY, User};

/// Where a user finds a database: by name, with TLS if there is any.
fn target(server: &DatabaseServer, user: User, database: &str) -> ServerTarget {
    ServerTarget {
        host: HOST.to_owned(),
        port: server.port,
        database: database.to_owned(),
        username: user.name.to_owned(),
        secrets: ConnectionSecrets { password: Some(user.password.into()), client_key_pem: None },
        tls: Tls::default(),
        hosts: HostPolicy::default(),
    }
}

/// Gives rows for ever, as they are asked for.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1::bigint UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";

/// As the user who may only read.
fn opened(database: &servers::Database<'_>, options: Options) -> Database {
    Database::new(Target::Postgresql(target(database.server, READ_ONLY, &database.name)), options)
}

/// The machine may be busy with other tests.
fn patient() -> Options {
    let long = std::time::Duration::from_mins(1);
    Options { connect_timeout: long, acquire_timeout: long, ..Options::default() }
}

fn one_connection() -> Options {
    Options { connections: 1, ..patient() }
}

fn guarded(sql: &str) -> GuardedSql {
    calling(&[], sql)
}

/// A statement that may call these functions of the user's.
fn calling(functions: &[&str], sql: &str) -> GuardedSql {
    let allowed_functions = functions.iter().map(ToString::to_string).collect();
    let policy = Policy { allowed_functions, ..Policy::reads(DatabaseKind::Postgresql) };
    guard::check(sql, &policy).unwrap_or_else(|refusal| panic!("{sql}: {refusal:?}"))
}

fn patiently() -> Limits {
    Limits { timeout: std::time::Duration::from_mins(5), ..Limits::default() }
}

fn without_limits() -> Limits {
    let timeout = std::time::Duration::from_hours(1);
    Limits { max_rows: u64::MAX, max_bytes: u64::MAX, timeout, ..Limits::default() }
}

type Whole = (Vec<ResultColumn>, Vec<Row>);

async fn executed(database: &Database, sql: &GuardedSql, parameters: &[Value]) -> Result<Whole, Error> {
    let result = database.execute(sql, parameters, patiently()).await?;
    Ok((result.columns, result.rows))
}

/// The same, read as a stream.
async fn streamed(database: &Database, sql: &GuardedSql, parameters: &[Value]) -> Result<Whole, Error> {
    let mut stream = database.stream(sql.clone(), parameters.to_vec(), patiently()).await?;
    let columns = stream.columns.clone();
    let mut rows = Vec::new();
    while let Some(batch) = stream.next().await {
        rows.extend(batch.to_rows());
    }
    stream.finish().await?;
    Ok((columns, rows))
}

/// The one value of a statement, which has one column and one row.
async fn value(database: &Database, sql: &str) -> Value {
    let (_, mut rows) = executed(database, &guarded(sql), &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.remove(0).remove(0)
}
