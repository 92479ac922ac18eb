//! Many small files in one request: an archive that is unpacked, and chosen files of a folder as one.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde::Deserialize;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;
use workspacefs_files_proto::types::{Bundle, UnpackLine};

use crate::app::App;
use crate::archive::Format;
use crate::auth::{Caller, Read, Write};
use crate::bundle::{self, Wanted};
use crate::error::Error;
use crate::http::{self, Args, Lines, Target};
use crate::placing::Existing;
use crate::refusals::{OfBody, OfCaller, OfNames, OfRequest, OfRoom, OfServer};
use crate::room;
use crate::unpack::{Count, Members, Together, Unpack};
use crate::uploads::path_of;

const PROGRESS: Duration = Duration::from_secs(1);

pub(crate) fn router() -> Router<Arc<App>> {
    let bundle = post(bundle);
    Router::new()
        .route("/v1/bundle", bundle.clone())
        .route("/v1/bundle/", bundle.clone())
        .route("/v1/bundle/{*path}", bundle)
}

/// Query of an archive that is unpacked.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UnpackArgs {
    /// Whether files that are there are replaced. Folders never are.
    #[serde(default)]
    overwrite: bool,
    /// Whether the folder is made where it is missing, with those above it. Those in the archive always are.
    #[serde(default)]
    parents: bool,
}

/// Unpacks files and folders of a tar archive beneath a folder. Each file appears whole, with its mode and time, or not at all;
/// the answer names those that do not, and why. A record `WORKSPACEFS.sha256` of an entry, in base64, is checked. An archive
/// that breaks off leaves the files that were whole by then; so does a caller who goes away.
#[utoipa::path(post, path = "/v1/archive/{path}", tag = "files", params(("path" = String, Path,), UnpackArgs),
    request_body(content_type = "application/x-tar"),
    responses((status = 200, body = UnpackLine, content_type = "application/x-ndjson"),
        OfCaller, OfRequest, OfNames, OfRoom, OfServer))]
pub(crate) async fn unpack(
    State(app): State<Arc<App>>,
    caller: Caller<Write>,
    Target(path): Target,
    Args(args): Args<UnpackArgs>,
    request: Request,
) -> Result<Response, Error> {
    let place = app.pool.batch(&caller.user)?;
    let gone = CancellationToken::new();
    let members = Members::begun(request.into_body(), gone.clone()).await?;
    let (shared, folder) = (Arc::clone(&app), path.clone());
    let begin = move || {
        let root = &shared.root;
        if args.parents {
            room::with_room(root, || root.folder_made(&folder))?;
        } else {
            root.folder(&folder)?;
        }
        Together::of(root, &shared.together)
    };
    let together = app.pool.run(begin).await?;
    let (lines, answer) = Lines::answer();
    let existing = if args.overwrite { Existing::Replace } else { Existing::Keep };
    let unpack = Unpack::new(&app, path, existing, lines.clone(), together);
    let count = Arc::clone(&unpack.count);
    let work = tokio::spawn(async move {
        let result = unpack.run(members).await;
        drop(place);
        result
    });
    tokio::spawn(told(work, count, lines, gone));
    Ok(answer)
}

/// Says each second how far it is, so that nobody on the way takes it for dead.
async fn told(
    mut work: JoinHandle<Result<(), Error>>,
    count: Arc<Count>,
    lines: Lines,
    gone: CancellationToken,
) {
    let mut ticks = tokio::time::interval(PROGRESS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            _ = ticks.tick() => {
                if !lines.push(&count.line(false)).await {
                    gone.cancel();
                }
            }
        }
    };
    let result = result.unwrap_or_else(|_| Err(Error::of("unpack it", rustix::io::Errno::FAULT)));
    match result {
        Ok(()) => lines.push(&count.line(true)).await,
        Err(error) => lines.push(&UnpackLine::Failed { error: error.body() }).await,
    };
}

/// Many small files of a folder as one tar: those that have the size and the ETag by which they are asked for, and at most a MiB.
/// All others are left out: asked for one by one they say why.
#[utoipa::path(post, path = "/v1/bundle/{path}", tag = "files", params(("path" = String, Path,)), request_body = Bundle,
    responses((status = 200, description = "The archive", content_type = "application/x-tar"),
        OfCaller, OfRequest, OfNames, OfBody, OfServer))]
pub(crate) async fn bundle(
    State(app): State<Arc<App>>,
    caller: Caller<Read>,
    Target(path): Target,
    http::Json(bundle): http::Json<Bundle>,
) -> Result<Response, Error> {
    let place = app.pool.batch(&caller.user)?;
    let mut wanted = Vec::with_capacity(bundle.files.len());
    for file in bundle.files {
        wanted.push(Wanted { path: path_of("files", &file.path)?, size: file.size, etag: file.etag });
    }
    let (root, folder) = (Arc::clone(&app.root), path.clone());
    app.pool.run(move || root.folder(&folder).map(drop)).await?;
    let headers =
        [(header::CONTENT_TYPE, Format::Tar.media_type()), (header::CONTENT_DISPOSITION, "attachment")];
    Ok((headers, bundle::body(&app, path, wanted, place)).into_response())
}
