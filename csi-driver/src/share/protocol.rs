//! What the plugin and a share's helper process say to each other: one question, one answer, as JSON in one message
//! each; a view's descriptor travels beside its answer.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use workspacefs_api::Owner;
use workspacefs_api::path::RelativePath;
use workspacefs_api::volume::{Folder, VolumeAttributes, is_uid};
use workspacefs_sys::tree::MountApi;

use super::{ShareError, ShareSpec};

/// The first message to a new helper. It is not answered.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Hello {
    /// The share it is there for, `server:/export`, for messages.
    pub name: String,
    /// How it is mounted; None for one of which only the mount is left, to be unmounted.
    pub spec: Option<ShareSpec>,
    /// Where the share is attached; None keeps its mount detached, in the helper alone.
    pub mount_point: Option<PathBuf>,
    /// Views by mount(2).
    pub legacy: bool,
}

impl Hello {
    pub fn api(&self) -> MountApi {
        if self.legacy { MountApi::Legacy } else { MountApi::Modern }
    }
}

/// A question. Each but `Place`, `Usage` and `Unmount` mounts the share if that is still to be done.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Request {
    /// How long the caller is ready to wait from now, in milliseconds. It will not wait longer: this is for the helper to
    /// say in time what it knows.
    pub within_ms: u64,
    pub what: Question,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Question {
    View(ViewRequest, PathBuf),
    /// A folder of a view that stands on a staging place, to nest another in: the place, and the path in the view.
    Place(PathBuf, String),
    /// Of what is mounted at a target.
    Usage(PathBuf),
    CreateVolume(VolumeName, VolumeRecord, PosixOwner),
    VolumeRecord(VolumeName),
    RemoveVolume(VolumeName, Leaving),
    RemoveOwn(OwnFolder, Leaving),
    EmptyTrash(TrashSlice),
    /// Of the share as a whole.
    Space,
    Unmount,
}

/// What came of it.
pub(crate) type Reply = Result<Answer, ShareError>;

#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Answer {
    /// The descriptor comes with it; `staged` if the view stands on the place that was named.
    View {
        staged: bool,
    },
    /// Its descriptor comes with it.
    Place,
    Usage(Usage),
    Created(CreatedVolume),
    Record(Option<VolumeRecord>),
    Removed(Option<String>),
    Taken(Taken),
    Swept(TrashSwept),
    Unmounted,
}

/// A folder of a share, as a volume's root.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum FolderRequest {
    /// The FileSystem's own folder: the export's root if `path` is empty, created with its owner if it is missing.
    Own {
        /// Beneath the export, without leading slash.
        path: String,
        /// The FileSystem's uid, for the record of who created it.
        file_system: String,
        /// Applied when it is created and never again.
        owner: PosixOwner,
    },
    /// A folder that the embedded server made, beneath the export; never created here: it would have no quota.
    Existing(String),
    /// A folder that CreateVolume made; never created here.
    Volume(VolumeName),
}

impl FolderRequest {
    /// The root of the volume that the attributes describe.
    pub fn new(attributes: &VolumeAttributes) -> Self {
        let file_system = attributes.file_system_uid.clone();
        match &attributes.folder {
            Folder::Own(path) => Self::Own {
                path: path.as_str().into(),
                file_system,
                owner: PosixOwner::from(&attributes.owner),
            },
            Folder::Existing(path) => Self::Existing(path.as_str().into()),
            Folder::Volume(name) => Self::Volume(VolumeName { file_system, name: name.clone() }),
        }
    }
}

/// A view of a folder, to be published.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ViewRequest {
    /// The volume's root.
    pub folder: FolderRequest,
    /// What of it is shown.
    pub part: Part,
    /// Nothing can be written through it.
    pub read_only: bool,
    /// Copies lie in it, or may: `.workspacefs` is covered, where the root is shown and has one.
    pub hide: bool,
}

/// What of a volume is shown.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Part {
    /// A folder beneath its root; the root itself if empty. Never created.
    Folder(String),
    /// Where the copies of the FsCache with that uid lie, made if it is missing: for its mover.
    Fill(String),
    /// A folder of a copy. Neither it nor the volume's root is ever created.
    Copy(CopyPart),
}

