//! Contents: sending them, taking them, and deleting what has them.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;
use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::types::{Entry, EntryType, Trashed};

use super::change::MakeArgs;
use crate::app::App;
use crate::auth::{Caller, Delete, Read, Write};
use crate::conditions::{self, Answer};
use crate::error::Error;
use crate::facts::Facts;
use crate::http::{Args, Target, text};
use crate::memory::{Lease, Memory};
use crate::opened::Opened;
use crate::placing::{Existing, Placing};
use crate::receive::{Sink, receive};
use crate::refusals::{OfCaller, OfConditions, OfContent, OfNames, OfRange, OfRequest, OfRoom, OfServer};
use crate::root::{Root, refused_by};
use crate::uploads::{Checksum, parse_mode, parse_modified};
use crate::write::NewFile;
use crate::{room, trash, tree};

const PIECE_BYTES: usize = 256 * 1024;
/// Where other transfers have all the memory: each has two of these all the same.
const SMALL_PIECE_BYTES: usize = 16 * 1024;

pub(crate) fn router() -> Router<Arc<App>> {
    let content = get(download).put(upload).post(create).delete(delete);
    Router::new().route("/v1/content/", content.clone()).route("/v1/content/{*path}", content)
}

/// The content of a file, or one range of it. Links are followed as long as they stay in the file system.
#[utoipa::path(get, path = "/v1/content/{path}", tag = "files",
    params(("path" = String, Path,), ("Range" = Option<String>, Header,), ("If-Range" = Option<String>, Header,),
        ("If-Match" = Option<String>, Header,), ("If-None-Match" = Option<String>, Header,),
        ("If-Modified-Since" = Option<String>, Header,), ("If-Unmodified-Since" = Option<String>, Header,)),
    responses((status = 200, description = "All of it", content_type = "application/octet-stream"),
        (status = 206, description = "The range", content_type = "application/octet-stream"),
        (status = 304, description = "It is what the caller has"),
        OfCaller, OfRequest, OfNames, OfConditions, OfRange, OfServer))]
pub(crate) async fn download(
    State(app): State<Arc<App>>,
    _: Caller<Read>,
    Target(path): Target,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let root = Arc::clone(&app.root);
    let open = move || root.file(&path).map(|(file, facts)| (Opened::new(file), facts));
    let (file, facts) = app.pool.run(open).await?;
    let answer = conditions::decide(&headers, &facts)?;
    let (status, from, length) = match answer {
        Answer::NotModified => (StatusCode::NOT_MODIFIED, 0, 0),
        Answer::Whole => (StatusCode::OK, 0, facts.size),
        Answer::Part { from, length } => (StatusCode::PARTIAL_CONTENT, from, length),
    };
    let mut answer = Response::builder().status(status).header(header::ETAG, facts.etag());
    if let Some(modified) = conditions::last_modified(&facts) {
        answer = answer.header(header::LAST_MODIFIED, modified);
    }
    if status != StatusCode::NOT_MODIFIED {
        answer = answer
            .header(header::ACCEPT_RANGES, "bytes")
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_DISPOSITION, "attachment")
            .header(header::CONTENT_LENGTH, length);
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {from}-{}/{}", from + length - 1, facts.size);
        answer = answer.header(header::CONTENT_RANGE, range);
    }
    let body =
        if method == Method::HEAD || length == 0 { Body::empty() } else { sent(&app, file, from, length) };
    answer.body(body).map_err(|_| Error::of("make the answer", Errno::INVAL))
}

/// A piece of the file is read while the one before is sent.
fn sent(app: &Arc<App>, file: Opened, from: u64, length: u64) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let (file, spare) = (Arc::new(file), Spare::default());
        let (mut at, end) = (from, from + length);
        while at < end {
            // Whoever takes nothing has what is on its way and one piece that waits, and no third one.
            let Ok(place) = sender.reserve().await else { return };
            let wanted = usize::try_from(end - at).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            let (source, room) = (Arc::clone(&file), Room::of(&app.memory, wanted, &spare));
            let piece = app.pool.run_piece(move || read(&source, at, room)).await;
            let piece = piece.map_err(|error| {
                tracing::info!(%error, "a content broke off");
                std::io::Error::other(error)
            });
            let read = piece.as_ref().map_or(0, Bytes::len) as u64;
            place.send(piece);
            // Whoever reads is told that the rest does not come.
            if read == 0 {
                return;
            }
            app.metrics.sent.inc_by(read);
            at += read;
        }
    });
    let next = async |mut receiver: mpsc::Receiver<_>| Some((receiver.recv().await?, receiver));
    Body::from_stream(futures::stream::unfold(receiver, next))
}

/// What the piece before had, once it is sent: fresh memory has to be cleared by the kernel first.
type Spare = Arc<Mutex<Option<(Vec<u8>, Lease)>>>;

/// Bytes of a file, and the memory that they have for as long as anybody has them.
struct Piece(Room);

