//! Sessions: how they are opened, what is set in them, how they are checked and stopped.

use std::time::Duration;

use async_trait::async_trait;
use log::LevelFilter;
use secrecy::ExposeSecret;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};

use super::error;
use super::hidden_calls::Plain;
use crate::domain::TlsMode;
use crate::sql::server::{Address, Driver, Extent, ServerTarget};
use crate::sql::{Error, GuardedSql, Options, Unreachable};

/// The oldest version that is spoken to.
const OLDEST_VERSION: u32 = 130_000;
/// Statements that a session keeps prepared.
const PREPARED_STATEMENTS: usize = 64;
/// How long an abandoned statement may need to begin before the server is believed to run none.
const LOOKS_FOR_ABANDONED: [Duration; 3] = [Duration::ZERO, Duration::from_millis(10), Duration::from_millis(30)];
/// Rounds of stopping a statement that does not heed it, before its session is ended.
const STOPS_BEFORE_ENDING: usize = 20;

/// What a session must still be when it is checked: one line that names its settings.
const STATE: &str = "SELECT pg_catalog.concat_ws('|', \
    pg_catalog.current_setting('default_transaction_read_only'), pg_catalog.current_setting('transaction_read_only'), \
    pg_catalog.current_setting('statement_timeout'), pg_catalog.current_setting('lock_timeout'), \
    pg_catalog.current_setting('standard_conforming_strings'), pg_catalog.current_setting('search_path'), \
    pg_catalog.current_setting('TimeZone'), pg_catalog.current_setting('DateStyle'), \
    pg_catalog.current_setting('IntervalStyle'), pg_catalog.current_setting('bytea_output'), \
    pg_catalog.current_setting('client_encoding'), pg_catalog.current_setting('extra_float_digits'), \
    pg_catalog.current_setting('lc_monetary'), pg_catalog.current_setting('xmloption'), \
    pg_catalog.current_setting('idle_in_transaction_session_timeout'), pg_catalog.current_setting('row_security'), \
    pg_catalog.current_setting('session_replication_role'), pg_catalog.current_setting('role'), session_user)";

/// The number of the session's process. Text of a database without an encoding is not converted, which makes PostgreSQL
/// refuse what is not UTF-8; so there the session asks for what is stored.
const PROCESS: &str = "SELECT pg_catalog.pg_backend_pid() FROM pg_catalog.set_config('client_encoding', \
    CASE pg_catalog.current_setting('server_encoding') WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END, false)";

/// An open connection to one PostgreSQL server process.
#[derive(Debug)]
pub(in crate::sql) struct Session {
    pub connection: PgConnection,
    process: i32,
    state: String,
    plain: Plain,
}

impl Session {
    /// Refuses a statement that reads and may call what it does not show; see [`hidden_calls`](super::hidden_calls).
    pub async fn refuse_hidden_calls(&mut self, sql: &GuardedSql) -> Result<(), Error> {
        self.plain.refuse_hidden_calls(&mut self.connection, sql).await
    }
}

/// Opens sessions of one target.
#[derive(Debug)]
pub(in crate::sql) struct Sessions {
    pub server: ServerTarget,
    pub options: Options,
    /// Whether the sessions may write.
    pub writes: bool,
}

#[async_trait]
impl Driver for Sessions {
    type Session = Session;

    async fn connect(&self) -> Result<Session, Error> {
        let mut last = Error::Unreachable(Unreachable::Dns);
        for address in self.server.resolve(self.options.connect_timeout).await? {
            let mut connection = match self.connect_options(&address).connect().await {
                Ok(connection) => connection,
                // Only a server that is not there makes the next address worth trying.
                Err(error) => match error::connecting(error) {
                    unreachable @ Error::Unreachable(_) => {
                        last = unreachable;
                        continue;
                    }
                    refusal => return Err(refusal),
                },
            };
            if connection.server_version_num().is_some_and(|version| version < OLDEST_VERSION) {
                return Err(Error::Protocol("a PostgreSQL server older than version 13".to_owned()));
            }
            let process = sqlx::query_scalar(PROCESS).fetch_one(&mut connection).await;
            let process = process.map_err(error::connecting)?;
            let state = state(&mut connection).await?;
            return Ok(Session { connection, process, state, plain: Plain::default() });
        }
        Err(last)
    }

    async fn check(&self, session: &mut Session) -> Result<(), Error> {
        let now = match state(&mut session.connection).await {
            // The end of a statement that was stopped comes before the answer.
            Err(Error::Interrupted) => state(&mut session.connection).await,
            now => now,
        };
        if now? == session.state {
            return Ok(());
        }
        Err(Error::Unavailable("the session's settings were changed".to_owned()))
    }

