//! A directory of an administrator: opened, and asked what it is on.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use workspacefs_sys::beneath::{self, Links};
use workspacefs_sys::mountinfo::MountEntry;
use workspacefs_sys::{Errno, inspect};

/// It cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DirectoryError {
    #[error("there is no directory {}: it is not named in the chart's value localStorage.directories, or it was not made on this node; make it there, and mount on it what is meant", .0.display())]
    Missing(PathBuf),
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    #[error("{} is a symbolic link, or leads through one out of the node's tree: give the directory's own path", .0.display())]
    Link(PathBuf),
    #[error("{} cannot be opened", path.display())]
    Io {
        path: PathBuf,
        #[source]
        errno: Errno,
    },
    #[error("what {} is on is not in the table of mounts", .0.display())]
    Unknown(PathBuf),
}

/// Opens it beneath the node's root; the last name is no link.
///
/// # Errors
/// [`DirectoryError`].
pub fn open(host_root: &Path, path: &str) -> Result<OwnedFd, DirectoryError> {
    let failed = |errno| DirectoryError::Io { path: path.into(), errno };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(host_root, flags, Mode::empty()).map_err(failed)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let below = path.trim_matches('/');
    let is_link = || rustix::fs::readlinkat(&root, below, Vec::new()).is_ok();
    match beneath::open(root.as_fd(), below, flags, Mode::empty(), Links::Beneath) {
        Ok(fd) => Ok(fd),
        Err(Errno::NOENT) => Err(DirectoryError::Missing(path.into())),
        // What the kernel says of a link where a directory is asked for.
        Err(Errno::NOTDIR) if is_link() => Err(DirectoryError::Link(path.into())),
        Err(Errno::NOTDIR) => Err(DirectoryError::NotADirectory(path.into())),
        Err(Errno::LOOP | Errno::XDEV) => Err(DirectoryError::Link(path.into())),
        Err(errno) => Err(failed(errno)),
    }
}

/// What a directory is on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ground {
    /// Major and minor number of its file system's device.
    pub number: (u32, u32),
    /// The file system's type.
    pub kind: String,
    /// What was mounted.
    pub source: String,
    /// The directory is the file system's own root.
    pub is_root: bool,
}

/// Finds out.
///
/// # Errors
/// [`DirectoryError`].
pub fn ground(
    directory: BorrowedFd<'_>,
    path: &str,
    mounts: &[MountEntry],
) -> Result<Ground, DirectoryError> {
    let failed = |errno| DirectoryError::Io { path: path.into(), errno };
    let id = inspect::mount_id(directory).map_err(failed)?;
    let here = std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))
        .map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    on(id, &here, mounts).ok_or_else(|| DirectoryError::Unknown(path.into()))
}

/// A folder that is bound somewhere is a mount, but not a file system of its own.
fn on(id: u64, here: &Path, mounts: &[MountEntry]) -> Option<Ground> {
    let mount = mounts.iter().find(|mount| mount.id == id)?;
    Some(Ground {
        number: mount.device,
        kind: mount.kind.clone(),
        source: mount.source.to_string_lossy().into_owned(),
        is_root: mount.root == Path::new("/") && mount.mount_point == here,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use workspacefs_sys::mountinfo;

    use super::*;

    #[test]
    fn a_directory_is_opened_and_anything_else_is_said() {
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(host.path().join("mnt/ssd")).unwrap();
        std::fs::write(host.path().join("file"), "").unwrap();
        symlink("mnt", host.path().join("short")).unwrap();
        symlink("mnt/ssd", host.path().join("link")).unwrap();
        symlink("/etc", host.path().join("out")).unwrap();
        for good in ["/mnt/ssd", "/mnt/ssd/", "/short/ssd"] {
            assert!(open(host.path(), good).is_ok(), "{good}");
        }
        for (bad, word) in [
            ("/nothing", "there is no directory"),
            ("/file", "is not a directory"),
            ("/link", "symbolic link"),
            ("/out/ssl", "symbolic link"),
        ] {
            let said = open(host.path(), bad).unwrap_err().to_string();
            assert!(said.contains(word) && said.contains(bad), "{said}");
        }
    }

    #[test]
    fn only_the_root_of_a_file_system_is_one_of_its_own() {
        let mounts = mountinfo::parse(
            b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:16 / /mnt/ssd rw - xfs /dev/sdb rw\n3 1 8:1 /mnt/dir /bound rw - ext4 /dev/sda1 rw\n",
        );
        for (id, here, is_root) in
            [(2, "/mnt/ssd", true), (2, "/mnt/ssd/sub", false), (1, "/mnt", false), (3, "/bound", false)]
        {
            let ground = on(id, Path::new(here), &mounts).unwrap();
            assert_eq!(ground.is_root, is_root, "{here}");
        }
        let ground = on(2, Path::new("/mnt/ssd"), &mounts).unwrap();
        assert_eq!(
            (ground.number, ground.kind.as_str(), ground.source.as_str()),
            ((8, 16), "xfs", "/dev/sdb")
        );
        assert_eq!(on(9, Path::new("/"), &mounts), None);
    }

    #[test]
    fn this_machine_has_a_ground_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let fd = open(Path::new("/"), path).unwrap();
        let mounts = mountinfo::read().unwrap();
        assert!(!ground(fd.as_fd(), path, &mounts).unwrap().is_root);
        let fd = open(Path::new("/"), "/proc").unwrap();
        assert!(ground(fd.as_fd(), "/proc", &mounts).unwrap().is_root);
    }
}
