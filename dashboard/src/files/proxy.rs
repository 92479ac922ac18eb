//! One request to a file API, from who asks to the last byte. Bodies are streamed both ways and never collected, but for the few
//! small ones whose JSON names paths that the audit log is to have.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, Version, request};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use workspacefs_api::{files, manifest};
use workspacefs_files_proto::{ASSERTION_HEADER, Claims};
use workspacefs_runtime::chain;

use super::headers::{self, Asked};
use super::imports;
use super::leash::{self, Cut, Leashed, Standing, Tether, Watch, Way};
use super::route::{self, Route};
use crate::audit::Change;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::gateway::{Gateway, Peer};
use crate::limits::Permit;
use crate::metrics::Running;
use crate::review::{Identity, NoAnswer, Right};

const NAMED_BODY_BYTES_MAX: usize = 64 << 10;
const NAMED_BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// A FileSystem and what is asked of its file API.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The workspace.
    pub ws: String,
    /// The FileSystem's name.
    pub fs: String,
    /// What follows `/api/`, as it was sent.
    pub rest: String,
}

impl Place {
    /// From the path as it was sent: a decoded one could not be sent on as it came.
    pub(super) fn of(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/wfs/v1/workspaces/")?;
        let (ws, rest) = rest.split_once("/filesystems/")?;
        let (fs, rest) = rest.split_once("/api/")?;
        let own = |text: &str| manifest::name(text).ok().map(|name| name.as_str().to_owned());
        Some(Self { ws: own(ws)?, fs: own(fs)?, rest: rest.to_owned() })
    }
}

/// Everything about a request that has been let through.
#[derive(Clone)]
pub(super) struct Admitted {
    pub caller: Caller,
    pub place: Place,
    pub route: Route,
    pub uid: String,
}

/// Answers `/wfs/v1/workspaces/{ws}/filesystems/{fs}/api/{rest}`.
pub async fn proxy(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let peer = Peer::of(&parts.extensions);
    let caller = match gateway.callers.of(&parts, &peer.door).await {
        Ok(caller) => caller,
        Err(refusal) => return ApiError::from(refusal).into_response(),
    };
    let Some(place) = Place::of(parts.uri.path()) else { return ApiError::NotFound.into_response() };
    forward(&gateway, caller, place, parts, body, peer).await.unwrap_or_else(ApiError::into_response)
}

/// Carries out a request of a known caller: looks at their rights, writes the log of changes, and passes it on. Of `parts` method,
/// query, version and headers count.
///
/// # Errors
/// [`ApiError`]: why it was not passed on. What the file API itself refuses is an answer.
pub async fn forward(
    gateway: &Arc<Gateway>,
    caller: Caller,
    place: Place,
    parts: request::Parts,
    body: Body,
    peer: Peer,
) -> Result<Response, ApiError> {
    let route = route::route(&parts.method, &place.rest).ok_or(ApiError::NotFound)?;
    let method = parts.method.as_str();
    let mut change =
        route.changes.then(|| Change::new(&caller.identity.user, method, &place.ws, &place.fs, &place.rest));
    let answered = async {
        let admitted = admit(gateway, caller, place, route).await?;
        let body = if route.names_paths { collect(body, change.as_mut()).await? } else { body };
        let uploaded = upload_path(&parts.headers)?;
        if let (Some(change), Some(path)) = (change.as_mut(), uploaded) {
            change.names("path", &path);
        }
        if route.imports {
            return imports::begin(gateway, admitted, parts, body, peer).await;
        }
        pass(gateway, admitted, parts, body, peer).await
    };
    let answered = answered.await;
    if let Some(change) = &mut change {
        change.answered(match &answered {
            Ok(response) => response.status().as_u16(),
            Err(error) => error.code().status(),
        });
    }
    answered
}

/// Whether the caller may, and where to. What they may not know of is not there.
pub(super) async fn admit(
    gateway: &Gateway,
    caller: Caller,
    place: Place,
    route: Route,
) -> Result<Admitted, ApiError> {
    let uid = allowed(gateway, &caller.identity, &place, route.rights).await?;
    Ok(Admitted { caller, place, route, uid })
}

