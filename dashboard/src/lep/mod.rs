//! The wire contract of the `lep storage` client, spoken so that the real, unmodified client works. Each request is translated into
//! one or more of the file API and goes the same way as all others: the caller's rights are reviewed, changes are in the audit log,
//! bodies are streamed. What is not in the tables of this module does not exist: the client takes `..` out of paths by itself, so
//! that a path of its user's can end anywhere.

mod contents;
mod incoming;
mod listing;
mod paths;
mod refused;
mod rsync;
mod upload;
mod workspace;

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Version, request};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use workspacefs_files_proto::FilePath;

use self::incoming::Incoming;
use self::paths::{Asked, Base, What};
use self::refused::Refused;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::files::{self, Place};
use crate::gateway::{Gateway, Peer};

/// A page of a listing is the largest answer that is read here.
const ANSWER_BYTES_MAX: usize = 32 << 20;

type Of<T> = Result<T, Refused>;

/// Answers everything at `/api/v1` and below `/api/v2/workspaces`.
pub async fn serve(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = Incoming::new(body);
    let caller = gateway.callers.program(&parts).await;
    let is_known = caller.is_ok();
    let answered = async {
        let caller = caller.map_err(ApiError::from)?;
        let asked = paths::parse(parts.uri.path()).ok_or(ApiError::NotFound)?;
        let session = Session::of(gateway, caller, &asked, &parts)?;
        answer(session, asked.what, &parts, &body).await
    };
    let response = answered.await.unwrap_or_else(Refused::into_response);
    // The client reads an answer only after its last byte is sent.
    body.drain(is_known).await;
    response
}

/// The table: which method of which address does what. The rights are those of the file API's routes behind it.
async fn answer(session: Session, what: What<'_>, parts: &request::Parts, body: &Incoming) -> Of<Response> {
    let remove_all = paths::remove_all(&parts.method, parts.uri.query())?;
    Ok(match (parts.method.as_str(), what) {
        ("HEAD", What::File { fs, path }) => contents::exists(&session, fs, &decoded(path)?).await?,
        ("GET", What::File { fs, path }) => {
            contents::get(session, fs, decoded(path)?, &parts.headers).await?
        }
        ("PUT", What::File { fs, path }) => contents::make_folder(&session, fs, &decoded(path)?).await?,
        ("POST", What::File { fs, path }) => upload::upload(&session, fs, path, &parts.headers, body).await?,
        ("DELETE", What::File { fs, path }) => {
            contents::delete(&session, fs, &decoded(path)?, remove_all).await?
        }
        ("GET", What::Usage) => Json(workspace::usage(&session).await?).into_response(),
        ("GET", What::FileSystems) => Json(workspace::file_systems(&session).await?).into_response(),
        ("GET", What::Base) => Json(workspace::base(&session).await?).into_response(),
        ("GET", What::Tokens) => Json(workspace::tokens(&session).await?).into_response(),
        ("GET", What::Workspace) => Json(workspace::about(&session).await?).into_response(),
        ("GET", What::NodeGroups) => Json(workspace::node_groups(&session).await?).into_response(),
        ("GET", What::Rsync) => Json(rsync::deployment(&session).await?).into_response(),
        ("GET", What::RsyncReplicas) => Json(rsync::replicas(&session).await?).into_response(),
        _ => return Err(ApiError::NotFound.into()),
    })
}

fn decoded(path: &str) -> Of<FilePath> {
    Ok(FilePath::decode(path)?)
}

/// Who asks, and in which workspace.
#[derive(Clone)]
struct Session {
    gateway: Arc<Gateway>,
    caller: Caller,
    ws: String,
    peer: Peer,
    version: Version,
}

impl Session {
    fn of(gateway: Arc<Gateway>, caller: Caller, asked: &Asked<'_>, parts: &request::Parts) -> Of<Self> {
        let ws = match asked.base {
            Base::Named(ws) => ws,
            Base::OfToken => paths::workspace_of(&caller.identity.user).ok_or(Refused::NoWorkspace)?,
        };
        let ws = ws.to_owned();
        Ok(Self { gateway, caller, ws, peer: Peer::of(&parts.extensions), version: parts.version })
    }

    /// Asks the file API of a FileSystem. `rest` is a path behind `/api/`, with its query.
    async fn ask(
        &self,
        fs: &str,
        method: Method,
        rest: &str,
        headers: HeaderMap,
        body: Body,
    ) -> Of<Response> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.version_mut() = self.version;
        *request.headers_mut() = headers;
        *request.uri_mut() = format!("/{rest}").parse().map_err(|_| ApiError::Internal)?;
        let (parts, ()) = request.into_parts();
        let rest = rest.split('?').next().unwrap_or_default().to_owned();
        let place = Place { ws: self.ws.clone(), fs: fs.to_owned(), rest };
        let (caller, peer) = (self.caller.clone(), self.peer.clone());
        refused::checked(files::forward(&self.gateway, caller, place, parts, body, peer).await?).await
    }

    /// Asks for something that is JSON.
    async fn read<T: DeserializeOwned>(&self, fs: &str, rest: &str) -> Of<T> {
        let answer = self.ask(fs, Method::GET, rest, HeaderMap::new(), Body::empty()).await?;
        let bytes = to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await.map_err(|_| broken_off())?;
        serde_json::from_slice(&bytes).map_err(|_| broken_off())
    }

    /// The same for somebody who is known and may still, a while later.
    async fn again(&self) -> Of<Self> {
        let identity = self.gateway.callers.again(&self.caller).await.map_err(ApiError::from)?;
        let identity = identity.ok_or(ApiError::Unauthenticated("the token ended meanwhile"))?;
        Ok(Self { caller: Caller { identity, ..self.caller.clone() }, ..self.clone() })
    }
}

fn broken_off() -> Refused {
    ApiError::Unreachable("its answer broke off".into()).into()
}
