//! How a MariaDB server is made, run and asked.

use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::sync::OnceCell;

use super::keeper::{Keeper, plain, program};
use super::{ADMIN, CERTIFICATE, CERTIFICATES, Kind, READ_ONLY, READ_WRITE, User};

pub struct MariaDb;

/// Durable nothing, small everything: these servers live for one run. Paths are relative to the data folder.
const SETTINGS: &str = "[mariadbd]
bind_address = 127.0.0.1
skip_name_resolve
max_connections = 60
performance_schema = off
innodb_buffer_pool_size = 32M
innodb_log_file_size = 8M
innodb_flush_log_at_trx_commit = 0
innodb_doublewrite = off
character_set_server = utf8mb4
default_time_zone = +00:00
ssl_ca = authority.pem
ssl_cert = server.pem
ssl_key = server-key.pem
";

const SESSIONS: &str = "
SELECT id, user AS user_name, db AS database_name, NULL AS application_name, command AS state, info AS query
FROM information_schema.processlist WHERE id <> connection_id() AND user NOT IN ('system user', 'event_scheduler')";

#[async_trait::async_trait]
impl Kind for MariaDb {
    fn name(&self) -> &'static str {
        "MariaDB"
    }

    fn account(&self) -> &'static str {
        "mysql"
    }

    fn scheme(&self) -> &'static str {
        "mysql"
    }

    fn own_database(&self) -> &'static str {
        "mysql"
    }

    fn stop_signal(&self) -> &'static str {
        "TERM"
    }

    fn last_signal(&self) -> &'static str {
        "KILL"
    }

    fn settings_file(&self) -> &'static str {
        "data/mariadb.cnf"
    }

    fn socket(&self, folder: &Path, _port: u16) -> PathBuf {
        folder.join("mariadb.sock")
    }

    fn template(&self) -> &'static OnceCell<Keeper> {
        static TEMPLATE: OnceCell<Keeper> = OnceCell::const_new();
        &TEMPLATE
    }

    async fn install(&self, template: &Keeper) {
        let users = template.write("users.sql", &users_sql());
        let folder = template.folder().display();
        let [data, users] = [format!("--datadir={folder}/data"), format!("--extra-file={}", users.display())];
        let flags = ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"];
        let small = ["--skip-name-resolve", "--innodb-log-file-size=8M", &data, &users];
        template.run(program("mariadb-install-db"), &[&flags[..], &small[..]].concat(), "").await;
        template.write(self.settings_file(), SETTINGS);
        template.write("data/authority.pem", &CERTIFICATES.authority);
        template.write("data/server.pem", &CERTIFICATES.server);
        template.write("data/server-key.pem", &CERTIFICATES.server_key);
    }

    fn command(&self, folder: &Path, port: u16) -> Vec<String> {
        vec![
            program("mariadbd").display().to_string(),
            format!("--defaults-file={}", folder.join(self.settings_file()).display()),
            format!("--datadir={}", folder.join("data").display()),
            format!("--pid-file={}", folder.join("pid").display()),
            format!("--socket={}", self.socket(folder, port).display()),
            format!("--port={port}"),
        ]
    }

    fn client(&self, folder: &Path, port: u16, user: User, database: &str) -> Command {
        let mut command = Command::new(program("mariadb"));
        command.args(["--no-defaults", "--batch", "--raw", "--skip-column-names", "--default-character-set=utf8mb4"]);
        command.arg(format!("--socket={}", self.socket(folder, port).display())).arg(format!("--user={}", user.name));
        command.arg(format!("--database={database}"));
        plain(&mut command).env("MYSQL_PWD", user.password);
        command
    }

    fn create_database(&self, name: &str) -> String {
        let [read_write, read_only, certificate] = [READ_WRITE, READ_ONLY, CERTIFICATE].map(|user| user.name);
        format!(
            "CREATE DATABASE {name};
             GRANT ALL ON {name}.* TO {read_write};
             GRANT SELECT, SHOW VIEW ON {name}.* TO {read_only}, {certificate};"
        )
    }

    fn sessions(&self, condition: &str) -> String {
        let columns = ["id", "user_name", "database_name", "application_name", "state", "query"];
        let pairs = columns.map(|column| format!("'{column}', {column}")).join(", ");
        format!("SELECT json_object({pairs}) FROM ({SESSIONS}) AS session WHERE {condition};")
    }
}

fn users_sql() -> String {
    let [admin, read_write, read_only, certificate] = [ADMIN, READ_WRITE, READ_ONLY, CERTIFICATE]
        .map(|user| format!("{} IDENTIFIED BY '{}'", user.name, user.password));
    format!(
        "FLUSH PRIVILEGES;
         GRANT ALL ON *.* TO {admin} WITH GRANT OPTION;
         CREATE USER {read_write}, {read_only};
         CREATE USER {certificate} REQUIRE X509;
         DELETE FROM mysql.global_priv WHERE user = 'root';
         FLUSH PRIVILEGES;\n"
    )
}
