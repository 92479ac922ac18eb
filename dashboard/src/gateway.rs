//! All that requests need, and how they find their way to it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use tokio_util::sync::CancellationToken;
use workspacefs_files_proto::Signer;

use crate::caller::{Callers, Door};
use crate::error::ApiError;
use crate::files::imports::Imports;
use crate::files::leash::LeashTimes;
use crate::files::{self, Upstream};
use crate::lep;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::{api, pages};

/// What one gateway works with.
pub struct Gateway {
    /// Who calls, and what they may.
    pub callers: Callers,
    /// The cluster's objects.
    pub objects: Objects,
    /// The way to the file APIs.
    pub upstream: Upstream,
    /// Signs assertions.
    pub signer: Signer,
    /// How much of one user, and of one FileSystem, runs at once.
    pub limits: Limits,
    /// The imports that were begun here.
    pub imports: Imports,
    /// What is counted.
    pub metrics: Metrics,
    /// How long transfers may stand still.
    pub times: LeashTimes,
    /// Key of the label that names a node's group.
    pub group_label: String,
}

/// The connection by which a request came.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Which listener let it in.
    pub door: Door,
    /// Closes it.
    pub hang_up: CancellationToken,
}

impl Peer {
    /// Of a request that came by one of our listeners; any other is treated as one from anywhere.
    pub fn of(extensions: &Extensions) -> Self {
        let anybody = || Self { door: Door::Main, hang_up: CancellationToken::new() };
        extensions.get::<Self>().cloned().unwrap_or_else(anybody)
    }
}

/// The routes.
pub fn router(gateway: Arc<Gateway>) -> Router {
    // Not nested: a nested route would see another path than was sent.
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/wfs/v1/healthz", get(async || "ok"))
        .route("/wfs/v1/version", get(api::version))
        .route("/wfs/v1/login", post(api::login))
        .route("/wfs/v1/logout", post(api::logout))
        .route("/wfs/v1/session", get(api::session))
        .route("/wfs/v1/workspaces", get(api::workspaces))
        .route("/wfs/v1/workspaces/{ws}/filesystems", get(api::file_systems))
        .route("/wfs/v1/workspaces/{ws}/storage", get(api::storage))
        .route("/wfs/v1/workspaces/{ws}/manifest", post(api::manifest))
        .route("/wfs/v1/workspaces/{ws}/filesystems/{fs}/api/rsync", any(files::proxy).post(files::tunnel))
        .route("/wfs/v1/workspaces/{ws}/filesystems/{fs}/api/{*rest}", any(files::proxy))
        .route("/api/v1", any(lep::serve))
        .route("/api/v1/", any(lep::serve))
        .route("/api/v1/{*rest}", any(lep::serve))
        .route("/api/v2/workspaces/{*rest}", any(lep::serve))
        .fallback(pages::page)
        .method_not_allowed_fallback(async || ApiError::NotFound)
        .layer(middleware::from_fn_with_state(gateway.clone(), finish))
        .with_state(gateway)
}

/// What every answer has, whatever it is, unless it has said so itself already.
const EVERYWHERE: [(&str, &str); 7] = [
    ("strict-transport-security", "max-age=31536000"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

async fn finish(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    gateway.metrics.answered(response.status().as_u16());
    add_missing(response.headers_mut());
    response.into_response()
}

fn add_missing(headers: &mut HeaderMap) {
    for (name, value) in EVERYWHERE {
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
}
