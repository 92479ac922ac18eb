//! The state that all routes share, and the router that is made of them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::sync::Notify;
use workspacefs_buckets::Allowed;
use workspacefs_files_proto::Verifier;

use crate::auth::authenticate;
use crate::error::Error;
use crate::imports::{Imports, Waits};
use crate::memory::Memory;
use crate::metrics::{self, Metrics};
use crate::pool::Pool;
use crate::root::Root;
use crate::unpack::Together;
use crate::uploads::Holds;
use crate::{imports, openapi, routes};

/// What the command line says about keeping.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long the trash keeps.
    pub trash_days: u32,
    /// How long an upload may rest.
    pub upload_days: u32,
    /// What lies inside the cluster and imports may connect to all the same.
    pub allow_endpoints: Vec<Allowed>,
    /// The folder shared with the rsync daemon beside this process, if there is one.
    pub rsync: Option<PathBuf>,
}

/// See the module.
#[derive(Debug)]
pub struct App {
    /// What is served.
    pub root: Arc<Root>,
    /// Where file system calls wait.
    pub pool: Pool,
    /// For contents on their way.
    pub memory: Memory,
    /// Whom to believe.
    pub verifier: Verifier,
    /// How long things are kept.
    pub settings: Settings,
    /// Which uploads are being written.
    pub holds: Arc<Holds>,
    /// What is counted.
    pub metrics: Metrics,
    /// Woken when there is something to measure in the trash.
    pub sweep: Notify,
    /// What comes from buckets.
    pub(crate) imports: Imports,
    /// How small files of archives get to the disk, while some do.
    pub(crate) together: Mutex<Weak<Together>>,
}

impl App {
    /// Of these parts.
    pub fn new(root: Arc<Root>, verifier: Verifier, settings: Settings, metrics: Metrics) -> Arc<Self> {
        let imports = Imports::open(&root, &settings.allow_endpoints, Waits::default(), &metrics);
        Arc::new(Self {
            imports,
            root,
            pool: Pool::default(),
            memory: Memory::default(),
            verifier,
            settings,
            holds: Arc::default(),
            metrics,
            sweep: Notify::new(),
            together: Mutex::default(),
        })
    }
}

/// Everything under one address.
pub fn router(app: &Arc<App>) -> Router {
    let api = Router::new()
        .merge(routes::browse::router())
        .merge(routes::batch::router())
        .merge(routes::content::router())
        .merge(routes::change::router())
        .merge(routes::streams::router())
        .merge(routes::rsync::router())
        .merge(routes::trash::router())
        .merge(routes::uploads::router())
        .merge(imports::routes::router())
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::bad("this method is not for this address"))
        .layer(from_fn_with_state(Arc::clone(app), authenticate));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/openapi.json", get(async || axum::Json(openapi::document())))
        .merge(api)
        .layer(from_fn(hardened))
        .layer(from_fn_with_state(Arc::clone(app), counted))
        .with_state(Arc::clone(app))
}

/// Should anybody reach this without the gateway, nothing that is stored runs in their browser.
async fn hardened(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("cache-control", "no-store"),
    ] {
        answer.headers_mut().entry(name).or_insert(axum::http::HeaderValue::from_static(value));
    }
    answer
}

async fn counted(
    State(app): State<Arc<App>>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let path = matched.as_ref().map_or("other", MatchedPath::as_str);
    let route = format!("{} {path}", known(request.method()));
    let answer = next.run(request).await;
    let status = answer.status().as_u16();
    app.metrics.requests.get_or_create(&metrics::Request { route, status }).inc();
    answer.into_response()
}

/// A method may be any word; those of callers are not remembered.
fn known(method: &axum::http::Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "PUT" | "POST" | "PATCH" | "DELETE" | "OPTIONS") => known,
        _ => "OTHER",
    }
}
