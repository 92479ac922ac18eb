//! A whole generation as it lies on the target.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use workspacefs_sys::beneath;

use crate::names::{DATA, MANIFEST};
use crate::record::{self, RECORD, Record};
use crate::target::{self, Target};

/// See the module.
#[derive(Debug)]
pub(crate) struct Generation {
    folder: OwnedFd,
    data: OwnedFd,
    manifests: OwnedFd,
    pub record: Record,
}

impl Generation {
    /// None if there is none of this number.
    ///
    /// # Errors
    /// What the kernel says; `BADMSG` if it is none that we made.
    pub fn open(target: &Target, number: i64) -> Result<Option<Self>, Errno> {
        let Some(folder) = target.generation(number)? else { return Ok(None) };
        let inside = |name| target::found(target::open(folder.as_fd(), name))?.ok_or(Errno::BADMSG);
        let (data, manifests) = (inside(DATA)?, inside(MANIFEST)?);
        let record = record::read(folder.as_fd(), RECORD)?.ok_or(Errno::BADMSG)?;
        Ok(Some(Self { folder, data, manifests, record }))
    }

    /// The folder of a path in it.
    pub fn place(&self, relative: &str) -> Result<OwnedFd, Errno> {
        place(self.data.as_fd(), relative)
    }

    /// The manifest of the path with this number.
    pub fn manifest(&self, number: usize) -> PathBuf {
        manifest(self.manifests.as_fd(), number)
    }

    /// Writes down that some path is not what it was any more.
    pub fn rewrite(&self, record: &Record) -> Result<(), Errno> {
        record::write(self.folder.as_fd(), RECORD, record)
    }
}

/// Opens a path beneath `data` through no link and no mount.
pub(crate) fn place(data: BorrowedFd<'_>, relative: &str) -> Result<OwnedFd, Errno> {
    let rules = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    let path = if relative.is_empty() { "." } else { relative };
    beneath::resolved(data, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty(), rules)
}

/// By the folder's descriptor: whatever is moved on the way to it, it is this one.
pub(crate) fn manifest(folder: BorrowedFd<'_>, number: usize) -> PathBuf {
    format!("/proc/self/fd/{}/{number}", folder.as_raw_fd()).into()
}
