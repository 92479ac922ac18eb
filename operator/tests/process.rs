//! The binary itself: what it does with bad configuration, its HTTP port, and SIGTERM.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use workspacefs_testkit::{FakeApi, builders};

const PATIENCE: Duration = Duration::from_secs(20);

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wsfs-operator-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// The process; killed if the test ends before it does.
struct Operator(Child);

impl Drop for Operator {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Operator {
    fn start(config: &Path, kubeconfig: &Path, http: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_operator"));
        command.args(["--identity=test", "--http", http, "--config"]).arg(config);
        command.env("KUBECONFIG", kubeconfig).env_remove("POD_NAME").stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// The exit status and what was logged.
    fn end(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.0.try_wait().unwrap() {
                let mut log = String::new();
                self.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
                return (status, log);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end");
    }

    fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

fn kubeconfig(url: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{{name: c, cluster: {{server: '{url}'}}}}], \
          users: [{{name: u, user: {{}}}}], contexts: [{{name: c, context: {{cluster: c, user: u, namespace: system}}}}]}}"
    )
}

fn get(address: &str, path: &str) -> String {
    let start = Instant::now();
    loop {
        if let Ok(mut stream) = TcpStream::connect(address) {
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "nothing listens on {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_bad_configuration_ends_it_at_once_and_names_the_field() {
    let folder = Folder::new("bad");
    let kubeconfig = folder.file("kubeconfig", &kubeconfig("http://127.0.0.1:1"));
    for (text, named) in [
        ("defaultFileSystem: {backend: {nfs: {server: a, export: relative}}}", "export"),
        ("probeIntervalSeconds: 0", "probeIntervalSeconds"),
    ] {
        let config = folder.file("config.yaml", text);
        let (status, log) = Operator::start(&config, &kubeconfig, "127.0.0.1:0").end();
        assert!(!status.success());
        assert!(log.contains(named), "{text}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_when_the_api_server_answers_counts_what_it_does_and_ends_well_on_sigterm() {
    let api = FakeApi::start().await;
    api.put(&builders::namespace("system", &[]));
    api.put(&builders::namespace("team-a", &[]));
    let folder = Folder::new("good");
    let config = folder.file("config.yaml", "");
    let kubeconfig = folder.file("kubeconfig", &kubeconfig(api.url()));
    let http = free_address();
    let operator = Operator::start(&config, &kubeconfig, &http);
    api.put(&builders::file_system("team-a", "data", builders::nfs("127.0.0.1", 1)));
    api.until("the claim", |api| !api.all("PersistentVolumeClaim").is_empty()).await;

    assert!(get(&http, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(&http, "/readyz").starts_with("HTTP/1.1 200"));
    let metrics = get(&http, "/metrics");
    for line in [
        "workspacefs_leader 1",
        "workspacefs_reconciles_total{kind=\"FileSystem\",outcome=\"done\"}",
        "workspacefs_reconcile_duration_seconds_count{kind=\"FileSystem\"}",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(!metrics.contains("team-a") && !metrics.contains("data"), "names in labels: {metrics}");

    operator.terminate();
    let (status, log) = tokio::task::spawn_blocking(|| operator.end()).await.unwrap();
    assert!(status.success(), "{log}");
    assert!(log.contains("lease released"), "{log}");
    let lease = &api.all("Lease")[0];
    assert!(lease["spec"]["holderIdentity"].is_null(), "{lease}");
}
