//! The file API of the gateway of the tests: as simple as the contract lets it be.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use workspacefs_files_proto::FilePath;

use crate::gateway::{Gateway, Request, error};

/// An unfinished upload.
pub struct Upload {
    pub id: String,
    pub path: FilePath,
    pub size: u64,
    pub metadata: String,
}

type Answer = Result<Response, Response>;

pub fn answer(gateway: &Gateway, request: &Request) -> Response {
    let (verb, rest) = request.rest.split_once('/').unwrap_or((&request.rest, ""));
    let answer = match (verb, request.method.as_str()) {
        ("list", "GET") => list(gateway, request, rest),
        ("stat", "GET") => path(rest).and_then(|path| Ok(ok(entry(gateway, &path)?))),
        ("folders", "PUT") => folder(gateway, rest),
        ("content", "GET") => content(gateway, request, rest),
        ("content", "PUT") => put(gateway, request, rest),
        ("content", "DELETE") => delete(gateway, request, rest),
        ("move", "POST") => rename(gateway, request),
        ("copy", "POST") => copy(gateway, request),
        ("search", "GET") => search(gateway, request, rest),
        ("usage", "GET") => Ok(ok(json!({
            "capacity": 1000, "used": 600, "available": 400, "inodes": 10, "inodesUsed": 5,
            "trash": {"bytes": 7, "entries": gateway.told().trash.len()},
        }))),
        ("trash", _) => trash(gateway, request, rest),
        ("uploads", _) => uploads(gateway, request, rest),
        ("imports", _) => imports(gateway, request, rest),
        _ => Err(error(404, "NotFound", "no such route")),
    };
    answer.unwrap_or_else(|error| error)
}

fn ok(body: Value) -> Response {
    axum::Json(body).into_response()
}

fn path(encoded: &str) -> Result<FilePath, Response> {
    FilePath::decode(encoded).map_err(|why| error(400, "BadPath", &why.to_string()))
}

fn query<'a>(request: &'a Request, key: &str) -> Option<&'a str> {
    request.query.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.get(name).and_then(|value| value.to_str().ok())
}

/// The kernel's answer as the contract's.
fn of_io(why: std::io::Error) -> Response {
    match why.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NOENT) => error(404, "NotFound", "there is no such file or folder"),
        Some(rustix::io::Errno::NOTDIR) => error(409, "NotDirectory", "a file where a folder is needed"),
        Some(rustix::io::Errno::ISDIR) => error(409, "IsDirectory", "a folder where a file is needed"),
        Some(rustix::io::Errno::NOTEMPTY) => error(409, "NotEmpty", "the folder is not empty"),
        _ => error(500, "Internal", &why.to_string()),
    }
}

fn etag(found: &fs::Metadata) -> String {
    format!("\"{:x}-{:x}-{:x}-{:x}\"", found.ino(), found.len(), found.mtime_nsec(), found.ctime_nsec())
}

fn entry(gateway: &Gateway, path: &FilePath) -> Result<Value, Response> {
    let found = fs::symlink_metadata(gateway.at(path)).map_err(of_io)?;
    let kind = match found.file_type() {
        kind if kind.is_file() => "file",
        kind if kind.is_dir() => "dir",
        kind if kind.is_symlink() => "symlink",
        _ => "other",
    };
    let modified = jiff::Timestamp::new(found.mtime(), i32::try_from(found.mtime_nsec()).unwrap()).unwrap();
    let name = path.split().map_or(String::new(), |(_, name)| String::from_utf8_lossy(name).into_owned());
    Ok(json!({
        "name": name, "path": path.encode(), "type": kind, "size": found.len(), "modified": format!("{modified:.9}"),
        "mode": format!("{:04o}", found.mode() & 0o7777), "uid": found.uid(), "gid": found.gid(), "etag": etag(&found),
    }))
}

