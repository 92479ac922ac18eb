//! TLS to the gateway, and the port-forward of an API server with TLS inside: as it is in a cluster, where nothing else leads to it.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures::{SinkExt, StreamExt};
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::gateway::TOKEN;
use crate::{Said, World};

/// Speaks TLS in front of something that does not.
pub struct Tls {
    pub address: SocketAddr,
    pem: String,
    pin: String,
}

/// It runs as long as the runtime does.
pub fn tls(runtime: &Runtime, behind: SocketAddr) -> Tls {
    let mut params =
        CertificateParams::new(vec!["workspacefs-dashboard.workspacefs-system.svc".into()]).unwrap();
    params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let der: CertificateDer<'static> = certificate.der().clone();
    let pin = Sha256::digest(&der).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der], key)
            .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.ok()?;
                let mut behind = TcpStream::connect(behind).await.ok()?;
                copy_bidirectional(&mut stream, &mut behind).await.ok()
            });
        }
    });
    Tls { address, pem: certificate.pem(), pin }
}

/// An API server that forwards ports and grants tokens, and nothing else; what it was asked.
fn api_server(runtime: &Runtime, behind: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    api_server_that_allows(&["get", "create"], runtime, behind, None)
}

/// The same, which says that those verbs are allowed, whatever they are for, and has what is only read answered by another one.
pub fn api_server_that_allows(
    verbs: &'static [&'static str],
    runtime: &Runtime,
    behind: SocketAddr,
    objects: Option<SocketAddr>,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let told = Arc::clone(&seen);
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&told);
            tokio::spawn(async move { serve(stream, behind, objects, verbs, &seen).await });
        }
    });
    (address, seen)
}

async fn serve(
    mut stream: TcpStream,
    behind: SocketAddr,
    objects: Option<SocketAddr>,
    verbs: &[&str],
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut head = [0; 4096];
    let length = stream.peek(&mut head).await.ok()?;
    if head[..length].starts_with(b"POST ") {
        return grant(stream, verbs, seen).await;
    }
    let is_forward = String::from_utf8_lossy(&head[..length]).contains("/portforward?");
    if let Some(objects) = objects.filter(|_| !is_forward) {
        let mut behind = TcpStream::connect(objects).await.ok()?;
        return copy_bidirectional(&mut stream, &mut behind).await.ok().map(drop);
    }
    let remember = |request: &Request, mut answer: Response| {
        let bearer = request.headers().get("authorization").map_or("-", |value| value.to_str().unwrap());
        seen.lock().unwrap().push(format!("{} {bearer}", request.uri()));
        answer.headers_mut().insert("sec-websocket-protocol", "v4.channel.k8s.io".parse().unwrap());
        Ok(answer)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, remember).await.ok()?;
    // The port on each of its two channels, then bytes.
    for channel in [0, 1] {
        let port = 8443_u16.to_le_bytes();
        socket.send(Message::binary(vec![channel, port[0], port[1]])).await.ok()?;
    }
    let mut pod = TcpStream::connect(behind).await.ok()?;
    let mut bytes = vec![0; 16 << 10];
    loop {
        tokio::select! {
            message = socket.next() => match message?.ok()? {
                Message::Binary(message) => pod.write_all(&message[1..]).await.ok()?,
                Message::Close(_) => return Some(()),
                _ => {}
            },
            read = pod.read(&mut bytes) => {
                let read = read.ok().filter(|read| *read > 0)?;
                socket.send(Message::binary([&[0], &bytes[..read]].concat())).await.ok()?;
            }
        }
    }
}

async fn grant(mut stream: TcpStream, verbs: &[&str], seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut request = vec![0; 64 << 10];
    let mut length = 0;
    // The body is short, and comes with its end.
    while !request[..length].ends_with(b"}") {
        length += stream.read(&mut request[length..]).await.ok().filter(|read| *read > 0)?;
    }
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let line = request.lines().next()?.to_owned();
    let body: serde_json::Value = serde_json::from_str(request.split_once("\r\n\r\n")?.1).ok()?;
    let body = if let Some(asked) = body["spec"].get("resourceAttributes") {
        let word = |field: &str| asked[field].as_str().unwrap_or("-").to_owned();
        seen.lock()
            .unwrap()
            .push(["verb", "resource", "subresource", "namespace", "name"].map(word).join(" "));
        let allowed = verbs.contains(&word("verb").as_str());
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {},
            "spec": body["spec"], "status": {"allowed": allowed},
        })
    } else {
        seen.lock().unwrap().push(format!("{line} {}", body["spec"]["audiences"][0].as_str()?));
        json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": {"audiences": []},
            "status": {"token": TOKEN, "expirationTimestamp": "2030-01-01T00:00:00Z"},
        })
    };
    let body = body.to_string();
    let head =
        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length:";
    stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await.ok()
}

pub fn kubeconfig(world: &World, server: SocketAddr, user: serde_json::Value) {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": format!("http://{server}")}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "team-a"}}],
        "users": [{"name": "me", "user": user}],
    });
    world.write("home/.kube/config", config.to_string());
}

pub fn address(world: &World) -> SocketAddr {
    world.gateway.url().strip_prefix("http://").unwrap().parse().unwrap()
}

/// Without the variables of the way.
pub fn by_kubeconfig(world: &World, arguments: &[&str]) -> Said {
    let mut command = world.command(arguments);
    command.env_remove("WFS_URL").env_remove("WFS_TOKEN").env_remove("WFS_WORKSPACE");
    Said::by(command)
}

