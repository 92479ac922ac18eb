//! Folders with all that is in them: their names, their size, and deleting them.

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{Access, AtFlags, Mode, OFlags, RawDir, accessat};
use rustix::io::Errno;
use workspacefs_sync::{Control, DeleteOptions, DeleteReport, Note, Problem};
use workspacefs_sys::beneath;

use crate::error::Error;
use crate::facts::Facts;
use crate::root::{child, refused_by, reopened, strict};
use crate::walk::{Step, Walk};

const BUFFER_BYTES: usize = 32 * 1024;
/// A quick deletion waits for a server most of the time.
const DELETE_WORKERS: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// Calls `each` with every name in a folder, in the order of the directory.
///
/// # Errors
/// [`Error`].
pub fn names(folder: BorrowedFd<'_>, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
    let open = reopened(folder).map_err(|errno| refused_by("it", "open the folder", errno, folder))?;
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
    let mut entries = RawDir::new(open, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(Error::at("list the folder"))?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            each(name);
        }
    }
    Ok(())
}

/// Whether nothing lies in the folder `name`.
///
/// # Errors
/// [`Error`].
pub fn is_empty(parent: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Error> {
    let folder = child(parent, name)?;
    let mut empty = true;
    names(folder.as_fd(), |_| empty = false)?;
    Ok(empty)
}

/// The bytes of all files in a folder, however deep. Links count for themselves.
///
/// # Errors
/// [`Error`].
pub fn measure(folder: BorrowedFd<'_>) -> Result<u64, Error> {
    let mut walk = Walk::new(folder)?;
    let mut bytes = 0;
    while let Some(step) = walk.next()? {
        if let Step::Entry(found) = step {
            bytes += found.facts.size;
        }
    }
    Ok(bytes)
}

/// Deletes a file, a link itself, or a folder with all that is in it. What is not there is deleted.
///
/// # Errors
/// [`Error`]; then some of it may be gone.
pub fn delete(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Error> {
    let options = DeleteOptions { workers: Some(DELETE_WORKERS), ..DeleteOptions::default() };
    let report = workspacefs_sync::delete(parent, name, &options, &Control::new())
        .map_err(|error| Error::of("delete it", Errno::from(error)))?;
    match report.refused() {
        Some(errno) => Err(refused(parent, &report, errno)),
        None if report.is_done() => Ok(()),
        None => Err(Error::Conflict("somebody fills the folder while it is deleted")),
    }
}

/// What somebody else's permissions in the tree refuse names whose they are; what those of `parent` do is for the caller to name.
fn refused(parent: BorrowedFd<'_>, report: &DeleteReport, errno: Errno) -> Error {
    let is_it = |note: &&Note| matches!(note.problem, Problem::Failed { errno: found, .. } if found == errno);
    let by = || refuser(parent, &report.notes.iter().find(is_it)?.path);
    match by() {
        Some(facts) if Error::is_refusal(errno) => {
            Error::Denied { what: "a part of it".into(), uid: facts.uid, mode: facts.mode }
        }
        _ => Error::of("delete all of it", errno),
    }
}

/// What keeps this from being deleted: the folder that it lies in, or, if that takes changes of ours, it itself, as a folder whose
/// names are not told. None where that folder is `parent`.
fn refuser(parent: BorrowedFd<'_>, path: &Path) -> Option<Facts> {
    let (above, name) = (path.parent()?, path.file_name()?.as_bytes());
    let above = match above.as_os_str().as_bytes() {
        b"" => None,
        above => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Some(beneath::resolved(parent, above, flags, Mode::empty(), strict()).ok()?)
        }
    };
    let folder = above.as_ref().map_or(parent, AsFd::as_fd);
    match accessat(folder, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
        Ok(()) => Facts::at(folder, name).ok(),
        Err(_) => above.and_then(|above| Facts::of(&above).ok()),
    }
}
