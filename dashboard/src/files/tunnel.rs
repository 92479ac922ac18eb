//! `Upgrade: wsfs-rsync`: a caller's connection becomes one to the rsync daemon of a FileSystem (ADR 19). It is a write like any
//! other: who asks is asked about before it begins and all the time while it runs, and when a right goes, both ends are closed.
//!
//! For the real `lep`, which does not come this way, the daemon's secret can be had here by the rest of the gateway
//! ([`exposed`]).

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::time::timeout;
use workspacefs_api::files::object_name;
use workspacefs_files_proto::rsync::{PROTOCOL, RsyncSecret};

use super::headers::{self, Asked};
use super::leash::{Tether, Watch};
use super::proxy::{Admitted, Place, Whom, admit, allowed, outgoing, refused, unreachable, watch};
use super::route::{Answer, SECRET, TUNNEL};
use crate::audit::Change;
use crate::error::ApiError;
use crate::gateway::{Gateway, Peer};
use crate::limits::Permit;
use crate::metrics::Running;
use crate::review::Identity;

/// Of what is on the way, in each direction.
const BUFFER_BYTES: usize = 128 << 10;
/// For a connection to become the pipe, once both sides have said that it is to.
const UPGRADE_TIME_MAX: Duration = Duration::from_secs(10);
const SECRET_TIME_MAX: Duration = Duration::from_secs(10);
const SECRET_BYTES_MAX: usize = 4 << 10;
/// As `files` has them.
const TARGET: &str = "/v1/rsync";
const SECRET_TARGET: &str = "/v1/rsync/secret";

/// Where the daemon is for whoever knows the secret, in clear text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exposed {
    /// The address of the FileSystem's Service, or its name.
    pub host: String,
    /// Port, user and password.
    pub login: RsyncSecret,
}

/// Answers `POST /wfs/v1/workspaces/{ws}/filesystems/{fs}/api/rsync`.
pub async fn tunnel(State(gateway): State<Arc<Gateway>>, mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let peer = Peer::of(&parts.extensions);
    let caller = match gateway.callers.of(&parts, &peer.door).await {
        Ok(caller) => caller,
        Err(refusal) => return ApiError::from(refusal).into_response(),
    };
    let Some(place) = Place::of(parts.uri.path()) else { return ApiError::NotFound.into_response() };
    let mut change = Change::new(&caller.identity.user, "POST", &place.ws, &place.fs, &place.rest);
    let is_asked_for = parts.version == Version::HTTP_11 && names(&parts.headers, &header::UPGRADE, PROTOCOL);
    let answered = async {
        let admitted = admit(&gateway, caller, place, TUNNEL).await?;
        if !is_asked_for {
            let how = format!("this is a way to rsync: it takes HTTP/1.1 and Upgrade: {PROTOCOL}");
            return Err(ApiError::bad(how, None));
        }
        pass(&gateway, admitted, upgrade).await
    };
    let response = answered.await.unwrap_or_else(ApiError::into_response);
    change.answered(response.status().as_u16());
    response
}

fn names(headers: &HeaderMap, name: &header::HeaderName, what: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(what))
}

