//! This machine's side of a transfer. Below the folder that the user named nothing is reached but through descriptors, and no
//! symbolic link is followed: names that a server sends lead nowhere else.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, SeekFrom, Stat, openat2, statat};
use rustix::io::Errno;
use thiserror::Error;

/// The kernel takes no longer path at once.
const PATH_BYTES_MAX: usize = 3500;
/// How often a resolution is repeated that raced with a rename.
const RACES_MAX: usize = 128;
/// Nothing but what lies beneath, and no links.
const RULES: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_SYMLINKS);

/// What the kernel refused.
#[derive(Debug, Error)]
#[error("cannot {step}")]
pub struct LocalError {
    /// What was tried.
    pub step: &'static str,
    /// Its answer.
    #[source]
    pub errno: Errno,
}

impl LocalError {
    /// At a step.
    pub fn at(step: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self { step, errno }
    }

    /// Of what the standard library did.
    pub fn of(step: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |error| Self { step, errno: Errno::from_io_error(&error).unwrap_or(Errno::IO) }
    }
}

/// A name in a folder, and what it stands for.
pub struct Found {
    /// Any bytes.
    pub name: Vec<u8>,
    /// Not followed.
    pub stat: Stat,
}

/// Opens `names` below `root`; without names the root itself.
///
/// # Errors
/// `LOOP` where one of them is a symbolic link, and whatever open(2) answers.
pub fn open(root: BorrowedFd<'_>, names: &[Vec<u8>], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let mut above: Option<OwnedFd> = None;
    let mut rest = names;
    loop {
        let mut taken = 0;
        let mut path = Vec::new();
        while let Some(name) = rest.get(taken) {
            if !path.is_empty() && path.len() + name.len() >= PATH_BYTES_MAX {
                break;
            }
            if taken > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            taken += 1;
        }
        if path.is_empty() {
            path.push(b'.');
        }
        rest = &rest[taken..];
        let from = above.as_ref().map_or(root, |folder| folder.as_fd());
        if rest.is_empty() {
            return resolve(from, &path, flags, mode);
        }
        above = Some(resolve(from, &path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?);
    }
}

fn resolve(root: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let mut result = Err(Errno::AGAIN);
    for _ in 0..RACES_MAX {
        result = openat2(root, path, flags | OFlags::CLOEXEC, mode, RULES);
        if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    result
}

/// A folder below `root`, to open in, to make in, to rename in.
///
/// # Errors
/// As [`open`].
pub fn folder(root: BorrowedFd<'_>, names: &[Vec<u8>]) -> Result<OwnedFd, Errno> {
    open(root, names, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
}

/// All that a folder holds.
///
/// # Errors
/// It cannot be read.
pub fn read(root: BorrowedFd<'_>, names: &[Vec<u8>]) -> Result<Vec<Found>, LocalError> {
    let fd = folder(root, names).map_err(LocalError::at("open the folder"))?;
    let entries = Dir::read_from(&fd).map_err(LocalError::at("read the folder"))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(LocalError::at("read the folder"))?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        match statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => found.push(Found { name: name.to_vec(), stat }),
            // It has gone since.
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(LocalError { step: "look at what the folder holds", errno }),
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Makes a folder below `root`, or finds it there; its owner may work in it.
///
/// # Errors
/// Something else is in the way, or it cannot be made.
pub fn make_folder(root: BorrowedFd<'_>, names: &[Vec<u8>], mode: u32) -> Result<(), LocalError> {
    let Some((name, above)) = names.split_last() else { return Ok(()) };
    let parent = folder(root, above).map_err(LocalError::at("open the folder above"))?;
    let mode = Mode::from_raw_mode(mode & 0o777 | 0o700);
    match rustix::fs::mkdirat(&parent, name.as_slice(), mode) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => {
            let found = folder(parent.as_fd(), std::slice::from_ref(name));
            found.map(drop).map_err(LocalError::at("make the folder: something else is in its place"))
        }
        Err(errno) => Err(LocalError { step: "make the folder", errno }),
    }
}

/// When it was changed, as the contract tells it.
pub fn modified(stat: &Stat) -> jiff::Timestamp {
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    let (seconds, nanoseconds) = (stat.st_mtime as i64, stat.st_mtime_nsec as i32);
    jiff::Timestamp::new(seconds, nanoseconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// Of a regular file.
pub fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// What it is.
pub fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Bytes of a file from `offset` on: `length`, or fewer at its end. A hole costs no reading.
///
/// # Errors
/// It cannot be read.
pub fn piece(file: &File, offset: u64, length: usize) -> Result<Bytes, LocalError> {
    let end = offset + length as u64;
    let data = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data.min(end),
        // Nothing but a hole to its end; or it ends before.
        Err(Errno::NXIO) => end,
        Err(_) => offset,
    };
    let size = file.metadata().map_err(LocalError::of("look at the file"))?.len();
    let mut bytes = BytesMut::zeroed(usize::try_from(end.min(size).saturating_sub(offset)).unwrap_or(length));
    let mut filled = usize::try_from(data - offset).unwrap_or(length).min(bytes.len());
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(LocalError::of("read the file")(error)),
        }
    }
    bytes.truncate(filled);
    Ok(bytes.freeze())
}

/// Writes bytes at `offset`; blocks of zeros stay holes in a file that had nothing there.
///
/// # Errors
/// It cannot be written.
pub fn write(file: &File, offset: u64, bytes: &[u8]) -> Result<(), LocalError> {
    const BLOCK: usize = 4096;
    let mut at = 0;
    while at < bytes.len() {
        let to_border = BLOCK - usize::try_from((offset + at as u64) % BLOCK as u64).unwrap_or(0);
        let mut end = (at + to_border).min(bytes.len());
        if is_zero(&bytes[at..end]) {
            at = end;
            continue;
        }
        // As much as is not zero, in one call.
        while end < bytes.len() {
            let next = (end + BLOCK).min(bytes.len());
            if is_zero(&bytes[end..next]) {
                break;
            }
            end = next;
        }
        file.write_all_at(&bytes[at..end], offset + at as u64).map_err(LocalError::of("write the file"))?;
        at = end;
    }
    Ok(())
}

/// The first is, and each other one is as the one before it: one comparison, quick in every build.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0) && bytes[1..] == bytes[..bytes.len() - 1]
}

/// Names as a path, to be shown.
pub fn shown(names: &[Vec<u8>]) -> PathBuf {
    Path::new(OsStr::from_bytes(&names.join(&b'/'))).to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn names(path: &str) -> Vec<Vec<u8>> {
        path.split('/').filter(|name| !name.is_empty()).map(|name| name.as_bytes().to_vec()).collect()
    }

    #[test]
    fn no_link_leads_out_and_no_depth_is_too_deep() {
        let dir = tempfile::tempdir().unwrap();
        let root = File::open(dir.path()).unwrap();
        symlink("/etc", dir.path().join("out")).unwrap();
        assert_eq!(folder(root.as_fd(), &names("out")).unwrap_err(), Errno::LOOP);
        assert!(make_folder(root.as_fd(), &names("out"), 0o755).is_err());
        assert!(make_folder(root.as_fd(), &names("out/x"), 0o755).is_err());
        let mut deep = Vec::new();
        for _ in 0..60 {
            deep.push(vec![b'd'; 200]);
            make_folder(root.as_fd(), &deep, 0o755).unwrap();
        }
        assert!(folder(root.as_fd(), &deep).is_ok());
        assert_eq!(read(root.as_fd(), &deep[..59]).unwrap().len(), 1);
    }

    #[test]
    fn what_is_read_is_written_again_with_its_holes() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(dir.path().join(name))
                .unwrap()
        };
        let (source, copy) = (make("a"), make("b"));
        source.set_len(10 << 20).unwrap();
        source.write_all_at(b"begin", 3).unwrap();
        source.write_all_at(b"middle", (5 << 20) + 4090).unwrap();
        let mut offset = 0;
        loop {
            // An odd length: pieces do not begin at the borders of blocks.
            let bytes = piece(&source, offset, 1_000_003).unwrap();
            if bytes.is_empty() {
                break;
            }
            write(&copy, offset, &bytes).unwrap();
            offset += bytes.len() as u64;
        }
        assert_eq!(offset, 10 << 20);
        copy.set_len(offset).unwrap();
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        assert!(read("a") == read("b"));
        assert!(copy.metadata().unwrap().blocks() * 512 < 1 << 20, "{}", copy.metadata().unwrap().blocks());
    }
}
