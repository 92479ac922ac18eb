//! Making folders, renaming and moving.

use std::os::fd::AsFd;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{post, put};
use axum::{Json, Router};
use rustix::io::Errno;
use serde::Deserialize;
use utoipa::IntoParams;
use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::types::{Entry, EntryType, Transfer};

use crate::app::App;
use crate::auth::{Caller, Move, Write};
use crate::error::Error;
use crate::facts::Facts;
use crate::http::{self, Args, Target};
use crate::place::{self, At};
use crate::refusals::{OfBody, OfCaller, OfNames, OfRequest, OfRoom, OfServer};
use crate::room;
use crate::root::Root;
use crate::uploads::path_of;

pub(crate) fn router() -> Router<Arc<App>> {
    let make = put(make_folder);
    Router::new()
        .route("/v1/folders/", make.clone())
        .route("/v1/folders/{*path}", make)
        .route("/v1/move", post(move_entry))
}

/// Query of what makes something.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MakeArgs {
    /// Whether missing folders above it are made.
    #[serde(default)]
    pub parents: bool,
}

/// Makes a folder. With `parents` one that is there already is as good (200).
#[utoipa::path(put, path = "/v1/folders/{path}", tag = "files", params(("path" = String, Path,), MakeArgs),
    responses((status = 201, body = Entry), (status = 200, body = Entry),
        OfCaller, OfRequest, OfNames, OfRoom, OfServer))]
pub(crate) async fn make_folder(
    State(app): State<Arc<App>>,
    _: Caller<Write>,
    Target(path): Target,
    Args(args): Args<MakeArgs>,
) -> Result<(StatusCode, Json<Entry>), Error> {
    let root = Arc::clone(&app.root);
    let (entry, made) =
        app.pool.run(move || room::with_room(&root, || made(&root, &path, args.parents))).await?;
    Ok((if made { StatusCode::CREATED } else { StatusCode::OK }, Json(entry)))
}

pub(crate) fn made(root: &Root, path: &FilePath, parents: bool) -> Result<(Entry, bool), Error> {
    if path.is_root() {
        return Err(Error::Exists);
    }
    let (folder, name) = root.parent(path, parents)?;
    let made = match root.make_folder(folder.as_fd(), name) {
        Ok(()) => true,
        Err(Error::Exists) if parents => false,
        Err(error) => return Err(error),
    };
    let facts = Facts::at(folder.as_fd(), name).map_err(Error::at("look at the folder"))?;
    // Something else may have the name.
    if facts.kind != EntryType::Dir && root.folder(path).is_err() {
        return Err(Error::Exists);
    }
    Ok((facts.entry(path), made))
}

/// Renames or moves. Folders are never replaced.
#[utoipa::path(post, path = "/v1/move", tag = "files", request_body = Transfer,
    responses((status = 200, body = Entry), OfCaller, OfRequest, OfNames, OfBody, OfRoom, OfServer))]
pub(crate) async fn move_entry(
    State(app): State<Arc<App>>,
    _: Caller<Move>,
    http::Json(transfer): http::Json<Transfer>,
) -> Result<Json<Entry>, Error> {
    let (from, to) = (path_of("from", &transfer.from)?, path_of("to", &transfer.to)?);
    if from.is_root() {
        return Err(Error::field("from", "the root stays where it is"));
    }
    if to.is_within(&from) && to != from {
        return Err(Error::field("to", "a folder is not moved into itself"));
    }
    let root = Arc::clone(&app.root);
    let moving = move || room::with_room(&root, || moved(&root, &from, &to, &transfer));
    app.pool.run(moving).await.map(Json)
}

pub(crate) fn moved(root: &Root, from: &FilePath, to: &FilePath, wish: &Transfer) -> Result<Entry, Error> {
    let (from_folder, from_name) = root.parent(from, false)?;
    Facts::at(from_folder.as_fd(), from_name)
        .map_err(|errno| root.denied("look at it", errno, from_folder.as_fd()))?;
    let (to_folder, to_name) = root.parent(to, wish.parents)?;
    let at = At { folder: from_folder.as_fd(), name: from_name };
    let target = At { folder: to_folder.as_fd(), name: to_name };
    let existing = Facts::at(to_folder.as_fd(), to_name);
    let replaces = wish.overwrite && existing.is_ok_and(|facts| facts.kind != EntryType::Dir);
    let result = if replaces { place::replace(at, target) } else { place::add(at, target) };
    result.map_err(|errno| match errno {
        // A folder in the place of a file.
        Errno::NOTDIR | Errno::NOTEMPTY | Errno::ISDIR => Error::Exists,
        // By a link in its path it leads into itself after all.
        Errno::INVAL => Error::field("to", "a folder is not moved into itself"),
        errno => refused(root, errno, &from_folder, &to_folder),
    })?;
    let facts = Facts::at(to_folder.as_fd(), to_name).map_err(Error::at("look at what was moved"))?;
    Ok(facts.entry(to))
}

/// Which of the two folders refuses is not said by the kernel: the one that this process cannot write to is named.
fn refused(root: &Root, errno: Errno, from: &impl AsFd, to: &impl AsFd) -> Error {
    use rustix::fs::{Access, AtFlags, accessat};
    let writable =
        |folder: &dyn AsFd| accessat(folder.as_fd(), ".", Access::WRITE_OK, AtFlags::EACCESS).is_ok();
    let folder: &dyn AsFd = if writable(to) { from } else { to };
    root.denied("move it", errno, folder.as_fd())
}