fn list(gateway: &Gateway, request: &Request, rest: &str) -> Answer {
    let path = path(rest)?;
    if let Some(listing) = gateway.told().listing.take() {
        return Ok(ok(listing));
    }
    let mut names: Vec<Vec<u8>> = fs::read_dir(gateway.at(&path))
        .map_err(of_io)?
        .map(|entry| entry.unwrap().file_name().as_bytes().to_vec())
        .collect();
    names.sort();
    let limit: usize = query(request, "limit").unwrap().parse().unwrap();
    let begin: usize = query(request, "cursor").map_or(0, |cursor| cursor.parse().unwrap());
    let next = (names.len() > begin + limit).then(|| (begin + limit).to_string());
    let page = names.iter().skip(begin).take(limit);
    let entries: Vec<Value> =
        page.filter_map(|name| entry(gateway, &path.join(name).unwrap()).ok()).collect();
    Ok(ok(json!({"entries": entries, "next": next, "sorted": true})))
}

fn folder(gateway: &Gateway, rest: &str) -> Answer {
    let path = path(rest)?;
    parents(gateway, &path)?;
    match fs::create_dir(gateway.at(&path)) {
        Ok(()) => Ok((StatusCode::CREATED, axum::Json(entry(gateway, &path)?)).into_response()),
        Err(_) if gateway.at(&path).is_dir() => Ok(ok(entry(gateway, &path)?)),
        Err(why) if why.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(error(409, "Exists", "there is something of that name"))
        }
        Err(why) => Err(of_io(why)),
    }
}

fn parents(gateway: &Gateway, path: &FilePath) -> Result<(), Response> {
    let Some((above, _)) = path.split() else { return Ok(()) };
    fs::create_dir_all(gateway.at(&above)).map_err(|_| error(409, "NotDirectory", "a file is above it"))
}

fn content(gateway: &Gateway, request: &Request, rest: &str) -> Answer {
    let path = path(rest)?;
    let mut file = File::open(gateway.at(&path)).map_err(of_io)?;
    let found = file.metadata().map_err(of_io)?;
    if found.is_dir() {
        return Err(error(409, "IsDirectory", "it is a folder"));
    }
    let etag = etag(&found);
    if header(request, "if-match").is_some_and(|wanted| wanted != etag) {
        return Err(error(412, "PreconditionFailed", "it has changed"));
    }
    let begin: Option<u64> = header(request, "range")
        .map(|range| range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap());
    if begin.is_some_and(|begin| begin >= found.len()) {
        return Err(error(416, "RangeNotSatisfiable", "it has no such bytes"));
    }
    file.seek(SeekFrom::Start(begin.unwrap_or(0))).map_err(of_io)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(of_io)?;
    let mut answer = Response::builder()
        .status(if begin.is_some() { 206 } else { 200 })
        .header("etag", etag)
        .header("content-length", bytes.len());
    if let Some(begin) = begin {
        answer = answer.header("content-range", format!("bytes {begin}-{}/{}", found.len() - 1, found.len()));
    }
    if let Some(right) = gateway.told().digest {
        let whole = fs::read(gateway.at(&path)).map_err(of_io)?;
        let hash = if right { Sha256::digest(whole) } else { Sha256::digest(b"else") };
        answer = answer.header("repr-digest", format!("sha-256=:{}:", BASE64.encode(hash)));
    }
    let mut told = gateway.told();
    if told.cut_content.0 > 0 {
        told.cut_content.0 -= 1;
        bytes.truncate(told.cut_content.1);
        let pieces = vec![Ok(Bytes::from(bytes)), Err(std::io::Error::other("cut"))];
        // The second one breaks the connection after the first has gone out.
        let stream = futures::stream::unfold(pieces.into_iter(), |mut pieces| async move {
            let piece = pieces.next()?;
            if piece.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Some((piece, pieces))
        });
        return Ok(answer.body(Body::from_stream(stream)).unwrap());
    }
    Ok(answer.body(Body::from(bytes)).unwrap())
}

/// What a write may not do.
fn allowed(gateway: &Gateway, path: &FilePath, size: u64) -> Result<(), Response> {
    let mut told = gateway.told();
    if told.refuse.is_some_and(|name| path.as_bytes().ends_with(name.as_bytes())) {
        return Err(error(403, "Forbidden", "the folder is of uid 0 and mode 0755"));
    }
    if let Some(left) = &mut told.quota {
        *left =
            left.checked_sub(size).ok_or_else(|| error(507, "QuotaExceeded", "the file system is full"))?;
    }
    Ok(())
}

