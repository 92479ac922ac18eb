//! What statx(2) says of a file, in the form that the engine compares.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, statx};
use rustix::io::Errno;

use crate::Time;

/// A file as it was at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stat {
    pub kind: FileType,
    /// Permissions with set-id and sticky bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// Of 512 bytes.
    pub blocks: u64,
    pub mtime: Time,
    pub ctime: Time,
    pub id: Id,
    pub links: u32,
}

/// Which file it is: its device and inode.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Id {
    device: (u32, u32),
    inode: u64,
}

const PERMISSIONS: u32 = 0o7777;

impl Stat {
    /// Looks at `name` in a directory, never through a link.
    pub fn of(directory: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<Self, Errno> {
        statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS).map(Self::from)
    }

    /// Looks at an open file as its caches have it.
    pub fn of_open(file: BorrowedFd<'_>) -> Result<Self, Errno> {
        statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map(Self::from)
    }

    /// Looks at an open file as its server has it now (AT_STATX_FORCE_SYNC).
    pub fn of_open_now(file: BorrowedFd<'_>) -> Result<Self, Errno> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
        statx(file, c"", flags, StatxFlags::BASIC_STATS).map(Self::from)
    }

    /// Nobody wrote to the file, replaced it or cut it between the two looks.
    pub fn is_untouched(&self, later: &Self) -> bool {
        (self.id, self.kind, self.size, self.mtime, self.ctime)
            == (later.id, later.kind, later.size, later.mtime, later.ctime)
    }

    /// There are holes in it, by the space that it takes.
    pub fn is_sparse(&self) -> bool {
        self.blocks.saturating_mul(512) < self.size
    }

    /// Bytes that count: those of regular files.
    pub fn bytes(&self) -> u64 {
        if self.kind.is_file() { self.size } else { 0 }
    }
}

impl From<Statx> for Stat {
    fn from(statx: Statx) -> Self {
        let time =
            |time: rustix::fs::StatxTimestamp| Time { seconds: time.tv_sec, nanoseconds: time.tv_nsec };
        Self {
            kind: FileType::from_raw_mode(statx.stx_mode.into()),
            mode: u32::from(statx.stx_mode) & PERMISSIONS,
            uid: statx.stx_uid,
            gid: statx.stx_gid,
            size: statx.stx_size,
            blocks: statx.stx_blocks,
            mtime: time(statx.stx_mtime),
            ctime: time(statx.stx_ctime),
            id: Id { device: (statx.stx_dev_major, statx.stx_dev_minor), inode: statx.stx_ino },
            links: statx.stx_nlink,
        }
    }
}
