//! Sessions with a MySQL or MariaDB server: how they are opened, what is set, how they are stopped.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::ExposeSecret;
use sqlx::mysql::{MySqlConnectOptions, MySqlRow, MySqlSslMode, MySqlTypeInfo};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, MySqlConnection, Row};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::cell::text;
use super::error;
use crate::domain::connection::TlsMode;
use crate::sql::server::{Address, Driver, Extent, ServerTarget};
use crate::sql::{Error, Options, Unreachable};

/// Statements that a session keeps prepared.
const PREPARED_STATEMENTS: usize = 64;
/// How long a login may take before the server is asked whether it is another kind of server.
const SILENCE: Duration = Duration::from_secs(1);
/// PostgreSQL's question for TLS, to which its servers answer one letter
/// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// Between two looks at whether a session that was told to end has ended.
const ENDING: Duration = Duration::from_millis(5);
/// How the text of a statement is read and what a write may not do. `ONLY_FULL_GROUP_BY` stays as the server has it: it
/// is off on MariaDB, where it refuses correct statements, and on on MySQL, where it does not.
const SQL_MODE: &str = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION";
/// Longest `GROUP_CONCAT`, in bytes. Servers cut there and only warn (MySQL after 1,024 bytes), so it is more than any result
/// may hold, which is refused in words.
const GROUP_CONCAT_BYTES: u32 = 8 << 20;
/// Deepest recursion of a common table expression: as deep as a statement's time and memory let it, as elsewhere.
/// MariaDB's default of 1,000 ends it silently.
const RECURSION_DEPTH: u32 = u32::MAX;
/// Longest time that MySQL's timeouts of whole seconds take.
const LONGEST_SECONDS: u64 = 31_536_000;

/// What sessions are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Reading; the server refuses everything else.
    Reader,
    /// Writing.
    Writer,
}

/// Who made the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Product {
    Mysql,
    Mariadb,
}

/// An open session.
pub(in crate::sql) struct Session {
    pub connection: MySqlConnection,
    pub(super) product: Product,
    /// Product and version, for people.
    pub version: String,
    /// Whether it opened a database; then that is what its catalog shows.
    pub has_database: bool,
    /// Longest run of a statement that the server was told.
    pub longest: Duration,
    /// The wire's type of exact decimals, which sqlx names only to those who use its own decimal types.
    pub decimal: MySqlTypeInfo,
    id: u64,
    settings: String,
}

/// Opens, checks and stops sessions with one server.
pub(in crate::sql) struct Server {
    target: ServerTarget,
    options: Options,
    role: Role,
}

impl Server {
    pub(super) fn new(target: ServerTarget, options: Options, role: Role) -> Self {
        Self { target, options, role }
    }

    /// Logs in at the first address that answers.
    async fn login(&self) -> Result<MySqlConnection, Error> {
        let addresses = self.target.resolve(self.options.connect_timeout).await?;
        let mut refused = Error::Unreachable(Unreachable::Dns);
        for address in addresses {
            let options = connect_options(&self.target, &address);
            let connected = tokio::select! {
                connected = options.connect() => connected,
                () = is_postgres(&address, self.target.port) => return Err(error::not_mysql()),
            };
            match connected {
                Ok(connection) => return Ok(connection),
                Err(error) => refused = error::of_login(error, &self.target.database),
            }
            if !matches!(refused, Error::Unreachable(_)) {
                break;
            }
        }
        Err(refused)
    }

    /// One SET for everything that a session's meaning hangs on, so that nothing comes from the server's defaults.
    fn set_up(&self, product: Product) -> String {
        let read_only = u8::from(self.role == Role::Reader);
        let lock_seconds = whole_seconds(self.options.lock_timeout);
        let longest = self.options.statement_timeout;
        let by_product = match product {
            Product::Mysql => {
                let milliseconds = u32::try_from(longest.as_millis()).unwrap_or(u32::MAX);
                format!(
                    "transaction_read_only = {read_only}, max_execution_time = {milliseconds}, \
                     cte_max_recursion_depth = {RECURSION_DEPTH}"
                )
            }
            Product::Mariadb => format!(
                "tx_read_only = {read_only}, max_statement_time = {}, max_recursive_iterations = {RECURSION_DEPTH}",
                longest.as_secs_f64(),
            ),
        };
        format!(
            "SET SESSION {by_product}, autocommit = 1, sql_auto_is_null = 0, sql_select_limit = DEFAULT, \
             sql_mode = CONCAT(IF(FIND_IN_SET('ONLY_FULL_GROUP_BY', @@GLOBAL.sql_mode), 'ONLY_FULL_GROUP_BY,', ''), '{SQL_MODE}'), \
             group_concat_max_len = {GROUP_CONCAT_BYTES}, \
             lock_wait_timeout = {lock_seconds}, innodb_lock_wait_timeout = {lock_seconds}, \
             net_write_timeout = {}",
            // A reader may take its time for as long as the statement may run.
            whole_seconds(longest),
        )
    }
}

