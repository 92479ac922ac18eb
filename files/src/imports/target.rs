//! Where imported files go: the file system as everybody else's files go there, whole and beneath its root.

use std::fs::File;
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};

use md5::Digest as _;
use workspacefs_files_proto::FilePath;

use crate::error::Error;
use crate::facts::Facts;
use crate::room;
use crate::root::Root;
use crate::watched::Watched;
use crate::write::{NewFile, Placing};

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
        self.file.place(&Placing { modified: Some(modified), ..Placing::new(path) }).map(drop)
    }

    /// The same for one that is on the disk.
    ///
    /// # Errors
    /// As [`Writing::place`].
    pub fn place_settled(self, path: FilePath, modified: i128) -> Result<(), Error> {
        self.file.place_settled(&Placing { modified: Some(modified), ..Placing::new(path) })
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
