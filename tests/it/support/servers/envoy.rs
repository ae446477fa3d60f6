//! A real Envoy in front of servers, as `scripts/gateway` runs it. Gone when dropped.
//!
//! ```ignore
//! let gateway = Gateway::before(&[server.address], &["--origin", "https://app.example.org"]).await;
//! let page = format!("http://{}/", gateway.address);
//! ```

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tonic::transport::Channel;

use super::keeper::{Keeper, free_port};

/// It is up, or has a reason not to be, long before this.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct Gateway {
    /// Where it listens, on loopback.
    pub address: SocketAddr,
    keeper: Keeper,
}

impl Gateway {
    /// A running one in front of these servers, with options of `scripts/gateway`.
    pub async fn before(servers: &[SocketAddr], options: &[&str]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let servers = servers.iter().map(SocketAddr::to_string);
        let options = options.iter().map(|&option| option.to_owned());
        let listen = ["--listen".to_owned(), address.to_string()];
        let envoy = ["--", "--concurrency", "1"].map(str::to_owned);
        let arguments = listen.into_iter().chain(options).chain(servers).chain(envoy);
        let command: Vec<String> = program().into_iter().chain(arguments).collect();
        let gateway = Self { address, keeper: Keeper::of_ours("envoy", "TERM", |_| command) };
        gateway.keeper.start().await;
        let begun = Instant::now();
        // It listens once it knows of each server whether it is ready.
        while TcpStream::connect(address).await.is_err() {
            let waits = gateway.keeper.is_alive().await && begun.elapsed() < PATIENCE;
            assert!(waits, "Envoy does not start; it said last:\n{}", gateway.keeper.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        gateway
    }

    pub async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    /// The access log's entry about the request with this id, once it is written.
    pub async fn logged(&self, request_id: &str) -> serde_json::Value {
        let begun = Instant::now();
        loop {
            let log = self.keeper.log();
            let entries = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            if let Some(entry) = entries.into_iter().find(|entry| entry["request_id"] == request_id) {
                return entry;
            }
            assert!(begun.elapsed() < PATIENCE, "no entry of {request_id}:\n{}", self.keeper.log_tail());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What `scripts/gateway` complains about with these arguments.
    pub async fn complaint(arguments: &[&str]) -> String {
        let program = program();
        let mut command = tokio::process::Command::new(&program[0]);
        let output = command.args(&program[1..]).args(arguments).kill_on_drop(true).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// The script, with the Envoy of `scripts/test` and this build of `pulse` on its path.
fn program() -> Vec<String> {
    let python = std::env::var_os("PULSE_TEST_PYTHON").expect("PULSE_TEST_PYTHON is not set: run scripts/test");
    let folder = |program: &Path| program.parent().unwrap().display().to_string();
    let folders = [folder(Path::new(&python)), folder(Path::new(env!("CARGO_BIN_EXE_pulse")))];
    let path = format!("PATH={}:{}", folders.join(":"), std::env::var("PATH").unwrap_or_default());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/gateway");
    ["/usr/bin/env".to_owned(), path, script.to_owned()].into()
}
