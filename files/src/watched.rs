//! The file system as a whole, of which is known what it lost since somebody began to look: for many files at once, whose own
//! errors nobody hears.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};

use crate::disk;
use crate::error::Error;
use crate::room;
use crate::root::Root;

/// See the module.
#[derive(Debug)]
pub(crate) struct Watched(OwnedFd);

impl Watched {
    /// From now on, what is written to the file system and cannot be kept is remembered.
    ///
    /// # Errors
    /// [`Error`].
    pub fn new(root: &Root) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(root.as_fd(), ".", flags, Mode::empty()).map(Self).map_err(Error::at("open the root"))
    }

    /// Puts everything on the disk that was written before.
    ///
    /// # Errors
    /// [`Error`]: something that was written since it was begun to be watched is lost.
    pub fn sync(&self) -> Result<(), Error> {
        disk::settle_all(self.0.as_fd()).map_err(Error::at("put on the disk what was written"))
    }

    /// The same, and makes room for another try of so many bytes where there was too little: over NFS and under a quota only this
    /// says so of small files.
    ///
    /// # Errors
    /// [`Error`], `Quota` and `MadeRoom` where the file system is full.
    pub fn settle(&self, root: &Root, bytes: u64) -> Result<(), Error> {
        let emptied = root.turns.emptied();
        match self.sync() {
            Err(Error::Quota) if room::make_way(root, bytes, emptied) => Err(Error::MadeRoom),
            settled => settled,
        }
    }
}
