//! Where a manifest lies: its folder, held by descriptor, and the three names in it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, flock, fstat, fsync, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

/// The folder and the names.
#[derive(Debug)]
pub(super) struct Place {
    folder: OwnedFd,
    manifest: OsString,
    /// The journal.
    partial: OsString,
    /// A manifest that is being written.
    new: OsString,
}

/// How often the journal is opened again because another run has just removed the one that was opened.
const REMOVALS_MAX: usize = 16;

impl Place {
    pub fn of(path: &Path) -> io::Result<Self> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "the manifest's path names no file");
        let manifest = path.file_name().ok_or_else(invalid)?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder, flags, Mode::empty())?;
        let with = |suffix: &str| {
            let mut name = manifest.to_os_string();
            name.push(suffix);
            name
        };
        Ok(Self { folder, manifest: manifest.into(), partial: with(".partial"), new: with(".partial.new") })
    }

    /// The manifest of the last run that was through.
    pub fn manifest(&self) -> io::Result<Option<File>> {
        // NONBLOCK: a FIFO of that name would make us wait for ever.
        match self.open(&self.manifest, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The journal, made if it is not there, for this run alone.
    ///
    /// # Errors
    /// `WOULDBLOCK` while another run has it.
    pub fn journal(&self) -> io::Result<File> {
        for _ in 0..REMOVALS_MAX {
            let file = self.open(&self.partial, OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW)?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            let ours = fstat(&file)?;
            match statat(&self.folder, &self.partial, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(there) if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino) => return Ok(file),
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(Errno::WOULDBLOCK.into())
    }

    /// Begins a new manifest, under a name that nobody reads.
    pub fn new_manifest(&self) -> Result<File, Errno> {
        self.open(&self.new, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW)
    }

    /// Puts the new manifest, all of which is on the disk, in the old one's place, for good.
    pub fn replace(&self) -> Result<(), Errno> {
        renameat(&self.folder, &self.new, &self.folder, &self.manifest)?;
        self.sync()
    }

    /// Removes a new manifest that was not finished.
    pub fn remove_new(&self) -> Result<(), Errno> {
        self.remove(&self.new)
    }

    /// Removes the journal.
    pub fn remove_journal(&self) -> Result<(), Errno> {
        self.remove(&self.partial)?;
        self.sync()
    }

    /// What was made or renamed in the folder is there after a power cut.
    pub fn sync(&self) -> Result<(), Errno> {
        fsync(&self.folder)
    }

    fn open(&self, name: &OsStr, flags: OFlags) -> Result<File, Errno> {
        let mode = Mode::RUSR | Mode::WUSR;
        openat(&self.folder, name, flags | OFlags::CLOEXEC, mode).map(File::from)
    }

    fn remove(&self, name: &OsStr) -> Result<(), Errno> {
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_for_one_run_at_a_time_and_for_the_next_when_it_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::of(&dir.path().join("m")).unwrap();
        let first = place.journal().unwrap();
        assert_eq!(place.journal().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        assert!(place.journal().is_ok());
    }

    #[test]
    fn a_path_that_names_no_file_and_a_folder_that_is_not_there_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        for (path, kind) in [
            (dir.path().join(".."), io::ErrorKind::InvalidInput),
            (dir.path().join("none/m"), io::ErrorKind::NotFound),
        ] {
            assert_eq!(Place::of(&path).unwrap_err().kind(), kind, "{path:?}");
        }
    }
}
