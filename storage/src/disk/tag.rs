//! A folder's project where the file system has none: an extended attribute that only root can see, and that goes where the
//! folder goes.

use std::os::fd::BorrowedFd;

use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
use rustix::io::Errno;

const NAME: &str = "trusted.workspacefs.project";

pub(super) fn set(folder: BorrowedFd<'_>, project: u32) -> Result<(), Errno> {
    fsetxattr(folder, NAME, &project.to_le_bytes(), XattrFlags::empty())
}

/// 0 if it has none.
pub(super) fn get(folder: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut value = [0; size_of::<u32>()];
    match fgetxattr(folder, NAME, &mut value) {
        Ok(length) if length == value.len() => Ok(u32::from_le_bytes(value)),
        Ok(_) => Ok(0),
        Err(Errno::NODATA) => Ok(0),
        Err(errno) => Err(errno),
    }
}
