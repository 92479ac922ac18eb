//! `.workspacefs` at the export's root: small JSON records of what we created, the folders that CreateVolume makes, and
//! the trash. Believed only where it is a directory of root's that nobody else may enter: anybody who can write at the
//! export's root could have made another.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, fstat, mkdirat, renameat, unlinkat};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;
use workspacefs_api::RESERVED_FOLDER;
use workspacefs_sys::beneath::{self, Links};

use super::super::ShareError;
use super::resolve::{Folder, Share};
use super::words;

/// No record of ours is longer.
const RECORD_BYTES_MAX: u64 = 64 * 1024;
const PRIVATE: Mode = Mode::RWXU;

/// A directory of ours: `.workspacefs` or one in it.
pub(super) struct Ours(Folder);

/// Opens `.workspacefs`; None if there is none that can be believed.
pub(super) fn open(share: &Share) -> Result<Option<Ours>, ShareError> {
    match existing(share.root()) {
        Ok(ours) => Ok(Some(ours)),
        Err(ShareError::NotFound { .. } | ShareError::Untrusted { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The same, but it is made if it is missing. None where the server does not let us, or is full, or where what is there
/// cannot be believed: then nothing can be recorded on this share, and every folder counts as somebody else's.
pub(super) fn open_or_create(share: &Share) -> Result<Option<Ours>, ShareError> {
    match require(share) {
        Ok(ours) => Ok(Some(ours)),
        Err(ShareError::Squashed { .. } | ShareError::Untrusted { .. } | ShareError::NoSpace { .. }) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The same for what cannot be done without it.
///
/// # Errors
/// [`ShareError::Squashed`] or [`ShareError::Untrusted`] where it cannot be had.
pub(super) fn require(share: &Share) -> Result<Ours, ShareError> {
    require_in(share.root())
}

/// The same in another folder than the export's root.
///
/// # Errors
/// As [`require`].
pub(super) fn require_in(root: &Folder) -> Result<Ours, ShareError> {
    match existing(root) {
        Err(ShareError::NotFound { .. }) => {}
        other => return other,
    }
    let path = root.join(RESERVED_FOLDER);
    match mkdirat(root.fd.as_fd(), RESERVED_FOLDER, PRIVATE) {
        Ok(()) | Err(Errno::EXIST) => existing(root),
        Err(errno @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => Err(squashed("create", path, errno)),
        Err(errno) => Err(words::at("create", &path, errno)),
    }
}

/// What the server answered when it forbade root something.
pub(super) fn squashed(action: &str, path: String, errno: Errno) -> ShareError {
    ShareError::Squashed { action: action.into(), path, reason: words::text(errno) }
}

/// `.workspacefs` in a folder, if it can be believed.
///
/// # Errors
/// [`ShareError::NotFound`], [`ShareError::Untrusted`].
pub(super) fn existing(root: &Folder) -> Result<Ours, ShareError> {
    let path = root.join(RESERVED_FOLDER);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let opened = beneath::open(root.fd.as_fd(), RESERVED_FOLDER, flags, Mode::empty(), Links::Refused);
    let untrusted = ShareError::Untrusted { path: path.clone() };
    match opened {
        // Squashed root cannot even look into a private directory of its own: what is there is not for us.
        Err(Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::PERM) => Err(untrusted),
        Err(errno) => Err(words::at("open", &path, errno)),
        Ok(fd) => {
            let stat = fstat(&fd).map_err(|e| words::at("look at", &path, e))?;
            let ours = stat.st_uid == 0 && stat.st_mode & 0o077 == 0;
            if ours { Ok(Ours(Folder { fd, path })) } else { Err(untrusted) }
        }
    }
}

impl Ours {
    /// Opens the directory `name` in this one, making it first if it is missing.
    pub fn directory(&self, name: &str) -> Result<Self, ShareError> {
        match mkdirat(&self.0.fd, name, PRIVATE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.failed("create", name, errno)),
        }
        self.find(name)?.ok_or(ShareError::NotFound { path: self.0.join(name) })
    }

    /// Opens the directory `name` in this one, if it is there.
    pub fn find(&self, name: &str) -> Result<Option<Self>, ShareError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        match beneath::open(self.0.fd.as_fd(), name, flags, Mode::empty(), Links::Refused) {
            Ok(fd) => Ok(Some(Self(Folder { fd, path: self.0.join(name) }))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed("open", name, errno)),
        }
    }

    /// It as a plain folder.
    pub fn folder(&self) -> &Folder {
        &self.0
    }

    /// The same, for good.
    pub fn into_folder(self) -> Folder {
        self.0
    }

    /// Reads the record `name`: None if it is missing, `Some(None)` if it was never finished.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<Option<T>>, ShareError> {
        let opened = self.open_file(name, OFlags::RDONLY);
        let file = match opened {
            Err(Errno::NOENT) => return Ok(None),
            other => other.map_err(|e| self.failed("open", name, e))?,
        };
        let mut bytes = Vec::new();
        std::fs::File::from(file)
            .take(RECORD_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(|e| self.failed_io("read", name, &e))?;
        Ok(Some(serde_json::from_slice(&bytes).ok()))
    }

    /// Writes the record `name` if there is none yet; false if there is.
    pub fn claim<T: Serialize>(&self, name: &str, record: &T) -> Result<bool, ShareError> {
        match self.open_file(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL) {
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(self.failed("create", name, errno)),
            Ok(file) => self.write(file, name, record).map(|()| true),
        }
    }

    /// Replaces the record `name` so that readers see the old one or the new one.
    pub fn replace<T: Serialize>(&self, name: &str, record: &T) -> Result<(), ShareError> {
        let temporary = format!("{name}.{}.tmp", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        let file = self.open_file(&temporary, flags).map_err(|e| self.failed("create", &temporary, e))?;
        self.write(file, &temporary, record)?;
        renameat(&self.0.fd, &temporary, &self.0.fd, name).map_err(|e| self.failed("rename", &temporary, e))
    }

    /// Removes the record `name`; none is fine.
    pub fn remove(&self, name: &str) -> Result<(), ShareError> {
        match unlinkat(&self.0.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.failed("remove", name, errno)),
        }
    }

    /// An error about something in it.
    pub fn failed(&self, action: &str, name: &str, errno: Errno) -> ShareError {
        words::at(action, &self.0.join(name), errno)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let mode = if flags.contains(OFlags::CREATE) { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
        beneath::open(self.0.fd.as_fd(), name, flags, mode, Links::Refused)
    }

    fn write<T: Serialize>(&self, file: OwnedFd, name: &str, record: &T) -> Result<(), ShareError> {
        let bytes = serde_json::to_vec(record).map_err(|e| self.failed_io("write", name, &e.into()))?;
        let mut file = std::fs::File::from(file);
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(|e| self.failed_io("write", name, &e))
    }

    fn failed_io(&self, action: &str, name: &str, error: &std::io::Error) -> ShareError {
        self.failed(action, name, Errno::from_io_error(error).unwrap_or(Errno::IO))
    }
}
