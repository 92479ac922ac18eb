//! The cache's folder on the target.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path};

use rustix::fs::{Dir, FlockOperation, Mode, OFlags, flock, mkdirat, openat};
use rustix::io::Errno;
use thiserror::Error;

use crate::names::{self, Kept, LOCK};

/// It cannot be worked in.
#[derive(Debug, Error)]
pub(crate) enum TargetError {
    #[error("cannot open or make the cache's folder")]
    Open(#[source] Errno),
    #[error("another mover works there")]
    Busy,
}

/// The folder, for this process alone.
#[derive(Debug)]
pub(crate) struct Target {
    folder: OwnedFd,
    /// Held to be dropped.
    _lock: OwnedFd,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Target {
    /// Opens the folder; what is missing of its path is made. No link on the way is followed.
    pub fn open(path: &Path) -> Result<Self, TargetError> {
        let folder = open_or_make(path).map_err(TargetError::Open)?;
        // Of a file that is written to: NFS locks no others.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = openat(&folder, LOCK, flags, Mode::RUSR | Mode::WUSR).map_err(TargetError::Open)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { folder, _lock: lock }),
            Err(Errno::WOULDBLOCK) => Err(TargetError::Busy),
            Err(errno) => Err(TargetError::Open(errno)),
        }
    }

    /// A generation's folder; none if it is not there.
    pub fn generation(&self, number: i64) -> Result<Option<OwnedFd>, Errno> {
        found(open(self.as_fd(), &names::generation(number)))
    }

    /// All names in it.
    pub fn names(&self) -> Result<Vec<OsString>, Errno> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if !matches!(name.as_slice(), b"." | b"..") {
                names.push(OsString::from_vec(name));
            }
        }
        Ok(names)
    }

    /// The names in it that stand for something.
    pub fn kept(&self) -> Result<Vec<Kept>, Errno> {
        let names = self.names()?;
        Ok(names.into_iter().map(|name| names::kept(&name.into_vec())).collect())
    }

    /// The whole generations, the oldest first.
    pub fn present(&self) -> Result<Vec<i64>, Errno> {
        let number = |kept| if let Kept::Generation(number) = kept { Some(number) } else { None };
        let mut present: Vec<i64> = self.kept()?.into_iter().filter_map(number).collect();
        present.sort_unstable();
        Ok(present)
    }
}

impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

/// Opens a folder in a folder, through no link.
pub(crate) fn open(folder: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    openat(folder, name, FOLDER, Mode::empty())
}

/// The same; made if it is missing, for root alone.
pub(crate) fn make(folder: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    match open(folder, name) {
        Err(Errno::NOENT) => {}
        opened => return opened,
    }
    match mkdirat(folder, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => open(folder, name),
        Err(errno) => Err(errno),
    }
}

/// None for what is not there.
pub(crate) fn found<T>(opened: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn open_or_make(path: &Path) -> Result<OwnedFd, Errno> {
    let start = if path.is_absolute() { "/" } else { "." };
    let mut folder = rustix::fs::open(start, FOLDER, Mode::empty())?;
    for component in path.components() {
        folder = match component {
            Component::Normal(name) => make(folder.as_fd(), name.to_str().ok_or(Errno::INVAL)?)?,
            Component::RootDir | Component::CurDir => continue,
            Component::ParentDir | Component::Prefix(_) => return Err(Errno::INVAL),
        };
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_missing_folder_is_made_for_root_alone_and_a_link_on_the_way_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("share/.workspacefs/cache/uid");
        Target::open(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
        symlink("share", dir.path().join("link")).unwrap();
        let opened = Target::open(&dir.path().join("link/.workspacefs/cache/uid"));
        assert!(matches!(opened, Err(TargetError::Open(Errno::LOOP | Errno::NOTDIR))), "{opened:?}");
    }

    #[test]
    fn a_second_mover_is_kept_out_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = Target::open(dir.path()).unwrap();
        assert!(matches!(Target::open(dir.path()), Err(TargetError::Busy)));
        drop(first);
        assert!(Target::open(dir.path()).is_ok());
    }

    #[test]
    fn whole_generations_are_listed_by_number() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["10", "9", "filling-11", "removing-1", "x"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let target = Target::open(dir.path()).unwrap();
        assert_eq!(target.present(), Ok(vec![9, 10]));
        assert!(target.generation(9).unwrap().is_some() && target.generation(11).unwrap().is_none());
    }
}
