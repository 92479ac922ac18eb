//! For copies that others make than [`crate::sync`], of sources that are no directories: the same manifest and journal, and the
//! same reading back and counting. What such a recorder wrote is verified by [`crate::verify`] and gone on with by the next one.

use std::cell::RefCell;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::syncfs;
use rustix::io::Errno;

use crate::confirm::{Confirmed, confirmed};
use crate::manifest::{Entry, Journal, Ordinal};
use crate::progress::{Control, Place, What};
use crate::report::Stop;
use crate::time::Time;
use crate::verify::{Verify, Wrong, verify_entries};

/// What a destination holds, written down as it is made. Shared by all threads that make it.
#[derive(Debug)]
pub struct Recorder(Journal);

/// One version of a file's content in such a source. A file whose size, time and mark are the same is the same file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Version {
    /// Bytes.
    pub size: u64,
    /// When it was modified last, by the source's word.
    pub modified: Time,
    /// Whatever else tells versions apart, such as a digest of an ETag. It stands in the manifest where a file of a directory has
    /// its ctime, which has the same use: it is only ever compared.
    pub mark: u64,
}

/// What an earlier copy's manifest says of a file.
#[derive(Clone, Copy, Debug)]
pub struct Said(Ordinal);

/// Counts into a [`Control`] for those who watch it. The run begins with it and is over when it is dropped.
#[derive(Debug)]
pub struct Counting(Control);

/// What became of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Counted {
    /// It is in the source.
    Found,
    /// It was copied.
    Done,
    /// It was there already, or was linked from an earlier copy.
    Unchanged,
    /// It could not be copied.
    Failed,
}

impl Version {
    fn mark(&self) -> Time {
        Time { seconds: self.mark.cast_signed(), nanoseconds: 0 }
    }
}

impl Recorder {
    /// Takes what earlier runs wrote about this manifest, and goes on with their journal. Where `checksum` is set, only files with
    /// a digest are known. `earlier`: the manifest of an earlier copy.
    ///
    /// # Errors
    /// `WouldBlock` while another run has it; `NotFound` if there is no earlier manifest of that name; `InvalidData` for a file
    /// that is no manifest, or a later version's.
    pub fn open(manifest: &Path, checksum: bool, earlier: Option<&Path>) -> io::Result<Self> {
        Journal::open(manifest, checksum, earlier).map(|journal| Self(journal.commit_often()))
    }

    /// Whether an earlier run wrote down just this version. If so, it will stand in the manifest: ask when the file has been found
    /// in the destination.
    pub fn knows(&self, path: &Path, version: &Version) -> bool {
        self.0.knows(path, version.size, version.modified, version.mark())
    }

    /// What the earlier copy's manifest says, if it is of just this version.
    pub fn find_earlier(&self, path: &Path, version: &Version) -> Option<Said> {
        self.0.find_earlier_as(path, version.size, version.modified, version.mark()).map(Said)
    }

    /// A file of the earlier copy has its final name in the destination.
    pub fn take_over(&self, said: Said) {
        self.0.take_over(said.0);
    }

    /// A file has its final name in the destination. It is written down with the next commit.
    pub fn add(&self, path: &Path, version: &Version, digest: Option<[u8; 32]>) {
        let (mtime, ctime) = (version.modified, version.mark());
        self.0.add(Entry { path: path.to_owned(), size: version.size, mtime, ctime, digest });
    }

    /// Whether it is time for a commit.
    pub fn is_due(&self) -> bool {
        self.0.is_due()
    }

    /// Makes the file system of `destination` safe from a power cut, reads back what was added until now, and writes down what
    /// is as it was written. Gives back the rest.
    ///
    /// # Errors
    /// Why nothing can be written from now on.
    pub fn commit(&self, destination: BorrowedFd<'_>, mode: Verify) -> Result<Vec<Wrong>, Stop> {
        let (wrong, stop) = (RefCell::new(Vec::new()), RefCell::new(None));
        let confirm = |entries: Vec<Entry>| {
            let said = verify_entries(destination, &entries, mode);
            let Confirmed { good, bad } = confirmed(entries, said).map_err(|why| {
                stop.replace(Some(why));
                Errno::CANCELED
            })?;
            let bad = bad.into_iter().map(|(entry, what)| Wrong { path: entry.path, what });
            wrong.borrow_mut().extend(bad);
            Ok(good)
        };
        let committed = self.0.commit(|| syncfs(destination), Some(&confirm));
        committed.map_err(|errno| stop.into_inner().unwrap_or(Stop::Manifest(errno)))?;
        Ok(wrong.into_inner())
    }

