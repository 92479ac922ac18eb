//! Whether a destination still is what its manifest says.

mod check;
mod content;
mod queue;
mod run;

#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, openat, syncfs};
use rustix::io::Errno;
use thiserror::Error;

use crate::digest::CHUNK_LEN;
use crate::manifest::{Entry, ManifestError, ManifestReader};
use crate::progress::Control;
use crate::report::{Counts, Stop};

/// What is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verify {
    /// Whether the files are there, with their sizes. Nothing is read.
    Size,
    /// Their content too: read again, from the disk or the server and not from this machine's memory where the file system
    /// lets us.
    Checksum,
}

/// What came of a verification.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// The files that were looked at, good or not, and their sizes as the manifest has them.
    pub checked: Counts,
    /// The files that are not what the manifest says, in no order.
    pub wrong: Vec<Wrong>,
    /// Why it ended early.
    pub stopped: Option<Stop>,
    /// How long it took.
    pub elapsed: Duration,
}

impl VerifyReport {
    /// Every file of the manifest was looked at and found to be as it says.
    pub fn is_good(&self) -> bool {
        self.wrong.is_empty() && self.stopped.is_none()
    }
}

/// A file that is not what the manifest says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wrong {
    /// Relative to the destination.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: Difference,
}

/// How a file differs from what the manifest says.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Difference {
    /// There is nothing of that name.
    #[error("is missing")]
    Missing,
    /// Something else has its name, or a symbolic link the name of a directory above it.
    #[error("is no regular file")]
    NotAFile,
    /// It is shorter or longer, in bytes.
    #[error("has {found} bytes instead of {expected}")]
    Size {
        /// What the manifest says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// It has other content of the same length.
    #[error("has other content")]
    Content,
    /// It is there with its size; the manifest has no digest that its content could be compared with.
    #[error("has no checksum in the manifest")]
    NoDigest,
    /// It cannot be looked at or read.
    #[error("cannot {step}")]
    Failed {
        /// What was tried, in words: "open the file".
        step: &'static str,
        /// What the kernel answered.
        #[source]
        errno: Errno,
    },
}

/// Nothing can be said of the destination.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The manifest cannot be read to its end: what it would say there cannot be compared.
    #[error("cannot use the manifest")]
    Manifest(#[from] ManifestError),
    /// The destination's root cannot be opened.
    #[error("cannot open the destination directory")]
    Destination(#[source] Errno),
    /// What this machine's memory still has for the destination cannot be written to it.
    #[error("cannot write back what is not in the destination yet")]
    WriteBack(#[source] Errno),
    /// No threads to work with.
    #[error("cannot start a thread")]
    Threads(#[source] std::io::Error),
}

/// Enough to keep a disk or a server busy: they wait, they hardly compute.
const WORKERS: NonZeroUsize = NonZeroUsize::new(32).expect("not 0");

/// Compares the files in a destination with its manifest. Files that the manifest does not name are not looked at. Nothing
/// is opened outside the destination, nor through a symbolic link.
///
/// `control` shows the progress: files that are right count as done, others as failed.
///
/// # Errors
/// [`VerifyError`]. What is wrong with a file stands in the report.
pub fn verify(
    destination: BorrowedFd<'_>,
    manifest: &Path,
    mode: Verify,
    workers: Option<NonZeroUsize>,
    control: &Control,
) -> Result<VerifyReport, VerifyError> {
    let root = open_root(destination).map_err(VerifyError::Destination)?;
    let manifest = ManifestReader::open(manifest)?;
    if mode == Verify::Checksum {
        // What is read from the disk below is only what has been written to it.
        syncfs(&root).map_err(VerifyError::WriteBack)?;
    }
    run::run(root.as_fd(), manifest, mode, workers.unwrap_or(WORKERS), control)
}

/// Few beside those that copy meanwhile.
const WORKERS_BESIDE: NonZeroUsize = NonZeroUsize::new(8).expect("not 0");

/// Compares these files in a destination with what was written down of them, as [`verify`] does: for
/// [`crate::sync_confirmed`], which has made sure that they are on the disk or the server.
///
/// # Errors
/// [`VerifyError`], not of a manifest. What is wrong with a file stands in the report.
pub fn verify_entries(
    destination: BorrowedFd<'_>,
    entries: &[Entry],
    mode: Verify,
) -> Result<VerifyReport, VerifyError> {
    let root = open_root(destination).map_err(VerifyError::Destination)?;
    run::run(root.as_fd(), entries.iter().cloned().map(Ok), mode, workers_for(entries), &Control::new())
}

/// As many as have something to do: of a large file each of them reads chunks.
fn workers_for(entries: &[Entry]) -> NonZeroUsize {
    let tasks = entries
        .iter()
        .fold(0, |tasks: u64, entry| tasks.saturating_add(entry.size.div_ceil(CHUNK_LEN).max(1)));
    let tasks = usize::try_from(tasks).unwrap_or(usize::MAX);
    WORKERS_BESIDE.min(NonZeroUsize::new(tasks).unwrap_or(NonZeroUsize::MIN))
}

/// The descriptor handed in may be one that nothing can be done with but open what is beneath (O_PATH).
fn open_root(destination: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    openat(destination, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}
