//! File locks: one `up` or `down` per cluster, one builder per cache entry. The kernel releases them with the process.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A lock that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot lock {}", path.display())]
pub struct LockError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A held lock; released when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock. `waiting` is called once if somebody else holds it.
    pub fn wait(path: &Path, waiting: impl FnOnce()) -> Result<Lock, LockError> {
        let error = |source: io::Error| LockError { path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(error)?;
        }
        let file = File::options().create(true).truncate(false).write(true).open(path).map_err(error)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            waiting();
            flock(&file, FlockOperation::LockExclusive).map_err(|errno| error(errno.into()))?;
        }
        Ok(Lock { _file: file })
    }
}
