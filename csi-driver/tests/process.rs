//! The binary itself, as a process in a mount namespace of its own: how it starts, serves, is refused and ends.
//! Needs root, as the driver does.
#![allow(clippy::unwrap_used)]

#[path = "common/agent.rs"]
mod agent;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use agent::{Authority, Running as Agent};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use workspacefs_agent_proto::tls::SERVER_NAME;
use workspacefs_api::{DRIVER, LOCAL_DRIVER};
use workspacefs_csi_proto::csi::v1::controller_client::ControllerClient;
use workspacefs_csi_proto::csi::v1::identity_client::IdentityClient;
use workspacefs_csi_proto::csi::v1::node_client::NodeClient;
use workspacefs_csi_proto::csi::v1::volume_capability::{AccessMode, AccessType, MountVolume};
use workspacefs_csi_proto::csi::v1::{
    CreateVolumeRequest, GetCapacityRequest, GetPluginInfoRequest, NodeGetInfoRequest, ProbeRequest,
    VolumeCapability,
};
use workspacefs_csi_proto::pluginregistration::v1::registration_client::RegistrationClient;
use workspacefs_csi_proto::pluginregistration::v1::{InfoRequest, RegistrationStatus};
use workspacefs_testkit::{FakeApi, builders};

const PATIENCE: Duration = Duration::from_secs(20);

/// A node plugin's folders, and how it is started in them.
struct Place {
    folder: TempDir,
    http: SocketAddr,
}

struct Running {
    child: Child,
    log: PathBuf,
}

impl Place {
    fn new() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { folder: tempfile::tempdir().unwrap(), http: free.local_addr().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.socket_of(DRIVER)
    }

    fn socket_of(&self, driver: &str) -> PathBuf {
        self.path(&format!("kubelet/plugins/{driver}/csi.sock"))
    }

    fn registration(&self) -> PathBuf {
        self.registration_of(DRIVER)
    }

    fn registration_of(&self, driver: &str) -> PathBuf {
        self.path(&format!("kubelet/plugins_registry/{driver}-reg.sock"))
    }

    /// Without an API server.
    fn start(&self) -> Running {
        self.start_with(|command| _ = command.arg("--no-kubernetes"))
    }

    /// With an API server at an address where nobody listens.
    fn start_with_kubernetes(&self) -> Running {
        let kubeconfig = self.kubeconfig("http://127.0.0.1:1");
        self.start_with(|command| _ = command.env("KUBECONFIG", kubeconfig))
    }

    fn kubeconfig(&self, server: &str) -> PathBuf {
        let path = self.path("kubeconfig");
        let config = format!(
            "{{clusters: [{{name: c, cluster: {{server: '{server}'}}}}], users: [{{name: u, user: {{}}}}], \
             contexts: [{{name: x, context: {{cluster: c, user: u}}}}], current-context: x}}"
        );
        std::fs::write(&path, config).unwrap();
        path
    }

    /// The controller, with the API server at an address and the credentials in a folder.
    fn start_controller(&self, server: &str, tls: &Path) -> Running {
        let log = self.path("log");
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_csi-driver"))
            .arg("controller")
            .arg(format!("--endpoint=unix://{}", self.path("controller.sock").display()))
            .arg(format!("--local-endpoint=unix://{}", self.path("local-controller.sock").display()))
            .arg(format!("--http={}", self.http))
            .arg(format!("--agent-tls={}", tls.display()))
            .env("KUBECONFIG", self.kubeconfig(server))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Running { child, log }
    }