    fn id(&self, session: &Session) -> u64 {
        session.process.unsigned_abs().into()
    }

    async fn cancel(&self, over: &mut Session, victim: u64, extent: Extent) -> Result<(), Error> {
        let victim = i32::try_from(victim).unwrap_or(i32::MAX);
        match extent {
            Extent::Statement => stop(&mut over.connection, "pg_catalog.pg_cancel_backend", victim).await.map(drop),
            Extent::Session => abandon(&mut over.connection, victim).await,
        }
    }
}

/// Stops whatever the process runs. A statement that was sent but has not begun yet is waited for, since closing the
/// connection does not keep it from running.
async fn abandon(over: &mut PgConnection, victim: i32) -> Result<(), Error> {
    for wait in LOOKS_FOR_ABANDONED {
        tokio::time::sleep(wait).await;
        let mut stops = 0;
        while stop(over, "pg_catalog.pg_cancel_backend", victim).await? {
            stops += 1;
            if stops == STOPS_BEFORE_ENDING {
                return stop(over, "pg_catalog.pg_terminate_backend", victim).await.map(drop);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}

/// Has `function` stop the process if it is at work, or if the server does not track whether it is; says whether it was.
async fn stop(over: &mut PgConnection, function: &'static str, victim: i32) -> Result<bool, Error> {
    let sql =
        format!("SELECT {function}(pid) FROM pg_catalog.pg_stat_activity WHERE pid = $1 AND state NOT LIKE 'idle%'");
    let stopped = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(victim).execute(over).await.map_err(error::running)?;
    Ok(stopped.rows_affected() > 0)
}

async fn state(connection: &mut PgConnection) -> Result<String, Error> {
    sqlx::query_scalar(STATE).fetch_one(connection).await.map_err(error::running)
}

impl Sessions {
    /// Everything is named, so that nothing comes from the environment of the server process.
    fn connect_options(&self, address: &Address) -> PgConnectOptions {
        let ServerTarget { host, port, database, username, secrets, tls, hosts: _ } = &self.server;
        let password = secrets.password.as_ref().map_or("", |password| password.expose_secret());
        let database = if database.is_empty() { username } else { database };
        let mut options = PgConnectOptions::new_without_pgpass()
            .port(*port)
            .username(username)
            .password(password)
            .database(database)
            .ssl_mode(ssl_mode(tls.mode))
            .application_name("pulse")
            .statement_cache_capacity(PREPARED_STATEMENTS)
            .options(self.settings())
            .log_statements(LevelFilter::Off)
            .log_slow_statements(LevelFilter::Off, Duration::ZERO);
        options = match address {
            Address::SocketFolder(folder) => options.socket(folder),
            // The certificate must name the host, so the driver must know its name; it looks it up once more.
            Address::Ip(_) if tls.mode == TlsMode::VerifyFull => options.host(host),
            Address::Ip(ip) => options.host(&ip.to_string()),
        };
        if let Some(pem) = &tls.ca_pem {
            options = options.ssl_root_cert_from_pem(pem.clone().into_bytes());
        }
        if let (Some(certificate), Some(key)) = (&tls.client_certificate_pem, &secrets.client_key_pem) {
            options = options.ssl_client_cert_from_pem(certificate).ssl_client_key_from_pem(key.expose_secret());
        }
        options
    }

    /// Settings of every session, in the start-up message: there is no moment without them.
    ///
    /// The server's own time limit is a backstop; Pulse stops statements itself.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let milliseconds = |time: Duration| time.as_millis().to_string();
        let Options { lock_timeout, statement_timeout, .. } = self.options;
        vec![
            ("default_transaction_read_only", if self.writes { "off" } else { "on" }.to_owned()),
            ("statement_timeout", milliseconds(statement_timeout + Duration::from_secs(1))),
            ("lock_timeout", milliseconds(lock_timeout)),
            ("idle_in_transaction_session_timeout", milliseconds(statement_timeout + Duration::from_mins(1))),
            ("standard_conforming_strings", "on".to_owned()),
            ("IntervalStyle", "postgres".to_owned()),
            ("bytea_output", "hex".to_owned()),
            // A cursor is read to its end: its plan must not prefer a fast first row.
            ("cursor_tuple_fraction", "1".to_owned()),
        ]
    }
}

fn ssl_mode(mode: TlsMode) -> PgSslMode {
    match mode {
        TlsMode::Disable => PgSslMode::Disable,
        TlsMode::Prefer => PgSslMode::Prefer,
        TlsMode::Require => PgSslMode::Require,
        TlsMode::VerifyCa => PgSslMode::VerifyCa,
        TlsMode::VerifyFull => PgSslMode::VerifyFull,
    }
}
