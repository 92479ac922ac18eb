//! Project quotas by quotactl_fd(2), Linux 5.14: limits are set and usage is read through any open file of the file
//! system, so no path of a block device is needed. The structures are XFS's; the kernel's quota code
//! translates them for ext4, which then answers zeros, not NOENT, for a project that it has never seen.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::project::last_errno;

/// The kernel's `struct fs_disk_quota`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct DiskQuota {
    version: i8,
    flags: i8,
    fieldmask: u16,
    id: u32,
    blk_hardlimit: u64,
    blk_softlimit: u64,
    ino_hardlimit: u64,
    ino_softlimit: u64,
    bcount: u64,
    icount: u64,
    itimer: i32,
    btimer: i32,
    iwarns: u16,
    bwarns: u16,
    timer_high_bits: [i8; 4],
    rtb_hardlimit: u64,
    rtb_softlimit: u64,
    rtbcount: u64,
    rtbtimer: i32,
    rtbwarns: u16,
    padding: [u8; 10],
}

/// The kernel's `struct fs_quota_stat`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct QuotaStat {
    version: i8,
    flags: u16,
    pad: i8,
    user: QuotaFile,
    group: QuotaFile,
    incoredqs: u32,
    limits: [i32; 3],
    warns: [u16; 2],
}

/// The kernel's `struct fs_qfilestat`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct QuotaFile {
    inode: u64,
    blocks: u64,
    extents: u32,
}

const FS_DQUOT_VERSION: i8 = 1;
const FS_PROJ_QUOTA: i8 = 2;
const FS_DQ_IHARD: u16 = 1 << 1;
const FS_DQ_BHARD: u16 = 1 << 3;
const FS_QUOTA_PDQ_ENFD: u16 = 1 << 5;
const PRJQUOTA: u32 = 2;
const Q_XGETQUOTA: u32 = 0x5803;
const Q_XSETQLIM: u32 = 0x5804;
const Q_XGETQSTAT: u32 = 0x5805;
const Q_XGETNEXTQUOTA: u32 = 0x5809;
/// In what space is counted, whatever the block size.
const BASIC_BLOCK_BYTES: u64 = 512;

/// Limits of a project. 0 is no limit to the kernel, so it is refused here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Space, at least 1; rounded up to blocks.
    pub bytes: u64,
    /// Files and folders, at least 1.
    pub inodes: u64,
}

/// What the kernel knows of a project.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Quota {
    /// The project.
    pub project: u32,
    /// Most space; 0 for no limit.
    pub bytes_limit: u64,
    /// Most inodes; 0 for no limit.
    pub inodes_limit: u64,
    /// Space in use.
    pub bytes_used: u64,
    /// Inodes in use.
    pub inodes_used: u64,
}

/// Whether the file system that `fd` lies on stops writers at their project's limit.
///
/// # Errors
/// `NOSYS` where there are no quotas (a kernel without them, a mount without the option), `NOSYS` before Linux 5.14, `INVAL`
/// where there are only other quotas.
pub fn is_enforced(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut stat = QuotaStat::default();
    call(fd, Q_XGETQSTAT, 0, &mut stat)?;
    Ok(stat.flags & FS_QUOTA_PDQ_ENFD != 0)
}

/// Sets a project's limits.
///
/// # Errors
/// `INVAL` for a limit of 0, and what the kernel says.
pub fn set_limits(fd: BorrowedFd<'_>, project: u32, limits: Limits) -> Result<(), Errno> {
    if limits.bytes == 0 || limits.inodes == 0 {
        return Err(Errno::INVAL);
    }
    put(fd, project, limits.bytes.div_ceil(BASIC_BLOCK_BYTES), limits.inodes)
}

/// Takes a project's limits off.
///
/// # Errors
/// What the kernel says.
pub fn clear_limits(fd: BorrowedFd<'_>, project: u32) -> Result<(), Errno> {
    put(fd, project, 0, 0)
}

