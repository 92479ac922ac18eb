//! What this process can do on the two sides, found out by doing it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Timespec, Timestamps, UTIME_OMIT, futimens};
use rustix::io::Errno;

use crate::Time;
use crate::place::Handle;
use crate::stat::Stat;
use crate::temporary::{Nameless, Temporary, TemporaryNames, can_link};

/// See the module.
#[derive(Debug)]
pub(crate) struct Abilities {
    /// To give files away.
    pub chown: Flag,
    /// FICLONE between the two sides.
    pub clone: Flag,
    /// copy_file_range(2) between the two sides.
    pub copy_range: Flag,
    /// Small files of the source are read past the page cache (O_DIRECT): what is read once need not be kept, and keeping it
    /// costs more than reading it.
    pub direct: Flag,
    /// Files without a name in the destination; see [`Nameless`](crate::temporary::Nameless).
    nameless: Flag,
    nameless_found: OnceLock<bool>,
    pub uid: u32,
    pub gid: u32,
    step: OnceLock<u64>,
}

/// True until it is cleared.
#[derive(Debug)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    #[cfg(test)]
    pub fn set() -> Self {
        Self(AtomicBool::new(true))
    }

    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Abilities {
    /// `direct`: the source's file system reads past its cache whatever the length and the buffer.
    pub fn new(direct: bool) -> Self {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let may_chown = rustix::thread::capabilities(None)
            .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::CHOWN));
        let flag = |now| Flag(AtomicBool::new(now));
        Self {
            chown: flag(may_chown),
            clone: flag(true),
            copy_range: flag(true),
            direct: flag(direct),
            nameless: flag(true),
            nameless_found: OnceLock::new(),
            uid: uid.as_raw(),
            gid: gid.as_raw(),
            step: OnceLock::new(),
        }
    }

    /// A file without a name, where there is such a thing and it can be given one.
    pub fn nameless(
        &self,
        directory: &Arc<Handle>,
        names: &TemporaryNames,
        mode: u32,
    ) -> Option<(Nameless, OwnedFd)> {
        let found = *self.nameless_found.get_or_init(|| can_link(directory, &self.nameless, names));
        (found && self.nameless.get()).then(|| Nameless::file(directory, &self.nameless, mode)).flatten()
    }

    /// In which steps of nanoseconds the destination keeps times, as far as it is known.
    pub fn step(&self) -> u64 {
        self.step.get().copied().unwrap_or(1)
    }

    /// The same, found out with a temporary file if need be.
    pub fn find_step(&self, directory: &Arc<Handle>, names: &TemporaryNames) -> u64 {
        *self.step.get_or_init(|| probe(directory, names).unwrap_or(1))
    }
}

/// A moment that shows each of the steps that file systems have: 2 s, 1 s, 1 µs, 100 ns.
const TELLING: Time = Time { seconds: 1_000_000_001, nanoseconds: 123_456_789 };
const STEPS: [u64; 4] = [100, 1_000, 1_000_000_000, 2_000_000_000];

fn probe(directory: &Arc<Handle>, names: &TemporaryNames) -> Result<u64, Errno> {
    let (_temporary, file) = Temporary::file(directory, names, 0o600)?;
    set_mtime(file.as_fd(), TELLING)?;
    let kept = Stat::of_open_now(file.as_fd())?.mtime;
    Ok(STEPS.into_iter().find(|step| kept != TELLING && TELLING.is_kept_as(kept, *step)).unwrap_or(1))
}

/// Sets the time of modification and leaves that of access.
pub(crate) fn set_mtime(file: BorrowedFd<'_>, time: Time) -> Result<(), Errno> {
    futimens(file, &timestamps(time))
}

pub(crate) fn timestamps(time: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() },
    }
}
