//! The routes of imports.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use workspacefs_files_proto::Code;
use workspacefs_files_proto::import::{Import, ImportRequest, ImportResume};
use zeroize::Zeroizing;

use super::ImportError;
use crate::app::App;
use crate::auth::{Caller, Read, Write};
use crate::error::Error;
use crate::http::Pieces;
use crate::refusals::{OfBody, OfCaller, OfNames, OfRequest, OfRoom, OfServer};

/// The longest body: a form with the longest prefix and destination has less.
const BODY_BYTES_MAX: usize = 16 << 10;
/// When to come again, seconds.
const RETRY_AFTER: u64 = 5;

/// All of them.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/imports", get(list).post(begin))
        .route("/v1/imports/{id}", get(show).delete(end))
        .route("/v1/imports/{id}/resume", post(resume))
}

/// A body with keys in it, which is wiped.
pub(crate) struct Body(Zeroizing<Vec<u8>>);

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        // All of it at once: what grows leaves copies behind.
        let mut body = Zeroizing::new(Vec::with_capacity(BODY_BYTES_MAX));
        let mut pieces = Pieces::new(request.into_body());
        while let Some(piece) = pieces.next().await? {
            if body.len() + piece.len() > BODY_BYTES_MAX {
                return Err(Error::TooLarge("the form of an import has at most 16 KiB"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Self(body))
    }
}

impl IntoResponse for ImportError {
    fn into_response(self) -> Response {
        let body = self.body();
        tracing::debug!(error = %self, "a request about imports was refused");
        let status = StatusCode::from_u16(body.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = body.code;
        let mut answer = (status, axum::Json(body)).into_response();
        if code == Code::Busy {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        }
        answer
    }
}

/// All imports, the latest first, each with the first ten of its failures.
#[utoipa::path(get, path = "/v1/imports", tag = "imports",
    responses((status = 200, body = Vec<Import>), OfCaller))]
pub(crate) async fn list(_: Caller<Read>, State(app): State<Arc<App>>) -> axum::Json<Vec<Import>> {
    axum::Json(app.imports.list())
}

/// An import, with the first thousand of its failures.
#[utoipa::path(get, path = "/v1/imports/{id}", tag = "imports", params(("id" = String, Path,)),
    responses((status = 200, body = Import), OfCaller, OfRequest))]
pub(crate) async fn show(
    _: Caller<Read>,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<axum::Json<Import>, ImportError> {
    app.imports.get(&id).map(axum::Json)
}

/// Begins an import, if the service lists what was asked for. `field` of an error names what to correct.
#[utoipa::path(post, path = "/v1/imports", tag = "imports", request_body = ImportRequest,
    responses((status = 201, body = Import), OfCaller, OfRequest, OfNames, OfBody, OfServer))]
pub(crate) async fn begin(
    caller: Caller<Write>,
    State(app): State<Arc<App>>,
    body: Body,
) -> Result<(StatusCode, axum::Json<Import>), ImportError> {
    let import = app.imports.begin(&body.0, &caller.user).await?;
    Ok((StatusCode::CREATED, axum::Json(import)))
}

/// Lets an import go on that was interrupted, cancelled, or failed. What is there is not read again.
#[utoipa::path(post, path = "/v1/imports/{id}/resume", tag = "imports", params(("id" = String, Path,)), request_body = ImportResume,
    responses((status = 200, body = Import), OfCaller, OfRequest, OfNames, OfBody, OfServer))]
pub(crate) async fn resume(
    caller: Caller<Write>,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    body: Body,
) -> Result<axum::Json<Import>, ImportError> {
    app.imports.resume(&id, &body.0, &caller.user).await.map(axum::Json)
}

/// Cancels an import that runs; forgets one that ended. Files stay.
#[utoipa::path(delete, path = "/v1/imports/{id}", tag = "imports", params(("id" = String, Path,)),
    responses((status = 204), OfCaller, OfRequest, OfRoom, OfServer))]
pub(crate) async fn end(
    caller: Caller<Write>,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<StatusCode, ImportError> {
    app.imports.delete(&id, &caller.user).await.map(|()| StatusCode::NO_CONTENT)
}
