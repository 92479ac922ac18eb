//! A file under its temporary name, until it is whole.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, renameat, unlinkat};
use rustix::io::Errno;

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
}
