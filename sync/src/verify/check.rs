//! One file of the manifest: opened beneath the root, and looked at.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Difference;
use super::content::Content;
use crate::manifest::Entry;
use crate::place::{Crossing, open_beneath};
use crate::stat::Stat;

/// A path given to the kernel stays below PATH_MAX (4096 with its NUL).
const PATH_BYTES_MAX: usize = 4000;

/// Nothing is opened for reading.
const FOR_LOOKING: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW);
const FOR_ENTERING: OFlags = FOR_LOOKING.union(OFlags::DIRECTORY);
/// NONBLOCK: what has taken the file's name may be a FIFO.
const FOR_READING: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// The folder of the last file that a worker looked at: the next one mostly lies beside it, and is found by its name alone.
#[derive(Debug, Default)]
pub(super) struct LastFolder(Option<(PathBuf, OwnedFd)>);

/// Whether the file is there with its size.
pub(super) fn look(root: BorrowedFd<'_>, entry: &Entry, last: &mut LastFolder) -> Result<(), Difference> {
    let stat = stat(root, &entry.path, last).map_err(|errno| difference(errno, "look at the file"))?;
    compare(&stat, entry)
}

fn stat(root: BorrowedFd<'_>, path: &Path, last: &mut LastFolder) -> Result<Stat, Errno> {
    let (folder, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().ok_or(Errno::INVAL)?);
    let name = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?;
    if folder.as_os_str().is_empty() {
        return Stat::of(root, &name);
    }
    let known = last.0.take().filter(|(path, _)| path == folder);
    let entered =
        known.map_or_else(|| open(root, folder, FOR_ENTERING).map(|fd| (folder.to_owned(), fd)), Ok);
    // Where there is no such folder, what the kernel says of the whole path says why.
    let Ok((folder, opened)) = entered else {
        return Stat::of_open(open(root, path, FOR_LOOKING)?.as_fd());
    };
    let stat = Stat::of(opened.as_fd(), &name);
    last.0 = Some((folder, opened));
    stat
}

/// Opens it to be read, if it is there with its size.
pub(super) fn open_content(root: BorrowedFd<'_>, entry: &Entry) -> Result<Content, Difference> {
    let (opened, direct) = match open(root, &entry.path, FOR_READING | OFlags::DIRECT) {
        Err(Errno::INVAL | Errno::OPNOTSUPP) => (open(root, &entry.path, FOR_READING), false),
        opened => (opened, true),
    };
    let file = opened.map_err(|errno| difference(errno, "open the file"))?;
    let stat = Stat::of_open(file.as_fd());
    compare(&stat.map_err(|errno| Difference::Failed { step: "look at the file", errno })?, entry)?;
    Ok(Content::new(file, direct))
}

fn compare(stat: &Stat, entry: &Entry) -> Result<(), Difference> {
    let (expected, found) = (entry.size, stat.size);
    match stat.kind.is_file() {
        false => Err(Difference::NotAFile),
        true if found != expected => Err(Difference::Size { expected, found }),
        true => Ok(()),
    }
}

fn difference(errno: Errno, step: &'static str) -> Difference {
    match errno {
        Errno::NOENT | Errno::NOTDIR => Difference::Missing,
        // A link; a socket.
        Errno::LOOP | Errno::NXIO => Difference::NotAFile,
        errno => Difference::Failed { step, errno },
    }
}

/// Opens a path of any length beneath the root.
fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut rest = path.as_os_str().as_bytes();
    let mut folder: Option<OwnedFd> = None;
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::INVAL);
    loop {
        let from = folder.as_ref().map_or(root, AsFd::as_fd);
        if rest.len() <= PATH_BYTES_MAX {
            return open_beneath(from, &text(rest)?, flags, Mode::empty(), Crossing::Allowed);
        }
        let slash = rest.iter().take(PATH_BYTES_MAX).rposition(|byte| *byte == b'/');
        let (above, below) = rest.split_at(slash.ok_or(Errno::NAMETOOLONG)?);
        folder = Some(open_beneath(from, &text(above)?, FOR_ENTERING, Mode::empty(), Crossing::Allowed)?);
        rest = below.get(1..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_answers_is_what_is_wrong_with_the_file() {
        for (errno, expected) in [
            (Errno::NOENT, Difference::Missing),
            (Errno::NOTDIR, Difference::Missing),
            (Errno::LOOP, Difference::NotAFile),
            (Errno::NXIO, Difference::NotAFile),
            (Errno::ACCESS, Difference::Failed { step: "open", errno: Errno::ACCESS }),
            (Errno::IO, Difference::Failed { step: "open", errno: Errno::IO }),
        ] {
            assert_eq!(difference(errno, "open"), expected);
        }
    }
}
