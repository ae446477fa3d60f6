//! A whole server in this process: the real composition on a real port, in a folder of its own.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use clap::Parser;
use pulse::app::App;
use pulse::config::Settings;
use pulse::demo::DATABASE_FILE;
use pulse::lifecycle::Lifecycle;
use pulse::pb::v1::connection_service_client::ConnectionServiceClient;
use pulse::pb::v1::knowledge_service_client::KnowledgeServiceClient;
use pulse::pb::v1::query_service_client::QueryServiceClient;
use pulse::pb::v1::workflow_service_client::WorkflowServiceClient;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::transport::Channel;

/// The server, its clients, and its folder. Dropping it stops the server.
pub struct Server {
    pub address: std::net::SocketAddr,
    pub channel: Channel,
    pub connections: ConnectionServiceClient<Channel>,
    pub knowledge: KnowledgeServiceClient<Channel>,
    pub queries: QueryServiceClient<Channel>,
    pub workflows: WorkflowServiceClient<Channel>,
    lifecycle: Lifecycle,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
    folder: Folder,
}

/// The demo database, made once: writing it again takes a fraction of making it.
static DEMO: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join(DATABASE_FILE);
    pulse::demo::create_if_absent(&file).unwrap();
    std::fs::read(file).unwrap()
});

/// A data folder that outlives a server, for tests that restart one.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// A folder in which the demo database is there already.
    pub fn with_demo() -> Self {
        let folder = Self::new();
        std::fs::write(folder.databases().join(DATABASE_FILE), &*DEMO).unwrap();
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The folder that SQLite connections may open files from.
    pub fn databases(&self) -> PathBuf {
        let folder = self.path().join("databases");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

impl Server {
    /// A server with nothing configured.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A server with these flags, such as `["--step-timeout", "1s"]`.
    pub async fn with(flags: &[&str]) -> Self {
        Self::on(Folder::new(), flags, false).await
    }

    /// A server with the demo database as the connection `demo`.
    pub async fn demo(flags: &[&str]) -> Self {
        Self::on(Folder::with_demo(), flags, true).await
    }

    /// A server on an existing folder.
    pub async fn on(folder: Folder, flags: &[&str], demo: bool) -> Self {
        let data_dir = folder.path().to_str().unwrap().to_owned();
        let own = ["pulse", "--data-dir", &data_dir];
        let settings = Flags::try_parse_from(own.iter().chain(flags)).unwrap().settings;
        let lifecycle = Lifecycle::default();
        let app = App::start(settings.check().unwrap(), &lifecycle).await.unwrap();
        if demo {
            app.add_demo().await.unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn({
            let lifecycle = lifecycle.clone();
            async move { app.serve(listener, &lifecycle).await }
        });
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self {
            address,
            connections: ConnectionServiceClient::new(channel.clone()),
            knowledge: KnowledgeServiceClient::new(channel.clone()),
            queries: QueryServiceClient::new(channel.clone()),
            workflows: WorkflowServiceClient::new(channel.clone()),
            channel,
            lifecycle,
            task,
            folder,
        }
    }

    /// The folder that SQLite connections may open files from.
    pub fn databases(&self) -> PathBuf {
        self.folder.databases()
    }

    pub fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// Asks the server to finish, as SIGTERM does, and returns without waiting.
    pub fn begin_stop(&self) {
        self.lifecycle.soft.cancel();
    }

    /// Stops softly and waits until every task has ended; the folder can be served again.
    pub async fn stop(self) -> Folder {
        self.lifecycle.soft.cancel();
        self.task.await.unwrap().unwrap();
        self.folder
    }
}
