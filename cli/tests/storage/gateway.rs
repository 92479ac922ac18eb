//! A gateway in this process that speaks ADR 18 over a folder, and can be told to fail.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use workspacefs_files::app::{App, Settings, router};
use workspacefs_files::metrics::Metrics;
use workspacefs_files::root::{Owner, Root};
use workspacefs_files_proto::{ASSERTION_HEADER, Claims, FilePath, Signer, Verb, Verifier};

use crate::handlers;

/// Below which the file APIs of FileSystems `default` and `more` of workspace `team-a` lie: they are the same files here.
const APIS: [&str; 2] =
    ["/wfs/v1/workspaces/team-a/filesystems/default/api/", "/wfs/v1/workspaces/team-a/filesystems/more/api/"];
pub const TOKEN: &str = "canary-token";

/// It runs as long as this lives.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    dir: TempDir,
    state: Mutex<Told>,
    runtime: Mutex<Option<tokio::runtime::Runtime>>,
    real: Option<Real>,
}

/// The file API itself, and the key that it believes.
struct Real {
    router: Router,
    signer: Signer,
}

/// What it is told, and what it has seen.
pub struct Told {
    /// `METHOD target`.
    pub requests: Vec<String>,
    /// The number of the interface.
    pub api: u64,
    /// Tokens that are taken.
    pub tokens: Vec<String>,
    /// So many answers with content end after so many bytes.
    pub cut_content: (usize, usize),
    /// So many requests of this method are carried out, and then the connection breaks.
    pub break_after: (usize, &'static str),
    /// So many requests of this method are not carried out: the connection breaks.
    pub break_before: (usize, &'static str),
    /// From now on so many bytes may be written.
    pub quota: Option<u64>,
    /// Names that a write refuses.
    pub refuse: Option<&'static str>,
    /// The next listings name these instead.
    pub listing: Option<Value>,
    /// Unfinished uploads.
    pub uploads: Vec<handlers::Upload>,
    /// What was deleted: id and path.
    pub trash: Vec<(String, Vec<u8>)>,
    /// Bodies of imports.
    pub imports: Vec<Value>,
    /// Says the SHA-256 of content, the right one or another.
    pub digest: Option<bool>,
    /// rsyncd.conf of the daemon that uploads by rsync get to.
    pub rsync: Option<PathBuf>,
    /// So many bytes of such an upload pass, and then the gateway is gone.
    pub cut_rsync: Option<usize>,
    /// So often the daemon starts still.
    pub busy_rsync: usize,
    /// Whatever is asked of the file API by a path that begins so is answered with this status and body.
    pub instead: Option<(&'static str, u16, Vec<u8>)>,
    /// So many bundles end after so many bytes.
    pub cut_bundle: (usize, usize),
    /// With the next request of this method all tokens are forgotten.
    pub forget_at: Option<&'static str>,
}

/// What a request asks for.
pub struct Request {
    pub method: Method,
    /// Behind the API's base, still encoded.
    pub rest: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Gateway {
    /// With the simple file API of these tests.
    pub fn start() -> Self {
        Self::begin(false, tempfile::tempdir().unwrap())
    }

    /// With `files` itself, whose file system lies in that folder.
    pub fn start_real(dir: TempDir) -> Self {
        Self::begin(true, dir)
    }

    fn begin(is_real: bool, dir: TempDir) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let told = Told {
            requests: Vec::new(),
            api: 1,
            tokens: vec![TOKEN.into()],
            cut_content: (0, 0),
            break_after: (0, ""),
            break_before: (0, ""),
            quota: None,
            refuse: None,
            listing: None,
            uploads: Vec::new(),
            trash: Vec::new(),
            imports: Vec::new(),
            digest: None,
            rsync: None,
            cut_rsync: None,
            busy_rsync: 0,
            instead: None,
            cut_bundle: (0, 0),
            forget_at: None,
        };
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::create_dir(dir.path().join("hidden")).unwrap();
        let gateway = Self(Arc::new(Inner {
            address: listener.local_addr().unwrap(),
            real: is_real.then(|| runtime.block_on(async { Real::open(&dir.path().join("root")) })),
            dir,
            state: Mutex::new(told),
            runtime: Mutex::new(None),
        }));
        let router = Router::new()
            .fallback(answer)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Weak(Arc::downgrade(&gateway.0)));
        runtime.spawn(async move { axum::serve(listener, router).await });
        *gateway.0.runtime.lock().unwrap() = Some(runtime);
        gateway
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// What the file system holds.
    pub fn root(&self) -> PathBuf {
        self.0.dir.path().join("root")
    }

    /// Where uploads and the trash lie.
    pub fn hidden(&self) -> PathBuf {
        self.0.dir.path().join("hidden")
    }

    pub fn at(&self, path: &FilePath) -> PathBuf {
        self.root().join(std::ffi::OsStr::from_bytes(path.as_bytes()))
    }

    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what it has seen; how many requests there were.
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.told().requests)
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Clone)]
struct Weak(std::sync::Weak<Inner>);

async fn answer(
    State(gateway): State<Weak>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    request: axum::extract::Request,
) -> Response {
    let Some(gateway) = gateway.0.upgrade().map(Gateway) else { return StatusCode::GONE.into_response() };
    gateway.told().requests.push(format!("{method} {uri}"));
    let mut request = request;
    let upgrade = hyper::upgrade::on(&mut request);
    let body = request.into_body();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    if uri.path() == "/wfs/v1/version" {
        return axum::Json(json!({"version": "0.1.0", "api": gateway.told().api})).into_response();
    }
    if gateway.told().forget_at == Some(method.as_str()) {
        gateway.told().tokens.clear();
    }
    let token = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if !token.is_some_and(|token| gateway.told().tokens.iter().any(|known| known == token)) {
        return error(401, "Unauthenticated", "the token is not known");
    }
    if take(&mut gateway.told().break_before, method.as_str()) {
        // Nothing is printed, and the connection ends with its task.
        std::panic::resume_unwind(Box::new(()));
    }
    let rest = APIS.iter().find_map(|api| uri.path().strip_prefix(api));
    if rest == Some("rsync") {
        return crate::rsync::answer(&gateway, &method, upgrade);
    }
    let instead = gateway.told().instead.clone();
    if let Some((_, status, body)) =
        instead.filter(|(path, ..)| rest.is_some_and(|rest| rest.starts_with(path)))
    {
        return (StatusCode::from_u16(status).unwrap(), body).into_response();
    }
    if let (Some(real), Some(rest)) = (&gateway.0.real, rest) {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut answer = real.ask(&method, &format!("/v1/{rest}{query}"), headers, body).await;
        let cut = gateway.told().cut_bundle;
        if rest.starts_with("bundle") && cut.0 > 0 {
            gateway.told().cut_bundle.0 -= 1;
            answer = cut_off(answer, cut.1).await;
        }
        if take(&mut gateway.told().break_after, method.as_str()) {
            std::panic::resume_unwind(Box::new(()));
        }
        return answer;
    }
    let answer = tokio::task::block_in_place(|| {
        let Some(rest) = rest else { return page(&gateway, uri.path()) };
        let query = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let query = query.map(|(key, value)| (key.to_owned(), unescaped(value))).collect();
        let request = Request { method: method.clone(), rest: rest.to_owned(), query, headers, body };
        handlers::answer(&gateway, &request)
    });
    if take(&mut gateway.told().break_after, method.as_str()) {
        std::panic::resume_unwind(Box::new(()));
    }
    answer
}

impl Real {
    fn open(root: &Path) -> Self {
        let signer = Signer::from_pem(&Signer::generate_pem().unwrap()).unwrap();
        let verifier = Verifier::new(vec![signer.public_key()], "uid");
        let owner = Owner { uid: 0, gid: 0, mode: 0o775 };
        let root = Arc::new(Root::open(root, owner).unwrap());
        let settings = Settings { trash_days: 30, upload_days: 7, allow_endpoints: vec![], rsync: None };
        let app = App::new(root, verifier, settings, Metrics::default());
        Self { router: router(&app), signer }
    }