#[test]
fn a_certificate_is_believed_by_its_authority_or_its_hash_and_no_other() {
    let (world, runtime) = (World::new(), Runtime::new().unwrap());
    let tls = tls(&runtime, address(&world));
    world.gateway.write("x", "");
    fs::write(world.path("ca.pem"), &tls.pem).unwrap();
    let ls = |ca: Option<&str>| {
        let mut command = world.command(&["storage", "ls"]);
        command.env("WFS_URL", format!("https://{}", tls.address));
        if let Some(ca) = ca {
            command.env("WFS_CA", ca);
        }
        Said::by(command)
    };
    ls(Some("ca.pem")).ended(0).prints("x\n");
    ls(Some(&format!("sha256:{}", tls.pin))).ended(0).prints("x\n");
    world.gateway.seen();
    ls(Some(&format!("sha256:{}", "ab".repeat(32)))).ended(1).complains("cannot reach the gateway");
    ls(None).ended(1).complains("cannot reach the gateway");
    assert_eq!(world.gateway.seen(), Vec::<String>::new(), "no token went to it");
}

#[test]
fn a_context_leads_to_the_gateways_pod_with_its_own_token() {
    let (world, runtime) = (World::new(), Runtime::new().unwrap());
    let (server, seen) = api_server(&runtime, tls(&runtime, address(&world)).address);
    kubeconfig(&world, server, json!({"token": TOKEN}));
    world.write("data/a", "a");
    world.write("data/b", vec![7; 3 << 20]);
    by_kubeconfig(&world, &["storage", "upload", "-r", "data/", "/"]).ended(0).says("2 files uploaded");
    by_kubeconfig(&world, &["storage", "download", "b", "back"]).ended(0);
    assert!(world.read("back") == vec![7; 3 << 20]);
    let pod = "/api/v1/namespaces/workspacefs-system/pods/workspacefs-dashboard-0/portforward?&ports=8443";
    let seen = seen.lock().unwrap().clone();
    assert!(
        seen.iter().all(|request| request.replace("?ports", "?&ports") == format!("{pod} Bearer {TOKEN}")),
        "{seen:?}"
    );
    assert!(!seen.is_empty());
    by_kubeconfig(&world, &["whoami"])
        .ended(0)
        .says("pod workspacefs-system/workspacefs-dashboard-0, by 127.0.0.1");
}

#[test]
fn an_exec_plugin_gives_the_token() {
    use std::os::unix::fs::PermissionsExt;
    let (world, runtime) = (World::new(), Runtime::new().unwrap());
    let (server, _) = api_server(&runtime, tls(&runtime, address(&world)).address);
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": TOKEN},
    });
    world.write("plugin", format!("#!/bin/sh\necho '{credential}'\n"));
    fs::set_permissions(world.path("plugin"), fs::Permissions::from_mode(0o755)).unwrap();
    let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": world.path("plugin"), "interactiveMode": "Never"});
    kubeconfig(&world, server, json!({"exec": exec}));
    world.gateway.write("x", "");
    by_kubeconfig(&world, &["storage", "ls"]).ended(0).prints("x\n");
}

#[test]
fn a_context_without_a_token_acts_as_a_service_account_that_is_named() {
    let (world, runtime) = (World::new(), Runtime::new().unwrap());
    let (server, seen) = api_server(&runtime, tls(&runtime, address(&world)).address);
    kubeconfig(&world, server, json!({}));
    world.gateway.write("x", "");
    by_kubeconfig(&world, &["storage", "ls"]).ended(2).complains("--service-account");
    assert!(seen.lock().unwrap().is_empty(), "nothing was asked");
    by_kubeconfig(&world, &["storage", "ls", "--service-account", "me"])
        .ended(0)
        .prints("x\n")
        .complains("as ServiceAccount team-a/me");
    let quiet = by_kubeconfig(&world, &["storage", "ls", "-q", "--service-account", "me"]).ended(0);
    assert_eq!(quiet.stderr, "");
    let seen = seen.lock().unwrap();
    assert!(
        seen[0].starts_with("POST /api/v1/namespaces/team-a/serviceaccounts/me/token?")
            && seen[0].ends_with(" workspacefs.io"),
        "{seen:?}"
    );
    drop(seen);
}

#[test]
fn doctor_names_the_verb_that_is_missing_and_the_rule_that_grants_it() {
    let (world, runtime) = (World::new(), Runtime::new().unwrap());
    let behind = tls(&runtime, address(&world)).address;
    for (verbs, code, found) in [
        (
            &["get", "create"][..],
            0,
            "ok    port-forward: you may, to workspacefs-system/workspacefs-dashboard-0",
        ),
        (&["get"], 0, "note  port-forward: you may get pods/portforward of"),
        (&["create"], 1, "BAD   port-forward: you may create pods/portforward of"),
        (&[], 1, "BAD   port-forward: you may neither get nor create pods/portforward of"),
    ] {
        let (server, seen) = api_server_that_allows(verbs, &runtime, behind, None);
        kubeconfig(&world, server, json!({"token": TOKEN}));
        let said = by_kubeconfig(&world, &["doctor"]).ended(code).says(found);
        let rule = "{apiGroups: [\"\"], resources: [pods/portforward], resourceNames: [workspacefs-dashboard-0], verbs: [get, create]}";
        assert_eq!(said.stdout.contains(rule), verbs.len() < 2, "{}", said.stdout);
        let seen = seen.lock().unwrap();
        for verb in ["get", "create"] {
            let asked = format!("{verb} pods portforward workspacefs-system workspacefs-dashboard-0");
            assert!(seen.contains(&asked), "{seen:?}");
        }
    }
}
