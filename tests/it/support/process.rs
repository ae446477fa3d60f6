//! The real program as a child process, for what only a process can show: kill -9, exit codes, two at once.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tonic::transport::Channel;

/// A running `pulse serve`. Dropping it kills it.
pub struct Process {
    pub address: SocketAddr,
    child: Child,
    log: Arc<Mutex<String>>,
}

/// The program with a clean environment: nothing of the caller's settings leaks in.
pub fn pulse() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulse"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).kill_on_drop(true);
    command.current_dir(std::env::temp_dir()).stdin(Stdio::null());
    command
}

impl Process {
    /// Starts `pulse serve` on a port of its choice and waits until it says that it serves. What it says later goes to the
    /// folder that `PULSE_TEST_LOGS` names, if it does.
    pub async fn serve(data_dir: &Path, flags: &[&str]) -> Self {
        Self::serve_with(data_dir, flags, &[]).await
    }

    /// The same with these variables in its environment.
    pub async fn serve_with(data_dir: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = pulse()
            .envs(environment.iter().copied())
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"])
            .arg(data_dir)
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        let address = loop {
            let line = tokio::time::timeout(Duration::from_mins(1), lines.next_line()).await;
            let line = line.expect("the server says that it serves within a minute").unwrap();
            let Some(line) = line else { panic!("the server ended before it served:\n{}", seen.join("\n")) };
            if let Ok(entry) = serde_json::from_str::<serde_json::Value>(&line)
                && entry["message"] == "serving"
            {
                break entry["address"].as_str().unwrap().parse().unwrap();
            }
            seen.push(line);
        };
        let mut file = std::env::var_os("PULSE_TEST_LOGS")
            .map(|folder| std::fs::File::create(Path::new(&folder).join(format!("{address}.log"))).unwrap());
        // Keeps the pipe drained, so that the server never blocks on a log line.
        let log = Arc::new(Mutex::new(seen.join("\n")));
        let kept = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(file) = &mut file {
                    writeln!(file, "{line}").unwrap();
                }
                *kept.lock().unwrap() += &(line + "\n");
            }
        });
        Self { address, child, log }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    /// kill -9, and waits until the process is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends it a signal, such as `TERM`, `STOP` or `CONT`.
    pub async fn signal(&self, signal: &str) {
        let told = Command::new("kill").args([&format!("-{signal}"), &self.id().to_string()]).status().await.unwrap();
        assert!(told.success());
    }

    pub fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Waits until the process ends by itself.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.expect("the process ends").unwrap()
    }
}

/// The Python of `scripts/test`, which has the packages of the examples.
pub fn python() -> Command {
    let python = std::env::var_os("PULSE_TEST_PYTHON").expect("PULSE_TEST_PYTHON is not set: run scripts/test");
    let mut command = Command::new(python);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).kill_on_drop(true);
    command.current_dir(std::env::temp_dir()).stdin(Stdio::null());
    command
}
