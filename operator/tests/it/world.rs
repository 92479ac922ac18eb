//! What every test here starts from: an API server with a namespace, an NFS server that answers, and operators.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use workspacefs_api::FileSystem;
use workspacefs_operator::config::{Config, MoverConfig};
use workspacefs_operator::lease::LeaseTimes;
use workspacefs_operator::metrics::Metrics;
use workspacefs_operator::workspace::template::Template;
use workspacefs_operator::{Replica, RunError, run};
use workspacefs_runtime::{CancellationToken, Readiness};
use workspacefs_testkit::{FakeApi, Request, builders};

/// The namespace of most tests; it is no workspace.
pub const SPACE: &str = "team-a";
/// Where the operator is.
pub const SYSTEM: &str = "workspacefs-system";

/// Longer than a pass, shorter than patience.
pub const QUIET: Duration = Duration::from_millis(400);

/// A started API server with the two namespaces, and the one in which Events about cluster-scoped objects are. With WSFS_LOG set, the operator's log is shown.
pub async fn api() -> FakeApi {
    if std::env::var_os("WSFS_LOG").is_some() {
        // The first test of the process has done it already.
        drop(workspacefs_runtime::logging::init());
    }
    let api = FakeApi::start().await;
    api.put(&builders::namespace(SYSTEM, &[]));
    api.put(&builders::namespace(SPACE, &[]));
    api.put(&builders::namespace("default", &[]));
    api
}

/// Short intervals; no default FileSystem.
pub fn config() -> Config {
    Config {
        workspace_selector: "workspacefs.io/workspace=true".into(),
        node_group_label: "workspacefs.io/node-group".into(),
        default_file_system: None,
        probe_interval: Duration::from_millis(200),
        probe_timeout: Duration::from_millis(500),
        nfs_server: None,
        isolation_probe: None,
        usage_interval: Duration::from_secs(30),
        local_storage: true,
        fs_caches: true,
        mover: MoverConfig::default(),
        files_clean_up: false,
        files: None,
    }
}

/// With a default FileSystem on that port of loopback.
pub fn config_with_default(port: u16) -> Config {
    let nfs = json!({"server": "127.0.0.1", "export": "/export", "folder": "{workspace}-{workspaceUID}", "port": port});
    let template = Template::parse(json!({"backend": {"nfs": nfs}})).unwrap();
    Config { default_file_system: Some(template), ..config() }
}

/// A lease that changes hands within a test's patience.
pub const QUICK_LEASE: LeaseTimes = LeaseTimes {
    duration: Duration::from_secs(1),
    deadline: Duration::from_millis(600),
    retry: Duration::from_millis(50),
};

/// A lease that outlasts any outage of a test.
pub const LONG_LEASE: LeaseTimes = LeaseTimes {
    duration: Duration::from_secs(60),
    deadline: Duration::from_secs(50),
    retry: Duration::from_millis(50),
};

/// A running operator.
pub struct Operator {
    task: JoinHandle<Result<(), RunError>>,
    shutdown: CancellationToken,
    registry: Registry,
}

impl Operator {
    pub fn start(api: &FakeApi, name: &str, config: Config) -> Self {
        Self::with_lease(api, name, config, LONG_LEASE)
    }

    pub fn with_lease(api: &FakeApi, name: &str, config: Config, times: LeaseTimes) -> Self {
        let shutdown = CancellationToken::new();
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let ready = Readiness::new().gate("api");
        let replica = Replica { identity: name.into(), namespace: SYSTEM.into(), times };
        let task = tokio::spawn(run(api.client_as(name), config, replica, metrics, ready, shutdown.clone()));
        Self { task, shutdown, registry }
    }

    /// Its metrics, as a scrape would read them: those whose line begins like this.
    pub fn figures(&self, begin: &str) -> Vec<String> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines().filter(|line| line.starts_with(begin)).map(str::to_string).collect()
    }

    /// As SIGKILL does.
    pub async fn kill(self) {
        self.task.abort();
        assert!(
            self.task.await.is_err_and(|error| error.is_cancelled()),
            "it had ended before it was killed"
        );
    }

    /// As SIGTERM does.
    pub async fn stop(self) {
        self.shutdown.cancel();
        let ended = timeout(Duration::from_secs(10), self.task).await.expect("does not end after SIGTERM");
        ended.unwrap().expect("ends in good order");
    }

    /// How it ended by itself.
    pub async fn ended(self) -> RunError {
        let ended = timeout(Duration::from_secs(20), self.task).await.expect("does not end");
        ended.unwrap().expect_err("ends with an error")
    }
}

