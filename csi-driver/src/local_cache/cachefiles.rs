//! The kernel's device `/dev/cachefiles`: one line per command, and a line of state to read. Whoever has it open is the cache's
//! daemon; there is one, and when it closes the device the cache is unbound. Source: the kernel's
//! Documentation/filesystems/caching/cachefiles.rst, and fs/cachefiles/daemon.c (Linux 6.1).

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use workspacefs_sys::Errno;

/// Where it is.
pub const DEVICE: &str = "/dev/cachefiles";
/// The kernel's own buffer for the line of state has 256 bytes.
const STATE_BYTES_MAX: usize = 512;

/// The device, or what stands in for it in tests.
pub trait Cachefiles {
    /// Gives a command, such as `bind`.
    ///
    /// # Errors
    /// What the kernel says of it: `IO` to every command once the cache has failed.
    fn tell(&mut self, command: &str) -> Result<(), Errno>;

    /// Reads the line of state; empty while nothing is bound.
    ///
    /// # Errors
    /// None are expected.
    fn read(&mut self) -> Result<String, Errno>;

    /// Makes a folder the one that `cull` and `inuse` name an entry of: this process's working directory.
    ///
    /// # Errors
    /// It is no folder any more.
    fn enter(&mut self, folder: BorrowedFd<'_>) -> Result<(), Errno>;
}

/// The device cannot be had.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("another program has the kernel's cache")]
    Busy,
    /// The kernel has no such device.
    #[error("the kernel has no cache of this kind")]
    Missing,
    /// Anything else.
    #[error("the device cannot be opened")]
    Io(#[source] Errno),
}

/// The real one. Dropping it unbinds the cache.
#[derive(Debug)]
pub struct Device(OwnedFd);

impl Device {
    /// Opens it, unless somebody else has.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        match rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(Self(fd)),
            Err(Errno::BUSY) => Err(OpenError::Busy),
            // A node without its driver says the latter two.
            Err(Errno::NOENT | Errno::NODEV | Errno::NXIO) => Err(OpenError::Missing),
            Err(errno) => Err(OpenError::Io(errno)),
        }
    }
}

impl Cachefiles for Device {
    fn tell(&mut self, command: &str) -> Result<(), Errno> {
        rustix::io::write(&self.0, command.as_bytes()).map(drop)
    }

    fn read(&mut self) -> Result<String, Errno> {
        let mut buffer = [0; STATE_BYTES_MAX];
        let length = rustix::io::read(&self.0, &mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    fn enter(&mut self, folder: BorrowedFd<'_>) -> Result<(), Errno> {
        rustix::process::fchdir(folder)
    }
}

/// What the line of state says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct State {
    /// The kernel wants room: files are to be thrown away.
    pub culling: bool,
}

impl State {
    /// Reads a line as `cull=0 frun=… fcull=… …`; None for what is none, as while nothing is bound.
    pub fn parse(line: &str) -> Option<Self> {
        let cull = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("cull="))?;
        match cull {
            "0" => Some(Self { culling: false }),
            "1" => Some(Self { culling: true }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_state_says_whether_room_is_wanted_and_anything_else_says_nothing() {
        let line =
            "cull=1 frun=16a fcull=103 fstop=34 brun=cccc bcull=8f5c bstop=3d70 freleased=0 breleased=0";
        assert_eq!(State::parse(line), Some(State { culling: true }));
        assert_eq!(State::parse(&line.replace("cull=1 ", "cull=0 ")), Some(State { culling: false }));
        // The thresholds' names end alike.
        assert_eq!(State::parse("fcull=1 bcull=1"), None);
        for other in ["", "cull=", "cull=2", "cull", "full=1"] {
            assert_eq!(State::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_told_from_one_that_cannot_be_opened() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Device::open(&folder.path().join("cachefiles")).unwrap_err(), OpenError::Missing);
        assert!(matches!(Device::open(folder.path()).unwrap_err(), OpenError::Io(Errno::ISDIR)));
    }
}
