//! The way to the rsync daemon: over TLS as the gateway comes, to a socket as the daemon has it.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixListener};
use workspacefs_files_proto::{ASSERTION_HEADER, Claims, Verb};

use crate::harness::{FS, Server, now};
use crate::tls::over_tls;

const ASKED: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: wsfs-rsync\r\n";

/// A server, and the folder that it shares with a daemon which is not there yet.
async fn start() -> (Server, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (root, run) = (dir.path().join("root"), dir.path().join("run"));
    std::fs::create_dir(&root).unwrap();
    std::fs::create_dir(&run).unwrap();
    (Server::start_with(dir, &root, Some(run.clone())).await, run)
}

/// Sends back what comes.
fn echo(run: &std::path::Path) {
    let daemon = UnixListener::bind(run.join("socket")).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = daemon.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
}

#[tokio::test]
async fn over_tls_a_connection_becomes_one_to_the_daemon() {
    let (server, run) = start().await;
    echo(&run);
    let tls = over_tls(&server).await;
    let stream = TcpStream::connect(tls.addr).await.unwrap();
    let name = ServerName::try_from(tls.name.clone()).unwrap();
    let mut stream = tls.connector.connect(name, stream).await.unwrap();
    let claims = Claims::new("jane", FS, &[Verb::Write], "POST /v1/rsync", now());
    let head = format!(
        "POST /v1/rsync HTTP/1.1\r\nHost: x\r\n{ASKED}{ASSERTION_HEADER}: {}\r\n\r\n@RSYNCD: 31.0\n",
        server.signer.sign(&claims)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    let read = async {
        while !got.ends_with(b"\r\n\r\n@RSYNCD: 31.0\n") {
            let mut bytes = [0; 1024];
            let read = stream.read(&mut bytes).await.unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&bytes[..read]);
        }
    };
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("nothing comes back");
    let answer = String::from_utf8(got).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101 ") && answer.contains("upgrade: wsfs-rsync\r\n"), "{answer}");
    let large = vec![3; 1 << 20];
    let mut back = vec![0; large.len()];
    let (mut from, mut to) = tokio::io::split(stream);
    let (sent, received) = tokio::join!(to.write_all(&large), from.read_exact(&mut back));
    assert!(sent.is_ok() && received.is_ok() && back == large);
}

#[tokio::test]
async fn it_takes_a_write_the_header_and_a_daemon() {
    let (server, run) = start().await;
    let ask = |verbs: &[Verb]| {
        server
            .ask("POST", "/v1/rsync")
            .verbs(verbs)
            .header("Upgrade", "wsfs-rsync")
            .header("Connection", "upgrade")
    };
    ask(&[Verb::Write]).send().await.is(429, "Busy");
    echo(&run);
    ask(&[Verb::Read, Verb::Delete]).send().await.is(403, "Forbidden");
    server.ask("POST", "/v1/rsync").send().await.is(400, "BadRequest");
    server.ask("POST", "/v1/rsync").header("Upgrade", "websocket").send().await.is(400, "BadRequest");
    let without = Server::start().await;
    without.ask("POST", "/v1/rsync").send().await.is(404, "NotFound");
    assert_eq!(server.get("/v1/rsync").await.ok().json()["enabled"], true);
    assert_eq!(without.get("/v1/rsync").await.ok().json()["enabled"], false);
}

#[tokio::test]
async fn the_secret_is_told_for_write_and_delete_and_only_where_there_is_one() {
    let (server, run) = start().await;
    server.get("/v1/rsync/secret").await.is(404, "NotFound");
    std::fs::write(run.join("exposed.json"), r#"{"user": "ws", "password": "p", "port": 8873}"#).unwrap();
    for verbs in [&[Verb::Write][..], &[Verb::Delete], &[Verb::Read]] {
        server.ask("GET", "/v1/rsync/secret").verbs(verbs).send().await.is(403, "Forbidden");
    }
    let told = server.get("/v1/rsync/secret").await.ok();
    assert_eq!(told.json(), serde_json::json!({"user": "ws", "password": "p", "port": 8873}));
    std::fs::write(run.join("exposed.json"), "rubbish").unwrap();
    server.get("/v1/rsync/secret").await.is(500, "Internal");
}
