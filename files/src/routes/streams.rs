//! Answers that last: archives, searches, copies. Each has a thread while it runs, and there are few of those.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::time::MissedTickBehavior;
use utoipa::IntoParams;
use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::types::{CopyLine, SearchLine, Transfer};

use super::batch::unpack;
use super::browse::limit;
use crate::app::App;
use crate::archive::{self, Format};
use crate::auth::{Caller, Read, Write};
use crate::copy::{Copy, Watch};
use crate::error::Error;
use crate::http::{self, Args, Lines, Target};
use crate::refusals::{OfBody, OfCaller, OfNames, OfRequest, OfRoom, OfServer};
use crate::root::Root;
use crate::uploads::path_of;
use crate::walk::{Step, Walk};

const PROGRESS: Duration = Duration::from_secs(1);

pub(crate) fn router() -> Router<Arc<App>> {
    let (archive, search) = (get(archive).post(unpack), get(search));
    Router::new()
        .route("/v1/archive", archive.clone())
        .route("/v1/archive/", archive.clone())
        .route("/v1/archive/{*path}", archive)
        .route("/v1/search", search.clone())
        .route("/v1/search/", search.clone())
        .route("/v1/search/{*path}", search)
        .route("/v1/copy", post(copy))
}

/// Query of an archive.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ArchiveArgs {
    /// Its form.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// A folder as one file. A connection that breaks says that the archive is not whole; what may not be read is named in a file
/// `LEFT-OUT.txt` at its end.
#[utoipa::path(get, path = "/v1/archive/{path}", tag = "files", params(("path" = String, Path,), ArchiveArgs),
    responses((status = 200, description = "The archive", content_type = "application/zip"),
        OfCaller, OfRequest, OfNames, OfServer))]
pub(crate) async fn archive(
    State(app): State<Arc<App>>,
    caller: Caller<Read>,
    Target(path): Target,
    Args(args): Args<ArchiveArgs>,
) -> Result<Response, Error> {
    let place = app.pool.stream(&caller.user)?;
    let (root, asked) = (Arc::clone(&app.root), path.clone());
    let folder = app.pool.run(move || root.listing(&asked)).await?;
    let (pipe, body) = archive::pipe();
    let root = Arc::clone(&app.root);
    tokio::task::spawn_blocking(move || {
        let name = path.split().map_or(&b""[..], |(_, name)| name);
        if let Err(error) = archive::write(&root, &folder, name, args.format, pipe) {
            tracing::info!(%error, "an archive broke off");
        }
        drop(place);
    });
    let headers =
        [(header::CONTENT_TYPE, args.format.media_type()), (header::CONTENT_DISPOSITION, "attachment")];
    Ok((headers, body).into_response())
}

/// Query of a search.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchArgs {
    /// A part of the name, without regard to case.
    name: String,
    /// At most so many, 1 to 10,000; 1,000 if it is left out.
    limit: Option<usize>,
}

/// What has a name like this below a folder, line by line.
#[utoipa::path(get, path = "/v1/search/{path}", tag = "files", params(("path" = String, Path,), SearchArgs),
    responses((status = 200, body = SearchLine, content_type = "application/x-ndjson"),
        OfCaller, OfRequest, OfNames, OfServer))]
pub(crate) async fn search(
    State(app): State<Arc<App>>,
    caller: Caller<Read>,
    Target(path): Target,
    Args(args): Args<SearchArgs>,
) -> Result<Response, Error> {
    let limit = limit(args.limit)?;
    if args.name.is_empty() {
        return Err(Error::field("name", "say what the name contains"));
    }
    let place = app.pool.stream(&caller.user)?;
    let (root, asked) = (Arc::clone(&app.root), path.clone());
    let folder = app.pool.run(move || root.listing(&asked)).await?;
    let (lines, answer) = Lines::answer();
    let root = Arc::clone(&app.root);
    tokio::task::spawn_blocking(move || {
        let part = args.name.to_lowercase();
        let end = match found(&root, &folder, &path, &part, limit, &lines) {
            Ok(limited) => SearchLine::End { done: true, limited },
            Err(error) => SearchLine::Failed { error: error.body() },
        };
        lines.send(&end);
        drop(place);
    });
    Ok(answer)
}