/// The uid of the FileSystem, for somebody who has those rights on its files.
///
/// # Errors
/// [`ApiError`]: `Forbidden` only for those who have another right there; to all others it is not there.
pub async fn allowed(
    gateway: &Gateway,
    who: &Arc<Identity>,
    place: &Place,
    rights: &[Right],
) -> Result<String, ApiError> {
    if let Some(right) = missing(gateway, who, place, rights).await? {
        let rights = gateway.callers.reviewer().rights(who, &place.ws, &place.fs).await?;
        let sees = rights.read || rights.write || rights.delete;
        // Whoever has some right knows that it is there: but only if it is.
        let is_there = sees && uid(gateway, place).is_some();
        return Err(if is_there { ApiError::Forbidden(right.as_str()) } else { ApiError::NotFound });
    }
    uid(gateway, place).ok_or(ApiError::NotFound)
}

fn uid(gateway: &Gateway, place: &Place) -> Option<String> {
    let is_workspace = gateway.objects.is_workspace(&place.ws);
    is_workspace.then(|| gateway.objects.file_system(&place.ws, &place.fs)?.metadata.uid).flatten()
}

/// The first right that the caller has not.
async fn missing(
    gateway: &Gateway,
    who: &Arc<Identity>,
    place: &Place,
    rights: &[Right],
) -> Result<Option<Right>, NoAnswer> {
    for right in rights {
        if !gateway.callers.reviewer().has(who, *right, &place.ws, &place.fs).await? {
            return Ok(Some(*right));
        }
    }
    Ok(None)
}

/// Sends it on, and the answer back.
pub(super) async fn pass(
    gateway: &Arc<Gateway>,
    admitted: Admitted,
    parts: request::Parts,
    body: Body,
    peer: Peer,
) -> Result<Response, ApiError> {
    let permit = gateway.limits.begin(&admitted.caller.identity.user, &admitted.uid)?;
    let running = gateway.metrics.transfer();
    let (target, preview) = route::target(&admitted.place.rest, parts.uri.query(), admitted.route.answer);
    let tether = Tether::new(gateway.metrics.clone());
    let up = Leashed::new(body, Way::Up, tether.clone(), (), None);
    let mut request = outgoing(gateway, admitted.whom(), &parts.method, &target, Body::new(up))?;
    request.headers_mut().extend(headers::request(&parts.headers));
    let (place, route) = (admitted.place.clone(), admitted.route);
    let uid = admitted.uid.clone();
    // Over HTTP/2 others may be on the same connection.
    let hang_up = (parts.version < Version::HTTP_2).then_some(peer.hang_up);
    let watch = watch(gateway, admitted, &tether, hang_up);
    let sent = tokio::select! {
        biased;
        () = tether.is_cut() => None,
        sent = gateway.upstream.send(request) => Some(sent),
    };
    if let Some(cut) = tether.reason() {
        return Err(refused(cut));
    }
    let answer = match sent {
        Some(Ok(answer)) => answer,
        // A body that knows what is wrong with it says so.
        Some(Err(error)) => {
            return Err(said(&error).unwrap_or_else(|| unreachable(gateway, &uid, &error)));
        }
        None => return Err(ApiError::Internal),
    };
    let asked = Asked {
        answer: route.answer,
        preview,
        rest: &place.rest,
        fs: &place.fs,
        is_success: answer.status().is_success(),
    };
    Ok(incoming(answer, asked, tether, (permit, running), watch))
}

/// For whom the gateway gives its word, and for what.
#[derive(Clone, Copy)]
pub(super) struct Whom<'a> {
    pub user: &'a str,
    /// Of the FileSystem.
    pub uid: &'a str,
    pub rights: &'a [Right],
}

impl Admitted {
    pub(super) fn whom(&self) -> Whom<'_> {
        Whom { user: &self.caller.identity.user, uid: &self.uid, rights: self.route.rights }
    }
}

