//! Deleting a tree, for the trash and for whoever wants it gone.

use std::ffi::{CString, OsStr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use thiserror::Error;

use crate::doom::Doomed;
use crate::engine::Engine;
use crate::names::Names;
use crate::options::Options;
use crate::place::{Budget, Crossing, Place};
use crate::progress::Control;
use crate::rate::Limiter;
use crate::report::{Note, Stop};
use crate::run::run;
use crate::setup::{Division, is_network};
use crate::stat::Stat;

/// How a tree is deleted.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeleteOptions {
    /// At most so many files, links and directories per second.
    pub entries_per_second: Option<NonZeroU64>,
    /// The most threads; by default as for [`crate::sync`].
    pub workers: Option<NonZeroUsize>,
}

/// What came of a deletion.
#[derive(Debug, Default)]
pub struct DeleteReport {
    /// Files, links and directories that are gone.
    pub deleted: u64,
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
    /// No threads to work with.
    #[error("cannot start a thread")]
    Threads(#[source] std::io::Error),
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
    let root = Doomed::in_root(place);
    run(&engine, division, || engine.doom(root, names)).map_err(DeleteError::Threads)?;
    let report = DeleteReport {
        deleted: control.deleted(),
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
