//! An open directory: its names as they were when it was read from the beginning. A reader that goes on later finds its
//! place, whatever was made or removed meanwhile.

use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FileType, RawDir, SeekFrom, seek};
use rustix::io::Result;

/// How much is read from below at once.
const BUFFER: usize = 256 << 10;

/// A name in it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its inode's number.
    pub number: u64,
    /// Its type, as far as the file system below tells.
    pub kind: FileType,
    /// The name.
    pub name: OsString,
}

/// An open directory.
#[derive(Debug)]
pub struct Directory {
    file: OwnedFd,
    entries: Mutex<Arc<Vec<Entry>>>,
}

impl Directory {
    /// Nothing is read yet.
    pub fn new(file: OwnedFd) -> Self {
        Self { file, entries: Mutex::default() }
    }

    /// All names, by their places. From the beginning, they are read anew.
    pub fn entries(&self, offset: u64) -> Result<Arc<Vec<Entry>>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if offset == 0 {
            *entries = Arc::new(self.read()?);
        }
        Ok(entries.clone())
    }

    fn read(&self) -> Result<Vec<Entry>> {
        seek(&self.file, SeekFrom::Start(0))?;
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
        let mut listing = RawDir::new(&self.file, &mut buffer);
        let mut entries = Vec::new();
        while let Some(entry) = listing.next() {
            let entry = entry?;
            entries.push(Entry {
                number: entry.ino(),
                kind: entry.file_type(),
                name: OsStr::from_bytes(entry.file_name().to_bytes()).to_owned(),
            });
        }
        Ok(entries)
    }
}

impl Entry {
    /// Whether it is the directory itself or the one above.
    pub fn is_dots(&self) -> bool {
        self.name == "." || self.name == ".."
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{Mode, OFlags};

    use super::*;

    #[test]
    fn places_stay_until_the_directory_is_read_from_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let names = |entries: &[Entry]| {
            let names = entries.iter().filter(|entry| !entry.is_dots()).map(|entry| entry.name.clone());
            names.collect::<std::collections::BTreeSet<_>>()
        };
        std::fs::write(dir.path().join("a"), "").unwrap();
        std::fs::create_dir(dir.path().join("...")).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = Directory::new(rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap());
        let first = directory.entries(0).unwrap();
        assert_eq!((first.len(), names(&first)), (4, ["a".into(), "...".into()].into()));
        std::fs::remove_file(dir.path().join("a")).unwrap();
        assert_eq!(directory.entries(2).unwrap().len(), 4);
        assert_eq!(names(&directory.entries(0).unwrap()), ["...".into()].into());
    }
}
