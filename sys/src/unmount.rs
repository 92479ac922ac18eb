//! Taking mounts off. umount2(2) is called directly: it does not look at the file system first, so a dead server does not
//! hold it (umount(8) does and hangs).

use std::path::Path;

use rustix::io::Errno;
use rustix::mount::UnmountFlags;

/// The most mounts that are taken off one place: more mean that something stacks them without end.
const STACKED_MAX: usize = 64;

/// Takes one mount off `path`; `BUSY` if it is in use.
///
/// # Errors
/// `INVAL` if nothing is mounted there, `NOENT` if nothing is there at all, `BUSY`.
pub fn plain(path: &Path) -> Result<(), Errno> {
    rustix::mount::unmount(path, UnmountFlags::NOFOLLOW)
}

/// Takes one mount off `path` with all that is nested in it; what is still in use goes when its last user does.
///
/// # Errors
/// As [`plain`], but for `BUSY`.
pub fn detached(path: &Path) -> Result<(), Errno> {
    rustix::mount::unmount(path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)
}

/// Takes every mount off `path`, each plainly if that works and detached if not: a plain unmount shows leaks, a detached
/// one always ends. Nothing mounted there, or nothing there, is fine. Gives back how many there were.
///
/// # Errors
/// What umount2 says beyond that; `LOOP` after 64 mounts.
pub fn everything(path: &Path) -> Result<usize, Errno> {
    for count in 0..STACKED_MAX {
        let result = match plain(path) {
            Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => return Ok(count),
            Err(Errno::PERM) => Err(Errno::PERM),
            Err(_) => detached(path),
            Ok(()) => Ok(()),
        };
        match result {
            Err(Errno::INVAL | Errno::NOENT) => return Ok(count),
            other => other?,
        }
    }
    Err(Errno::LOOP)
}
