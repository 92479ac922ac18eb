//! A gateway with everything around it, and a client.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use workspacefs_api::files::tls_name;
use workspacefs_dashboard::caller::proxied::ProxyHeaders;
use workspacefs_dashboard::caller::sessions::{SessionLimits, Sessions};
use workspacefs_dashboard::caller::{Callers, Door};
use workspacefs_dashboard::files::imports::Imports;
use workspacefs_dashboard::files::leash::LeashTimes;
use workspacefs_dashboard::files::{Locate, Upstream};
use workspacefs_dashboard::gateway::{Gateway, router};
use workspacefs_dashboard::limits::Limits;
use workspacefs_dashboard::listen::{ListenLimits, Port, tls};
use workspacefs_dashboard::metrics::Metrics;
use workspacefs_dashboard::objects::Objects;
use workspacefs_dashboard::review::Reviewer;
use workspacefs_files_proto::{PublicKey, Signer};
use workspacefs_runtime::CancellationToken;
use workspacefs_testkit::{API_AUDIENCE, FakeApi, builders};

use crate::fake_files::FakeFiles;
use crate::pki::{Pair, Pki};

/// May do everything in `ws`, by her group.
pub const JANE: &str = "token-of-jane";
/// May read in `ws`.
pub const READER: &str = "token-of-reader";
/// May do everything in `other`, and nothing elsewhere.
pub const JOE: &str = "token-of-joe";
/// The file API of `ws`'s default FileSystem.
pub const API: &str = "/wfs/v1/workspaces/ws/filesystems/default/api";
/// For the API server, and for a gateway that is told so.
const FOR_ALL: &[&str] = &["wfs", API_AUDIENCE];
pub const PER_USER_MAX: usize = 4;
pub const PER_FILE_SYSTEM_MAX: usize = 6;

pub struct World {
    pub api: FakeApi,
    pub files: FakeFiles,
    pub gateway: Arc<Gateway>,
    pub uid: String,
    pub objects: Objects,
    pub pki: Pki,
    pub address: SocketAddr,
    pub proxy: SocketAddr,
    /// Where the gateway finds the file API.
    pub place: Arc<Mutex<SocketAddr>>,
    /// What file APIs check assertions with.
    pub key: PublicKey,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Said {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl World {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(audiences: &[&str]) -> Self {
        Self::built(audiences, LeashTimes::default()).await
    }

    pub async fn built(audiences: &[&str], times: LeashTimes) -> Self {
        let api = FakeApi::start().await;
        let uid = people(&api);
        let (pki, folder) = (Pki::new(), tempfile::tempdir().unwrap());
        let authority = folder.path().join("ca.crt");
        std::fs::write(&authority, &pki.authority).unwrap();
        let signer = Signer::from_pem(&Signer::generate_pem().unwrap()).unwrap();
        let files = FakeFiles::start(pki.leaf(&tls_name(&uid)).server(), &uid, signer.public_key()).await;
        let place = Arc::new(Mutex::new(files.address));
        let found = place.clone();
        let locate: Locate = Arc::new(move |_| Some(found.lock().unwrap().to_string()));
        let public = signer.public_key();
        let client = api.client_as("gateway");
        let (objects, watching) = Objects::watch(&client, "workspacefs.io/workspace=true");
        tokio::spawn(watching);
        assert!(objects.ready().await);
        let metrics = Metrics::default();
        let audiences = audiences.iter().map(|audience| (*audience).to_owned()).collect();
        let reviewer = Arc::new(Reviewer::new(client, audiences, metrics.clone()));
        let gateway = Arc::new(Gateway {
            callers: Callers::new(reviewer, Sessions::new(SessionLimits::default())).unwrap(),
            objects: objects.clone(),
            upstream: Upstream::new(authority.clone(), locate),
            signer,
            limits: Limits::new(PER_USER_MAX, PER_FILE_SYSTEM_MAX),
            imports: Imports::default(),
            metrics: metrics.clone(),
            times,
            group_label: "workspacefs.io/node-group".into(),
        });
        let server = pki.leaf("localhost");
        let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        std::fs::write(&certificate, &server.certificate).unwrap();
        std::fs::write(&key, &server.key).unwrap();
        let shown = tls::Files { certificate, key }.shown().unwrap();
        let names = ProxyHeaders {
            user: "x-remote-user".parse().unwrap(),
            groups: Some("x-remote-group".parse().unwrap()),
        };
        let stop = CancellationToken::new();
        let mut addresses = Vec::new();
        for (door, clients) in [(Door::Main, None), (Door::Proxy(Arc::new(names)), Some(authority.as_path()))]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            let tls = tls::config(shown.clone(), clients).unwrap();
            let port = Port { listener, tls, door, limits: ListenLimits::default() };
            tokio::spawn(port.serve(router(gateway.clone()), metrics.clone(), stop.clone()));
        }
        let (address, proxy) = (addresses[0], addresses[1]);
        Self {
            api,
            files,
            gateway,
            uid,
            objects,
            pki,
            address,
            proxy,
            place,
            key: public,
            stop,
            _folder: folder,
        }
    }

    /// Waits until the gateway's watches have brought what `done` looks for.
    pub async fn sees(&self, done: impl Fn(&Objects) -> bool) {
        let seen = async {
            while !done(&self.objects) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), seen).await.expect("the gateway never saw it");
    }

