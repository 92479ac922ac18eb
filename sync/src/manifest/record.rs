//! One entry as bytes, and the paths that may be in one.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::digest::Digest;
use crate::time::Time;

/// A tree can be deeper than any path that the kernel takes at once; this deep none is.
pub(super) const PATH_LEN_MAX: usize = 4 << 20;

/// The most that one entry takes: its path and less than this.
pub(super) const RECORD_LEN_MAX: usize = PATH_LEN_MAX + 128;

/// [`Entry`] as it is written.
#[derive(Debug, Deserialize, Serialize)]
struct Record<'a> {
    path: &'a [u8],
    size: u64,
    mtime: Time,
    ctime: Time,
    digest: Option<Digest>,
}

/// Why bytes are no entry.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum RecordError {
    Malformed,
    Path(PathBuf),
}

/// # Errors
/// `NAMETOOLONG`; `INVAL` for what is no path beneath a root.
pub(super) fn encode(entry: &Entry) -> Result<Vec<u8>, Errno> {
    let path = entry.path.as_os_str().as_bytes();
    if path.len() > PATH_LEN_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    if !is_beneath(path) {
        return Err(Errno::INVAL);
    }
    let Entry { size, mtime, ctime, digest, .. } = *entry;
    postcard::to_stdvec(&Record { path, size, mtime, ctime, digest }).map_err(|_| Errno::INVAL)
}

/// The entry that the bytes begin with, and how many are its.
pub(super) fn decode(bytes: &[u8]) -> Result<(Entry, usize), RecordError> {
    let (record, rest): (Record<'_>, &[u8]) =
        postcard::take_from_bytes(bytes).map_err(|_| RecordError::Malformed)?;
    let path = PathBuf::from(OsStr::from_bytes(record.path));
    if !is_beneath(record.path) {
        return Err(RecordError::Path(path));
    }
    let Record { size, mtime, ctime, digest, .. } = record;
    Ok((Entry { path, size, mtime, ctime, digest }, bytes.len() - rest.len()))
}

/// Whether a path names something below a root, in the one way in which it can be written.
fn is_beneath(path: &[u8]) -> bool {
    let is_name = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
    path.len() <= PATH_LEN_MAX && path.split(|byte| *byte == b'/').all(is_name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(path: &[u8]) -> Entry {
        let time = |seconds| Time { seconds, nanoseconds: 999_999_999 };
        let path = PathBuf::from(OsStr::from_bytes(path));
        Entry { path, size: u64::MAX, mtime: time(i64::MIN), ctime: time(i64::MAX), digest: Some([7; 32]) }
    }

    #[test]
    fn only_paths_beneath_a_root_are_written_and_read() {
        for good in [&b"a"[..], b"a/b", b"...", b"a/..b", b".a", b"\xff\n\\", b" "] {
            assert!(is_beneath(good) && encode(&entry(good)).is_ok(), "{good:?}");
        }
        for bad in [&b""[..], b"/", b"/a", b"a/", b"a//b", b".", b"..", b"a/../b", b"./a", b"a/.", b"a\0b"] {
            assert!(!is_beneath(bad), "{bad:?}");
            assert_eq!(encode(&entry(bad)), Err(Errno::INVAL), "{bad:?}");
            let bytes = postcard::to_stdvec(&Record {
                path: bad,
                size: 0,
                mtime: Time::default(),
                ctime: Time::default(),
                digest: None,
            });
            let path = PathBuf::from(OsStr::from_bytes(bad));
            assert_eq!(decode(&bytes.unwrap()), Err(RecordError::Path(path)), "{bad:?}");
        }
        assert_eq!(encode(&entry(&vec![b'a'; PATH_LEN_MAX + 1])), Err(Errno::NAMETOOLONG));
        let longest = encode(&entry(&vec![b'a'; PATH_LEN_MAX])).unwrap();
        assert!(longest.len() <= RECORD_LEN_MAX, "{}", longest.len());
    }

    proptest! {
        #[test]
        fn an_entry_is_read_as_it_was_written_and_leaves_what_follows(
            path in "[^/\0]{1,20}(/[^/\0.]{1,20}){0,3}",
            (size, mtime, ctime) in any::<(u64, (i64, u32), (i64, u32))>(),
            digest in any::<Option<Digest>>(),
            rest in any::<Vec<u8>>(),
        ) {
            prop_assume!(path.split('/').all(|name| name != "." && name != ".."));
            let time = |(seconds, nanoseconds)| Time { seconds, nanoseconds };
            let entry = Entry { path: path.into(), size, mtime: time(mtime), ctime: time(ctime), digest };
            let mut bytes = encode(&entry).unwrap();
            let length = bytes.len();
            bytes.extend(rest);
            prop_assert_eq!(decode(&bytes), Ok((entry, length)));
        }
    }
}
