//! Small records of this process, as JSON files in its own folder: written beside and renamed, so that one is whole or is not
//! there.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, OFlags, fsync, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::root::refused_by;

/// A record is some hundred bytes and a path; one of an import has a thousand keys in it, which are long where each byte is escaped.
const BYTES_MAX: u64 = 8 << 20;

/// Writes one, in the place of what it was.
///
/// # Errors
/// [`Error`]; what was there is as it was.
pub fn write(folder: BorrowedFd<'_>, name: &str, record: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_vec(record).map_err(|_| Error::of("write a record", Errno::INVAL))?;
    let new = format!("{name}.new");
    let refused = |errno| refused_by("the folder of records", "write a record", errno, folder);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(folder, new.as_str(), flags, Mode::RUSR | Mode::WUSR);
    let mut file = File::from(file.map_err(refused)?);
    let written = file.write_all(&text).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
    written
        .and_then(|()| fsync(&file))
        .and_then(|()| renameat(folder, new.as_str(), folder, name))
        .map_err(refused)
        .inspect_err(|_| {
            // The first error is the one that explains.
            let _ = unlinkat(folder, new.as_str(), AtFlags::empty());
        })
}

/// Reads one.
///
/// # Errors
/// [`Error`]; `NotFound` where there is none.
pub fn read<T: DeserializeOwned>(folder: BorrowedFd<'_>, name: &str) -> Result<T, Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty()).map_err(Error::at("read a record"))?;
    let mut text = Vec::new();
    let read = File::from(file).take(BYTES_MAX).read_to_end(&mut text);
    read.map_err(|_| Error::of("read a record", Errno::IO))?;
    serde_json::from_slice(&text).map_err(|_| Error::of("read a record", Errno::INVAL))
}
