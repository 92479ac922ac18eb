//! What the plugin and a LocalStorage's helper process say to each other: one question, one answer; a view's descriptor
//! travels beside its answer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use workspacefs_api::{LocalStorageSpec, NodeStorage, UsedDevice};
use workspacefs_storage::local::image::ImageWish;
use workspacefs_sys::tree::MountApi;

use crate::share::CopyPart;

/// The first message to a new helper. It is not answered.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Hello {
    /// Where the disk is mounted.
    pub mount_point: PathBuf,
    /// Views by mount(2).
    pub legacy: bool,
}

impl Hello {
    pub fn api(&self) -> MountApi {
        if self.legacy { MountApi::Legacy } else { MountApi::Modern }
    }
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Question {
    /// One pass over the disks.
    Look(Box<Look>),
    /// A view of a folder, by the staging place.
    View(View, PathBuf),
    /// How full a folder is.
    Usage(Place),
    /// A volume, made if it may be.
    EnsureVolume(Wish),
    /// A volume, at least so large.
    GrowVolume(Volume, u64),
    /// A volume, moved to the trash.
    RemoveVolume(Volume),
    /// The image of the node's cache, and where it is mounted.
    Image(ImageWish, PathBuf),
    /// Takes the disk off.
    Release,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Answer {
    Looked(Box<NodeStorage>),
    /// The descriptor comes with it; `staged` if the view stands on the place that was named.
    View {
        staged: bool,
    },
    Usage(Option<Figures>),
    /// Its size.
    Volume(u64),
    Removed,
    /// The image is as wished.
    Image,
    Released,
}

/// What came of it.
pub(super) type Reply = Result<Answer, Refusal>;

/// What is looked for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Look {
    /// Whose entry is wanted.
    pub node: String,
    /// What is meant.
    pub spec: LocalStorageSpec,
    /// What the disk was used as before: one that is known to have been in use is not formatted.
    pub known: Option<UsedDevice>,
}

/// A folder of a disk, to be shown.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct View {
    /// Which.
    pub of: Shown,
    /// Nothing can be written through this view.
    pub read_only: bool,
    /// Copies lie in it, or may: `.workspacefs` is covered, if it has one.
    pub hide: bool,
}

/// What is shown.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Shown {
    /// A workspace's share, made and limited if it is not.
    Share(Share),
    /// A claim's volume, which is there or lost.
    Volume(Volume),
    /// A folder of an FsCache's copy in the share of the workspace of that name; never made.
    Copy(String, CopyPart),
}

/// A workspace's share of a disk.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Share {
    /// Of its namespace.
    pub namespace_uid: String,
    /// Of its namespace, for people who look at the disk.
    pub namespace: String,
    /// How much may be written, in bytes; None is as much as the disk holds.
    pub quota: Option<u64>,
}

/// A claim's volume on a disk.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Volume {
    /// The LocalStorage's uid.
    pub storage_uid: String,
    /// The LocalVolume's name.
    pub name: String,
}

/// A claim's volume as it should be.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Wish {
    /// Which.
    pub volume: Volume,
    /// The workspace's namespace, for people who look at the disk.
    pub namespace: String,
    /// How much may be written, in bytes.
    pub size: u64,
    /// Whether it is made if it is not there.
    pub may_make: bool,
}

/// What has figures.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Place {
    /// The share of the namespace with that uid.
    Share(String),
    /// A volume.
    Volume(Volume),
}

/// How full a folder is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Figures {
    /// Bytes that may be written in all: its limit, or the size of the disk.
    pub bytes_total: u64,
    /// Bytes taken by its files.
    pub bytes_used: u64,
    /// Bytes that can still be written.
    pub bytes_available: u64,
    /// Files and folders that there may be; 0 is no limit of its own.
    pub inodes_total: u64,
    /// Files and folders that there are.
    pub inodes_used: u64,
}

/// Why the helper did not do it.
#[derive(Clone, Debug, Deserialize, Eq, Error, PartialEq, Serialize)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of reason that is.
    pub kind: RefusalKind,
    /// For a person.
    pub message: String,
}

/// See [`Refusal`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum RefusalKind {
    /// The disk is not in use, or not yet.
    NotReady,
    /// Nothing holds a volume to its size there.
    NoQuota,
    /// The disk cannot hold what was asked for.
    NoSpace,
    /// The volume was made, and is not on the disk that is there now.
    Lost,
    /// The disk, or the kernel.
    Io,
}
