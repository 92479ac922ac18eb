//! What a run needs to know of the machine before it begins: how many threads, how many descriptors, and whether the two
//! directories are two.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstatfs, openat};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::stat::Stat;

/// So many requests at a time keep a server with 1 ms of latency busy.
const WORKERS_NETWORK: usize = 64;
const WORKERS_MAX: usize = 512;
/// What the rest of the process has open, and some room.
const DESCRIPTORS_OF_OTHERS: usize = 48;
/// A directory and a file, and what is about to be opened, on each side.
const DESCRIPTORS_PER_WORKER: usize = 8;
const DIRECTORIES_OPEN_MAX: usize = 1024;

/// How a run is divided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Division {
    pub workers: usize,
    /// So many are of use without any latency.
    pub processors: usize,
    /// Directories that may stay open though nobody works in them.
    pub directories_open_max: usize,
    /// See [`crate::abilities::Abilities::direct`].
    pub direct: bool,
}

impl Division {
    pub fn of(asked: Option<NonZeroUsize>, network: bool) -> Self {
        let processors = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
        let descriptors = getrlimit(Resource::Nofile)
            .current
            .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Self::within(asked.map(NonZeroUsize::get), network, processors, descriptors)
    }

    fn within(asked: Option<usize>, network: bool, processors: usize, descriptors: usize) -> Self {
        let usual = if network { WORKERS_NETWORK } else { 2 * processors };
        let room = descriptors.saturating_sub(DESCRIPTORS_OF_OTHERS);
        let workers =
            asked.unwrap_or(usual).clamp(1, WORKERS_MAX).min((room / (2 * DESCRIPTORS_PER_WORKER)).max(1));
        let rest = room.saturating_sub(workers * DESCRIPTORS_PER_WORKER);
        // The other half is four more for each worker, for an earlier copy's directories.
        let directories_open_max = (rest / 2).min(DIRECTORIES_OPEN_MAX);
        Self { workers, processors: 2 * processors, directories_open_max, direct: false }
    }
}

const FUSE: i64 = 0x6573_5546;

/// Whether each request may wait for another machine.
pub(crate) fn is_network(directory: BorrowedFd<'_>) -> bool {
    /// linux/magic.h, and those of file systems that are not in it.
    const MAGIC: [i64; 13] = [
        0x6969, // NFS
        FUSE,
        0xff53_4d42, // CIFS
        0xfe53_4d42, // SMB 2
        0x00c3_6400, // Ceph
        0x0bd0_0bd0, // Lustre
        0x0102_1997, // 9P
        0x5346_414f, // OpenAFS
        0x6b41_4653, // AFS
        0x4750_4653, // GPFS
        0x1983_0326, // BeeGFS
        0x7461_636f, // OCFS2
        0x0116_1970, // GFS2
    ];
    magic(directory).is_some_and(|magic| MAGIC.contains(&magic))
}

/// Whether any piece of a file can be read past its cache into any buffer. NFS ought to be able to, too; nobody has seen it here.
pub(crate) fn reads_directly(directory: BorrowedFd<'_>) -> bool {
    magic(directory) == Some(FUSE)
}

fn magic(directory: BorrowedFd<'_>) -> Option<i64> {
    fstatfs(directory).ok().map(|stat| stat.f_type & 0xffff_ffff)
}

/// Whether `inner` is `outer` or lies in it, as far up as can be looked.
pub(crate) fn lies_in(inner: BorrowedFd<'_>, outer: &Stat) -> bool {
    let up = |from: BorrowedFd<'_>| {
        openat(from, c"..", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    };
    let look = |directory: BorrowedFd<'_>| Stat::of_open(directory);
    let Ok(mut here) = look(inner) else { return false };
    let mut above: Result<OwnedFd, Errno> = up(inner);
    loop {
        if here.id == outer.id {
            return true;
        }
        let Ok(directory) = &above else { return false };
        match look(directory.as_fd()) {
            // The root of all is its own parent.
            Ok(stat) if stat.id == here.id => return false,
            Ok(stat) => here = stat,
            Err(_) => return false,
        }
        above = up(directory.as_fd());
    }
}

/// Keeps a second run out of a directory, where its file system has such locks. NFS has them only for files that are
/// open to be written, which a directory cannot be.
pub(crate) fn lock(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    match flock(directory, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(Errno::WOULDBLOCK),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_follow_the_latency_and_never_take_more_descriptors_than_there_are() {
        let of = |asked, network, descriptors| Division::within(asked, network, 2, descriptors);
        assert_eq!(of(None, true, 1024).workers, 61);
        assert_eq!(of(None, true, 65_536).workers, 64);
        assert_eq!(of(None, false, 1024).workers, 4);
        assert_eq!(of(Some(16), false, 1024).workers, 16);
        assert_eq!(of(None, true, 10).workers, 1);
        for (asked, network, descriptors) in [(None, true, 256), (Some(400), true, 1024), (None, false, 128)]
        {
            let division = of(asked, network, descriptors);
            let taken = division.workers * (DESCRIPTORS_PER_WORKER + 4) + division.directories_open_max;
            assert!(taken + DESCRIPTORS_OF_OTHERS <= descriptors, "{division:?} of {descriptors}");
        }
    }

    #[test]
    fn a_directory_lies_in_itself_and_in_those_above_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::create_dir(dir.path().join("c")).unwrap();
        let open = |name: &str| rustix::fs::open(dir.path().join(name), OFlags::PATH, Mode::empty()).unwrap();
        for (inner, outer, inside) in
            [("a/b", "a", true), ("a", "a", true), ("a/b", "", true), ("a", "a/b", false), ("c", "a", false)]
        {
            let stat = Stat::of_open(open(outer).as_fd()).unwrap();
            assert_eq!(lies_in(open(inner).as_fd(), &stat), inside, "{inner} in {outer}");
        }
    }
}
