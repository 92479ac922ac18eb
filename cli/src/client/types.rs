//! What the gateway answers, as JSON, and of what the file API answers that which is computed with here; the rest is
//! files-proto's. Fields that we do not know are let through: a newer server may say more.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::path::{PathError, RemotePath};

/// What a name stands for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Bytes.
    File,
    /// Names.
    Dir,
    /// Another path.
    Symlink,
    /// A socket, a FIFO, a device; or what a newer server knows.
    #[serde(other)]
    Other,
}

/// One name of a folder.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Entry {
    /// To be shown only: U+FFFD for what is not UTF-8.
    pub name: String,
    /// From the root, percent-encoded.
    pub path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// RFC 3339, to the nanosecond.
    pub modified: jiff::Timestamp,
    /// Octal, such as "0644".
    pub mode: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Changes with the content.
    pub etag: String,
}

impl Entry {
    /// Its path, checked: a server's word is not believed.
    ///
    /// # Errors
    /// It leads elsewhere.
    pub fn at(&self) -> Result<RemotePath, PathError> {
        RemotePath::from_wire(&self.path)
    }

    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.kind == Kind::Dir
    }

    /// The permissions, 0 to 0o7777; what is not octal counts as what everybody gets.
    pub fn permissions(&self) -> u32 {
        u32::from_str_radix(&self.mode, 8).unwrap_or(0o644) & 0o7777
    }
}

/// A part of a folder.
#[derive(Debug, Deserialize)]
pub struct List {
    /// Its entries.
    pub entries: Vec<Entry>,
    /// Where the next part begins; none after the last.
    pub next: Option<String>,
}

/// What a deletion answers.
#[derive(Debug, Default, Deserialize)]
pub struct Deleted {
    /// Its id in the trash; none if it is gone for good.
    pub trash: Option<String>,
}

/// Who one is at the gateway.
#[derive(Debug, Deserialize, Serialize)]
pub struct Session {
    /// The user's name.
    pub user: String,
    /// His groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The gateway's version.
    pub version: Option<String>,
}

/// What the gateway is.
#[derive(Debug, Deserialize)]
pub struct Version {
    /// Such as 0.1.0.
    pub version: String,
    /// The number of the contract.
    pub api: u64,
}

/// A FileSystem as the gateway lists it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSystem {
    /// Its name.
    pub name: String,
    /// nfs, managed and so on.
    pub kind: Option<String>,
    /// Whether it is the workspace's default.
    #[serde(default)]
    pub default: bool,
    /// The node group that it is reserved for.
    pub node_group: Option<String>,
    /// Bytes.
    pub capacity: Option<u64>,
    /// Bytes.
    pub used: Option<u64>,
    /// Bytes.
    pub available: Option<u64>,
    /// Ready, NotReady, Unknown.
    pub health: Option<String>,
    /// Why.
    pub message: Option<String>,
    /// Ready or NotReady: the file API.
    pub files: Option<String>,
    /// What the caller may do.
    #[serde(default)]
    pub rights: Rights,
    /// The rest of what the gateway says.
    #[serde(flatten)]
    pub more: serde_json::Map<String, Value>,
}

/// What one may do with the files of a FileSystem.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Rights {
    /// List and download.
    pub read: bool,
    /// Upload.
    pub write: bool,
    /// Delete.
    pub delete: bool,
}

/// What else a workspace can mount.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Storage {
    /// Names of node groups.
    pub node_groups: Vec<String>,
    /// LocalStorages.
    pub local_storages: Vec<LocalStorage>,
    /// FsCaches.
    pub caches: Vec<Cache>,
}

/// A LocalStorage as the gateway lists it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalStorage {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub node_group: Option<String>,
    /// SSD, HDD, Any.
    pub media: Option<String>,
    /// How many nodes should have it.
    pub nodes: Option<u64>,
    /// How many have.
    pub nodes_ready: Option<u64>,
    /// Bytes.
    pub capacity: Option<u64>,
    /// Ready, NotReady, Unknown.
    pub health: Option<String>,
    /// Why.
    pub message: Option<String>,
}

/// An FsCache as the gateway lists it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// Its name.
    pub name: String,
    /// Where from.
    pub source: Option<Value>,
    /// What of it.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Where to.
    pub target: Option<Value>,
    /// Its phase.
    pub phase: Option<String>,
    /// How far it is.
    pub progress: Option<Value>,
    /// Bytes.
    pub size: Option<u64>,
    /// Of when the copy is.
    pub as_of: Option<String>,
    /// Ready, NotReady, Unknown.
    pub health: Option<String>,
    /// Why.
    pub message: Option<String>,
}
