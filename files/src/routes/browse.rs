//! Looking: folders, single entries, how full it is.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use rustix::fs::fstatvfs;
use serde::Deserialize;
use utoipa::IntoParams;
use workspacefs_files_proto::types::{Entry, Listing, Order, Sort, Usage};

use crate::app::App;
use crate::auth::{Caller, Read};
use crate::error::Error;
use crate::http::{Args, Target};
use crate::listing::{self, Wish};
use crate::refusals::{OfCaller, OfCursor, OfNames, OfRequest, OfServer};
use crate::root::Root;
use crate::trash;

pub(crate) fn router() -> Router<Arc<App>> {
    let (list, stat) = (get(list), get(stat));
    Router::new()
        .route("/v1/list", list.clone())
        .route("/v1/list/", list.clone())
        .route("/v1/list/{*path}", list)
        .route("/v1/stat", stat.clone())
        .route("/v1/stat/", stat.clone())
        .route("/v1/stat/{*path}", stat)
        .route("/v1/usage", get(usage))
}

/// Query of a listing.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListArgs {
    /// Entries on a page, 1 to 10,000; 1,000 if it is left out.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// What it is sorted by.
    #[serde(default)]
    #[param(inline)]
    sort: Sort,
    /// Which end comes first.
    #[serde(default)]
    #[param(inline)]
    order: Order,
}

/// Checks a number of entries.
pub(crate) fn limit(asked: Option<usize>) -> Result<usize, Error> {
    match asked {
        None => Ok(listing::LIMIT),
        Some(limit @ 1..=listing::LIMIT_MAX) => Ok(limit),
        Some(_) => Err(Error::field("limit", "a page has 1 to 10,000 entries")),
    }
}

/// What lies in a folder.
#[utoipa::path(get, path = "/v1/list/{path}", tag = "files",
    params(("path" = String, Path, description = "Percent-encoded byte by byte; empty is the root"), ListArgs),
    responses((status = 200, body = Listing), OfCaller, OfRequest, OfNames, OfCursor, OfServer))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    _: Caller<Read>,
    Target(path): Target,
    Args(args): Args<ListArgs>,
) -> Result<Json<Listing>, Error> {
    let wish = Wish { limit: limit(args.limit)?, cursor: args.cursor, sort: args.sort, order: args.order };
    let root = Arc::clone(&app.root);
    app.pool.run(move || listing::page(&root, &path, &wish)).await.map(Json)
}

/// One entry; a link itself.
#[utoipa::path(get, path = "/v1/stat/{path}", tag = "files", params(("path" = String, Path,)),
    responses((status = 200, body = Entry), OfCaller, OfRequest, OfNames, OfServer))]
pub(crate) async fn stat(
    State(app): State<Arc<App>>,
    _: Caller<Read>,
    Target(path): Target,
) -> Result<Json<Entry>, Error> {
    let root = Arc::clone(&app.root);
    app.pool.run(move || Ok(root.facts(&path)?.entry(&path))).await.map(Json)
}

/// How full the file system is.
#[utoipa::path(get, path = "/v1/usage", tag = "files",
    responses((status = 200, body = Usage), OfCaller, OfServer))]
pub(crate) async fn usage(State(app): State<Arc<App>>, _: Caller<Read>) -> Result<Json<Usage>, Error> {
    let root = Arc::clone(&app.root);
    app.pool.run(move || used(&root)).await.map(Json)
}

fn used(root: &Root) -> Result<Usage, Error> {
    let stat = fstatvfs(root.as_fd()).map_err(Error::at("ask how full it is"))?;
    let known = |total: u64, value: u64| (total > 0).then_some(value);
    let bytes = |blocks: u64| known(stat.f_blocks, blocks.saturating_mul(stat.f_frsize));
    Ok(Usage {
        capacity: bytes(stat.f_blocks),
        used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
        available: bytes(stat.f_bavail),
        inodes: known(stat.f_files, stat.f_files),
        inodes_used: known(stat.f_files, stat.f_files.saturating_sub(stat.f_ffree)),
        // Where nothing can be written there is no trash.
        trash: trash::usage(root).map(|(usage, _)| usage).unwrap_or_default(),
    })
}
