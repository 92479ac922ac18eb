//! One file of the manifest: opened beneath the root, and looked at.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

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
/// NONBLOCK: what has taken the file's name may be a FIFO.
const FOR_READING: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Whether the file is there with its size.
pub(super) fn look(root: BorrowedFd<'_>, entry: &Entry) -> Result<(), Difference> {
    let file = open(root, &entry.path, FOR_LOOKING).map_err(|errno| difference(errno, "open the file"))?;
    compare(file.as_fd(), entry)
}

/// Opens it to be read, if it is there with its size.
pub(super) fn open_content(root: BorrowedFd<'_>, entry: &Entry) -> Result<Content, Difference> {
    let (opened, direct) = match open(root, &entry.path, FOR_READING | OFlags::DIRECT) {
        Err(Errno::INVAL | Errno::OPNOTSUPP) => (open(root, &entry.path, FOR_READING), false),
        opened => (opened, true),
    };
    let file = opened.map_err(|errno| difference(errno, "open the file"))?;
    compare(file.as_fd(), entry)?;
    Ok(Content::new(file, direct))
}

fn compare(file: BorrowedFd<'_>, entry: &Entry) -> Result<(), Difference> {
    let stat = Stat::of_open(file).map_err(|errno| Difference::Failed { step: "look at the file", errno })?;
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
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        folder = Some(open_beneath(from, &text(above)?, flags, Mode::empty(), Crossing::Allowed)?);
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
