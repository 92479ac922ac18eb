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

fn run(kubeconfig: &Path, args: &[&str], log: &str) -> Operator {
    let mut command = Command::new(env!("CARGO_BIN_EXE_operator"));
    command.args(args).env("KUBECONFIG", kubeconfig).env("POD_NAME", "test").env("WSFS_LOG", log);
    Operator(command.stderr(Stdio::piped()).spawn().unwrap())
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

#[tokio::test(flavor = "multi_thread")]
async fn retire_ends_with_a_message_while_pods_use_file_systems_and_well_when_none_does() {
    let api = FakeApi::start().await;
    api.put(&builders::namespace("system", &[]));
    api.put(&builders::namespace("team-a", &[]));
    let inline = serde_json::json!([{"name": "v", "csi": {"driver": "csi.workspacefs.io"}}]);
    api.put(&builders::running_pod("team-a", "user", inline));
    let folder = Folder::new("retire");
    let kubeconfig = folder.file("kubeconfig", &kubeconfig(api.url()));
    let retire = || {
        let operator = run(&kubeconfig, &["retire", "--timeout-seconds=15"], "info");
        tokio::task::spawn_blocking(|| operator.end())
    };
    let (status, log) = retire().await.unwrap();
    assert!(!status.success());
    assert!(log.contains("1 pod uses FileSystems") && log.contains("team-a/user"), "{log}");
    api.delete("Pod", "team-a", "user");
    let (status, log) = retire().await.unwrap();
    assert!(status.success(), "{log}");
}

#[test]
fn the_isolation_probe_serves_what_it_met() {
    let folder = Folder::new("probe");
    let kubeconfig = folder.file("kubeconfig", "not needed");
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let (target, http) = (server.local_addr().unwrap().to_string(), free_address());
    // It takes connections and ends them: something is there.
    std::thread::spawn(move || server.incoming().for_each(drop));
    let args = ["isolation-probe", "--server", &target, "--http", &http];
    let operator = run(&kubeconfig, &args, "info");
    let start = Instant::now();
    let answer = loop {
        let answer = get(&http, "/isolation");
        if answer.starts_with("HTTP/1.1 200") {
            break answer;
        }
        assert!(start.elapsed() < PATIENCE, "{answer}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(answer.contains("\"reached\":true") && answer.contains(&target), "{answer}");
    assert!(get(&http, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(&http, "/readyz").starts_with("HTTP/1.1 200"));
    operator.terminate();
    let (status, log) = operator.end();
    assert!(status.success(), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_stands_in_any_log_however_much_is_logged() {
    let api = FakeApi::start().await;
    api.put(&builders::namespace("system", &[]));
    api.put(&builders::service("system", "workspacefs-nfs", "127.99.0.1"));
    let folder = Folder::new("keys");
    let config = folder.file("config.yaml", "nfsServer: {service: workspacefs-nfs}");
    let kubeconfig = folder.file("kubeconfig", &kubeconfig(api.url()));
    let config = format!("--config={}", config.display());
    let mut operator = run(&kubeconfig, &[&config, "--http=127.0.0.1:0"], "trace");
    // So much is logged that the pipe would fill up.
    let mut pipe = operator.0.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut log = String::new();
        pipe.read_to_string(&mut log).unwrap();
        log
    });
    api.until("the certificates", |api| api.all("Secret").len() == 3).await;
    let namespace = builders::namespace("team-a", &[]);
    api.put(&namespace);
    api.put(&builders::file_system("team-a", "data", builders::managed("1Gi")));
    api.until("it is told that nobody answers", |api| {
        let fs = &api.all("FileSystem")[0];
        fs["status"]["conditions"][0]["reason"] == "ServerUnavailable"
    })
    .await;
    operator.terminate();
    assert!(operator.0.wait().unwrap().success());
    let log = reader.join().unwrap();
    assert!(log.contains("\"level\":\"TRACE\""), "nothing was logged: the test proves nothing");
    for name in ["workspacefs-nfs-authority", "workspacefs-nfs-tls", "workspacefs-nfs-client"] {
        let secret: k8s_openapi::api::core::v1::Secret = api.find("Secret", "system", name).unwrap();
        let pem = String::from_utf8(secret.data.unwrap()["tls.key"].0.clone()).unwrap();
        let key = pem.lines().nth(1).unwrap();
        let encoded = &api.find::<serde_json::Value>("Secret", "system", name).unwrap()["data"]["tls.key"];
        // As it is, and as the API server's clients send it, behind what every key begins with.
        assert!(!log.contains(key) && !log.contains(&encoded.as_str().unwrap()[60..100]), "{name}");
    }
    assert!(!log.contains("PRIVATE KEY"));
    assert!(api.all("Event").iter().all(|event| !event.to_string().contains("PRIVATE KEY")));
}
