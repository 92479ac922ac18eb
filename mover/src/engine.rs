//! The seam between the mover and the copy engine: what a fill asks of it. Tests put engines here that do wrong.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::path::Path;

use workspacefs_sync::{
    Control, Entry, Options, Report, SyncError, Verify, VerifyError, VerifyReport, verify_entries,
};

/// What copies and verifies.
pub trait Engine: Sync {
    /// As [`workspacefs_sync::sync`].
    ///
    /// # Errors
    /// [`SyncError`]: it did not begin.
    fn sync(
        &self,
        source: BorrowedFd<'_>,
        destination: BorrowedFd<'_>,
        options: &Options,
        control: &Control,
    ) -> Result<Report, SyncError> {
        workspacefs_sync::sync(source, destination, options, control)
    }

    /// As [`workspacefs_sync::compare`].
    ///
    /// # Errors
    /// [`SyncError`]: it did not begin.
    fn compare(
        &self,
        source: BorrowedFd<'_>,
        copy: BorrowedFd<'_>,
        manifest: Option<&Path>,
        options: &Options,
        control: &Control,
    ) -> Result<Report, SyncError> {
        workspacefs_sync::compare(source, copy, manifest, options, control)
    }

    /// As [`workspacefs_sync::sync_confirmed`], by [`workspacefs_sync::verify_entries`].
    ///
    /// # Errors
    /// [`SyncError`]: it did not begin.
    fn sync_confirmed(
        &self,
        source: BorrowedFd<'_>,
        destination: BorrowedFd<'_>,
        options: &Options,
        mode: Verify,
        control: &Control,
    ) -> Result<Report, SyncError> {
        let confirm = |written: BorrowedFd<'_>, entries: &[Entry]| verify_entries(written, entries, mode);
        workspacefs_sync::sync_confirmed(source, destination, options, &confirm, control)
    }

    /// As [`workspacefs_sync::verify`].
    ///
    /// # Errors
    /// [`VerifyError`]: nothing can be said.
    fn verify(
        &self,
        destination: BorrowedFd<'_>,
        manifest: &Path,
        mode: Verify,
        workers: Option<NonZeroUsize>,
        control: &Control,
    ) -> Result<VerifyReport, VerifyError> {
        workspacefs_sync::verify(destination, manifest, mode, workers, control)
    }
}

/// `workspacefs_sync` itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyEngine;

impl Engine for CopyEngine {}
