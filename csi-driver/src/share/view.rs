//! A finished view of a folder, between the helper that made it and the target that it goes to.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use workspacefs_sys::SysError;
use workspacefs_sys::tree::{MountApi, StagingPlace};

/// A finished view of a folder, attached nowhere yet. Dropping it leaves nothing behind.
pub struct View {
    pub(super) fd: OwnedFd,
    pub(super) api: MountApi,
    pub(super) _staged: Cleared,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("fd", &self.fd).finish_non_exhaustive()
    }
}

impl View {
    /// Puts the view on `target`, a directory. Never waits for a server.
    ///
    /// # Errors
    /// The kernel's reason; then nothing is attached.
    pub fn attach(self, target: BorrowedFd<'_>) -> Result<(), SysError> {
        self.api.attach(self.fd.as_fd(), target)
    }
}

/// Removes a staging place unless it is still needed.
#[derive(Debug)]
pub(super) struct Cleared(pub Option<StagingPlace>);

impl Drop for Cleared {
    fn drop(&mut self) {
        if let Some(place) = &self.0 {
            place.remove();
        }
    }
}
