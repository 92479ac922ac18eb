//! A file under its temporary name, or without one, until it is whole.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, renameat, unlinkat};
use rustix::io::Errno;

use crate::abilities::Flag;
use crate::place::{Crossing, Handle, open_beneath};

const PREFIX: &[u8] = b".wsfs-sync-";
const RUN_DIGITS: usize = 16;

/// Makes the temporary names of one run: `.wsfs-sync-<16 hexadecimal digits of the run>-<number>`.
#[derive(Debug)]
pub(crate) struct TemporaryNames {
    run: u64,
    next: AtomicU64,
}

impl TemporaryNames {
    pub fn new() -> Self {
        use std::hash::{BuildHasher, Hasher};
        // The seed of a hash map is the one source of randomness in std.
        let run = std::hash::RandomState::new().build_hasher().finish();
        Self { run, next: AtomicU64::new(0) }
    }

    pub fn next(&self) -> Result<CString, Errno> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        CString::new(format!(".wsfs-sync-{:016x}-{number}", self.run)).map_err(|_| Errno::INVAL)
    }
}

/// Whether a name is one that some run made: in the destination it is a left-over.
pub(crate) fn is_temporary(name: &CStr) -> bool {
    let Some(rest) = name.to_bytes().strip_prefix(PREFIX) else { return false };
    let Some((run, rest)) = rest.split_at_checked(RUN_DIGITS) else { return false };
    let is_run = run.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let number = rest.strip_prefix(b"-").unwrap_or_default();
    is_run && !number.is_empty() && number.iter().all(u8::is_ascii_digit)
}

/// A name that is removed again unless it takes its final place.
#[derive(Debug)]
pub(crate) struct Temporary {
    directory: Arc<Handle>,
    name: CString,
    placed: bool,
}

impl Temporary {
    /// Makes an empty file with this mode, narrowed by the umask.
    pub fn file(
        directory: &Arc<Handle>,
        names: &TemporaryNames,
        mode: u32,
    ) -> Result<(Self, OwnedFd), Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mut file = None;
        let made = Self::make(directory, names, |directory, name| {
            file = Some(open_beneath(directory, name, flags, Mode::from_raw_mode(mode), Crossing::Refused)?);
            Ok(())
        })?;
        file.map(|file| (made, file)).ok_or(Errno::IO)
    }

    /// Makes something else.
    pub fn make(
        directory: &Arc<Handle>,
        names: &TemporaryNames,
        make: impl FnOnce(BorrowedFd<'_>, &CStr) -> Result<(), Errno>,
    ) -> Result<Self, Errno> {
        let name = names.next()?;
        make(directory.as_fd(), &name)?;
        Ok(Self { directory: Arc::clone(directory), name, placed: false })
    }

    pub fn name(&self) -> &CStr {
        &self.name
    }

    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Gives it its final name in the same directory, in the place of what has it.
    pub fn place(mut self, name: &CStr) -> Result<(), Errno> {
        renameat(self.directory.as_fd(), &self.name, self.directory.as_fd(), name)?;
        self.placed = true;
        Ok(())
    }
}

/// A file that has no name in its directory yet: nothing of it is left when its descriptor is closed, however this process ends.
/// To make one and link it takes less of the processor than to make one with a name and rename it.
#[derive(Debug)]
pub(crate) struct Nameless {
    directory: Arc<Handle>,
}

impl Nameless {
    /// Makes an empty file with this mode, narrowed by the umask; None where there is no such thing, which is remembered. See
    /// O_TMPFILE in open(2).
    pub fn file(directory: &Arc<Handle>, can: &Flag, mode: u32) -> Option<(Self, OwnedFd)> {
        let flags = OFlags::RDWR | OFlags::TMPFILE;
        match open_beneath(directory.as_fd(), c".", flags, Mode::from_raw_mode(mode), Crossing::Refused) {
            Ok(file) => Some((Self { directory: Arc::clone(directory) }, file)),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                can.clear();
                None
            }
            // Whatever it is, who makes one with a name meets it too, and tells it.
            Err(_) => None,
        }
    }

    /// Gives the file its name, in the place of what has it: somebody else made that since we looked.
    pub fn place(self, file: BorrowedFd<'_>, names: &TemporaryNames, name: &CStr) -> Result<(), Errno> {
        match link(file, self.directory.as_fd(), name) {
            Err(Errno::EXIST) => {
                let link = |directory: BorrowedFd<'_>, name: &CStr| link(file, directory, name);
                Temporary::make(&self.directory, names, link)?.place(name)
            }
            other => other,
        }
    }
}

