//! A Redis for one test, which may do to it what it wants. Gone when dropped.

use std::time::{Duration, Instant};

use tokio::process::Command;

use super::keeper::{self, Keeper, free_pair, free_port, program};

/// It is up, or has a reason not to be, long before this.
const PATIENCE: Duration = Duration::from_secs(30);

/// What servers on one Redis seal passwords with.
pub const ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

pub struct RedisServer {
    pub port: u16,
    keeper: Keeper,
}

impl RedisServer {
    /// A running server with these settings beside the usual ones, such as `["--appendonly", "yes"]`.
    pub async fn start(settings: &[&str]) -> Self {
        let server = Self::down(settings).await;
        server.restart().await;
        server
    }

    /// A running server that is this program: `redis-server-6.2` or `valkey-server`.
    pub async fn start_as(name: &str, settings: &[&str]) -> Self {
        let server = Self::down_as(name, settings).await;
        server.restart().await;
        server
    }

    /// One that does not run yet.
    pub async fn down(settings: &[&str]) -> Self {
        Self::down_as("redis-server", settings).await
    }

    async fn down_as(name: &str, settings: &[&str]) -> Self {
        // A node of a Cluster has a second port for the others.
        let port = if settings.contains(&"--cluster-enabled") { free_pair() } else { free_port() };
        let command = |folder: &std::path::Path| {
            let own = ["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"].map(str::to_owned);
            [vec![program(name).to_str().unwrap().to_owned()], own.to_vec(), vec![folder.to_str().unwrap().to_owned()]]
                .into_iter()
                .flatten()
                .chain(settings.iter().map(|setting| (*setting).to_owned()))
                .collect()
        };
        Self { port, keeper: Keeper::new("redis", "KILL", command).await }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on it speaks TLS as well, with this certificate and key; the port for it.
    pub async fn speak_tls(&self, certificate: &str, key: &str) -> u16 {
        let certificate = self.keeper.write("server.pem", certificate).to_str().unwrap().to_owned();
        let key = self.keeper.write("server.key", key).to_str().unwrap().to_owned();
        let port = free_port();
        let files = ["tls-cert-file", &certificate, "tls-key-file", &key, "tls-ca-cert-file", &certificate];
        let port_said = port.to_string();
        let rest = ["tls-auth-clients", "no", "tls-port", &port_said];
        let said = self.cli(&[&["CONFIG", "SET"], &files[..], &rest].concat()).await;
        assert_eq!(said.trim(), "OK");
        port
    }

    /// What `redis-cli` prints.
    pub async fn cli(&self, words: &[&str]) -> String {
        self.attempt(words).await.unwrap_or_else(|complaint| panic!("{words:?}: {complaint}"))
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill`], on the same port with the same folder.
    pub async fn restart(&self) {
        self.keeper.start().await;
        let begun = Instant::now();
        // One with a password says so, which will do.
        while !self.attempt(&["PING"]).await.is_ok_and(|said| said.contains("PONG") || said.contains("NOAUTH")) {
            let waits = self.keeper.is_alive().await && begun.elapsed() < PATIENCE;
            assert!(waits, "Redis does not start; it said last:\n{}", self.keeper.log_tail());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops it as an administrator would.
    pub async fn stop(&self) {
        self.keeper.stop("TERM").await;
    }

    /// kill -9.
    pub async fn kill(&self) {
        self.keeper.kill().await;
    }

    /// SIGSTOP: it neither answers nor refuses.
    pub async fn freeze(&self) {
        self.keeper.signal("STOP").await;
    }

    /// SIGCONT.
    pub async fn thaw(&self) {
        self.keeper.signal("CONT").await;
    }

    /// What `redis-cli` prints, or what it complains about, at any port.
    pub async fn ask(port: u16, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new(program("redis-cli"));
        command.args(["-p", &port.to_string()]).args(words).kill_on_drop(true);
        keeper::run(command, "").await
    }

    async fn attempt(&self, words: &[&str]) -> Result<String, String> {
        Self::ask(self.port, words).await
    }
}
