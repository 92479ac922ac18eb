//! From an open folder to a disk of ours, whether the folder is the root of a device that was just mounted or a directory of
//! an administrator.

use std::os::fd::{AsFd, OwnedFd};

use workspacefs_sys::{Errno, project};

use crate::disk::DiskError;
use crate::disk::real::{Counting, RealDisk};
use crate::marker::{self, KeptBy, MarkerError};
use crate::root;

/// It cannot be made ours.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ClaimError {
    #[error(
        "another process has it: another LocalStorage that means the same, or the node plugin before this one; that goes on by itself when it ends"
    )]
    InUse,
    #[error(
        "it enforces no project quota, and perWorkspaceQuota asks for one: mount XFS with the option prjquota (a remount is not enough), or ext4 that was made with -O quota,project with the same option, or take perWorkspaceQuota away"
    )]
    NoQuota,
    #[error(
        "it has the project id {0} itself, and project quotas do not nest: give a directory without one, or clear it (xfs_io -r -c 'chproj 0' -c 'chattr -P')"
    )]
    HasProject(u32),
    #[error(transparent)]
    Marker(#[from] MarkerError),
    #[error("cannot {0} it")]
    Io(&'static str, #[source] Errno),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl ClaimError {
    /// Whether the disk itself does not do what it should.
    pub fn is_disks(&self) -> bool {
        matches!(self, Self::Io(..) | Self::Disk(_) | Self::Marker(MarkerError::Io(..)))
    }
}

/// Makes it ours. Where nothing is counted that is an error only if there are to be quotas.
///
/// # Errors
/// [`ClaimError`]; then nothing was written that was not ours.
pub fn claim(folder: OwnedFd, quotas: bool) -> Result<RealDisk, ClaimError> {
    if !root::lock(folder.as_fd()).map_err(|errno| ClaimError::Io("lock", errno))? {
        return Err(ClaimError::InUse);
    }
    let is_counted =
        root::has_quotas(folder.as_fd()).map_err(|errno| ClaimError::Io("ask the quotas of", errno))?;
    let counting = match (is_counted, quotas) {
        (true, _) => Counting::Projects,
        (false, true) => return Err(ClaimError::NoQuota),
        (false, false) => Counting::Nothing,
    };
    // Most file systems have no projects at all.
    if let Ok(own) = project::get(folder.as_fd())
        && (own.id != 0 || own.inherited)
    {
        return Err(ClaimError::HasProject(own.id));
    }
    let marker = marker::claim(folder.as_fd(), KeptBy::LocalStorage)?;
    Ok(RealDisk::new(folder, &marker.id, &[], counting)?)
}