/// With the gateway's word, and no other header.
pub(super) fn outgoing(
    gateway: &Gateway,
    whom: Whom<'_>,
    method: &Method,
    target: &str,
    body: Body,
) -> Result<Request, ApiError> {
    let name = files::tls_name(whom.uid);
    let uri: Uri = format!("https://{name}:{}{target}", files::FILES_PORT)
        .parse()
        .map_err(|_| ApiError::bad("the path is no part of a URL", None))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| ApiError::Internal)?.as_secs();
    let verbs: Vec<_> = whom.rights.iter().map(|right| right.asserted()).collect();
    // As `files` will read it: the same bytes, since they went through the same parser.
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let request = format!("{method} {target}");
    let claims = Claims::new(whom.user, whom.uid, &verbs, request, now);
    let assertion = HeaderValue::from_str(&gateway.signer.sign(&claims)).map_err(|_| ApiError::Internal)?;
    let mut request = Request::new(body);
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri;
    request.headers_mut().insert(ASSERTION_HEADER, assertion);
    Ok(request)
}

fn incoming(
    answer: axum::http::Response<Incoming>,
    asked: Asked<'_>,
    tether: Arc<Tether>,
    held: (Permit, Running),
    watch: Watch,
) -> Response {
    let (parts, body) = answer.into_parts();
    let mut response = Response::new(Body::new(Leashed::new(body, Way::Down, tether, held, Some(watch))));
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers::answer(&parts.headers, asked);
    response
}

/// Reviews the transfer from now on.
pub(super) fn watch(
    gateway: &Arc<Gateway>,
    admitted: Admitted,
    tether: &Arc<Tether>,
    hang_up: Option<CancellationToken>,
) -> Watch {
    let (gateway, admitted, times) = (gateway.clone(), Arc::new(admitted), gateway.times);
    leash::watch(tether, times, hang_up, move || {
        let (gateway, admitted) = (gateway.clone(), admitted.clone());
        async move { standing(&gateway, &admitted).await }
    })
}

/// What is to become of a transfer that runs.
pub(super) async fn standing(gateway: &Gateway, admitted: &Admitted) -> Standing {
    let identity = match gateway.callers.again(&admitted.caller).await {
        Err(_) => return Standing::Unknown,
        Ok(None) => return Standing::Cut(Cut::Unauthenticated),
        Ok(Some(identity)) => identity,
    };
    if uid(gateway, &admitted.place).as_ref() != Some(&admitted.uid) {
        return Standing::Cut(Cut::Gone);
    }
    match missing(gateway, &identity, &admitted.place, admitted.route.rights).await {
        Err(_) => Standing::Unknown,
        Ok(Some(_)) => Standing::Cut(Cut::Forbidden),
        Ok(None) => Standing::Good,
    }
}

/// What a caller hears of a transfer that was cut before its answer began.
pub(super) fn refused(cut: Cut) -> ApiError {
    match cut {
        Cut::Unauthenticated => ApiError::Unauthenticated("the token or the session ended meanwhile"),
        Cut::Forbidden => ApiError::Forbidden("go on"),
        Cut::Gone => ApiError::NotFound,
        Cut::Unreviewed => ApiError::NoReview,
        Cut::CallerIdle | Cut::FilesIdle => ApiError::TimedOut,
    }
}