/// Sends what is found; true if there may be more.
fn found(
    root: &Root,
    folder: &impl AsFd,
    path: &FilePath,
    part: &str,
    limit: usize,
    lines: &Lines,
) -> Result<bool, Error> {
    let mut walk = Walk::new(folder.as_fd())?.hiding(root);
    let mut count = 0;
    while let Some(step) = walk.next()? {
        let Step::Entry(found) = step else { continue };
        if !String::from_utf8_lossy(found.name()).to_lowercase().contains(part) {
            // So that a search which finds nothing ends when its caller does.
            if lines.is_closed() {
                return Ok(true);
            }
            continue;
        }
        if count == limit {
            return Ok(true);
        }
        let full = FilePath::from_bytes(&[path.as_bytes(), &found.path].join(&b'/'))?;
        if !lines.send(&SearchLine::Found(found.facts.entry(&full))) {
            return Ok(true);
        }
        count += 1;
    }
    Ok(false)
}

/// Copies a file or a folder; the answer tells how far it is. Whoever goes away ends it.
#[utoipa::path(post, path = "/v1/copy", tag = "files", request_body = Transfer,
    responses((status = 200, body = CopyLine, content_type = "application/x-ndjson"),
        OfCaller, OfRequest, OfNames, OfBody, OfRoom, OfServer))]
pub(crate) async fn copy(
    State(app): State<Arc<App>>,
    caller: Caller<Write>,
    http::Json(transfer): http::Json<Transfer>,
) -> Result<Response, Error> {
    let copy = Copy {
        from: path_of("from", &transfer.from)?,
        to: path_of("to", &transfer.to)?,
        overwrite: transfer.overwrite,
        parents: transfer.parents,
    };
    let place = app.pool.stream(&caller.user)?;
    let (root, asked) = (Arc::clone(&app.root), copy.clone());
    app.pool.run(move || asked.check(&root)).await?;
    let (lines, answer) = Lines::answer();
    let watch = Arc::new(Watch::default());
    let (root, watched) = (Arc::clone(&app.root), Arc::clone(&watch));
    let work = tokio::task::spawn_blocking(move || {
        let result = copy.run(&root, &watched);
        drop(place);
        result
    });
    tokio::spawn(told(work, watch, lines));
    Ok(answer)
}

async fn told(mut work: tokio::task::JoinHandle<Result<(), Error>>, watch: Arc<Watch>, lines: Lines) {
    let line = |done| {
        let (files, bytes) = watch.so_far();
        CopyLine::Copied { done, files, bytes }
    };
    let mut ticks = tokio::time::interval(PROGRESS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            _ = ticks.tick() => {
                if !lines.push(&line(false)).await {
                    watch.cancel();
                }
            }
        }
    };
    let result = result.unwrap_or_else(|_| Err(Error::of("copy it", rustix::io::Errno::FAULT)));
    match result {
        Ok(()) => lines.push(&line(true)).await,
        Err(error) => lines.push(&CopyLine::Failed { error: error.body() }).await,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::Owner;

    #[test]
    fn a_search_that_finds_nothing_ends_with_its_caller() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path(), Owner { uid: 0, gid: 0, mode: 0o755 }).unwrap();
        std::fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        let path = FilePath::decode("").unwrap();
        let folder = root.listing(&path).unwrap();
        let (lines, answer) = Lines::answer();
        let search = || found(&root, &folder, &path, "nothing", 10, &lines);
        assert_eq!(search(), Ok(false), "all of it was looked at");
        drop(answer);
        assert_eq!(search(), Ok(true), "the rest is nobody's business any more");
    }
}
