//! What is written down about each folder: one record, named by the folder's project. A record says where its folder
//! belongs, and is written before the folder is moved there: whoever finds it elsewhere moves it.

use serde::{Deserialize, Serialize};

use crate::names::{ClaimKey, Key, Label, Place, Uid};

/// One folder of ours.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Under which its space is counted; no other folder has it.
    pub project: u32,
    /// What it is for.
    pub folder: Folder,
    /// Where it belongs.
    pub place: Place,
    /// Where it is if the last move was cut.
    pub from: Place,
    /// Since when it is in trash or archive; None while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Removed>,
}

/// What a folder is for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Folder {
    /// A FileSystem's own.
    Own(Own),
    /// A claim's.
    Claim(Claim),
}

/// A FileSystem's own folder.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Own {
    /// Where it was made, and lies unless it is removed.
    pub key: Key,
    /// The FileSystem that has it, or had it last.
    pub file_system: Uid,
    /// Its namespace's uid: with its name, what finds the folder again.
    pub namespace_uid: Uid,
    /// Its namespace.
    pub namespace: Label,
    /// Its name.
    pub name: Label,
    /// What it was promised: its own folder and its claims together.
    pub capacity_bytes: u64,
    /// Seconds since 1970 since when no FileSystem has it; None while one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_since: Option<i64>,
}

impl Own {
    /// Whether a FileSystem has it.
    pub fn is_in_use(&self) -> bool {
        self.free_since.is_none()
    }

    /// Whether it is a workspace's share of a local disk, where the namespace stands for everything.
    pub fn is_share(&self) -> bool {
        self.namespace_uid == self.file_system
    }
}

/// A claim's folder.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Whose it is, and its name.
    pub key: ClaimKey,
    /// The FileSystem's namespace.
    pub namespace: Label,
    /// The FileSystem's name.
    pub name: Label,
    /// Its size.
    pub size_bytes: u64,
}

/// How long a folder has been in trash or archive.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Removed {
    /// Seconds since 1970.
    pub at: i64,
    /// Its files are being deleted: it cannot be restored any more.
    #[serde(default)]
    pub emptying: bool,
}

impl Record {
    /// Where it lies while it is not removed.
    pub fn live_place(&self) -> Place {
        match &self.folder {
            Folder::Own(own) => Place::Workspace(own.key.clone(), self.project),
            Folder::Claim(claim) => Place::Claim(claim.key.clone()),
        }
    }

    /// Whether it lies there.
    pub fn is_live(&self) -> bool {
        self.removed.is_none()
    }

    /// As a claim that is not removed.
    pub fn live_claim(&self) -> Option<&Claim> {
        match &self.folder {
            Folder::Claim(claim) if self.is_live() => Some(claim),
            _ => None,
        }
    }

    /// As a FileSystem's own folder that is not removed.
    pub fn live_own(&self) -> Option<&Own> {
        match &self.folder {
            Folder::Own(own) if self.is_live() => Some(own),
            _ => None,
        }
    }

    /// The same folder, to be moved to `place`.
    pub fn moved(&self, place: Place, removed: Option<Removed>) -> Self {
        Self { place, from: self.place.clone(), removed, ..self.clone() }
    }

    /// `<namespace>.<FileSystem>[.<claim>]`: how people know it.
    pub fn readable(&self) -> String {
        match &self.folder {
            Folder::Own(own) => format!("{}.{}", own.namespace, own.name),
            Folder::Claim(claim) => format!("{}.{}.{}", claim.namespace, claim.name, claim.key.name),
        }
    }
}