/// What the caller's own body gave as the reason why it broke off.
fn said(error: &(dyn std::error::Error + 'static)) -> Option<ApiError> {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.filter_map(|cause| cause.downcast_ref::<ApiError>()).next().cloned()
}

/// The log has the cause; the caller hears what the operator says of the file API, which is what can be done about it.
pub(super) fn unreachable(
    gateway: &Gateway,
    uid: &str,
    error: &hyper_util::client::legacy::Error,
) -> ApiError {
    tracing::warn!(file_system = uid, error = chain(error), "a file API does not answer");
    let fs = gateway.objects.by_uid(uid);
    let condition = fs.as_ref().and_then(|fs| fs.condition("FilesReady"));
    let said = condition.filter(|condition| condition.status != "True").map(|c| c.message.clone());
    ApiError::Unreachable(said.unwrap_or_else(|| "try again in a moment".into()))
}

/// A small body, whose paths go into the audit log. Keys of buckets are not looked at.
async fn collect(body: Body, change: Option<&mut Change>) -> Result<Body, ApiError> {
    let collected = timeout(NAMED_BODY_TIME_MAX, to_bytes(body, NAMED_BODY_BYTES_MAX)).await;
    let bytes =
        collected.map_err(|_| ApiError::TimedOut)?.map_err(|_| ApiError::TooLarge(NAMED_BODY_BYTES_MAX))?;
    if let (Some(change), Ok(Value::Object(named))) = (change, serde_json::from_slice(&bytes)) {
        for what in ["from", "to", "bucket", "prefix", "destination"] {
            if let Some(path) = named.get(what).and_then(Value::as_str) {
                change.names(what, path);
            }
        }
    }
    Ok(Body::from(bytes))
}

/// The path in the metadata of a tus upload. Said twice, the log could tell of another than `files` takes: that is refused.
fn upload_path(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let bad = |message| Err(ApiError::bad(message, Some("Upload-Metadata".into())));
    let mut values = headers.get_all("upload-metadata").iter();
    let Some(metadata) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return bad("the header Upload-Metadata comes once");
    }
    let Ok(metadata) = metadata.to_str() else { return bad("the header Upload-Metadata is ASCII") };
    let mut pairs = HashMap::new();
    for pair in metadata.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        if pairs.insert(key, value.trim()).is_some() {
            return bad("each key of the metadata comes once");
        }
    }
    let path = pairs.get("path").and_then(|value| BASE64_STANDARD.decode(value).ok());
    Ok(path.and_then(|path| String::from_utf8(path).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_keeps_the_path_as_it_was_sent_and_names_are_labels() {
        let place = Place::of("/wfs/v1/workspaces/ws/filesystems/default/api/content/a%2Fb//c").unwrap();
        assert_eq!(
            (place.ws.as_str(), place.fs.as_str(), place.rest.as_str()),
            ("ws", "default", "content/a%2Fb//c")
        );
        for bad in [
            "/wfs/v1/workspaces/%77s/filesystems/default/api/usage",
            "/wfs/v1/workspaces/ws/filesystems/../api/usage",
            "/wfs/v1/workspaces/ws/x/filesystems/default/api/usage",
            "/wfs/v1/workspaces/ws/filesystems/a/b/api/usage",
            "/wfs/v1/workspaces/ws/filesystems//api/usage",
            "/wfs/v1/workspaces/WS/filesystems/default/api/usage",
            "/wfs/v1/workspaces/ws/filesystems/default/apix/usage",
        ] {
            assert_eq!(Place::of(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_path_of_an_upload_is_in_its_metadata() {
        let mut headers = HeaderMap::new();
        headers.insert("upload-metadata", "mode MDY0NA==, path YS9iJTIw,x".parse().unwrap());
        assert_eq!(upload_path(&headers), Ok(Some("a/b%20".into())));
        headers.insert("upload-metadata", "path ???".parse().unwrap());
        assert_eq!(upload_path(&headers), Ok(None));
        assert_eq!(upload_path(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn metadata_with_a_key_twice_is_refused() {
        for twice in ["path YQ==,path Yg==", "path YQ==, path", "path YQ==,mode MDY0NA==,mode MDY0NA=="] {
            let mut headers = HeaderMap::new();
            headers.insert("upload-metadata", twice.parse().unwrap());
            assert!(matches!(upload_path(&headers), Err(ApiError::BadRequest { .. })), "{twice}");
        }
        let mut headers = HeaderMap::new();
        headers.append("upload-metadata", "path YQ==".parse().unwrap());
        headers.append("upload-metadata", "path Yg==".parse().unwrap());
        assert!(upload_path(&headers).is_err());
    }
}
