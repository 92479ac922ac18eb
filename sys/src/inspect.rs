//! Questions about a path or descriptor that never wait for a server: AT_STATX_DONT_SYNC answers from what the kernel
//! already knows.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, Statx, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;

/// Device and inode number.
pub type Identity = (u64, u64);

/// Whether `path` is where a mount is attached, without following a final symbolic link and without asking any server.
///
/// # Errors
/// `NOENT` where nothing is.
pub fn is_mount_root(path: &Path) -> Result<bool, Errno> {
    let answer = look(rustix::fs::CWD, path)?;
    if answer.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(answer.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    // Before Linux 5.8 statx does not say it; then a mount root is what lies on another mount than its parent.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let parent = path.parent().unwrap_or(path);
    let here = rustix::fs::open(path, flags, Mode::empty())?;
    let above = rustix::fs::open(parent, flags, Mode::empty())?;
    Ok(mount_id(here.as_fd())? != mount_id(above.as_fd())?)
}

/// What an open descriptor refers to.
///
/// # Errors
/// None are expected of an open descriptor.
pub fn identity(fd: BorrowedFd<'_>) -> Result<Identity, Errno> {
    let answer = look(fd, Path::new(""))?;
    let device = rustix::fs::makedev(answer.stx_dev_major, answer.stx_dev_minor);
    Ok((device, answer.stx_ino))
}

/// What `path` refers to, without following a final symbolic link.
///
/// # Errors
/// `NOENT` where nothing is.
pub fn identity_at(path: &Path) -> Result<Identity, Errno> {
    let fd = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    identity(fd.as_fd())
}

fn look(dir: BorrowedFd<'_>, path: &Path) -> Result<Statx, Errno> {
    let empty = if path.as_os_str().is_empty() { AtFlags::EMPTY_PATH } else { AtFlags::empty() };
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | empty;
    statx(dir.as_fd(), path, flags, StatxFlags::INO | StatxFlags::TYPE)
}

/// The id of the mount that an open descriptor lies on, from /proc, which every kernel tells.
///
/// # Errors
/// Only where /proc is not there.
pub fn mount_id(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok()).ok_or(Errno::OPNOTSUPP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_root_is_told_from_a_folder_by_statx_and_by_mount_ids_alike() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(is_mount_root(Path::new("/proc")), Ok(true));
        assert_eq!(is_mount_root(dir.path()), Ok(false));
        assert_eq!(is_mount_root(&dir.path().join("nothing")), Err(Errno::NOENT));
        let open = |path: &Path| rustix::fs::open(path, OFlags::PATH, Mode::empty()).unwrap();
        let id = |path: &Path| mount_id(open(path).as_fd()).unwrap();
        assert_ne!(id(Path::new("/proc")), id(Path::new("/")));
        assert_eq!(id(dir.path()), id(dir.path().parent().unwrap()));
    }

    #[test]
    fn identities_tell_two_folders_apart() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(identity_at(one.path()), identity_at(one.path()));
        assert_ne!(identity_at(one.path()), identity_at(other.path()));
    }
}
