//! The file API of one FileSystem, request by request.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, IF_NONE_MATCH, UPGRADE};
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use workspacefs_files_proto::import::{Import, ImportRequest, ImportResume};
use workspacefs_files_proto::rsync::{PROTOCOL, Rsync};
use workspacefs_files_proto::types::{Restore, Transfer, TrashListing, Upload, Usage};

use super::Gateway;
use super::answer::Lines;
use super::call::Call;
use super::error::{ClientError, ErrorBody};
use super::path::RemotePath;
use super::types::{Deleted, Entry, List};

/// Entries of a folder that are asked for at once.
const PAGE: usize = 1000;
/// SHA-256 of a whole file, in `sha-256=:base64:`.
pub const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const MODIFIED: HeaderName = HeaderName::from_static("x-wfs-modified");
const MODE: HeaderName = HeaderName::from_static("x-wfs-mode");

/// A FileSystem.
#[derive(Clone)]
pub struct Files {
    gateway: Gateway,
    base: String,
}

/// What goes with a file's bytes.
#[derive(Clone, Debug)]
pub struct Attributes {
    /// Last change.
    pub modified: jiff::Timestamp,
    /// Permissions, such as 0o644.
    pub mode: u32,
    /// Whether it may replace a file that is there.
    pub overwrite: bool,
}

impl Attributes {
    /// As the contract writes times: to the nanosecond.
    pub fn modified_text(&self) -> String {
        format!("{:.9}", self.modified)
    }

    /// As the contract writes modes.
    pub fn mode_text(&self) -> String {
        format!("{:04o}", self.mode)
    }
}

/// How far a copy on the server is.
#[derive(Clone, Copy, Debug, Default, Deserialize, serde::Serialize)]
pub struct Copied {
    /// Copied.
    pub files: u64,
    /// Copied.
    pub bytes: u64,
}

#[derive(Deserialize)]
struct CopyLine {
    #[serde(default)]
    files: u64,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    done: bool,
    error: Option<ErrorBody>,
}

impl Files {
    /// Of a workspace.
    pub fn new(gateway: Gateway, workspace: &str, file_system: &str) -> Self {
        // Both are DNS labels.
        let base = format!("/wfs/v1/workspaces/{workspace}/filesystems/{file_system}/api");
        Self { gateway, base }
    }

    /// Whose it is.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// What follows the base is percent-encoded.
    pub fn target(&self, rest: &str) -> String {
        format!("{}/{rest}", self.base)
    }

    fn at(&self, verb: &str, path: &RemotePath) -> String {
        format!("{}/{verb}/{}", self.base, path.encoded())
    }