fn put(fd: BorrowedFd<'_>, project: u32, blocks: u64, inodes: u64) -> Result<(), Errno> {
    let mut quota = DiskQuota {
        version: FS_DQUOT_VERSION,
        flags: FS_PROJ_QUOTA,
        fieldmask: FS_DQ_BHARD | FS_DQ_IHARD,
        id: project,
        blk_hardlimit: blocks,
        ino_hardlimit: inodes,
        ..DiskQuota::default()
    };
    call(fd, Q_XSETQLIM, project, &mut quota)
}

/// Limits and usage of a project; all 0 if the kernel has never heard of it. Costs the same for any number of files.
///
/// # Errors
/// What the kernel says beyond that.
pub fn get(fd: BorrowedFd<'_>, project: u32) -> Result<Quota, Errno> {
    let mut quota = DiskQuota::default();
    match call(fd, Q_XGETQUOTA, project, &mut quota) {
        Ok(()) => Ok(from(&quota)),
        Err(Errno::NOENT) => Ok(Quota { project, ..Quota::default() }),
        Err(errno) => Err(errno),
    }
}

/// The first project at or after `from` of which the kernel knows anything.
///
/// # Errors
/// What the kernel says.
pub fn next(fd: BorrowedFd<'_>, from_project: u32) -> Result<Option<Quota>, Errno> {
    let mut quota = DiskQuota::default();
    match call(fd, Q_XGETNEXTQUOTA, from_project, &mut quota) {
        Ok(()) => Ok(Some(from(&quota))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn from(quota: &DiskQuota) -> Quota {
    Quota {
        project: quota.id,
        bytes_limit: quota.blk_hardlimit.saturating_mul(BASIC_BLOCK_BYTES),
        inodes_limit: quota.ino_hardlimit,
        bytes_used: quota.bcount.saturating_mul(BASIC_BLOCK_BYTES),
        inodes_used: quota.icount,
    }
}

/// A structure that one of the commands here reads or writes.
trait Argument {}
impl Argument for DiskQuota {}
impl Argument for QuotaStat {}

#[allow(unsafe_code)]
fn call<T: Argument>(fd: BorrowedFd<'_>, command: u32, project: u32, argument: &mut T) -> Result<(), Errno> {
    // SAFETY: every command here is paired by its caller with the structure that the kernel reads or fills for it, whose
    // layout the tests hold against the kernel's; the descriptor is open for the length of the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            fd.as_raw_fd(),
            command << 8 | PRJQUOTA,
            project,
            std::ptr::from_mut(argument),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_structures_have_the_kernels_layout() {
        assert_eq!(size_of::<DiskQuota>(), 112);
        assert_eq!(offset_of!(DiskQuota, blk_hardlimit), 8);
        assert_eq!(offset_of!(DiskQuota, ino_hardlimit), 24);
        assert_eq!(offset_of!(DiskQuota, bcount), 40);
        assert_eq!(offset_of!(DiskQuota, icount), 48);
        assert_eq!(offset_of!(DiskQuota, timer_high_bits), 68);
        assert_eq!(offset_of!(DiskQuota, rtb_hardlimit), 72);
        assert_eq!(offset_of!(DiskQuota, rtbtimer), 96);
        assert_eq!(size_of::<QuotaStat>(), 80);
        assert_eq!(offset_of!(QuotaStat, flags), 2);
        assert_eq!(offset_of!(QuotaStat, user), 8);
        assert_eq!(offset_of!(QuotaStat, group), 32);
        assert_eq!(offset_of!(QuotaStat, incoredqs), 56);
        assert_eq!(libc::SYS_quotactl_fd, 443);
    }

    #[test]
    fn a_limit_of_nothing_is_refused_because_it_would_be_no_limit() {
        let folder = std::fs::File::open("/").unwrap();
        for limits in [Limits { bytes: 0, inodes: 1 }, Limits { bytes: 1, inodes: 0 }] {
            assert_eq!(set_limits(folder.as_fd(), 7, limits), Err(Errno::INVAL));
        }
    }

    #[test]
    fn where_there_are_no_quotas_it_is_said() {
        let folder = std::fs::File::open("/proc").unwrap();
        assert!(is_enforced(folder.as_fd()).is_err());
    }
}
