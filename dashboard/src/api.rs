//! The gateway's own answers: sessions, and what the caller has. Each first asks who calls, then what they may know.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header, request};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, future, stream};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use workspacefs_api::FileSystem;

use crate::answers::{self, FileSystemAnswer, Storage, Workspace};
use crate::audit;
use crate::caller::{self, Caller, Credential, Door};
use crate::error::ApiError;
use crate::gateway::{Gateway, Peer};
use crate::manifest::{self, Form};
use crate::review::{Identity, Question};
use crate::secret::Token;

const BODY_BYTES_MAX: usize = 64 << 10;
const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// Workspaces that are asked about at once.
const AT_ONCE: usize = 16;

type Of<T> = Result<T, ApiError>;

/// `GET /version`.
pub async fn version() -> Response {
    Json(serde_json::json!({"version": env!("CARGO_PKG_VERSION"), "api": 1})).into_response()
}

#[derive(Serialize)]
struct Session<'a> {
    user: &'a str,
    groups: &'a [String],
    csrf: &'a str,
    version: &'static str,
}

fn said(identity: &Identity, csrf: &str) -> Response {
    let version = env!("CARGO_PKG_VERSION");
    Json(Session { user: &identity.user, groups: &identity.groups, csrf, version }).into_response()
}

#[derive(Deserialize)]
struct Login {
    token: String,
}

/// `POST /login`.
pub async fn login(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (response, user) = match log_in(&gateway, request).await {
        Ok((response, identity)) => (response, identity.user.clone()),
        Err(error) => (error.into_response(), String::new()),
    };
    let status = response.status().as_u16();
    gateway.metrics.login(status);
    audit::session("login", &user, status);
    response
}

async fn log_in(gateway: &Gateway, request: Request) -> Of<(Response, Arc<Identity>)> {
    let (parts, body) = request.into_parts();
    caller::check_origin(&parts)?;
    if !matches!(Peer::of(&parts.extensions).door, Door::Main) {
        // Behind the proxy, the proxy says who it is.
        return Err(ApiError::NotFound);
    }
    let login: Login = read(&parts, body).await?;
    let token = Token::parse(login.token.trim())
        .ok_or(ApiError::Unauthenticated("this is no token: it has visible ASCII characters only"))?;
    let identity = gateway.callers.reviewer().identify(&token).await?;
    let identity = identity.ok_or(ApiError::Unauthenticated("the token is not good, or no longer"))?;
    let opened = gateway.callers.sessions().open(&identity.user, token).map_err(|error| {
        tracing::warn!(%error, "no session");
        ApiError::Busy
    })?;
    let mut response = said(&identity, &opened.csrf);
    response.headers_mut().insert(header::SET_COOKIE, opened.set_cookie);
    Ok((response, identity))
}

/// `GET /session`.
pub async fn session(State(gateway): State<Arc<Gateway>>, request: Request) -> Of<Response> {
    let (parts, _) = request.into_parts();
    let caller = known(&gateway, &parts).await?;
    Ok(said(&caller.identity, &caller.csrf))
}

/// `POST /logout`.
pub async fn logout(State(gateway): State<Arc<Gateway>>, request: Request) -> Of<Response> {
    let (parts, _) = request.into_parts();
    let caller = known(&gateway, &parts).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Credential::Session(key, _) = &caller.by {
        gateway.callers.sessions().close(key);
        response.headers_mut().insert(header::SET_COOKIE, caller::sessions::forget());
    }
    audit::session("logout", &caller.identity.user, StatusCode::NO_CONTENT.as_u16());
    Ok(response)
}

/// `GET /workspaces`.
pub async fn workspaces(State(gateway): State<Arc<Gateway>>, request: Request) -> Of<Json<Vec<Workspace>>> {
    let (parts, _) = request.into_parts();
    let who = known(&gateway, &parts).await?.identity;
    let all = gateway.objects.workspaces();
    // Who may list them everywhere is asked about once.
    let everywhere = sees(&gateway, &who, "filesystems", "").await?;
    let asked = stream::iter(all).map(|ws| {
        let (gateway, who) = (&gateway, &who);
        async move {
            let may = everywhere || sees(gateway, who, "filesystems", &ws).await?;
            let file_systems = gateway.objects.file_systems_of(&ws);
            Ok::<_, ApiError>(may.then_some(Workspace { name: ws, file_systems }))
        }
    });
    let seen: Vec<Option<Workspace>> = asked.buffered(AT_ONCE).try_collect().await?;
    Ok(Json(seen.into_iter().flatten().collect()))
}