/// Where bytes are read into.
struct Room {
    bytes: Vec<u8>,
    memory: Option<Lease>,
    spare: Spare,
}

impl Room {
    fn of(memory: &Memory, wanted: usize, spare: &Spare) -> Self {
        let before = spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        // If others have all the memory, that of a smaller piece is no reason to stay with it.
        let (bytes, memory) = match before.filter(|(_, lease)| lease.bytes == wanted) {
            Some((bytes, lease)) => (bytes, Some(lease)),
            None => match memory.lease(wanted, SMALL_PIECE_BYTES) {
                Some(lease) => (Vec::with_capacity(lease.bytes), Some(lease)),
                None => (Vec::with_capacity(SMALL_PIECE_BYTES.min(wanted)), None),
            },
        };
        Self { bytes, memory, spare: Arc::clone(spare) }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        self.bytes.clear();
        let spare = (std::mem::take(&mut self.bytes), memory);
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(spare);
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

fn read(file: &Opened, at: u64, mut room: Room) -> Result<Bytes, Error> {
    loop {
        return match rustix::io::pread(file, spare_capacity(&mut room.bytes), at) {
            Ok(0) => Err(Error::Conflict("the file became shorter while it was read")),
            Ok(_) => Ok(Bytes::from_owner(Piece(room))),
            Err(Errno::INTR) => continue,
            Err(errno) => Err(refused_by("it", "read the file", errno, file)),
        };
    }
}

/// Makes or replaces a file. It appears under its name once it is whole.
#[utoipa::path(put, path = "/v1/content/{path}", tag = "files",
    params(("path" = String, Path,), MakeArgs, ("If-Match" = Option<String>, Header,),
        ("If-None-Match" = Option<String>, Header, description = "`*`: nothing is replaced"),
        ("Repr-Digest" = Option<String>, Header, description = "`sha-256=:base64:` is checked"),
        ("X-Wfs-Modified" = Option<String>, Header, description = "Time of modification, RFC 3339"),
        ("X-Wfs-Mode" = Option<String>, Header, description = "Permission bits, octal")),
    request_body(content_type = "application/octet-stream"),
    responses((status = 201, body = Entry), (status = 200, body = Entry),
        OfCaller, OfRequest, OfNames, OfConditions, OfContent, OfRoom, OfServer))]
pub(crate) async fn upload(
    State(app): State<Arc<App>>,
    _: Caller<Write>,
    Target(path): Target,
    Args(args): Args<MakeArgs>,
    request: Request,
) -> Result<Response, Error> {
    let placing = placing(path, args.parents, request.headers())?;
    // A file that is there is what `If-None-Match: *` is about.
    let conditional = placing.existing == Existing::Keep;
    let taken = take(&app, placing, request).await;
    taken.map_err(|error| if conditional && error == Error::Exists { Error::Precondition } else { error })
}

/// Makes a file where nothing has its name. It appears there once it is whole.
#[utoipa::path(post, path = "/v1/content/{path}", tag = "files",
    params(("path" = String, Path,), MakeArgs,
        ("Repr-Digest" = Option<String>, Header, description = "`sha-256=:base64:` is checked"),
        ("X-Wfs-Modified" = Option<String>, Header, description = "Time of modification, RFC 3339"),
        ("X-Wfs-Mode" = Option<String>, Header, description = "Permission bits, octal")),
    request_body(content_type = "application/octet-stream"),
    responses((status = 201, body = Entry), OfCaller, OfRequest, OfNames, OfContent, OfRoom, OfServer))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    _: Caller<Write>,
    Target(path): Target,
    Args(args): Args<MakeArgs>,
    request: Request,
) -> Result<Response, Error> {
    let headers = request.headers();
    for condition in ["If-Match", "If-None-Match"] {
        if headers.contains_key(condition) {
            return Err(Error::field(condition, "POST replaces nothing: conditions are for PUT"));
        }
    }
    let taken = match placing(path, args.parents, headers) {
        Ok(placing) => take(&app, Placing { existing: Existing::Keep, ..placing }, request).await,
        Err(error) => Err(error),
    };
    // A folder has the name as well.
    taken.map_err(|error| if error == Error::IsDirectory { Error::Exists } else { error })
}

/// Takes the content of a file and gives it its name.
async fn take(app: &Arc<App>, placing: Placing, request: Request) -> Result<Response, Error> {
    let headers = request.headers();
    let checksum = text(headers, "repr-digest").map(Checksum::of_representation).transpose()?.flatten();
    let length = text(headers, header::CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
    let (root, asked) = (Arc::clone(&app.root), placing.clone());
    let begin = move || {
        asked.check(&root)?;
        room::make_room(&root, length.unwrap_or(0))?;
        NewFile::create(&root).map(|file| Arc::new(file.expecting(length.unwrap_or(0))))
    };
    let file = app.pool.run(begin).await?;
    let digester = checksum.as_ref().map(Checksum::digester);
    let sink = Sink { file: Arc::clone(&file), offset: 0, limit: u64::MAX, digester };
    let received = receive(app, request.into_body(), sink, &CancellationToken::new()).await;
    if let Some(error) = received.error {
        return Err(error);
    }
    if let (Some(checksum), Some(digester)) = (checksum, received.digester)
        && !checksum.matches(digester)
    {
        return Err(Error::Checksum);
    }
    let (entry, new) = app.pool.run_long(move || file.place(&placing)).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, [(header::ETAG, entry.etag.clone())], axum::Json(entry)).into_response())
}

