//! Making room: what was deleted and can be restored takes space, and gives way, oldest first, to what is written.

use rustix::fs::fstatvfs;

use crate::error::Error;
use crate::root::Root;
use crate::trash;

/// Does it; where the file system is full, once more for each thing that went from the trash.
///
/// # Errors
/// Those of `work`; `Quota` once the trash is empty.
pub fn with_room<T>(root: &Root, mut work: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    loop {
        match work() {
            Err(Error::Quota) if empty_one(root)? => {}
            other => return other,
        }
    }
}

/// Deletes the oldest thing in the trash for good; false where there is none.
///
/// # Errors
/// [`Error`].
pub fn empty_one(root: &Root) -> Result<bool, Error> {
    match trash::oldest(root) {
        Ok(Some(id)) => {
            trash::delete(root, &id)?;
            tracing::info!(id, "the file system is full: the oldest of the trash went");
            Ok(true)
        }
        Ok(None) => Ok(false),
        // On a full file system its folder cannot even be made: then nothing is in it.
        Err(Error::Quota) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Empties the trash until so many bytes are free. Over NFS a write that does not fit is told of when it is too late to write
/// once more, so this is asked for beforehand wherever the size is known. That it does not fit all the same is for the
/// writing to find.
///
/// # Errors
/// [`Error`].
pub fn make_room(root: &Root, bytes: u64) -> Result<(), Error> {
    let free = || fstatvfs(root.as_fd()).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    // A file system that does not know counts nothing, or says 0 of 0.
    let known = fstatvfs(root.as_fd()).is_ok_and(|stat| stat.f_blocks > 0);
    while known && free().is_ok_and(|free| free < bytes) {
        if !empty_one(root)? {
            break;
        }
    }
    Ok(())
}
