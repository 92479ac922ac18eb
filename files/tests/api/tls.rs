//! As the gateway reaches it: TLS, by the name in the certificate, until it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use workspacefs_files::app::router;
use workspacefs_files::metrics::Metrics;
use workspacefs_files::server::serve;
use workspacefs_files::tls::Identity;
use workspacefs_files_proto::{ASSERTION_HEADER, Claims};

use crate::harness::{ALL, Answer, FS, Server, now};

/// A server's port as it is in a pod, and how its certificate is checked.
pub struct Tls {
    pub addr: SocketAddr,
    pub connector: TlsConnector,
    pub name: String,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

/// Serves what the server serves.
pub async fn over_tls(server: &Server) -> Tls {
    let name = format!("{FS}.files.workspacefs.io");
    let made = rcgen::generate_simple_self_signed(vec![name.clone()]).unwrap();
    let (certificate, key) = (server.dir.path().join("crt"), server.dir.path().join("key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let identity = Identity::read(certificate, key).unwrap();
    let router = router(&server.app);
    let serving = tokio::spawn(serve(listener, identity, router, Metrics::default(), shutdown.clone()));

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    Tls { addr, connector, name, shutdown, serving }
}

#[tokio::test]
async fn it_is_reached_by_tls_and_lets_what_runs_end() {
    let server = Server::start().await;
    server.write("f", vec![5; 8 << 20]);
    let Tls { addr, connector, name, shutdown, serving } = over_tls(&server).await;
    let connect = async |name: String| {
        let stream = TcpStream::connect(addr).await.unwrap();
        connector.connect(ServerName::try_from(name).unwrap(), stream).await
    };
    assert!(connect("other.files.workspacefs.io".into()).await.is_err(), "another FileSystem's name");
    let mut stream = connect(name).await.unwrap();
    let request = "GET /v1/content/f";
    let assertion = server.signer.sign(&Claims::new("jane", FS, &ALL, request, now()));
    let head = format!("{request} HTTP/1.1\r\nHost: x\r\n{ASSERTION_HEADER}: {assertion}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = vec![0; 1000];
    stream.read_exact(&mut bytes).await.unwrap();
    // The connection is closed after the answer, not in the middle of it.
    shutdown.cancel();
    let _ = stream.read_to_end(&mut bytes).await;
    let answer = Answer::parse(&bytes, false);
    assert!(answer.status == 200 && answer.whole && answer.body == vec![5; 8 << 20]);
    tokio::time::timeout(Duration::from_secs(10), serving).await.expect("it stops").unwrap();
    assert!(TcpStream::connect(addr).await.is_err());
}
