//! Where imported files go: the file system as everybody else's files go there, whole and beneath its root.

use std::fs::File;
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};

use md5::Digest as _;
use workspacefs_files_proto::FilePath;

use crate::error::Error;
use crate::facts::Facts;
use crate::placing::Placing;
use crate::room;
use crate::root::Root;
use crate::watched::Watched;
use crate::write::NewFile;

/// What is read of a file at once, bytes.
const READ_BYTES: usize = 256 << 10;

/// For at least so many bytes room is made at once: to ask how much there is takes a server's time too.
const ROOM_BYTES: u64 = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Target {
    root: Arc<Root>,
    /// Bytes that room was made for and that nobody has taken yet.
    room: Mutex<u64>,
}

/// A file under construction, written from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Writing {
    file: NewFile,
    written: u64,
}

/// A file that is there.
#[derive(Debug)]
pub(crate) struct Found {
    file: File,
    facts: Facts,
}

impl Target {
    pub fn new(root: Arc<Root>) -> Self {
        Self { root, room: Mutex::new(0) }
    }

    /// Whether files can go into a folder of this path: it is one, or it is not there.
    ///
    /// # Errors
    /// [`Error`].
    pub fn check(&self, path: &FilePath) -> Result<(), Error> {
        match self.root.folder(path) {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes a folder with those above it. False: it is there.
    ///
    /// # Errors
    /// [`Error`].
    pub fn folder(&self, path: &FilePath) -> Result<bool, Error> {
        match self.root.folder(path) {
            Ok(_) => Ok(false),
            Err(Error::NotFound) => self.root.folder_made(path).map(|_| true),
            Err(error) => Err(error),
        }
    }

    /// The file that has this path.
    ///
    /// # Errors
    /// [`Error`]; none where there is nothing that could be read.
    pub fn find(&self, path: &FilePath) -> Result<Option<Found>, Error> {
        match self.root.file(path) {
            Ok((file, facts)) => Ok(Some(Found { file: file.into(), facts })),
            Err(Error::NotFound | Error::IsDirectory | Error::NotDirectory | Error::NotRegular) => Ok(None),
            Err(Error::Denied { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A file that will have so many bytes. What was deleted gives way to it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn begin(&self, size: u64) -> Result<Writing, Error> {
        self.make_room(size)?;
        NewFile::create(&self.root).map(|file| Writing { file: file.expecting(size), written: 0 })
    }
}

impl Target {
    /// From now on, what is written to the file system and cannot be kept is remembered.
    ///
    /// # Errors
    /// [`Error`].
    pub fn watched(&self) -> Result<Watched, Error> {
        Watched::new(&self.root)
    }

    /// Puts on the disk all that was written, and makes room for another try of so many bytes where there was too little: over NFS
    /// and under a quota only this says so of small files.
    ///
    /// # Errors
    /// [`Error`], `Quota` and `MadeRoom` where the file system is full.
    pub fn settle(&self, watched: &Watched, bytes: u64) -> Result<(), Error> {
        watched.settle(&self.root, bytes)
    }

    fn make_room(&self, size: u64) -> Result<(), Error> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if *room < size {
            let more = size.max(ROOM_BYTES);
            room::make_room(&self.root, more)?;
            *room = more;
        }
        *room -= size;
        Ok(())
    }
}

impl Writing {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// [`Error`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_at(bytes, self.written)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Makes sure that the server takes it; that it is on the disk too, [`Watched::settle`] says.
    ///
    /// # Errors
    /// [`Error`].
    pub fn deliver(&self) -> Result<(), Error> {
        self.file.deliver()
    }

    /// Puts it on the disk, and gives it its time and its name, in the place of a file that has it.
    ///
    /// # Errors
    /// [`Error`]; then what was there is there still.
    pub fn place(self, path: FilePath, modified: i128) -> Result<(), Error> {
        self.file.place(&Placing { modified: Some(modified), ..Placing::new(path) })?;
        self.file.close();
        Ok(())
    }

    /// The same for one that is on the disk.
    ///
    /// # Errors
    /// As [`Writing::place`].
    pub fn place_settled(self, path: FilePath, modified: i128) -> Result<(), Error> {
        self.file.place_settled(&Placing { modified: Some(modified), ..Placing::new(path) })?;
        self.file.close();
        Ok(())
    }
}

impl Found {
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether its content has this digest; false too if it is to stop.
    ///
    /// # Errors
    /// Of the file system.
    pub fn has_md5(mut self, digest: &[u8; 16], is_to_stop: &dyn Fn() -> bool) -> Result<bool, Error> {
        let mut hasher = md5::Md5::new();
        let mut buffer =
            vec![0; READ_BYTES.min(usize::try_from(self.facts.size).unwrap_or(READ_BYTES).max(1))];
        while !is_to_stop() {
            let read = self.file.read(&mut buffer).map_err(|error| {
                let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO);
                Error::of("read a file that is there", errno)
            })?;
            if read == 0 {
                return Ok(hasher.finalize().as_slice() == digest);
            }
            hasher.update(buffer.get(..read).unwrap_or_default());
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;
    use crate::disk::{Call, faults};
    use crate::root::Owner;
    use crate::trash;

    #[test]
    fn a_sync_of_many_files_that_meets_the_quota_makes_room_for_all_of_them_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(dir.path(), Owner { uid: 0, gid: 0, mode: 0o755 }).unwrap());
        for name in ["a", "b", "c"] {
            std::fs::write(dir.path().join(name), "8 bytes.").unwrap();
            trash::put(&root, &FilePath::decode(name).unwrap(), false, "jane").unwrap();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let target = Target::new(Arc::clone(&root));
        let watched = target.watched().unwrap();
        let left = || trash::usage(&root).unwrap().0.entries;
        faults::after(Call::SettleAll, 0, Errno::DQUOT);
        assert_eq!(target.settle(&watched, 12), Err(Error::MadeRoom));
        assert_eq!(left(), 1, "as much as the files have, oldest first");
        faults::after(Call::SettleAll, 0, Errno::IO);
        assert!(matches!(target.settle(&watched, 1), Err(Error::System { .. })));
        faults::after(Call::SettleAll, 0, Errno::DQUOT);
        assert_eq!(target.settle(&watched, u64::MAX), Err(Error::Quota), "more than there could be");
        assert_eq!((left(), target.settle(&watched, 1)), (1, Ok(())));
    }
}