    fn start_with(&self, change: impl FnOnce(&mut Command)) -> Running {
        let mut command = Command::new("unshare");
        let log = self.path("log");
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                env!("CARGO_BIN_EXE_csi-driver"),
                "node",
                "--node-name=n",
            ])
            .arg(format!("--kubelet-dir={}", self.path("kubelet").display()))
            .arg(format!("--state-dir={}", self.path("state").display()))
            .arg(format!("--http={}", self.http))
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        change(&mut command);
        let child = command.spawn().unwrap();
        Running { child, log }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    async fn end(&mut self) -> ExitStatus {
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(asked.elapsed() < PATIENCE, "it does not end: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    async fn connect(&mut self, socket: &Path) -> Channel {
        let address = format!("unix://{}", socket.display());
        let asked = Instant::now();
        loop {
            if let Ok(channel) = Endpoint::from_shared(address.clone()).unwrap().connect().await {
                return channel;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", self.log());
            assert!(asked.elapsed() < PATIENCE, "it does not listen: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_node_plugin_serves_until_sigterm_and_then_ends_well() {
    let place = Place::new();
    let mut plugin = place.start();
    let channel = plugin.connect(&place.socket()).await;
    IdentityClient::new(channel.clone()).probe(ProbeRequest {}).await.unwrap();
    let info = NodeClient::new(channel).node_get_info(NodeGetInfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.node_id, "n");
    assert!(place.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(place.get("/readyz").starts_with("HTTP/1.1 200"), "without Kubernetes nothing is waited for");
    let metrics = place.get("/metrics");
    assert!(metrics.contains(r#"workspacefs_rpc_seconds_count{rpc="NodeGetInfo",code="OK"} 1"#), "{metrics}");

    plugin.signal(Signal::TERM);
    assert!(plugin.end().await.success(), "{}", plugin.log());
    assert!(!place.socket().exists());
    assert!(!place.registration().exists());
}

#[tokio::test]
async fn a_killed_plugins_successor_takes_its_socket() {
    let place = Place::new();
    let mut first = place.start();
    first.connect(&place.socket()).await;
    first.signal(Signal::KILL);
    first.end().await;
    assert!(place.socket().exists(), "a stale file");
    let mut second = place.start();
    let channel = second.connect(&place.socket()).await;
    IdentityClient::new(channel).probe(ProbeRequest {}).await.unwrap();
}

#[tokio::test]
async fn kubelet_finds_both_drivers_and_the_plugin_is_ready_when_they_are_registered() {
    let place = Place::new();
    let mut plugin = place.start_with_kubernetes();
    for driver in [DRIVER, LOCAL_DRIVER] {
        let mut kubelet = RegistrationClient::new(plugin.connect(&place.registration_of(driver)).await);
        let found = kubelet.get_info(InfoRequest {}).await.unwrap().into_inner();
        assert_eq!((found.name.as_str(), Path::new(&found.endpoint)), (driver, &*place.socket_of(driver)));
        let channel = plugin.connect(Path::new(&found.endpoint)).await;
        NodeClient::new(channel)
            .node_get_info(NodeGetInfoRequest {})
            .await
            .expect("the API server is away, and the driver can be registered all the same");
        assert!(place.get("/readyz").starts_with("HTTP/1.1 503"));
        let status = RegistrationStatus { plugin_registered: true, error: String::new() };
        kubelet.notify_registration_status(status).await.unwrap();
    }
    assert!(place.get("/readyz").starts_with("HTTP/1.1 200"));

    plugin.signal(Signal::TERM);
    assert!(plugin.end().await.success(), "{}", plugin.log());
    for driver in [DRIVER, LOCAL_DRIVER] {
        assert!(!place.registration_of(driver).exists(), "kubelet forgets a driver whose socket is gone");
    }
}

#[tokio::test]
async fn a_plugin_that_kubelet_refuses_ends_with_kubelets_words() {
    let place = Place::new();
    let mut plugin = place.start_with_kubernetes();
    let mut kubelet = RegistrationClient::new(plugin.connect(&place.registration()).await);
    let status = RegistrationStatus { plugin_registered: false, error: "a label differs".into() };
    kubelet.notify_registration_status(status).await.unwrap();
    assert_eq!(plugin.end().await.code(), Some(1));
    assert!(
        plugin.log().contains("kubelet did not register the driver: a label differs"),
        "{}",
        plugin.log()
    );
}

#[tokio::test]
async fn a_taken_port_ends_the_plugin_and_is_named() {
    let place = Place::new();
    let _taken = TcpListener::bind(place.http).unwrap();
    let mut plugin = place.start();
    assert_eq!(plugin.end().await.code(), Some(1));
    assert!(plugin.log().contains(&format!("cannot listen on {}", place.http)), "{}", plugin.log());
}

#[tokio::test]
async fn the_controller_serves_both_drivers_makes_a_managed_volume_by_the_agent_and_ends_at_sigterm() {
    let (place, authority) = (Place::new(), Authority::new());
    let agent = Agent::start(8, &authority.issue(SERVER_NAME)).await;
    let tls = tempfile::tempdir().unwrap();
    agent::write(tls.path(), &authority.issue("client"));
    let api = FakeApi::start().await;
    api.put(&builders::namespace("team-a", &[]));
    api.put(&builders::file_system("team-a", "data", json!({"backend": {"managed": {"capacity": "1Gi"}}})));
    api.edit("FileSystem", "team-a", "data", |fs| {
        let folder = "workspaces/0f8fad5b-d9cb-469f-a165-70867728950e/data";
        fs["status"]["share"] = json!({"server": agent.host, "export": "/workspacefs", "folder": folder});
    });
    let mut controller = place.start_controller(api.url(), tls.path());
    let channel = controller.connect(&place.path("controller.sock")).await;
    let parameters =
        [("namespace", "team-a"), ("fileSystem", "data"), ("csi.storage.k8s.io/pvc/namespace", "team-a")];
    let request = CreateVolumeRequest {
        name: "pvc-1".into(),
        volume_capabilities: vec![VolumeCapability {
            access_type: Some(AccessType::Mount(MountVolume::default())),
            access_mode: Some(AccessMode { mode: 5 }),
        }],
        parameters: parameters.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..Default::default()
    };
    let mut client = ControllerClient::new(channel);
    let volume = client.create_volume(request).await.unwrap().into_inner().volume.unwrap();
    assert_eq!(volume.capacity_bytes, 7, "what the agent says");
    // The driver of local disks, in the same process on a socket of its own.
    let channel = controller.connect(&place.path("local-controller.sock")).await;
    let info = IdentityClient::new(channel.clone()).get_plugin_info(GetPluginInfoRequest {}).await.unwrap();
    assert_eq!(info.into_inner().name, LOCAL_DRIVER);
    let nowhere = ControllerClient::new(channel).get_capacity(GetCapacityRequest::default()).await.unwrap();
    assert_eq!(nowhere.into_inner().available_capacity, 0);
    assert!(place.get("/readyz").starts_with("HTTP/1.1 200"));
    controller.signal(Signal::TERM);
    assert!(controller.end().await.success(), "{}", controller.log());
    assert!(!place.path("local-controller.sock").exists());
    agent.stop().await;
}

fn controller(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_csi-driver"))
        .arg("controller")
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn a_wrong_endpoint_is_named() {
    let output = controller(&["--endpoint=tcp://0.0.0.0:1"]);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("\"tcp://0.0.0.0:1\" is not unix:///absolute/path"), "{text}");
}

#[test]
fn a_controller_without_an_api_server_to_talk_to_says_so() {
    let output = controller(&["--endpoint=unix:///nowhere/csi.sock", "--http=127.0.0.1:0"]);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no configuration for the API server"), "{text}");
    assert!(!Path::new("/nowhere").exists());
}
