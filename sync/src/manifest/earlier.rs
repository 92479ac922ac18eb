//! The manifest of an earlier copy: of what it says, the new one takes over what is still true.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::files::Last;
use super::known::{Key, Ordinal, Table};
use super::{ManifestError, Place};
use crate::time::Time;

/// See the module. Its entries are numbered before all of the new manifest's.
#[derive(Debug)]
pub(super) struct Earlier {
    last: Last,
    table: Table,
    /// Something was taken over since the last commit: it has to be safe from a power cut too.
    is_new: AtomicBool,
}

impl Earlier {
    /// # Errors
    /// `NotFound`; `InvalidData` for a file that is no manifest, or cut before its header was written. What was damaged
    /// later vouches for less.
    pub fn open(path: &Path, key: Key, checksum: bool) -> io::Result<Self> {
        let file = Place::of(path)?.manifest()?.ok_or(io::ErrorKind::NotFound)?;
        let mut table = Table::new(key, checksum);
        let last = Last::read(file, 0, |ordinal, entry| {
            table.push(ordinal, &entry);
            Ok(())
        })?;
        let last = last.ok_or(ManifestError::Foreign)?;
        table.seal();
        Ok(Self { last, table, is_new: AtomicBool::new(false) })
    }

    pub fn last(&self) -> &Last {
        &self.last
    }

    /// The number of the first entry that is not its own.
    pub fn next(&self) -> Ordinal {
        self.last.next
    }

    pub fn find(&self, path: &Path, size: u64, mtime: Time, ctime: Time) -> Option<Ordinal> {
        self.table.find(path, size, mtime, ctime)
    }

    pub fn take_over(&self, ordinal: Ordinal) {
        self.table.mark(ordinal);
        self.is_new.store(true, Ordering::Release);
    }

    pub fn is_taken(&self, ordinal: Ordinal) -> bool {
        self.table.is_marked(ordinal)
    }

    /// Whether something was taken over since the last call.
    pub fn take_new(&self) -> bool {
        self.is_new.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rustix::fs::FileType;
    use rustix::io::Errno;

    use super::super::{Entry, Journal, ManifestReader};
    use super::*;
    use crate::stat::{Id, Stat};

    const TIME: Time = Time { seconds: 1, nanoseconds: 7 };

    fn entry(path: &str, size: u64, digest: Option<[u8; 32]>) -> Entry {
        Entry { path: path.into(), size, mtime: TIME, ctime: TIME, digest }
    }

    fn stat(size: u64) -> Stat {
        let (kind, id) = (FileType::RegularFile, Id::default());
        Stat { kind, mode: 0o644, uid: 0, gid: 0, size, blocks: 0, mtime: TIME, ctime: TIME, id, links: 1 }
    }

    /// A manifest of these files.
    fn write(path: &Path, entries: &[Entry]) {
        let journal = Journal::open(path, false, None).unwrap();
        entries.iter().for_each(|entry| journal.add(entry.clone()));
        journal.commit(|| Ok(()), None).unwrap();
        journal.complete().unwrap();
    }

    fn read(path: &Path) -> Vec<(PathBuf, u64, Option<[u8; 32]>)> {
        let entries = ManifestReader::open(path).unwrap().map(Result::unwrap);
        let mut entries: Vec<_> = entries.map(|entry| (entry.path, entry.size, entry.digest)).collect();
        entries.sort();
        entries
    }

    #[test]
    fn what_was_taken_over_stands_in_the_manifest_once_and_nothing_else_of_the_earlier_one() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        let digest = Some([5; 32]);
        write(&old, &[entry("linked", 1, digest), entry("copied", 1, digest), entry("gone", 1, digest)]);
        // A run before this one ended early, with files of its own.
        write(&new, &[entry("ours", 1, digest), entry("copied", 2, digest)]);
        let journal = Journal::open(&new, true, Some(&old)).unwrap();
        assert!(journal.knows(Path::new("ours"), 1, TIME, TIME));
        for name in ["linked", "copied"] {
            journal.take_over(journal.find_earlier(Path::new(name), &stat(1)).unwrap());
        }
        assert!(journal.find_earlier(Path::new("linked"), &stat(2)).is_none());
        assert!(journal.find_earlier(Path::new("ours"), &stat(1)).is_none());
        journal.add(entry("copied", 3, digest));
        journal.commit(|| Ok(()), None).unwrap();
        journal.complete().unwrap();
        let expected = [("copied", 3), ("linked", 1), ("ours", 1)];
        assert_eq!(read(&new), expected.map(|(path, size)| (path.into(), size, digest)));
        assert_eq!(read(&old).len(), 3);
    }

    #[test]
    fn what_was_taken_over_is_synced_before_it_is_written_down() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        write(&old, &[entry("linked", 1, None)]);
        let journal = Journal::open(&new, false, Some(&old)).unwrap();
        journal.take_over(journal.find_earlier(Path::new("linked"), &stat(1)).unwrap());
        assert_eq!(journal.commit(|| Err(Errno::IO), None), Err(Errno::IO));
        assert_eq!(journal.complete(), Err(Errno::IO));
        assert!(!new.exists());
    }

    #[test]
    fn where_digests_are_asked_for_an_earlier_entry_without_one_vouches_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        write(&old, &[entry("a", 1, None)]);
        for checksum in [false, true] {
            let journal = Journal::open(&new, checksum, Some(&old)).unwrap();
            assert_eq!(journal.find_earlier(Path::new("a"), &stat(1)).is_some(), !checksum);
        }
    }

    #[test]
    fn an_earlier_manifest_that_is_missing_or_none_is_an_error_and_a_damaged_one_vouches_for_less() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        let open = || Journal::open(&new, false, Some(&old));
        assert_eq!(open().unwrap_err().kind(), io::ErrorKind::NotFound);
        for other in ["", "something else that is long enough for a header"] {
            std::fs::write(&old, other).unwrap();
            assert_eq!(open().unwrap_err().kind(), io::ErrorKind::InvalidData, "{other:?}");
        }
        std::fs::remove_file(&old).unwrap();
        write(&old, &[entry("a", 1, None)]);
        let whole = std::fs::read(&old).unwrap();
        std::fs::write(&old, &whole[..whole.len() - 1]).unwrap();
        assert!(open().unwrap().find_earlier(Path::new("a"), &stat(1)).is_some());
        std::fs::write(&old, &whole[..40]).unwrap();
        assert!(open().unwrap().find_earlier(Path::new("a"), &stat(1)).is_none());
    }
}