fn placing(path: FilePath, parents: bool, headers: &HeaderMap) -> Result<Placing, Error> {
    if path.is_root() {
        return Err(Error::IsDirectory);
    }
    if headers.contains_key("if-unmodified-since") {
        // Two changes within a second have one date.
        return Err(Error::field("If-Unmodified-Since", "a file is written with If-Match, not by a date"));
    }
    let existing = match (text(headers, "if-match"), text(headers, "if-none-match")) {
        (Some(tags), None) => Existing::Match(conditions::tags(tags)),
        (None, Some("*")) => Existing::Keep,
        (None, None) => Existing::Replace,
        _ => {
            return Err(Error::field(
                "If-None-Match",
                "a file is written with If-Match, with If-None-Match: *, or with neither",
            ));
        }
    };
    let modified = text(headers, "x-wfs-modified").map(parse_modified).transpose()?;
    let mode = text(headers, "x-wfs-mode").map(parse_mode).transpose()?;
    Ok(Placing { path, parents, existing, modified, mode })
}

/// Query of a deletion.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeleteArgs {
    /// Whether a folder goes with what is in it.
    #[serde(default)]
    recursive: bool,
    /// For good, not into the trash.
    #[serde(default)]
    permanent: bool,
}

/// Deletes a file, a link itself, or a folder: into the trash unless for good.
#[utoipa::path(delete, path = "/v1/content/{path}", tag = "files", params(("path" = String, Path,), DeleteArgs),
    responses((status = 200, body = Trashed), (status = 204, description = "It is gone for good"),
        OfCaller, OfRequest, OfNames, OfRoom, OfServer))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller<Delete>,
    Target(path): Target,
    Args(args): Args<DeleteArgs>,
) -> Result<Response, Error> {
    if path.is_root() {
        return Err(Error::bad("the root stays"));
    }
    let root = Arc::clone(&app.root);
    if args.permanent {
        app.pool.run_long(move || delete_for_good(&root, &path, args.recursive)).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let put = move || {
        // On a full file system there is no room for the record of what is to make room.
        room::with_room(&root, || trash::put(&root, &path, args.recursive, &caller.user))
    };
    let id = app.pool.run(put).await?;
    app.sweep.notify_one();
    Ok(axum::Json(Trashed { trash: id }).into_response())
}

pub(crate) fn delete_for_good(root: &Root, path: &FilePath, recursive: bool) -> Result<(), Error> {
    let (folder, name) = root.parent(path, false)?;
    let facts =
        Facts::at(folder.as_fd(), name).map_err(|errno| root.denied("look at it", errno, folder.as_fd()))?;
    let refused = |step, errno| root.denied(step, errno, folder.as_fd());
    if !recursive {
        // One call, so that nothing goes that came since anybody looked.
        let flags = if facts.kind == EntryType::Dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        return unlinkat(&folder, name, flags).map_err(|errno| match errno {
            Errno::NOTEMPTY | Errno::EXIST => Error::NotEmpty,
            errno => refused("delete it", errno),
        });
    }
    use std::os::unix::ffi::OsStrExt as _;
    tree::delete(folder.as_fd(), std::ffi::OsStr::from_bytes(name)).map_err(|error| match error {
        Error::System { errno, step } if Error::is_refusal(errno) => refused(step, errno),
        error => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::Owner;

    #[test]
    fn what_comes_into_a_folder_while_it_is_deleted_as_an_empty_one_is_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path(), Owner { uid: 0, gid: 0, mode: 0o755 }).unwrap();
        let (folder, path) = (dir.path().join("d"), FilePath::decode("d").unwrap());
        let (mut kept, mut deleted) = (0, 0);
        for _ in 0..3000 {
            std::fs::create_dir_all(&folder).unwrap();
            let file = folder.join("x");
            let (written, result) = std::thread::scope(|scope| {
                let writing = scope.spawn(|| std::fs::write(&file, "x").is_ok());
                let result = delete_for_good(&root, &path, false);
                (writing.join().unwrap(), result)
            });
            assert_eq!(written, file.exists(), "{result:?}");
            match result {
                Ok(()) => deleted += 1,
                Err(error) => {
                    assert_eq!(error, Error::NotEmpty);
                    kept += 1;
                    std::fs::remove_file(&file).unwrap();
                }
            }
        }
        assert!(kept > 0 && deleted > 0, "the race was none: {kept} {deleted}");
    }
}
