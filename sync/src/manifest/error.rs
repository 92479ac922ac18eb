//! Why a manifest cannot be read.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

/// A manifest cannot be read, or not to its end.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// The file cannot be opened or read.
    #[error("cannot read the manifest")]
    Io(#[from] io::Error),
    /// The file is something else.
    #[error("not a manifest")]
    Foreign,
    /// A later version of workspacefs wrote it.
    #[error("a manifest of version {0}, which is not known here")]
    Version(u32),
    /// From some place on it is not what was written. The entries before that are good.
    #[error(
        "the manifest is damaged: what was written ends at byte {at}, and {bytes} more bytes say nothing"
    )]
    Damaged {
        /// Where the last good part ends.
        at: u64,
        /// How much follows.
        bytes: u64,
    },
    /// It was cut between two entries, or is the journal of a run that is not over. The entries before that are good.
    #[error("the manifest is not complete: it stops at byte {at}")]
    Incomplete {
        /// How long it is.
        at: u64,
    },
    /// Whole, but not written by workspacefs: it says what cannot be.
    #[error("the manifest does not make sense at byte {at}")]
    Malformed {
        /// Where the part begins that does not.
        at: u64,
    },
    /// Whole, but not written by workspacefs: a path that leads out, or is none.
    #[error("the manifest names {0:?}, which is no path beneath a root")]
    Path(PathBuf),
}

impl From<Errno> for ManifestError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl From<ManifestError> for io::Error {
    fn from(error: ManifestError) -> Self {
        match error {
            ManifestError::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// What the kernel answered; `BADMSG` if it is the content that is wrong.
pub(super) fn errno(error: impl Into<io::Error>) -> Errno {
    let error = error.into();
    let other = if error.kind() == io::ErrorKind::InvalidData { Errno::BADMSG } else { Errno::IO };
    Errno::from_io_error(&error).unwrap_or(other)
}
