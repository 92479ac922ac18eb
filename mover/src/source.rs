//! The source: opened to be read, nothing else.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, statx};
use rustix::io::Errno;
use workspacefs_sys::beneath::{self, Links};

/// See the module.
#[derive(Debug)]
pub(crate) struct Source {
    root: OwnedFd,
}

/// What lies at a path.
#[derive(Debug)]
pub(crate) enum Found {
    Folder(OwnedFd),
    Missing,
    /// A file or a link, there or on the way.
    NotAFolder,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

impl Source {
    pub fn open(path: &Path) -> Result<Self, Errno> {
        let root = rustix::fs::open(path, FOLDER | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { root })
    }

    /// Opens a folder by its path from the root; the empty path is the root.
    pub fn folder(&self, path: &str) -> Result<Found, Errno> {
        match beneath::open(self.root.as_fd(), path, FOLDER, Mode::empty(), Links::Refused) {
            Ok(folder) => Ok(Found::Folder(folder)),
            Err(Errno::NOENT) => Ok(Found::Missing),
            Err(Errno::NOTDIR | Errno::LOOP) => Ok(Found::NotAFolder),
            Err(errno) => Err(errno),
        }
    }

    /// Whether the source itself answers: what went wrong was then one path's alone.
    pub fn answers(&self) -> Result<(), Errno> {
        statx(&self.root, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC, StatxFlags::TYPE).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_a_folder_that_no_link_leads_to_is_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/file"), "").unwrap();
        symlink("a", dir.path().join("link")).unwrap();
        let source = Source::open(dir.path()).unwrap();
        for folder in ["", "a", "a/b"] {
            assert!(matches!(source.folder(folder), Ok(Found::Folder(_))), "{folder}");
        }
        for missing in ["b", "a/c", "a/b/c"] {
            assert!(matches!(source.folder(missing), Ok(Found::Missing)), "{missing}");
        }
        for other in ["a/file", "a/file/x", "link", "link/b"] {
            assert!(matches!(source.folder(other), Ok(Found::NotAFolder)), "{other}");
        }
        assert_eq!(source.answers(), Ok(()));
    }
}
