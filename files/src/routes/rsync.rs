//! The way to the rsync daemon in the container beside this one (ADR 19): the connection of one request becomes one to the daemon.
//! Whoever may write may go that way; the daemon deletes nothing, and gives nothing away.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::UnixStream;
use tokio::time::timeout;
use workspacefs_files_proto::rsync::{EXPOSED_FILE, PROTOCOL, Rsync, RsyncSecret, SOCKET_FILE};

use crate::app::App;
use crate::auth::{Caller, Move, Write};
use crate::error::Error;
use crate::refusals::{OfCaller, OfDaemon, OfOwn, OfRequest};

/// The daemon is in the same pod.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Of what is on the way, in each direction.
const BUFFER_BYTES: usize = 128 << 10;

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new().route("/v1/rsync", get(state).post(tunnel)).route("/v1/rsync/secret", get(secret))
}

/// Whether there is a daemon.
#[utoipa::path(get, path = "/v1/rsync", tag = "rsync",
    responses((status = 200, body = Rsync), OfCaller))]
pub(crate) async fn state(State(app): State<Arc<App>>, _: Caller<Write>) -> Json<Rsync> {
    Json(Rsync { enabled: app.settings.rsync.is_some() })
}

/// Becomes a connection to the daemon, by `Upgrade: wsfs-rsync`.
#[utoipa::path(post, path = "/v1/rsync", tag = "rsync",
    responses((status = 101), OfCaller, OfRequest, OfDaemon))]
pub(crate) async fn tunnel(
    State(app): State<Arc<App>>,
    caller: Caller<Write>,
    mut request: Request,
) -> Result<Response, Error> {
    let run = app.settings.rsync.as_deref().ok_or(Error::NotFound)?;
    if !is_asked_for(request.headers()) {
        return Err(Error::bad(format!("this is a way to rsync: it takes HTTP/1.1 and Upgrade: {PROTOCOL}")));
    }
    let mut daemon = connect(&run.join(SOCKET_FILE)).await?;
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let mut caller_side = TokioIo::new(upgraded);
        let passed =
            copy_bidirectional_with_sizes(&mut caller_side, &mut daemon, BUFFER_BYTES, BUFFER_BYTES).await;
        match passed {
            Ok((received, sent)) => tracing::info!(user = caller.user, received, sent, "an rsync is over"),
            Err(error) => tracing::info!(user = caller.user, %error, "an rsync broke off"),
        }
    });
    let mut answer = StatusCode::SWITCHING_PROTOCOLS.into_response();
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(PROTOCOL));
    Ok(answer)
}

/// How to get to the daemon past the gateway, in clear text, where that is switched on. For the gateway, which asks on behalf of the
/// real `lep`.
#[utoipa::path(get, path = "/v1/rsync/secret", tag = "rsync",
    responses((status = 200, body = RsyncSecret), OfCaller, OfRequest, OfOwn))]
pub(crate) async fn secret(State(app): State<Arc<App>>, _: Caller<Move>) -> Result<Json<RsyncSecret>, Error> {
    let run = app.settings.rsync.as_deref().ok_or(Error::NotFound)?;
    match tokio::fs::read(run.join(EXPOSED_FILE)).await {
        Ok(told) => serde_json::from_slice(&told)
            .map(Json)
            .map_err(|_| Error::System { step: "read the secret of rsync", errno: Errno::BADMSG }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::NotFound),
        Err(error) => {
            Err(Error::of("read the secret of rsync", Errno::from_io_error(&error).unwrap_or(Errno::IO)))
        }
    }
}

async fn connect(socket: &Path) -> Result<UnixStream, Error> {
    match timeout(CONNECT_MAX, UnixStream::connect(socket)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the rsync daemon is not there");
            Err(Error::Busy("the rsync daemon starts: try again in a moment"))
        }
        Err(_) => Err(Error::Busy("too many rsyncs run already: try again in a moment")),
    }
}

fn is_asked_for(headers: &HeaderMap) -> bool {
    let says = |name: header::HeaderName, what: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(what))
    };
    says(header::UPGRADE, PROTOCOL) && says(header::CONNECTION, "upgrade")
}