fn put(gateway: &Gateway, request: &Request, rest: &str) -> Answer {
    let path = path(rest)?;
    allowed(gateway, &path, request.body.len() as u64)?;
    let at = gateway.at(&path);
    if at.is_dir() {
        return Err(error(409, "IsDirectory", "there is a folder of that name"));
    }
    if header(request, "if-none-match") == Some("*") && at.exists() {
        return Err(error(412, "PreconditionFailed", "there is a file of that name"));
    }
    let digest = format!("sha-256=:{}:", BASE64.encode(Sha256::digest(&request.body)));
    if header(request, "repr-digest").is_some_and(|told| told != digest) {
        return Err(error(422, "ChecksumMismatch", "the content is not what its digest says"));
    }
    parents(gateway, &path)?;
    fs::write(&at, &request.body).map_err(of_io)?;
    attributes(&at, header(request, "x-wfs-modified"), header(request, "x-wfs-mode"));
    Ok((StatusCode::CREATED, axum::Json(entry(gateway, &path)?)).into_response())
}

fn attributes(at: &Path, modified: Option<&str>, mode: Option<&str>) {
    let mode = u32::from_str_radix(mode.unwrap(), 8).unwrap();
    fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
    let modified: jiff::Timestamp = modified.unwrap().parse().unwrap();
    File::open(at).unwrap().set_modified(modified.into()).unwrap();
}

