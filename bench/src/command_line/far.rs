//! What is far away: the gateway and the file API as processes, with an API server of the test kit behind them; the daemon of rsync;
//! and a tar at the end of a connection. Each serves one folder.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::json;
use tokio::runtime::Runtime;
use workspacefs_api::files::tls_name;
use workspacefs_files_proto::Signer;
use workspacefs_files_proto::rsync::{EXPOSED_FILE, RsyncSecret};
use workspacefs_testkit::{FakeApi, builders};

use super::pki::Pki;
use crate::transfers::{Process, free_address};

/// The namespace, and whom the daemon of rsync knows.
pub const WORKSPACE: &str = "ws";
/// A ServiceAccount of the workspace that may do everything there.
pub const TOKEN: &str = "token-of-robot";
const USER: &str = "system:serviceaccount:ws:robot";
/// What the gateway's certificate is for.
pub const HOST: &str = "localhost";
/// The file in the folder with whom to believe, PEM.
pub const AUTHORITY: &str = "ca.crt";

/// Until the daemon has told its secret.
const SECRET_MAX: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

/// The gateway, and the file API of FileSystem `default` behind it.
pub struct Gateway {
    /// Where it speaks TLS.
    pub address: SocketAddr,
    metrics: SocketAddr,
    gateway: Process,
    files: Process,
    _api: FakeApi,
}

impl Gateway {
    /// Serves `root`; what it needs beside that lies in `folder`. `program` finds the programs.
    ///
    /// # Errors
    /// Something does not start.
    pub fn start(
        program: impl Fn(&str) -> Result<PathBuf>,
        root: &Path,
        folder: &Path,
        runtime: &Runtime,
    ) -> Result<Self> {
        let (pki, signer) = (Pki::new()?, Signer::generate_pem()?);
        let key = Signer::from_pem(&signer)?.public_key().to_base64();
        let (files_address, address, metrics) = (free_address()?, free_address()?, free_address()?);
        let (api, uid) = runtime.block_on(objects(files_address))?;
        let (own, files) = (pki.leaf(HOST)?, pki.leaf(&tls_name(&uid))?);
        for (name, text) in [
            ("kubeconfig", &kubeconfig(api.url())),
            ("gateway.crt", &own.certificate),
            ("gateway.key", &own.key),
            ("files.crt", &files.certificate),
            ("files.key", &files.key),
            (AUTHORITY, &pki.authority),
            ("signing-key.pem", &signer),
        ] {
            fs::write(folder.join(name), text)?;
        }
        let flag = |flag: &str, name: &str| format!("--{flag}={}", folder.join(name).display());

        let mut command = Command::new(program("files")?);
        command.arg("serve").arg("--root").arg(root).args(["--file-system", &uid, "--public-key", &key]);
        command.args([flag("tls-cert", "files.crt"), flag("tls-key", "files.key")]);
        command.args(["--listen", &files_address.to_string(), "--metrics", &free_address()?.to_string()]);
        let files = Process::start(&command, files_address)?;

        let mut command = Command::new(program("dashboard")?);
        command.args(["serve", "--audience=wfs"]);
        command.args(["--listen", &address.to_string(), "--metrics", &metrics.to_string()]);
        command.args([flag("tls-cert", "gateway.crt"), flag("tls-key", "gateway.key")]);
        command.args([flag("signing-key", "signing-key.pem"), flag("files-ca", AUTHORITY)]);
        command.env("KUBECONFIG", folder.join("kubeconfig"));
        // It tells of every change: that is part of what it does, and for nobody's eyes here.
        let log = fs::File::create(folder.join("gateway.log"))?;
        let gateway = Process::start_saying(&command, address, log.into())?;
        Ok(Self { address, metrics, gateway, files, _api: api })
    }

    /// Of the gateway, and of the file API, so far.
    ///
    /// # Errors
    /// One of them is gone.
    pub fn processor_seconds(&self) -> Result<(f64, f64)> {
        Ok((self.gateway.processor_seconds()?, self.files.processor_seconds()?))
    }

    /// Requests that it has answered so far, as its metrics say.
    ///
    /// # Errors
    /// They do not.
    pub fn requests(&self) -> Result<u64> {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.metrics);
        let (mut stream, mut answer) = (TcpStream::connect(self.metrics)?, String::new());
        stream.write_all(request.as_bytes())?;
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "the gateway tells no metrics: {answer}");
        Ok(answered(&answer))
    }
}

