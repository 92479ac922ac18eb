//! The program itself: from its command line to its end by a signal.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use workspacefs_files_proto::Signer;
use workspacefs_testkit::FakeApi;

use crate::pki::Pki;
use crate::world::{API, JANE, bearer, people, read, send};

#[tokio::test]
async fn the_program_serves_with_what_its_command_line_says_and_ends_when_asked() {
    let api = FakeApi::start().await;
    people(&api);
    let (pki, folder) = (Pki::new(), tempfile::tempdir().unwrap());
    let server = pki.leaf("localhost");
    let cluster = json!({"name": "c", "cluster": {"server": api.url()}});
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x", "clusters": [cluster],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {}}],
    });
    for (name, text) in [
        ("kubeconfig", config.to_string()),
        ("tls.crt", server.certificate.clone()),
        ("tls.key", server.key.clone()),
        ("ca.crt", pki.authority.clone()),
        ("signing-key.pem", Signer::generate_pem().unwrap()),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let file = |flag: &str, name: &str| format!("--{flag}={}", folder.path().join(name).display());
    let mut child = Command::new(env!("CARGO_BIN_EXE_dashboard"))
        .args(["serve", "--listen=127.0.0.1:0", "--metrics=127.0.0.1:0", "--audience=wfs"])
        .args([file("tls-cert", "tls.crt"), file("tls-key", "tls.key")])
        .args([file("signing-key", "signing-key.pem"), file("files-ca", "ca.crt")])
        .env("KUBECONFIG", folder.path().join("kubeconfig"))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let address = listening(&mut child).await.parse().unwrap();
    let said =
        read(send(address, pki.client(None), bearer("GET", "/wfs/v1/session", JANE)).await.unwrap()).await;
    assert_eq!((said.status.as_u16(), &said.json()["user"]), (200, &json!("jane")));
    // The FileSystem is known once it was listed; its Service has no address here.
    let asked = async {
        loop {
            let request = bearer("GET", &format!("{API}/list/"), JANE);
            let said = read(send(address, pki.client(None), request).await.unwrap()).await;
            if said.status != 404 {
                return said.status.as_u16();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(timeout(Duration::from_secs(15), asked).await.expect("no FileSystem"), 502);
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let ended = timeout(Duration::from_secs(10), child.wait()).await.expect("it does not end");
    assert!(ended.unwrap().success());
}

/// The address in its log.
async fn listening(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let found = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "listening" {
                return line["address"].as_str().unwrap().to_owned();
            }
        }
        panic!("it ended")
    };
    let address = timeout(Duration::from_secs(20), found).await.expect("it does not listen");
    // Whatever else it says is read, or it would stop at a full pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    address
}