async fn pass(gateway: &Arc<Gateway>, admitted: Admitted, near: OnUpgrade) -> Result<Response, ApiError> {
    let permit = gateway.limits.begin(&admitted.caller.identity.user, &admitted.uid)?;
    let running = gateway.metrics.transfer();
    let tether = Tether::piped(gateway.metrics.clone());
    let mut request = outgoing(gateway, admitted.whom(), &Method::POST, TARGET, Body::empty())?;
    request.headers_mut().extend(switching());
    let (uid, fs) = (admitted.uid.clone(), admitted.place.fs.clone());
    let watch = watch(gateway, admitted, &tether, None);
    let sent = tokio::select! {
        biased;
        () = tether.is_cut() => None,
        sent = gateway.upstream.send(request) => Some(sent),
    };
    if let Some(cut) = tether.reason() {
        return Err(refused(cut));
    }
    let mut answer = match sent {
        Some(Ok(answer)) => answer,
        Some(Err(error)) => return Err(unreachable(gateway, &uid, &error)),
        None => return Err(ApiError::Internal),
    };
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(said(answer, &fs));
    }
    let far = hyper::upgrade::on(&mut answer);
    let metrics = gateway.metrics.clone();
    tokio::spawn(async move {
        let held: (Permit, Running, Watch) = (permit, running, watch);
        let both = timeout(UPGRADE_TIME_MAX, async { tokio::try_join!(near, far) });
        if let Ok(Ok((near, far))) = both.await {
            let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
            tokio::select! {
                biased;
                // Both are dropped, and so closed, whether or not anybody reads.
                () = tether.is_cut() => {}
                passed = copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER_BYTES, BUFFER_BYTES) => {
                    if let Ok((up, down)) = passed {
                        metrics.bytes("in", up);
                        metrics.bytes("out", down);
                    }
                }
            }
        }
        drop(held);
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    response.headers_mut().extend(switching());
    Ok(response)
}

/// The headers of both who ask for the change and who agree to it.
fn switching() -> [(header::HeaderName, HeaderValue); 2] {
    [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static(PROTOCOL)),
    ]
}

/// What `files` says instead.
fn said(answer: axum::http::Response<Incoming>, fs: &str) -> Response {
    let (parts, body) = answer.into_parts();
    let asked = Asked { answer: Answer::Json, preview: false, rest: "rsync", fs, is_success: false };
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers::answer(&parts.headers, asked);
    response
}

/// Where the rsync daemon of a FileSystem is exposed, for somebody who may write and delete there; None: it is not. From then on they
/// know a secret that is good until it changes: whoever tells it to them writes that down.
///
/// # Errors
/// [`ApiError`], as for a request to the file API.
pub async fn exposed(
    gateway: &Gateway,
    who: &Arc<Identity>,
    ws: &str,
    fs: &str,
) -> Result<Option<Exposed>, ApiError> {
    let place = Place { ws: ws.into(), fs: fs.into(), rest: String::new() };
    let uid = allowed(gateway, who, &place, SECRET).await?;
    let Some(login) = login(gateway, Whom { user: &who.user, uid: &uid, rights: SECRET }).await? else {
        return Ok(None);
    };
    let host = host(gateway, &uid).ok_or(ApiError::NotFound)?;
    Ok(Some(Exposed { host, login }))
}

async fn login(gateway: &Gateway, whom: Whom<'_>) -> Result<Option<RsyncSecret>, ApiError> {
    let request = outgoing(gateway, whom, &Method::GET, SECRET_TARGET, Body::empty())?;
    let asked = async {
        let answer = gateway.upstream.send(request).await;
        let answer = answer.map_err(|error| unreachable(gateway, whom.uid, &error))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(ApiError::Unreachable("it does not tell the secret of rsync".into())),
        }
        let body = to_bytes(Body::new(answer.into_body()), SECRET_BYTES_MAX).await;
        let body = body.map_err(|_| ApiError::Internal)?;
        serde_json::from_slice(&body).map(Some).map_err(|_| ApiError::Internal)
    };
    timeout(SECRET_TIME_MAX, asked).await.map_err(|_| ApiError::TimedOut)?
}

fn host(gateway: &Gateway, uid: &str) -> Option<String> {
    let fs = gateway.objects.by_uid(uid)?;
    if let Some(address) = fs.status.as_ref().and_then(|status| status.files_address.as_ref()) {
        let (host, _) = address.rsplit_once(':')?;
        return Some(host.trim_start_matches('[').trim_end_matches(']').to_owned());
    }
    let (name, ws) = (fs.metadata.name?, fs.metadata.namespace?);
    Some(format!("{}.{ws}.svc", object_name(&name, uid)))
}
