//! What the kernel knows of a file, and how that is told: entries, ETags, times.

use std::os::fd::{AsFd, BorrowedFd};

use jiff::Timestamp;
use rustix::fs::{AtFlags, FileType, Stat, fstat, statat};
use rustix::io::Errno;
use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::types::{Entry, EntryType};

const MODE_BITS: u32 = 0o7777;
const NS_PER_S: i128 = 1_000_000_000;

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Facts {
    /// The mount's device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// What it is.
    pub kind: EntryType,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Time of the content's last change, nanoseconds since 1970.
    pub modified: i128,
    /// Time of the inode's last change, nanoseconds since 1970.
    pub changed: i128,
}

impl From<Stat> for Facts {
    fn from(stat: Stat) -> Self {
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            kind: match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => EntryType::File,
                FileType::Directory => EntryType::Dir,
                FileType::Symlink => EntryType::Symlink,
                _ => EntryType::Other,
            },
            mode: stat.st_mode & MODE_BITS,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: i128::from(stat.st_mtime) * NS_PER_S + i128::from(stat.st_mtime_nsec),
            changed: i128::from(stat.st_ctime) * NS_PER_S + i128::from(stat.st_ctime_nsec),
        }
    }
}

impl Facts {
    /// Of an open file, also one opened as O_PATH.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn of(file: impl AsFd) -> Result<Self, Errno> {
        fstat(file).map(Self::from)
    }

    /// Of a name itself: a link is not followed.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn at(folder: BorrowedFd<'_>, name: &[u8]) -> Result<Self, Errno> {
        statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map(Self::from)
    }

    /// The strong entity tag, with its quotes: whatever changes the file changes its ctime.
    pub fn etag(&self) -> String {
        format!("\"{:x}-{:x}-{:x}-{:x}\"", self.ino, self.size, self.modified, self.changed)
    }

    /// As JSON has it.
    pub fn entry(&self, path: &FilePath) -> Entry {
        let name = path.split().map_or(&b""[..], |(_, name)| name);
        Entry {
            name: String::from_utf8_lossy(name).into_owned(),
            path: path.encode(),
            kind: self.kind,
            size: self.size,
            modified: rfc3339(self.modified),
            mode: format!("{:04o}", self.mode),
            uid: self.uid,
            gid: self.gid,
            etag: self.etag(),
        }
    }
}

/// A time, nanoseconds since 1970, as JSON has it. What no calendar has is told as the nearest that it has.
pub fn rfc3339(nanoseconds: i128) -> String {
    let time = Timestamp::from_nanosecond(nanoseconds).unwrap_or(if nanoseconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    });
    format!("{time:.9}")
}

/// The time that a text says, in nanoseconds since 1970.
pub fn parse_rfc3339(text: &str) -> Option<i128> {
    text.parse::<Timestamp>().ok().map(|time| time.as_nanosecond())
}

/// Now, in nanoseconds since 1970.
pub fn now() -> i128 {
    Timestamp::now().as_nanosecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_nanoseconds_there_and_back() {
        let text = "2026-11-27T23:00:00.000000001Z";
        assert_eq!(rfc3339(parse_rfc3339(text).unwrap()), text);
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(parse_rfc3339("2026-11-28T00:00:00.000000001+01:00"), parse_rfc3339(text));
        assert_eq!(parse_rfc3339("yesterday"), None);
        assert!(rfc3339(i128::MAX).starts_with("9999-"));
    }
}
