//! Small files of ours that survive a power cut.

use std::io::Write;
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags, fsync, renameat};
use rustix::io::Errno;
use workspacefs_sys::beneath::{self, Links};

/// Of a file that is being written.
pub(super) const UNFINISHED_SUFFIX: &str = ".new";

/// Writes the file `name` in `folder` so that after a power cut either the old or the new content is there.
///
/// # Errors
/// What the kernel says.
pub fn write_durably(folder: BorrowedFd<'_>, name: &str, text: &[u8]) -> Result<(), Errno> {
    let new = format!(".{name}{UNFINISHED_SUFFIX}");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
    let fd = beneath::open(folder, &new, flags, Mode::from_raw_mode(0o600), Links::Refused)?;
    let mut file = std::fs::File::from(fd);
    file.write_all(text).map_err(|error| errno(&error))?;
    fsync(&file)?;
    renameat(folder, new.as_str(), folder, name)?;
    fsync(folder)
}

pub(super) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