fn delete(gateway: &Gateway, request: &Request, rest: &str) -> Answer {
    let path = path(rest)?;
    let at = gateway.at(&path);
    let found = fs::symlink_metadata(&at).map_err(of_io)?;
    let holds = found.is_dir() && fs::read_dir(&at).map_err(of_io)?.next().is_some();
    if holds && query(request, "recursive") != Some("true") {
        return Err(error(409, "NotEmpty", "the folder is not empty"));
    }
    if query(request, "permanent") == Some("true") {
        let gone = if found.is_dir() { fs::remove_dir_all(at) } else { fs::remove_file(at) };
        gone.map_err(of_io)?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut told = gateway.told();
    let id = format!("t{}", told.trash.len());
    fs::rename(at, gateway.hidden().join(&id)).map_err(of_io)?;
    told.trash.push((id.clone(), path.as_bytes().to_vec()));
    Ok(ok(json!({"trash": id})))
}

fn transfer(gateway: &Gateway, request: &Request) -> Result<(FilePath, FilePath), Response> {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let (from, to) = (path(body["from"].as_str().unwrap())?, path(body["to"].as_str().unwrap())?);
    if gateway.at(&to).exists() && body["overwrite"] != true {
        return Err(error(409, "Exists", "there is something of that name"));
    }
    parents(gateway, &to)?;
    Ok((from, to))
}

fn rename(gateway: &Gateway, request: &Request) -> Answer {
    let (from, to) = transfer(gateway, request)?;
    fs::rename(gateway.at(&from), gateway.at(&to)).map_err(of_io)?;
    Ok(ok(entry(gateway, &to)?))
}

fn copy(gateway: &Gateway, request: &Request) -> Answer {
    let (from, to) = transfer(gateway, request)?;
    let status =
        std::process::Command::new("cp").arg("-a").arg(gateway.at(&from)).arg(gateway.at(&to)).status();
    let last = if status.unwrap().success() {
        json!({"done": true, "files": 2, "bytes": 10})
    } else {
        json!({"error": {"code": "NotFound", "message": "there is no such file or folder"}})
    };
    let lines = format!("{}\n{last}\n", json!({"files": 1, "bytes": 5}));
    Ok(([("content-type", "application/x-ndjson")], lines).into_response())
}

fn search(gateway: &Gateway, request: &Request, rest: &str) -> Answer {
    let part = query(request, "name").unwrap().to_lowercase();
    let (mut waiting, mut lines) = (vec![path(rest)?], String::new());
    while let Some(folder) = waiting.pop() {
        let mut names: Vec<_> = fs::read_dir(gateway.at(&folder))
            .map_err(of_io)?
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        for name in names {
            let path = folder.join(name.as_bytes()).unwrap();
            if name.to_string_lossy().to_lowercase().contains(&part) {
                lines.push_str(&format!("{}\n", entry(gateway, &path)?));
            }
            if gateway.at(&path).is_dir() {
                waiting.push(path);
            }
        }
    }
    lines.push_str(&format!("{}\n", json!({"done": true, "limited": query(request, "limit").is_some()})));
    Ok(lines.into_response())
}

fn trash(gateway: &Gateway, request: &Request, rest: &str) -> Answer {
    match (request.method.as_str(), rest.split_once('/')) {
        ("GET", _) => {
            let told = gateway.told();
            let entries = told.trash.iter().map(|(id, path)| {
                let path = FilePath::from_bytes(path).unwrap();
                let name = String::from_utf8_lossy(path.split().unwrap().1).into_owned();
                json!({
                    "id": id, "path": path.encode(), "name": name, "type": "file", "size": 5, "deletedBy": "jane",
                    "deletedAt": "2026-01-02T03:04:05.000000000Z", "expiresAt": "2026-02-02T03:04:05.000000000Z",
                })
            });
            Ok(ok(json!({"entries": entries.collect::<Vec<_>>(), "next": null})))
        }
        ("DELETE", _) => {
            gateway.told().trash.retain(|(id, _)| !rest.is_empty() && id != rest);
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        ("POST", Some((id, "restore"))) => {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let mut told = gateway.told();
            let at = told.trash.iter().position(|(known, _)| known == id);
            let at = at.ok_or_else(|| error(404, "NotFound", "the trash holds nothing of that id"))?;
            let (id, was) = told.trash.remove(at);
            drop(told);
            let to = match body["to"].as_str() {
                Some(to) => path(to)?,
                None => FilePath::from_bytes(&was).unwrap(),
            };
            parents(gateway, &to)?;
            fs::rename(gateway.hidden().join(id), gateway.at(&to)).map_err(of_io)?;
            Ok(ok(entry(gateway, &to)?))
        }
        _ => Err(error(404, "NotFound", "no such route")),
    }
}

fn uploads(gateway: &Gateway, request: &Request, id: &str) -> Answer {
    let partial = |id: &str| gateway.hidden().join(format!("upload-{id}"));
    match (request.method.as_str(), id) {
        ("GET", "") => {
            let told = gateway.told();
            let all = told.uploads.iter().map(|upload| {
                let offset = fs::metadata(partial(&upload.id)).unwrap().len();
                json!({"id": upload.id, "path": upload.path.encode(), "size": upload.size, "offset": offset,
                    "expiresAt": "2027-01-01T00:00:00.000000000Z", "created": "2026-01-01T00:00:00.000000000Z"})
            });
            Ok(ok(Value::Array(all.collect())))
        }
        ("POST", "") => {
            let metadata = header(request, "upload-metadata").unwrap().to_owned();
            let path = path(&value(&metadata, "path"))?;
            let size: u64 = header(request, "upload-length").unwrap().parse().unwrap();
            if gateway.at(&path).is_dir() {
                return Err(error(409, "IsDirectory", "there is a folder of that name"));
            }
            allowed(gateway, &path, request.body.len() as u64)?;
            let id = format!("u{}", gateway.told().requests.len());
            fs::write(partial(&id), b"").unwrap();
            gateway.told().uploads.push(Upload { id: id.clone(), path, size, metadata });
            let offset = append(gateway, request, &id)?;
            let headers = [("location", format!("uploads/{id}")), ("upload-offset", offset.to_string())];
            Ok((StatusCode::CREATED, headers).into_response())
        }
        ("PATCH", id) => {
            let told: u64 = header(request, "upload-offset").unwrap().parse().unwrap();
            let found = fs::metadata(partial(id)).map_err(of_io)?.len();
            if told != found {
                return Err(error(409, "Conflict", "the upload is at another offset"));
            }
            let path = gateway.told().uploads.iter().find(|upload| upload.id == id).unwrap().path.clone();
            allowed(gateway, &path, request.body.len() as u64)?;
            let offset = append(gateway, request, id)?;
            Ok((StatusCode::NO_CONTENT, [("upload-offset", offset.to_string())]).into_response())
        }
        ("HEAD", id) => {
            let told = gateway.told();
            let upload = told.uploads.iter().find(|upload| upload.id == id);
            let upload = upload.ok_or_else(|| error(404, "NotFound", "there is no such upload"))?;
            let offset = fs::metadata(partial(id)).map_err(of_io)?.len().to_string();
            let headers = [("upload-offset", offset), ("upload-metadata", upload.metadata.clone())];
            Ok((StatusCode::OK, headers).into_response())
        }
        ("DELETE", id) => {
            gateway.told().uploads.retain(|upload| upload.id != id);
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => Err(error(404, "NotFound", "no such route")),
    }
}

fn value(metadata: &str, key: &str) -> String {
    let pair = metadata.split(',').find_map(|pair| pair.strip_prefix(key)?.strip_prefix(' ')).unwrap();
    String::from_utf8(BASE64.decode(pair).unwrap()).unwrap()
}

/// Takes a piece; after the last one the file has its name.
fn append(gateway: &Gateway, request: &Request, id: &str) -> Result<u64, Response> {
    let hash = format!("sha256 {}", BASE64.encode(Sha256::digest(&request.body)));
    if header(request, "upload-checksum").is_some_and(|told| told != hash) {
        return Err(error(460, "ChecksumMismatch", "the piece is damaged"));
    }
    let partial = gateway.hidden().join(format!("upload-{id}"));
    File::options().append(true).open(&partial).unwrap().write_all(&request.body).unwrap();
    let offset = fs::metadata(&partial).unwrap().len();
    let mut told = gateway.told();
    let at = told.uploads.iter().position(|upload| upload.id == id).unwrap();
    if offset == told.uploads[at].size {
        let upload = told.uploads.remove(at);
        drop(told);
        parents(gateway, &upload.path)?;
        attributes(
            &partial,
            Some(&value(&upload.metadata, "modified")),
            Some(&value(&upload.metadata, "mode")),
        );
        fs::rename(partial, gateway.at(&upload.path)).map_err(of_io)?;
    }
    Ok(offset)
}

fn imports(gateway: &Gateway, request: &Request, rest: &str) -> Answer {
    let import = |state: &str, failed: u64| {
        let failures = (0..failed).map(|number| json!({"key": format!("k{number}"), "reason": "403"}));
        json!({
            "id": "i1", "provider": "s3", "bucket": "b", "prefix": null, "endpoint": null, "destination": "in%20here",
            "state": state, "objects": {"total": 3, "done": 3 - failed, "skipped": 0, "failed": failed},
            "bytes": {"total": 300, "done": 300}, "bySize": 0, "rate": 100, "etaSeconds": null,
            "failures": failures.collect::<Vec<_>>(), "message": "", "startedAt": "2026-01-01T00:00:00.000000000Z",
            "endedAt": null, "startedBy": "jane",
        })
    };
    match (request.method.as_str(), rest) {
        ("POST", "") => {
            gateway.told().imports.push(serde_json::from_slice(&request.body).unwrap());
            Ok((StatusCode::CREATED, axum::Json(import("running", 0))).into_response())
        }
        ("GET", "") => Ok(ok(json!([import("running", 0)]))),
        ("GET", "i1") => {
            let failed =
                gateway.told().imports.last().map_or(0, |body| u64::from(body["bucket"] == "partly"));
            Ok(ok(import("done", failed)))
        }
        ("POST", "i1/resume") => Ok(ok(import("running", 0))),
        ("DELETE", "i1") => Ok(StatusCode::NO_CONTENT.into_response()),
        _ => Err(error(404, "NotFound", "there is no such import")),
    }
}
