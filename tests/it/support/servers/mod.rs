//! Real database servers: one of each for the whole test process, started when first asked for, and one of its own
//! for a test that stops, breaks or reconfigures it. `keeper` says how they end.
//!
//! ```ignore
//! let database = servers::postgres().await.fresh_database("orders").await;
//! database.admin("CREATE TABLE t (n int)").await;
//! let url = database.url(READ_ONLY);
//! ```

mod certificates;
mod envoy;
mod keeper;
mod mariadb;
mod postgres;
mod redis;
mod redis_ha;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::process::Command;
use tokio::sync::OnceCell;

pub use certificates::CERTIFICATES;
pub use envoy::Gateway;
use keeper::Keeper;
pub use keeper::free_port;
pub use redis::{ENCRYPTION_KEY, RedisServer};
pub use redis_ha::{Cluster, Sentinels};

/// Where every server listens. Certificates are for this name and not for 127.0.0.1, where it leads.
pub const HOST: &str = "localhost";

/// An account of every server.
#[derive(Debug, Clone, Copy)]
pub struct User {
    pub name: &'static str,
    pub password: &'static str,
}

/// May do everything.
pub const ADMIN: User = User { name: "pulse_admin", password: "admin-secret" };
/// Owns the databases of [`DatabaseServer::fresh_database`].
pub const READ_WRITE: User = User { name: "pulse_rw", password: "rw-secret" };
/// May select from everything in them.
pub const READ_ONLY: User = User { name: "pulse_ro", password: "ro-secret" };
/// The same, and comes in only over TLS with a client certificate. MariaDB also asks for the password.
pub const CERTIFICATE: User = User { name: "pulse_cert", password: "cert-secret" };

/// A server is up, or has a reason not to be, long before this.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server.
pub struct DatabaseServer {
    pub port: u16,
    kind: &'static dyn Kind,
    keeper: Keeper,
}

/// A server for one test, which may do to it what it wants. Gone when dropped.
pub struct OwnServer(DatabaseServer);

/// A database on a server. It stays until the server goes.
pub struct Database<'a> {
    pub name: String,
    pub server: &'a DatabaseServer,
}

/// A session in the server's own list, in the server's own words.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Session {
    pub id: i64,
    pub user_name: String,
    pub database_name: Option<String>,
    /// PostgreSQL only.
    pub application_name: Option<String>,
    /// PostgreSQL: `active`, `idle`, `idle in transaction` and others. MariaDB: `Query`, `Sleep` and others.
    pub state: Option<String>,
    /// The statement; on PostgreSQL the last one, when the session is idle.
    pub query: Option<String>,
}

/// The PostgreSQL server that all tests share.
pub async fn postgres() -> &'static DatabaseServer {
    static SERVER: OnceCell<DatabaseServer> = OnceCell::const_new();
    SERVER.get_or_init(|| DatabaseServer::new(&postgres::Postgres, &[])).await
}

/// The MariaDB server that all tests share.
pub async fn mariadb() -> &'static DatabaseServer {
    static SERVER: OnceCell<DatabaseServer> = OnceCell::const_new();
    SERVER.get_or_init(|| DatabaseServer::new(&mariadb::MariaDb, &[])).await
}

/// A PostgreSQL server of its own, with lines added to `postgresql.conf`, such as `["ssl = off"]`.
pub async fn postgres_of_its_own(settings: &[&str]) -> OwnServer {
    OwnServer(DatabaseServer::new(&postgres::Postgres, settings).await)
}

/// A MariaDB server of its own, with lines added to its settings, such as `["skip_ssl"]`.
pub async fn mariadb_of_its_own(settings: &[&str]) -> OwnServer {
    OwnServer(DatabaseServer::new(&mariadb::MariaDb, settings).await)
}

