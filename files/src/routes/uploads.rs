//! tus 1.0: creation, creation-with-upload, termination, checksum, expiration.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{head, options};
use axum::{Json, Router};
use workspacefs_files_proto::types::Upload;
use workspacefs_files_proto::{Code, ErrorBody};

use crate::app::App;
use crate::auth::{Caller, Write};
use crate::conditions::date;
use crate::error::Error;
use crate::http::text;
use crate::receive::{Sink, receive};
use crate::refusals::{
    OfBody, OfCaller, OfConditions, OfContent, OfNames, OfRequest, OfRoom, OfServer, OfState,
};
use crate::room;
use crate::uploads::{self, Checksum, Held, Meta, State as Now};

const VERSION: &str = "1.0.0";
const EXTENSIONS: &str = "creation,creation-with-upload,termination,checksum,expiration";
const ALGORITHMS: &str = "sha256,sha1";
const CONTENT_TYPE: &str = "application/offset+octet-stream";
/// tus's own status for a piece that was damaged on the way.
const CHECKSUM_MISMATCH: u16 = 460;

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/uploads", options(capabilities).post(create).get(list))
        .route("/v1/uploads/{id}", head(offset).patch(append).delete(remove))
        .layer(from_fn(spoken))
}

/// Every answer says the version; every request but OPTIONS and our own GET must.
async fn spoken(request: Request, next: Next) -> Response {
    let said = text(request.headers(), "tus-resumable");
    let needs = !matches!(request.method().as_str(), "OPTIONS" | "GET");
    let mut answer = if needs && said != Some(VERSION) {
        let body =
            ErrorBody::new(Code::PreconditionFailed, "uploads speak tus 1.0.0: send Tus-Resumable: 1.0.0");
        (StatusCode::PRECONDITION_FAILED, Json(body)).into_response()
    } else {
        next.run(request).await
    };
    answer.headers_mut().insert("tus-resumable", HeaderValue::from_static(VERSION));
    answer.headers_mut().insert("tus-version", HeaderValue::from_static(VERSION));
    answer
}

/// What this speaks.
#[utoipa::path(options, path = "/v1/uploads", tag = "uploads",
    responses((status = 204), OfCaller))]
pub(crate) async fn capabilities(_: Caller<Write>) -> Response {
    let headers = [("tus-extension", EXTENSIONS), ("tus-checksum-algorithm", ALGORITHMS)];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// The caller's unfinished uploads.
#[utoipa::path(get, path = "/v1/uploads", tag = "uploads",
    responses((status = 200, body = [Upload]), OfCaller, OfRoom, OfServer))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller<Write>,
) -> Result<Json<Vec<Upload>>, Error> {
    let (root, days) = (Arc::clone(&app.root), app.settings.upload_days);
    app.pool.run(move || uploads::list(&root, &caller.user, days)).await.map(Json)
}

/// Begins an upload, with its first bytes if there are any in the body.
#[utoipa::path(post, path = "/v1/uploads", tag = "uploads",
    params(("Tus-Resumable" = String, Header,), ("Upload-Length" = u64, Header,),
        ("Upload-Metadata" = String, Header, description = "`path`, `modified`, `mode`, `overwrite`, `sha256`"),
        ("Upload-Checksum" = Option<String>, Header,)),
    responses((status = 201, description = "`Location` is `uploads/{id}`"),
        OfCaller, OfRequest, OfNames, OfConditions, OfContent, OfRoom, OfServer))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller<Write>,
    request: Request,
) -> Result<Response, Error> {
    let headers = request.headers();
    let size = number(headers, "upload-length")?;
    let meta = Meta::parse(text(headers, "upload-metadata").unwrap_or_default())?;
    let checksum = checksum(headers)?;
    let has_body = text(headers, header::CONTENT_TYPE.as_str()) == Some(CONTENT_TYPE);
    let (root, days) = (Arc::clone(&app.root), app.settings.upload_days);
    let begin = move || room::with_room(&root, || uploads::create(&root, &caller.user, size, &meta, days));
    let state = app.pool.run(begin).await?;
    let held = hold(&app, &state).await?;
    let location = format!("uploads/{}", state.id);
    let result =
        if has_body || size == 0 { write(&app, &state, request, checksum, &held).await } else { Ok(0) };
    // What did not come of the first bytes comes later: the upload is made, and its offset says how much is here.
    let (offset, failed) = match result {
        Ok(offset) => (offset, None),
        Err(failed) if failed.fatal => {
            // Whoever gets an error does not hear of the upload, and would leave it behind.
            if let Err(error) = give_up(&app, state.id, held).await {
                tracing::warn!(%error, "an upload that could not begin is left");
            }
            return Err(failed.error);
        }
        Err(failed) => (failed.offset, Some(failed.error)),
    };
    if let Some(error) = failed {
        tracing::debug!(%error, "the first bytes of an upload did not all come");
    }
    let mut answer = (StatusCode::CREATED, [(header::LOCATION, location)]).into_response();
    describe(answer.headers_mut(), &state, offset);
    Ok(answer)
}

