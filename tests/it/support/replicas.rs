//! Two servers on one Redis behind the gateway, of which the first dies while its model is asked.

use std::net::SocketAddr;

use super::model_server::ModelServer;
use super::process::Process;
use super::proxy::{Proxy, Weather};
use super::script::{self, ANSWER};
use super::server::Folder;
use super::servers::{ENCRYPTION_KEY, Gateway, RedisServer};

pub struct Replicas {
    /// In front of both. The second is not to be reached while the first lives, so that everything begins at the first.
    pub gateway: Gateway,
    first: Option<Process>,
    _second: Process,
    /// To the second.
    way: Proxy,
    model: ModelServer,
    _folder: Folder,
    _redis: RedisServer,
}

impl Replicas {
    pub async fn start() -> Self {
        let redis = RedisServer::start(&[]).await;
        let folder = Folder::with_demo();
        let model = script::model(ANSWER, Some("composer")).await;
        let url = redis.url();
        let own = ["--store", &url, "--encryption-key", ENCRYPTION_KEY, "--lease", "1s", "--demo"];
        let flags = script::flags(&model, &own);
        let first = Process::serve(folder.path(), &flags).await;
        let second = Process::serve(folder.path(), &flags).await;
        let way = Proxy::to(second.address.port()).await;
        way.set(Weather::Refused).await;
        let servers = [first.address, SocketAddr::from(([127, 0, 0, 1], way.port))];
        let gateway = Gateway::before(&servers, &[]).await;
        Self { gateway, first: Some(first), _second: second, way, model, _folder: folder, _redis: redis }
    }

    /// Kills the first while its composer waits for the model, which then answers the second. Nothing when it is dead.
    pub async fn kill_first(&mut self) {
        if let Some(first) = self.first.take() {
            self.model.arrived(3).await;
            self.way.set(Weather::Fair).await;
            first.kill().await;
            self.model.release("composer");
        }
    }
}