/// Answers NULL calls on loopback, and counts them.
pub struct NfsServer {
    pub port: u16,
    calls: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for NfsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NfsServer {
    pub async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub async fn start_on(port: u16) -> Self {
        Self::on(TcpListener::bind(("127.0.0.1", port)).await.unwrap())
    }

    pub fn on(listener: TcpListener) -> Self {
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut call = [0; 44];
                if stream.read_exact(&mut call).await.is_err() {
                    continue;
                }
                counted.fetch_add(1, Ordering::Relaxed);
                let mut reply = vec![0x80, 0, 0, 24];
                reply.extend(&call[4..8]);
                reply.extend([0, 0, 0, 1]);
                reply.extend([0; 16]);
                // The operator may have been killed meanwhile.
                drop(stream.write_all(&reply).await);
            }
        });
        Self { port, calls, task }
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Gives up its port.
    pub async fn stop(self) {
        self.task.abort();
        while !self.task.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

/// A FileSystem `name` in [`SPACE`] on that server, put there.
pub fn put_nfs(api: &FakeApi, name: &str, port: u16) -> FileSystem {
    api.put(&builders::file_system(SPACE, name, builders::nfs("127.0.0.1", port)))
}

pub fn file_system(api: &FakeApi, namespace: &str, name: &str) -> Option<FileSystem> {
    api.find("FileSystem", namespace, name)
}

pub fn claim(api: &FakeApi, namespace: &str, name: &str) -> Option<PersistentVolumeClaim> {
    api.find("PersistentVolumeClaim", namespace, name)
}

/// The volume of a FileSystem in [`SPACE`].
pub fn volume(api: &FakeApi, name: &str) -> Option<PersistentVolume> {
    let uid = file_system(api, SPACE, name)?.metadata.uid?;
    api.find("PersistentVolume", "", &format!("wsfs-{uid}"))
}

/// A condition of a FileSystem in [`SPACE`].
pub fn condition(api: &FakeApi, name: &str, kind: &str) -> Option<Condition> {
    file_system(api, SPACE, name)?.condition(kind).cloned()
}

/// Whether Ready of a FileSystem in [`SPACE`] has that reason.
pub fn has_reason(api: &FakeApi, name: &str, reason: &str) -> bool {
    condition(api, name, "Ready").is_some_and(|c| c.reason == reason)
}

/// Waits for a condition's reason and returns its message.
pub async fn until_reason(api: &FakeApi, name: &str, kind: &str, reason: &str) -> String {
    let what = format!("{name}: {kind} because {reason}");
    api.until(&what, |api| condition(api, name, kind).is_some_and(|c| c.reason == reason)).await;
    condition(api, name, kind).unwrap().message
}

/// Waits until everything about a FileSystem in [`SPACE`] is as it should be.
pub async fn until_bound(api: &FakeApi, name: &str) {
    until_reason(api, name, "Ready", "Bound").await;
}

/// The reasons of all Events, in no order.
pub fn event_reasons(api: &FakeApi) -> Vec<String> {
    let mut reasons: Vec<String> =
        api.all("Event").iter().map(|event| event["reason"].as_str().unwrap().to_string()).collect();
    reasons.sort_unstable();
    reasons
}

/// Writes other than those of the lease.
pub fn writes(api: &FakeApi) -> Vec<Request> {
    api.requests().into_iter().filter(|r| r.is_write() && r.resource != "leases").collect()
}

/// Requests of any kind but the lease's.
pub fn requests(api: &FakeApi) -> Vec<Request> {
    api.requests().into_iter().filter(|r| r.resource != "leases").collect()
}

/// `value` at a JSON pointer, of any serializable object.
pub fn at<T: serde::Serialize>(object: &T, pointer: &str) -> Value {
    serde_json::to_value(object).unwrap().pointer(pointer).cloned().unwrap_or_default()
}