/// A folder of a copy.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CopyPart {
    /// The FsCache's uid.
    pub cache: String,
    /// Which of its generations.
    pub generation: i64,
    /// The path in it, as in the source, without leading slash.
    pub path: String,
}

impl CopyPart {
    /// Where it lies in `.workspacefs`; None if a part of it can be no part of a path of ours.
    pub fn place(&self) -> Option<String> {
        let path = RelativePath::parse(&self.path).ok()?;
        let is_ours = is_uid(&self.cache) && self.generation > 0 && path.as_str() == self.path;
        let data = format!("{CACHE}/{}/{}/data", self.cache, self.generation);
        is_ours.then(|| if path.is_root() { data } else { format!("{data}/{path}", path = self.path) })
    }
}

/// The folder in `.workspacefs` in which copies lie.
pub const CACHE: &str = "cache";

/// A volume made by CreateVolume. Both parts have passed [`workspacefs_api::volume::VolumeId::parse`] or its equal.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct VolumeName {
    /// uid of the FileSystem that it belongs to.
    pub file_system: String,
    /// Name of its folder.
    pub name: String,
}

/// Where a folder goes that is taken away. It is moved by one rename; nothing is removed by that.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Leaving {
    /// `.workspacefs/trash`, under a name that begins with this one.
    Trash(String),
    /// `.workspacefs/archive`, under exactly this name.
    Archive(String),
}

/// A FileSystem's own folder, to be taken away if we made it for that FileSystem.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OwnFolder {
    /// Beneath the export, without leading slash.
    pub path: String,
    /// The FileSystem's uid.
    pub file_system: String,
}

/// What came of taking a FileSystem's own folder away.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Taken {
    /// It is there now, beneath the export.
    Moved(String),
    /// There is no such folder.
    Absent,
    /// It is not known to be ours, or others have a part in it: nothing was touched. The reason in words.
    NotOurs(String),
}

/// How much of the trash to remove in one go. The helper does nothing else meanwhile.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TrashSlice {
    /// How long a folder stays in the trash.
    pub keep_seconds: u64,
    /// Files and folders to remove at most.
    pub entries_max: u64,
    /// How long to work, in milliseconds. Looking at what there is comes on top.
    pub work_ms: u64,
    /// Folders of the trash to pass over: a moment ago they could not be removed.
    pub except: BTreeSet<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct TrashSwept {
    /// Files and folders that were removed, or moved up to be.
    pub entries: u64,
    /// Folders of the trash that are gone now.
    pub emptied: Vec<String>,
    /// Those that cannot be removed.
    pub stuck: Vec<StuckInTrash>,
    /// There is more to remove.
    pub more: bool,
}

/// A folder of the trash that cannot be removed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StuckInTrash {
    /// Its name in the trash.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// Numeric owner and permission bits.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct PosixOwner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Permission bits, as in 0o2770.
    pub mode: u32,
}

impl From<&Owner> for PosixOwner {
    /// A mode that is not octal was refused long before; should one come, nobody but the owner may enter.
    fn from(owner: &Owner) -> Self {
        Self { uid: owner.uid, gid: owner.gid, mode: owner.mode_bits().unwrap_or(0o700) }
    }
}

/// What was asked for when a volume was created, kept on the share so that a repeated CreateVolume can tell "the same"
/// from "incompatible". Sizes in bytes; 0 means not said.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeRecord {
    /// `capacity_range.required_bytes`.
    pub required_bytes: i64,
    /// `capacity_range.limit_bytes`.
    pub limit_bytes: i64,
}

/// The answer to a creation.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CreatedVolume {
    /// The record on the share: an earlier creation's, if there was one. Comparing it is the caller's business.
    pub record: VolumeRecord,
    /// Whether this call made the record.
    pub new: bool,
}

/// statfs of a mounted volume, as its pod sees it, or of a share. With a project quota on it (XFS on the server) these are
/// the quota's figures.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Usage {
    /// Bytes in all.
    pub bytes_total: u64,
    /// Bytes that unprivileged users can still write.
    pub bytes_available: u64,
    /// Bytes taken.
    pub bytes_used: u64,
    /// Inodes in all; 0 where the server does not count them.
    pub inodes_total: u64,
    /// Inodes left.
    pub inodes_available: u64,
    /// Inodes taken.
    pub inodes_used: u64,
}