/// Gives an open file a name. Who has not the right to link it by its descriptor alone (CAP_DAC_READ_SEARCH before Linux 6.10) does
/// it by the path that /proc has of it: see linkat(2).
pub(crate) fn link(file: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match linkat(file, c"", directory, name, AtFlags::EMPTY_PATH) {
        Err(Errno::NOENT) => {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            linkat(CWD, path, directory, name, AtFlags::SYMLINK_FOLLOW)
        }
        other => other,
    }
}

/// Whether a file that has no name can be given one here, found out with one.
pub(crate) fn can_link(directory: &Arc<Handle>, can: &Flag, names: &TemporaryNames) -> bool {
    let Some((_nameless, file)) = Nameless::file(directory, can, 0o600) else { return false };
    let link = |directory: BorrowedFd<'_>, name: &CStr| link(file.as_fd(), directory, name);
    Temporary::make(directory, names, link).is_ok()
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.placed {
            // What cannot be removed now is a left-over that the next run removes.
            let _ = unlinkat(self.directory.as_fd(), &self.name, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::{Budget, Place};

    #[test]
    fn only_names_that_a_run_made_are_left_overs() {
        assert!(is_temporary(&TemporaryNames::new().next().unwrap()));
        for other in [
            c".wsfs-sync-",
            c".wsfs-sync-0123456789abcdef",
            c".wsfs-sync-0123456789abcdef-",
            c".wsfs-sync-0123456789abcdeg-1",
            c".wsfs-sync-0123456789abcdef-1x",
            c"wsfs-sync-0123456789abcdef-1",
            c".wsfs-sync-0123456789ABCDEF-1",
        ] {
            assert!(!is_temporary(other), "{other:?}");
        }
    }

    /// In a new folder.
    fn handle() -> (tempfile::TempDir, Arc<Handle>) {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::open(folder.path()).unwrap();
        let (place, _) = Place::root(file.as_fd(), Crossing::Refused, &Budget::new(10)).unwrap();
        let handle = place.handle().unwrap();
        (folder, handle)
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Debian's file systems for temporary files, ext4 and tmpfs, both have such files.
    #[test]
    fn a_file_without_a_name_is_seen_only_once_it_has_its_own_and_leaves_nothing_without_one() {
        let (folder, handle) = handle();
        let can = Flag::set();
        let (nameless, file) = Nameless::file(&handle, &can, 0o640).unwrap();
        rustix::io::write(&file, b"new").unwrap();
        assert_eq!(names(&folder), [""; 0]);
        nameless.place(file.as_fd(), &TemporaryNames::new(), c"name").unwrap();
        assert_eq!(names(&folder), ["name"]);
        assert_eq!(std::fs::read(folder.path().join("name")).unwrap(), b"new");
        drop(Nameless::file(&handle, &can, 0o640).unwrap());
        assert_eq!(names(&folder), ["name"]);
    }

    #[test]
    fn a_file_without_a_name_takes_the_place_of_one_that_somebody_made_meanwhile_but_not_of_a_directory() {
        let (folder, handle) = handle();
        std::fs::write(folder.path().join("name"), "old").unwrap();
        std::fs::create_dir(folder.path().join("directory")).unwrap();
        let make = || {
            let (nameless, file) = Nameless::file(&handle, &Flag::set(), 0o640).unwrap();
            rustix::io::write(&file, b"new").unwrap();
            (nameless, file)
        };
        let temporary = TemporaryNames::new();
        let (nameless, file) = make();
        nameless.place(file.as_fd(), &temporary, c"name").unwrap();
        assert_eq!(std::fs::read(folder.path().join("name")).unwrap(), b"new");
        let (nameless, file) = make();
        assert_eq!(nameless.place(file.as_fd(), &temporary, c"directory"), Err(Errno::ISDIR));
        assert_eq!(names(&folder).len(), 2, "nothing is left over");
    }

    #[test]
    fn whether_files_can_be_without_names_is_found_out_without_a_trace() {
        let (folder, handle) = handle();
        assert!(can_link(&handle, &Flag::set(), &TemporaryNames::new()));
        assert_eq!(names(&folder), [""; 0]);
    }
}
