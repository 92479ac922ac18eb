//! The trash: what is in it, putting it back, deleting it for good.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use utoipa::IntoParams;
use workspacefs_files_proto::types::{Entry, Restore, TrashListing};

use super::browse::limit;
use crate::app::App;
use crate::auth::{Caller, Delete, Read, Write};
use crate::error::Error;
use crate::http::{self, Args};
use crate::refusals::{OfBody, OfCaller, OfNames, OfRequest, OfRoom, OfServer};
use crate::trash;
use crate::uploads::path_of;

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/trash", get(list).delete(empty))
        .route("/v1/trash/{id}", delete(remove))
        .route("/v1/trash/{id}/restore", post(restore))
}

/// Query of a page.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageArgs {
    /// Entries on a page, 1 to 10,000; 1,000 if it is left out.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// What was deleted, the latest first.
#[utoipa::path(get, path = "/v1/trash", tag = "trash", params(PageArgs),
    responses((status = 200, body = TrashListing), OfCaller, OfRequest, OfRoom, OfServer))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    _: Caller<Read>,
    Args(args): Args<PageArgs>,
) -> Result<Json<TrashListing>, Error> {
    let (root, days, limit) = (Arc::clone(&app.root), app.settings.trash_days, limit(args.limit)?);
    app.pool.run(move || trash::list(&root, days, limit, args.cursor.as_deref())).await.map(Json)
}

/// Puts something back, by default where it was.
#[utoipa::path(post, path = "/v1/trash/{id}/restore", tag = "trash", params(("id" = String, Path,)), request_body = Restore,
    responses((status = 200, body = Entry), OfCaller, OfRequest, OfNames, OfBody, OfRoom, OfServer))]
pub(crate) async fn restore(
    State(app): State<Arc<App>>,
    _: Caller<Write>,
    Path(id): Path<String>,
    http::Json(wish): http::Json<Restore>,
) -> Result<Json<Entry>, Error> {
    let to = wish.to.as_deref().map(|to| path_of("to", to)).transpose()?;
    let root = Arc::clone(&app.root);
    app.pool.run(move || trash::restore(&root, &id, to)).await.map(Json)
}

/// Deletes something for good.
#[utoipa::path(delete, path = "/v1/trash/{id}", tag = "trash", params(("id" = String, Path,)),
    responses((status = 204), OfCaller, OfRequest, OfNames, OfRoom, OfServer))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    _: Caller<Delete>,
    Path(id): Path<String>,
) -> Result<StatusCode, Error> {
    let root = Arc::clone(&app.root);
    app.pool.run_long(move || trash::delete(&root, &id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes everything in it for good.
#[utoipa::path(delete, path = "/v1/trash", tag = "trash",
    responses((status = 204), OfCaller, OfNames, OfRoom, OfServer))]
pub(crate) async fn empty(State(app): State<Arc<App>>, _: Caller<Delete>) -> Result<StatusCode, Error> {
    let root = Arc::clone(&app.root);
    app.pool.run_long(move || trash::empty(&root)).await?;
    Ok(StatusCode::NO_CONTENT)
}
