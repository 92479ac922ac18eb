//! The root folder of a disk of ours: what is asked of it before anything is written there.

use std::os::fd::BorrowedFd;

use rustix::fs::{FlockOperation, flock};
use workspacefs_sys::{Errno, quota};

/// Takes it for this process: two on one disk would give the same space twice. False if another has it. The lock is the open
/// folder's, and ends with the process.
///
/// # Errors
/// What the kernel says beyond that.
pub fn lock(root: BorrowedFd<'_>) -> Result<bool, Errno> {
    match flock(root, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Whether project quotas hold there.
///
/// # Errors
/// What the kernel says beyond that there are none.
pub fn has_quotas(root: BorrowedFd<'_>) -> Result<bool, Errno> {
    match quota::is_enforced(root) {
        // Of file systems without any, with others, and behind filters of containers.
        Err(Errno::NOSYS | Errno::SRCH | Errno::OPNOTSUPP | Errno::INVAL) => Ok(false),
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn only_one_has_it_until_that_closes_it() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (File::open(dir.path()).unwrap(), File::open(dir.path()).unwrap());
        assert_eq!((lock(one.as_fd()), lock(other.as_fd())), (Ok(true), Ok(false)));
        drop(one);
        assert_eq!(lock(other.as_fd()), Ok(true));
    }

    #[test]
    fn proc_has_no_quotas() {
        assert_eq!(has_quotas(File::open("/proc").unwrap().as_fd()), Ok(false));
    }
}