    /// As the gateway asks it: without the caller's token, with an assertion of the request.
    async fn ask(&self, method: &Method, target: &str, mut headers: HeaderMap, body: Bytes) -> Response {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let verbs = [Verb::Read, Verb::Write, Verb::Delete];
        let claims = Claims::new("jane", "uid", &verbs, format!("{method} {target}"), now);
        headers.remove("authorization");
        let name: axum::http::HeaderName = ASSERTION_HEADER.parse().unwrap();
        headers.insert(name, self.signer.sign(&claims).parse().unwrap());
        let mut request =
            axum::extract::Request::builder().method(method).uri(target).body(Body::from(body)).unwrap();
        *request.headers_mut() = headers;
        self.router.clone().oneshot(request).await.unwrap()
    }
}

/// The beginning of an answer, and then a connection that breaks.
async fn cut_off(answer: Response, bytes: usize) -> Response {
    let (head, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let pieces = [Ok(body.slice(..bytes.min(body.len()))), Err(std::io::Error::other("cut"))];
    let stream = futures::stream::unfold(pieces.into_iter(), |mut pieces| async move {
        let piece = pieces.next()?;
        if piece.is_err() {
            // After the first one has gone out.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Some((piece, pieces))
    });
    Response::from_parts(head, Body::from_stream(stream))
}

fn take(fault: &mut (usize, &'static str), method: &str) -> bool {
    let hit = fault.0 > 0 && fault.1 == method;
    fault.0 -= usize::from(hit);
    hit
}

fn unescaped(value: &str) -> String {
    String::from_utf8(percent_encoding::percent_decode_str(value).collect()).unwrap()
}

/// What is not the file API.
fn page(gateway: &Gateway, path: &str) -> Response {
    let fs = |name: &str, default: bool, used: Value| {
        json!({
            "name": name, "uid": "u", "kind": "managed", "default": default, "nodeGroup": null, "capacity": 1_u64 << 40,
            "used": used, "available": 1_u64 << 39, "health": "Ready", "message": "", "files": "Ready",
            "rights": {"read": true, "write": true, "delete": default}, "localCache": false,
        })
    };
    match path {
        "/wfs/v1/session" => {
            axum::Json(json!({"user": "jane", "groups": ["a", "b"], "csrf": "x", "version": "0.1.0"})).into_response()
        }
        "/wfs/v1/workspaces/team-a/filesystems" => {
            axum::Json(json!([fs("default", true, json!(5)), fs("more", false, Value::Null)])).into_response()
        }
        "/wfs/v1/workspaces/team-a/storage" => axum::Json(json!({
            "nodeGroups": ["gpu"],
            "localStorages": [{"name": "scratch", "nodeGroup": "gpu", "media": "SSD", "nodes": 2, "nodesReady": 1,
                "capacity": 1_u64 << 40, "health": "NotReady", "message": "n2 has no disk"}],
            "caches": [{"name": "warm", "source": "default", "paths": ["/x"], "target": "scratch",
                "phase": "Ready", "progress": null, "size": 5, "asOf": "2026-01-01T00:00:00Z", "health": "Ready", "message": ""}],
        }))
        .into_response(),
        _ => {
            let _ = gateway;
            error(404, "NotFound", "there is no such thing")
        }
    }
}

pub fn error(status: u16, code: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, axum::Json(json!({"code": code, "message": message}))).into_response()
}