/// The sample database Chinook on the shared PostgreSQL server. It is loaded once: leave it as it is.
pub async fn chinook_postgres() -> &'static Database<'static> {
    static DATABASE: OnceCell<Database<'static>> = OnceCell::const_new();
    DATABASE.get_or_init(|| async { chinook(postgres().await, "chinook_postgres.sql").await }).await
}

/// The same on the shared MariaDB server.
pub async fn chinook_mariadb() -> &'static Database<'static> {
    static DATABASE: OnceCell<Database<'static>> = OnceCell::const_new();
    DATABASE.get_or_init(|| async { chinook(mariadb().await, "chinook_mysql.sql").await }).await
}

/// The same as an SQLite file, which is not to be written to.
pub fn chinook_sqlite() -> PathBuf {
    chinook_file("chinook.sqlite")
}

async fn chinook(server: &'static DatabaseServer, file: &str) -> Database<'static> {
    let mut script = std::fs::read_to_string(chinook_file(file)).unwrap();
    if server.kind.scheme() == "mysql" {
        // Four tracks have a backslash in their name, which the script means as it stands.
        script.insert_str(0, "SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES');\n");
    }
    let database = server.fresh_database("chinook").await;
    run(server.client(READ_WRITE, &database.name), &script).await;
    database
}

fn chinook_file(file: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/demo/chinook").join(file);
    assert!(path.is_file(), "{} is missing: the tests need the folder `shared` beside the repository", path.display());
    path
}

impl DatabaseServer {
    async fn new(kind: &'static dyn Kind, settings: &[&str]) -> Self {
        let template = kind.template().get_or_init(|| make_template(kind)).await;
        let port = free_port();
        let command = |folder: &Path| kind.command(folder, port);
        let keeper = Keeper::new(kind.account(), kind.last_signal(), command).await;
        let data = template.folder().join("data");
        keeper.run("cp", &["-a", data.to_str().unwrap(), "."], "").await;
        let file = kind.settings_file();
        let common = std::fs::read_to_string(keeper.folder().join(file)).unwrap();
        keeper.write(file, &format!("{common}{}\n", settings.join("\n")));
        let server = Self { port, kind, keeper };
        server.start().await;
        server
    }

    /// What a connection is made with: over TCP, to [`HOST`].
    pub fn url(&self, user: User, database: &str) -> String {
        let User { name, password } = user;
        format!("{}://{name}:{password}@{HOST}:{}/{database}", self.kind.scheme(), self.port)
    }

    /// The folder of the Unix socket, as PostgreSQL's clients want it.
    pub fn socket_folder(&self) -> &Path {
        self.keeper.folder()
    }

    /// The Unix socket itself, as MariaDB's clients want it.
    pub fn socket(&self) -> PathBuf {
        self.kind.socket(self.keeper.folder(), self.port)
    }

    /// `psql` or `mariadb`, over the socket, printing bare values (NULL as `NULL`) of the SQL on its standard input.
    pub fn client(&self, user: User, database: &str) -> Command {
        let mut command = Command::from(self.kind.client(self.keeper.folder(), self.port, user, database));
        command.kill_on_drop(true);
        command
    }

    /// Runs statements as the admin in the server's own database (`postgres`, `mysql`); what the client prints.
    pub async fn admin(&self, sql: &str) -> String {
        run(self.client(ADMIN, self.kind.own_database()), sql).await
    }

    /// A new, empty database whose name starts like this.
    pub async fn fresh_database(&self, prefix: &str) -> Database<'_> {
        let name = format!("{prefix}_{}", uuid::Uuid::now_v7().simple());
        self.admin(&self.kind.create_database(&name)).await;
        Database { name, server: self }
    }

    /// The sessions that meet an SQL condition over the fields of [`Session`], without the one that asks.
    pub async fn sessions(&self, condition: &str) -> Vec<Session> {
        let lines = self.admin(&self.kind.sessions(condition)).await;
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until as many sessions meet the condition.
    pub async fn until_sessions(&self, condition: &str, count: usize) {
        let begun = Instant::now();
        loop {
            let sessions = self.sessions(condition).await;
            if sessions.len() == count {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{count} sessions where {condition}, not {sessions:#?}");
            pause().await;
        }
    }

    async fn start(&self) {
        self.keeper.start().await;
        let begun = Instant::now();
        while keeper::run(self.client(ADMIN, self.kind.own_database()), "SELECT 1;").await.is_err() {
            let alive = self.keeper.is_alive().await;
            if !alive || begun.elapsed() > PATIENCE {
                let what = if alive { "does not answer" } else { "has ended" };
                panic!("the {} server {what}; it said last:\n{}", self.kind.name(), self.keeper.log_tail());
            }
            pause().await;
        }
    }
}

impl OwnServer {
    /// Stops it as an administrator would; its sessions are ended.
    pub async fn stop(&self) {
        self.0.keeper.stop(self.0.kind.stop_signal()).await;
    }

    /// kill -9: its sessions end without a word.
    pub async fn kill(&self) {
        self.0.keeper.kill().await;
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill`], on the same port with the same data.
    pub async fn start(&self) {
        self.0.start().await;
    }
}

impl Deref for OwnServer {
    type Target = DatabaseServer;

    fn deref(&self) -> &DatabaseServer {
        &self.0
    }
}

impl Database<'_> {
    pub fn url(&self, user: User) -> String {
        self.server.url(user, &self.name)
    }

    /// Runs statements as the admin in this database; what the client prints.
    pub async fn admin(&self, sql: &str) -> String {
        self.run_as(ADMIN, sql).await
    }

    /// Runs statements as somebody in this database; what the client prints.
    pub async fn run_as(&self, user: User, sql: &str) -> String {
        run(self.server.client(user, &self.name), sql).await
    }

    /// The same when it may fail; an error is what the client complains about.
    pub async fn attempt(&self, user: User, sql: &str) -> Result<String, String> {
        keeper::run(self.server.client(user, &self.name), sql).await
    }

    /// The sessions in this database, without the one that asks.
    pub async fn sessions(&self) -> Vec<Session> {
        self.server.sessions(&self.its_sessions()).await
    }

    /// Waits until as many sessions are in this database.
    pub async fn until_sessions(&self, count: usize) {
        self.server.until_sessions(&self.its_sessions(), count).await;
    }

    fn its_sessions(&self) -> String {
        format!("database_name = '{}'", self.name)
    }
}

/// What differs between the servers.
#[async_trait::async_trait]
trait Kind: Sync {
    fn name(&self) -> &'static str;
    /// The system account that the server's package makes.
    fn account(&self) -> &'static str;
    fn scheme(&self) -> &'static str;
    fn own_database(&self) -> &'static str;
    fn stop_signal(&self) -> &'static str;
    fn last_signal(&self) -> &'static str;
    fn settings_file(&self) -> &'static str;
    fn socket(&self, folder: &Path, port: u16) -> PathBuf;
    /// The installed data folder, made once a process.
    fn template(&self) -> &'static OnceCell<Keeper>;
    /// Makes the folder `data`, with users, certificates and settings.
    async fn install(&self, template: &Keeper);
    fn command(&self, folder: &Path, port: u16) -> Vec<String>;
    fn client(&self, folder: &Path, port: u16, user: User, database: &str) -> std::process::Command;
    fn create_database(&self, name: &str) -> String;
    /// Selects [`Session`]s as JSON objects, one a line.
    fn sessions(&self, condition: &str) -> String;
}

async fn make_template(kind: &'static dyn Kind) -> Keeper {
    let template = Keeper::new(kind.account(), kind.last_signal(), |_| Vec::new()).await;
    kind.install(&template).await;
    template
}

async fn run(client: Command, sql: &str) -> String {
    keeper::run(client, sql).await.unwrap_or_else(|complaint| panic!("{complaint}\n{sql}"))
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}