    /// Writes the manifest anew, with one entry for each file that was known and asked for, taken over, or added and committed.
    ///
    /// # Errors
    /// What the kernel says; `INVAL` if something was not committed.
    pub fn complete(self) -> Result<(), Errno> {
        self.0.complete()
    }
}

impl Counting {
    /// Begins the run.
    pub fn of(control: &Control) -> Self {
        control.begin(0);
        Self(control.clone())
    }

    /// Whether the run is to end.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Counts a file of so many bytes.
    pub fn file(&self, as_what: Counted, bytes: u64) {
        let place = match as_what {
            Counted::Found => Place::Found,
            Counted::Done => Place::Done,
            Counted::Unchanged => Place::Unchanged,
            Counted::Failed => Place::Failed,
        };
        self.0.count(What::File, place, bytes);
    }

    /// So many bytes were read from the source.
    pub fn read(&self, bytes: u64) {
        self.0.read(bytes);
    }

    /// All files have been found.
    pub fn listed(&self) {
        self.0.listed();
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::{Difference, verify};

    fn version(mark: u8) -> Version {
        Version { size: 1, modified: Time { seconds: 5, nanoseconds: 0 }, mark: u64::MAX - u64::from(mark) }
    }

    #[test]
    fn only_the_version_that_was_written_down_is_known_and_the_file_is_verified_by_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let root = std::fs::File::open(&data).unwrap();
        let manifest = dir.path().join("manifest");
        let digest = |content: &[u8]| Some(*blake3::hash(content).as_bytes());
        for name in ["a", "b", "c"] {
            std::fs::write(data.join(name), name).unwrap();
        }
        let commit = |recorder: &Recorder| recorder.commit(root.as_fd(), Verify::Checksum).unwrap();
        let recorder = Recorder::open(&manifest, true, None).unwrap();
        recorder.add(Path::new("a"), &version(0xff), digest(b"a"));
        assert!(commit(&recorder).is_empty());
        // Cut here: the next one goes on.
        drop(recorder);
        let recorder = Recorder::open(&manifest, true, None).unwrap();
        assert!(recorder.knows(Path::new("a"), &version(0xff)));
        assert!(
            !recorder.knows(Path::new("a"), &version(0xfe))
                && !recorder.knows(Path::new("b"), &version(0xff))
        );
        recorder.add(Path::new("b"), &version(1), digest(b"other"));
        recorder.add(Path::new("c"), &version(1), digest(b"c"));
        let wrong = commit(&recorder);
        assert_eq!(
            wrong,
            [Wrong { path: "b".into(), what: Difference::Content }],
            "and it is not vouched for"
        );
        recorder.complete().unwrap();
        std::fs::write(data.join("c"), "d").unwrap();
        let report = verify(root.as_fd(), &manifest, Verify::Checksum, None, &Control::new()).unwrap();
        assert_eq!((report.checked.files, report.wrong.len()), (2, 1));
        assert_eq!(report.wrong[0].path, Path::new("c"));
    }

    #[test]
    fn what_is_taken_over_from_an_earlier_copy_stands_in_the_manifest_and_the_rest_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
        let recorder = Recorder::open(&first, false, None).unwrap();
        for name in ["a", "b"] {
            std::fs::write(dir.path().join(name), name).unwrap();
            recorder.add(Path::new(name), &version(1), None);
        }
        assert!(recorder.commit(root.as_fd(), Verify::Size).unwrap().is_empty());
        recorder.complete().unwrap();
        let recorder = Recorder::open(&second, false, Some(&first)).unwrap();
        assert!(recorder.find_earlier(Path::new("a"), &version(2)).is_none());
        recorder.take_over(recorder.find_earlier(Path::new("a"), &version(1)).unwrap());
        assert!(recorder.commit(root.as_fd(), Verify::Size).unwrap().is_empty());
        recorder.complete().unwrap();
        let entries = crate::ManifestReader::open(&second).unwrap().map(|entry| entry.unwrap().path);
        assert_eq!(entries.collect::<Vec<_>>(), [Path::new("a")]);
    }
}