#[async_trait]
impl Driver for Server {
    type Session = Session;

    async fn connect(&self) -> Result<Session, Error> {
        let mut connection = self.login().await?;
        let own = |error| error::of_set_up(error, &self.target.database);
        let rows = ask(&mut connection, "SELECT VERSION(), CONNECTION_ID(), 1.5".to_owned()).await.map_err(own)?;
        let first = rows.first().ok_or_else(|| Error::Protocol("it does not say its version".to_owned()))?;
        let (product, version) = product(&text(first, 0).unwrap_or_default())?;
        let id = text(first, 1).and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| Error::Protocol("it does not number its sessions".to_owned()))?;
        let decimal = first.column(2).type_info().clone();
        let settings = format!("{}; {}", self.set_up(product), settings_query(product));
        let settings = settings_of(&ask(&mut connection, settings).await.map_err(own)?);
        let longest = self.options.statement_timeout;
        let has_database = !self.target.database.is_empty();
        Ok(Session { connection, product, version, has_database, longest, decimal, id, settings })
    }

    /// Ends a transaction that was left open, then reads the settings.
    async fn check(&self, session: &mut Session) -> Result<(), Error> {
        let question = format!("ROLLBACK; {}", settings_query(session.product));
        let rows = match ask(&mut session.connection, question.clone()).await {
            // The answer of the statement that was stopped comes first.
            Err(error) if error::is_interruption(&error) => ask(&mut session.connection, question).await,
            rows => rows,
        };
        let settings = settings_of(&rows.map_err(|error| error::of_statement(error, "", session.longest))?);
        if settings == session.settings {
            return Ok(());
        }
        Err(Error::Internal("the settings of a session have changed".to_owned()))
    }

    fn id(&self, session: &Session) -> u64 {
        session.id
    }

    async fn cancel(&self, over: &mut Session, victim: u64, extent: Extent) -> Result<(), Error> {
        let what = if extent == Extent::Session { "" } else { "QUERY " };
        loop {
            match ask(&mut over.connection, format!("KILL {what}{victim}")).await {
                Ok(_) if extent == Extent::Statement => return Ok(()),
                // Told to end; the server lists it until it has rolled back and let go of everything.
                Ok(_) => tokio::time::sleep(ENDING).await,
                Err(error) if error::is_unknown_session(&error) => return Ok(()),
                Err(error) => return Err(error::of_statement(error, "", over.longest)),
            }
        }
    }
}

/// Ends when a PostgreSQL server answers at the address, and never otherwise. Such a server waits for its client to speak
/// first, as a MySQL client does for its server: without this question both would wait until nobody knows why.
async fn is_postgres(address: &Address, port: u16) {
    let Address::Ip(ip) = address else { return std::future::pending().await };
    tokio::time::sleep(SILENCE).await;
    let asked = async {
        let mut stream = TcpStream::connect((*ip, port)).await?;
        stream.write_all(&SSL_REQUEST).await?;
        stream.read_u8().await
    };
    if !matches!(asked.await, Ok(b'S' | b'N')) {
        std::future::pending::<()>().await;
    }
}

/// Runs statements of Pulse's own, which hold no word of a caller, and reads all their rows, where every cell is text.
pub(super) async fn ask(connection: &mut MySqlConnection, sql: String) -> Result<Vec<MySqlRow>, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await
}

/// The host's checked address, or its name where the certificate must be for that name.
fn connect_options(target: &ServerTarget, address: &Address) -> MySqlConnectOptions {
    let mut options = MySqlConnectOptions::new()
        .port(target.port)
        .username(&target.username)
        .charset("utf8mb4")
        .timezone("+00:00".to_owned())
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .enable_cleartext_plugin(false)
        .statement_cache_capacity(PREPARED_STATEMENTS)
        .ssl_mode(match target.tls.mode {
            TlsMode::Disable => MySqlSslMode::Disabled,
            TlsMode::Prefer => MySqlSslMode::Preferred,
            TlsMode::Require => MySqlSslMode::Required,
            TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
            TlsMode::VerifyFull => MySqlSslMode::VerifyIdentity,
        })
        .disable_statement_logging();
    options = match address {
        Address::Ip(_) if target.tls.mode == TlsMode::VerifyFull => options.host(&target.host),
        Address::Ip(address) => options.host(&address.to_string()),
        Address::SocketFolder(folder) => options.socket(socket(folder)),
    };
    if !target.database.is_empty() {
        options = options.database(&target.database);
    }
    if let Some(password) = &target.secrets.password {
        options = options.password(password.expose_secret());
    }
    if let Some(pem) = &target.tls.ca_pem {
        options = options.ssl_ca_from_pem(pem.as_bytes().to_vec());
    }
    if let Some(pem) = &target.tls.client_certificate_pem {
        options = options.ssl_client_cert_from_pem(pem);
    }
    if let Some(pem) = &target.secrets.client_key_pem {
        options = options.ssl_client_key_from_pem(pem.expose_secret());
    }
    options
}