/// The API server with one workspace, one FileSystem and one who may do everything there; and the FileSystem's uid.
async fn objects(files: SocketAddr) -> Result<(FakeApi, String)> {
    let api = FakeApi::start().await;
    api.put(&builders::namespace(WORKSPACE, &[("workspacefs.io/workspace", "true")]));
    let mut fs = api.put(&builders::file_system(WORKSPACE, "default", builders::managed("1Ti")));
    let uid = fs.metadata.uid.clone().context("the FileSystem has no uid")?;
    fs.status = serde_json::from_value(json!({"filesAddress": files.to_string()}))?;
    api.put(&fs);
    api.put_token(TOKEN, json!({"username": USER}), &["wfs"]);
    let all = ["get", "list", "create", "update", "delete"];
    api.grant(USER, &all, "filesystems/files", WORKSPACE, "default");
    Ok((api, uid))
}

fn kubeconfig(server: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    })
    .to_string()
}

/// Whatever the status was.
fn answered(metrics: &str) -> u64 {
    let of_line = |line: &str| {
        let (name, count) = line.rsplit_once(' ')?;
        let name = name.split('{').next().unwrap_or_default();
        if name.ends_with("gateway_requests_total") { count.parse::<f64>().ok() } else { None }
    };
    metrics.lines().filter_map(of_line).sum::<f64>() as u64
}

/// The daemon of rsync, at its exposed port.
pub struct Rsyncd {
    _process: Process,
    /// The port.
    pub address: SocketAddr,
    /// For the one user.
    pub password: String,
}

impl Rsyncd {
    /// Serves `root`; what it needs beside that lies in `folder`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(program: &Path, root: &Path, folder: &Path) -> Result<Self> {
        let (run, address) = (folder.join("rsync"), free_address()?);
        // Of a run before there is another secret.
        if run.exists() {
            fs::remove_dir_all(&run)?;
        }
        fs::create_dir(&run)?;
        let mut command = Command::new(program);
        command.args(["serve", "--rsync=/usr/bin/rsync", "--mode=0755", "--user", WORKSPACE]);
        command.arg("--root").arg(root).arg("--run").arg(&run);
        command.args(["--expose", &address.to_string(), "--metrics", &free_address()?.to_string()]);
        let process = Process::start(&command, address)?;
        // It listens a moment before it has told.
        let (told, started) = (run.join(EXPOSED_FILE), Instant::now());
        while !told.exists() {
            ensure!(started.elapsed() < SECRET_MAX, "rsyncd does not tell its secret");
            std::thread::sleep(LOOK);
        }
        let secret: RsyncSecret = serde_json::from_slice(&fs::read(told)?)?;
        Ok(Self { _process: process, address, password: secret.password })
    }
}

/// A command whose standard input and output are one connection, as at the other end of `kubectl cp`.
pub struct AtTheEnd {
    /// Where it waits for that connection.
    pub address: SocketAddr,
    command: JoinHandle<Result<()>>,
}

impl AtTheEnd {
    /// Waits for one connection.
    ///
    /// # Errors
    /// There is no port.
    pub fn start(mut command: Command) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let command = std::thread::spawn(move || {
            let (stream, _) = listener.accept()?;
            let stream = OwnedFd::from(stream);
            command.stdin(stream.try_clone()?).stdout(stream);
            let mut child = command.spawn().context("the command at the other end")?;
            // Our copies of the connection: it ends when the command's are closed.
            drop(command);
            let status = child.wait()?;
            ensure!(status.success(), "the command at the other end ended with {status}");
            Ok(())
        });
        Ok(Self { address, command })
    }

    /// Whether it did what it was to do.
    ///
    /// # Errors
    /// It did not.
    pub fn ended(self) -> Result<()> {
        self.command.join().map_err(|_| anyhow!("the thread of the command at the other end panicked"))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_every_status_count_and_nothing_else_does() {
        let metrics = "# TYPE workspacefs_gateway_requests counter\n\
            workspacefs_gateway_requests_total{code=\"200\"} 7\nworkspacefs_gateway_requests_total{code=\"404\"} 2\n\
            workspacefs_gateway_reviews_total{kind=\"Token\"} 90\n# EOF\n";
        assert_eq!(answered(metrics), 9);
        assert_eq!(answered(""), 0);
    }
}
