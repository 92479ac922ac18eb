//! A finished view of a folder, between the helper that made it and the target that it goes to.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use workspacefs_sys::SysError;
use workspacefs_sys::tree::{MountApi, StagingPlace};

/// A finished view of a folder, attached nowhere that anybody sees yet. Dropping it leaves nothing behind.
pub struct View {
    fd: OwnedFd,
    api: MountApi,
    staged: Cleared,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("fd", &self.fd).finish_non_exhaustive()
    }
}

impl View {
    /// Puts it on `place`, where others can be nested in it.
    ///
    /// # Errors
    /// The kernel's reason; then the view is as it was.
    pub(crate) fn stage(&mut self, place: StagingPlace) -> Result<(), SysError> {
        if self.staged.0.is_none() {
            self.api.stage(self.fd.as_fd(), &place)?;
            self.staged.0 = Some(place);
        }
        Ok(())
    }

    /// Where it stands, if it does.
    pub(crate) fn stands_on(&self) -> Option<&Path> {
        self.staged.0.as_ref().map(StagingPlace::path)
    }

    /// The view with all that was nested in it after [`View::stage`], to be attached.
    ///
    /// # Errors
    /// The kernel's reason.
    pub(crate) fn unstage(self) -> Result<Self, SysError> {
        if self.staged.0.is_none() {
            return Ok(self);
        }
        let Self { fd, api, staged } = self;
        Ok(Self { fd: api.unstage(fd)?, api, staged })
    }

    /// Puts the view on `target`, a directory. Never waits for a server.
    ///
    /// # Errors
    /// The kernel's reason; then nothing is attached.
    pub fn attach(self, target: BorrowedFd<'_>) -> Result<(), SysError> {
        self.api.attach(self.fd.as_fd(), target)
    }
}

/// A view that a helper is asked for. Its place is cleared on every way out, by this process where the helper was cut short.
#[derive(Debug)]
pub(crate) struct Unfinished {
    api: MountApi,
    place: Cleared,
}

impl Unfinished {
    /// `place` is the one that the helper is told.
    pub fn new(api: MountApi, place: StagingPlace) -> Self {
        Self { api, place: Cleared(Some(place)) }
    }

    /// The helper is done; a view that stands on the place keeps it.
    pub fn finish(mut self, fd: OwnedFd, staged: bool) -> View {
        let kept = self.place.0.take_if(|_| staged);
        View { fd, api: self.api, staged: Cleared(kept) }
    }
}

/// Removes a staging place unless it is still needed.
#[derive(Debug)]
struct Cleared(Option<StagingPlace>);

impl Drop for Cleared {
    fn drop(&mut self) {
        if let Some(place) = &self.0 {
            place.remove();
        }
    }
}
