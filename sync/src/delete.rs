//! Deleting a tree, for the trash and for whoever wants it gone.

use std::ffi::{CString, OsStr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;
use thiserror::Error;

use crate::allowance::Allowance;
use crate::doom::Doomed;
use crate::engine::Engine;
use crate::names::Names;
use crate::options::Options;
use crate::place::{Budget, Crossing, Place};
use crate::progress::Control;
use crate::rate::Limiter;
use crate::report::{Note, Problem, Stop};
use crate::run::run;
use crate::setup::{Division, is_network};
use crate::stat::Stat;

/// How a tree is deleted.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeleteOptions {
    /// At most so many files, links and directories per second.
    pub entries_per_second: Option<NonZeroU64>,
    /// The most threads; by default as for [`crate::sync`]. One is the caller's own: none is started.
    pub workers: Option<NonZeroUsize>,
    /// At most so many removals are tried, one in any case. Then it ends with [`Stop::Limit`], and the next call goes
    /// on.
    pub entries_max: Option<u64>,
    /// The same once so long has passed since the first of them; the way to that does not count.
    pub time_max: Option<Duration>,
}

/// What came of a deletion.
#[derive(Debug, Default)]
pub struct DeleteReport {
    /// Files, links and directories that are gone.
    pub deleted: u64,
    /// Directories that lay deep and were moved to the root of their tree, for the next call to find them there: only
    /// where `entries_max` or `time_max` is set, of which each takes its part.
    pub moved: u64,
    /// What stays, and why: relative to the parent directory.
    pub notes: Vec<Note>,
    /// Why it ended early.
    pub stopped: Option<Stop>,
    /// How long it took.
    pub elapsed: Duration,
}

/// The deletion did not begin.
#[derive(Debug, Error)]
pub enum DeleteError {
    /// Not the name of an entry: empty, `.`, `..`, or with a slash or NUL in it.
    #[error("{0:?} is not the name of an entry")]
    Name(std::ffi::OsString),
    /// The parent directory cannot be opened, or the entry not be looked at.
    #[error("cannot look at what is to be deleted")]
    Open(#[source] Errno),
}

impl DeleteReport {
    /// Nothing is left.
    pub fn is_done(&self) -> bool {
        self.stopped.is_none() && self.notes.is_empty()
    }

    /// What the kernel said first to a removal. A directory that is not empty because somebody fills it is no refusal:
    /// the next call goes on with it.
    pub fn refused(&self) -> Option<Errno> {
        self.notes.iter().find_map(|note| match note.problem {
            Problem::Failed { errno, .. } if errno != Errno::NOTEMPTY => Some(errno),
            _ => None,
        })
    }
}

impl From<DeleteError> for Errno {
    /// What the kernel said, or would have.
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::Name(_) => Self::INVAL,
            DeleteError::Open(errno) => errno,
        }
    }
}

/// Deletes `name` in the directory `parent`: a tree with all that is in it, or a file or link itself. Nothing is followed:
/// neither links, nor into another file system that is mounted in it, which stays and is noted (XDEV). What is not there
/// is deleted. Cut anywhere, it leaves a smaller tree, which the next call deletes further.
///
/// # Errors
/// [`DeleteError`]: nothing was deleted. What cannot be deleted stands in the report.
pub fn delete(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    options: &DeleteOptions,
    control: &Control,
) -> Result<DeleteReport, DeleteError> {
    let text = entry_name(name).ok_or_else(|| DeleteError::Name(name.to_owned()))?;
    let division = Division::of(options.workers, is_network(parent));
    let budget = Budget::new(division.directories_open_max);
    let (place, _) = Place::root(parent, Crossing::Refused, &budget).map_err(DeleteError::Open)?;
    let handle = place.handle().map_err(DeleteError::Open)?;
    let mut names = Names::default();
    match Stat::of(handle.as_fd(), &text) {
        Ok(stat) => drop(names.push(&text, stat.kind)),
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(DeleteError::Open(errno)),
    }
    let engine_options = Options::default();
    let mut engine = Engine::new(&engine_options, control, Arc::clone(&place), division);
    engine.deletions = options.entries_per_second.map(Limiter::new);
    engine.allowance = Allowance::new(options.entries_max, options.time_max);
    let root = Doomed::in_root(place);
    run(&engine, division, || engine.doom(root, names));
    let report = DeleteReport {
        deleted: control.deleted(),
        moved: engine.moved.load(Ordering::Relaxed),
        notes: engine.take_notes(),
        stopped: engine.take_stop(),
        elapsed: control.elapsed(),
    };
    control.end();
    Ok(report)
}

fn entry_name(name: &OsStr) -> Option<CString> {
    let bytes = name.as_bytes();
    let is_entry = !matches!(bytes, b"" | b"." | b"..") && !bytes.contains(&b'/');
    if is_entry { CString::new(bytes).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_fills_meanwhile_is_neither_done_nor_refused() {
        let note = |errno| Note { path: "tree".into(), problem: Problem::Failed { step: "delete", errno } };
        for (errnos, refused) in [
            (&[][..], None),
            (&[Errno::NOTEMPTY], None),
            (&[Errno::NOTEMPTY, Errno::XDEV, Errno::PERM], Some(Errno::XDEV)),
        ] {
            let notes: Vec<_> = errnos.iter().copied().map(note).collect();
            let report = DeleteReport { notes, ..DeleteReport::default() };
            assert_eq!((report.refused(), report.is_done()), (refused, errnos.is_empty()));
        }
        let limited = DeleteReport { stopped: Some(Stop::Limit), ..DeleteReport::default() };
        assert_eq!((limited.refused(), limited.is_done()), (None, false));
    }
}
