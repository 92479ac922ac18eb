//! From what the administrator gave, a block device or a directory, to a disk of ours, or to a sentence that says why not
//! and what to do.

pub mod node;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use node::NodeError;
use rustix::fs::fstatfs;
use workspacefs_api::FsType;
use workspacefs_storage::device::prepare::{Formattable, prepare};
use workspacefs_storage::device::{self, Device, DeviceError};
use workspacefs_storage::disk::DiskError;
use workspacefs_storage::disk::real::{Counting, RealDisk};
use workspacefs_storage::marker::{self, KeptBy, MarkerError};
use workspacefs_storage::root;
use workspacefs_sys::{Errno, project};

use crate::ganesha::config::RECOVERY_FOLDER;

/// What the administrator gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// A block device, for us alone.
    Device(PathBuf),
    /// A directory on a mounted XFS.
    Directory(PathBuf),
}

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{what} {} cannot be used: {source}", path.display())]
pub struct StorageError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: Box<Cause>,
}

/// The reason.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Cause {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Marker(#[from] MarkerError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("it cannot be opened")]
    Open(#[source] std::io::Error),
    #[error(
        "it is not on XFS: give a directory on an XFS that is mounted with the option prjquota, or a block device (value nfsServer.storage.block)"
    )]
    NotXfs,
    #[error(
        "another nfs-server uses it; if that is a pod which is ending, this one goes on as soon as it has"
    )]
    InUse,
    #[error(
        "its XFS enforces no project quota: mount it with the option prjquota (a remount is not enough; for a root file system: kernel argument rootflags=prjquota)"
    )]
    NoQuota,
    #[error(
        "it has the project id {0} itself, and project quotas do not nest: give a directory without one, or clear it (xfs_io -r -c 'chproj 0' -c 'chattr -P')"
    )]
    HasProject(u32),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A disk of ours.
#[derive(Debug)]
pub struct Storage {
    /// Its folders and quotas.
    pub disk: RealDisk,
    /// Where its root is.
    pub path: PathBuf,
    /// Of this storage, for good.
    pub id: String,
    device: Option<Device>,
}

impl Source {
    /// Where its files will be.
    pub fn root<'a>(&'a self, mount_point: &'a Path) -> &'a Path {
        match self {
            Self::Device(_) => mount_point,
            Self::Directory(path) => path,
        }
    }

    /// Makes it ours, or says why not. A device is mounted on `mount_point`.
    ///
    /// # Errors
    /// [`StorageError`]; then nothing is left mounted.
    pub fn take(&self, mount_point: &Path) -> Result<Storage, StorageError> {
        match self {
            Self::Device(path) => take_device(path, mount_point).map_err(|source| StorageError {
                what: "the device",
                path: path.clone(),
                source: Box::new(source),
            }),
            Self::Directory(path) => take_directory(path).map_err(|source| StorageError {
                what: "the directory",
                path: path.clone(),
                source: Box::new(source),
            }),
        }
    }
}

fn take_device(path: &Path, mount_point: &Path) -> Result<Storage, Cause> {
    let device = Device::open(path)?;
    prepare(&device, FsType::Xfs)?;
    let root = device.mount(mount_point, FsType::Xfs)?;
    take_mounted(device, root, mount_point).inspect_err(|_| device::unmount_if_mounted(mount_point))
}

fn take_mounted(device: Device, root: OwnedFd, mount_point: &Path) -> Result<Storage, Cause> {
    lock(root.as_fd())?;
    check_quota(root.as_fd())?;
    let marker = marker::claim(root.as_fd(), KeptBy::NfsServer)?;
    device.grow(mount_point)?;
    node::ensure_visible(device.number, Some(device.path()))?;
    let disk = RealDisk::new(root, &marker.id, &[RECOVERY_FOLDER], Counting::Projects)?;
    Ok(Storage { disk, path: mount_point.into(), id: marker.id, device: Some(device) })
}

fn take_directory(path: &Path) -> Result<Storage, Cause> {
    let root = device::open_folder(path).map_err(opened)?;
    check_xfs(root.as_fd())?;
    check_quota(root.as_fd())?;
    lock(root.as_fd())?;
    let own = project::get(root.as_fd()).map_err(opened)?;
    if own.id != 0 || own.inherited {
        return Err(Cause::HasProject(own.id));
    }
    let marker = marker::claim(root.as_fd(), KeptBy::NfsServer)?;
    let number = std::fs::metadata(path).map_err(Cause::Open)?.dev();
    node::ensure_visible(number, None)?;
    let disk = RealDisk::new(root, &marker.id, &[RECOVERY_FOLDER], Counting::Projects)?;
    Ok(Storage { disk, path: path.into(), id: marker.id, device: None })
}

fn lock(root: BorrowedFd<'_>) -> Result<(), Cause> {
    if root::lock(root).map_err(opened)? { Ok(()) } else { Err(Cause::InUse) }
}

fn check_xfs(root: BorrowedFd<'_>) -> Result<(), Cause> {
    /// XFS_SUPER_MAGIC.
    const XFS: u64 = 0x5846_5342;
    let found = fstatfs(root).map_err(opened)?;
    if found.f_type as u64 == XFS { Ok(()) } else { Err(Cause::NotXfs) }
}

fn check_quota(root: BorrowedFd<'_>) -> Result<(), Cause> {
    if root::has_quotas(root).map_err(opened)? { Ok(()) } else { Err(Cause::NoQuota) }
}

fn opened(errno: Errno) -> Cause {
    Cause::Open(errno.into())
}

/// Watches a device that may grow under a mounted file system.
#[derive(Debug)]
pub struct GrowthWatch {
    device: Device,
    path: PathBuf,
    bytes: u64,
}

impl Storage {
    /// What keeps its file system as large as its device; None for a directory.
    pub fn growth(&self) -> Option<GrowthWatch> {
        let device = self.device.clone()?;
        let bytes = device.bytes().unwrap_or(0);
        Some(GrowthWatch { device, path: self.path.clone(), bytes })
    }
}

impl GrowthWatch {
    /// Grows the file system if the device has grown since the last look.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn look(&mut self) -> Result<(), DeviceError> {
        let bytes = self.device.bytes()?;
        if bytes > self.bytes {
            self.device.grow(&self.path)?;
            self.bytes = bytes;
        }
        Ok(())
    }
}
