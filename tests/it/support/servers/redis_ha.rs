//! Several Redis servers that stand in for each other: a master and a replica that three sentinels watch, and a Cluster of
//! three nodes. Gone when dropped.

use std::time::{Duration, Instant};

use super::keeper::{Keeper, free_port, program};
use super::redis::RedisServer;

/// A fail-over, and the making of a Cluster, are done long before this. Sentinels that are late for two seconds do nothing
/// for thirty.
const PATIENCE: Duration = Duration::from_mins(3);

/// A master, a replica, and three sentinels.
pub struct Sentinels {
    pub servers: [RedisServer; 2],
    watchers: Vec<(u16, Keeper)>,
    /// Of the sentinels, and of the servers; empty for none.
    passwords: [String; 2],
}

impl Sentinels {
    /// All of them, up and aware of each other.
    pub async fn start() -> Self {
        Self::start_with_passwords("", "").await
    }

    /// The same where the sentinels and the servers ask for a password; empty for none.
    pub async fn start_with_passwords(of_sentinels: &str, of_servers: &str) -> Self {
        let settings = ["--appendonly", "yes", "--requirepass", of_servers, "--masterauth", of_servers];
        let master = RedisServer::start(&settings).await;
        let follows = ["--replicaof", "127.0.0.1", &master.port.to_string()];
        let replica = RedisServer::start(&[&settings[..], &follows].concat()).await;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let port = free_port();
            let command = |folder: &std::path::Path| {
                let file = folder.join("sentinel.conf").to_str().unwrap().to_owned();
                vec![program("redis-server").to_str().unwrap().to_owned(), file, "--sentinel".to_owned()]
            };
            let keeper = Keeper::new("redis", "KILL", command).await;
            let settings = format!(
                "bind 127.0.0.1\nport {port}\nsentinel monitor pulse 127.0.0.1 {} 2\n\
                 sentinel down-after-milliseconds pulse 1000\nsentinel failover-timeout pulse 4000\n\
                 requirepass \"{of_sentinels}\"\nsentinel sentinel-pass \"{of_sentinels}\"\n\
                 sentinel auth-pass pulse \"{of_servers}\"\n",
                master.port
            );
            keeper.write("sentinel.conf", &settings);
            keeper.start().await;
            sentinels.push((port, keeper));
        }
        let passwords = [of_sentinels, of_servers].map(str::to_owned);
        let all = Self { servers: [master, replica], watchers: sentinels, passwords };
        all.until("the sentinels know each other and the replica", async || {
            for (port, _) in &all.watchers {
                let said = all.ask(*port, &["SENTINEL", "MASTER", "pulse"]).await.unwrap_or_default();
                let words: Vec<&str> = said.lines().map(str::trim).collect();
                let told = |name: &str| words.iter().position(|word| *word == name).map(|at| words[at + 1]);
                if told("num-other-sentinels") != Some("2") || told("num-slaves") != Some("1") {
                    return false;
                }
            }
            true
        })
        .await;
        all.is_followed(&all.servers[0]).await;
        all
    }

    /// Until the other server has all that this one had, and goes on with it.
    async fn is_followed(&self, master: &RedisServer) {
        let says = async |server: &RedisServer, what: &str| {
            let said = ask(server.port, &self.passwords[1], &["INFO", "replication"]).await;
            said.is_ok_and(|said| said.contains(what))
        };
        let other = self.servers.iter().find(|server| server.port != master.port).unwrap();
        self.until("the replica has caught up", async || {
            says(other, "master_link_status:up").await && says(master, "state=online").await
        })
        .await;
    }

    pub fn url(&self) -> String {
        let [first, rest @ ..] = self.watchers.as_slice() else { unreachable!("there are three") };
        let nodes: Vec<String> = rest.iter().map(|(port, _)| format!("&node=127.0.0.1:{port}")).collect();
        format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName=pulse{}", first.0, nodes.concat())
    }

    /// kill -9 for the master; returns when the other one has taken over and the old one follows it.
    pub async fn fail_over(&self) {
        let before = self.master().await;
        let index = self.servers.iter().position(|server| server.port == before).unwrap();
        self.servers[index].kill().await;
        self.until("the replica is promoted", async || self.master().await != before).await;
        let (old, other) = (&self.servers[index], &self.servers[1 - index]);
        old.restart().await;
        // The sentinels would do this as well, in their time.
        ask(old.port, &self.passwords[1], &["REPLICAOF", "127.0.0.1", &other.port.to_string()]).await.unwrap();
        self.is_followed(other).await;
    }

    async fn master(&self) -> u16 {
        let said = self.ask(self.watchers[0].0, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "pulse"]).await.unwrap();
        said.lines().nth(1).unwrap().trim().parse().unwrap()
    }

    async fn ask(&self, port: u16, words: &[&str]) -> Result<String, String> {
        ask(port, &self.passwords[0], words).await
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        until(what, holds).await;
    }
}

/// Asks a server, with the password unless it is empty.
async fn ask(port: u16, password: &str, words: &[&str]) -> Result<String, String> {
    let login = ["--no-auth-warning", "-a", password];
    RedisServer::ask(port, &[if password.is_empty() { &[] } else { &login[..] }, words].concat()).await
}

/// Three nodes that share the slots.
pub struct Cluster {
    pub nodes: Vec<RedisServer>,
}

impl Cluster {
    pub async fn start() -> Self {
        let settings = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1000",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ];
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(RedisServer::start(&settings).await);
        }
        let places: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let mut words = vec!["--cluster", "create"];
        words.extend(places.iter().map(String::as_str));
        words.push("--cluster-yes");
        nodes[0].cli(&words).await;
        let cluster = Self { nodes };
        cluster.is_whole().await;
        cluster
    }

    pub fn url(&self) -> String {
        let [first, second, third] = [0, 1, 2].map(|node| self.nodes[node].port);
        format!("redis-cluster://127.0.0.1:{first}?node=127.0.0.1:{second}&node=127.0.0.1:{third}")
    }

    /// Waits until every node says that the Cluster is whole.
    pub async fn is_whole(&self) {
        until("the Cluster is whole", async || {
            for node in &self.nodes {
                if !node.cli(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok") {
                    return false;
                }
            }
            true
        })
        .await;
    }
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "{what} in time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