    /// Sends a request to the port for everybody, as it is.
    pub async fn send(&self, request: Request<Body>) -> Response<Incoming> {
        send(self.address, self.pki.client(None), request).await.unwrap()
    }

    /// The same; an error where the connection was closed instead of an answer.
    pub async fn try_send(&self, request: Request<Body>) -> std::io::Result<Response<Incoming>> {
        send(self.address, self.pki.client(None), request).await
    }

    /// The same to the proxy's port, with that certificate.
    pub async fn by_proxy(&self, own: Option<&Pair>, request: Request<Body>) -> std::io::Result<Said> {
        Ok(read(send(self.proxy, self.pki.client(own), request).await?).await)
    }

    /// Asks, and reads the whole answer.
    pub async fn ask(&self, request: Request<Body>) -> Said {
        read(self.send(request).await).await
    }

    pub async fn get(&self, token: &str, path: &str) -> Said {
        self.ask(bearer("GET", path, token)).await
    }

    /// Logs in: the cookie and the CSRF token.
    pub async fn log_in(&self, token: &str) -> (String, String) {
        let said = self.ask(login(&json!({"token": token}))).await;
        assert_eq!(said.status, 200, "{said:?}");
        let cookie = said.header("set-cookie").split(';').next().unwrap().to_owned();
        (cookie, said.json()["csrf"].as_str().unwrap().to_owned())
    }
}

pub fn login(body: &Value) -> Request<Body> {
    with("POST", "/wfs/v1/login", &[("content-type", "application/json")], body.to_string())
}

pub fn bearer(method: &str, path: &str, token: &str) -> Request<Body> {
    with(method, path, &[("authorization", &format!("Bearer {token}"))], Body::empty())
}

pub fn with(method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

pub async fn send(
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    request: Request<Body>,
) -> std::io::Result<Response<Incoming>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.map_err(std::io::Error::other)?;
    tokio::spawn(connection.with_upgrades());
    let sent = timeout(Duration::from_secs(20), sender.send_request(request)).await;
    sent.expect("no answer in 20 s").map_err(std::io::Error::other)
}

pub async fn read(response: Response<Incoming>) -> Said {
    let (parts, body) = response.into_parts();
    let collected = timeout(Duration::from_secs(20), body.collect()).await.expect("no end in 20 s");
    Said { status: parts.status, headers: parts.headers, bytes: collected.unwrap().to_bytes().to_vec() }
}

/// Two workspaces and a namespace that is none, and who may do what there. The uid of `ws`'s default FileSystem.
pub fn people(api: &FakeApi) -> String {
    let workspace = [("workspacefs.io/workspace", "true")];
    api.put(&builders::namespace("ws", &workspace));
    api.put(&builders::namespace("other", &workspace));
    api.put(&builders::namespace("plain", &[]));
    let fs = api.put(&builders::file_system("ws", "default", builders::managed("1Gi")));
    api.put(&builders::file_system("other", "default", builders::managed("1Gi")));
    api.put(&builders::file_system("plain", "default", builders::managed("1Gi")));
    let extra = json!({"scopes": ["files"]});
    api.put_token(JANE, json!({"username": "jane", "groups": ["team"], "uid": "7", "extra": extra}), FOR_ALL);
    api.put_token(READER, json!({"username": "reader"}), FOR_ALL);
    api.put_token(JOE, json!({"username": "joe"}), FOR_ALL);
    let all = ["get", "list", "create", "update", "delete"];
    api.grant("team", &all, "filesystems/files", "ws", "default");
    api.grant("team", &["list"], "filesystems", "ws", "*");
    api.grant("reader", &["get", "list"], "filesystems/files", "ws", "default");
    api.grant("reader", &["list"], "filesystems", "ws", "*");
    api.grant("joe", &all, "filesystems/files", "other", "default");
    api.grant("joe", &["list"], "filesystems", "other", "*");
    fs.metadata.uid.unwrap()
}
