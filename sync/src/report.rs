//! What came of a run: figures that add up, and every path that something is wrong with.

use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use thiserror::Error;

use crate::verify::Difference;

/// Files (anything but directories) and their bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Regular files, symbolic links, special files.
    pub files: u64,
    /// Their sizes; of regular files only, and not of those that the filter leaves out: nobody looked at them.
    pub bytes: u64,
}

/// Where every file that was found ended up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Everything that was met in the source.
    pub found: Counts,
    /// Copied, or linked to one that was.
    pub done: Counts,
    /// In the destination already, or linked from the earlier copy.
    pub unchanged: Counts,
    /// Not copied; [`Report::notes`] says why.
    pub failed: Counts,
    /// Left out: by the filter, because it is a special file, or because the run ended before.
    pub skipped: Counts,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Files.
    pub files: Tally,
    /// Directories; their `bytes` are 0.
    pub directories: Tally,
    /// What was deleted in the destination: files, links and directories.
    pub deleted: u64,
    /// Files whose owner could not be kept.
    pub owners_not_kept: u64,
    /// Temporary files of an earlier run that were removed.
    pub leftovers: u64,
    /// What is wrong with which path, in no order.
    pub notes: Vec<Note>,
    /// Why the run ended early.
    pub stopped: Option<Stop>,
    /// How long it took.
    pub elapsed: Duration,
}

/// Something about one path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// Relative to both roots; empty for the root itself.
    pub path: PathBuf,
    /// What is the matter.
    pub problem: Problem,
}

/// What can be the matter with a path.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Problem {
    /// A system call failed.
    #[error("cannot {step}")]
    Failed {
        /// What was tried, in words: "open the source file".
        step: &'static str,
        /// What the kernel answered.
        #[source]
        errno: Errno,
    },
    /// A socket, FIFO or device: not copied. Counts as skipped, not as failed.
    #[error("a {0} is not copied")]
    Special(&'static str),
    /// It was there when its directory was listed, and was gone when it was to be copied. Counts as skipped.
    #[error("is gone from the source")]
    Vanished,
    /// The source changed each time that it was read.
    #[error("changes while it is read")]
    Changing,
    /// Read back after it was copied, it is not what was written. It lies there all the same, and the next run copies it again.
    #[error("is not what was written")]
    NotAsWritten(#[source] Difference),
    /// A directory lies in the destination where the source has a file, and nothing may be deleted.
    #[error("a directory is in the way, and nothing may be deleted")]
    InTheWay,
    /// Not deleted: the limit was reached. Neither failed nor skipped: it is not of the source.
    #[error("not deleted: the limit is reached")]
    DeleteLimit,
}

/// Why a run ended before everything was looked at.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Stop {
    /// [`crate::Control::cancel`].
    #[error("cancelled")]
    Cancelled,
    /// The call has done what it may ([`crate::DeleteOptions`]).
    #[error("this call may do no more")]
    Limit,
    /// The destination takes nothing more: full, over its quota, read-only, gone.
    #[error("the destination takes nothing more, at {path:?}")]
    Destination {
        /// Where that was seen first.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        errno: Errno,
    },
    /// The copy is not what the source is ([`crate::compare`]).
    #[error("the copy is not what the source is")]
    Different,
    /// The source is gone.
    #[error("the source is gone, at {path:?}")]
    Source {
        /// Where that was seen first.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        errno: Errno,
    },
    /// The manifest cannot be written.
    #[error("cannot write the manifest")]
    Manifest(#[source] Errno),
}

impl Tally {
    /// found = done + unchanged + failed + skipped, in files and in bytes.
    pub fn adds_up(&self) -> bool {
        let sum = |of: fn(&Counts) -> u64| {
            [self.done, self.unchanged, self.failed, self.skipped].iter().map(of).sum::<u64>()
                == of(&self.found)
        };
        sum(|counts| counts.files) && sum(|counts| counts.bytes)
    }
}

impl Report {
    /// Everything that was found ended up in exactly one place.
    pub fn adds_up(&self) -> bool {
        self.files.adds_up() && self.directories.adds_up()
    }

    /// The destination is what the source was: nothing failed, nothing stopped it. What was skipped was asked to be.
    pub fn is_complete(&self) -> bool {
        let failed = self.files.failed.files + self.directories.failed.files;
        failed == 0 && self.stopped.is_none() && !self.notes.iter().any(|note| note.problem.counts())
    }

    /// There was nothing to do: everything that was found is in the destination, and nothing else.
    pub fn is_unchanged(&self) -> bool {
        let done = self.files.done.files + self.directories.done.files + self.deleted;
        done == 0 && self.is_complete() && self.notes.is_empty()
    }
}

impl Problem {
    /// Whether the destination is not what was asked for.
    fn counts(&self) -> bool {
        !matches!(self, Self::Special(_) | Self::Vanished)
    }
}