/// How much is here.
#[utoipa::path(head, path = "/v1/uploads/{id}", tag = "uploads",
    params(("id" = String, Path,), ("Tus-Resumable" = String, Header,)),
    responses((status = 200, description = "`Upload-Offset`, `Upload-Length`"),
        OfCaller, OfRequest, OfNames, OfConditions, OfContent, OfRoom, OfServer))]
pub(crate) async fn offset(
    State(app): State<Arc<App>>,
    caller: Caller<Write>,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    // Whoever asks this goes on from the answer: what still writes has to end before.
    let found = find(&app, &id, &caller.user).await?;
    let held = hold(&app, &found).await?;
    let mut state = find(&app, &id, &caller.user).await?;
    if state.offset == state.info.size && !state.info.finished {
        // Every byte is here, and who hears so takes it for done: that has to be true, or be told as what it is.
        finish(&app, &state, &held).await?;
        state = find(&app, &id, &caller.user).await?;
    }
    let mut answer = StatusCode::OK.into_response();
    let headers = answer.headers_mut();
    describe(headers, &state, state.offset);
    headers.insert("upload-length", HeaderValue::from(state.info.size));
    if let Ok(metadata) = HeaderValue::try_from(&state.info.metadata) {
        headers.insert("upload-metadata", metadata);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// More bytes. After the last one the file has its name.
#[utoipa::path(patch, path = "/v1/uploads/{id}", tag = "uploads",
    params(("id" = String, Path,), ("Tus-Resumable" = String, Header,), ("Upload-Offset" = u64, Header,),
        ("Upload-Checksum" = Option<String>, Header, description = "`sha256` or `sha1` and base64, of this piece")),
    request_body(content_type = "application/offset+octet-stream"),
    responses((status = 204, description = "`Upload-Offset`"), (status = 460, body = ErrorBody),
        OfCaller, OfRequest, OfNames, OfConditions, OfBody, OfContent, OfRoom, OfServer))]
pub(crate) async fn append(
    State(app): State<Arc<App>>,
    caller: Caller<Write>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let headers = request.headers();
    if text(headers, header::CONTENT_TYPE.as_str()) != Some(CONTENT_TYPE) {
        return Err(Error::field(
            "Content-Type",
            "the bytes of an upload are application/offset+octet-stream",
        ));
    }
    let offset = number(headers, "upload-offset")?;
    let checksum = checksum(headers)?;
    let found = find(&app, &id, &caller.user).await?;
    let held = hold(&app, &found).await?;
    let state = find(&app, &id, &caller.user).await?;
    if state.offset != offset {
        return Err(Error::Conflict("the upload has another offset: ask for it, and go on from there"));
    }
    let offset = match write(&app, &state, request, checksum, &held).await {
        Ok(offset) => offset,
        Err(Failed { error: Error::Checksum, piece: true, .. }) => {
            let status = StatusCode::from_u16(CHECKSUM_MISMATCH).unwrap_or(StatusCode::BAD_REQUEST);
            return Ok((status, Json(Error::Checksum.body())).into_response());
        }
        Err(failed) => return Err(failed.error),
    };
    let mut answer = StatusCode::NO_CONTENT.into_response();
    describe(answer.headers_mut(), &state, offset);
    Ok(answer)
}

