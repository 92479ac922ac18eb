//! FsCaches' copies in a FileSystem: `.workspacefs/cache/<uid>/<generation>/data/<path>` beneath its folder, which is
//! not the export's root, or need not be. And the places in another volume at which they are shown.
//!
//! A copy is only believed in a `.workspacefs` that is root's alone, and no link is followed to it or in it: the way
//! to a copy is what the mover made.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use workspacefs_api::path::RelativePath;
use workspacefs_api::volume::is_uid;
use workspacefs_sys::beneath::{self, Links};
use workspacefs_sys::tree::open_mounted;

use super::super::ShareError;
use super::super::protocol::{CACHE, CopyPart};
use super::resolve::Folder;
use super::{reserved, words};

/// A folder of a copy in the FileSystem whose folder is `root`.
pub(super) fn open(root: &Folder, copy: &CopyPart) -> Result<Folder, ShareError> {
    let place = copy.place().ok_or_else(|| unnamed(&root.path))?;
    let ours = reserved::existing(root)?;
    let path = ours.folder().join(&place);
    match beneath::directory(ours.folder().fd.as_fd(), &place, Links::Refused) {
        Ok(fd) => Ok(Folder { fd, path }),
        Err(errno) => Err(words::at("open", &path, errno)),
    }
}

/// Where the copies of an FsCache lie, made if it is missing: for root alone.
pub(super) fn make(root: &Folder, cache: &str) -> Result<Folder, ShareError> {
    if !is_uid(cache) {
        return Err(unnamed(&root.path));
    }
    let ours = reserved::require_in(root)?;
    Ok(ours.directory(CACHE)?.directory(cache)?.into_folder())
}

/// A folder of the view that stands on the staging place `view`.
pub(super) fn place(view: &Path, path: &str) -> Result<OwnedFd, ShareError> {
    let failed = |errno| words::at("open", path, errno);
    if !RelativePath::parse(path).is_ok_and(|parsed| parsed.as_str() == path && !parsed.is_root()) {
        return Err(failed(Errno::INVAL));
    }
    let root = open_mounted(view).map_err(failed)?;
    beneath::directory(root.as_fd(), path, Links::Refused).map_err(failed)
}

fn unnamed(path: &str) -> ShareError {
    ShareError::NotFound { path: format!("{path} (a copy with a name that is none of ours)") }
}