/// The socket in a folder, by the names that servers give it; the path itself when it is no folder.
fn socket(folder: &Path) -> PathBuf {
    if !folder.is_dir() {
        return folder.to_owned();
    }
    let names = ["mysqld.sock", "mysql.sock", "mariadb.sock"].map(|name| folder.join(name));
    names.iter().find(|path| path.exists()).unwrap_or(&names[0]).clone()
}

/// What the server calls itself, such as `10.11.19-MariaDB-0+deb12u1` or `8.4.1`, in people's words; an error when it is
/// too old.
fn product(version: &str) -> Result<(Product, String), Error> {
    let product = if version.contains("MariaDB") { Product::Mariadb } else { Product::Mysql };
    let number = version.split('-').next().unwrap_or_default();
    let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let number_read = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (name, oldest) = match product {
        Product::Mysql => ("MySQL", (8, 0)),
        Product::Mariadb => ("MariaDB", (10, 6)),
    };
    if number_read < oldest {
        return Err(Error::Protocol(format!("{name} {number} is older than {}.{}", oldest.0, oldest.1)));
    }
    Ok((product, format!("{name} {number}")))
}

/// Asks for everything that was set, and for the open database, as one text.
fn settings_query(product: Product) -> String {
    let by_product = match product {
        Product::Mysql => {
            "@@SESSION.transaction_read_only, @@SESSION.max_execution_time, @@SESSION.cte_max_recursion_depth"
        }
        Product::Mariadb => "@@SESSION.tx_read_only, @@SESSION.max_statement_time, @@SESSION.max_recursive_iterations",
    };
    format!(
        "SELECT CONCAT_WS('|', {by_product}, @@SESSION.autocommit, @@SESSION.sql_auto_is_null, \
         @@SESSION.sql_select_limit, @@SESSION.sql_mode, @@SESSION.group_concat_max_len, @@SESSION.lock_wait_timeout, \
         @@SESSION.innodb_lock_wait_timeout, @@SESSION.net_write_timeout, @@SESSION.time_zone, \
         @@SESSION.character_set_client, @@SESSION.character_set_connection, @@SESSION.character_set_results, \
         CONNECTION_ID(), IFNULL(DATABASE(), ''))"
    )
}

fn settings_of(rows: &[MySqlRow]) -> String {
    rows.last().and_then(|row| text(row, 0)).unwrap_or_default()
}

fn whole_seconds(time: Duration) -> u64 {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    seconds.clamp(1, LONGEST_SECONDS)
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Server")
            .field("host", &self.target.host)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_apart_and_old_ones_refused() {
        let named = |version: &str| product(version).map(|(_, name)| name);
        assert_eq!(named("10.11.19-MariaDB-0+deb12u1").unwrap(), "MariaDB 10.11.19");
        assert_eq!(named("11.4.2-MariaDB").unwrap(), "MariaDB 11.4.2");
        assert_eq!(named("8.4.1").unwrap(), "MySQL 8.4.1");
        assert_eq!(named("8.0.36-0ubuntu0.22.04.1").unwrap(), "MySQL 8.0.36");
        for old in ["10.5.9-MariaDB", "5.7.44-log", "what"] {
            assert!(matches!(named(old), Err(Error::Protocol(_))), "{old}");
        }
    }

    #[test]
    fn a_socket_is_found_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(socket(folder.path()), folder.path().join("mysqld.sock"));
        std::fs::write(folder.path().join("mysql.sock"), "").unwrap();
        assert_eq!(socket(folder.path()), folder.path().join("mysql.sock"));
        assert_eq!(socket(&folder.path().join("mysql.sock")), folder.path().join("mysql.sock"));
    }

    #[test]
    fn timeouts_are_whole_seconds_and_never_none() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1_001)), 2);
        assert_eq!(whole_seconds(Duration::MAX.saturating_sub(Duration::from_secs(1))), LONGEST_SECONDS);
    }
}
