//! A shell that keeps a folder and the server in it, so that neither outlives this process.
//!
//! The shell waits on a pipe whose other end is ours. However this process ends (done, panic, kill -9), the pipe
//! closes; then the shell kills the server and removes the folder. It has a process group of its own, so that ctrl-C
//! in a terminal reaches it only by way of the pipe.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// `$1` is the folder, `$2` the signal that ends the server at the last, the rest its command. Every order is answered
/// with one line. A process is alive while `/proc` knows its program, which it does not of a zombie.
const SCRIPT: &str = r#"
folder=$1 last=$2; shift 2; server=
while read -r order signal; do
  answer=done
  case $order in
    start) "$@" >>"$folder/log" 2>&1 </dev/null & server=$! ;;
    alive) [ -e "/proc/$server/exe" ] || answer=dead ;;
    stop) kill -"$signal" "$server"; wait "$server"; server= ;;
    signal) kill -"$signal" "$server" ;;
    kill)
      family="$server $(cat "/proc/$server/task/$server/children")"
      kill -KILL $family; wait "$server"; server=
      for process in $family; do while [ -e "/proc/$process/exe" ]; do sleep 0.01; done; done ;;
  esac
  echo "$answer"
done
[ -z "$server" ] || { kill -"$last" "$server"; wait "$server"; }
rm -rf "$folder"
"#;

/// A folder that only the keeping shell's account and root can write to, and maybe a server in it. Goes when dropped.
pub struct Keeper {
    folder: PathBuf,
    account: Option<Account>,
    shell: Arc<Mutex<Shell>>,
}

struct Shell {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// Who runs a server when the tests run as root, whom PostgreSQL refuses: the account its package made.
#[derive(Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Keeper {
    /// A new folder of the account that the server's package made. `command` is what [`Self::start`] runs, given the
    /// folder.
    pub async fn new(name: &str, last_signal: &str, command: impl FnOnce(&Path) -> Vec<String>) -> Self {
        Self::with(name, Account::named(name).await, last_signal, command)
    }

    /// The same for a server without an account: it runs as whoever runs the tests.
    pub fn of_ours(name: &str, last_signal: &str, command: impl FnOnce(&Path) -> Vec<String>) -> Self {
        Self::with(name, None, last_signal, command)
    }

    fn with(
        name: &str,
        account: Option<Account>,
        last_signal: &str,
        command: impl FnOnce(&Path) -> Vec<String>,
    ) -> Self {
        // Directly in /tmp: a socket's path may have 107 bytes, and every account may go there.
        let folder = tempfile::Builder::new().prefix(&format!("pulse-{name}-")).tempdir_in("/tmp").unwrap().keep();
        std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", SCRIPT, "keeper"]).arg(&folder).arg(last_signal).args(command(&folder));
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).current_dir("/").process_group(0);
        if let Some(Account { user, group }) = account {
            chown(&folder, Some(user), Some(group)).unwrap();
            shell.uid(user).gid(group);
        }
        let mut process = plain(&mut shell).spawn().unwrap();
        let (orders, answers) = (process.stdin.take(), BufReader::new(process.stdout.take().unwrap()));
        Self { folder, account, shell: Arc::new(Mutex::new(Shell { process, orders, answers })) }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file that only the folder's account can read.
    pub fn write(&self, file: &str, text: &str) -> PathBuf {
        let path = self.folder.join(file);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        if let Some(Account { user, group }) = self.account {
            chown(&path, Some(user), Some(group)).unwrap();
        }
        path
    }

    /// Runs a program as the folder's account.
    pub async fn run(&self, program: impl AsRef<OsStr>, arguments: &[&str], input: &str) -> String {
        let mut command = std::process::Command::new(program);
        command.args(arguments).current_dir(&self.folder);
        if let Some(Account { user, group }) = self.account {
            command.uid(user).gid(group);
        }
        plain(&mut command);
        run(command.into(), input).await.unwrap_or_else(|complaint| panic!("{complaint}"))
    }

    pub async fn start(&self) {
        self.order("start").await;
    }

    pub async fn is_alive(&self) -> bool {
        self.order("alive").await == "done"
    }

    /// Sends the server a signal and waits until it has ended.
    pub async fn stop(&self, signal: &str) {
        self.order(&format!("stop {signal}")).await;
    }

    /// Sends the server a signal that it lives on with.
    pub async fn signal(&self, signal: &str) {
        self.order(&format!("signal {signal}")).await;
    }

    /// kill -9 for the server and its processes; waits until they are gone.
    pub async fn kill(&self) {
        self.order("kill").await;
    }

    /// The last lines of what the server said.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// All that the server said.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The pipes are plain ones, on a thread that may block: a server lives longer than one test's runtime.
    async fn order(&self, order: &str) -> String {
        let (shell, order) = (self.shell.clone(), format!("{order}\n"));
        let obey = move || {
            let mut shell = shell.lock().unwrap();
            shell.orders.as_mut().unwrap().write_all(order.as_bytes()).unwrap();
            let mut answer = String::new();
            shell.answers.read_line(&mut answer).unwrap();
            answer.trim().to_owned()
        };
        tokio::task::spawn_blocking(obey).await.unwrap()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let Ok(mut shell) = self.shell.lock() else { return };
        shell.orders = None;
        let _ = shell.process.wait();
    }
}

impl Account {
    async fn named(name: &str) -> Option<Self> {
        if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
            return None;
        }
        let mut ids = [0; 2];
        for (id, flag) in ids.iter_mut().zip(["-u", "-g"]) {
            let mut command = Command::new("id");
            command.args([flag, name]);
            let told = run(command, "").await.unwrap_or_else(|_| panic!("no account `{name}`: run scripts/test"));
            *id = told.trim().parse().unwrap();
        }
        Some(Self { user: ids[0], group: ids[1] })
    }
}

/// Where a program of a database is. Debian keeps PostgreSQL's out of reach of `PATH`, and servers in `sbin`.
pub fn program(name: &str) -> PathBuf {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
    versions.sort_by_key(|version| version.file_name().to_string_lossy().parse::<u32>().ok());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let latest = versions.last().map(|version| version.path().join("bin"));
    latest
        .into_iter()
        .chain(std::env::split_paths(&path))
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("`{name}` is missing: scripts/test installs it"))
}

/// Takes the caller's settings away: none of them shall steer a server or a client.
pub fn plain(command: &mut std::process::Command) -> &mut std::process::Command {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C.UTF-8")
}

/// Runs a program to its end and gives what it printed, or what it complained about.
pub async fn run(mut command: Command, input: &str) -> Result<String, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let mut stdin = child.stdin.take().unwrap();
    // A program may end before it has read everything; its complaint says more than the broken pipe.
    let feed = async {
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.unwrap();
    let [printed, complaint] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    if output.status.success() { Ok(printed) } else { Err(format!("{:?}: {complaint}{printed}", command.as_std())) }
}

/// A free port whose ten-thousandth next one is free too, and none that the system gives to clients.
pub fn free_pair() -> u16 {
    const FIRST_OF_CLIENTS: u16 = 32_768;
    loop {
        let port = free_port();
        let second = port + 10_000;
        if second < FIRST_OF_CLIENTS && TcpListener::bind(("127.0.0.1", second)).is_ok() {
            return port;
        }
    }
}

/// A free port below those that connections get for themselves: nobody takes it while its server is down, and who
/// tries to connect does not end up connected to himself.
pub fn free_port() -> u16 {
    loop {
        let mut random = [0; 2];
        getrandom::fill(&mut random).unwrap();
        let port = 10_000 + u16::from_ne_bytes(random) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