/// Gives an upload up.
#[utoipa::path(delete, path = "/v1/uploads/{id}", tag = "uploads",
    params(("id" = String, Path,), ("Tus-Resumable" = String, Header,)),
    responses((status = 204), OfCaller, OfRequest, OfState, OfConditions, OfRoom, OfServer))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller<Write>,
    Path(id): Path<String>,
) -> Result<StatusCode, Error> {
    let found = find(&app, &id, &caller.user).await?;
    let held = hold(&app, &found).await?;
    give_up(&app, id, held).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn give_up(app: &App, id: String, held: Arc<Held>) -> Result<(), Error> {
    let root = Arc::clone(&app.root);
    let remove = move || {
        let _held = held;
        uploads::remove(&root, &id)
    };
    app.pool.run(remove).await
}

async fn find(app: &App, id: &str, user: &str) -> Result<Now, Error> {
    let (root, days) = (Arc::clone(&app.root), app.settings.upload_days);
    let (id, user) = (id.to_owned(), user.to_owned());
    app.pool.run(move || uploads::find(&root, &id, &user, days)).await
}

/// Whatever works on it keeps this, also when the caller is gone meanwhile: who holds it next is alone.
async fn hold(app: &App, state: &Now) -> Result<Arc<Held>, Error> {
    app.holds.hold(&state.id).await.map(Arc::new)
}

/// Why bytes were not all taken.
struct Failed {
    error: Error,
    /// How much is here.
    offset: u64,
    /// A checksum of the piece, not of the whole.
    piece: bool,
    /// More bytes would not help.
    fatal: bool,
}

/// That of the bytes of a request.
fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Error> {
    let wrong = || Error::field("Upload-Checksum", "the checksum is sha256 or sha1, and base64");
    let parsed = text(headers, "upload-checksum").map(|header| Checksum::parse(header).ok_or_else(wrong));
    parsed.transpose()
}

/// Takes the body; the offset after it.
async fn write(
    app: &App,
    state: &Now,
    request: Request,
    checksum: Option<Checksum>,
    held: &Arc<Held>,
) -> Result<u64, Failed> {
    let (start, size) = (state.offset, state.info.size);
    let fail = |error, offset, fatal| Failed { error, offset, piece: false, fatal };
    if state.info.finished {
        return Ok(size);
    }
    let (root, id, hold) = (Arc::clone(&app.root), state.id.clone(), Arc::clone(held));
    let open = app.pool.run_long(move || {
        room::make_room(&root, size - start)?;
        uploads::open(&root, &id, hold).map(|file| Arc::new(file.expecting(size - start)))
    });
    let file = open.await.map_err(|error| fail(error, start, true))?;
    let digester = checksum.as_ref().map(Checksum::digester);
    let sink = Sink { file: Arc::clone(&file), offset: start, limit: size - start, digester };
    let body: Body = request.into_body();
    let received = receive(app, body, sink, &held.wanted).await;
    let end = start + received.bytes;
    let right = match (checksum, received.digester) {
        (Some(checksum), Some(digester)) => received.error.is_none() && checksum.matches(digester),
        (Some(_), None) => false,
        (None, _) => true,
    };
    let kept = Arc::clone(&file);
    let settled = app.pool.run_long(move || {
        // A piece that nobody vouches for, or of which the server did not take all, is taken back.
        let settled = if right { kept.settle() } else { Ok(()) };
        if !right || settled.is_err() {
            kept.cut(start)?;
        }
        settled
    });
    settled.await.map_err(|error| fail(error, start, false))?;
    if !right {
        let error = received.error.unwrap_or(Error::Checksum);
        return Err(Failed { error, offset: start, piece: true, fatal: false });
    }
    if let Some(error) = received.error {
        return Err(fail(error, end, false));
    }
    if end == size {
        finish(app, state, held).await.map_err(|error| fail(error, end, true))?;
    }
    Ok(end)
}

async fn finish(app: &App, state: &Now, held: &Arc<Held>) -> Result<(), Error> {
    let (root, held) = (Arc::clone(&app.root), Arc::clone(held));
    let (id, user) = (state.id.clone(), state.info.user.clone());
    app.pool.run_long(move || uploads::finish(&root, &id, &user, held)).await
}

fn describe(headers: &mut HeaderMap, state: &Now, offset: u64) {
    headers.insert("upload-offset", HeaderValue::from(offset));
    if let Some(expires) = date(state.expires).and_then(|date| HeaderValue::try_from(date).ok()) {
        headers.insert("upload-expires", expires);
    }
}

fn number(headers: &HeaderMap, name: &'static str) -> Result<u64, Error> {
    let digits = text(headers, name).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::field(name, "a number of bytes is missing"))
}
