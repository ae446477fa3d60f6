//! How a PostgreSQL server is made, run and asked.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::sync::OnceCell;

use super::keeper::{Keeper, plain, program};
use super::{ADMIN, CERTIFICATE, CERTIFICATES, Kind, READ_ONLY, READ_WRITE, User};

pub struct Postgres;

/// Durable nothing, small everything: these servers live for one run.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
max_connections = 60
shared_buffers = 32MB
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
autovacuum = off
timezone = 'UTC'
log_timezone = 'UTC'
ssl = on
ssl_ca_file = 'authority.pem'
ssl_cert_file = 'server.pem'
ssl_key_file = 'server-key.pem'
";

const SESSIONS: &str = "
SELECT pid AS id, usename AS user_name, datname AS database_name, application_name, state, query
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";

#[async_trait::async_trait]
impl Kind for Postgres {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn account(&self) -> &'static str {
        "postgres"
    }

    fn scheme(&self) -> &'static str {
        "postgres"
    }

    fn own_database(&self) -> &'static str {
        "postgres"
    }

    /// A fast shutdown: sessions are told to end.
    fn stop_signal(&self) -> &'static str {
        "INT"
    }

    /// An immediate shutdown, which unlike kill -9 also frees shared memory.
    fn last_signal(&self) -> &'static str {
        "QUIT"
    }

    fn settings_file(&self) -> &'static str {
        "data/postgresql.conf"
    }

    fn socket(&self, folder: &Path, port: u16) -> PathBuf {
        folder.join(format!(".s.PGSQL.{port}"))
    }

    fn template(&self) -> &'static OnceCell<Keeper> {
        static TEMPLATE: OnceCell<Keeper> = OnceCell::const_new();
        &TEMPLATE
    }

    async fn install(&self, template: &Keeper) {
        let password = template.write("password", ADMIN.password);
        let flags = ["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--pgdata=data"];
        let users = [format!("--username={}", ADMIN.name), format!("--pwfile={}", password.display())];
        let arguments: Vec<&str> = flags.into_iter().chain(users.iter().map(String::as_str)).collect();
        template.run(program("initdb"), &arguments, "").await;
        template.write(self.settings_file(), SETTINGS);
        template.write("data/pg_hba.conf", &host_rules());
        template.write("data/authority.pem", &CERTIFICATES.authority);
        template.write("data/server.pem", &CERTIFICATES.server);
        template.write("data/server-key.pem", &CERTIFICATES.server_key);
        // One statement a line, on a server without clients. It goes on after an error, so its words are read.
        let said = template.run(program("postgres"), &["--single", "-D", "data", "template1"], &users_sql()).await;
        assert!(!said.contains("ERROR"), "PostgreSQL refuses the users of the tests:\n{said}");
    }

    fn command(&self, folder: &Path, port: u16) -> Vec<String> {
        let folder = folder.display();
        vec![
            program("postgres").display().to_string(),
            format!("-D{folder}/data"),
            format!("-k{folder}"),
            format!("-p{port}"),
        ]
    }

    fn client(&self, folder: &Path, port: u16, user: User, database: &str) -> Command {
        let mut command = Command::new(program("psql"));
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--pset=null=NULL"]);
        command.arg("--set=ON_ERROR_STOP=1").arg(format!("--host={}", folder.display())).arg(format!("--port={port}"));
        command.arg(format!("--username={}", user.name)).arg(format!("--dbname={database}"));
        plain(&mut command).env("PGPASSWORD", user.password);
        command
    }

    fn create_database(&self, name: &str) -> String {
        format!("CREATE DATABASE {name} OWNER {};", READ_WRITE.name)
    }

    fn sessions(&self, condition: &str) -> String {
        format!("SELECT row_to_json(session) FROM ({SESSIONS}) AS session WHERE {condition};")
    }
}

/// Who may come in, and how.
fn host_rules() -> String {
    format!(
        "local all all scram-sha-256\n\
         hostssl all {0} 127.0.0.1/32 cert\n\
         host all {0} 127.0.0.1/32 reject\n\
         host all all 127.0.0.1/32 scram-sha-256\n",
        CERTIFICATE.name
    )
}

/// The users, and what they may do with whatever is made in databases to come.
fn users_sql() -> String {
    let mut sql = String::new();
    for user in [READ_WRITE, READ_ONLY, CERTIFICATE] {
        let _ = writeln!(sql, "CREATE ROLE {} LOGIN PASSWORD '{}';", user.name, user.password);
    }
    let _ = writeln!(sql, "GRANT {} TO {};", READ_ONLY.name, CERTIFICATE.name);
    let makers = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {}, {} GRANT", ADMIN.name, READ_WRITE.name);
    for things in ["TABLES", "SEQUENCES", "SCHEMAS"] {
        let _ = writeln!(sql, "{makers} ALL ON {things} TO {};", READ_WRITE.name);
    }
    let _ = writeln!(sql, "{makers} SELECT ON TABLES TO {0};\n{makers} USAGE ON SCHEMAS TO {0};", READ_ONLY.name);
    sql
}
