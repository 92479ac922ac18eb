//! The program itself, as a process that can be asked what the kernel thinks of it.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use workspacefs_files_proto::{ASSERTION_HEADER, Claims, Signer};

use crate::harness::{ALL, Answer, FS, now};

const NAME: &str = "files.example.org";

/// `files serve` on a folder, killed when this is dropped.
pub struct Process {
    child: Child,
    address: SocketAddr,
    connector: TlsConnector,
    signer: Signer,
    pub dir: tempfile::TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    pub async fn start() -> Self {
        Self::start_by(&[]).await
    }

    /// As in its pod: without any capability, so that permissions count for root too. It needs root.
    pub async fn start_without_capabilities() -> Self {
        Self::start_by(&["setpriv", "--bounding-set=-all", "--inh-caps=-all"]).await
    }

    /// By a program that becomes it.
    async fn start_by(before: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
        std::fs::create_dir(file("root")).unwrap();
        std::fs::write(file("crt"), made.cert.pem()).unwrap();
        std::fs::write(file("key"), made.signing_key.serialize_pem()).unwrap();
        let signer = Signer::from_pem(&Signer::generate_pem().unwrap()).unwrap();
        // Free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let line = [before, &[env!("CARGO_BIN_EXE_files")]].concat();
        let child = Command::new(line[0])
            .args(&line[1..])
            .args([
                "serve",
                "--file-system",
                FS,
                "--metrics",
                "127.0.0.1:0",
                "--allow-endpoint",
                "127.0.0.0/8",
            ])
            .args(["--public-key", &signer.public_key().to_base64(), "--listen", &address.to_string()])
            .args(["--owner", &format!("{uid}:{gid}"), "--root"])
            .arg(file("root"))
            .arg("--tls-cert")
            .arg(file("crt"))
            .arg("--tls-key")
            .arg(file("key"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let this = Self { child, address, connector: TlsConnector::from(Arc::new(config)), signer, dir };
        for _ in 0..600 {
            if TcpStream::connect(address).await.is_ok() {
                return this;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it does not listen");
    }

    /// The head of a request whose body has `length` bytes; those and the answer are the caller's.
    pub async fn begin(&self, method: &str, target: &str, length: usize) -> TlsStream<TcpStream> {
        let request = format!("{method} {target}");
        let assertion = self.signer.sign(&Claims::new("jane", FS, &ALL, &request, now()));
        let text = format!(
            "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{ASSERTION_HEADER}: {assertion}\r\n\r\n"
        );
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut stream = self.connector.connect(ServerName::try_from(NAME).unwrap(), stream).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    pub async fn ask(&self, method: &str, target: &str, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        let (mut from, mut to) = tokio::io::split(self.begin(method, target, body.len()).await);
        let mut bytes = Vec::new();
        // An answer may come while the body goes. How it ends is no matter once it is there.
        let _ = tokio::join!(async { to.write_all(body).await.unwrap() }, from.read_to_end(&mut bytes));
        Answer::parse(&bytes, false)
    }

    /// The most memory that it ever had.
    pub fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}
