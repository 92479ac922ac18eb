//! What is asked of [`Folders`](super::Folders) and what it answers, in checked types.

use crate::disk::Owner;
use crate::names::{ClaimKey, Key, Label, Uid};

/// A FileSystem as it should be.
#[derive(Clone, Debug)]
pub struct FileSystemWish {
    /// Of the object.
    pub uid: Uid,
    /// Of its namespace.
    pub namespace_uid: Uid,
    /// Its namespace.
    pub namespace: Label,
    /// Its name.
    pub name: Label,
    /// What its folder and its claims may take together.
    pub capacity: u64,
    /// Of its folder, when that is made.
    pub owner: Owner,
    /// A retained folder to take over.
    pub adopt: Option<Key>,
}

impl FileSystemWish {
    /// As [`Own::is_share`](crate::record::Own::is_share).
    pub fn is_share(&self) -> bool {
        self.namespace_uid == self.uid
    }

    /// Where its folder is made.
    pub fn key(&self) -> Key {
        Key { namespace_uid: self.namespace_uid.clone(), name: self.name.clone() }
    }
}

/// A claim as it should be.
#[derive(Clone, Debug)]
pub struct ClaimWish {
    /// Whose and which.
    pub key: ClaimKey,
    /// At least so many bytes; 0 for no wish.
    pub required: u64,
    /// At most; 0 for no limit.
    pub limit: u64,
    /// Of its folder, when that is made.
    pub owner: Owner,
}

/// What becomes of a folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disposal {
    /// It stays.
    Retain,
    /// It goes after a time.
    Trash,
    /// It is kept under a readable name.
    Archive,
}

/// Limits and use of a folder.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Most bytes.
    pub bytes_limit: u64,
    /// Bytes in use.
    pub bytes_used: u64,
    /// Most files and folders.
    pub inodes_limit: u64,
    /// Files and folders there are.
    pub inodes_used: u64,
}

/// A FileSystem as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileSystemView {
    /// Of the object.
    pub uid: Uid,
    /// Of its namespace.
    pub namespace_uid: Uid,
    /// Its namespace.
    pub namespace: Label,
    /// Its name.
    pub name: Label,
    /// Beneath the export.
    pub folder: String,
    /// What its folder and its claims may take together.
    pub capacity: u64,
    /// Of its folder.
    pub usage: Usage,
    /// Its claims, by name.
    pub claims: Vec<ClaimView>,
    /// The largest claim that still fits.
    pub left: u64,
}

impl FileSystemView {
    /// As [`Own::is_share`](crate::record::Own::is_share).
    pub fn is_share(&self) -> bool {
        self.namespace_uid == self.uid
    }
}

/// A claim as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClaimView {
    /// Whose and which.
    pub key: ClaimKey,
    /// Beneath the export.
    pub folder: String,
    /// Its size.
    pub size: u64,
    /// Of its folder.
    pub usage: Usage,
}

/// A folder that is kept, and that no FileSystem has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RemovedView {
    /// Where it lies, beneath the disk's root: what restores it from trash or archive, and discards it elsewhere.
    pub path: String,
    /// How it was removed; [`Disposal::Retain`] of a claim whose FileSystem is gone.
    pub disposal: Disposal,
    /// Namespace of the FileSystem that had it.
    pub namespace: Label,
    /// Name of the FileSystem that had it.
    pub file_system: Label,
    /// The claim that it was.
    pub claim: Option<String>,
    /// What `adopt` takes; None for a claim.
    pub key: Option<Key>,
    /// Seconds since 1970, where it is known; of a claim whose FileSystem is gone, since when that is.
    pub removed_at: Option<i64>,
    /// When its files will be deleted; None if they will not.
    pub removed_for_good_at: Option<i64>,
    /// What lies in it.
    pub bytes_used: u64,
    /// What nobody else can be promised because of it.
    pub bytes_held: u64,
}

/// A folder that is back where it was.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Restored {
    /// Beneath the disk's root.
    pub path: String,
    /// The claim that it is; None for a FileSystem's own folder.
    pub claim: Option<RestoredClaim>,
}

/// What a claim needs to be mounted again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RestoredClaim {
    /// Whose and which.
    pub key: ClaimKey,
    /// The FileSystem's namespace.
    pub namespace: Label,
    /// The FileSystem's name.
    pub file_system: Label,
    /// Its size.
    pub size: u64,
    /// Whether its FileSystem is there.
    pub has_file_system: bool,
}

/// The disk as a whole.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Overview {
    /// Size of the file system.
    pub bytes_total: u64,
    /// Free.
    pub bytes_free: u64,
    /// Promised.
    pub bytes_promised: u64,
    /// Not promised to anybody.
    pub bytes_unpromised: u64,
    /// In removed and retained folders.
    pub bytes_removed: u64,
    /// FileSystems.
    pub file_systems: u64,
    /// Their claims.
    pub claims: u64,
    /// Folders in the trash.
    pub trash_folders: u64,
}
