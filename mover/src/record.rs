//! What is written down on the target beside the data: when a generation was begun, and what came of its paths.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags, fsync, openat, renameat};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use workspacefs_api::Verify;
use workspacefs_api::mover::PathOutcome;

use crate::abort::errno;

/// Of a generation that is being filled: what the next run has to hold on to.
pub(crate) const BEGINNING: &str = "filling.json";
/// Of a whole generation.
pub(crate) const RECORD: &str = "paths.json";

/// Content of [`BEGINNING`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Beginning {
    /// When the source began to be read: seconds since 1970, UTC.
    pub as_of: i64,
    /// The generation that files are linked from.
    pub earlier: Option<i64>,
    /// What the source is known by. Movers of old did not write it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

/// Content of [`RECORD`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// As [`Beginning::as_of`].
    pub as_of: i64,
    /// What made it count as verified.
    pub verify: Verify,
    /// As [`Beginning::identity`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// In the order of the spec, which numbers the manifests.
    pub paths: Vec<Recorded>,
}

/// One path.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Recorded {
    /// As the spec has it.
    pub path: String,
    #[serde(flatten)]
    pub outcome: PathOutcome,
}

impl Record {
    pub fn outcomes(&self) -> Vec<PathOutcome> {
        self.paths.iter().map(|recorded| recorded.outcome.clone()).collect()
    }

    /// Whether it may be of that source: the operator says of which a generation is whose record does not.
    pub fn may_be_of(&self, identity: Option<&str>) -> bool {
        self.identity.is_none() || self.identity.as_deref() == identity
    }
}

/// Reads it; none if it is not there.
///
/// # Errors
/// What the kernel says; `BADMSG` for what we did not write.
pub(crate) fn read<T: DeserializeOwned>(folder: BorrowedFd<'_>, name: &str) -> Result<Option<T>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = match openat(folder, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| errno(&error))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|_| Errno::BADMSG)
}

/// Writes it so that a power cut or a kill leaves the old one or the new one.
///
/// # Errors
/// What the kernel says.
pub(crate) fn write(folder: BorrowedFd<'_>, name: &str, value: &impl Serialize) -> Result<(), Errno> {
    let new = format!("{name}.new");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(folder, new.as_str(), flags, Mode::RUSR | Mode::WUSR)?);
    let written = serde_json::to_vec(value).map_err(io::Error::from).and_then(|bytes| file.write_all(&bytes));
    written.map_err(|error| errno(&error))?;
    fsync(file.as_fd())?;
    renameat(folder, new.as_str(), folder, name)?;
    fsync(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_we_did_not_write_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let folder = File::open(dir.path()).unwrap();
        let read = || read::<Beginning>(folder.as_fd(), BEGINNING);
        assert_eq!(read(), Ok(None));
        for as_of in [5, 6] {
            let beginning = Beginning { as_of, earlier: Some(3), identity: Some("s".into()) };
            write(folder.as_fd(), BEGINNING, &beginning).unwrap();
            assert_eq!(read(), Ok(Some(beginning)));
        }
        std::fs::write(dir.path().join(BEGINNING), "{").unwrap();
        assert_eq!(read(), Err(Errno::BADMSG));
    }
}
