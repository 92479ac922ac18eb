//! Walking people's paths on a share, of which there are two kinds. A FileSystem's own folder is named by an administrator,
//! but what lies on the way to it may be another FileSystem's, so anybody's: no symbolic link is followed there, or it would
//! lead from one tenant's folder to the next one's. Beneath the folder, links are the tenant's own affair: they are followed
//! as long as they stay beneath it. The kernel resolves both; what is left to check is that nothing led into `.workspacefs`,
//! which lies beneath the same root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use workspacefs_api::RESERVED_FOLDER;
use workspacefs_sys::beneath::{self, Links};
use workspacefs_sys::inspect::{self, Identity};

use super::super::ShareError;
use super::words;

/// The deepest folder whose parents are looked at: PATH_MAX allows no deeper path.
const DEPTH_MAX: usize = 2048;

/// A mounted share.
pub(super) struct Share {
    root: Folder,
}

/// An open folder of a share.
pub(super) struct Folder {
    /// O_PATH.
    pub fd: OwnedFd,
    /// `server:/export/folder`, for messages.
    pub path: String,
}

impl Folder {
    /// The path of something in it, for messages.
    pub fn join(&self, name: &str) -> String {
        match name {
            "" => self.path.clone(),
            name => format!("{}/{name}", self.path.trim_end_matches('/')),
        }
    }

    /// Whether the other is the same folder, whatever path led there.
    pub fn is_same(&self, other: &Self) -> bool {
        match (inspect::identity(self.fd.as_fd()), inspect::identity(other.fd.as_fd())) {
            (Ok(one), Ok(other)) => one == other,
            // Rather hide too much than too little.
            _ => true,
        }
    }

    /// A second descriptor of it.
    pub fn again(&self) -> Result<Self, ShareError> {
        let fd = self.fd.try_clone().map_err(|error| super::local("open the folder twice", error))?;
        Ok(Self { fd, path: self.path.clone() })
    }
}

impl Share {
    /// `fd` is the root of its mount, `name` `server:/export`.
    pub fn new(fd: OwnedFd, name: String) -> Self {
        Self { root: Folder { fd, path: name } }
    }

    /// The export's root.
    pub fn root(&self) -> &Folder {
        &self.root
    }

    /// Whether it is the export's root.
    pub fn is_root(&self, folder: &Folder) -> bool {
        self.root.is_same(folder)
    }

    /// Whether the server forgot the export's root.
    pub fn is_stale(&self) -> bool {
        matches!(rustix::fs::fstatvfs(&self.root.fd), Err(Errno::STALE))
    }

    /// Opens `path` beneath `folder` without following any symbolic link: for the way to a FileSystem's own folder.
    pub fn walk(&self, folder: &Folder, path: &str) -> Result<Folder, ShareError> {
        if path.is_empty() {
            return folder.again();
        }
        let full = folder.join(path);
        match beneath::directory(folder.fd.as_fd(), path, Links::Refused) {
            Ok(fd) if names_ours(path) => self.unless_reserved(folder, fd, full),
            Ok(fd) => Ok(Folder { fd, path: full }),
            Err(Errno::LOOP) => Err(ShareError::BehindLink { link: first_link(folder, path), path: full }),
            Err(errno) => Err(words::at("open", &full, errno)),
        }
    }

    /// Opens `path` beneath `folder`. Symbolic links are followed as long as they stay beneath it.
    pub fn resolve(&self, folder: &Folder, path: &str) -> Result<Folder, ShareError> {
        if path.is_empty() {
            return folder.again();
        }
        let full = folder.join(path);
        let failed = |errno| words::at("open", &full, errno);
        // A path that the kernel walks without meeting a link is what it says.
        if !names_ours(path) {
            match beneath::directory(folder.fd.as_fd(), path, Links::Refused) {
                Ok(fd) => return Ok(Folder { fd, path: full }),
                Err(Errno::LOOP) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        let fd = beneath::directory(folder.fd.as_fd(), path, Links::Beneath).map_err(failed)?;
        self.unless_reserved(folder, fd, full)
    }

    /// Our own folder is at the export's root, and where there are copies at a FileSystem's root too.
    fn unless_reserved(&self, folder: &Folder, fd: OwnedFd, path: String) -> Result<Folder, ShareError> {
        for root in [&self.root, folder] {
            match is_reserved(root.fd.as_fd(), fd.as_fd()) {
                Ok(false) => {}
                Ok(true) => return Err(ShareError::Reserved { path }),
                Err(errno) => return Err(words::at("open", &path, errno)),
            }
        }
        Ok(Folder { fd, path })
    }
}

/// Whether `fd` is our own folder of `root` or lies in it. Nothing can be moved out of there while we look: no volume
/// shows it.
fn is_reserved(root: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    let reserved = match beneath::directory(root, RESERVED_FOLDER, Links::Refused) {
        Ok(folder) => inspect::identity(folder.as_fd())?,
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(false),
        Err(errno) => return Err(errno),
    };
    let root = inspect::identity(root)?;
    let mut here = openat(fd, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    for _ in 0..DEPTH_MAX {
        let identity: Identity = inspect::identity(here.as_fd())?;
        if identity == reserved {
            return Ok(true);
        }
        if identity == root {
            return Ok(false);
        }
        here = openat(here.as_fd(), "..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    }
    // Deeper than any path: it is being moved about. Rather refuse.
    Ok(true)
}

/// Whether a path without links leads into our folder: only if it names it, in whatever case, since some file systems
/// do not care.
fn names_ours(path: &str) -> bool {
    path.split('/').any(|part| part.eq_ignore_ascii_case(RESERVED_FOLDER))
}

/// Which part of `path` is a symbolic link, for a message: it may be another one by now, or none any more.
fn first_link(folder: &Folder, path: &str) -> String {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let mut ways = ends.filter_map(|end| path.get(..end));
    let is_link =
        |way: &&str| matches!(beneath::directory(folder.fd.as_fd(), way, Links::Refused), Err(Errno::LOOP));
    folder.join(ways.find(is_link).unwrap_or(path))
}
