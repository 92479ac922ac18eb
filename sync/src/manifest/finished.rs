//! What a finished manifest says, to be asked only.

use std::io;
use std::path::Path;

use super::earlier::Earlier;
use super::known::Key;
use crate::time::Time;

/// See the module.
#[derive(Debug)]
pub(crate) struct Finished(Earlier);

impl Finished {
    /// Where `checksum` is set, only files with a digest are known.
    ///
    /// # Errors
    /// As [`super::Journal::open`] of an earlier manifest.
    pub fn open(path: &Path, checksum: bool) -> io::Result<Self> {
        Earlier::open(path, Key::fresh(), checksum).map(Self)
    }

    /// Whether just this stands there.
    pub fn knows(&self, path: &Path, size: u64, mtime: Time, ctime: Time) -> bool {
        self.0.find(path, size, mtime, ctime).is_some()
    }
}
