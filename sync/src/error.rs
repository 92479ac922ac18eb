//! Why a run did not begin.

use rustix::io::Errno;
use thiserror::Error;

/// The run did not begin, and nothing was changed. What goes wrong later stands in the report.
#[derive(Debug, Error)]
pub enum SyncError {
    /// The source's root cannot be listed.
    #[error("cannot read the source directory")]
    Source(#[source] Errno),
    /// The destination's root cannot be listed.
    #[error("cannot read the destination directory")]
    Destination(#[source] Errno),
    /// One is the other, or lies in it.
    #[error("source and destination are the same directory, or one lies in the other")]
    Nested,
    /// The earlier copy's root cannot be listed.
    #[error("cannot read the directory of the earlier copy")]
    Earlier(#[source] Errno),
    /// One is the other, or lies in it.
    #[error("destination and earlier copy are the same directory, or one lies in the other")]
    EarlierNested,
    /// Another run has the destination.
    #[error("another run writes to the destination")]
    Busy,
    /// A chosen path is absolute, leads upwards or is empty.
    #[error("chosen path {0:?} is not a path inside the source")]
    Path(std::path::PathBuf),
    /// The manifest can be neither read nor made, or that of the earlier copy not be read.
    #[error("cannot use the manifest")]
    Manifest(#[source] std::io::Error),
}