/// `GET /workspaces/{ws}/filesystems`.
pub async fn file_systems(
    State(gateway): State<Arc<Gateway>>,
    Path(ws): Path<String>,
    request: Request,
) -> Of<Json<Vec<FileSystemAnswer>>> {
    let (parts, _) = request.into_parts();
    let who = member(&gateway, &parts, &ws).await?.identity;
    let answer = |fs: FileSystem| {
        let (gateway, who, ws) = (&gateway, &who, &ws);
        async move {
            let name = fs.metadata.name.clone().unwrap_or_default();
            let rights = gateway.callers.reviewer().rights(who, ws, &name).await?;
            Ok::<_, ApiError>(answers::file_system(&fs, rights))
        }
    };
    Ok(Json(future::try_join_all(gateway.objects.file_systems(&ws).into_iter().map(answer)).await?))
}

/// `GET /workspaces/{ws}/storage`. A workspace's members see the LocalStorages that it may use: there is a claim of each anyway.
pub async fn storage(
    State(gateway): State<Arc<Gateway>>,
    Path(ws): Path<String>,
    request: Request,
) -> Of<Json<Storage>> {
    let (parts, _) = request.into_parts();
    let who = member(&gateway, &parts, &ws).await?.identity;
    let objects = &gateway.objects;
    let sees_caches = sees(&gateway, &who, "fscaches", &ws).await?;
    let caches = if sees_caches { objects.caches(&ws) } else { Vec::new() };
    Ok(Json(answers::storage(&objects.file_systems(&ws), &objects.storages(&ws), &caches)))
}

/// `POST /workspaces/{ws}/manifest`.
pub async fn manifest(
    State(gateway): State<Arc<Gateway>>,
    Path(ws): Path<String>,
    request: Request,
) -> Of<Response> {
    let (parts, body) = request.into_parts();
    member(&gateway, &parts, &ws).await?;
    let form: Form = read(&parts, body).await?;
    let yaml = manifest::yaml(form, &ws, &gateway.group_label, &gateway.objects)?;
    Ok(Json(serde_json::json!({"yaml": yaml})).into_response())
}

async fn known(gateway: &Gateway, parts: &request::Parts) -> Of<Caller> {
    Ok(gateway.callers.of(parts, &Peer::of(&parts.extensions).door).await?)
}

/// Somebody who may list the FileSystems of that workspace. To everybody else it is not there.
async fn member(gateway: &Gateway, parts: &request::Parts, ws: &str) -> Of<Caller> {
    let caller = known(gateway, parts).await?;
    // The API server is asked in any case: how long an answer takes must not tell what is there.
    let is_name = workspacefs_api::manifest::name(ws).is_ok();
    let may = is_name && sees(gateway, &caller.identity, "filesystems", ws).await?;
    if may && gateway.objects.is_workspace(ws) { Ok(caller) } else { Err(ApiError::NotFound) }
}

/// Whether they may list those objects there.
pub(crate) async fn sees(
    gateway: &Gateway,
    who: &Arc<Identity>,
    resource: &'static str,
    ws: &str,
) -> Of<bool> {
    Ok(gateway.callers.reviewer().allows(who, Question::list(resource, ws)).await?)
}

/// A JSON body. Its media type must say so: a form of another site cannot.
async fn read<T: DeserializeOwned>(parts: &request::Parts, body: Body) -> Of<T> {
    let kind =
        parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::bad("the body must be application/json", None));
    }
    let collected = timeout(BODY_TIME_MAX, to_bytes(body, BODY_BYTES_MAX)).await;
    let bytes = collected.map_err(|_| ApiError::TimedOut)?.map_err(|_| ApiError::TooLarge(BODY_BYTES_MAX))?;
    // What serde says of a wrong body may hold a part of it, so of a login it is not repeated.
    serde_json::from_slice(&bytes).map_err(|error| {
        ApiError::bad(format!("the body is not what it should be, at column {}", error.column()), None)
    })
}
