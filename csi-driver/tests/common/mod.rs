//! A driver's services in this process, on a unix socket in a temporary folder.
//! Each test file uses a part of it.
#![allow(dead_code)]

use std::path::PathBuf;
use std::time::Duration;

use csi_driver::rpc::RpcLayer;
use csi_driver::server;
use csi_driver::socket::PrivateSocket;
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use workspacefs_runtime::CancellationToken;

pub struct TestServer {
    pub registry: Registry,
    pub shutdown: CancellationToken,
    task: JoinHandle<Result<(), server::ServeError>>,
    socket: PathBuf,
    _folder: TempDir,
}

impl TestServer {
    pub fn start(routes: Routes, drain: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("csi.sock");
        let mut registry = Registry::with_prefix("workspacefs");
        let layer = RpcLayer::new(&mut registry);
        let shutdown = CancellationToken::new();
        let listener = PrivateSocket::bind(&socket).unwrap();
        let task = tokio::spawn(server::serve(listener, routes, layer, shutdown.clone(), drain));
        Self { registry, shutdown, task, socket, _folder: folder }
    }

    pub async fn connect(&self) -> Channel {
        let address = format!("unix://{}", self.socket.display());
        Endpoint::from_shared(address).unwrap().connect().await.unwrap()
    }

    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    /// Asks the server to end and waits until it has.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
        assert!(!self.socket.exists(), "the socket's file goes with the server");
    }
}
