//! The program, started with its command line; its API server and the file API live in this process.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use workspacefs_api::files::tls_name;
use workspacefs_files_proto::Signer;
use workspacefs_testkit::{FakeApi, builders};

use crate::pki::Pki;
use crate::real_files::RealFiles;

/// A ServiceAccount of `ws` that may do everything there.
pub const TOKEN: &str = "token-of-robot";
const USER: &str = "system:serviceaccount:ws:robot";

pub struct Server {
    pub files: RealFiles,
    address: SocketAddr,
    program: Child,
    folder: TempDir,
    _api: FakeApi,
    /// Dropped last: the others stop in it.
    _runtime: Runtime,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

impl Server {
    pub fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let (pki, folder) = (Pki::new(), tempfile::tempdir().unwrap());
        let signer = Signer::generate_pem().unwrap();
        let key = Signer::from_pem(&signer).unwrap().public_key();
        let (api, files) = runtime.block_on(async {
            let api = FakeApi::start().await;
            api.put(&builders::namespace("ws", &[("workspacefs.io/workspace", "true")]));
            let mut fs = api.put(&builders::file_system("ws", "default", builders::managed("1Gi")));
            let uid = fs.metadata.uid.clone().unwrap();
            let files = RealFiles::start(&pki.leaf(&tls_name(&uid)), &uid, key).await;
            let address = files.address.to_string();
            fs.status = serde_json::from_value(json!({"filesAddress": address})).unwrap();
            api.put(&fs);
            api.put_token(TOKEN, json!({"username": USER}), &["wfs"]);
            let all = ["get", "list", "create", "update", "delete"];
            api.grant(USER, &all, "filesystems/files", "ws", "default");
            (api, files)
        });
        let server = pki.leaf("localhost");
        let cluster = json!({"name": "c", "cluster": {"server": api.url()}});
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x", "clusters": [cluster],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {}}],
        });
        for (name, text) in [
            ("kubeconfig", config.to_string()),
            ("tls.crt", server.certificate),
            ("tls.key", server.key),
            ("ca.crt", pki.authority.clone()),
            ("signing-key.pem", signer),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let (program, address) = started(&folder);
        Self { files, address, program, folder, _api: api, _runtime: runtime }
    }

    /// The authority of its certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    pub fn url(&self, base: &str) -> String {
        format!("https://localhost:{}{base}", self.address.port())
    }

    /// The most memory that it ever had, in bytes.
    pub fn memory_bytes_max(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.program.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}

fn started(folder: &TempDir) -> (Child, SocketAddr) {
    let file = |flag: &str, name: &str| format!("--{flag}={}", folder.path().join(name).display());
    let mut program = Command::new(env!("CARGO_BIN_EXE_dashboard"))
        .args(["serve", "--listen=127.0.0.1:0", "--metrics=127.0.0.1:0", "--audience=wfs"])
        .args([file("tls-cert", "tls.crt"), file("tls-key", "tls.key")])
        .args([file("signing-key", "signing-key.pem"), file("files-ca", "ca.crt")])
        .env("KUBECONFIG", folder.path().join("kubeconfig"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stderr.take().unwrap()).lines();
    let begun = Instant::now();
    let address = loop {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not listen");
        let line = lines.next().expect("it ended").unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["message"] == "listening" {
            break line["address"].as_str().unwrap().parse().unwrap();
        }
    };
    // Whatever else it says is read, or it would stop at a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (program, address)
}