    /// Whether uploads by rsync are switched on. A server that knows nothing of them has none.
    ///
    /// # Errors
    /// [`ClientError`], as all here.
    pub async fn has_rsync(&self) -> Result<bool, ClientError> {
        match self.gateway.json::<Rsync>(&Call::get(self.target("rsync"))).await {
            Ok(rsync) => Ok(rsync.enabled),
            Err(error) if error.is_status(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A connection to the rsync daemon, which may start still. Where none came about nothing was done.
    pub async fn rsync(&self) -> Result<Upgraded, ClientError> {
        let call = Call::new(Method::POST, self.target("rsync")).repeatable();
        self.gateway.upgrade(&call.header(CONNECTION, "upgrade").header(UPGRADE, PROTOCOL)).await
    }

    /// A part of a folder, sorted by name.
    ///
    /// # Errors
    /// [`ClientError`], as all here.
    pub async fn list(&self, path: &RemotePath, cursor: Option<&str>) -> Result<List, ClientError> {
        let cursor = cursor.map(|cursor| format!("&cursor={}", query(cursor))).unwrap_or_default();
        let call = Call::get(format!("{}?limit={PAGE}{cursor}", self.at("list", path)));
        self.gateway.json(&call).await
    }

    /// One entry.
    pub async fn stat(&self, path: &RemotePath) -> Result<Entry, ClientError> {
        self.gateway.json(&Call::get(self.at("stat", path))).await
    }

    /// One entry, or none.
    pub async fn find(&self, path: &RemotePath) -> Result<Option<Entry>, ClientError> {
        match self.stat(path).await {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.code() == "NotFound" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a folder, and those above it; whether it was not there. Something else of that name is `Exists`.
    pub async fn make_folder(&self, path: &RemotePath) -> Result<bool, ClientError> {
        let call = Call::new(Method::PUT, format!("{}?parents=true", self.at("folders", path))).repeatable();
        Ok(self.gateway.send(&call).await?.status() == StatusCode::CREATED)
    }

    /// Begins to read a file.
    pub async fn read(
        &self,
        path: &RemotePath,
        headers: &[(HeaderName, String)],
    ) -> Result<Response<Incoming>, ClientError> {
        let mut call = Call::get(self.at("content", path));
        for (name, value) in headers {
            call = call.header(name.clone(), value);
        }
        self.gateway.send(&call).await
    }

    /// Writes a file whole.
    pub async fn write(
        &self,
        path: &RemotePath,
        bytes: Bytes,
        digest: &str,
        attributes: &Attributes,
    ) -> Result<(), ClientError> {
        let mut call = Call::new(Method::PUT, format!("{}?parents=true", self.at("content", path)))
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(REPR_DIGEST, &format!("sha-256=:{digest}:"))
            .header(MODIFIED, &attributes.modified_text())
            .header(MODE, &attributes.mode_text())
            .body(bytes);
        call = if attributes.overwrite { call.repeatable() } else { call.header(IF_NONE_MATCH, "*") };
        self.gateway.bytes(&call).await.map(drop)
    }

    /// Deletes a file, or a folder.
    pub async fn delete(
        &self,
        path: &RemotePath,
        recursive: bool,
        permanent: bool,
    ) -> Result<Deleted, ClientError> {
        let mut target = self.at("content", path);
        let asked = [(recursive, "recursive=true"), (permanent, "permanent=true")];
        for (number, (_, key)) in asked.iter().filter(|(asked, _)| *asked).enumerate() {
            target.push(if number == 0 { '?' } else { '&' });
            target.push_str(key);
        }
        let call = Call::new(Method::DELETE, target);
        let body = self.gateway.bytes(&call).await?;
        if body.is_empty() {
            return Ok(Deleted::default());
        }
        serde_json::from_slice(&body).map_err(|error| call.senseless(error.to_string()))
    }

    /// Renames.
    pub async fn rename(
        &self,
        from: &RemotePath,
        to: &RemotePath,
        overwrite: bool,
    ) -> Result<Entry, ClientError> {
        let body = Transfer { from: from.encoded(), to: to.encoded(), overwrite, parents: true };
        self.gateway.json(&Call::new(Method::POST, self.target("move")).json(&body)).await
    }

    /// Copies on the server; `told` hears how far it is.
    pub async fn copy(
        &self,
        from: &RemotePath,
        to: &RemotePath,
        overwrite: bool,
        mut told: impl FnMut(Copied),
    ) -> Result<Copied, ClientError> {
        let body = Transfer { from: from.encoded(), to: to.encoded(), overwrite, parents: true };
        let call = Call::new(Method::POST, self.target("copy")).json(&body);
        let mut lines = Lines::new(self.gateway.send(&call).await?.into_body());
        while let Some(line) = lines.next::<CopyLine>().await? {
            let copied = Copied { files: line.files, bytes: line.bytes };
            match line.error {
                Some(error) => return Err(ClientError::of_line(error)),
                None if line.done => return Ok(copied),
                None => told(copied),
            }
        }
        Err(call.senseless("it ends before the copy does".into()))
    }

    /// Entries below a folder whose names contain `part`; `found` hears of each. Whether there are more.
    pub async fn search(
        &self,
        path: &RemotePath,
        part: &str,
        limit: Option<u64>,
        mut found: impl FnMut(Entry) -> std::io::Result<()>,
    ) -> Result<bool, SearchError> {
        let limit = limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
        let call = Call::get(format!("{}?name={}{limit}", self.at("search", path), query(part)));
        let answer = self.gateway.send(&call).await.map_err(SearchError::Client)?;
        let mut lines = Lines::new(answer.into_body());
        while let Some(line) = lines.next::<Value>().await.map_err(SearchError::Client)? {
            if line.get("done").is_some_and(|done| done == true) {
                return Ok(line.get("limited").is_some_and(|limited| limited == true));
            }
            let senseless = |error: serde_json::Error| SearchError::Client(call.senseless(error.to_string()));
            if let Some(error) = line.get("error") {
                let error = serde_json::from_value(error.clone()).map_err(senseless)?;
                return Err(SearchError::Client(ClientError::of_line(error)));
            }
            found(serde_json::from_value(line).map_err(senseless)?).map_err(SearchError::Print)?;
        }
        Err(SearchError::Client(call.senseless("it ends before the search does".into())))
    }

    /// How full it is.
    pub async fn usage(&self) -> Result<Usage, ClientError> {
        self.gateway.json(&Call::get(self.target("usage"))).await
    }

    /// A part of the trash.
    pub async fn trash(&self, cursor: Option<&str>) -> Result<TrashListing, ClientError> {
        let cursor = cursor.map(|cursor| format!("&cursor={}", query(cursor))).unwrap_or_default();
        self.gateway.json(&Call::get(self.target(&format!("trash?limit={PAGE}{cursor}")))).await
    }

    /// Puts something back.
    pub async fn restore(&self, id: &str, to: Option<&RemotePath>) -> Result<Entry, ClientError> {
        let body = Restore { to: to.map(RemotePath::encoded) };
        let target = self.target(&format!("trash/{}/restore", query(id)));
        self.gateway.json(&Call::new(Method::POST, target).json(&body)).await
    }

    /// Deletes something in the trash for good, or all of it.
    pub async fn purge(&self, id: Option<&str>) -> Result<(), ClientError> {
        let rest = id.map_or_else(|| "trash".into(), |id| format!("trash/{}", query(id)));
        self.gateway.bytes(&Call::new(Method::DELETE, self.target(&rest)).repeatable()).await.map(drop)
    }

    /// The caller's unfinished uploads.
    pub async fn unfinished(&self) -> Result<Vec<Upload>, ClientError> {
        self.gateway.json(&Call::get(self.target("uploads"))).await
    }

    /// Begins an import.
    pub async fn import(&self, body: &ImportRequest) -> Result<Import, ClientError> {
        self.gateway.json(&Call::new(Method::POST, self.target("imports")).json(body)).await
    }

    /// All imports.
    pub async fn imports(&self) -> Result<Vec<Import>, ClientError> {
        self.gateway.json(&Call::get(self.target("imports"))).await
    }

    /// One import.
    pub async fn import_of(&self, id: &str) -> Result<Import, ClientError> {
        self.gateway.json(&Call::get(self.target(&format!("imports/{}", query(id))))).await
    }

    /// Goes on with an import.
    pub async fn resume_import(&self, id: &str, keys: &ImportResume) -> Result<Import, ClientError> {
        let target = self.target(&format!("imports/{}/resume", query(id)));
        self.gateway.json(&Call::new(Method::POST, target).json(keys)).await
    }

    /// Cancels an import that runs, forgets one that ended.
    pub async fn end_import(&self, id: &str) -> Result<(), ClientError> {
        let target = self.target(&format!("imports/{}", query(id)));
        self.gateway.bytes(&Call::new(Method::DELETE, target)).await.map(drop)
    }
}

/// A search that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The gateway's.
    #[error(transparent)]
    Client(ClientError),
    /// Whoever reads what is found.
    #[error("cannot print")]
    Print(#[source] std::io::Error),
}

/// One value in a query, or one segment of a path.
fn query(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
